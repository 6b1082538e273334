"""What an answer's status and headers mean for the bytes that are already here.

Source: reliability.md section 3.5 (D03, D07, D10, D11) and 5; RFC 9110 sections 8.8.3 (strong validators), 13.1.5
(``If-Range``), 14.4 (``Content-Range``) and 10.2.3 (``Retry-After``).
"""

from __future__ import annotations

import re

import httpx

from wan_cli.dataclass import dataclass
from wan_cli.pattern import pattern

_ETAG = pattern(r'"[\x21\x23-\x7e]*"')
_RANGE = pattern(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
_UNSATISFIED = pattern(r"bytes \*/(\d{1,18})", re.ASCII | re.IGNORECASE)
_LENGTH = pattern(r"\d{1,18}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Span:
    """Bytes ``first``..``last`` of ``total`` (unknown: ``None``)."""

    first: int
    last: int
    total: int | None


def content_range(header: str | None) -> Span | None:
    """Return the span that a ``Content-Range`` names, or ``None`` where it is absent or makes no sense."""
    match = _RANGE.fullmatch((header or "").strip())
    if match is None:
        return None
    first, last = int(match[1]), int(match[2])
    total = None if match[3] == "*" else int(match[3])
    return Span(first, last, total) if first <= last and (total is None or last < total) else None


def unsatisfied_total(header: str | None) -> int | None:
    """Return the size that the ``Content-Range`` of a 416 names, or ``None``."""
    match = _UNSATISFIED.fullmatch((header or "").strip())
    return int(match[1]) if match else None


def content_length(headers: httpx.Headers) -> int | None:
    """Return the announced length of the body in bytes, or ``None`` where it is absent or not a plain number."""
    text = headers.get("content-length", "")
    return int(text) if _LENGTH.fullmatch(text) else None


@dataclass(slots=True)
class Resume:
    """What is known of the document that the part holds the beginning of.

    ``etag`` is its strong validator, without which nothing is continued; ``total`` its size in bytes, if announced.
    """

    etag: str | None = None
    total: int | None = None

    def headers(self, size: int) -> dict[str, str]:
        """Return the headers that ask for the bytes after ``size``, or none where it all has to come again."""
        if not size or self.etag is None:
            return {}
        return {"Range": f"bytes={size}-", "If-Range": self.etag}

    def forget(self) -> None:
        """Forget the document: the next attempt begins anew."""
        self.etag = self.total = None

    def begins(self, headers: httpx.Headers) -> None:
        """Take note of a whole document (status 200)."""
        etag = headers.get("etag", "").strip()
        self.etag = etag if _ETAG.fullmatch(etag) else None
        self.total = content_length(headers)

    def continues(self, headers: httpx.Headers, size: int) -> bool:
        """Say whether a partial answer (status 206) really goes on after ``size`` bytes of the same document."""
        span = content_range(headers.get("content-range"))
        if span is None or span.first != size or headers.get("etag", self.etag) != self.etag:
            return False
        if None not in (span.total, self.total) and span.total != self.total:
            return False
        if content_length(headers) not in (None, span.last - span.first + 1):
            return False
        self.total = self.total if span.total is None else span.total
        return True

    def complete(self, headers: httpx.Headers, size: int) -> bool:
        """Say whether a 416 means that the ``size`` bytes here are already all of it."""
        total = unsatisfied_total(headers.get("content-range"))
        return total == size and self.total in (None, size)
