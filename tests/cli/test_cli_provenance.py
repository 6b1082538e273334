"""Where a file comes from: ``wan inspect``, ``--embed`` and ``--like`` (sections 1 and 9)."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from support_cli import CANARIES, Cli, Ran, picture
from support_render import assets, one

from wan_cli.media import inspect, xmp
from wan_cli.media.metadata import Metadata, read_metadata

RV = ("generate", "a fox in the snow", "-p", "rivya", "--seed", "7", "-s", "1K")


def said(path: Path) -> Metadata:
    """Return what a file says of itself."""
    with path.open("rb") as file:
        return read_metadata(file, inspect(file).mime)


def imprint(path: Path) -> Any:
    """Return the imprint in a file."""
    return json.loads(xmp.values(said(path).xmp)["imprint"])


def forget(live: Cli, name: str = "elsewhere") -> None:
    """Go on with another ledger, as on another machine."""
    live.env["WAN_STATE_DIR"] = str(live.root / name)


def rows(ran: Ran) -> Any:
    """Return what ``inspect --json`` says of each file."""
    return ran.json["inspect"]


def bought(live: Cli) -> Any:
    """Return the body of the last purchase."""
    return live.provider.orders[-1].body


def written(live: Cli, name: str, **texts: str) -> None:
    """Make a PNG with these texts."""
    info = PngInfo()
    for keyword, text in texts.items():
        info.add_itxt(keyword, text)
    data = io.BytesIO()
    Image.new("L", (64, 64)).save(data, "PNG", pnginfo=info)
    live.write(name, data.getvalue())


# -- embed


@pytest.mark.parametrize(("name", "flags"), [("a.png", []), ("a.jpg", ["--convert"]), ("a.webp", ["--convert"])])
def test_embedding(live: Cli, name: str, flags: list[str]) -> None:
    """The file says prompt, model, seed, provider and IPTC's kind of source; the ledger has the hash of that file."""
    ran = live.run(*RV, "-o", name, "--embed", "--json", *flags)
    assert ran.code == 0, ran.err
    found = imprint(live.cwd / name)
    assert found == {
        "wan": 1, "verb": "generate", "provider": "rivya", "model": "wan2.7-image", "provider_model": "wan-2-7-image",
        "sandbox": False, "prompt": "a fox in the snow", "size": "1K", "seed": 7, "n": 1,
    }  # fmt: skip
    assert xmp.values(said(live.cwd / name).xmp)["digital_source_type"] == xmp.TRAINED
    data = (live.cwd / name).read_bytes()
    assert ran.task["files"][0]["sha256"] == hashlib.sha256(data).hexdigest()
    assert ran.task["warnings"] == []
    assert live.files() == [name]
    with Image.open(live.cwd / name) as image, Image.open(io.BytesIO(picture())) as plain:
        assert image.convert("L").tobytes() == plain.tobytes()


def test_nothing_is_embedded_unless_asked(live: Cli) -> None:
    """What was delivered is saved byte for byte, also where --no-embed overrules the configuration."""
    live.run(*RV, "-o", "a.png")
    live.config("[defaults]\nembed = true\n")
    live.run(*RV, "-o", "b.png", "--no-embed")
    live.run(*RV, "-o", "c.png")
    assert (live.cwd / "a.png").read_bytes() == (live.cwd / "b.png").read_bytes() == picture()
    assert imprint(live.cwd / "c.png")["seed"] == 7


def test_a_signed_result_is_left_as_it_is(live: Cli) -> None:
    """A C2PA signature survives: the file is as it was delivered, with a warning, and inspect says what is claimed."""
    data = picture()
    box = b"\0\0\0\x04caBX" + b"\x60\0\0\0" + b"\0\0\0\0"
    live.provider.deliver = lambda *_: data[:33] + box + data[33:]
    ran = live.run(*RV, "-o", "a.png", "--embed", "--json")
    assert ran.code == 0
    assert (live.cwd / "a.png").read_bytes() == data[:33] + box + data[33:]
    assert ran.task["warnings"] == ["nothing was embedded: it carries a C2PA signature, which a change would break"]
    (row,) = rows(live.run("inspect", "a.png", "--json"))
    assert (row["source"], row["c2pa"], row["program"]) == ("ledger", True, None)
    assert "neither its signature nor its issuer was verified" in " ".join(row["notes"])
    forget(live)
    assert rows(live.run("inspect", "a.png", "--json"))[0]["source"] == "c2pa"


def test_a_private_prompt_stays_private(live: Cli) -> None:
    """With store_prompts = false neither the file nor its sidecar has the prompt or another text of the user."""
    live.config("[privacy]\nstore_prompts = false\n")
    ran = live.run(*RV, "-o", "a.png", "--embed", "--sidecar", "--param", "negative_prompt=secret dogs")
    assert ran.code == 0, ran.err
    assert bought(live)["prompt"] == "a fox in the snow"
    for path in (live.cwd / "a.png", live.cwd / "a.png.json"):
        assert not re.search(rb"fox|secret", path.read_bytes())
    assert imprint(live.cwd / "a.png")["seed"] == 7
    assert rows(live.run("inspect", "a.png", "--json"))[0]["prompt"] is None
    assert live.run("generate", "--like", "a.png").code == 2


def test_no_key_and_no_address_is_embedded(live: Cli) -> None:
    """Neither keys, parameters nor the addresses of references get into the file."""
    live.write("a.png", picture(512, 512))
    address = "https://cdn.example.com/x.png?Signature=s3cret"
    ran = live.run(
        "fuse", "a.png", address, "both", "-p", "rivya", "-o", "b.png", "--embed", "--param", "hook=http://h"
    )
    assert ran.code == 0, ran.err
    data = (live.cwd / "b.png").read_bytes()
    assert not re.search(rb"s3cret|cdn\.example|http://h", data)
    assert not any(key.encode() in data for key in CANARIES)
    found = imprint(live.cwd / "b.png")
    assert found["references"] == [{"name": "a.png", "sha256": hashlib.sha256(picture(512, 512)).hexdigest()}]
    assert found["addresses"] == 1


def test_embedding_goes_with_the_task(live: Cli) -> None:
    """``wan wait`` embeds what the submit asked for, and what it is asked for itself; --no-embed there undoes it."""
    for name, submit, collect in (("a", ["--embed"], []), ("b", [], ["--embed"]), ("c", ["--embed"], ["--no-embed"])):
        handle = live.run(*RV, "-o", f"{name}.png", "--no-wait", *submit).out.strip()
        assert live.run("wait", handle, *collect).code == 0
    assert imprint(live.cwd / "a.png") == imprint(live.cwd / "b.png")
    assert (live.cwd / "c.png").read_bytes() == picture()


def test_wait_does_not_alter_what_is_saved(live: Cli) -> None:
    """--embed on a saved task says that nothing is done."""
    handle = live.run(*RV, "-o", "a.png", "--json").task["handle"]
    ran = live.run("wait", handle, "--embed")
    assert ran.code == 0
    assert "warning: --embed: " in ran.err
    assert (live.cwd / "a.png").read_bytes() == picture()


def test_embedding_into_standard_output(live: Cli) -> None:
    """-o - with --embed writes the labelled picture."""
    ran = live.run(*RV, "-o", "-", "--embed")
    assert ran.code == 0, ran.err
    live.write("out.png", ran.raw)
    assert imprint(live.cwd / "out.png")["prompt"] == "a fox in the snow"
    handle = live.run(*RV, "-o", "a.png", "--no-wait").out.strip()
    assert live.run("wait", handle, "--embed", "-o", "-").raw == ran.raw


@pytest.mark.parametrize("words", [["-o", "a.mp4", "-m", "wan2.7-video"], ["-o", "a.gif", "--convert"]])
def test_what_has_no_place_for_it(live: Cli, words: list[str]) -> None:
    """--embed with a video, or with a format that takes no label, is a usage error before anything is sent."""
    ran = live.run("generate", "a fox", "-p", "rivya", "--embed", *words)
    assert ran.code == 2
    assert "--embed: " in ran.said("error")
    assert "--embed" not in ran.said("hint")
    assert live.provider.seen == []
    live.config("[defaults]\nembed = true\n")
    assert live.run("generate", "a fox", "-p", "rivya", *words, "--dry-run").code == 0


def test_a_video_that_waits(live: Cli) -> None:
    """Where a video is collected with --embed, it is collected, and a warning says that nothing is written into it."""
    handle = live.run(
        "generate", "a wave", "-p", "rivya", "-m", "wan2.7-video", "-o", "a.mp4", "--no-wait", "--yes"
    ).out.strip()
    ran = live.run("wait", handle, "--embed", "--timeout", "1s", "-o", "b.mp4")
    assert "makes a video, and nothing is written into videos" in ran.err


def test_a_rendered_asset_says_how_it_was_made(live: Cli) -> None:
    """``embed`` is a field of assets and of [defaults]; it makes nothing stale, and a later run says what waits."""
    assets(live, one("fox", provider="rivya"), one("owl", provider="rivya", embed=True))
    assert live.run("render", "assets.toml", "--yes").code == 0
    assert imprint(live.cwd / "owl.png")["prompt"] == "a picture of owl"
    assert said(live.cwd / "fox.png").xmp == b""
    assets(live, one("fox", provider="rivya"), one("owl", provider="rivya"), defaults={"embed": True})
    ran = live.run("render", "assets.toml", "--yes")
    assert ran.code == 0
    assert "fox: embed = true, and nothing is in it" in ran.err
    assert "owl: embed" not in ran.err
    assert len(live.provider.orders) == 2
    assert live.run("render", "assets.toml", "--check").code == 0


def test_a_rendered_video_has_no_place_for_it(live: Cli) -> None:
    """A row that asks for it is refused with its place before anything is bought."""
    assets(live, one("wave", provider="rivya", model="wan2.7-video", output="wave.mp4", embed=True))
    ran = live.run("render", "assets.toml", "--yes")
    assert ran.code == 2
    assert "wave: embed = true: nothing is written into videos" in ran.err
    assert live.provider.orders == []


# -- inspect


def test_the_ledger_knows_its_files(live: Cli) -> None:
    """``inspect`` gives the task object of what made a file, wherever that is by now, and a row a file."""
    made = live.run(*RV, "-o", "a.png", "--json").task
    (live.cwd / "a.png").rename(live.cwd / "moved.png")
    ran = live.run("inspect", "moved.png", "--json")
    assert ran.code == 0
    assert ran.json["command"] == "inspect"
    assert ran.task == {**made, "source": "ledger"}
    plain = live.run("inspect", "moved.png")
    assert plain.out.split("\t") == [
        "moved.png", "ledger", "rivya", "wan2.7-image", "", "1K", "7", "2026-11-21T09:00:00Z", made["handle"],
        "a fox in the snow\n",
    ]  # fmt: skip


def test_a_table_on_a_terminal(live: Cli) -> None:
    """On a terminal each file has a small table of what is known."""
    live.run(*RV, "-o", "a.png", "--embed")
    live.run("edit", "a.png", "make it night", "-p", "rivya", "-o", "b.png")
    ran = live.run("inspect", "a.png", "b.png", tty=["stdout"], env={"COLUMNS": "120"})
    assert "\t" not in ran.out
    assert re.search(r"(?m)^prompt +a fox in the snow$", ran.out)
    assert re.search(r"(?m)^digital_source_type +trainedAlgorithmicMedia$", ran.out)
    assert re.search(r"(?m)^references +a.png$", ran.out)
    assert "None" not in ran.out


def test_the_sandbox_is_asked_too(live: Cli) -> None:
    """A file of the sandbox is known without the flag, and a real one with it; no ledger is made by asking."""
    live.run(*RV, "-o", "a.png", "--sandbox")
    live.run(*RV, "-o", "b.png", "--seed", "8", "-s", "2K")
    assert live.run("inspect", "a.png", "--json").task["sandbox"] is True
    assert live.run("inspect", "b.png", "--json", "--sandbox").task["sandbox"] is False
    forget(live)
    assert live.run("inspect", "a.png").code == 2
    assert not (live.root / "elsewhere" / "ledger.db").exists()


def test_a_damaged_ledger_stops_nothing(live: Cli) -> None:
    """Where the ledger cannot be asked, the file itself is, and a note says so."""
    live.run(*RV, "-o", "a.png", "--embed")
    forget(live)
    (live.root / "elsewhere").mkdir(mode=0o700)
    (live.root / "elsewhere" / "ledger.db").write_bytes(b"")
    ran = live.run("inspect", "a.png")
    assert ran.code == 0
    assert ran.out.startswith("a.png\tembedded\trivya\t")
    assert "the ledger cannot be asked" in ran.err


def test_the_lock_of_a_project(live: Cli) -> None:
    """Without a ledger the lock above the file, or above the current folder, says what made it."""
    live.write("refs/logo.png", picture(512, 512))
    assets(
        live, one("fox", provider="rivya", seed=3, output="art/{id}{ext}"),
        one("both", provider="rivya", verb="fuse", images=["@fox", "refs/logo.png", "https://cdn.example.com/x.png"]),
    )  # fmt: skip
    assert live.run("render", "assets.toml", "--yes").code == 0
    forget(live)
    for where in (live.cwd, live.cwd / "art"):
        (row,) = rows(live.run("inspect", live.cwd / "art" / "fox.png", "--json", cwd=where))
        assert (row["source"], row["prompt"], row["seed"]) == ("lock", "a picture of fox", 3)
        assert row["where"].endswith("assets.lock")
    shutil.copy(live.cwd / "both.png", live.root / "copy.png")
    (row,) = rows(live.run("inspect", live.root / "copy.png", "--json"))
    assert row["references"] == ["fox.png", "logo.png", "https://cdn.example.com/x.png"]
    ran = live.run("fuse", "--like", "both.png", "-o", "again.png")
    assert ran.code == 0, ran.err
    forget(live, "nowhere")
    live.write("assets.lock", "<<<<<<< ours\n")
    assert live.run("inspect", "art/fox.png").code == 2


def test_a_lock_names_nothing_outside(live: Cli) -> None:
    """A path that leads out of the project, and an entry that is none, are not followed."""
    live.run(*RV, "-o", "a.png")
    digest = hashlib.sha256((live.cwd / "a.png").read_bytes()).hexdigest()
    outside = live.root / "out.png"
    outside.write_bytes(picture(512, 512))
    secret = hashlib.sha256(outside.read_bytes()).hexdigest()
    forget(live)
    for stated, known in (
        ({"verb": "edit", "prompt": "x", "images": ["../out.png", 7, "@nobody"]}, True), ({"verb": "steal"}, False),
    ):  # fmt: skip
        entry = {
            "request": "0" * 64, "stated": stated, "inputs": {"../out.png": secret}, "provider": "rivya",
            "model": "wan2.7-image", "files": [{"path": "a.png", "sha256": digest, "bytes": 1}],
        }  # fmt: skip
        live.write("assets.lock", json.dumps({"wan_lock": 1, "assets": {"a": entry}}))
        assert (live.run("inspect", "a.png").code == 0) is known
        ran = live.run("edit", "--like", "a.png")
        assert ran.code == 2
    assert len(live.provider.orders) == 1


def test_a_sidecar_beside_it(live: Cli) -> None:
    """A sidecar says what made its file; of a file that changed since, it says so."""
    live.run(*RV, "-o", "a.png", "--sidecar", "--param", "x=1")
    forget(live)
    task = live.run("inspect", "a.png", "--json").task
    assert (task["source"], task["prompt"], task["request"]["params"]) == ("sidecar", "a fox in the snow", {"x": 1})
    live.write("a.png", picture(8, 8))
    ran = live.run("inspect", "a.png")
    assert ran.code == 0
    assert "has changed since" in ran.err
    live.write("a.png.json", '{"wan": 1, "verb": "edit", "provider": "rivya", "sha256": 7}')
    assert live.run("inspect", "a.png").code == 2


@pytest.mark.parametrize(
    "text",
    [
        "{", "[]", "7", '{"wan": 1}', '{"wan": true, "verb": "edit", "provider": "rivya"}', "[" * 100_000,
        '{"wan": 1, "verb": "melt", "provider": "rivya"}', '{"wan": 1, "verb": "edit", "provider": "../x"}',
        " " * 2_000_000,
    ],
)  # fmt: skip
def test_what_is_no_imprint(live: Cli, text: str) -> None:
    """A JSON file beside a picture, and a text in it, that are no imprint say nothing."""
    written(live, "a.png", wan=text)
    live.write("a.png.json", text)
    assert live.run("inspect", "a.png").code == 2


def test_an_imprint_of_anybody(live: Cli) -> None:
    """Values of the wrong kind count as not said, and what is printed is harmless."""
    evil = {
        "wan": 1, "verb": "edit", "provider": "rivya", "model": "x\x1b[2J\n::set", "prompt": "\u202edrop\x07",
        "seed": True, "n": -4, "size": 7, "watermark": "yes", "handle": "rivya:../../x", "params": [1],
        "addresses": 10**12,
        "references": [1, {"role": "boss"}, {"name": "../a", "sha256": "0" * 64}, {"name": "b", "sha256": "zz"},
                       {"name": "..", "sha256": "0" * 64}, {"name": "c.png", "sha256": 7}],
    }  # fmt: skip
    written(live, "a.png", wan=json.dumps(evil))
    task = live.run("inspect", "a.png", "--json").task
    assert (task["handle"], task["request"]["n"]) == (None, 1)
    assert "seed" not in task["request"]
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", live.run("inspect", "a.png").out)
    assert not re.search(r"[\x00-\x08\x0b-\x1f\u202e]", live.run("inspect", "a.png", tty=["stdout"]).out)
    ran = live.run("edit", "--like", "a.png")
    assert ran.code == 2
    assert "an address that is not kept" in ran.said("error")


def test_others_are_recognised(live: Cli) -> None:
    """ComfyUI, A1111 and IPTC's properties are told apart; what they say is shown as theirs."""
    graph = {"1": {"class_type": "KSampler", "inputs": {"seed": 5, "positive": "a cat"}}}
    written(live, "comfy.png", prompt=json.dumps(graph), workflow="{}")
    written(live, "web.png", parameters="a dog\nSteps: 4, Seed: 9, Size: 64x64, Model: sd")
    iptc = xmp.packet({"system": "Their Engine", "digital_source_type": xmp.TRAINED, "prompt": "a cow"}).decode()
    written(live, "iptc.png", **{"XML:com.adobe.xmp": iptc})
    ran = live.run("inspect", "comfy.png", "web.png", "iptc.png", "--json")
    assert [(row["source"], row["prompt"], row["seed"]) for row in rows(ran)] == [
        ("comfyui", "a cat", 5), ("a1111", "a dog", 9), ("iptc", "a cow", None),
    ]  # fmt: skip
    assert rows(ran)[2]["program"] == "Their Engine"
    assert ran.json["tasks"] == []
    assert live.run("inspect", "web.png").out == "web.png\ta1111\t\tsd\t\t64x64\t9\t\t\ta dog\n"


def test_comfyui_in_exif(live: Cli) -> None:
    """In JPEG and WebP the graph stands in EXIF: in the model, or with the workflow in the comment."""
    graph = {"1": {"class_type": "KSampler", "inputs": {"seed": 5, "positive": "a cat"}}}
    by_model, by_comment = Image.Exif(), Image.Exif()
    by_model[0x0110] = f"prompt:{json.dumps(graph)}"
    by_comment.get_ifd(0x8769)[0x9286] = b"ASCII\0\0\0" + json.dumps({"prompt": graph}).encode()
    for name, exif in (("a.webp", by_model), ("b.jpg", by_comment)):
        Image.new("RGB", (64, 64)).save(live.cwd / name, exif=exif.tobytes())
        assert rows(live.run("inspect", name, "--json"))[0]["prompt"] == "a cat"


def test_what_nobody_knows(live: Cli) -> None:
    """An unknown file, a folder, a name that is none and nothing at all are exit 2; the known ones are shown."""
    live.run(*RV, "-o", "a.png", "--embed")
    live.write("plain.png", picture(8, 8))
    ran = live.run("inspect", "plain.png", "a.png", "nope.png", ".", "--json")
    assert ran.code == 2
    assert [row["file"] for row in rows(ran)] == ["a.png"]
    assert ran.json["error"]["code"] == "file_invalid"
    assert ran.err.count("error: ") == 3
    assert live.run("inspect", "x\0y").code == 2
    assert live.run("inspect").code == 2
    ran = live.run("inspect", "plain.png", "a.png")
    assert (ran.code, ran.lines[0].split("\t")[0]) == (2, "a.png")


# -- like


def test_like_a_file(live: Cli) -> None:
    """The same request is sent again, from the ledger and from the file alone; what the call says wins."""
    live.run(*RV, "-a", "16:9", "-o", "a.png", "--embed", "--param", "extra=[1, 2]", "--param", "text=1x")
    first = bought(live)
    ran = live.run("generate", "--like", "a.png", "-o", "b.png")
    assert ran.code == 0, ran.err
    assert bought(live)["prompt"] == first["prompt"]
    assert bought(live)["params"] == first["params"]
    assert "like a.png (ledger): the prompt, --provider rivya, --model wan2.7-image" in ran.err
    live.run("generate", "an owl", "--like", "a.png", "--seed", "8", "--param", "text=2", "-q")
    assert bought(live)["prompt"] == "an owl"
    assert bought(live)["params"] == {**first["params"], "seed": 8, "text": 2}
    forget(live)
    ran = live.run("generate", "--like", "a.png")
    assert ran.code == 0, ran.err
    assert bought(live)["params"] == {name: first["params"][name] for name in ("resolution", "aspect_ratio", "seed")}


def test_like_never_lets_a_file_buy_more(live: Cli) -> None:
    """How many results a file names, its parameters and a provider without a key are not taken, and that is said."""
    said = {"wan": 1, "verb": "generate", "provider": "yunwu", "model": "wan2.7-image-pro", "prompt": "x", "n": 20,
            "params": {"hook": "http://evil"}, "negative": "dogs"}  # fmt: skip
    written(live, "a.png", wan=json.dumps(said))
    ran = live.run("generate", "--like", "a.png", "--dry-run", "-q", "--json")
    assert "-n 20 (a file does not say how many are bought)" in ran.said("warning")
    assert "--param hook (a file names no parameters)" in ran.said("warning")
    del said["negative"]
    written(live, "a.png", wan=json.dumps(said))
    ran = live.run("generate", "--like", "a.png", "-q")
    assert ran.code == 0
    assert "-p yunwu (no key of it is set)" in ran.said("warning")
    assert len(live.provider.orders) == 1
    said |= {"provider": "acme"}
    written(live, "a.png", wan=json.dumps(said))
    assert "-p acme (no provider here), -m wan2.7-image-pro" in live.run("generate", "--like", "a.png").said("warning")


def test_like_with_another_provider(live: Cli) -> None:
    """-p wins, and the model goes along where that provider has it; -m alone drops a provider without it."""
    live.run(*RV, "-m", "wan2.7-image-pro", "-o", "a.png")
    ran = live.run("generate", "--like", "a.png", "-p", "modelverse", "--dry-run", "-q")
    assert "wan2.7-image-pro" in ran.out
    ran = live.run("generate", "--like", "a.png", "-p", "openai", "--dry-run", "-q")
    assert "-m wan2.7-image-pro (not in the catalogue of who makes it now)" in ran.said("warning")
    ran = live.run("generate", "--like", "a.png", "-m", "gpt-image-1", "--dry-run", "-q")
    assert "-p rivya (it has no gpt-image-1)" in ran.said("warning")


def test_like_with_another_shape(live: Cli) -> None:
    """Pixels and a shape contradict each other, so the call's own drives out the other."""
    live.run("generate", "a fox", "-p", "modelverse", "-s", "2048x1024", "--async", "-o", "a.png")
    ran = live.run("generate", "--like", "a.png", "-a", "1:1", "--dry-run")
    assert ran.code == 0, ran.err
    assert "--size 2048x1024 (the call says its own shape)" in ran.said("warning")
    assert "--async" in ran.err
    live.run(*RV, "-a", "16:9", "-o", "b.png")
    ran = live.run("generate", "--like", "b.png", "-s", "1024x1024", "-p", "modelverse", "--dry-run")
    assert "--aspect 16:9 (the call says its own shape)" in ran.said("warning")


def test_like_an_edit(live: Cli) -> None:
    """The pictures it was made from are taken where they are as they were: at their place, or beside the file."""
    live.write("in/a.png", picture(512, 512))
    live.run("edit", "in/a.png", "make it night", "-p", "rivya", "-o", "b.png", "--embed")
    uploads = len(live.provider.asked("upload"))
    assert live.run("edit", "--like", "b.png", "-o", "c.png").code == 0
    forget(live)
    ran = live.run("edit", "--like", "b.png")
    assert ran.code == 2
    assert "not here as it was: a.png" in ran.said("error")
    live.write("a.png", picture(512, 512))
    assert live.run("edit", "--like", "b.png", "-o", "d.png").code == 0
    assert len(live.provider.asked("upload")) > uploads
    live.write("a.png", picture(640, 512))
    orders = len(live.provider.orders)
    assert live.run("edit", "--like", "b.png").code == 2
    assert len(live.provider.orders) == orders
    ran = live.run("edit", "a.png", "--like", "b.png", "-o", "e.png")
    assert ran.code == 0, ran.err
    assert bought(live)["prompt"] == "make it night"
    assert live.run("edit", "a.png", "make it day", "--like", "b.png", "-o", "f.png").code == 0
    assert bought(live)["prompt"] == "make it day"


def test_like_with_another_verb(live: Cli) -> None:
    """``generate`` takes no pictures, so it names the verb that does; a verb with pictures of its own is fine."""
    live.write("a.png", picture(512, 512))
    live.run("edit", "a.png", "make it night", "-p", "rivya", "-o", "b.png")
    ran = live.run("generate", "--like", "b.png")
    assert (ran.code, ran.said("hint")) == (2, "wan edit --like b.png")
    live.run(*RV, "-o", "c.png")
    ran = live.run("edit", "a.png", "--like", "c.png", "-o", "d.png")
    assert ran.code == 0, ran.err
    assert "the verb generate (this is wan edit)" in ran.said("warning")


def test_like_a_set(live: Cli) -> None:
    """A sequence has as many pictures as before; several results of one request are that many again."""
    live.run("sequence", "a fox", "-p", "modelverse", "-n", "2", "-o", "s/{index}{ext}", "--embed")
    assert live.run("sequence", "--like", "s/1.png", "-o", "t/{index}{ext}").code == 0
    forget(live)
    assert live.run("sequence", "--like", "s/1.png", "-o", "u/{index}{ext}").code == 0
    assert [order.n for order in live.provider.orders] == [2, 2, 2]


def test_like_a_mask(live: Cli) -> None:
    """A picture with a part of its own becomes its option again, unless the call has another."""
    from wan_cli.imprint import imprint as made_by
    from wan_cli.models import Job, LocalFile, Media, Target, Task

    frame = live.write("first.png", picture(1280, 720))
    digest = hashlib.sha256(frame.read_bytes()).hexdigest()
    media = (Media(role="first_frame", kind="image",
                   file=LocalFile(path=str(frame), sha256=digest, size=1, mime="image/png")),)  # fmt: skip
    job = Job(verb="generate", provider="rivya", model="wan2.7-video", prompt="it moves", makes="video", media=media)
    task = Task(id="x", provider="rivya", origin="", job=job, provider_model="", token="", target=Target(template=None),
                created_at=0)  # fmt: skip
    written(live, "v.png", wan=json.dumps(made_by(task)))
    ran = live.run("generate", "--like", "v.png", "-o", "v.mp4", "--dry-run")
    assert ran.code == 0, ran.err
    assert "first.png" in ran.out
    live.write("other.png", picture(1280, 720, "JPEG"))
    ran = live.run("generate", "--like", "v.png", "-o", "v.mp4", "--first-frame", "other.png", "--dry-run")
    assert "other.png" in ran.out
    assert "first.png" not in ran.out


def test_like_a_picture_of_others(live: Cli) -> None:
    """Of another program's settings prompt and seed are taken, and the rest is said."""
    written(live, "a.png", parameters="a dog\nNegative prompt: cats\nSteps: 4, Seed: 9, Size: 64x64, Model: sd")
    ran = live.run("generate", "--like", "a.png", "-p", "rivya")
    assert ran.code == 0, ran.err
    assert (bought(live)["prompt"], bought(live)["params"]["seed"]) == ("a dog", 9)
    assert "negative cats (of a1111), steps 4 (of a1111), size 64x64 (of a1111), model sd" in ran.said("warning")
    written(live, "a.png", parameters=f"a dog\nSteps: 4, Seed: {2**40}")
    assert f"seed {2**40} (of a1111)" in live.run("generate", "--like", "a.png", "-p", "rivya").said("warning")


def test_like_nothing(live: Cli) -> None:
    """A file of which nothing is known, and one that is not there, are usage errors before anything is sent."""
    live.write("a.png", picture(8, 8))
    for words in (["--like", "a.png"], ["--like", "nope.png"], ["x", "--like", "a.png"], ["--like", ""]):
        assert live.run("generate", *words).code == 2
    assert live.provider.seen == []


def test_like_a_hidden_negative(live: Cli) -> None:
    """Texts that are not stored cannot be taken, and that is said; the prompt has to be given."""
    live.config("[privacy]\nstore_prompts = false\n")
    live.run(*RV, "-o", "a.png", "--param", "negative_prompt=dogs")
    ran = live.run("generate", "an owl", "--like", "a.png", "--dry-run")
    assert ran.code == 0, ran.err
    assert "--param negative_prompt (not stored)" in ran.said("warning")


def test_inspect_shows_what_it_looked_at(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """--preview is told of every file that can be read, also of one that nothing is known of; not with -q or --json."""
    asked: list[list[str]] = []
    show: Callable[..., None] = lambda _streams, paths, *, cwd: asked.append([os.path.relpath(p, cwd) for p in paths])  # noqa: E731
    monkeypatch.setattr("wan_cli.ui.preview.preview", show)
    assert live.run(*RV, "-o", "fox.png").code == 0
    live.write("mine.png", picture(64, 64))
    assert live.run("inspect", "fox.png", "mine.png", "none.png", "--preview").code == 2
    assert live.run("inspect", "fox.png", "--preview", "-q").code == 0
    assert live.run("inspect", "fox.png", "--preview", "--json").code == 0
    assert asked == [["fox.png", "mine.png"]]
