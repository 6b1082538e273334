"""An S3 server on loopback, small enough to be read: objects, create-only puts, uploads in parts, lists, faults."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

KEY_ID, SECRET = "AKIDSTORECANARY00001", "store-secret-canary-0123456789abcdefghij"
PATIENCE_S = 20.0
_PIECE = 1 << 20
_META = "x-amz-meta-"


@dataclass
class Kept:
    """An object."""

    data: bytes
    mime: str
    meta: dict[str, str]

    @property
    def tag(self) -> str:
        return f'"{hashlib.md5(self.data, usedforsecurity=False).hexdigest()}"'


@dataclass
class Asked:
    """A request: its method, ``bucket/key``, query and headers, and the size of its body."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    size: int


@dataclass
class Fault:
    """What is done to requests of a method instead of, or (``late``) after, serving them. ``status`` 0 hangs up."""

    method: str
    status: int
    code: str = "SlowDown"
    times: int = 1_000_000
    late: bool = False


@dataclass
class Store:
    """The server. ``buckets`` has the objects by bucket and key; ``seen`` the requests in order."""

    buckets: dict[str, dict[str, Kept]] = field(default_factory=lambda: {"studio": {}})
    seen: list[Asked] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    held: threading.Event | None = None
    """Puts wait for this after their object is there, before they are answered."""
    put: threading.Event = field(default_factory=threading.Event)
    watch: Callable[[int], object] | None = None
    """Is told the size of each piece of a body, of which nothing is kept then."""
    url: str = ""
    _parts: dict[str, dict[int, bytes]] = field(default_factory=dict)
    _begun: dict[str, Kept] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def objects(self) -> dict[str, Kept]:
        """What is in the bucket."""
        return self.buckets["studio"]

    def variables(self) -> dict[str, str]:
        """Return the environment that leads here."""
        return {
            "AWS_ACCESS_KEY_ID": KEY_ID, "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL": self.url,
        }  # fmt: skip

    def keep(self, key: str, data: bytes, **meta: str) -> None:
        """Put an object as somebody else would."""
        self.objects[key] = Kept(data, "application/octet-stream", meta)

    def puts(self) -> list[Asked]:
        """Return the requests that write."""
        return [one for one in self.seen if one.method in ("PUT", "POST")]


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    store: Store

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def _serve(self) -> None:
        parts = urlsplit(self.path)
        bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
        query = {name: values[0] for name, values in parse_qs(parts.query, keep_blank_values=True).items()}
        body = self._body()
        headers = {name.lower(): value for name, value in self.headers.items()}
        store = self.store
        with store.lock:
            store.seen.append(Asked(self.command, f"{bucket}/{key}", query, headers, len(body)))
            fault = next((one for one in store.faults if one.method == self.command and one.times > 0), None)
            if fault:
                fault.times -= 1
            if fault is None or fault.late:
                status, data, more = self._done(bucket, key, query, body, headers)
        if fault is not None:
            if not fault.status:
                self.close_connection = True
                return
            status, data, more = fault.status, _error(fault.code), {}
        if self.command == "PUT" and status == 200 and store.held is not None:
            store.put.set()
            store.held.wait(PATIENCE_S)
        self._answer(status, data, more)

    do_GET = do_HEAD = do_PUT = do_POST = do_DELETE = _serve  # noqa: N815 - http.server's names

    def _body(self) -> bytes:
        left, kept = int(self.headers.get("content-length") or 0), []
        while left and (piece := self.rfile.read(min(left, _PIECE))):
            left -= len(piece)
            if self.store.watch is None:
                kept.append(piece)
            else:
                self.store.watch(len(piece))
        return b"".join(kept)

    def _answer(self, status: int, data: bytes, more: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"content-length": str(len(data)), **more}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def _done(
        self, bucket: str, key: str, query: dict[str, str], body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:  # fmt: skip
        store = self.store
        if bucket not in store.buckets:
            return 404, _error("NoSuchBucket"), {}
        objects = store.buckets[bucket]
        if self.command == "GET" and query.get("list-type"):
            return 200, _listing(objects, query.get("prefix", "")), {}
        if self.command in ("GET", "HEAD"):
            kept = objects.get(key)
            if kept is None:
                return 404, _error("NoSuchKey"), {}
            facts = {"etag": kept.tag, "content-type": kept.mime, "last-modified": "Sat, 21 Nov 2026 00:00:00 GMT"}
            facts |= {f"{_META}{name}": value for name, value in kept.meta.items()}
            return 200, kept.data, facts | {"content-length": str(len(kept.data))}
        if self.command == "DELETE":
            objects.pop(key, None)
            store._parts.pop(query.get("uploadId", ""), None)
            return 204, b"", {}
        return self._written(objects, key, query, body, headers)

    def _written(
        self, objects: dict[str, Kept], key: str, query: dict[str, str], body: bytes, headers: dict[str, str]
    ) -> tuple[int, bytes, dict[str, str]]:  # fmt: skip
        store = self.store
        meta = {name.removeprefix(_META): value for name, value in headers.items() if name.startswith(_META)}
        kept = Kept(body, headers.get("content-type", "binary/octet-stream"), meta)
        if "uploads" in query:
            name = f"upload-{len(store._begun)}"
            store._begun[name], store._parts[name] = kept, {}
            said = f"<InitiateMultipartUploadResult><UploadId>{name}</UploadId></InitiateMultipartUploadResult>"
            return 200, said.encode(), {}
        if "partNumber" in query:
            store._parts[query["uploadId"]][int(query["partNumber"])] = body
            return 200, b"", {"etag": kept.tag}
        if "uploadId" in query:
            pieces = store._parts.pop(query["uploadId"])
            whole = store._begun[query["uploadId"]]
            whole.data = b"".join(piece for _, piece in sorted(pieces.items()))
            objects[key] = whole
            said = f"<CompleteMultipartUploadResult><ETag>{escape(whole.tag)}</ETag></CompleteMultipartUploadResult>"
            return 200, said.encode(), {}
        if headers.get("if-none-match") == "*" and key in objects:
            return 412, _error("PreconditionFailed"), {}
        objects[key] = kept
        return 200, b"", {"etag": kept.tag}


def _error(code: str) -> bytes:
    return f"<Error><Code>{code}</Code><Message>said by the store</Message></Error>".encode()


def _listing(objects: dict[str, Kept], prefix: str) -> bytes:
    rows = "".join(
        f"<Contents><Key>{escape(key)}</Key><LastModified>2026-11-21T00:00:00.000Z</LastModified>"
        f"<ETag>{escape(kept.tag)}</ETag><Size>{len(kept.data)}</Size></Contents>"
        for key, kept in sorted(objects.items()) if key.startswith(prefix)
    )  # fmt: skip
    return f"<ListBucketResult><IsTruncated>false</IsTruncated>{rows}</ListBucketResult>".encode()


@contextmanager
def serving(store: Store) -> Iterator[Store]:
    """Serve the store on a free port of loopback."""
    handler: Any = type("Handler", (_Handler,), {"store": store})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    store.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield store
    finally:
        if store.held is not None:
            store.held.set()
        server.shutdown()
        server.server_close()
        thread.join()
