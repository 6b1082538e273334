"""HTTP/1.1 over a connection, one request after another: h11 says what goes out and what an answer is.

A body of known length is counted and does not pass through h11, which would copy each of its bytes twice.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import h11
import httpx

if TYPE_CHECKING:
    from wan_cli.wire.stream import Stream

HEAD_MOST = 100 * 1024
"""Bytes of an answer's head, or of a chunk's, that are read before it is called none (as httpcore has it)."""
HEAD_PIECE = 4 * 1024
"""Bytes that h11 is given at once while it looks for the end of a head; what is behind it need not be copied."""
TOGETHER = 64 * 1024
"""Bytes of a body's first piece that leave in one call with the head."""
_BODILESS = frozenset({204, 304})
_SWITCHING = 101
_DISCONNECTED = "Server disconnected without sending a response."


class Connection:
    """Asks one thing after another over a stream. ``expires`` is when it may not be used again, in the loop's time."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        self.expires = 0.0
        self._protocol: h11.Connection
        self._rest = b""
        """What has come and was not given to h11."""
        self._length: int | None = None
        """What an answer's body has, where it is known from the head."""
        self._whole = False
        self._more = False
        """Bytes came behind the answer: the next request would take them for its own answer."""

    @property
    def reusable(self) -> bool:
        """Whether all was sent and all has come, no more than that, and both sides keep the connection."""
        return self._whole and not self._more and self._protocol.our_state is h11.DONE  # else it is MUST_CLOSE

    async def ask(
        self, method: str, target: bytes, headers: Sequence[tuple[bytes, bytes]], body: AsyncIterable[bytes],
        *, write_s: float | None, read_s: float | None, leaves: Callable[[], None] | None = None,
    ) -> h11.Response:  # fmt: skip
        """Send a request and return the head of its answer; ``leaves`` is called before its first byte is written.

        Raises ``httpx.LocalProtocolError`` for a request that is none, ``RemoteProtocolError`` for such an answer, and
        what a stream raises. A server may answer before it has read everything, and close: its answer counts.
        """
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=HEAD_MOST)
        self._rest, self._whole, self._more = b"", False, False
        try:
            head = self._protocol.send(h11.Request(method=method, target=target, headers=headers))  # type: ignore[arg-type] # lists do
            with suppress(httpx.WriteError):
                await self._write(head or b"", body, write_s, leaves)
        except h11.LocalProtocolError as error:
            raise httpx.LocalProtocolError(str(error)) from error
        while True:
            event = await self._event(read_s)
            if isinstance(event, h11.Response):
                self._length = _length(method, event)
                return event
            if event is h11.PAUSED or event.status_code == _SWITCHING:
                raise httpx.RemoteProtocolError("the server goes on in another protocol, which nobody asked for")

    async def _write(
        self, waiting: bytes, body: AsyncIterable[bytes], within: float | None, leaves: Callable[[], None] | None
    ) -> None:
        async for piece in body:
            if not piece:  # as the body of a request without one
                continue
            data = self._protocol.send(h11.Data(data=piece)) or b""
            if not waiting:
                await self.stream.write(data, within)
                continue
            if leaves:
                leaves()
            if len(data) > TOGETHER:
                await self.stream.write(waiting, within)
                await self.stream.write(data, within)
            else:
                await self.stream.write(waiting + data, within)
            waiting = b""
        end = self._protocol.send(h11.EndOfMessage()) or b""
        if waiting and leaves:
            leaves()
        if waiting or end:
            await self.stream.write(waiting + end, within)

    async def _event(self, within: float | None) -> Any:
        """Return what h11 makes of the bytes that have come and, where it takes more of them, of the next."""
        protocol = self._protocol
        try:
            while (event := protocol.next_event()) is h11.NEED_DATA:
                data = self._rest or await self.stream.read(within)
                if protocol.their_state is h11.SEND_RESPONSE:
                    if not data:
                        raise httpx.RemoteProtocolError(_DISCONNECTED)
                    data, self._rest = data[:HEAD_PIECE], data[HEAD_PIECE:]
                else:
                    self._rest = b""
                protocol.receive_data(data)
        except h11.RemoteProtocolError as error:
            raise httpx.RemoteProtocolError(str(error)) from error
        return event

    @property
    def surplus(self) -> bytes:
        """What came behind the head of an answer, or behind its end."""
        return self._protocol.trailing_data[0] + self._rest

    async def body(self, within: float | None) -> AsyncIterator[bytes]:
        """Yield the answer's body as it comes. Raises ``httpx.RemoteProtocolError`` and what a stream raises."""
        if self._length is None:
            while isinstance(event := await self._event(within), h11.Data):
                yield bytes(event.data)
            self._whole = self._protocol.their_state is h11.DONE
            self._more = bool(self.surplus)
            return
        missing, data, self._rest = self._length, self.surplus, b""
        while True:
            self._more = len(data) > missing
            missing -= len(data)
            if missing <= 0:
                self._whole = True
                if data:
                    yield data[:missing] if missing else data
                return
            if data:
                yield data
            data = await self.stream.read(within)
            if not data:
                got = self._length - missing
                raise httpx.RemoteProtocolError(
                    "peer closed connection without sending complete message body "
                    f"(received {got} bytes, expected {self._length})"
                )


def _length(method: str, head: h11.Response) -> int | None:
    """Return how long a body is, where the head says it and h11 has nothing to add (RFC 9112 section 6.3)."""
    if method == "HEAD" or head.status_code in _BODILESS:
        return None
    found = None
    for name, value in head.headers:  # h11 has checked the number
        if name == b"transfer-encoding":
            return None
        if name == b"content-length":
            found = int(value)
    return found
