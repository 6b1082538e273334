"""``wan keep``: what was made by hand becomes an asset, with its request, and is not bought again (section 6)."""

from __future__ import annotations

import io
import json
import os
import re
import struct
import tomllib
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support_cli import Cli, Ran, picture

from wan_cli.cli.rendering.inserting import with_asset
from wan_cli.errors import UsageError

BASE = """\
# the game's pictures
[defaults]
provider = "rivya"   # cheap
output = "art/{id}{ext}"


[[asset]]
id = "hero"          # on the title screen
prompt = "a lighthouse"
size = "1K"
# the end
"""


def sketch(prompt: str, width: int, height: int, **details: Any) -> bytes:
    """Draw quickly, and another picture for another prompt, seed or number."""
    data = io.BytesIO()
    said = f"{prompt}{sorted(map(str, details.items()))}"
    Image.new("L", (width, height), zlib.crc32(said.encode()) % 251).save(data, "PNG")
    return data.getvalue()


def film(_prompt: str, width: int, height: int, *, seconds: int, **_: Any) -> bytes:
    """Return the boxes of an MP4 without a picture in it."""

    def box(kind: bytes, inside: bytes) -> bytes:
        return struct.pack(">I", 8 + len(inside)) + kind + inside

    head = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, seconds * 1000) + bytes(80))
    track = box(b"trak", box(b"tkhd", bytes(76) + struct.pack(">II", width << 16, height << 16)))
    return box(b"ftyp", b"isom\0\0\2\0isomiso2") + box(b"moov", head + track) + box(b"mdat", b"\0" * 64)


@pytest.fixture
def game(cli: Cli) -> Cli:
    """Return the command line in the sandbox, with pictures that differ."""
    cli.env["WAN_SANDBOX"] = "1"
    cli.world["draw"] = sketch
    return cli


def purchases(cli: Cli) -> int:
    """Return how many orders the sandbox took."""
    path = cli.root / "state" / "sandbox" / "world" / "purchases.jsonl"
    return len(path.read_text(encoding="utf-8").splitlines()) if path.exists() else 0


def lock(cli: Cli, name: str = "assets.sandbox.lock") -> Any:
    """Return the blocks of the lock."""
    return json.loads((cli.cwd / name).read_text(encoding="utf-8"))["assets"]


def text(cli: Cli, name: str = "assets.toml") -> str:
    """Return the manifest, line ends as they are."""
    return (cli.cwd / name).read_bytes().decode()


def rows(cli: Cli) -> dict[str, Any]:
    """Return the manifest's rows by id."""
    return {row["id"]: row for row in tomllib.loads(text(cli))["asset"]}


def holds(cli: Cli, name: str, *, manifest: str = "assets.toml") -> None:
    """Hold what was kept against the promise: a render of it finds nothing to do, and buys nothing."""
    before = purchases(cli)
    plan = cli.run("render", manifest, "--only", name, "--plan", "--json")
    assert plan.code == 0, plan.err
    assert [(row["id"], row["status"]) for row in plan.json["plan"] if row["id"] == name] == [(name, "current")]
    assert cli.run("render", manifest, "--only", name, "--check").code == 0
    assert cli.run("render", manifest, "--only", name).code == 0
    assert purchases(cli) == before


def everything(cli: Cli) -> dict[str, bytes]:
    """Return every file of the project."""
    return {name: (cli.cwd / name).read_bytes() for name in cli.files()}


def refused(cli: Cli, *argv: object, code: int = 2) -> Ran:
    """Run a call that is refused, and see that it changed nothing."""
    before = everything(cli)
    ran = cli.run("keep", *argv)
    assert ran.code == code, (ran.err, ran.out)
    assert everything(cli) == before
    return ran


VERBS = {
    "generate": ("generate", "a fox", "-p", "rivya", "-s", "1K", "-a", "16:9", "--seed", "7"),
    "of pixels": ("generate", "a fox", "-p", "modelverse", "-s", "2K", "-a", "16:9", "--watermark", "--seed", "3"),
    "params": ("generate", 'a fox\nin "two" {x} $y', "-p", "openai", "-m", "gpt-image-1", "--param", "quality=low"),
    "edit": ("edit", "refs/a.png", "make it night", "-p", "rivya"),
    "fuse": ("fuse", "refs/a.png", "refs/b.png", "both", "-p", "rivya"),
    "sequence": ("sequence", "a fox runs", "-n", "3", "-p", "modelverse", "-s", "1K"),
    "several": ("generate", "a fox", "-n", "2", "-p", "modelverse", "-s", "1K"),
    "synchronous": ("generate", "a fox", "-p", "modelverse", "--sync"),
}  # fmt: skip


@pytest.mark.parametrize("words", VERBS.values(), ids=VERBS)
def test_what_was_kept_is_up_to_date(game: Cli, words: tuple[str, ...]) -> None:
    """Whatever the verb and its options, a task that was kept is up to date for a render, and states its request."""
    for name in ("a", "b"):
        game.write(f"refs/{name}.png", picture(400, 400 + len(name)))
    made = game.run(*words, "-o", "out/pic.png", "--json")
    assert made.code == 0, made.err
    ran = game.run("keep", made.task["id"], "--as", "fox")
    assert ran.code == 0, ran.err
    assert ran.lines == [file["path"] for file in made.task["files"]]
    holds(game, "fox")
    assert game.run("render", "assets.toml", "--check").code == 0
    block = lock(game)["fox"]
    assert block.get("handle") == made.task["handle"]
    assert block["files"][0]["sha256"] == made.task["files"][0]["sha256"]
    assert len(block["files"]) == rows(game)["fox"].get("count", 1) == len(ran.lines)


def test_a_video_with_its_frames(game: Cli) -> None:
    """A video's own options and the media that are no pictures before the prompt are stated as well."""
    game.world["film"] = film
    game.write("refs/first.png", picture(400, 400))
    words = ("a wave", "-p", "rivya", "--first-frame", "refs/first.png", "-d", "5", "--resolution", "720p")
    assert game.run("generate", *words, "-o", "wave.mp4").code == 0
    assert game.run("keep", "wave.mp4", "--as", "wave").code == 0
    row = rows(game)["wave"]
    assert (row["first_frame"], row["duration"], row["resolution"]) == ("refs/first.png", 5, "720p")
    holds(game, "wave")


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
def test_the_manifest_stays_as_it_was(game: Cli, ends: str) -> None:
    """Comments, order, blank lines and line ends stay; the asset comes last, without what is a default."""
    base = BASE.replace("\n", ends)
    game.write("assets.toml", base)
    assert game.run("generate", "a crane", "-p", "rivya", "-s", "1K", "-o", "art/crane.png").code == 0
    assert game.run("keep", "art/crane.png", "--as", "crane").code == 0
    block = '\n[[asset]]\nid = "crane"\nmodel = "wan2.7-image"\nprompt = "a crane"\nsize = "1K"\n'
    assert text(game) == base + block.replace("\n", ends)
    holds(game, "crane")


def test_defaults_that_the_task_did_not_have(game: Cli) -> None:
    """A count is said against the default; what a default adds is told; the asset is up to date all the same."""
    game.write("assets.toml", '[defaults]\ncount = 4\nsize = "2K"\nnegative = "fog"\nparam = { x = 1 }\n')
    words = ("-p", "openai", "-m", "gpt-image-1", "--param", "quality=low", "-o", "fox.png")
    assert game.run("generate", "a fox", *words).code == 0
    ran = game.run("keep", "fox.png", "--as", "fox")
    assert ran.code == 0
    assert "warning: fox was made without negative, size, param, which [defaults] adds" in ran.err
    assert rows(game)["fox"]["count"] == 1
    holds(game, "fox")
    assert "warning: as it stands it cannot be rendered again: " in ran.err  # a picture has no negative


def test_the_output_of_the_defaults(game: Cli) -> None:
    """Where the default output leads to the file, none is stated; else the file itself, braces doubled."""
    game.write("assets.toml", '[defaults]\noutput = "art/{id}{ext}"\n')
    for name, target, stated in (("fox", "art/fox.png", None), ("owl", "b{{1}}.png", "b{{1}}.png")):
        assert game.run("generate", name, "-p", "rivya", "-o", target).code == 0
        path = target.replace("{{", "{").replace("}}", "}")
        assert game.run("keep", path, "--as", name).lines == [path]
        assert rows(game)[name].get("output") == stated
        holds(game, name)


@pytest.mark.parametrize(
    ("template", "stated"),
    [("s/{index}.png", "s/{index}.png"), ("s/{index:02}-x.png", "s/{index:02}-x.png"), ("x.png", "x.png")],
)
def test_the_files_of_a_set(game: Cli, template: str, stated: str) -> None:
    """Several files are stated by the template that names them all; FILE of a set means the whole set."""
    assert game.run("sequence", "a run", "-n", "3", "-p", "modelverse", "-s", "1K", "-o", template).code == 0
    second = game.files()[1]
    ran = game.run("keep", second, "--as", "run")
    assert ran.code == 0, ran.err
    assert ran.lines == game.files()[-3:] or len(ran.lines) == 3
    assert rows(game)["run"]["output"] == stated
    holds(game, "run")


def test_names_without_a_pattern(game: Cli) -> None:
    """Files that no output can name together are refused together, and kept one by one."""
    ran = game.run("generate", "a fox", "-n", "2", "-p", "modelverse", "-s", "1K", "-o", "x.png", "--json")
    (game.cwd / "x-2.png").rename(game.cwd / "y.png")
    assert "is not there any more" in refused(game, ran.task["id"], "--as", "x").err
    assert game.run("keep", "y.png", "--as", "y").code == 0
    assert "count" not in rows(game)["y"]
    holds(game, "y")
    assert "is y already" in refused(game, "y.png", "--as", "z").err


def test_one_of_several_tasks(game: Cli) -> None:
    """On a provider without a count each picture is a task of its own, and is kept alone, by FILE or TASK."""
    ran = game.run("generate", "a fox", "-n", "3", "-p", "rivya", "-s", "1K", "-o", "x.png", "--json")
    assert game.run("keep", "x-2.png", "--as", "two").code == 0
    assert game.run("keep", ran.json["tasks"][2]["handle"], "--as", "three").lines == ["x-3.png"]
    for name in ("two", "three"):
        holds(game, name)


def test_keeping_again_changes_nothing(game: Cli) -> None:
    """The same call twice is the same asset."""
    assert game.run("generate", "a fox", "-p", "rivya", "-o", "fox.png").code == 0
    assert game.run("keep", "fox.png", "--as", "fox").code == 0
    before = everything(game)
    assert game.run("keep", "fox.png", "--as", "fox").code == 0
    assert everything(game) == before


def test_an_id_that_is_there(game: Cli) -> None:
    """Another asset of that id stays unless --overwrite says so; then its row is replaced, and the rest stays."""
    game.write("assets.toml", BASE)
    assert game.run("render", "assets.toml").code == 0
    assert game.run("generate", "a fox", "-p", "rivya", "--seed", "9", "-o", "fox.png").code == 0
    assert "assets.toml:7: hero is there already" in refused(game, "fox.png", "--as", "hero").err
    assert game.run("keep", "fox.png", "--as", "hero", "--overwrite").code == 0
    assert rows(game)["hero"] == {
        "id": "hero", "prompt": "a fox", "model": "wan2.7-image", "seed": 9, "output": "fox.png",
    }  # fmt: skip
    kept = [line for line in BASE.splitlines() if "prompt" not in line and "size" not in line]
    assert [line for line in text(game).splitlines() if line in kept] == kept
    holds(game, "hero")


def test_a_row_of_the_same_request(game: Cli) -> None:
    """A row that was written by hand for the same request is that asset, also where it leaves the provider open."""
    game.write("assets.toml", '[[asset]]\nid = "fox"\nprompt = "a fox"\nseed = 7\noutput = "art/fox.png"\n')
    before = text(game)
    assert game.run("generate", "a fox", "--seed", "7", "-p", "rivya", "-o", "found.png").code == 0
    assert game.run("keep", "found.png", "--as", "fox").lines == ["art/fox.png"]
    assert text(game) == before
    assert lock(game)["fox"]["pinned"] == "rivya"
    assert game.files() == ["art/fox.png", "assets.sandbox.lock", "assets.toml"]
    holds(game, "fox")


def test_a_take_is_chosen(game: Cli) -> None:
    """A take goes to the asset's place and the earlier file takes its name: nothing is lost, and nothing bought."""
    game.write("assets.toml", BASE)
    assert game.run("render", "assets.toml").code == 0
    first = (game.cwd / "art/hero.png").read_bytes()
    assert game.run("render", "assets.toml", "--again", "-n", "2").code == 0
    assert [name for name in game.files() if "take" in name] == ["art/hero.take-1.png", "art/hero.take-2.png"]
    second = (game.cwd / "art/hero.take-2.png").read_bytes()
    bought = purchases(game)
    ran = game.run("keep", "art/hero.take-2.png", "--as", "hero")
    assert ran.lines == ["art/hero.png"], ran.err
    assert (game.cwd / "art/hero.png").read_bytes() == second
    assert (game.cwd / "art/hero.take-2.png").read_bytes() == first
    assert text(game) == BASE
    holds(game, "hero")
    assert game.run("keep", "art/hero.take-2.png", "--as", "hero").code == 0  # back again
    assert (game.cwd / "art/hero.png").read_bytes() == first
    holds(game, "hero")
    assert purchases(game) == bought


@pytest.mark.parametrize("provider", ["rivya", "modelverse"])
def test_a_take_of_several_files(game: Cli, provider: str) -> None:
    """A take of an asset with a count is chosen as a whole, by any of its files."""
    game.write("assets.toml", f'[[asset]]\nid = "fox"\nprompt = "a fox"\ncount = 2\nprovider = "{provider}"\n')
    assert game.run("render", "assets.toml").code == 0
    assert game.run("render", "assets.toml", "--again", "-n", "1").code == 0
    takes = {name: (game.cwd / name).read_bytes() for name in game.files() if "take" in name}
    assert len(takes) == 2
    assert game.run("keep", min(takes), "--as", "fox").lines == ["fox-1.png", "fox-2.png"]
    assert [(game.cwd / name).read_bytes() for name in ("fox-1.png", "fox-2.png")] == [takes[n] for n in sorted(takes)]
    holds(game, "fox")


def test_a_take_does_not_replace_an_edited_file(game: Cli) -> None:
    """Where the asset's file was edited by hand, a take is refused and everything stays."""
    game.write("assets.toml", BASE)
    assert game.run("render", "assets.toml").code == 0
    assert game.run("render", "assets.toml", "--again", "-n", "1").code == 0
    game.write("art/hero.png", picture(64, 64))
    assert "was edited by hand" in refused(game, "art/hero.take-1.png", "--as", "hero").err


def test_a_row_of_a_matrix(game: Cli) -> None:
    """A take of a matrix's asset is chosen; a request of its own cannot take its place."""
    game.write("assets.toml", '[[asset]]\nid = "i-{a}"\nprompt = "a {a}"\nmatrix = { a = ["x", "y"] }\n')
    assert game.run("render", "assets.toml", "--only", "i-x").code == 0
    assert game.run("render", "assets.toml", "--only", "i-x", "--again", "-n", "1").code == 0
    assert game.run("keep", "i-x.take-1.png", "--as", "i-x").code == 0
    holds(game, "i-x")
    assert game.run("generate", "other", "-p", "rivya", "-o", "o.png").code == 0
    assert "comes from a matrix" in refused(game, "o.png", "--as", "i-x", "--overwrite").err


def test_other_forms_of_manifests(game: Cli) -> None:
    """Into JSONL nothing is written, but a take of its asset can be chosen."""
    game.write("assets.jsonl", '{"id": "fox", "prompt": "a fox"}\n')
    assert game.run("render", "assets.jsonl").code == 0
    assert game.run("render", "assets.jsonl", "--again", "-n", "1").code == 0
    assert game.run("keep", "fox.take-1.png", "--as", "fox", "--into", "assets.jsonl").code == 0
    holds(game, "fox", manifest="assets.jsonl")
    assert "only a TOML manifest" in refused(game, "fox.take-1.png", "--as", "owl", "--into", "assets.jsonl").err


def test_a_file_outside(game: Cli) -> None:
    """A file or a reference outside the root is refused with the command that brings it inside; so is a link out."""
    outside = game.root / "else"
    outside.mkdir()
    (outside / "ref.png").write_bytes(picture(400, 400))
    assert game.run("generate", "a fox", "-p", "rivya", "-o", str(outside / "fox.png")).code == 0
    ran = refused(game, outside / "fox.png", "--as", "fox")
    assert ran.said("hint") == f"mv {outside}/fox.png {game.cwd}/, then run the command again"
    (game.cwd / "link.png").symlink_to(outside / "fox.png")
    assert "is not below" in refused(game, "link.png", "--as", "fox").err
    assert game.run("edit", outside / "ref.png", "night", "-p", "rivya", "-o", "night.png").code == 0
    assert f"mv {outside}/ref.png" in refused(game, "night.png", "--as", "night").said("hint")
    assert game.run("keep", "night.png", "--as", "night", "--root", "..", "--json").code == 0
    assert rows(game)["night"]["images"] == ["else/ref.png"]
    assert rows(game)["night"]["output"] == "work/night.png"


def test_a_reference_that_changed(game: Cli) -> None:
    """A reference that was changed since is recorded as it is, and told; one that is gone is an error."""
    game.write("ref.png", picture(400, 400))
    assert game.run("edit", "ref.png", "night", "-p", "rivya", "-o", "night.png").code == 0
    game.write("ref.png", picture(500, 500))
    ran = game.run("keep", "night.png", "--as", "night")
    assert "warning: ref.png has changed since" in ran.err
    holds(game, "night")
    (game.cwd / "ref.png").unlink()
    assert "ref.png, which it was made from, is not there" in refused(game, "night.png", "--as", "other").err


def test_an_address_as_reference(game: Cli) -> None:
    """An address stays the reference that it was."""
    assert game.run("edit", "https://example.com/a.png", "night", "-p", "modelverse", "-o", "night.png").code == 0
    assert game.run("keep", "night.png", "--as", "night").code == 0
    assert rows(game)["night"]["images"] == ["https://example.com/a.png"]
    holds(game, "night")


def test_what_was_changed_after_delivery(game: Cli) -> None:
    """TASK whose file was changed is recorded as it is; a file of another task there is refused."""
    for name in ("fox", "owl"):
        assert game.run("generate", name, "-p", "rivya", "-o", f"{name}.png").code == 0
    ids = {task["prompt"]: task["id"] for task in game.run("status", "--json").json["tasks"]}
    game.write("fox.png", picture(64, 64))
    ran = game.run("keep", ids["fox"], "--as", "fox")
    assert "warning: fox is not as it was delivered" in ran.err
    assert lock(game)["fox"]["accepted"] is True
    holds(game, "fox")
    (game.cwd / "owl.png").unlink()
    assert game.run("generate", "cat", "-p", "rivya", "-o", "owl.png").code == 0
    assert "is now what" in refused(game, ids["owl"], "--as", "owl").err


def test_the_document(game: Cli) -> None:
    """--json has the task, and where the asset stands; paths are as a user would type them."""
    assert game.run("generate", "a fox", "-p", "rivya", "-o", "game/art/fox.png").code == 0
    ran = game.run("keep", "game/art/fox.png", "--as", "fox", "--into", "game/assets.toml", "--json")
    assert ran.code == 0, ran.err
    assert ran.task["prompt"] == "a fox"
    assert ran.json["kept"] == {
        "id": "fox", "manifest": "game/assets.toml", "lock": "game/assets.sandbox.lock",
        "files": ["game/art/fox.png"],
    }  # fmt: skip
    quiet = game.run("keep", "game/art/fox.png", "--as", "fox", "--into", "game/assets.toml", "-q")
    assert quiet.lines == ["game/art/fox.png"]
    assert "kept" not in quiet.err


def test_what_cannot_be_kept(game: Cli) -> None:
    """A missing id, file, task or folder, an unknown file, an unfinished or failed task and a bad id are refused."""
    game.write("found.png", picture(64, 64))
    assert "the ledger does not know" in refused(game, "found.png", "--as", "x").err
    assert "--as ID is missing" in refused(game, "found.png").err
    assert "does not exist" in refused(game, "none.png", "--as", "x").err
    assert "no task" in refused(game, "zzzzzz", "--as", "x").err
    pending = game.run("generate", "a fox", "-p", "rivya", "--no-wait", "--json").task["id"]
    assert "has no files here yet" in refused(game, pending, "--as", "x").err
    failed = game.run("generate", "a fox", "-p", "rivya", "--fault", "fail", "--json").task["id"]
    assert "ended without a file" in refused(game, failed, "--as", "x").err
    assert game.run("generate", "a fox", "-p", "rivya", "-o", "fox.png").code == 0
    for name in ("a b", "../x", "@x", ""):
        refused(game, "fox.png", "--as", name)
    assert "no folder" in refused(game, "fox.png", "--as", "x", "--into", "none/assets.toml").err


def test_a_file_of_the_sandbox(cli: Cli) -> None:
    """Without --sandbox a picture of the sandbox is not known, and the message says where to look."""
    assert cli.run("generate", "a fox", "--sandbox", "-o", "fox.png", "-p", "rivya").code == 0
    ran = cli.run("keep", "fox.png", "--as", "fox")
    assert ran.code == 2
    assert "(if the sandbox made it: --sandbox)" in ran.err
    assert cli.files() == ["fox.png"]


def test_prompts_that_are_not_stored(game: Cli) -> None:
    """With store_prompts = false nothing can be stated, so nothing is written."""
    game.config("[privacy]\nstore_prompts = false\n")
    assert game.run("generate", "a fox", "-p", "rivya", "-o", "fox.png").code == 0
    assert "the prompt is not stored" in refused(game, "fox.png", "--as", "fox").err


@pytest.mark.parametrize(
    "manifest",
    [
        "asset = 7\n", "[[asset]]\nid = 'x'\n", "[defaults]\nnone = 1\n", "<<<<<<< ours\n",
        '[[asset]]\nid="a"\nprompt="p"\n[defaults]\nsize="1K"\n[[asset]]\nid="b"\nprompt="c"\n',
        '[[asset]]\nid = "a"\nprompt = "p"\noutput = "fox.png"\n',
    ],
)  # fmt: skip
def test_a_manifest_that_is_wrong(game: Cli, manifest: str) -> None:
    """Where the manifest could not be read with the asset in it, neither it nor the lock is touched."""
    assert game.run("generate", "a fox", "-p", "rivya", "-o", "fox.png").code == 0
    game.write("assets.toml", manifest)
    before = everything(game)
    ran = game.run("keep", "fox.png", "--as", "fox", *(["--overwrite"] if "[defaults]\nsize" in manifest else []))
    if ran.code == 0:  # a block at the end is fine, wherever the others stand
        assert text(game).startswith(manifest)
        return
    assert ran.code == 2, ran.err
    assert "assets.toml" in ran.err
    assert ".part" not in ran.err
    assert everything(game) == before


def test_params_of_any_shape() -> None:
    """Lists, tables, numbers and texts stand in a manifest as they were; null cannot, and nothing is written."""
    param = {"deep": {"a": [1, "b", {"c": 1.5}]}, "on": True, "text": 'q"\n\\x'}
    fields = {"id": "x", "prompt": 'two\nlines """ \\ \x7f', "param": param}
    for before in ("", "# only a comment", "asset = []\n", 'asset = [{id = "a", prompt = "b"}]\n'):
        after = with_asset(before, "x", fields, place="assets.toml", replace=False)
        assert tomllib.loads(after)["asset"][-1] == fields
    again = with_asset(after, "x", {"id": "x", "prompt": "p"}, place="assets.toml", replace=True)
    assert tomllib.loads(again)["asset"] == [{"id": "a", "prompt": "b"}, {"id": "x", "prompt": "p"}]
    with pytest.raises(UsageError, match="null cannot stand in TOML"):
        with_asset("", "x", {"id": "x", "param": {"a": None}}, place="assets.toml", replace=False)


def test_rows_out_of_order_are_not_rewritten(game: Cli) -> None:
    """Where tomlkit would move blocks, a row is not replaced."""
    game.write("assets.toml", '[[asset]]\nid="a"\nprompt="p"\n[defaults]\nseed=1\n[[asset]]\nid="b"\nprompt="c"\n')
    assert game.run("generate", "a fox", "-p", "rivya", "-o", "fox.png").code == 0
    assert "blocks are not in one row" in refused(game, "fox.png", "--as", "a", "--overwrite").err


def test_a_purchase_under_way(game: Cli) -> None:
    """An asset that is being bought is not replaced; the hint is the command that collects it."""
    game.write("assets.toml", BASE)
    assert game.run("render", "assets.toml", "--no-wait").code == 0
    assert game.run("generate", "a fox", "-p", "rivya", "-o", "fox.png").code == 0
    ran = refused(game, "fox.png", "--as", "hero", "--overwrite")
    assert ran.said("hint") == "wan render assets.toml --sandbox"


def test_a_lock_that_is_held(game: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the lock cannot be had, or the manifest not replaced, both stay as they were."""
    assert game.run("generate", "a fox", "-p", "rivya", "-o", "fox.png").code == 0
    game.write("assets.toml", BASE)
    replace = Path.replace

    def full(self: Path, target: Any) -> Path:
        if Path(target).suffix == ".toml":
            raise OSError(28, "No space left on device")
        return replace(self, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", full)
        assert "No space left" in refused(game, "fox.png", "--as", "fox", code=3).err

    def closed(path: Any, flags: int, *mode: int) -> int:
        if flags & os.O_CREAT and str(path).endswith(".toml"):
            raise OSError(13, "Permission denied")
        return opened(path, flags, *mode)

    opened = os.open
    with monkeypatch.context() as patch:
        patch.setattr(os, "open", closed)
        assert "Permission denied" in refused(game, "fox.png", "--as", "fox", code=3).err
    assert game.run("keep", "fox.png", "--as", "fox").code == 0


def test_a_take_that_cannot_be_moved(game: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the chosen file cannot go to its place, lock and files stay."""
    game.write("assets.toml", BASE)
    assert game.run("render", "assets.toml").code == 0
    assert game.run("render", "assets.toml", "--again", "-n", "1").code == 0
    replace = Path.replace

    def full(self: Path, target: Any) -> Path:
        if Path(target).name == "hero.png":
            raise OSError(30, "Read-only file system")
        return replace(self, target)

    monkeypatch.setattr(Path, "replace", full)
    assert "Read-only" in refused(game, "art/hero.take-1.png", "--as", "hero", code=3).err


def test_mode_and_link_of_the_manifest(game: Cli) -> None:
    """A manifest keeps its mode, and a link to it stays a link."""
    game.write("conf/real.toml", BASE).chmod(0o640)
    (game.cwd / "assets.toml").symlink_to("conf/real.toml")
    assert game.run("generate", "a fox", "-p", "rivya", "-o", "fox.png").code == 0
    assert game.run("keep", "fox.png", "--as", "fox").code == 0
    assert (game.cwd / "assets.toml").is_symlink()
    assert (game.cwd / "conf/real.toml").stat().st_mode & 0o777 == 0o640
    holds(game, "fox")


@pytest.mark.parametrize("words", [("render", "--help"), ("keep", "--help"), ("help", "render")], ids=" ".join)
def test_help_fits_a_terminal(cli: Cli, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]) -> None:
    """What is printed of the two commands fits 80 columns, and names only options that there are."""
    monkeypatch.setenv("COLUMNS", "80")
    ran = cli.run(*words)
    assert ran.code == 0
    assert max(map(len, ran.lines)) <= 80
    known = set(re.findall(r"(?<![\w-])--[a-z-]+", cli.run("render", "--help").out + cli.run("keep", "--help").out))
    assert set(re.findall(r"(?<![\w-])--[a-z-]+", ran.out)) <= known


def test_a_file_that_wan_did_not_make(game: Cli) -> None:
    """What the hint says works: the row is written by hand, and --accept records the file as it is."""
    game.write("art/hero.png", picture(64, 64))
    game.write("assets.toml", BASE)
    assert (
        refused(game, "art/hero.png", "--as", "hero").said("hint").endswith("wan render MANIFEST --accept ID --sandbox")
    )
    assert game.run("render", "assets.toml", "--accept", "hero").code == 0
    holds(game, "hero")


@pytest.mark.parametrize(
    ("row", "same"),
    [
        ('verb = "edit"\nimages = ["ref.png"]\nprovider = ["modelverse", "rivya"]', True),
        ('verb = "edit"\nimages = ["ref.png"]\nmodel = "wan2.7-image"\ncount = 1', True),
        ('verb = "edit"\nimages = ["ref.png"]\nprovider = "modelverse"', False),
        ('verb = "edit"\nimages = ["ref.png", "ref.png"]', False),
        ('verb = "edit"\nimages = ["ref.png"]\nmodel = "wan2.7-image-pro"', False),
        ('verb = "edit"\nimages = ["ref.png"]\nseed = 1', False),
    ],
)
def test_which_rows_are_the_same(game: Cli, row: str, same: bool) -> None:
    """A row is the same asset where it states nothing that the task was not made with."""
    game.write("ref.png", picture(400, 400))
    game.write("assets.toml", f'[[asset]]\nid = "night"\nprompt = "night"\n{row}\n')
    assert game.run("edit", "ref.png", "night", "-p", "rivya", "-o", "night.png").code == 0
    if same:
        assert game.run("keep", "night.png", "--as", "night").code == 0
        holds(game, "night")
    else:
        assert "is there already" in refused(game, "night.png", "--as", "night").err


def test_defaults_that_would_make_it_stale(game: Cli) -> None:
    """Where the defaults bring in an asset that is not there, what was kept would be bought anew: it is refused."""
    game.write("ref.png", picture(400, 400))
    game.write("assets.toml", '[[asset]]\nid = "hero"\nprompt = "x"\nmask = "ref.png"\n[defaults]\nmask = "@hero"\n')
    assert game.run("edit", "ref.png", "night", "-p", "rivya", "-o", "night.png").code == 0
    assert "night would not be up to date: @hero changes" in refused(game, "night.png", "--as", "night").err
