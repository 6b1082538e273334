"""The bytes of a result on their way into its part file: caps, pace, length, and room for them.

Source: reliability.md section 2.4 (S10, S11), 3.3 (R14), 3.5 (D03-D06, D08, D10, D16), 3.7 (S03) and 5 (numbers).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, aclosing, suppress
from typing import TYPE_CHECKING, cast

import httpx

from wan_cli.dataclass import dataclass
from wan_cli.download.answer import Resume
from wan_cli.errors import DownloadFailed
from wan_cli.media import decode_b64
from wan_cli.publish import ensure_space
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.media import Sniffed
    from wan_cli.models import Kind, Output
    from wan_cli.publish import Part

MIB = 1024 * 1024
_HEAD = 512
"""Bytes of an error answer that are read."""
_SHOWN = 200
"""Characters of them that go into the message (reliability.md S13)."""


@dataclass(frozen=True)
class Limits:
    """Bytes, counts and seconds of a download (reliability.md section 5); tests divide them.

    ``read_stall_s`` is the longest silence; fewer than ``min_rate`` bytes a second over ``window_s`` is too slow.
    ``tries`` counts attempts, ``unusable_tries`` those that brought something that is no result.
    """

    image_bytes: int = 100 * MIB
    video_bytes: int = 2048 * MIB
    redirects: int = 5
    tries: int = 6
    unusable_tries: int = 3
    read_stall_s: float = 60.0
    min_rate: float = 1024.0
    window_s: float = 60.0
    wall_s: float = 1800.0
    video_wall_s: float = 7200.0
    backoff_cap_s: float = 30.0
    retry_after_cap_s: float = 120.0
    connect_s: float = 10.0

    def cap(self, kind: Kind) -> int:
        """Return the most bytes that a result of this kind may have."""
        return self.image_bytes if kind == "image" else self.video_bytes

    def wall(self, kind: Kind) -> float:
        """Return the seconds that a result of this kind may take, waiting included."""
        return self.wall_s if kind == "image" else self.video_wall_s


class Again(Exception):
    """An attempt failed, and another may not. ``wait`` is in seconds where the server says how long.

    ``unusable``: bytes came, and they are no result.
    """

    def __init__(
        self, reason: str, *, wait: float | None = None, status: int | None = None, unusable: bool = False
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.wait = wait
        self.status = status
        self.unusable = unusable


def inline_bytes(output: Output, cap: int) -> bytes | None:
    """Return the bytes of a result that came inside the answer, or ``None`` where it has an address.

    Raises ``DownloadFailed`` for what is not base64, or is larger than ``cap`` bytes.
    """
    text = output.b64
    if text is None:
        text = (output.url or "").lstrip()
        if text[:5].lower() != "data:":
            return None
    if len(text) // 4 * 3 > cap + cap // 4:  # line breaks may be a part of it
        raise DownloadFailed(_too_large(cap))
    try:
        data, _ = decode_b64(text)
    except ValueError as error:
        said = f"the result inside the answer cannot be decoded: {one_line(str(error))}; its text is kept in the ledger"
        raise DownloadFailed(said) from error
    if len(data) > cap:
        raise DownloadFailed(_too_large(cap))
    return data


def _too_large(cap: int) -> str:
    return f"the result is larger than {cap:,} bytes"


def _chunks(response: httpx.Response) -> AbstractAsyncContextManager[AsyncIterator[bytes]]:
    """Return the body as it comes, to be closed early or late; what was read before (``with_key``) is one chunk."""
    chunks: AsyncIterator[bytes] = response.aiter_bytes() if response.is_closed else response.aiter_raw()
    return aclosing(cast("AsyncGenerator[bytes]", chunks))


async def head_of(response: httpx.Response, within: float) -> str:
    """Return the first characters of what an error answer says, on one line and safe to show.

    The status counts for more than the words: what has not come ``within`` so many seconds is done without.
    """
    head = b""
    with suppress(TimeoutError, httpx.TransportError):
        async with asyncio.timeout(within):
            async with _chunks(response) as chunks:
                async for chunk in chunks:
                    head += chunk
                    if len(head) >= _HEAD:
                        break
    return one_line(head[:_HEAD].decode("utf-8", "replace"), _SHOWN) or "no reason given"


class Pace:
    """Measures how fast bytes come; ``now`` is in seconds."""

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._limits = limits
        self._now = now
        self._since = now()
        self._bytes = 0

    def count(self, size: int) -> None:
        """Count ``size`` bytes; raise :class:`Again` where the last window brought too few (D06)."""
        self._bytes += size
        elapsed = self._now() - self._since
        if elapsed < self._limits.window_s:
            return
        if self._bytes < self._limits.min_rate * elapsed:
            raise Again(f"too slow: {self._bytes:,} bytes in {elapsed:.0f} s")
        self._since += elapsed
        self._bytes = 0


class Inflow:
    """A part file and what is known of the document that flows into it, over several attempts."""

    def __init__(
        self, part: Part, kind: Kind, limits: Limits, now: Callable[[], float],
        progress: Callable[[int, int | None], None],
    ) -> None:  # fmt: skip
        self.part = part
        self.resume = Resume()
        self._cap = limits.cap(kind)
        self._limits = limits
        self._now = now
        self._progress = progress

    def restart(self) -> None:
        """Throw away what is here: the next bytes are the first."""
        self.resume.forget()
        if self.part.size:
            self.part.truncate()

    async def take(self, response: httpx.Response) -> None:
        """Write the body behind what is here.

        Raises ``DownloadFailed`` at the cap, ``WriteFailed`` where the disk has no room, and :class:`Again` for a slow
        body or a short one.
        """
        total = self.resume.total
        if total is not None and total > self._cap:
            raise DownloadFailed(f"{_too_large(self._cap)}: {total:,} announced")
        if total is not None:
            ensure_space(self.part.target.parent, total - self.part.size)
        pace = Pace(self._limits, self._now)
        async with _chunks(response) as chunks:
            async for chunk in chunks:
                if self.part.size + len(chunk) > self._cap:
                    raise DownloadFailed(_too_large(self._cap))
                self.part.write(chunk)
                self._progress(self.part.size, total)
                pace.count(len(chunk))
        size = self.part.size
        if total is not None and size != total:
            if size > total:
                self.restart()
            raise Again(f"the body ended after {size:,} of {total:,} bytes")

    def checked(self) -> Sniffed:
        """Return what the complete part is; raise :class:`Again` where it is empty, a page or broken (D04, D16)."""
        try:
            return self.part.check()
        except DownloadFailed as error:
            if self.part.suspect is not None:  # too many pixels: kept, and the same bytes would come again
                raise
            self.restart()
            raise Again(error.message, unusable=True) from error
