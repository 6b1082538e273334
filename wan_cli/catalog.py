"""What a provider offers, as data: models x verbs x options x limits x price.

One TOML file a provider, beside its adapter (``providers/NAME.toml``). Validation, ``wan models``, completion and the
messages that name another provider all read from it, by :mod:`wan_cli.registry`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from wan_cli.dataclass import dataclass, field, replace

if TYPE_CHECKING:  # completion reads the catalogue, and needs no task
    from wan_cli.models import Kind, Verb

VERBS: tuple[Verb, ...] = ("generate", "edit", "fuse", "sequence")


@dataclass(frozen=True, slots=True, kw_only=True)
class Price:
    """``amount`` of ``unit`` for each ``per`` (``task``, ``image``, ``second``), as of ``date``, from ``source``.

    ``resolutions`` has the amounts of those resolutions that cost something else.
    """

    amount: float
    unit: str
    per: str
    date: str
    source: str
    resolutions: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Inputs:
    """How many media of one role a verb takes, and what each may be. Sides in pixels, ``max_bytes`` in bytes.

    ``seconds`` is how long a video or sound may last, within half a second: what a frame or two adds is no matter.

    ``remote_only`` are kinds that go as an address only, ``local_only`` those that do not go as one. ``video`` holds
    for videos instead, where pictures have other limits.
    """

    count: tuple[int, int]
    kinds: tuple[Kind, ...] = ("image",)
    remote_only: tuple[Kind, ...] = ()
    local_only: tuple[Kind, ...] = ()
    mimes: tuple[str, ...] = ()
    max_bytes: int | None = None
    sides: tuple[int, int] | None = None
    max_ratio: float | None = None
    alpha: bool = True
    seconds: tuple[float, float] | None = None
    video: Inputs | None = None

    def of(self, kind: Kind) -> Inputs:
        """Return the limits of a medium of this kind."""
        return self.video if kind == "video" and self.video else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """What one model offers for one verb.

    ``sizes`` are tiers; ``pixels`` the least and most pixels of an explicit size (``None``: explicit sizes are not
    taken); ``aspects`` a closed list, or empty where any shape up to ``max_ratio`` to one is made from pixels.
    ``count`` is the range of ``-n`` in one request, ``None`` where the provider has no such parameter (then ``-n``
    becomes that many tasks). ``seed_unset`` is a seed that the provider reads as "none". ``ineffective`` maps an
    option to why it changes nothing here. ``inputs`` are the pictures (or videos) that stand before the prompt,
    ``roles`` those that options name, ``sets`` the legal sets of roles. ``durations`` are in seconds;
    ``durations_with_video`` hold when a video is among the inputs. ``price_seconds`` is the provider's own duration
    where the user says none; ``price_footage`` are the most seconds of videos among the inputs that are charged
    beside it. With ``tiers_as_pixels`` a tier is sent as the pixels of its square.
    """

    prompt_max: int
    sizes: tuple[str, ...] = ()
    default_size: str = "2K"
    pixels: tuple[int, int] | None = None
    aspects: tuple[str, ...] = ()
    max_ratio: float | None = None
    count: tuple[int, int] | None = None
    seed: tuple[int, int] | None = None
    seed_unset: int | None = None
    options: frozenset[str] = frozenset()
    ineffective: Mapping[str, str] = field(default_factory=dict)
    inputs: Inputs | None = None
    durations: tuple[int, ...] = ()
    durations_with_video: tuple[int, ...] = ()
    resolutions: tuple[str, ...] = ()
    roles: Mapping[str, Inputs] = field(default_factory=dict)
    sets: tuple[frozenset[str], ...] = ()
    negative_max: int | None = None
    price_seconds: int = 5
    price_footage: int = 0
    tiers_as_pixels: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """A model as one provider serves it: ``name`` is canonical, ``id`` the provider's own spelling.

    ``siblings`` are further spellings, where the provider has a model for each verb and kind of media. ``prices`` are
    those of each of its regions, where they differ; ``price`` is that of the first.
    """

    provider: str
    name: str
    id: str
    makes: Kind
    price: Price | None
    formats: tuple[str, ...]
    verbs: Mapping[str, Offer]
    listed: bool = True
    siblings: tuple[str, ...] = ()
    prices: Mapping[str, Price] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """One provider: where it is, what it is called, and its models in order of preference."""

    name: str
    contract: str
    """Whose adapter speaks for it: its own name, or that of the contract the user's configuration names."""
    title: str
    key_env: str
    base_url: str
    base_url_env: str
    docs: str
    regions: Mapping[str, str]
    routes: tuple[str, ...]
    param_options: Mapping[str, str]
    result_hours: float | None
    """How long a result can be fetched, where the provider says so."""
    polls: tuple[float, float]
    """Seconds below which the provider asks not to go, before the first question about a task and between two."""
    models: tuple[Model, ...]
    region_hosts: Mapping[str, str] = field(default_factory=dict)
    """How the names of further hosts of a region end."""
    addresses: tuple[str, ...] = ("https",)
    """Schemes of the addresses that it takes for media."""

    def region_of(self, base_url: str) -> str | None:
        """Return the region that a base URL leads to, ``None`` where it is another server's."""
        from urllib.parse import urlsplit

        host = urlsplit(base_url).hostname or ""
        own = (name for name, url in self.regions.items() if urlsplit(url).hostname == host)
        return next(own, None) or next((name for name, end in self.region_hosts.items() if host.endswith(end)), None)

    def find(self, model: str) -> Model | None:
        """Return the model with this canonical name or provider's spelling, whatever its case."""
        wanted = model.casefold()
        return next((m for m in self.models if wanted in (m.name.casefold(), m.id.casefold())), None)

    def kin(self, model: str) -> Model | None:
        """Return the model that has ``model``, or what it is a dated version of, among its other spellings."""
        wanted = model.casefold()
        return next((m for m in self.models for one in m.siblings if f"{wanted}-".startswith(f"{one}-")), None)

    def unlisted(self, model: str, makes: Kind = "image") -> Model:
        """Return a stand-in for a model that is not in the catalogue: it is sent as given, its price is unknown.

        One that is another spelling of a known one is that model under this name.
        """
        if kin := self.kin(model):
            return replace(kin, name=model, id=model, listed=False)
        pattern = next((known for known in reversed(self.models) if known.makes == makes), self.models[-1])
        return Model(
            provider=self.name, name=model, id=model, makes=pattern.makes, price=None, formats=(),
            verbs=pattern.verbs, listed=False,
        )  # fmt: skip


def _pair(value: list[int] | None) -> tuple[int, int] | None:
    return (value[0], value[1]) if value else None


def _seconds(value: list[int] | dict[str, int] | None) -> tuple[int, ...]:
    """Read a list of durations, or ``{ from, to }`` for every whole second of a range."""
    if isinstance(value, dict):
        return tuple(range(value["from"], value["to"] + 1))
    return tuple(value or ())


def _inputs(data: Mapping[str, Any]) -> Inputs:
    return Inputs(
        count=(data["count"][0], data["count"][1]),
        kinds=tuple(data.get("kinds", ("image",))),
        remote_only=tuple(data.get("remote_only", ())),
        local_only=tuple(data.get("local_only", ())),
        mimes=tuple(data.get("mimes", ())),
        max_bytes=data.get("max_bytes"),
        sides=_pair(data.get("sides")),
        max_ratio=data.get("max_ratio"),
        alpha=data.get("alpha", True),
        seconds=(float(data["seconds"][0]), float(data["seconds"][1])) if "seconds" in data else None,
        video=_inputs({"count": data["count"], "kinds": ["video"], **data["video"]}) if "video" in data else None,
    )


def _offer(data: Mapping[str, Any]) -> Offer:
    return Offer(
        prompt_max=data["prompt_max"],
        sizes=tuple(data.get("sizes", ())),
        default_size=data.get("default_size", "2K"),
        pixels=_pair(data.get("pixels")),
        aspects=tuple(data.get("aspects", ())),
        max_ratio=data.get("max_ratio"),
        count=_pair(data.get("count")),
        seed=_pair(data.get("seed")),
        seed_unset=data.get("seed_unset"),
        options=frozenset(data.get("options", ())),
        ineffective=dict(data.get("ineffective", {})),
        inputs=_inputs(data["inputs"]) if "inputs" in data else None,
        durations=_seconds(data.get("durations")),
        durations_with_video=_seconds(data.get("durations_with_video")),
        resolutions=tuple(data.get("resolutions", ())),
        roles={role: _inputs(inputs) for role, inputs in data.get("roles", {}).items()},
        sets=tuple(frozenset(roles) for roles in data.get("sets", ())),
        negative_max=data.get("negative_max"),
        price_seconds=data.get("price_seconds", 5),
        price_footage=data.get("price_footage", 0),
        tiers_as_pixels=data.get("tiers_as_pixels", False),
    )


def _merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for name, value in over.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(name), Mapping)
        merged[name] = _merge(merged[name], value) if both else value
    return merged


def _price(data: Mapping[str, Any]) -> Price:
    return Price(**{**data, "date": str(data["date"])})


def _model(provider: str, common: Mapping[str, Any], data: Mapping[str, Any]) -> Model:
    shared = _merge(common, data.get("common", {}))
    prices = {region: _price(entry) for region, entry in data.get("prices", {}).items()}
    price = _price(data["price"]) if "price" in data else next(iter(prices.values()), None)
    verbs = {verb: _offer(_merge(shared, own)) for verb, own in data["verbs"].items()}
    return Model(
        provider=provider, name=data["name"], id=data["id"], makes=data["makes"],
        price=price, formats=tuple(data.get("formats", ())), verbs=verbs,
        siblings=tuple(data.get("siblings", ())), prices=prices,
    )  # fmt: skip


def parse(data: Mapping[str, Any], switched: Iterable[str] = ()) -> Capabilities:
    """Build capabilities from a TOML document (its shape: any ``providers/NAME.toml``).

    ``switched`` are the provider's switches that the user turned on: what each adds is in ``[switches.NAME]``.
    """
    common = data.get("common", {})
    for switch in switched:
        common = _merge(common, data.get("switches", {}).get(switch, {}))
    return Capabilities(
        name=data["name"], contract=data.get("contract", data["name"]), title=data["title"],
        key_env=data["key_env"], base_url=data["base_url"],
        base_url_env=data["base_url_env"], docs=data["docs"], regions=dict(data.get("regions", {})),
        routes=tuple(data.get("routes", ())), param_options=dict(data.get("param_options", {})),
        result_hours=data.get("result_hours"), polls=_pair(data.get("polls")) or (0, 0),
        models=tuple(_model(data["name"], common, model) for model in data["models"]),
        region_hosts=dict(data.get("region_hosts", {})), addresses=tuple(data.get("addresses", ("https",))),
    )  # fmt: skip
