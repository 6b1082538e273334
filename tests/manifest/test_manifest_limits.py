"""What a manifest may not do: reach outside its folder, explode, or bring files that are none."""

from __future__ import annotations

import os
import time
import tracemalloc
from pathlib import Path

import pytest

from wan_cli.errors import UsageError
from wan_cli.manifest import jail, read, source
from wan_cli.manifest.jail import Folders, inside
from wan_cli.manifest.source import at

PROMPT = "[[asset]]\nid = 'a'\nprompt_file = {}\n"
IMAGE = "[[asset]]\nid = 'a'\nprompt = 'p'\nimages = [{}]\n"


def refused(tmp_path: Path, text: str, form: str = "toml") -> str:
    path = tmp_path / f"assets.{form}"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read(path)
    assert caught.value.exit_code == 2
    return caught.value.message


@pytest.mark.parametrize("text", [PROMPT, IMAGE], ids=["prompt_file", "images"])
@pytest.mark.parametrize(
    "name",
    [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "~/x",
        "~root/x",
        "C:\\x",
        "C:x",
        "\\\\server\\share",
        "\\x",
        "a/b:stream",
        "..",
        "..\\x",
        "",
        ".",
        "a\\..\\..\\x",
    ],
)
def test_c06_paths_stay_below_the_root(tmp_path: Path, name: str, text: str) -> None:
    """Absolute paths, ``..``, drives, shares, streams and homes are refused with line and field, unopened."""
    said = refused(tmp_path, text.format(f"'{name}'"))
    assert said.startswith(
        f"assets.toml:{3 if text is PROMPT else 4}: a: {'prompt_file' if text is PROMPT else 'images'}"
    )


def test_c06_no_path_has_a_nul(tmp_path: Path) -> None:
    """A NUL in a path is refused: what is behind it would be cut off."""
    assert "NUL" in refused(tmp_path, '{"id": "a", "prompt": "p", "images": ["a\\u0000b"]}', "jsonl")


def test_c06_links_are_followed_and_held(tmp_path: Path) -> None:
    """A link that leads out of the root is refused with where it leads; one that stays inside is followed."""
    (tmp_path / "secret.txt").write_text("secret", encoding="utf-8")
    root = tmp_path / "project"
    (root / "in").mkdir(parents=True)
    (root / "out.txt").symlink_to(tmp_path / "secret.txt")
    (root / "up").symlink_to(tmp_path)
    for name in ("out.txt", "up/secret.txt"):
        said = refused(root, PROMPT.format(f"'{name}'"))
        assert f"leads to {tmp_path / 'secret.txt'}, which is not below" in said
        assert "secret\n" not in said
    (root / "in" / "p.txt").write_text("inside", encoding="utf-8")
    (root / "link").symlink_to("in")
    (root / "assets.toml").write_text(PROMPT.format("'link/p.txt'"), encoding="utf-8")
    assert read(root / "assets.toml").assets["a"].prompt == "inside"
    (root / "loop").symlink_to("loop")
    assert "cannot be read" in refused(root, PROMPT.format("'loop'"))


def test_a_root_that_is_a_link_is_followed(tmp_path: Path) -> None:
    """The root itself may be a link; what is below it is held against where it really is."""
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "p.txt").write_text("x", encoding="utf-8")
    (tmp_path / "root").symlink_to("real")
    (tmp_path / "root" / "assets.toml").write_text(PROMPT.format("'p.txt'"), encoding="utf-8")
    assert read(tmp_path / "root" / "assets.toml").assets["a"].prompt == "x"
    folders = Folders(tmp_path / "root")
    assert folders.real("a/b") == str(tmp_path / "real" / "a" / "b")
    assert folders.holds(folders.real("a"))
    assert not folders.holds(str(tmp_path / "realm"))


def test_c06_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """A pipe does not block, a device and a folder are not read, and too large or odd texts are refused."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "large").write_bytes(b"x" * (jail.PROMPT_BYTES + 1))
    (tmp_path / "odd").write_bytes(b"a\xff")
    wrong = {
        "pipe": "no regular file",
        "folder": "cannot be read",
        "large": "larger than",
        "odd": "not UTF-8: byte 2",
        "none": "No such file",
    }
    for name, why in wrong.items():
        assert why in refused(tmp_path, PROMPT.format(f"'{name}'"))


def test_a_manifest_is_a_regular_file(tmp_path: Path) -> None:
    """A manifest that is a pipe or a device is refused at once."""
    os.mkfifo(tmp_path / "pipe.toml")
    (tmp_path / "zero.toml").symlink_to("/dev/zero")
    for name in ("pipe.toml", "zero.toml"):
        with pytest.raises(UsageError, match="no regular file"):
            read(tmp_path / name)


def test_threat_s22_c09_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Size, number and depth have limits in every format, and each is said."""
    monkeypatch.setattr(source, "MOST_BYTES", 4000)
    assert "is larger than" in refused(tmp_path, "#" * 4001)
    for module in (source, __import__("wan_cli.manifest.reading", fromlist=["x"])):
        monkeypatch.setattr(module, "MOST_ASSETS", 3)
    many = {
        "toml": "[[asset]]\n" * 4,
        "jsonl": "{}\n" * 4,
        "csv": "id\n" + "a\n" * 4,
        "yaml": "asset:\n" + "- {}\n" * 4,
    }
    for form, text in many.items():
        assert "more than 3 assets" in refused(tmp_path, text, form)
    wide = "[[asset]]\nid = 'a'\nprompt = 'p'\nmatrix = { x = [1, 2], y = [1, 2] }\n"
    assert refused(tmp_path, wide) == "assets.toml:1: a: more than 3 assets"
    deep = {
        "toml": f"[[asset]]\nid = 'a'\nparam.x = {'[' * 40}{']' * 40}\n",
        "jsonl": f'{{"id": "a", "param": {{"x": {"[" * 40}{"]" * 40}}}}}',
        "csv": f'id,param\na,"{{""x"": {"[" * 40}{"]" * 40}}}"\n',
        "yaml": f"asset:\n- id: a\n  param: {{x: {'[' * 40}{']' * 40}}}\n",
    }
    for form, text in deep.items():
        assert "param: more than 32 levels" in refused(tmp_path, text, form)


@pytest.mark.parametrize("form", ["toml", "jsonl", "csv", "yaml"])
def test_c09_bottomless_nesting_is_refused(tmp_path: Path, form: str) -> None:
    """A hundred thousand brackets are refused, not a crash."""
    deep = "[" * 100_000
    text = {
        "toml": f"[[asset]]\nparam.x = {deep}",
        "jsonl": f'{{"param": {deep}',
        "csv": f'id,param\na,"{deep}"',
        "yaml": f"asset: {deep}",
    }[form]
    said = refused(tmp_path, text, form)
    assert "levels" in said or "param" in said


def test_threat_s22_c09_a_million_assets_are_refused_at_once(tmp_path: Path) -> None:
    """A matrix of 10^9 and a list of 10^6 assets are refused in little time and memory, before any is made."""
    matrix = ", ".join(f"{name} = {list(range(1000))}" for name in "abc")
    tracemalloc.start()
    begin = time.process_time()
    assert "more than 100,000 assets" in refused(
        tmp_path, f"[[asset]]\nid = '{{a}}'\nprompt = 'p'\nmatrix = {{ {matrix} }}\n"
    )
    assert "more than 100,000 assets" in refused(tmp_path, "[[asset]]\n" * 1_000_000)
    took, peak = time.process_time() - begin, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert took < 10
    assert peak < 200 * 1024 * 1024


def test_c09_an_alias_bomb_is_refused(tmp_path: Path) -> None:
    """Anchors are refused before anything is multiplied."""
    bomb = "a: &a [x, x]\n" + "\n".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [*{chr(97 + n)}, *{chr(97 + n)}]" for n in range(20)
    )
    assert "anchors and aliases" in refused(tmp_path, bomb, "yaml")


def test_yaml_is_smaller(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """YAML, which is read slowly, has a lower limit, and the message names JSONL."""
    monkeypatch.setattr("wan_cli.manifest.yaml.MOST_BYTES", 10)
    assert "JSONL" in refused(tmp_path, "asset: []   \n", "yaml")
    monkeypatch.setattr("wan_cli.manifest.yaml.MOST_BYTES", 100_000)
    monkeypatch.setattr("wan_cli.manifest.yaml.MOST_DEPTH", 10)
    assert "too many levels" in refused(tmp_path, f"asset: {'[' * 20}{']' * 20}", "yaml")


def test_places_without_a_line() -> None:
    """Where the line is not known, the file stands alone."""
    assert at(Path("x/assets.toml"), 0, "odd").message == "assets.toml: odd"
    assert inside(Path("/r"), "./a//b/", UsageError) == "a/b"
