"""Refusals in every envelope that providers and their relays use (contracts.md 6.3, rule 5)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wan_cli.pattern import pattern


def _text(value: Any) -> str | None:
    """Return a code or an id as text: it may be a string, a number or null; an empty one says nothing."""
    return None if value is None or value == "" or isinstance(value, (dict, list)) else str(value)


_IN_MESSAGE = pattern(r"\(request id: ([A-Za-z0-9_-]+)\)")
_REQUEST_ID = pattern(r"req[_-][A-Za-z0-9_-]+|[0-9A-Fa-f]{8}(-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}")
"""What Modelverse's gateway writes into ``param``, which is a parameter's name elsewhere (contracts.md 2.6)."""


def read_error(data: Mapping[str, Any]) -> tuple[str | None, str, str | None] | None:
    """Return code, message and request id of the first error form that fits."""
    error, detail = data.get("error"), data.get("detail")
    outer_id = _text(data.get("request_id")) or _text(data.get("requestId"))
    if isinstance(error, Mapping):
        message = _text(error.get("message")) or ""
        inner = _text(error.get("requestId")) or _text(error.get("request_id"))
        param = _text(error.get("param")) or ""
        inner = inner or (param if _REQUEST_ID.fullmatch(param) else None)
        quoted = _IN_MESSAGE.search(message)
        code = _text(error.get("code")) or _text(error.get("type"))
        return code, message, inner or outer_id or (quoted[1] if quoted else None)
    if isinstance(error, str) and error:
        return None, error, outer_id
    if data.get("code") is not None and isinstance(data.get("message"), str):
        return _text(data["code"]), data["message"], outer_id
    if isinstance(detail, str) and detail:
        return None, detail, outer_id
    if isinstance(detail, list) and detail:
        return None, "; ".join(str(d.get("msg", d)) if isinstance(d, Mapping) else str(d) for d in detail), outer_id
    if data.get("success") is False:
        return None, _text(data.get("message")) or "the provider reports no success", outer_id
    return None
