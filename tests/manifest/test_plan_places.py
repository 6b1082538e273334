"""Where files go: names for every system, no two in one place; what is there, seen once; moves that lose nothing."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_render import toml
from test_manifest_properties import graphs

from wan_cli.errors import UsageError, WriteFailed
from wan_cli.lock import Entry, Lock, Made
from wan_cli.manifest import Manifest, chains, read
from wan_cli.render import moving
from wan_cli.render.moving import move
from wan_cli.render.places import Places, check_apart, template_of
from wan_cli.render.plan import Plan, Wanted, plan, shard_of
from wan_cli.render.sight import Sight

NOW = 10**19
"""Long after any file was written."""


def manifest(tmp_path: Path, *rows: dict[str, Any]) -> Manifest:
    text = "\n".join(
        "\n".join(["[[asset]]", *(f"{k} = {toml(v)}" for k, v in {"prompt": "p", **row}.items())]) for row in rows
    )
    (tmp_path / "assets.toml").write_text(text, encoding="utf-8")
    return read(tmp_path / "assets.toml")


def template(tmp_path: Path, output: str | None, name: str = "a", **fields: Any) -> str:
    said = {} if output is None else {"output": output}
    found = manifest(tmp_path, {"id": name, **said, **fields})
    whole = Places(found).all()[name]
    assert template_of(found, found.assets[name], total=found.assets[name].count).template == whole
    return whole.removeprefix(str(tmp_path) + os.sep)


@pytest.mark.parametrize(
    ("output", "name", "found"),
    [
        (None, "a", "a{ext}"),
        ("art/{id}{ext}", "a", "art/a{ext}"),
        ("art/", "a", "art/a{ext}"),
        ("x.png", "a", "x.png"),
        ("x", "a", "x{ext}"),
        ("a\\{id}.jpg", "b", "a/b.jpg"),
        ("{slug}{ext}", "a", "p{ext}"),
        ("{seed}/{verb}{ext}", "a", "none/generate{ext}"),
        ("{date}-{id}{ext}", "a", "{date}-a{ext}"),
        ("{{id}}{ext}", "a", "{{id}}{ext}"),
        ("{id}{ext}", "é", "é{ext}"),
        ("a-{id}{ext}", "con", "a-con{ext}"),
        ("{id}-{index:02}{ext}", "a", "a-{index:02}{ext}"),
        ("./x/./{id}{ext}", "a", "x/a{ext}"),
    ],
)
def test_templates(tmp_path: Path, output: str | None, name: str, found: str) -> None:
    """An output is a file, a folder with ``/`` at its end, or a template below the root; the default is the id."""
    assert template(tmp_path, output, name) == found


@pytest.mark.parametrize(
    "output",
    [
        "../x.png",
        "/x.png",
        "~/x.png",
        "C:/x.png",
        "a/../../x.png",
        "aux.png",
        "con/{id}.png",
        "x./{id}.png",
        "a*b.png",
        "{nope}.png",
        "{id",
        "a\u202eb.png",
        "x" * 300 + ".png",
        "{id:>{seed}}.png",
        "nul",
        "a /{id}.png",
    ],
)
def test_outputs_that_are_refused(tmp_path: Path, output: str) -> None:
    """Paths outside, names that Windows cannot hold, and bad templates are exit 2 with file, line and field."""
    for existing in ("con", "x.", "a "):
        (tmp_path / existing).mkdir(exist_ok=True)
    with pytest.raises(UsageError) as caught:
        template(tmp_path, output)
    assert caught.value.message.startswith("assets.toml:1: a: output: ")


@pytest.mark.parametrize(
    ("output", "name"), [(None, "con"), ("art/{id}.png", "lpt1"), (None, "nul.x"), ("{id}/a.png", "x.")]
)
def test_an_id_that_windows_cannot_hold(tmp_path: Path, output: str | None, name: str) -> None:
    """An id that becomes a name which Windows cannot hold is refused with its place, as if the name were typed."""
    with pytest.raises(UsageError) as caught:
        template(tmp_path, output, name)
    assert caught.value.message.startswith(f"assets.toml:1: {name}: output: ")


def test_what_is_there_does_not_change_a_template(tmp_path: Path) -> None:
    """A folder of the output's name makes no difference to where results go, but for one in the file's own place."""
    (tmp_path / "art").mkdir()
    assert template(tmp_path, "art") == "art{ext}"
    assert template(tmp_path, "art/{id}{ext}") == "art/a{ext}"
    (tmp_path / "x.png").mkdir()
    with pytest.raises(UsageError, match=r"x\.png is a folder"):
        template(tmp_path, "x.png")


def test_a_folder_that_leads_outside(tmp_path: Path) -> None:
    """A folder that is a link out of the root is refused as a target; one that stays inside is taken."""
    root = tmp_path / "root"
    (root / "in").mkdir(parents=True)
    (root / "out").symlink_to(tmp_path)
    (root / "also").symlink_to("in")
    with pytest.raises(UsageError, match=r"output: out/a\.png leads to .* not below"):
        template(root, "out/a.png")
    assert template(root, "also/{id}{ext}") == "also/a{ext}"


CLASHES = [
    ("x.png", "x.png"),
    ("x.png", "X.PNG"),
    ("x{ext}", "x.mp4"),
    ("x", "x.png"),
    ("a/x.png", "A/x.png"),
    ("x.png", "x.jpg"),
    ("caf\u00e9.png", "cafe\u0301.png"),
    ("stra\u00dfe.png", "STRASSE.png"),
    ("link/x.png", "real/x.png"),
    ("{date}.png", "{date}.jpg"),
]


@pytest.mark.parametrize("outputs", CLASHES)
def test_two_assets_never_share_a_place(tmp_path: Path, outputs: tuple[str, str]) -> None:
    """The same place, also by case, Unicode form, extension or link, is refused with the line of the second asset."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = manifest(tmp_path, *({"id": name, "output": output} for name, output in zip("ab", outputs, strict=True)))
    with pytest.raises(UsageError, match=r"assets.toml:5: b: output: a has the same place"):
        Places(found).all()


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"output": "x.png"}, {"output": "x.mp4"}),
        ({"output": "x.png"}, {"output": "y.png"}),
        ({"output": "{task}"}, {"output": "{task}"}),
        ({"output": "x.png", "convert": True}, {"output": "x.jpg", "convert": True}),
        ({}, {}),
    ],
)
def test_places_that_are_two(tmp_path: Path, one: dict[str, Any], other: dict[str, Any]) -> None:
    """A picture and a video, two converted formats, and names of tasks are places of their own."""
    assert len(Places(manifest(tmp_path, {"id": "a", **one}, {"id": "b", **other})).all()) == 2


def test_numbers_of_one_asset_and_the_name_of_another(tmp_path: Path) -> None:
    """The second of several results has a place too: another asset of that name is refused."""
    found = manifest(tmp_path, {"id": "x", "count": 2}, {"id": "x-2"})
    with pytest.raises(UsageError, match="x-2: output: x has the same place"):
        Places(found).all()
    check_apart(found, {"x": "/x{ext}"}, {})


# -- shards


@given(graphs(), st.integers(1, 5))
def test_every_asset_is_in_one_shard(found: Manifest, count: int) -> None:
    """Every asset is in exactly one of N shards, with what it uses, and the same one whatever the file's order."""
    places = Places(found)
    shards = [
        plan(found, {}, Sight(found.root, None, 0), Wanted(shard=(number, count)), places=places)
        for number in range(1, count + 1)
    ]
    names = [[item.asset.id for item in shard.items] for shard in shards]
    assert Counter(name for shard in names for name in shard) == Counter(dict.fromkeys(found.assets, 1))
    leaders = chains(found.assets.values())
    for number, shard in enumerate(names, start=1):
        assert all(shard_of(leaders[name], count) == number for name in shard)
        assert all(need in shard for name in shard for need in found.assets[name].needs)


def test_shards_are_the_same_in_every_version() -> None:
    """The hash behind ``--shard`` is fixed: a matrix of CI jobs may run two versions of wan."""
    assert [shard_of(name, 4) for name in ("hero", "poster", "icon-fox", "icon-owl", "")] == [1, 1, 1, 3, 1]


# -- sight


def test_c_one_look_and_no_hash_on_a_second_run(tmp_path: Path) -> None:
    """A second run over unchanged files looks once at each and hashes none; what changed in size or time is hashed."""
    memory = tmp_path / "state" / "seen.json"
    names = [f"out/{number}.png" for number in range(20)]
    (tmp_path / "out").mkdir()
    for name in names:
        (tmp_path / name).write_bytes(name.encode() * 300)
    first = Sight(tmp_path, memory, NOW)
    seen = [first.file(name) for name in names]
    assert [first.file(name) for name in names] == seen
    assert (first.looked, first.hashed) == (20, 20)
    first.remember()
    second = Sight(tmp_path, memory, NOW)
    assert [second.file(name) for name in names] == seen
    assert (second.looked, second.hashed) == (20, 0)
    second.remember()
    (tmp_path / names[0]).write_bytes(b"more")
    os.utime(tmp_path / names[1], (5, 5))
    (tmp_path / names[2]).unlink()
    third = Sight(tmp_path, memory, NOW)
    found = [third.file(name) for name in names]
    assert (third.looked, third.hashed) == (20, 2)
    assert found[1] == seen[1]
    assert found[2] is None
    third.remember()
    kept = json.loads(memory.read_text(encoding="utf-8"))["files"]
    assert len(kept) == 19
    assert memory.stat().st_mode & 0o777 == 0o600


def test_what_was_just_written_is_looked_at_again(tmp_path: Path) -> None:
    """A file as young as the memory is not trusted to its time; on a file system of whole seconds for two of them."""
    memory, path = tmp_path / "seen.json", tmp_path / "a"
    path.write_bytes(b"x")

    def hashes(after: int) -> int:
        sight = Sight(tmp_path, memory, 0)
        sight.learn("a", hashlib.sha256(b"x").hexdigest())
        assert sight.file("a") is not None
        assert sight.hashed == 0
        memory.unlink(missing_ok=True)
        sight.remember(max(path.stat().st_mtime_ns, path.stat().st_ctime_ns) + after)
        again = Sight(tmp_path, memory, 0)
        again.file("a")
        return again.hashed

    os.utime(path, ns=(5, 5))
    assert (hashes(10_000_000), hashes(50_000_000)) == (1, 0)
    os.utime(path, ns=(0, 0))
    assert (hashes(150_000_000), hashes(2_500_000_000)) == (1, 0)


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"{}", b'{"root": 1, "files": 2}', b"\xff", b'{"root": "/", "files": {}}']
)
def test_a_damaged_memory_is_forgotten(tmp_path: Path, data: bytes) -> None:
    """A memory that is damaged or of another root costs time, nothing else."""
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "seen.json").write_bytes(data)
    sight = Sight(tmp_path, tmp_path / "seen.json", NOW)
    found = sight.file("a")
    assert found is not None
    assert found.sha256 == hashlib.sha256(b"x").hexdigest()


def test_pointers_stand_for_their_content(tmp_path: Path) -> None:
    """A Git LFS pointer is seen as what it stands for, also from memory; what only looks like one is a file."""
    said = "version https://git-lfs.github.com/spec/v1\n{}oid sha256:" + "a" * 64 + "\nsize 12345\n"
    (tmp_path / "a").write_text(said.format("ext-0-x sha256:" + "b" * 64 + "\n"), encoding="utf-8")
    (tmp_path / "b").write_text(said.format("") + "\n", encoding="utf-8")
    for _ in range(2):
        sight = Sight(tmp_path, tmp_path / "seen.json", NOW)
        found, other = sight.file("a"), sight.file("b")
        assert found is not None
        assert other is not None
        assert (found.sha256, found.size, found.pointer, other.pointer) == ("a" * 64, 12345, True, False)
        sight.remember()
    assert sight.hashed == 0


def test_a_memory_that_cannot_be_written(tmp_path: Path) -> None:
    """Where the state folder cannot be written, the run goes on."""
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "a").write_bytes(b"x")
    sight = Sight(tmp_path, tmp_path / "file" / "seen.json", NOW)
    sight.file("a")
    sight.remember()
    sight.learn("none", "a" * 64)
    sight.learn("../x", "a" * 64)


def test_names_are_found_as_the_system_finds_them(tmp_path: Path) -> None:
    """A name counts as there only where it would be opened, whatever its case or form looks like in the folder."""
    (tmp_path / "Caf\u00e9.PNG").write_bytes(b"")
    sight = Sight(tmp_path, None, 0)
    assert sight.there("Caf\u00e9.PNG")
    assert sight.there("caf\u00e9.png") == (tmp_path / "caf\u00e9.png").exists()
    assert not sight.there("none/x")
    assert sight.near("CAFE\u0301")


# -- moves


class Moved:
    """Assets whose files go from one place to another."""

    def __init__(self, folder: Path, moves: dict[str, tuple[str, str]]) -> None:
        self.folder = folder
        rows = []
        with Lock(folder / "assets.lock") as lock:
            for name, (old, new) in moves.items():
                (folder / old).write_bytes(name.encode())
                rows.append({"id": name, "output": new})
            self.manifest = manifest(folder, *rows)
            for name, asset in self.manifest.assets.items():
                sha = hashlib.sha256(name.encode()).hexdigest()
                made = (Made(path=moves[name][0], sha256=sha, bytes=1),)
                lock.put(name, Entry(request=asset.request, files=made))

    def plan(self) -> Plan:
        return plan(self.manifest, Lock(self.folder / "assets.lock").entries, Sight(self.folder, None, 0), Wanted())

    def move(self) -> Plan:
        planned = self.plan()
        with Lock(self.folder / "assets.lock") as lock:
            return move(planned, self.folder, lock, Sight(self.folder, None, 0))

    def contents(self) -> dict[str, str]:
        return {path.name: path.read_text(encoding="utf-8") for path in self.folder.glob("*.png")}


CASES = {
    "one": {"a": ("a.png", "b.png")},
    "chain": {"a": ("a.png", "b.png"), "b": ("b.png", "c.png"), "c": ("c.png", "d.png")},
    "swap": {"a": ("a.png", "b.png"), "b": ("b.png", "a.png")},
    "round": {"a": ("a.png", "b.png"), "b": ("b.png", "c.png"), "c": ("c.png", "a.png"), "d": ("d.png", "d.png")},
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("links", [True, False])
def test_moves_lose_nothing(tmp_path: Path, case: str, links: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Chains and circles of moves end with every file in its place, with or without hard links, and sidecars follow."""
    if not links:
        monkeypatch.setattr(os, "link", lambda *_: (_ for _ in ()).throw(OSError(95, "no links")))
    moves = CASES[case]
    project = Moved(tmp_path, moves)
    (tmp_path / "a.png.json").write_text("{}", encoding="utf-8")
    after = project.move()
    assert project.contents() == {new: name for name, (_, new) in moves.items()}
    assert {item.status for item in project.plan().items} == {"current"}
    assert all(item.entry and item.entry.files[0].path == moves[item.asset.id][1] for item in after.items)
    assert (tmp_path / "b.png.json").exists()
    assert project.move().items == project.plan().items


@pytest.mark.parametrize("case", ["one", "chain", "swap"])
@pytest.mark.parametrize("when", range(1, 7))
def test_a_move_that_is_cut_short_is_finished(
    tmp_path: Path, case: str, when: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut short after any step, nothing is bought anew and nothing lost: the next run finishes the move."""
    project, steps = Moved(tmp_path, CASES[case]), []

    class Cut(BaseException):
        """The process is gone."""

    def cutting(real: Any) -> Any:
        def act(*args: Any, **named: Any) -> Any:
            steps.append(1)
            if len(steps) == when:
                raise Cut
            return real(*args, **named)

        return act

    with monkeypatch.context() as broken:
        broken.setattr(os, "link", cutting(os.link))
        broken.setattr(Lock, "put", cutting(Lock.put))
        broken.setattr(Path, "unlink", cutting(Path.unlink))
        try:
            project.move()
        except Cut:
            pass
        except OSError:  # the fold of the lock is cut too
            pass
    assert {item.status for item in project.plan().items} <= {"moved", "current"}
    project.move()
    wanted = {new: name for name, (_, new) in CASES[case].items()}
    assert wanted.items() <= project.contents().items()
    assert {item.status for item in project.plan().items} == {"current"}


def test_a_move_that_cannot_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a file cannot be renamed, or another came meanwhile, it stays where it is, and the error tells why."""
    project = Moved(tmp_path, {"a": ("a.png", "b.png")})
    planned = project.plan()
    (tmp_path / "b.png").write_bytes(b"mine")
    for error in (None, 95, 28):
        if error:
            monkeypatch.setattr(os, "link", lambda *_, n=error: (_ for _ in ()).throw(OSError(n, "no")))
        with Lock(tmp_path / "assets.lock") as lock, pytest.raises(WriteFailed, match="cannot be renamed") as caught:
            move(planned, tmp_path, lock, Sight(tmp_path, None, 0))
        assert caught.value.charged == "no"
    assert project.contents() == {"a.png": "a", "b.png": "mine"}
    assert {"moved", "stale"} == moving.MOVES
