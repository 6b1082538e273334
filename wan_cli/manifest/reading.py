"""From rows to assets: defaults laid under, matrices multiplied out, references read, everything checked."""

from __future__ import annotations

import itertools
import math
import unicodedata
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NoReturn, cast
from urllib.parse import urlsplit

from pydantic import ValidationError

from wan_cli.dataclass import dataclass
from wan_cli.errors import UsageError
from wan_cli.manifest.assets import MEDIA, NOTHING, Asset, Manifest, Reference
from wan_cli.manifest.graph import order
from wan_cli.manifest.jail import inside, text_inside
from wan_cli.manifest.shape import ID, Axes, Fields, Row, meant
from wan_cli.manifest.source import DEFAULTS, MOST_ASSETS, Rows, at, rows_of
from wan_cli.models import Verb
from wan_cli.pattern import pattern
from wan_cli.text import one_line

OWN_NAMES = frozenset({"id", "task", "index", "ext"})
"""Names that a matrix cannot have: output templates know them."""

_ID = pattern(ID)
_IN_BRACES = pattern(r"\{([A-Za-z_][A-Za-z0-9_]{0,31})\}")
_PROMPTS = ("prompt", "prompt_file")
_KINDS = frozenset({"str", "constrained-str", "_Named", "bool", "int", "float"})
"""What pydantic puts into a place for the members of a union."""


def read(path: Path, root: Path | None = None) -> Manifest:
    """Read a manifest; nothing outside ``root`` (default: its folder) is opened.

    Raises ``UsageError`` with file, line and field; ``ConfigInvalid`` where YAML's extra is missing.
    """
    path = path.absolute()
    place = (root or path.parent).absolute()
    if not place.is_dir():
        raise UsageError(f"--root {one_line(str(place))} is no folder", hint=f"mkdir {place}")
    rows = rows_of(path)
    reader = _Reader(path, place, rows)
    assets: dict[str, Asset] = {}
    for asset in reader.assets():
        if (before := assets.setdefault(asset.id, asset)) is not asset:
            where = f" in line {before.line}" if before.line not in (0, asset.line) else ""
            twice = f"{asset.id}: id: it is used before{where}"
            several = '; put the names of the matrix into it: id = "icon-{animal}"' if before.line == asset.line else ""
            raise at(path, asset.line, twice + several)
    manifest = Manifest(path=path, root=place, assets=assets)
    for asset in assets.values():
        for need in asset.needs:
            if need not in assets:
                field = next(name for name, found in asset.references.items() if Reference("asset", need) in found)
                raise at(path, asset.line, f"{asset.id}: {field}: @{one_line(need)} is no asset of this manifest")
    order(manifest)
    return manifest


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where something stands in the file: ``refuse(why)`` makes the error about one field of one asset."""

    path: Path
    rows: Rows
    number: int
    name: str

    def refuse(self, field: str, why: str) -> UsageError:
        line = self.rows.line(self.number, field.partition(".")[0])
        return at(self.path, line, f"{one_line(self.name)}: {one_line(field)}: {why}")


class _Reader:
    """Makes the assets of a file, in its order."""

    def __init__(self, path: Path, root: Path, rows: Rows) -> None:
        self.path = path
        self.root = root
        self.rows = rows
        self._real: dict[str, str] = {}
        spot = _Spot(path, rows, DEFAULTS, "defaults")
        self.base = _underscored(rows.defaults, spot)
        plain = {name: value for name, value in self.base.items() if not _has_names(value)}
        self.base_plain = _checked(Fields, plain, spot)
        self.spot = spot

    def assets(self) -> Iterator[Asset]:
        """Yield every asset. Raises ``UsageError``; too many of them before the first is made."""
        for column in self.rows.columns:
            if column not in Row.model_fields and column != "n":
                raise at(self.path, 1, f"{one_line(column)}: {meant(column)}")
        raws, total = [], 0
        for number, row in enumerate(self.rows.assets):
            spot = _Spot(self.path, self.rows, number, str(row.get("id", "asset")))
            raw = _underscored(row, spot)
            axes = _axes(raw.pop("matrix", None), spot)
            total += math.prod(len(values) for values in axes.values())
            if total > MOST_ASSETS:
                raise at(self.path, self.rows.lines[number], f"{spot.name}: more than {MOST_ASSETS:,} assets")
            raws.append((spot, raw, axes))
            self.rows.assets[number] = raw  # not two of each of ten thousand
        raws.reverse()
        while raws:
            spot, raw, axes = raws.pop()
            said = self._with_defaults(raw)
            if not axes:
                yield self._asset(said, raw, spot)
                continue
            for values in itertools.product(*axes.values()):
                names = {name: _shown(value) for name, value in zip(axes, values, strict=True)}
                yield self._asset(_filled(said, names), raw, spot)

    def _with_defaults(self, raw: dict[str, Any]) -> dict[str, Any]:
        """Lay an asset's own fields over the defaults: its prompt replaces theirs, its parameters join theirs."""
        base = self.base
        if "prompt" in raw or "prompt_file" in raw:
            base = {name: value for name, value in base.items() if name not in _PROMPTS}
        said = {**base, **raw}
        if isinstance(base.get("param"), dict) and isinstance(raw.get("param"), dict):
            said["param"] = {**base["param"], **raw["param"]}
        return said

    def _asset(self, said: dict[str, Any], raw: Mapping[str, Any], spot: _Spot) -> Asset:
        name = said.get("id")
        if isinstance(name, str):
            name = said["id"] = unicodedata.normalize("NFC", name)
            if not _ID.fullmatch(name):
                raise spot.refuse(
                    "id", f"{one_line(name)}: a letter or digit, then letters, digits, '.', '_' and '-', at most 100"
                )
            spot = _Spot(spot.path, spot.rows, spot.number, name)
        fields = _checked(Row, said, spot, self.spot if said.keys() - raw.keys() else None, raw)
        del fields["id"]
        if "provider" in fields and fields["provider"] == self.base_plain.get("provider"):
            fields["provider"] = self.base_plain["provider"]  # one list for ten thousand
        references: dict[str, tuple[Reference, ...]] = {}
        for field in MEDIA:
            if (value := fields.pop(field, None)) is not None:
                listed = value if isinstance(value, list) else [value]
                references[field] = tuple(_reference(one, self.root, field, spot) for one in listed)
        if (file := fields.pop("prompt_file", None)) is not None:
            fields["prompt"] = text_inside(self.root, file, lambda why: spot.refuse("prompt_file", why))
        if "prompt" not in fields:
            raise spot.refuse("prompt", "it is missing")
        fields["prompt"] = fields["prompt"].replace("\r\n", "\n").replace("\r", "\n").strip()
        if not fields["prompt"]:
            raise spot.refuse("prompt", "it is empty")
        return _whole(str(name), fields, references, spot)


def _whole(name: str, fields: dict[str, Any], references: dict[str, tuple[Reference, ...]], spot: _Spot) -> Asset:
    synchronous = [fields.pop(field) is (field == "sync") for field in ("sync", "async_") if field in fields]
    if synchronous:
        fields["route"] = "sync" if synchronous[0] else "async"
    pictures = len(references.get("images", ()))
    verb = cast("Verb", fields.pop("verb", None) or ("generate", "edit", "fuse")[min(pictures, 2)])
    if verb == "generate" and pictures:
        raise spot.refuse("images", 'generate takes none; verb = "edit" or "fuse"')
    line = spot.rows.line(spot.number)
    return Asset(id=name, verb=verb, fields=dict(sorted(fields.items())), references=references or NOTHING, line=line)


def _underscored(raw: Mapping[str, Any], spot: _Spot) -> dict[str, Any]:
    """Take ``prompt-file`` for ``prompt_file``, and ``n`` for ``count``, as the command line has both."""
    said: dict[str, Any] = {}
    for name, value in raw.items():
        known = "count" if name == "n" else name.replace("-", "_")
        if known in said:
            raise spot.refuse(name, f"{known} is said twice")
        said[known] = value
    return said


def _axes(value: Any, spot: _Spot) -> dict[str, list[Any]]:
    if value is None:
        return {}
    axes: dict[str, list[Any]] = _checked(Axes, {"matrix": value}, spot)["matrix"]
    for name in axes.keys() & OWN_NAMES:
        raise spot.refuse(f"matrix.{name}", f"the name is taken: output templates know {{{name}}}")
    return axes


def _checked(
    shape: type[Fields | Axes], said: Mapping[str, Any], spot: _Spot, base: _Spot | None = None,
    raw: Mapping[str, Any] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Hold values against their shape. ``base`` is where those stand that are not in ``raw``."""
    try:
        found = shape.model_validate(said)
    except ValidationError as error:
        first = _telling(error.errors(include_url=False, include_input=False))
        _refuse(first, base if base and raw is not None and first["loc"][:1] and first["loc"][0] not in raw else spot)
    return {name: getattr(found, name) for name in found.model_fields_set if getattr(found, name) is not None}


def _telling(errors: list[Any]) -> Any:
    """Return the error that says most: an unknown name, or of one field the one that looked deepest into it."""
    named = next((one for one in errors if one["type"] == "extra_forbidden"), errors[0])
    return max((one for one in errors if one["loc"][:1] == named["loc"][:1]), key=lambda one: len(one["loc"]))


def _refuse(first: Any, spot: _Spot) -> NoReturn:
    names = [str(part) for part in first["loc"] if part not in _KINDS]
    field = ".".join(names) or "prompt_file"
    said = first["msg"].removeprefix("Value error, ")
    why = meant(field) if first["type"] == "extra_forbidden" else said[:1].lower() + said[1:]
    raise spot.refuse(field, why) from None


def _has_names(value: Any) -> bool:
    return isinstance(value, str) and bool(_IN_BRACES.search(value))


def _filled(value: Any, names: Mapping[str, str]) -> Any:
    """Replace the names of the matrix in every text; other braces, and every ``$``, stay as they are."""
    if isinstance(value, str):
        return _IN_BRACES.sub(lambda found: names.get(found[1], found[0]), value) if "{" in value else value
    if isinstance(value, dict):
        return {name: _filled(inner, names) for name, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, names) for inner in value]
    return value


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _reference(value: Any, root: Path, field: str, spot: _Spot) -> Reference:
    text = value if isinstance(value, str) else f"@{value.asset}"
    if text.startswith("@"):
        return Reference("asset", unicodedata.normalize("NFC", text[1:]))
    if "://" in text:
        try:
            parts = urlsplit(text)
            good = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc
        except ValueError:
            good = False
        if not good:
            raise spot.refuse(field, f"{one_line(text)}: an address is https://, without a user name")
        return Reference("url", text)
    return Reference("file", inside(root, text, lambda why: spot.refuse(field, why)))
