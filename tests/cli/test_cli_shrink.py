"""``--shrink-references``: only where it is said, with what happened said aloud and written down."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path

import pytest
from PIL import Image
from support_cli import Cli

from wan_cli.ledger import Ledger

ALSO = ("-p", "modelverse", "--sandbox")


@pytest.fixture
def large(cli: Cli) -> Path:
    """Make a picture whose longer side is too long for Modelverse."""
    path = cli.cwd / "large.png"
    Image.new("L", (9000, 1200), 90).save(path)
    return path


def test_without_the_flag_it_is_refused_with_the_way_out(cli: Cli, large: Path) -> None:
    """A picture that is too large is refused before anything is sent; the hint is the call with the flag, and works."""
    del large
    ran = cli.run("edit", "large.png", "make it night", *ALSO, "-o", "night.png", "--json")
    assert ran.code == 2
    assert ran.json["error"]["code"] == "file_invalid"
    assert ran.json["error"]["hint"].endswith(" --shrink-references")
    again = cli.run("edit", "large.png", "make it night", *ALSO, "-o", "night.png", "--json", "--shrink-references")
    assert again.code == 0


def test_what_is_sent_is_said_and_kept(cli: Cli, large: Path) -> None:
    """The warning has before and after; the ledger and the sidecar have the picture's own hash and the copy's."""
    ran = cli.run(
        "edit", "large.png", "make it night", *ALSO, "-o", "night.png", "--json", "--shrink-references", "--sidecar"
    )
    assert ran.code == 0
    (warning,) = [text for text in ran.task["warnings"] if "large.png" in text]
    assert "(9000x1200, " in warning
    assert "(8000x1066, " in warning
    assert warning in ran.err
    assert ran.task["request"]["references"] == ["large.png"]
    digest = hashlib.sha256(large.read_bytes()).hexdigest()
    with Ledger.open(Path(os.environ["WAN_STATE_DIR"]) / "sandbox") as ledger:
        (medium,) = ledger.get(ran.task["id"]).job.media
    assert medium.file
    assert medium.file.original
    assert (medium.file.original.sha256, medium.file.original.path) == (digest, str(large))
    assert hashlib.sha256(Path(medium.file.path).read_bytes()).hexdigest() == medium.file.sha256
    (reference,) = json.loads((cli.cwd / "night.png.json").read_text(encoding="utf-8"))["references"]
    assert (reference["name"], reference["sha256"]) == ("large.png", digest)
    assert reference["sent"] == {"sha256": medium.file.sha256, "width": 8000, "height": 1066}


def test_dry_run_shows_the_copy(cli: Cli, large: Path) -> None:
    """``--dry-run`` prints a command that sends the copy, which is there, and the warning."""
    del large
    ran = cli.run("edit", "large.png", "make it night", *ALSO, "--dry-run", "--shrink-references")
    assert ran.code == 0
    (path,) = [word for word in ran.out.split() if word.endswith("/large.png")]
    with Image.open(path) as image:
        assert image.size == (8000, 1066)
    assert "so a smaller copy is sent" in ran.err


def test_the_same_purchase_with_a_key(cli: Cli, large: Path) -> None:
    """Under an idempotency key the same call is the same purchase."""
    del large
    words = ("edit", "large.png", "night", *ALSO, "-o", "n.png", "--json", "--shrink-references", "--overwrite")
    first = cli.run(*words, "--idempotency-key", "k").task["id"]
    assert cli.run(*words, "--idempotency-key", "k").task["id"] == first


def test_a_mask_goes_with_the_picture_as_it_is(cli: Cli, large: Path) -> None:
    """A mask has to be as large as its picture, so the two flags exclude each other."""
    del large
    ran = cli.run("edit", "large.png", "x", "-p", "openai", "--mask", "large.png", "--shrink-references", "--sandbox")
    assert ran.code == 2
    assert "exclude each other" in ran.said("error")


def test_uploads_too(cli: Cli) -> None:
    """``wan upload`` refuses what is too large, and with the flag brings a copy; the hash is the picture's."""
    path = cli.cwd / "loose.bmp"
    Image.new("RGB", (2000, 1000), 90).save(path)
    Image.new("RGB", (2700, 2700), "teal").save(cli.cwd / "loose.png", compress_level=0)
    size = (cli.cwd / "loose.png").stat().st_size
    assert size > 20_971_520
    ran = cli.run("upload", "loose.png", "-p", "rivya", "-m", "wan2.7-image", "--sandbox", "--json")
    assert ran.code == 2
    assert ran.json["error"]["hint"].endswith("--shrink-references")
    ran = cli.run(
        "upload", "loose.png", "-p", "rivya", "-m", "wan2.7-image", "--sandbox", "--json", "--shrink-references"
    )
    assert ran.code == 0
    assert "so a smaller copy is sent" in ran.err
    assert ran.json["files"][0]["sha256"] == hashlib.sha256((cli.cwd / "loose.png").read_bytes()).hexdigest()


MANIFEST = """
[defaults]
provider = "modelverse"
output = "out/{id}{ext}"
{more}
[[asset]]
id = "night"
verb = "edit"
images = ["large.png"]
prompt = "make it night"
"""


def test_a_manifest_says_it_as_a_field(cli: Cli, large: Path) -> None:
    """Without the field the asset is refused, with the field as hint; what is up to date stays so when it is added."""
    small = cli.cwd / "small.png"
    large.rename(small)
    Image.new("L", (900, 600), 90).save(large)
    cli.write("assets.toml", MANIFEST.replace("{more}", ""))
    assert cli.run("render", "assets.toml", "--sandbox", "--allow-unknown-cost").code == 0
    cli.write("assets.toml", MANIFEST.replace("{more}", "shrink_references = true"))
    assert cli.run("render", "assets.toml", "--sandbox", "--check").code == 0

    small.replace(large)
    cli.write("assets.toml", MANIFEST.replace("{more}", ""))
    ran = cli.run("render", "assets.toml", "--sandbox", "--json")
    assert ran.code != 0
    assert "shrink_references = true in assets.toml" in ran.out
    cli.write("assets.toml", MANIFEST.replace("{more}", "shrink_references = true"))
    ran = cli.run("render", "assets.toml", "--sandbox", "--json")
    assert ran.code == 0, ran.err
    assert any("(8000x1066, " in text for text in ran.task["warnings"])
    digest = hashlib.sha256((cli.cwd / "large.png").read_bytes()).hexdigest()
    assert digest in (cli.cwd / "assets.sandbox.lock").read_text(encoding="utf-8")
    assert cli.run("render", "assets.toml", "--sandbox", "--check").code == 0


def test_keep_names_the_picture_and_not_the_copy(cli: Cli, large: Path) -> None:
    """``wan keep`` writes the picture that was named, and the field, into the manifest; the asset is up to date."""
    del large
    cli.run("edit", "large.png", "make it night", *ALSO, "-o", "night.png", "--shrink-references")
    kept = cli.run("keep", "night.png", "--as", "night", "--sandbox")
    assert kept.code == 0, kept.err
    text = (cli.cwd / "assets.toml").read_text(encoding="utf-8")
    assert 'images = ["large.png"]' in text
    assert "shrink_references = true" in text
    assert cli.run("render", "assets.toml", "--sandbox", "--check").code == 0


def test_a_render_says_it_too(cli: Cli, large: Path) -> None:
    """Without --json the warning is on standard error, by the asset's name, before the asset is made."""
    del large
    cli.write("assets.toml", MANIFEST.replace("{more}", "shrink_references = true"))
    ran = cli.run("render", "assets.toml", "--sandbox", "--allow-unknown-cost")
    assert ran.code == 0, ran.err
    (warning,) = [line for line in ran.err.splitlines() if line.startswith("warning:")]
    assert warning.startswith("warning: night: large.png is too large (9000x1200, ")
    again = cli.run("render", "assets.toml", "--sandbox", "--again", "-n", "2", "--allow-unknown-cost")
    assert again.code == 0, again.err
    assert again.err.count("warning: night: large.png is too large") == 1


def test_like_takes_the_picture_when_the_copy_has_gone(cli: Cli, large: Path) -> None:
    """Copies are kept for a month; after that --like makes one of the picture itself, for the flag was said."""
    del large
    assert cli.run("edit", "large.png", "night", *ALSO, "-o", "night.png", "--shrink-references").code == 0
    shutil.rmtree(Path(os.environ["WAN_STATE_DIR"]) / "sandbox" / "copies")
    ran = cli.run("edit", "--like", "night.png", "--sandbox", "--dry-run")
    assert ran.code == 0, ran.err
    assert "--shrink-references, large.png" in ran.err
    assert "so a smaller copy is sent" in ran.err
    (cli.cwd / "large.png").write_bytes(b"another")
    ran = cli.run("edit", "--like", "night.png", "--sandbox")
    assert ran.code == 0, ran.err  # the copy is there again, and has what was sent
