"""An asset as a call of its verb: its fields are the verb's long options, so it is read by the same code."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from wan_cli.catalog import Model, Offer
from wan_cli.cli.assets import NATURAL, ROLES, checked
from wan_cli.cli.converting import check_format
from wan_cli.cli.embedding import embeds
from wan_cli.cli.frames import SHARED
from wan_cli.cli.options import Making
from wan_cli.cli.order import Order, price_lines, read_order
from wan_cli.dataclass import dataclass, field, replace
from wan_cli.errors import UsageError, WanError
from wan_cli.fit import offer_for, retold
from wan_cli.manifest import Asset, Manifest, Reference
from wan_cli.media import film, mime_of_extension
from wan_cli.models import LocalFile, Media
from wan_cli.pattern import pattern
from wan_cli.spend import Line

if TYPE_CHECKING:
    from wan_cli.cli.context import App

_PLAIN = (
    "model", "count", "size", "aspect", "seed", "watermark", "thinking", "negative", "duration", "resolution",
    "audio_setting",
)  # fmt: skip
_OWN = frozenset({"prompt", "seed", "output", "sidecar", "poster"})
"""Fields of an asset that decide neither who makes it nor what it costs."""
_USE = pattern(r"\A(?:use|add) (-p|-m|-n) (\S+)\Z")
_ADD = pattern(r"\Aadd --(shrink-references|convert)\Z")
_FIELD = {"-p": "provider", "-m": "model", "-n": "count"}
"""A verb's hint is an option; an asset says it as a field."""
MOST_FILES = 256
"""Files whose looks are kept; one that many assets use is among them."""
_UNSAID = {field.name: field.default for field in dataclasses.fields(Making)}

Paths: TypeAlias = Mapping[str, Sequence[str]]
"""The files of the assets that are there, below the root, by id."""
Coming: TypeAlias = Mapping[str, Sequence[str]]
"""What stands for the files of the assets that are not there yet, by id: ``@hero.png``, one for each result."""


def coming(name: str, makes: str, count: int) -> list[str]:
    """Return words that stand for the results of an asset until they are there."""
    ext = ".mp4" if makes == "video" else ".png"
    return [f"@{name}{ext}"] if count == 1 else [f"@{name}-{number}{ext}" for number in range(1, count + 1)]


@dataclass(frozen=True, slots=True)
class _Words:
    """The media of an asset as a call would have them; ``absent`` are not there yet."""

    words: list[str]
    roles: dict[str, str]
    absent: frozenset[str]
    videos: tuple[str, ...]
    """References among the pictures whose asset is a video."""


def _words(manifest: Manifest, asset: Asset, made: Paths, ahead: Coming) -> _Words:
    words: list[str] = []
    roles: dict[str, str] = {}
    absent: set[str] = set()
    videos: list[str] = []
    for name, references in asset.references.items():
        for reference in references:
            found = _paths(manifest, reference, made)
            if not found:
                found = list(ahead.get(reference.value) or coming(reference.value, "image", 1))
                absent.update(found)
            if name != "images" and len(found) > 1:
                raise UsageError(
                    f"{name}: {reference} has {len(found)} results, and one can stand here",
                    hint=f"give {reference.value} a count of 1, or a file's name here",
                )
            if reference.kind == "asset" and (mime_of_extension(found[0]) or "").startswith("video/"):
                _refuse_video(name, reference)
                videos += [str(reference)] if name == "images" else []
            if name == "images":
                words += found
            else:
                roles[name] = found[0]
    return _Words(words, roles, frozenset(absent), tuple(videos))


def _refuse_video(name: str, reference: Reference) -> None:
    """Refuse a video where it cannot stand; where a frame is wanted, the one that it shares stands for it."""
    if name == "images" or (role := ROLES[name]) in SHARED:
        return
    if (wanted := NATURAL.get(role, "image")) != "video":
        what = "a picture" if wanted == "image" else "a sound"
        raise UsageError(f"{name}: {reference} is a video, and {what} is wanted", hint=f"name {what} in {name}")


def _paths(manifest: Manifest, reference: Reference, made: Paths) -> list[str]:
    if reference.kind == "url":
        return [reference.value]
    if reference.kind == "file":
        return [str(manifest.root / reference.value)]
    return [manifest.place(path) for path in made.get(reference.value, ())]


def order_of(
    app: App, manifest: Manifest, asset: Asset, made: Paths, *, pinned: str | None, need_key: bool,
    tell: Callable[[str], None], ahead: Coming | None = None, look: Callable[..., Media] = checked,
) -> Order:  # fmt: skip
    """Read an asset as its verb would: who makes it, what is sent, what it costs.

    ``pinned`` is who made it before, where the manifest names nobody. Raises what the verb would raise, with the place.
    """
    try:
        media = _words(manifest, asset, made, ahead or {})
        said: dict[str, Any] = {name: asset.fields[name] for name in _PLAIN if name in asset.fields}
        named = asset.fields.get("provider")
        said["provider"] = ",".join(named) if named else pinned
        said["param"] = [f"{name}={json.dumps(value)}" for name, value in asset.fields.get("param", {}).items()]
        route = asset.fields.get("route")
        said["route_async"] = None if route is None else route == "async"
        said["shrink_references"] = bool(asset.fields.get("shrink_references"))
        said["output"] = asset.output if Path(asset.output).suffix else None
        options = Making(**{**_UNSAID, **said, **media.roles, "prompt_text": asset.prompt})
        order = read_order(
            app, asset.verb, media.words, options, absent=media.absent, need_key=need_key, tell=tell, look=look
        )
        if asset.fields.get("poster") and order.fitted.job.makes == "video":
            film.require("poster = true")
        if media.videos and order.fitted.job.makes == "image":
            raise UsageError(
                f"images: {media.videos[0]} is a video, and {order.model.name} makes pictures from pictures",
                hint='use it where a video is made: model = "wan2.7-video"',
            )  # fmt: skip
        check_format(order, asset.output, convert=bool(asset.fields.get("convert")), said="output =")
        converted = asset.output if asset.fields.get("convert") else None
        embeds(app, order, said=asset.fields.get("embed"), convert_to=converted, asset=True)
    except WanError as error:
        error.message = f"{manifest.where(asset)}: {asset.id}: {error.message}"
        error.hint = _ADD.sub(lambda found: f"{found[1].replace('-', '_')} = true in {manifest.path.name}", error.hint)
        error.hint = _USE.sub(lambda found: f"{_field(found[1], found[2])} in {manifest.path.name}", error.hint)
        raise
    return order


def _field(option: str, value: str) -> str:
    return f"{_FIELD[option]} = {value}" if value.isdigit() else f'{_FIELD[option]} = "{value}"'


@dataclass(frozen=True, slots=True)
class Quote:
    """Who would make an asset and what it would cost; ``dearest`` is what the gate counts with."""

    model: Model
    makes: str
    lines: Sequence[Line]
    dearest: Sequence[Line]

    def part(self, number: int) -> Quote:
        """Return what ``number`` of its tasks cost, which are all alike."""
        share = Decimal(number) / len(self.lines)
        dearest = [
            replace(line, results=number, amount=None if line.amount is None else line.amount * share)
            for line in self.dearest
        ]  # fmt: skip
        return replace(self, lines=self.lines[:number], dearest=dearest)


@dataclass(kw_only=True)
class Reader:
    """Reads the assets of one run. What many have in common is looked at once: their shape, and every file."""

    app: App
    manifest: Manifest
    tell: Callable[[str], None]
    used: frozenset[str] = frozenset()
    """Assets that another one uses."""
    ahead: dict[str, Sequence[str]] = field(default_factory=dict)
    """What stands for the results of assets that are not there yet."""
    _quotes: dict[tuple[object, ...], tuple[Quote, Order]] = field(default_factory=dict)
    _files: dict[tuple[Any, ...], tuple[LocalFile, Sequence[str]]] = field(default_factory=dict)

    def quote(self, asset: Asset, made: Paths, *, pinned: str | None) -> Quote:
        """Check everything that can be known of an asset before it is bought, and price it. Raises ``WanError``."""
        shape = self._shape(asset, made, pinned)
        quote, order = self._quotes.get(shape, (None, None))
        if quote is None or order is None or not _alike(asset, order):
            order = self.order(asset, made, pinned=pinned, need_key=False)
            lines = [list(price_lines(self.app, each, order.jobs)) for each in order.candidates]
            quote = Quote(order.model, order.fitted.job.makes, order.lines, _dearest(lines))
            self._quotes[shape] = quote, order
        if asset.id in self.used:
            self.ahead[asset.id] = coming(asset.id, quote.makes, asset.count)
        return quote

    def order(self, asset: Asset, made: Paths, *, pinned: str | None, need_key: bool = True) -> Order:
        """Read an asset as its verb would; see :func:`order_of`."""
        return order_of(
            self.app, self.manifest, asset, made, pinned=pinned, need_key=need_key, tell=self.tell, ahead=self.ahead,
            look=self._look,
        )  # fmt: skip

    def _shape(self, asset: Asset, made: Paths, pinned: str | None) -> tuple[object, ...]:
        """Return what decides who makes an asset, from what, and for how much."""
        said = [(name, _key(value)) for name, value in asset.fields.items() if name not in _OWN]
        seen: dict[str, int] = {}
        used = [
            (name, seen.setdefault(str(one), len(seen)), *self._stands_for(one, made))
            for name, listed in asset.references.items() for one in listed
        ]  # fmt: skip
        suffix = os.path.splitext(asset.output)[1]  # noqa: PTH122 - ten thousand of them
        return asset.verb, pinned, "seed" in asset.fields, suffix, tuple(said), tuple(used)

    def _stands_for(self, reference: Reference, made: Paths) -> Sequence[str]:
        """Return the files of a reference; of one that is not there yet only their kinds count."""
        if found := _paths(self.manifest, reference, made):
            return [str(reference), *found]
        return [os.path.splitext(word)[1] for word in self.ahead.get(reference.value, ())]  # noqa: PTH122 - as above

    def _look(
        self, medium: Media, offer: Offer, asset: str, path: str, notice: Callable[[str], object],
        *, copies: Path | None = None,
    ) -> Media:  # fmt: skip
        """Open and check a file, once as long as it stays the same; see :func:`checked`."""
        if medium.url:
            return medium
        try:
            stat = os.stat(path)  # noqa: PTH116 - a name of any bytes
            key = (path, stat.st_size, stat.st_mtime_ns, stat.st_ino, medium.role, medium.kind, id(offer), copies)
        except (OSError, ValueError):
            return checked(medium, offer, asset, path, notice, copies=copies)
        if (known := self._files.get(key)) is None:
            told: list[str] = []
            found = checked(medium, offer, asset, path, told.append, copies=copies).file
            assert found is not None  # noqa: S101 - it has no address, so it is a file
            if len(self._files) >= MOST_FILES:
                self._files.clear()
            known = self._files[key] = found, told
        for text in known[1]:
            notice(text)
        return replace(medium, file=known[0])


def _key(value: object) -> object:
    """Return a value that can be looked up; ``1`` and ``true`` are two."""
    return (type(value), value) if isinstance(value, str | int | float) else json.dumps(value, sort_keys=True)


def _alike(asset: Asset, order: Order) -> bool:
    """Tell whether prompt and seed are fine too; an order of the same shape was found to be."""
    try:
        for candidate in order.candidates:
            offer = offer_for(candidate.model, candidate.fitted.job.verb)
            retold(candidate.model, offer, asset.prompt, asset.fields.get("seed"))
    except WanError:
        return False
    return True


def _dearest(offers: Sequence[Sequence[Line]]) -> list[Line]:
    """Return what a purchase costs where it costs most: of several providers the dearest in each unit.

    Amounts in different units cannot be compared, so each counts; where one is not known, that counts too.
    """
    results = sum(line.results for line in offers[0])
    most: dict[str, Line] = {}
    unknown = False
    for lines in offers:
        unknown = unknown or any(line.amount is None for line in lines)
        amount = sum((line.amount for line in lines if line.amount is not None), start=Decimal(0))
        unit = lines[0].unit
        if unit is not None and all(line.amount is not None for line in lines):
            known = most.get(unit.casefold())
            if known is None or known.amount is None or amount > known.amount:
                most[unit.casefold()] = Line(0, amount, unit)
    found = [*most.values(), *([Line(0, None, None)] if unknown else [])]
    return [replace(found[0], results=results), *found[1:]]
