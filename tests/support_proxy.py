"""A proxy of raw sockets: it forwards plain requests, tunnels CONNECT, and can want a password or say no."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

USER, PASSWORD = "ann", "canary-proxy-pass"
ENDS_S = 5.0


class Proxy:
    """``heads`` are what clients asked it, ``refusal`` what it says instead of doing it, ``silent`` says nothing."""

    def __init__(self, refusal: bytes = b"", *, silent: bool = False) -> None:
        self.refusal = refusal
        self.silent = silent
        self.heads: list[str] = []
        self._stopping = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self.url = f"http://{USER}:{PASSWORD}@127.0.0.1:{self._listener.getsockname()[1]}"
        self.shown = self.url.replace(f"{USER}:{PASSWORD}", "***")

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._stopping.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(ENDS_S)

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                sock, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(sock,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError):
            head, _, rest = _head(sock).partition(b"\r\n\r\n")
            lines = head.decode("latin-1").split("\r\n")
            self.heads.append(head.decode("latin-1"))
            if self.silent:
                self._stopping.wait(ENDS_S)
                return
            if self.refusal or not _allowed(lines):
                sock.sendall(self.refusal or b"HTTP/1.1 407 Who are you\r\nContent-Length: 0\r\n\r\n")
                return
            method, target, version = lines[0].split()
            if method == "CONNECT":
                host, _, port = target.rpartition(":")
                first, greeting = b"", b"HTTP/1.1 200 Connection established\r\n\r\n"
            else:
                parts = urlsplit(target)
                host, port, greeting = str(parts.hostname), str(parts.port), b""
                path = f"{parts.path}?{parts.query}" if parts.query else parts.path
                kept = [line for line in lines[1:] if not line.lower().startswith(("proxy-", "connection:"))]
                first = "\r\n".join([f"{method} {path} {version}", "Connection: close", *kept]).encode("latin-1")
                first += b"\r\n\r\n" + rest
            with socket.create_connection((host, int(port))) as there:
                there.sendall(first)
                sock.sendall(greeting)
                back = threading.Thread(target=_pump, args=(there, sock), daemon=True)
                back.start()
                _pump(sock, there)
                back.join(ENDS_S)


def _head(sock: socket.socket) -> bytes:
    data = b""
    while b"\r\n\r\n" not in data and (more := sock.recv(65_536)):
        data += more
    return data


def _allowed(lines: list[str]) -> bool:
    told = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
    return f"proxy-authorization: basic {told}".casefold() in [line.casefold() for line in lines]


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65_536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)
