"""Where results go: -o in all its forms, existing files, formats, sidecars (sections 2, 3 and 9)."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest
from support_cli import MODELVERSE_KEY, RIVYA_KEY, Cli, picture


def test_the_default_name(live: Cli) -> None:
    """Without -o the name is {slug}-{id}{ext} in the working folder, and stdout is that path alone."""
    ran = live.run("generate", "A Fox, at dawn!")
    assert ran.code == 0, ran.err
    (name,) = live.files()
    assert ran.out == f"{name}\n"
    assert name.startswith("a-fox-at-dawn-")
    assert (live.cwd / name).read_bytes() == picture(2048, 2048)


@pytest.mark.parametrize(
    ("output", "expected"),
    [
        ("fox.png", "fox.png"),
        ("fox", "fox.png"),
        ("deep/er/fox.png", "deep/er/fox.png"),
        ("{slug}{ext}", "a-fox.png"),
        ("{verb}-{provider}-{model}-{seed}-{index:02}{ext}", "generate-rivya-wan2.7-image-7-01.png"),
        ("{date}/{slug}.png", "2026-11-21/a-fox.png"),
        ("{{x}}{ext}", "{x}.png"),
        ("FOX.PNG", "FOX.PNG"),
    ],
)
def test_files_and_templates(live: Cli, output: str, expected: str) -> None:
    """A name, a name without extension, folders that are missing, and every field."""
    ran = live.run("generate", "a fox", "--seed", "7", "-o", output)
    assert (ran.code, ran.lines) == (0, [expected]), ran.err
    assert live.files() == [expected]


@pytest.mark.parametrize("output", ["out/", "there"])
def test_a_folder(live: Cli, output: str) -> None:
    """A name that ends in / is a folder, and so is one that exists; names in it are the default ones."""
    (live.cwd / "there").mkdir()
    ran = live.run("generate", "a fox", "-o", output)
    assert ran.lines[0].startswith(f"{output.rstrip('/')}/a-fox-"), ran.err


def test_a_path_outside_is_absolute(live: Cli, tmp_path: Path) -> None:
    """A path is printed as a user would type it from the working folder: absolute where it lies elsewhere."""
    target = tmp_path / "elsewhere" / "fox.png"
    ran = live.run("generate", "a fox", "-o", target, "--json")
    assert ran.task["files"][0]["path"] == str(target)
    assert hashlib.sha256(target.read_bytes()).hexdigest() == ran.task["files"][0]["sha256"]


@pytest.mark.parametrize(
    ("name", "output", "names"),
    [
        ("modelverse", "fox.png", ["fox-1.png", "fox-2.png"]),
        ("modelverse", "{index:03}{ext}", ["001.png", "002.png"]),
        ("rivya", "fox.png", ["fox-1.png", "fox-2.png"]),
        ("rivya", "f-{index}.png", ["f-1.png", "f-2.png"]),
    ],
)
def test_several_results(live: Cli, name: str, output: str, names: list[str]) -> None:
    """Several results are numbered alike, whether one task or several made them."""
    ran = live.run("generate", "a fox", "-n", "2", "-p", name, "-o", output)
    assert (ran.code, ran.lines) == (0, names), ran.err


@pytest.mark.parametrize(
    ("output", "message"),
    [
        ("", "--output is empty"),
        ("{nope}{ext}", "unknown field"),
        ("{ext}x", "elsewhere than at its end"),
        ("{slug!r}", "formats"),
        ("{", "cannot be read"),
        ("con.png", "device"),
        ("a:b.png", "not allowed"),
        ("x" * 200 + ".png", "120 bytes"),
        ("taken/fox.png", "a part of it is a file"),
        ("fox.jpg", "delivers .png"),
    ],
)
def test_bad_targets_are_found_before_buying(live: Cli, output: str, message: str) -> None:
    """A bad template, a forbidden name, an unusable folder or an undeliverable format is exit 2; nothing was sent."""
    live.write("taken", "a file")
    ran = live.run("generate", "a fox", "-o", output)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.said("error")
    assert not live.provider.seen


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes everywhere")
def test_an_unwritable_folder(live: Cli) -> None:
    """A folder without write permission is exit 2."""
    folder = live.cwd / "ro"
    folder.mkdir(mode=0o500)
    assert live.run("generate", "a fox", "-o", "ro/").code == 2


def test_a_folder_that_cannot_be_written(live: Cli) -> None:
    """Not even root can make files in /proc: exit 2 before anything is bought."""
    ran = live.run("generate", "a fox", "-o", "/proc/fox.png")
    assert ran.code == 2
    assert not live.provider.seen


def test_an_existing_file_is_kept(live: Cli) -> None:
    """A target that exists is exit 2, and both ways on are named; --overwrite replaces it."""
    live.write("fox.png", "mine")
    ran = live.run("generate", "a fox", "-o", "fox.png")
    assert ran.code == 2
    assert "--overwrite" in ran.said("hint")
    assert "--skip-existing" in ran.said("error")
    assert not live.provider.seen
    assert live.run("generate", "a fox", "-o", "fox.png", "--overwrite").code == 0
    assert (live.cwd / "fox.png").read_bytes() == picture(2048, 2048)


@pytest.mark.parametrize(
    ("flags", "out"), [([], "fox.png\n"), (["--json"], None), (["--jsonl"], None), (["-q"], "fox.png\n")]
)
def test_skip_existing(live: Cli, flags: list[str], out: str | None) -> None:
    """With --skip-existing an existing target is exit 0, prints its path and buys nothing; no key is needed."""
    live.write("fox.png", "mine")
    ran = live.run("generate", "a fox", "-o", "fox.png", "--skip-existing", *flags)
    assert ran.code == 0
    assert not live.provider.seen
    assert out is None or ran.out == out
    if flags == ["--json"]:
        assert ran.json["skipped"] == ["fox.png"]
        assert ran.json["tasks"] == []


def test_skip_existing_buys_what_is_missing(live: Cli) -> None:
    """With nothing there --skip-existing buys as usual; with some of several there it is a usage error."""
    assert live.run("generate", "a fox", "-o", "fox.png", "--skip-existing").code == 0
    live.write("two-1.png", "mine")
    assert live.run("generate", "a fox", "-o", "two.png", "-n", "2", "--skip-existing").code == 2
    assert live.provider.purchases == 1


def test_excluding_options(live: Cli) -> None:
    """Options that contradict each other are exit 2."""
    for words in (
        ["--overwrite", "--skip-existing"], ["--json", "--jsonl"], ["-o", "-", "--json"], ["-o", "-", "--jsonl"],
        ["-o", "-", "-n", "2"], ["-o", "-", "--no-download"], ["-o", "-", "--no-wait"], ["-o", "-", "--sidecar"],
    ):  # fmt: skip
        ran = live.run("generate", "a fox", *words, command="--jsonl" not in words)
        assert ran.code == 2, words
    assert not live.provider.seen


def test_convert(live: Cli) -> None:
    """--convert makes the format that -o names."""
    ran = live.run("generate", "a fox", "-o", "fox.jpg", "--convert", "--json")
    assert ran.code == 0, ran.err
    assert ran.task["files"][0]["mime"] == "image/jpeg"
    assert (live.cwd / "fox.jpg").read_bytes()[:3] == b"\xff\xd8\xff"


def test_the_extension_follows_the_bytes(live: Cli) -> None:
    """A JPEG where a PNG was promised is saved as .jpg with a warning; --strict makes it 14 and keeps the file."""
    live.provider.deliver = lambda order, _: picture(*order.sides, "JPEG")
    ran = live.run("generate", "a fox", "-o", "fox.png", "--json")
    assert ran.code == 0, ran.err
    assert live.files() == ["fox.jpg"]
    assert any(".jpg" in warning for warning in ran.task["warnings"])
    strict = live.run("generate", "a fox", "-o", "fix.png", "--strict", "--json")
    assert strict.code == 14
    assert strict.json["error"]["code"] == "delivery_mismatch"
    assert live.files() == ["fix.jpg", "fox.jpg"]


def test_a_wrong_size_is_noticed(live: Cli) -> None:
    """Pixels other than asked for are a warning, and exit 14 with --strict."""
    live.provider.deliver = lambda *_: picture(512, 512)
    ran = live.run("generate", "a fox", "-s", "1K", "-a", "16:9", "--json")
    assert ran.code == 0
    assert "512x512" in " ".join(ran.task["warnings"])
    assert live.run("generate", "a fox", "-s", "1K", "-a", "16:9", "--strict").code == 14
    assert len(live.files()) == 2


def test_a_sidecar(live: Cli) -> None:
    """--sidecar writes how the file was made beside it, without key or address."""
    live.write("a.png", picture(512, 512))
    ran = live.run("edit", "a.png", "in blue", "-o", "b.png", "--sidecar", "--seed", "3", "-p", "rivya")
    assert (ran.code, ran.out) == (0, "b.png\n")
    text = (live.cwd / "b.png.json").read_text()
    said = json.loads(text)
    assert (said["prompt"], said["seed"], said["file"]) == ("in blue", 3, "b.png")
    assert said["sha256"] == hashlib.sha256((live.cwd / "b.png").read_bytes()).hexdigest()
    assert "http" not in text
    assert RIVYA_KEY not in text
    assert MODELVERSE_KEY not in text


def test_bytes_to_standard_output(live: Cli) -> None:
    """``-o -`` writes the picture and nothing else; talk goes to stderr; no file stays anywhere."""
    ran = live.run("generate", "a fox", "-o", "-")
    assert ran.code == 0, ran.err
    assert ran.raw == picture(2048, 2048)
    assert live.files() == []
    assert not [path for path in live.root.rglob("*.part*") if path.is_file()]


def test_bytes_never_go_to_a_terminal(live: Cli) -> None:
    """``-o -`` with a terminal as stdout is a usage error before buying."""
    assert live.run("generate", "a fox", "-o", "-", tty=["stdout"]).code == 2
    assert not live.provider.seen


def test_no_download(live: Cli) -> None:
    """--no-download prints addresses, fetches nothing, and the JSON holds them as url."""
    ran = live.run("generate", "a fox", "--no-download")
    assert (ran.code, ran.lines) == (0, [f"{live.provider.url}/results/task_1/1.png"]), ran.err
    ran = live.run("generate", "a fox", "--no-download", "--json")
    assert ran.task["files"][0]["url"].endswith("/results/task_2/1.png")
    assert ran.task["files"][0]["path"] is None
    assert not live.provider.asked("download")
    assert live.files() == []


def test_no_download_keeps_the_target(live: Cli) -> None:
    """-o beside --no-download is where a later wait puts the result."""
    assert live.run("generate", "a fox", "--no-download", "-o", "fox.png").code == 0
    assert live.files() == []
    assert live.run("wait", "rivya:task_1").lines == ["fox.png"]


@pytest.mark.parametrize(
    "words",
    [["--convert"], ["--convert", "-o", "out/"], ["-o", "-", "--convert"], ["--skip-existing"],
     ["--skip-existing", "-o", "out/"], ["-o", "-", "--skip-existing"]],
)  # fmt: skip
def test_options_that_could_do_nothing(live: Cli, words: list[str]) -> None:
    """--convert without a format and --skip-existing with a name that is always new are refused, not dropped."""
    assert live.run("generate", "a fox", *words).code == 2
    assert not live.provider.seen


def test_no_wait(live: Cli) -> None:
    """--no-wait prints a handle a line and leaves the rest to ``wan wait``."""
    ran = live.run("generate", "a fox", "--no-wait", "-n", "2", "-p", "rivya", "-o", "out/fox.png")
    assert (ran.code, sorted(ran.lines)) == (0, ["rivya:task_1", "rivya:task_2"]), ran.err
    assert not live.provider.asked("poll")
    ran = live.run("wait", *ran.lines)
    assert (ran.code, sorted(ran.lines)) == (0, ["out/fox-1.png", "out/fox-2.png"]), ran.err
    assert live.provider.purchases == 2


def test_hostile_names_from_the_prompt(live: Cli) -> None:
    """A prompt cannot steer the name: no separator, no parent folder, no dash in front."""
    ran = live.run("generate", "../../etc/passwd", "-o", "{slug}{ext}")
    assert ran.lines == ["etc-passwd.png"]


@pytest.mark.parametrize("there", ["mine", '{"version": 2}', "[" * 9_000, "\xff", "x" * 1_100_000])
def test_a_file_of_yours_is_no_sidecar(live: Cli, there: str) -> None:
    """A file that has a sidecar's name and is none is a usage error before buying; --overwrite says it may go."""
    own = live.write("fox.png.json", there.encode("latin-1"))
    ran = live.run("generate", "a fox", "-o", "fox.png", "--sidecar", "--json")
    assert (ran.code, live.provider.purchases) == (2, 0)
    assert "fox.png.json exists and is no sidecar" in ran.said("error")
    assert own.read_bytes() == there.encode("latin-1")
    assert live.run("generate", "a fox", "-o", "fox.png", "--sidecar", "--overwrite").code == 0
    assert json.loads(own.read_text(encoding="utf-8"))["file"] == "fox.png"


def test_a_folder_is_no_sidecar(live: Cli) -> None:
    """A folder of a sidecar's name is a usage error; an older sidecar is written anew."""
    (live.cwd / "fox.png.json").mkdir()
    ran = live.run("generate", "a fox", "-o", "fox.png", "--sidecar", "--overwrite")
    assert (ran.code, live.provider.purchases) == (2, 0)
    assert "is a folder" in ran.said("error")
    live.write("owl.png.json", '{"wan": 1, "file": "owl.png"}')
    assert live.run("generate", "an owl", "-o", "owl.png", "--sidecar").code == 0


@pytest.mark.parametrize(
    ("model", "output", "true"), [("wan2.7-image", "fox.mp4", ".png"), ("wan2.7-video", "fox.png", ".mp4")]
)
@pytest.mark.parametrize("flags", [(), ("--convert",)], ids=str)
def test_nothing_makes_a_video_of_a_picture(
    live: Cli, model: str, output: str, true: str, flags: tuple[str, ...]
) -> None:
    """A name that no conversion leads to is refused before anything is bought, and the hint is a call that works."""
    ran = live.run("generate", "a fox", "-p", "rivya", "-m", model, "-o", output, *flags)
    assert (ran.code, live.provider.purchases) == (2, 0)
    assert "cannot be converted" in ran.said("error")
    assert ran.said("hint").endswith(f"-o '{{id}}{true}'")
