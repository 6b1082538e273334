"""What a refusal complains about: the fields it names, in every envelope that servers and their frameworks use.

Source: contracts.md 6.1 and 6.2 (OpenAI's ``error.param``, FastAPI's ``detail[].loc``), and Prism's ``validation``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

from wan_cli.pattern import pattern

_STRANGE = pattern(
    r"unknown (param|field|arg)|unrecogni[sz]ed|extra (inputs|fields)|not permitted|additional propert"
    r"|unexpected (field|keyword|param|arg)|not a valid param|does not (support|accept) the param",
    re.IGNORECASE,
)
"""How servers say that they do not have a field at all."""
_MISSING = pattern(r"required|missing|not (been )?provided|at least one|no image", re.IGNORECASE)
_LARGEST = 65_536
"""Characters of a complaint that are read."""


class Complaints:
    """The complaints of one answer: each is the place it names, if any, and what it says."""

    def __init__(self, response: httpx.Response) -> None:
        text = response.text[:_LARGEST]
        try:
            data = json.loads(text)
        except (ValueError, RecursionError):
            data = None
        self._said = list(_faults(data)) or [("", text)]

    def of(self, field: str) -> str:
        """Return what is said about a field, "" where nothing is."""
        return " ".join(text for place, text in self._said if place == field or _names(text, field))

    def strange(self, field: str) -> bool:
        """Tell whether the server says that it does not have the field at all."""
        return bool(_STRANGE.search(self.of(field)))

    def missing(self, *fields: str) -> bool:
        """Tell whether the server says that one of the fields is missing."""
        return any(_MISSING.search(self.of(field)) for field in fields)


def _faults(data: Any) -> Iterator[tuple[str, str]]:
    if not isinstance(data, Mapping):
        return
    for listed in ("detail", "validation", "errors"):
        for fault in data[listed] if isinstance(data.get(listed), list) else ():
            if isinstance(fault, Mapping):
                yield _last(fault.get("loc") or fault.get("location")), _text(fault)
            else:
                yield "", str(fault)
    error = data.get("error")
    if isinstance(error, Mapping):
        yield str(error.get("param") or ""), _text(error)
    for name in ("error", "message", "detail"):
        if isinstance(data.get(name), str):
            yield "", data[name]


def _text(fault: Mapping[str, Any]) -> str:
    parts = [fault.get("msg"), fault.get("message"), fault.get("type")]
    return " ".join(part for part in parts if isinstance(part, str))


def _last(place: Any) -> str:
    """Return the field at the end of a place such as ``["body", "size"]`` or ``["body", "image", 0]``."""
    words = [word for word in place if isinstance(word, str)] if isinstance(place, list) else [place]
    return str(words[-1]) if words and words[-1] else ""


def _names(text: str, field: str) -> bool:
    """Tell whether a text names a field: in quotation marks, as ``a.field``, or as a word that no sentence has."""
    word = re.escape(field)
    if re.search(rf"['\"`.]{word}['\"`]", text) or re.search(rf"\w\.{word}(?![\w\[])", text):
        return True
    plain = rf"(?<!\w){word}(?![\w\[])"
    if "_" in field or "[" in field:
        return re.search(plain, text) is not None
    after = r"(is|are|file is) (required|missing|not|invalid|unknown)|(must|field)"
    return re.search(rf"(?i){plain} ({after})\b|(missing|invalid) {plain}", text) is not None
