"""Faults of disks and folders around a purchase (rows S01, S03 to S06, S08, S13 to S15, S18)."""

from __future__ import annotations

import errno
import os
import random
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support_cli import Cli, Ran
from support_processes import Machine, SlowProvider

from wan_cli import publish
from wan_cli.ledger.journal import Journal


def _can_mount() -> bool:
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, check=False
    ) if shutil.which("unshare") else None  # fmt: skip
    return tried is not None and tried.returncode == 0


with_mounts = pytest.mark.skipif(not _can_mount(), reason="no file system may be mounted here")
BUY = ("generate", "a fox", "-p", "rivya", "-o", "out/fox.png")


def noise(sides: tuple[int, int] = (320, 320)) -> bytes:
    """Return a picture that does not compress: about 300 KB."""
    data = BytesIO()
    chance = random.Random(3)  # noqa: S311 - no secret
    Image.frombytes("RGB", sides, chance.randbytes(sides[0] * sides[1] * 3)).save(data, "PNG")
    return data.getvalue()


@pytest.fixture
def slow() -> Iterator[SlowProvider]:
    """Return a provider that answers at once, with a picture that takes some room."""
    with SlowProvider() as server:
        server.at_once = True
        server.deliver = lambda order, index: noise()
        yield server
        server.let_go()


@pytest.fixture
def machine(tmp_path: Path, slow: SlowProvider) -> Iterator[Machine]:
    """Return a place to run wan in."""
    made = Machine(tmp_path, slow)
    yield made
    made.close()


def mounted(machine: Machine, options: str, place: Path, *argv: str, prepare: str = "true") -> Any:
    """Run ``wan argv`` where ``place`` is a file system of its own, which nobody else sees."""
    place.mkdir(parents=True, exist_ok=True)
    place.chmod(0o700)
    script = f'mount -t tmpfs -o mode=700,{options} none "$0" && cd . && {prepare} && exec "$@"'
    process = subprocess.Popen(
        ["unshare", "-m", "sh", "-c", script, str(place), sys.executable, "-m", "wan_cli", *argv],
        cwd=machine.work, env=machine.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    machine.started.append(process)
    return machine.end(process)


# -- before the purchase


def refusing(code: int, where: str) -> Callable[..., Any]:
    """Return a function that fails as the system does."""

    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code), where)

    return fail


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EACCES, errno.EDQUOT, errno.EIO])
@pytest.mark.parametrize("call", ["create", "append"])
def test_s01_a_journal_that_cannot_be_written_stops_the_purchase(
    live: Cli, call: str, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the system refuses: exit 3, nothing sent, and the same call buys once the place is writable."""
    with monkeypatch.context() as patch:
        patch.setattr(Journal, call, refusing(code, str(live.root / "state" / "journal.jsonl")))
        ran = live.run(*BUY, "--json")
    error = ran.json["error"] or ran.task["error"]
    assert (ran.code, error["code"], error["charged"]) == (3, "state_unusable", "no")
    assert os.strerror(code) in error["message"]
    assert re.search("WAN_STATE_DIR|chmod", error["hint"])
    assert not live.provider.seen
    assert live.run(*BUY).code == 0
    assert live.provider.purchases == 1


@with_mounts
@pytest.mark.parametrize(
    ("options", "prepare", "said"),
    [
        ("ro", "true", "Read-only file system"),
        ("size=64k", 'dd if=/dev/zero of="$0/fill" bs=4096 count=15 2>/dev/null', "full"),
    ],
)
def test_s01_a_real_disk_that_takes_nothing_stops_the_purchase(
    machine: Machine, slow: SlowProvider, options: str, prepare: str, said: str
) -> None:
    """On a read-only or full file system nothing is sent: exit 3, not charged."""
    ended = mounted(machine, options, machine.root / "state", *BUY, "--json", prepare=prepare)
    error = ended.json["error"] or ended.json["tasks"][0]["error"]
    assert (ended.code, error["code"], error["charged"]) == (3, "state_unusable", "no"), ended
    assert said.casefold() in error["message"].casefold()
    assert not slow.seen


# -- the target, before the purchase


def test_s04_a_target_that_cannot_be_written_is_found_before_the_purchase(live: Cli) -> None:
    """A file in place of a folder is exit 2, and nothing was sent."""
    live.write("out", b"a file")
    ran = live.run(*BUY)
    assert (ran.code, ran.said("charged")) == (2, "no")
    assert not live.provider.seen


@with_mounts
def test_s04_a_read_only_target_is_found_before_the_purchase(machine: Machine, slow: SlowProvider) -> None:
    """A folder on a read-only file system is exit 2, and nothing was sent."""
    ended = mounted(machine, "ro", machine.work / "out", *BUY)
    assert ended.code == 2, ended
    assert "Read-only file system" in ended.err
    assert not slow.seen


def test_s06_a_file_that_exists_is_neither_bought_again_nor_replaced(live: Cli) -> None:
    """Exit 2 before anything is sent; --skip-existing is 0 and --overwrite replaces it whole."""
    mine = live.write("out/fox.png", b"mine")
    ran = live.run(*BUY)
    assert (ran.code, ran.said("charged"), mine.read_bytes()) == (2, "no", b"mine")
    assert live.run(*BUY, "--skip-existing").code == 0
    assert not live.provider.seen
    assert live.run(*BUY, "--overwrite", "--size", "1K").code == 0
    assert mine.read_bytes().startswith(b"\x89PNG")
    assert live.files() == ["out/fox.png"]


# -- while the result is fetched


def collected(machine: Machine, slow: SlowProvider, ended: Any) -> None:
    """Check that a result was bought and not saved, and that ``wan wait`` brings it without buying."""
    assert ended.code == 12, ended
    assert "charged: yes" in ended.err
    assert "wan wait rivya:task_1" in ended.err
    folder = machine.work / "out"
    assert not folder.exists() or not any(folder.iterdir())
    again = machine.run("wait", "rivya:task_1", "-q")
    assert again.code == 0, again
    assert (machine.work / "out" / "fox.png").read_bytes() == noise()
    assert slow.purchases == 1


@with_mounts
def test_s03_s05_a_disk_that_fills_up_keeps_the_result_at_the_provider(machine: Machine, slow: SlowProvider) -> None:
    """A folder of 64 KiB takes no picture of 300: exit 12, no half file, and wait brings it once there is room."""
    ended = mounted(machine, "size=64k", machine.work / "out", *BUY)
    assert "disk" in ended.err or "space" in ended.err, ended
    collected(machine, slow, ended)


def test_s05_a_limit_on_file_sizes_keeps_the_result_at_the_provider(machine: Machine, slow: SlowProvider) -> None:
    """A process that may write no file larger than 200 KiB exits 12, with no half file; wait brings it later."""
    limit = 200 * 1024
    ended = machine.run(*BUY, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)))
    assert os.strerror(errno.EFBIG) in ended.err, ended
    collected(machine, slow, ended)


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="the system does not tell what a descriptor is of")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO, errno.EDQUOT])
def test_s03_s05_any_error_while_writing_keeps_the_result_at_the_provider(
    live: Cli, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exit 12 and nothing left behind, whatever the disk says in the middle; wait brings it without buying."""
    write = os.write

    def failing(descriptor: int, data: bytes) -> int:
        if Path(f"/proc/self/fd/{descriptor}").readlink().suffix == ".part":
            raise OSError(code, os.strerror(code))
        return write(descriptor, data)

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing)
        ran = live.run(*BUY, "--json")
    assert ran.code == 12
    assert (ran.task["charged"], ran.task["error"]["charged"]) == ("yes", "yes")
    assert [name for name in live.files() if "fox" in name] == []
    assert live.run("wait", ran.task["handle"]).code == 0
    assert live.files() == ["out/fox.png"]
    assert live.provider.purchases == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
def test_s03_standard_output_on_a_full_disk_loses_no_result(machine: Machine, slow: SlowProvider) -> None:
    """With -o - onto a full disk the exit is 12 and the result can still be collected into a file."""
    with Path("/dev/full").open("wb") as full:
        ended = machine.run("generate", "a fox", "-p", "rivya", "-o", "-", stdout=full)
    assert ended.code == 12, ended
    assert "charged: yes" in ended.err
    again = machine.run("wait", "rivya:task_1", "-o", "fox.png", "-q")
    assert again.code == 0, again
    assert (machine.work / "fox.png").read_bytes() == noise()
    assert slow.purchases == 1


# -- two machines


def test_s08_two_ledgers_and_one_key_are_one_purchase(line: Any) -> None:
    """Two machines that make the same call under one key buy once where the provider honours keys."""
    call = ("generate", "a fox", "-p", "rivya", "--idempotency-key", "night-1", "--json")
    handles = []
    for name in ("one", "two"):
        place = line.cli.root / name
        ran: Ran = line.cli.run(*call, "-o", f"{name}.png", env={"WAN_STATE_DIR": str(place)})
        assert ran.code == 0, ran.err
        handles.append(ran.task["handle"])
    assert handles[0] == handles[1]
    assert line.wire.purchases == 1
    one, two = (line.cli.cwd / f"{name}.png" for name in ("one", "two"))
    assert one.read_bytes() == two.read_bytes()


# -- names and folders


def test_s13_a_planted_link_in_the_target_folder_is_not_followed(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link under the temporary name is passed by: its victim is untouched and the picture is saved."""
    victim = live.write("victim", b"precious")
    (live.cwd / "out").mkdir()
    names = iter(["planted", "planted", *(f"free{number}" for number in range(50))])
    monkeypatch.setattr(publish.Part, "__init__", _with_names(publish.Part.__init__, lambda: next(names)))
    (live.cwd / "out" / ".fox.planted.part").symlink_to(victim)
    assert live.run(*BUY).code == 0
    assert victim.read_bytes() == b"precious"
    assert (live.cwd / "out" / "fox.png").read_bytes().startswith(b"\x89PNG")


def _with_names(make: Callable[..., None], name: Callable[[], str]) -> Callable[..., None]:
    def made(part: publish.Part, *args: Any, **options: Any) -> None:
        make(part, *args, **{**options, "token": name})

    return made


def test_s14_nothing_is_moved_between_folders(live: Cli, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The temporary file is beside its target wherever TMPDIR is: no rename or link can cross file systems."""
    moves: list[tuple[Path, Path]] = []

    def watched(call: Callable[..., None]) -> Callable[..., None]:
        def move(source: Any, target: Any, **options: Any) -> None:
            moves.append((Path(source).parent, Path(target).parent))
            call(source, target, **options)

        return move

    for name in ("link", "rename", "replace"):
        monkeypatch.setattr(os, name, watched(getattr(os, name)))
    assert live.run(*BUY, env={"TMPDIR": str(tmp_path / "elsewhere")}).code == 0
    assert live.run(*BUY, "--overwrite", "--size", "1K").code == 0
    published = [(source, target) for source, target in moves if target == live.cwd / "out"]
    assert len(published) >= 2, [str(pair) for pair in moves]
    assert all(source == target for source, target in moves)


@pytest.mark.parametrize(
    "name", ["CON.png", "a:b.png", "x" * 300 + ".png", "dot./x.png", "aux/x.png", "e\u0301" * 99 + ".png"]
)
def test_s15_a_name_that_some_system_cannot_take_is_refused_before_the_purchase(live: Cli, name: str) -> None:
    """The rules of every system hold on this one: exit 2, nothing sent, nothing written."""
    ran = live.run("generate", "x", "-p", "rivya", "-o", name)
    assert (ran.code, ran.said("charged")) == (2, "no")
    assert not live.provider.seen
    assert live.files() == []


def test_s18_a_target_folder_that_is_removed_in_the_middle_is_made_again(live: Cli) -> None:
    """While the picture is on its way its folder goes; it is made once more and the file is there."""
    deliver = live.provider.deliver

    def late(order: Any, index: int) -> bytes:
        shutil.rmtree(live.cwd / "out", ignore_errors=True)
        data: bytes = deliver(order, index)
        return data

    live.provider.deliver = late
    ran = live.run(*BUY)
    assert (ran.code, ran.lines) == (0, ["out/fox.png"]), ran.err
    assert live.files() == ["out/fox.png"]
    assert live.provider.purchases == 1


def test_s18_a_target_folder_that_becomes_a_file_keeps_the_result_at_the_provider(live: Cli) -> None:
    """Where the folder cannot be made again the exit is 12, and wait -o brings the result elsewhere."""
    deliver = live.provider.deliver

    def late(order: Any, index: int) -> bytes:
        shutil.rmtree(live.cwd / "out", ignore_errors=True)
        if not (live.cwd / "out").exists():
            (live.cwd / "out").write_bytes(b"a file")
        data: bytes = deliver(order, index)
        return data

    live.provider.deliver = late
    ran = live.run(*BUY, "--json")
    assert (ran.code, ran.task["charged"]) == (12, "yes")
    assert live.run("wait", ran.task["handle"], "-o", "else.png").code == 0
    assert live.provider.purchases == 1
