"""Object stores by themselves: addresses, names, puts that replace nothing, fetches, and what is said of faults."""

from __future__ import annotations

import asyncio
import errno
import functools
import hashlib
import io
import os
import signal
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from support_store import SECRET, Fault, Store

from wan_cli.errors import ConfigInvalid, UsageError
from wan_cli.stores import StoreFault, is_address, objects, places, read_address
from wan_cli.stores.faults import fault_of, translated


def send(path: Path, key: str, *, overwrite: bool = False, sha256: str | None = None) -> None:
    """Put a file into the bucket."""
    said = sha256 or hashlib.sha256(path.read_bytes()).hexdigest()
    address = read_address(f"s3://studio/{key}")
    asyncio.run(objects.put(address, path, sha256=said, mime="image/png", overwrite=overwrite))


@pytest.fixture
def fox(tmp_path: Path) -> Path:
    """Return a small file."""
    path = tmp_path / "fox.png"
    path.write_bytes(b"fox" * 1000)
    return path


# -- addresses and names


@pytest.mark.parametrize(
    ("text", "known"),
    [("s3://b/k", True), ("GS://b", True), ("az://c/", True), ("https://h/k", False), ("oss://b/k", False),
     ("s3:/b", False), ("fox.png", False), (None, False)],
)  # fmt: skip
def test_what_is_an_address(text: str | None, known: bool) -> None:
    """Three schemes are stores; DashScope's oss:// is its own."""
    assert is_address(text) is known


@pytest.mark.parametrize("text", [
    "s3://", "s3:///key", "s3://b ucket/k", "s3://bucket:9000/k", "s3://b/../k", "s3://b//k", "s3://b/./k", "s3://b/a\\k",
    "s3://b/\x1b[2J", "s3://b/" + "k" * 1025,
])  # fmt: skip
def test_addresses_that_cannot_be_used(text: str) -> None:
    """A key that climbs, is empty in the middle or too long, and a name that is no bucket's, are refused."""
    with pytest.raises(UsageError):
        read_address(text)


def test_an_address_with_a_password_is_refused_and_not_repeated() -> None:
    """Keys stand in the environment: what was typed is not said again."""
    with pytest.raises(UsageError) as refused:
        read_address("s3://me:hunter2@bucket/k")
    assert "hunter2" not in refused.value.message
    assert "me:" not in refused.value.message


@pytest.mark.parametrize(
    ("output", "found"),
    [
        ("s3://b", "s3://b/a-fox-{id}.png"), ("s3://b/", "s3://b/a-fox-{id}.png"),
        ("gs://b/x/y/", "gs://b/x/y/a-fox-{id}.png"), ("az://c/x.png", "az://c/x.png"),
        ("s3://b/{seed}/x{ext}", "s3://b/7/x.png"), ("s3://b/tmp", "s3://b/tmp.png"), ("S3://b/x.png", "s3://b/x.png"),
    ],
)  # fmt: skip
def test_names_are_made_as_on_a_disk(output: str, found: str) -> None:
    """A folder ends in a slash; templates, extensions and the default name are those of a disk."""
    plan = places.plan(output, values={"slug": "a-fox", "seed": 7})
    (address,) = places.addresses(plan.template, 1, ".png", values={"id": "{id}"})
    assert str(address) == found.replace("{id}", "{id}")


def test_names_that_no_disk_can_hold_are_refused() -> None:
    """What is put there is fetched to some disk one day."""
    with pytest.raises(UsageError, match="con"):
        places.plan("s3://b/con.png", values={})


# -- putting


def test_a_put_says_what_it_is(store: Store, fox: Path) -> None:
    """The object has the content, its media type and its sha256, and one request made it, which replaces nothing."""
    send(fox, "out/fox.png")
    kept = store.objects["out/fox.png"]
    assert kept.data == fox.read_bytes()
    assert (kept.mime, kept.meta) == ("image/png", {"wansha256": hashlib.sha256(kept.data).hexdigest()})
    (put,) = store.puts()
    assert put.headers["if-none-match"] == "*"


def test_an_object_that_is_there_is_never_replaced(store: Store, fox: Path) -> None:
    """Another content stays, and the fault says that the name is taken; with ``overwrite`` it goes."""
    store.keep("fox.png", b"somebody's")
    with pytest.raises(StoreFault) as fault:
        send(fox, "fox.png")
    assert fault.value.kind == "taken"
    assert store.objects["fox.png"].data == b"somebody's"
    send(fox, "fox.png", overwrite=True)
    assert store.objects["fox.png"].data == fox.read_bytes()


@pytest.mark.parametrize("told", [True, False], ids=["with metadata", "read through"])
def test_the_same_content_counts_as_put(store: Store, fox: Path, told: bool) -> None:
    """A put whose answer was lost finds its own object; so does one whose metadata somebody removed."""
    send(fox, "fox.png")
    if not told:
        store.objects["fox.png"].meta.clear()
    send(fox, "fox.png")
    assert len(store.objects) == 1


def test_a_lost_answer_is_asked_again_and_makes_one_object(store: Store, fox: Path) -> None:
    """The connection ends after the object was kept: the retry meets it, and it counts."""
    store.faults.append(Fault("PUT", 0, times=1, late=True))
    send(fox, "fox.png")
    assert list(store.objects) == ["fox.png"]
    assert len(store.puts()) == 2


def test_a_large_file_that_replaces_goes_in_parts(store: Store, tmp_path: Path) -> None:
    """Its parts are no larger than one piece, and together they are the file."""
    video = tmp_path / "clip.mp4"
    video.write_bytes(bytes(range(256)) * (objects.CHUNK // 256 * 2 + 5))
    send(video, "clip.mp4", overwrite=True)
    assert store.objects["clip.mp4"].data == video.read_bytes()
    assert store.objects["clip.mp4"].meta
    sizes = [put.size for put in store.puts() if "partNumber" in put.query]
    assert len(sizes) == 3
    assert max(sizes) == objects.CHUNK


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("overwrite", [False, True], ids=["new", "in parts"])
def test_a_large_file_is_streamed(store: Store, tmp_path: Path, overwrite: bool) -> None:
    """The process's own memory does not grow with the file: it is mapped, or read part by part."""
    video, size = tmp_path / "clip.mp4", 192 * 1024 * 1024
    with video.open("wb") as out:
        out.truncate(size)
    before, came, used = own_memory(), list[int](), list[int]()

    def watch(piece: int) -> None:
        came.append(piece)
        used.append(own_memory())

    store.watch = watch
    with pytest.raises(StoreFault, match="something else"):  # for it kept nothing
        send(video, "clip.mp4", overwrite=overwrite)
    assert sum(came) >= size
    assert max(used) - before < size * 2 // 3


def own_memory() -> int:
    """Return the bytes of this process that are no file's."""
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(next(line for line in text.splitlines() if line.startswith("RssAnon")).split()[1]) * 1024


def test_nothing_is_an_object_too(store: Store, tmp_path: Path) -> None:
    """An empty file cannot be mapped, and is put all the same."""
    (tmp_path / "empty").touch()
    send(tmp_path / "empty", "empty")
    assert store.objects["empty"].data == b""


def test_what_the_store_has_in_the_end_is_held_against_what_was_sent(store: Store, fox: Path) -> None:
    """A store that says yes and keeps something else is not believed."""
    store.watch = lambda size: None
    with pytest.raises(StoreFault, match="something else"):
        send(fox, "fox.png")


# -- fetching


def test_an_object_is_fetched_and_checked(store: Store, fox: Path) -> None:
    """Its sha256 comes back with it; what is not what its metadata say is refused, as is what is too large."""
    send(fox, "fox.png")
    address, out = read_address("s3://studio/fox.png"), io.BytesIO()
    assert objects.fetch(address, out, 10_000) == hashlib.sha256(fox.read_bytes()).hexdigest()
    assert out.getvalue() == fox.read_bytes()
    with pytest.raises(StoreFault, match="at most 10 are read"):
        objects.fetch(address, io.BytesIO(), 10)
    store.objects["fox.png"].data = b"x" * 3000
    with pytest.raises(StoreFault, match="metadata"):
        objects.fetch(address, io.BytesIO(), 10_000)
    with pytest.raises(StoreFault, match="not there"):
        objects.fetch(read_address("s3://studio/owl.png"), io.BytesIO(), 10_000)


def test_a_full_disk_is_no_fault_of_the_store(store: Store, fox: Path) -> None:
    """Who has to make room is told where."""

    class Full(io.BytesIO):
        def write(self, _: Any) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    send(fox, "fox.png")
    with pytest.raises(OSError, match="No space left"):
        objects.fetch(read_address("s3://studio/fox.png"), Full(), 10_000)


# -- faults


@pytest.mark.skipif(sys.platform == "win32", reason="signals of Unix")
@pytest.mark.parametrize("inside", [False, True], ids=["before buying", "in the loop"])
def test_a_store_that_hangs_holds_nobody_up(store: Store, monkeypatch: pytest.MonkeyPatch, inside: bool) -> None:
    """Ctrl-C is heard while a store takes a connection and says nothing."""
    heard, late = threading.Event(), threading.Event()

    def hang() -> None:
        connection, _ = server.accept()
        os.kill(os.getpid(), signal.SIGINT)
        if not heard.wait(15):
            late.set()
        connection.close()

    look = functools.partial(objects.look, read_address("s3://studio/fox.png"))
    ask = (lambda: asyncio.run(objects.asked(look))) if inside else look
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{server.getsockname()[1]}")
        thread = threading.Thread(target=hang)
        thread.start()
        with pytest.raises(KeyboardInterrupt):
            ask()
        heard.set()
        thread.join()
    assert not late.is_set()


def test_a_missing_bucket_is_told_from_a_missing_object(store: Store) -> None:
    """The first cannot be written to; the second is what one hopes for."""
    assert objects.look(read_address("s3://studio/none.png")) is None
    assert objects.digest(read_address("s3://studio/none.png")) is None
    with pytest.raises(StoreFault) as fault:
        objects.look(read_address("s3://nobody/none.png"))
    assert fault.value.kind == "no_bucket"


def test_a_key_that_is_refused(store: Store) -> None:
    """403 is a matter of the set-up."""
    store.faults.append(Fault("HEAD", 403, "AccessDenied"))
    with pytest.raises(StoreFault) as fault:
        objects.look(read_address("s3://studio/none.png"))
    assert fault.value.kind == "refused"


@pytest.mark.parametrize(
    ("name", "text", "kind", "said"),
    [
        ("GenericError", "Generic S3 error: Missing AccessKeyId\n\nDebug source: …", "refused", "no key"),
        ("PermissionDeniedError", "x status code: 403 Forbidden: <Code>AccessDenied</Code><Message>no</Message>",
         "refused", "HTTP 403 AccessDenied"),
        ("GenericError", "Error performing GET https://a.net/c?sig=SIGNED - status code: 503: <Code>SlowDown</Code>",
         "unreachable", "HTTP 503 SlowDown"),
        ("GenericError", "Error performing GET https://a.net/c?sig=SIGNED in 1s - HTTP error: error sending request",
         "unreachable", "error sending request"),
        ("GenericError", "Error performing PUT https://a.net/c?sig=SIGNED in 1s - status code: 409 Conflict", "failed",
         "HTTP 409"),
        ("NotFoundError", "Object at location x not found: status code: 404", "absent", "not there"),
        ("NotFoundError", "… 404 Not Found: <Code>ContainerNotFound</Code>", "no_bucket", "no such bucket"),
        ("PreconditionError", "…", "taken", "exists"),
        ("GenericError", "… status code: 400 Bad Request: <Code>ExpiredToken</Code>", "refused", "request (HTTP 400"),
        ("GenericError", "PUT http://169.254.169.254/latest/api/token - status code: 403", "refused", "no key"),
    ],
)  # fmt: skip
def test_what_is_said_of_faults(name: str, text: str, kind: str, said: str) -> None:
    """Each is of a kind that tells what can be done; no address is repeated, for a signed one is a key."""
    fault = fault_of(name, text)
    assert fault.kind == kind
    assert said in fault.why
    assert "SIGNED" not in fault.why


def test_a_bug_is_no_fault_of_the_store() -> None:
    """What obstore did not raise is not hidden."""
    with pytest.raises(ZeroDivisionError), translated():
        _ = 1 / 0
    with pytest.raises(StoreFault, match="broke off"), translated():
        raise type("PanicException", (BaseException,), {})
    with pytest.raises(StoreFault), translated():
        raise FileNotFoundError("not found: status code: 404")


def test_no_secret_is_in_what_is_said(store: Store) -> None:
    """Neither the key nor a signature made with it."""
    store.faults.append(Fault("HEAD", 403, "SignatureDoesNotMatch"))
    with pytest.raises(StoreFault) as fault:
        objects.look(read_address("s3://studio/x"))
    assert SECRET not in fault.value.why


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says how it is installed."""
    monkeypatch.setattr(objects, "find_spec", lambda name: None)
    with pytest.raises(ConfigInvalid) as missing:
        objects.require("s3://")
    assert missing.value.hint == "python -m pip install 'obstore>=0.6'"


@pytest.mark.parametrize(
    ("scheme", "variable", "value", "allowed"),
    [
        ("s3", "AWS_ENDPOINT_URL", "http://127.0.0.1:9000", True), ("s3", "AWS_ENDPOINT_URL", "http://s3.lan", False),
        ("s3", "AWS_ENDPOINT_URL", "https://localhost", False), ("gs", "GOOGLE_BASE_URL", "http://[::1]:1", True),
    ],
)  # fmt: skip
def test_plain_http_is_for_loopback(
    monkeypatch: pytest.MonkeyPatch, scheme: str, variable: str, value: str, allowed: bool
) -> None:
    """An emulator on this machine may speak without TLS; who wants more sets obstore's own variable."""
    said: dict[str, Any] = {}
    monkeypatch.setattr("obstore.store.from_url", lambda url, **named: said.update(named, url=url))
    monkeypatch.setenv(variable, value)
    objects.forget()
    objects._store(read_address(f"{scheme}://bucket/x"))
    assert said["url"] == f"{scheme}://bucket"
    assert ("allow_http" in said["client_options"]) is allowed
    objects.forget()
