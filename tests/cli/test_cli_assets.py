"""Pictures as inputs: a path, an https address, standard input (interface.md, section 1)."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence

import pytest
from support_cli import Cli, Run, picture
from support_provider import Say

PNG = picture(512, 512)


@pytest.fixture(autouse=True)
def two_pictures(cli: Cli) -> None:
    """Lay two pictures into the working folder."""
    cli.write("a.png", PNG)
    cli.write("b.jpg", picture(512, 512, "JPEG"))


def test_a_path_is_uploaded_to_rivya_first(live: Cli) -> None:
    """A local file becomes an upload, and the task names the upload's address; the JSON names the file."""
    ran = live.run("edit", "a.png", "in blue", "-p", "rivya", "--json")
    assert ran.code == 0, ran.err
    (upload,) = live.provider.asked("upload")
    assert PNG in upload.body
    (item,) = live.provider.orders[0].body["params"]["referenceMediaItems"]
    assert item["url"] == "https://cdn.example.com/file_1.png"
    assert ran.task["request"]["references"] == ["a.png"]
    assert ran.task["verb"] == "edit"


def test_the_same_file_is_uploaded_once(live: Cli) -> None:
    """A second call finds the upload of the first in the ledger."""
    for _ in range(2):
        assert live.run("edit", "a.png", "in blue", "-p", "rivya").code == 0
    assert len(live.provider.asked("upload")) == 1
    assert live.provider.purchases == 2


def test_one_upload_serves_every_task(live: Cli) -> None:
    """With -n the file is uploaded once, and every task names it."""
    assert live.run("edit", "a.png", "in blue", "-p", "rivya", "-n", "3").code == 0
    assert live.provider.purchases == 3
    assert len(live.provider.asked("upload")) == 1


def test_a_path_travels_inside_the_body_to_modelverse(live: Cli) -> None:
    """Modelverse takes pictures as data URIs, and the file arrives whole."""
    assert live.run("edit", "a.png", "in blue", "-p", "modelverse").code == 0
    value = live.provider.orders[0].body["input"]["img_url"]
    assert base64.b64decode(value.removeprefix("data:image/png;base64,")) == PNG


def test_an_address_goes_as_given(live: Cli) -> None:
    """An https address is neither fetched nor uploaded."""
    ran = live.run("edit", "https://cdn.example.com/in.png", "in blue", "-p", "rivya", "--json")
    assert ran.code == 0, ran.err
    assert not live.provider.asked("upload")
    assert ran.task["request"]["references"] == ["https://cdn.example.com/in.png"]


def test_standard_input_is_one_picture(live: Cli) -> None:
    """``-`` before a prompt is a picture from standard input."""
    assert live.run("edit", "-", "in blue", "-p", "modelverse", stdin=PNG).code == 0
    assert base64.b64encode(PNG).decode() in json.dumps(live.provider.orders[0].body)


def test_several_pictures_keep_their_order(live: Cli) -> None:
    """``fuse`` sends its references in the order of the words."""
    assert live.run("fuse", "b.jpg", "a.png", "join them", "-p", "modelverse").code == 0
    first, second = live.provider.orders[0].body["input"]["images"]
    assert first.startswith("data:image/jpeg")
    assert second.startswith("data:image/png")


@pytest.mark.parametrize(
    ("words", "stdin", "message"),
    [
        (["edit", "missing.png", "x"], b"", "missing.png"),
        (["edit", "http://a.example/x.png", "x"], b"", "must be https://"),
        (["edit", "https://me:pw@a.example/x.png", "x"], b"", "must be https://"),
        (["edit", "ftp://a.example/x.png", "x"], b"", "must be https://"),
        (["edit", "-", "x"], b"", "standard input is empty"),
        (["edit", "-", "x"], b"not a picture", "picture"),
        (["edit", "-", "-"], PNG, "standard input can be one thing"),
        (["fuse", "-", "-", "x"], PNG, "standard input can be one thing"),
        (["edit", "text.png", "x"], b"", "picture"),
        (["edit", "tiny.png", "x"], b"", "240"),
        (["edit", "folder", "x"], b"", "folder"),
        (["edit", "x"], b"", "at least 1 picture"),
        (["fuse", "a.png", "x"], b"", "at least 2 pictures"),
        (["fuse", *["a.png"] * 10, "x"], b"", "at most 9"),
        (["edit", "a.png", "b.jpg"], b"", "was the prompt forgotten"),
    ],
)
def test_what_is_no_asset(live: Cli, words: Sequence[str], stdin: bytes | str, message: str) -> None:
    """A wrong input is exit 2 before anything is sent; nothing is charged."""
    live.write("text.png", "words")
    live.write("tiny.png", picture(100, 100))
    (live.cwd / "folder").mkdir()
    ran = live.run(*words, "-p", "modelverse", "--json", stdin=stdin)
    assert ran.code == 2, ran.err
    assert message in ran.json["error"]["message"]
    assert ran.json["error"]["charged"] == "no"
    assert not live.provider.seen


def test_upload_prints_addresses(live: Cli) -> None:
    """``upload`` prints one address a line, in the order of the files, and buys nothing."""
    ran = live.run("upload", "a.png", "b.jpg")
    assert ran.code == 0, ran.err
    assert ran.lines == ["https://cdn.example.com/file_1.png"] * 2
    assert live.provider.purchases == 0


def test_upload_as_json(live: Cli) -> None:
    """The document of ``upload`` has path, url, id and sha256 of each file."""
    ran = live.run("upload", "a.png", "--json", "-p", "rivya")
    assert ran.json["files"] == [{
        "path": "a.png", "url": "https://cdn.example.com/file_1.png", "id": "file_1", "duration_token": None,
        "sha256": hashlib.sha256(PNG).hexdigest(),
    }]  # fmt: skip
    assert ran.json["command"] == "upload"


def test_upload_where_there_is_none(live: Cli) -> None:
    """A provider without uploads is refused by name, with one that has them."""
    ran = live.run("upload", "a.png", "-p", "modelverse")
    assert ran.code == 2
    assert "rivya" in ran.said("hint")


def test_upload_without_a_key(wan: Run) -> None:
    """Without any key the variables are named."""
    ran = wan("upload", "a.png", "--json")
    assert ran.code == 3
    assert ran.json["error"]["code"] == "key_missing"
    assert "RIVYA_API_KEY" in ran.json["error"]["message"]


def test_upload_of_an_unknown_provider(wan: Run) -> None:
    """An unknown provider is a usage error."""
    assert wan("upload", "a.png", "-p", "nobody").code == 2


def test_upload_in_the_sandbox(wan: Run) -> None:
    """The sandbox takes uploads without key or network."""
    assert wan("upload", "a.png", "--sandbox").lines[0].startswith("https://sandbox.invalid/files/")


def test_upload_refused_by_the_network(live: Cli) -> None:
    """An upload whose answers are all lost is temporary: nothing was bought."""
    live.provider.always["upload"] = Say(drop=True)
    ran = live.run("upload", "a.png", "--json")
    assert ran.code == 6
    assert ran.json["error"]["charged"] == "no"


def test_edit_whose_upload_fails_buys_nothing(live: Cli) -> None:
    """Where the reference cannot be brought, no purchase is sent."""
    live.provider.always["upload"] = Say(400, {"error": {"code": "validation_failed", "message": "too blue"}})
    ran = live.run("edit", "a.png", "in blue", "-p", "rivya", "--json")
    assert ran.code == 4
    assert ran.task["charged"] == "no"
    assert "too blue" in ran.json["error"]["message"]
    assert live.provider.purchases == 0
