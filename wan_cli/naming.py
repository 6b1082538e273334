"""Where results go: templates, slugs, names that every system takes, and targets checked before anything is bought.

Windows' rules for names hold everywhere, so that a folder made here can be checked out there (interface.md, section 9;
reliability.md S6, S7, S15). What the user typed is refused where it breaks them; what comes from a template's values
(prompt, model, ids) is changed.

A template is an absolute path as text. Fields that are known at submit are filled in then; those that are left
(``{index}``, ``{ext}``, and any without a value yet) are filled in by :func:`final_paths`. Its name ends either in
``{ext}``, or in the media extension that the user typed, which is kept letter for letter where the bytes agree.
"""

from __future__ import annotations

import os
import re
import string
import unicodedata
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from wan_cli.dataclass import dataclass
from wan_cli.errors import UsageError
from wan_cli.pattern import pattern

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FIELDS = ("id", "verb", "provider", "model", "seed", "index", "date", "slug", "ext")
DEFAULT = "{slug}-{id}{ext}"
SLUG_BYTES = 60
STEM_BYTES = 120
"""Bytes of UTF-8 before the extension (reliability.md S15)."""
NAME_BYTES = 255
"""Bytes of UTF-8 in a name: the limit of nearly every file system."""

TRUE_EXTENSIONS = {
    ".png": ".png", ".jpg": ".jpg", ".jpeg": ".jpg", ".webp": ".webp", ".gif": ".gif", ".bmp": ".bmp",
    ".avif": ".avif", ".mp4": ".mp4", ".mov": ".mov", ".webm": ".webm",
}  # fmt: skip
"""Each extension that a user may type for a result, and the one wan itself gives that format."""

_FORBIDDEN = pattern(r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\ud800-\udfff\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]')
_RESERVED = pattern(r"(?i:con|prn|aux|nul|conin\$|conout\$|(?:com|lpt)[1-9\u00b9\u00b2\u00b3])\Z")
_SEPARATORS = tuple({"/", os.sep})
_LATE = frozenset({"index", "ext"})
_SAMPLE = {"index": 1, "ext": ".webm", "id": "xxxxxxxxxxxx"}
_INDEX_SPEC = pattern(r"0[1-9]", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A resolved ``-o``: the template that goes into ``Target``, and the extension wished for (``.png``), if any."""

    template: str
    wanted_ext: str | None = None


def slug(prompt: str) -> str:
    """Return the prompt's letters and digits, lower-cased, NFC, words joined by ``-``, in at most 60 bytes.

    Marks stay with the letter they belong to: without them, most Indic and Thai words would be other words.
    """
    text = unicodedata.normalize("NFC", unicodedata.normalize("NFC", prompt).lower())
    words, word = [], ""
    for char in text:
        if char.isalnum() or (word and unicodedata.category(char).startswith("M")):
            word += char
        elif word:
            words.append(word)
            word = ""
    words.append(word)
    kept = ""
    for part in filter(None, words):
        longer = f"{kept}-{part}" if kept else part
        if len(longer.encode()) > SLUG_BYTES:
            return kept or _cut(part, SLUG_BYTES) or "untitled"
        kept = longer
    return kept or "untitled"


def _cut(text: str, size: int) -> str:
    """Return the longest beginning of ``text`` in at most ``size`` bytes that cuts no character and loses no mark."""
    kept = text.encode()[:size].decode(errors="ignore")
    rest = text[len(kept) :]
    while rest and kept and unicodedata.combining(rest[0]):
        kept, rest = kept[:-1], kept[-1] + rest
    return kept


def fault(name: str) -> str | None:
    """Return why one part of a path cannot be a name on every system, or ``None``."""
    if match := _FORBIDDEN.search(name):
        return f"the character {match[0]!a} is not allowed in a name"
    if not name or name[-1] in ". ":
        return "a name may not be empty, nor end in a dot or a blank"
    base = name.split(".", 1)[0].rstrip()
    if _RESERVED.match(base):
        return f"{base} is a device's name on Windows"
    if len(_stem(name).encode()) > STEM_BYTES:
        return f"a name may have at most {STEM_BYTES} bytes before its extension"
    if len(name.encode()) > NAME_BYTES:
        return f"a name may have at most {NAME_BYTES} bytes"
    return None


def safe_component(name: str) -> str:
    """Return the nearest name without a fault: characters replaced by ``-``, ends trimmed, cut to length."""
    if fault(name) is None:
        return name
    clean = _FORBIDDEN.sub("-", unicodedata.normalize("NFC", name))
    dot = len(_stem(clean))
    clean = _cut(clean[:dot], STEM_BYTES - 1) + _cut(clean[dot:], NAME_BYTES - STEM_BYTES)
    while fault(clean := _unreserved(clean)):
        clean = clean[:-1] or "untitled"
    return clean


def _stem(name: str) -> str:
    return name.rpartition(".")[0] or name


def _unreserved(name: str) -> str:
    """Put ``-`` after a device's name: ``con.png`` becomes ``con-.png``."""
    base = name.split(".", 1)[0]
    return f"{base.rstrip()}-{name[len(base) :]}" if _RESERVED.match(base.rstrip()) else name


def parse_template(text: str, fields: Sequence[str] = FIELDS) -> frozenset[str]:
    """Return the fields that a template uses. Raises ``UsageError`` for one that cannot be used.

    ``{index:03}`` pads with zeros; no other field takes a format, a conversion, an attribute or an index. ``{{`` and
    ``}}`` are literal braces.
    """
    listed = " ".join(f"{{{name}}}" for name in fields)
    hint = "wan help templates"
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError as error:
        raise UsageError(f"the output template {text!r} cannot be read: {error}", hint=hint) from error
    used = [name for _, name, _, _ in parts if name is not None]
    for _, name, spec, conversion in parts:
        if name is not None and name not in fields:
            message = f"the output template {text!r} has an unknown field {{{name}}}; there are {listed}"
            raise UsageError(message, hint=hint)
        if conversion or (spec and not (name == "index" and _INDEX_SPEC.fullmatch(spec))):
            raise UsageError(
                f"the output template {text!r} formats {{{name}}}: only {{index}} can be, with zeros ({{index:03}})",
                hint=hint,
            )
    if "ext" in used and not (used.count("ext") == 1 and text.endswith("{ext}")):
        raise UsageError(f"the output template {text!r} has {{ext}} elsewhere than at its end", hint=hint)
    return frozenset(used)


def plan(
    output: str | None, *, cwd: str, values: Mapping[str, object], count: int = 1, fields: Sequence[str] = FIELDS
) -> Plan:
    """Resolve ``-o`` (``None``, a folder, a file or a template; not ``-``) against the absolute folder ``cwd``.

    ``values`` are what is known now; fields without a value stay in the template. ``count`` is how many results are
    expected in all: their numbers count into the names' lengths. Nothing is expanded: no ``~``, no ``$``. Folders that
    exist are taken as they are. Raises ``UsageError`` for a bad template, or a name with a :func:`fault`.
    """
    if output == "":
        raise UsageError("-o is empty", hint="give a file, a folder/ or a template such as '{slug}-{id}{ext}'")
    if output is None or os.path.isdir(os.path.join(cwd, output)):  # noqa: PTH112, PTH118 - false for odd names
        base, rest = Path(cwd, output or ""), DEFAULT
    else:
        folder = output.endswith(_SEPARATORS) or PurePath(output).name == ".."
        base, rest = Path(cwd), f"{output}/{DEFAULT}" if folder else output
    parse_template(rest, fields)
    parts = list(PurePath(rest).parts)
    if PurePath(rest).anchor:
        base, parts = Path(base, parts[0]), parts[1:]
    while len(parts) > 1 and "{" not in parts[0] and (parts[0] == ".." or os.path.isdir(base / parts[0])):  # noqa: PTH112
        base, parts = base / parts[0], parts[1:]
    typed = _typed_extension(parts[-1])
    if not typed and not parts[-1].endswith("{ext}"):
        parts[-1] += "{ext}"
    filled = [part if part == ".." else _fill(part, values) for part in parts]
    template = str(Path(_escape(str(base)), *filled))
    _refuse_faults(filled, template, count)
    return Plan(template=template, wanted_ext=TRUE_EXTENSIONS.get(typed.lower()))


def _typed_extension(name: str) -> str:
    """Return the media extension as typed (``.JPEG``), or an empty string."""
    suffix = PurePath(name).suffix
    return suffix if suffix.lower() in TRUE_EXTENSIONS else ""


def _escape(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")


def _value(value: object) -> str:
    """Return a value as a piece of a name: it can bring no separator, no ``..``, and no option's dash in front."""
    text = _FORBIDDEN.sub("-", unicodedata.normalize("NFC", "none" if value is None else str(value)))
    text = re.sub(r"^[. ]+|[. ]+$", "-", text) or "none"
    text = "".join(char if _storable(char) else "-" for char in text)
    return f"_{text[1:]}" if text.startswith("-") else text


def _storable(char: str) -> bool:
    """Tell whether this process can spell a character in a name: with ``LANG=C`` it may know ASCII only (row O06)."""
    try:
        os.fsencode(char)
    except UnicodeEncodeError:
        return False
    return True


def _fill(part: str, values: Mapping[str, object]) -> str:
    """Put the known values into one part of a template. Raises ``UsageError`` for a fault that the user typed."""
    text, known, unknown = "", False, False
    for literal, name, spec, _ in string.Formatter().parse(part):
        text += _escape(literal)
        if name is not None and name in values and name not in _LATE:
            text, known = text + _escape(_value(values[name])), True
        elif name is not None:
            text, unknown = f"{text}{{{name}{':' if spec else ''}{spec}}}", unknown or name not in _LATE
    if not known and not unknown and (why := fault(_render(text, _SAMPLE))):
        raise UsageError(f"{part.removesuffix('{ext}')!r} cannot be a name: {why}", hint="give -o another name")
    return text if "{" in text.replace("{{", "") else _escape(_unreserved(_render(text, {})))


def _render(part: str, values: Mapping[str, object]) -> str:
    """Fill in every field of one part; one without a value reads ``none``."""
    text = ""
    for literal, name, spec, _ in string.Formatter().parse(part):
        if name == "ext":
            text += literal + str(values[name])
        elif name == "index":
            text += literal + format(int(str(values[name])), spec or "")
        else:
            text += literal + ("" if name is None else _value(values.get(name)))
    return text


def _refuse_faults(filled: Sequence[str], template: str, count: int) -> None:
    """Find out before buying what the longest names will be. Raises ``UsageError``."""
    try:
        template.encode()
    except UnicodeEncodeError as error:
        raise UsageError("the folder's name is not valid UTF-8", hint="give another folder with -o") from error
    last = _number(filled[-1], count, count, _indexed(template))
    for part in [*filled[:-1], last]:
        if part != ".." and (why := fault(_unreserved(_render(part, {**_SAMPLE, "index": count})))):
            raise UsageError(f"{part!r} cannot be a name: {why}", hint="give -o a shorter or plainer name")


def _indexed(template: str) -> bool:
    return any(name == "index" for _, name, _, _ in string.Formatter().parse(template))


def _number(name: str, number: int, total: int, indexed: bool) -> str:  # noqa: FBT001 - private
    """Put ``-NUMBER`` before the extension of a name template, where there are several results and no ``{index}``."""
    if indexed or total < 2:  # noqa: PLR2004 - several
        return name
    end = "{ext}" if name.endswith("{ext}") else _typed_extension(name)
    return f"{name.removesuffix(end)}-{number}{end}"


def final_paths(
    template: str, count: int, ext: str, *, first: int = 1, total: int | None = None,
    values: Mapping[str, object] | None = None,
) -> list[Path]:  # fmt: skip
    """Return the paths of ``count`` results whose true extension is ``ext`` (``.png``).

    ``first`` is the number of the first and ``total`` that of all (both count over the tasks of one ``-n``); ``values``
    fill the fields that were unknown at :func:`plan`. It never fails: what was paid for gets a name.
    """
    parts = PurePath(template).parts
    last, typed = parts[-1], _typed_extension(parts[-1])
    if typed and TRUE_EXTENSIONS[typed.lower()] != ext:
        last = last.removesuffix(typed) + "{ext}"
    several = max(total or count, first + count - 1)
    paths = []
    for number in range(first, first + count):
        known = {**(values or {}), "index": number, "ext": ext}
        names = [_final(part, known) for part in parts[:-1]]
        paths.append(Path(*names, safe_component(_render(_number(last, number, several, _indexed(template)), known))))
    return paths


def _final(part: str, values: Mapping[str, object]) -> str:
    """Render a folder's name; only what came from a value is ever changed."""
    name = _render(part, values)
    return name if _escape(name) == part else safe_component(name)
