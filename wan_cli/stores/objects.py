"""Objects looked at, put and fetched. obstore is loaded here, and only when one of these is called.

Keys come from the environment (``AWS_ACCESS_KEY_ID``, ``GOOGLE_SERVICE_ACCOUNT``, ``AZURE_STORAGE_ACCOUNT_KEY`` and
their kin, docs: developmentseed.org/obstore) and stay in obstore. An object that wan puts carries the sha256 of its
content as metadata, which the store is asked for again after each put.
"""

from __future__ import annotations

import functools
import hashlib
import mmap
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit

from wan_cli.dataclass import dataclass
from wan_cli.errors import ConfigInvalid
from wan_cli.extras import install
from wan_cli.intake import open_regular
from wan_cli.stores.address import Address
from wan_cli.stores.faults import StoreFault, translated

DIGEST = "wansha256"
"""The name of the metadata: letters and digits are all that Azure takes."""
CHUNK = 8 * 1024 * 1024
"""Bytes of a part of an upload in parts; two are under way at a time."""
_RETRIES = 3
_PATIENCE_S = 30
_CONNECT_S = 10
_ANSWER_S = 20
"""What a question may take that moves no file; a store that hangs is asked twice."""
_SLOWEST = 64 * 1024
"""Bytes a second below which a transfer is given up; it has two minutes beside that."""
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "az": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
}
"""Variables that name another server than the store's own."""
_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """An object: its size in bytes, and the sha256 that its metadata tells, if they do."""

    size: int
    sha256: str | None


def require(what: str) -> None:
    """Raise ``ConfigInvalid`` where the extra is missing; ``what`` is what needs it."""
    if find_spec("obstore") is None:
        raise ConfigInvalid(f"{what} needs obstore (the extra [s3]), which is not installed", hint=install("s3"))


@functools.cache
def _opened(scheme: str, bucket: str, size: int | None) -> Any:
    from obstore.store import from_url

    client: dict[str, Any] = {
        "connect_timeout": timedelta(seconds=_CONNECT_S),
        "timeout": timedelta(seconds=_ANSWER_S if size is None else 120 + size // _SLOWEST),
    }  # fmt: skip
    named = next((value for name in _ENDPOINTS[scheme] if (value := os.environ.get(name))), "")
    if named.startswith("http://") and urlsplit(named).hostname in ("localhost", "127.0.0.1", "::1"):
        client["allow_http"] = True
    backoff = {"init_backoff": timedelta(milliseconds=200), "max_backoff": timedelta(seconds=5), "base": 2}
    with translated():
        return from_url(
            f"{scheme}://{bucket}", client_options=client,
            retry_config={"max_retries": _RETRIES, "retry_timeout": timedelta(seconds=_PATIENCE_S), "backoff": backoff},
        )  # type: ignore[call-overload]  # fmt: skip


def _store(address: Address, size: int | None = None) -> Any:
    """Return obstore's store; for a transfer one whose patience goes with the size, in steps of 16 MB."""
    return _opened(address.scheme, address.bucket, None if size is None else (size >> 24) << 24)


async def asked(ask: Callable[[], _Answer]) -> _Answer:
    """Ask a store while the loop goes on; a process that is to end waits for no answer."""
    import asyncio

    return await asyncio.wrap_future(_begun(ask))


def _heard(ask: Callable[[], _Answer]) -> _Answer:
    """Ask from another thread than the main one: while obstore waits for a store no Ctrl-C is heard in its own."""
    return _begun(ask).result() if threading.current_thread() is threading.main_thread() else ask()


def _begun(ask: Callable[[], _Answer]) -> Future[_Answer]:
    answer: Future[_Answer] = Future()
    answer.set_running_or_notify_cancel()  # from here on nobody can cancel it under its thread

    def work() -> None:
        try:
            answer.set_result(ask())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            answer.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return answer


def forget() -> None:
    """Forget what was read from the environment."""
    _opened.cache_clear()


def look(address: Address) -> Found | None:
    """Return what is at an address; ``None`` where nothing is. Raises ``StoreFault``.

    What is not there is asked for once more as if to be read: only that answer tells a missing bucket from a missing
    object.
    """
    import obstore

    store = _store(address)
    options: Any
    for options in ({"head": True}, {}):
        try:
            with translated():
                got = _heard(functools.partial(obstore.get, store, address.key, options=options))
        except StoreFault as fault:
            if fault.kind != "absent":
                raise
        else:
            return Found(size=got.meta["size"], sha256=got.attributes.get(DIGEST))
    return None


def listed(folder: Address) -> dict[str, tuple[str, int]]:
    """Return the tag and the size of every object below a folder, by its name there. Raises ``StoreFault``."""
    import obstore

    start, found = len(folder.key), dict[str, tuple[str, int]]()
    with translated():
        pages = iter(obstore.list(_store(folder), prefix=folder.key or None))
        while page := _heard(functools.partial(next, pages, None)):
            found |= {one["path"][start:]: (str(one["e_tag"]), one["size"]) for one in page}
    return found


def digest(address: Address) -> str | None:
    """Return the sha256 of an object, read through where its metadata do not tell; ``None`` where there is none."""
    found = look(address)
    if found is None or found.sha256:
        return None if found is None else found.sha256
    return _read(address, found.size, None)


def fetch(address: Address, out: IO[bytes], most: int) -> str:
    """Write an object to a file, piece by piece, and return its sha256.

    Raises ``StoreFault``, also for one that is larger than ``most`` bytes or is not what its metadata say; ``OSError``
    where it cannot be written.
    """
    found = look(address)
    if found is None:
        raise StoreFault("absent", "it is not there")
    if found.size > most:
        raise StoreFault("failed", f"it has {found.size:,} bytes; at most {most:,} are read")
    sha256 = _read(address, found.size, out)
    if found.sha256 not in (None, sha256):
        raise StoreFault("failed", "it is not what its metadata say (sha256)")
    return sha256


def _read(address: Address, size: int, out: IO[bytes] | None) -> str:
    import obstore

    seen, number = hashlib.sha256(), 0
    with translated():
        pieces = iter(_heard(functools.partial(obstore.get, _store(address, size), address.key)).stream())
    while True:
        with translated():
            piece = _heard(functools.partial(next, pieces, None))
        if piece is None:
            break
        view = memoryview(piece)
        seen.update(view)
        number += len(view)
        if out is not None:  # what this disk does not take is no fault of the store
            out.write(view)
    if number != size:
        raise StoreFault("unreachable", f"{number:,} of {size:,} bytes came")
    return seen.hexdigest()


async def put(address: Address, path: Path, *, sha256: str, mime: str, overwrite: bool) -> None:
    """Put a file at an address, and have the store say that it is there. Raises ``StoreFault``, ``OSError``.

    Where nothing may be replaced it is one request that the store refuses if the name is taken (``taken``), with the
    file's bytes mapped and not read into memory; else a large one goes in parts. Either way the memory that it takes
    does not grow with the file. A name that is taken by the same content counts as put.
    """
    try:
        with open_regular(path) as file, translated():
            size = os.fstat(file.fileno()).st_size
            await _sent(address, file, size, {"Content-Type": mime, DIGEST: sha256}, overwrite=overwrite)
    except StoreFault as fault:  # an answer that was lost on the way was asked for again, and met its own object
        if fault.kind != "taken":
            raise
        if await asked(functools.partial(digest, address)) != sha256:
            raise
        return
    found = await asked(functools.partial(look, address))
    if found is None or found.size != size or found.sha256 not in (None, sha256):
        raise StoreFault("failed", "the store took it, and has something else there now")


async def _sent(address: Address, file: IO[bytes], size: int, attributes: Any, *, overwrite: bool) -> None:
    import obstore

    store = _store(address, size)
    if overwrite and size > CHUNK:
        await obstore.put_async(
            store, address.key, file, attributes=attributes, mode="overwrite", use_multipart=True, chunk_size=CHUNK,
            max_concurrency=2,
        )  # fmt: skip
        return
    with _mapped(file, size) as data:
        mode: Any = "overwrite" if overwrite else "create"
        await obstore.put_async(store, address.key, data, attributes=attributes, mode=mode, use_multipart=False)


@contextmanager
def _mapped(file: IO[bytes], size: int) -> Iterator[Any]:
    """Give a file's bytes without reading them; the mapping goes when obstore lets go of it."""
    yield mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
