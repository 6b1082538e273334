"""Bodies that are read from files while they are sent."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import tracemalloc
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path
from typing import Any, Self

import httpx
import pytest
from support_adapter import adapter, job

from wan_cli.errors import FileInvalid
from wan_cli.models import LocalFile, Media
from wan_cli.providers.base import Embedded, Form
from wan_cli.transport.body import PIECE, Pieces, form_pieces, json_pieces, sendable

LARGEST = 64 * 1024 + 64
"""A piece of a file is 48 KiB, 64 KiB once it is encoded."""
SIZES = [0, 1, 2, 3, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE, 3 * PIECE + 2]


def stored(folder: Path, name: str, size: int, mime: str = "image/png") -> LocalFile:
    data = hashlib.shake_128(name.encode()).digest(size)
    path = folder / name
    path.write_bytes(data)
    return LocalFile(path=str(path), sha256=hashlib.sha256(data).hexdigest(), size=size, mime=mime)


def uri(file: LocalFile, *, raw: bool = False) -> str:
    text = base64.b64encode(Path(file.path).read_bytes()).decode()
    return text if raw else f"data:{file.mime};base64,{text}"


def whole(pieces: Pieces) -> bytes:
    found = list(pieces)
    assert all(len(piece) <= LARGEST for piece in found if len(found) > 1 and piece[:1] != b"{")
    data = b"".join(found)
    assert len(data) == pieces.length
    return data


def naive(content: bytes, embedded: list[Embedded]) -> bytes:
    """Build the body the plain way: parse, put the pictures in, dump."""

    def fill(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: fill(inner) for name, inner in value.items()}
        if isinstance(value, list):
            return [fill(inner) for inner in value]
        return next((uri(item.file, raw=item.raw) for item in embedded if item.placeholder == value), value)

    return json.dumps(fill(json.loads(content)), ensure_ascii=False).encode()


@pytest.mark.parametrize("raw", [False, True])
@pytest.mark.parametrize("size", SIZES)
def test_a_streamed_body_is_the_plain_one(tmp_path: Path, size: int, raw: bool) -> None:
    """Several pictures, one of them twice, beside any prompt: byte for byte what building the text would give."""
    one, two = stored(tmp_path, "one.png", size), stored(tmp_path, "two.jpg", 5, "image/jpeg")
    prompt = 'say "hi" \\ <data:image/png;sha256=0> <base64:x> 猫 \u2028 ' + "x" * 70_000
    media = tuple(Media(role="reference", kind="image", file=file) for file in (one, two, one))
    made = adapter("modelverse", image_encoding="raw" if raw else "data-uri")
    request = next(made.submit(job("modelverse", verb="fuse", prompt=prompt, media=media), token="t"))
    embedded = request.extensions["embedded"]
    wire = sendable(request)
    assert isinstance(wire.stream, Pieces)
    body = whole(wire.stream)
    assert body == naive(request.content, embedded)
    assert json.loads(body)["input"]["images"] == [uri(file, raw=raw) for file in (one, two, one)]
    assert json.loads(body)["input"]["prompt"] == prompt
    assert wire.headers["content-length"] == str(len(body))
    assert wire.headers["content-type"] == "application/json"
    assert b"".join(wire.stream) == body, "a body can be sent again"


@pytest.mark.parametrize("form", ["{}", 'draw "{}', 'draw "{}" well', "draw {} well", "{} {}"])
def test_a_prompt_is_never_taken_for_a_picture(tmp_path: Path, form: str) -> None:
    """A prompt that holds the very mark of the picture goes as it is, or is refused before anything is sent."""
    file = stored(tmp_path, "one.png", 5)
    media = (Media(role="edit_source", kind="image", file=file),)
    prompt = form.replace("{}", Embedded(file).placeholder)
    request = next(adapter("modelverse").submit(job("modelverse", verb="edit", prompt=prompt, media=media), token="t"))
    if form in ("{}", 'draw "{}'):
        with pytest.raises(FileInvalid, match=r"mark that stands for one\.png"):
            sendable(request)
    else:
        stream = sendable(request).stream
        assert isinstance(stream, Pieces)
        assert json.loads(whole(stream))["input"] == {"prompt": prompt, "img_url": uri(file)}


def test_a_request_without_files_goes_as_it_is() -> None:
    """Nothing is rebuilt where there is nothing to encode."""
    request = next(adapter("rivya").submit(job(), token="t"))
    assert sendable(request) is request


@pytest.mark.parametrize("change", ["other", "longer", "shorter", "empty", "gone", "folder"])
@pytest.mark.parametrize("size", [5, PIECE, 2 * PIECE + 1])
def test_a_changed_file_is_never_sent_whole(tmp_path: Path, size: int, change: str) -> None:
    """A file that is not what was checked is noticed before its last piece is given out."""
    file = stored(tmp_path, "one.png", size)
    data, path = Path(file.path).read_bytes(), Path(file.path)
    if change in ("gone", "folder"):
        path.unlink()
        if change == "folder":
            path.mkdir()
    else:
        bad = {"other": data[:-1] + bytes([data[-1] ^ 1]), "longer": data + b"x", "shorter": data[:-1], "empty": b""}
        path.write_bytes(bad[change])
    sent: list[bytes] = []
    embedded = [Embedded(file, raw=True)]
    content = json.dumps({"a": embedded[0].placeholder, "b": 1}).encode()
    with pytest.raises(FileInvalid, match=r"one\.png (changed|cannot be read|is a folder)"):
        sent.extend(json_pieces(content, embedded))
    out = b"".join(sent)
    assert len(out) < len(content) - len(embedded[0].placeholder) + size * 4 // 3
    assert not out.endswith(b"}")


def test_short_reads_do_not_break_the_encoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file system that gives fewer bytes than asked for changes nothing in the body."""
    file = stored(tmp_path, "one.png", 3 * PIECE + 5)
    wanted = uri(file)

    class Slow:
        def __init__(self, descriptor: int) -> None:
            self.descriptor = descriptor

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            os.close(self.descriptor)

        def read(self, size: int) -> bytes:
            return os.read(self.descriptor, min(size, 1000))

    monkeypatch.setattr("builtins.open", lambda path, *_, **__: Slow(os.open(path, os.O_RDONLY)))
    body = b"".join(json_pieces(json.dumps([Embedded(file).placeholder]).encode(), [Embedded(file)]))
    assert json.loads(body) == [wanted]


@pytest.mark.parametrize("name", ["fox.png", 'a"b;c.png', "猫 \u2028.png", "per%cent.png"])
@pytest.mark.parametrize("size", [1, PIECE + 1])
def test_a_form_is_read_back_by_another_parser(tmp_path: Path, name: str, size: int) -> None:
    """Fields and files of the multipart body come out of the email module as they went in."""
    file = stored(tmp_path, name, size)
    form = Form({"kind": "image", "t": "ü"}, [("file", file)])
    wire = sendable(httpx.Request("POST", "https://h/", extensions={"form": form}))
    assert isinstance(wire.stream, Pieces)
    body = whole(wire.stream)
    assert wire.headers["content-length"] == str(len(body))
    head = f"Content-Type: {wire.headers['content-type']}\r\n\r\n".encode()
    kind, text, sent = message_from_bytes(head + body, policy=HTTP).iter_parts()
    assert kind.get_param("name", header="content-disposition") == "kind"
    assert kind.get_payload(decode=True) == b"image"
    assert text.get_payload(decode=True) == "ü".encode()
    assert sent.get_param("name", header="content-disposition") == "file"
    assert sent.get_content_type() == "image/png"
    assert sent.get_payload(decode=True) == Path(file.path).read_bytes()
    assert name.replace('"', "%22").encode() in body


def test_a_file_name_cannot_add_a_header(tmp_path: Path) -> None:
    """Line ends in a name are spelled out; a name that is no UTF-8 is sent with a mark for what it cannot say."""
    file = LocalFile(path="a\r\nX: y.png", sha256="", size=0, mime="image/png")
    head = form_pieces(Form({}, [("file", file)]), "b").parts[0]
    assert b'filename="a%0D%0AX: y.png"' in bytes(head)  # type: ignore[arg-type]
    odd = LocalFile(path="a\udcff.png", sha256="", size=0, mime="image/png")
    assert b'filename="a?.png"' in bytes(form_pieces(Form({}, [("file", odd)]), "b").parts[0])  # type: ignore[arg-type]


def test_a_large_picture_takes_little_memory(tmp_path: Path) -> None:
    """A picture of 20 MB is encoded with less than 4 MB at any time (performance.md section 3)."""
    size = 20 * 1024 * 1024
    path = tmp_path / "large.png"
    with path.open("wb") as out:
        out.truncate(size)
    digest = hashlib.sha256(bytes(size)).hexdigest()
    file = LocalFile(path=str(path), sha256=digest, size=size, mime="image/png")
    content = json.dumps({"image": Embedded(file).placeholder}).encode()

    async def length(pieces: Pieces) -> int:
        return sum([len(piece) async for piece in pieces])

    tracemalloc.start()
    try:
        pieces = json_pieces(content, [Embedded(file)])
        assert asyncio.run(length(pieces)) == pieces.length
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 1024 * 1024
