"""An asset's table put into the text of a TOML manifest; comments, order, blank lines and line ends stay."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wan_cli.errors import UsageError
from wan_cli.text import one_line

if TYPE_CHECKING:
    from tomlkit.items import InlineTable, Table

BOM = "\ufeff"


def with_asset(text: str, name: str, fields: Mapping[str, Any], *, place: str, replace: bool) -> str:
    """Return ``text`` with the asset in it: as a new block at its end, or instead of the row with its id.

    ``place`` is the file's name, for messages. Raises ``UsageError`` where the text is no TOML, where the row comes
    from a matrix, and where it could not be written without changing anything else.
    """
    mark = BOM if text.startswith(BOM) else ""
    body = text.removeprefix(BOM)
    windows = "\r\n" in body and body.count("\n") == body.count("\r\n")
    plain = body.replace("\r\n", "\n") if windows else body
    try:
        before = tomllib.loads(plain)
        result = _replaced(plain, name, fields, place) if replace else _appended(plain, fields)
        after = tomllib.loads(result)
    except (ValueError, TypeError, RecursionError) as error:  # TOMLDecodeError and tomlkit's errors are ValueErrors
        raise UsageError(f"{place}: {one_line(str(error))}", hint=f"edit {place}") from error
    if after != _expected(before, name, fields, replace=replace):
        raise UsageError(
            f"{place}: {name} cannot be put there without changing something else",
            hint=f"move {place} away, or write the asset into it by hand",
        )
    return mark + (result.replace("\n", "\r\n") if windows else result)


def _expected(before: dict[str, Any], name: str, fields: Mapping[str, Any], *, replace: bool) -> dict[str, Any]:
    rows = list(before.get("asset", []))
    if replace:
        rows = [dict(fields) if row.get("id") == name else row for row in rows]
    else:
        rows.append(dict(fields))
    return {**before, "asset": rows}


def _appended(plain: str, fields: Mapping[str, Any]) -> str:
    import tomlkit
    from tomlkit.items import Array

    document = tomlkit.parse(plain)
    if isinstance(rows := document.get("asset"), Array):  # asset = [{…}]: no block can follow
        rows.append(_filled(tomlkit.inline_table(), fields))
        return str(tomlkit.dumps(document))
    block = tomlkit.document()
    assets = tomlkit.aot()
    assets.append(_filled(tomlkit.table(), fields))
    block.append("asset", assets)
    gap = "" if not plain.strip() else "\n" if plain.endswith("\n") else "\n\n"
    return plain + gap + str(tomlkit.dumps(block)).strip("\n") + "\n"


def _replaced(plain: str, name: str, fields: Mapping[str, Any], place: str) -> str:
    import tomlkit

    document = tomlkit.parse(plain)
    row = next((row for row in document.get("asset", ()) if row.get("id") == name), None)
    if row is None or "matrix" in row:
        raise UsageError(f"{place}: {name} comes from a matrix, and is no row of its own", hint="give it another --as")
    if tomlkit.dumps(document) != plain:  # tables out of order: tomlkit would move them
        raise UsageError(f"{place}: its blocks are not in one row", hint=f"put all [[asset]] of {place} together")
    for field in [field for field in row if field not in fields]:
        del row[field]
    body = row.value.body if hasattr(row.value, "body") else []
    after: list[Any] = []  # what follows the last field belongs to the next block
    while body and body[-1][0] is None:
        after.insert(0, body.pop())
    _filled(row, {field: value for field, value in fields.items() if row.get(field) != value})
    body.extend(after)
    return str(tomlkit.dumps(document))


def _filled(table: Table | InlineTable, fields: Mapping[str, Any]) -> Table | InlineTable:
    for field, value in fields.items():
        table[field] = _item(value)
    return table


def _item(value: Any) -> Any:
    """Return a value as TOML has it: a text of several lines as such, a table on one line."""
    import tomlkit

    if isinstance(value, str) and "\n" in value:
        return tomlkit.string(value, multiline=True)
    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        for name, inner in value.items():
            table[str(name)] = _item(inner)
        return table
    if isinstance(value, list | tuple):
        array = tomlkit.array()
        for inner in value:
            array.append(_item(inner))
        return array
    if value is None:
        msg = "null cannot stand in TOML"
        raise ValueError(msg)
    return value
