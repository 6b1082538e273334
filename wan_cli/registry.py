"""Who there is: the providers that come with wan, those of the user's configuration, and installed packages.

Names, ``--provider``, completion, ``wan models`` and the README's table read from here. Capabilities are read without
importing the adapter, so that ``--help`` and completion stay instant.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from wan_cli.catalog import Capabilities, Model, Offer, parse

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from wan_cli.models import Kind

ORDER = ("rivya", "modelverse", "yunwu", "toapis", "dashscope")
"""Who is asked, and in which order, when nobody names a provider (interface.md, section 2)."""

BUILTIN = (*ORDER, "openai")
"""Every provider that comes with wan; ``openai`` is never chosen unless it is named."""

GROUP = "wan_cli.providers"
"""The entry-point group of installed providers: NAME = "package.module:CLASS", with NAME.toml beside the module."""

_added: dict[str, Capabilities] = {}


def add(offered: Capabilities) -> None:
    """Register capabilities of the user's configuration: a provider of their own, or one with switches on."""
    _added[offered.name] = offered


def forget_added() -> None:
    """Forget what configurations added: each run of the command line starts with its own."""
    _added.clear()


@functools.cache
def installed() -> Mapping[str, EntryPoint]:
    """Return the providers of installed packages; looking for them takes longer than the rest of ``--help``."""
    from importlib.metadata import entry_points

    return {entry.name: entry for entry in entry_points(group=GROUP) if entry.name not in BUILTIN}


def each_name() -> Iterator[str]:
    """Yield every provider's name: those that come with wan first, in registry order; the installed ones last.

    Looking for those takes longer than all the rest, so whoever finds what he looks for before them stops there.
    """
    yield from BUILTIN
    own = [name for name in _added if name not in BUILTIN]
    yield from own
    yield from (name for name in installed() if name not in own)


def names() -> tuple[str, ...]:
    """Return every provider's name, in the order of :func:`each_name`."""
    return tuple(each_name())


def knows(name: str) -> bool:
    """Tell whether a provider is registered, looking into installed packages only for a strange name."""
    return name in BUILTIN or name in _added or name in installed()


@functools.cache
def document(name: str) -> Mapping[str, Any]:
    """Return the TOML document of a provider that comes with wan or is installed. Raises ``KeyError``."""
    import tomllib

    return tomllib.loads(_text(name))


def title(name: str) -> str:
    """Return a provider's name as people write it. Raises ``KeyError``."""
    import tomllib

    head, _, _ = _text(name).partition("\n[")  # of six documents the rest costs as much as importing typer
    return str(tomllib.loads(head)["title"])


def _text(name: str) -> str:
    import pkgutil  # importlib.resources takes four times as long to load, and completion feels it

    package, module = "wan_cli.providers", ""
    if name not in BUILTIN:
        package, _, module = installed()[name].module.rpartition(".")
    return (pkgutil.get_data(package or module, f"{name}.toml") or b"").decode()


@functools.cache
def _own(name: str) -> Capabilities:
    return parse(document(name))


def capabilities(name: str) -> Capabilities:
    """Return what a provider offers. Raises ``KeyError`` for a name that is not registered."""
    return _added.get(name) or _own(name)


def every_model(providers: Iterable[str] | None = None) -> Iterator[Model]:
    """Yield each provider's models, in registry order."""
    for provider in each_name() if providers is None else providers:
        yield from capabilities(provider).models


def who_can(
    verb: str,
    *,
    makes: Kind = "image",
    model: str | None = None,
    providers: Iterable[str] | None = None,
    **wants: object,
) -> list[str]:
    """Name the providers with a model (``model``, if given) that can do ``verb`` with all of ``wants``.

    ``makes`` is the kind of result. ``wants`` are: ``size`` (a tier), ``pixels`` (a number of pixels), ``aspect``,
    ``option``, ``n``, ``inputs`` (how many media), ``resolution``, ``duration`` (seconds; ``duration_with_video`` where
    one is among the inputs), ``role``. Those that are only asked when they are named are told of where no other can.
    """
    others = (name for name in each_name() if name not in ORDER)
    for group in (ORDER, others) if providers is None else (providers,):
        able = []
        for entry in every_model(group):
            offer = entry.verbs.get(verb)
            same = model is None or model in {entry.name, entry.id}
            if offer and same and entry.makes == makes and _meets(offer, wants) and entry.provider not in able:
                able.append(entry.provider)
        if able:
            return able
    return []


def _meets(offer: Offer, wants: Mapping[str, Any]) -> bool:
    checks: dict[str, Callable[[Any], bool]] = {
        "size": lambda tier: tier in offer.sizes,
        "pixels": lambda count: offer.pixels is not None and offer.pixels[0] <= count <= offer.pixels[1],
        "aspect": lambda aspect: not offer.aspects or aspect in offer.aspects,
        "option": lambda option: option in offer.options,
        "n": lambda n: offer.count is None or offer.count[0] <= n <= offer.count[1],
        "resolution": lambda resolution: resolution in offer.resolutions,
        "duration": lambda seconds: seconds in offer.durations,
        "duration_with_video": lambda seconds: seconds in (offer.durations_with_video or offer.durations),
        "role": lambda role: role in offer.roles,
        "inputs": lambda n: offer.inputs is not None and offer.inputs.count[0] <= n <= offer.inputs.count[1],
    }
    return all(checks[name](value) for name, value in wants.items())
