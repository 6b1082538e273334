"""Faults of the ledger: locked, damaged, of a newer version, somebody else's (rows S09 to S12, S16, S17)."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support_cli import Cli, Ran
from support_provider import Say

from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger, schema
from wan_cli.ledger.checkup import check
from wan_cli.ledger.owner import Owner
from wan_cli.ledger.repair import repair
from wan_cli.models import Upload

FIX = "wan doctor --repair"
ROOT = hasattr(os, "geteuid") and os.geteuid() == 0
as_root = pytest.mark.skipif(not ROOT, reason="only root can give files away")


@dataclass
class Shop:
    """A command line with a ledger of three purchases: one saved, one at the provider, one of unknown outcome."""

    cli: Cli
    before: list[Any]

    @property
    def place(self) -> Path:
        return self.cli.root / "state"

    @property
    def database(self) -> Path:
        return self.place / "ledger.db"

    @property
    def journal(self) -> Path:
        return self.place / "journal.jsonl"

    def buy(self, *more: object) -> Ran:
        """Try to buy something new."""
        return self.cli.run("generate", "an owl", "-p", "rivya", "--json", *more)

    def doctor(self, *more: str) -> Ran:
        return self.cli.run("doctor", "--offline", "--json", *more)

    def finding(self, ran: Ran, check: str) -> Any:
        """Return the first finding of a check that is not well, else the first."""
        rows = [row for row in ran.json["doctor"] if row["check"] == check]
        return next((row for row in rows if row["ok"] is False), rows[0])

    def again(self) -> list[Ran]:
        """Make the three calls once more: none may buy."""
        return [self.cli.run(*call) for call in CALLS]


CALLS = (
    ("generate", "a fox", "-p", "rivya", "--idempotency-key", "saved", "-o", "fox.png"),
    ("generate", "a hare", "-p", "modelverse", "--idempotency-key", "open", "--no-wait"),
    ("generate", "a crow", "-p", "modelverse", "--idempotency-key", "lost", "--no-wait"),
)


def listed(cli: Cli) -> list[Any]:
    """Return what the ledger says of every task."""
    found: list[Any] = cli.run("status", "--json").json["tasks"]
    return found


@pytest.fixture
def shop(live: Cli) -> Shop:
    """Return a ledger with three purchases."""
    assert live.run(*CALLS[0]).code == 0
    assert live.run(*CALLS[1]).code == 0
    live.provider.script["submit"] = [Say(accept=True, drop=True)]
    assert live.run(*CALLS[2]).code == 9
    assert live.provider.purchases == 3
    return Shop(live, listed(live))


def flip(offset: int, bit: int = 0) -> Callable[[bytes], bytes]:
    """Return what flips one bit."""
    return lambda data: data[:offset] + bytes([data[offset] ^ 1 << bit]) + data[offset + 1 :]


def fill(start: int, end: int) -> Callable[[bytes], bytes]:
    """Return what writes garbage over a range."""
    return lambda data: data[:start] + b"\xff" * (end - start) + data[end:]


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "zero bytes": lambda _: b"",
    "garbage": lambda data: random.Random(1).randbytes(len(data)),  # noqa: S311 - no secret
    "text": lambda _: b"not a database" * 999,
    "cut in half": lambda data: data[: len(data) // 2],
    "cut in a page": lambda data: data[: len(data) // 2 + 77],
    "one page left": lambda data: data[:4096],
    "half a header left": lambda data: data[:50],
    "a header of garbage": fill(0, 100),
    "a bit of the magic": flip(0),
    "a bit of the page size": flip(16, 4),
    "a bit of the mark": flip(68),
    "a high bit of the version": flip(60, 6),
    "the version is zero": lambda data: data[:60] + bytes(4) + data[64:],
    "a bit of the first page's kind": flip(100),
    "a page of garbage": fill(4096, 8192),
    "another page of garbage": fill(8192, 12288),
    "zeros in the middle": lambda data: data[:4096] + bytes(len(data) - 8192) + data[-4096:],
}


@pytest.mark.parametrize("how", DAMAGE)
def test_s10_a_damaged_ledger_stops_purchases_until_it_is_repaired(shop: Shop, how: str) -> None:
    """Damage is noticed before anything is bought, looking touches nothing, and a repair brings all of it back."""
    hurt = DAMAGE[how](shop.database.read_bytes())
    shop.database.write_bytes(hurt)
    told = shop.journal.read_bytes()

    ran = shop.buy()
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (3, "state_unusable", "no")
    assert FIX in ran.json["error"]["hint"]
    for call in CALLS:
        assert shop.cli.run(*call).code == 3
    seen = shop.doctor()
    assert (seen.code, shop.finding(seen, "ledger")["fix"]) == (3, FIX)
    assert [shop.database.read_bytes(), shop.journal.read_bytes()] == [hurt, told]

    mended = shop.doctor("--repair")
    assert mended.code == 0, mended.json
    (kept,) = shop.place.glob("ledger.corrupt-*.db")
    assert kept.read_bytes() == hurt
    assert shop.journal.read_bytes().startswith(told)
    assert listed(shop.cli) == shop.before
    assert [ran.code for ran in shop.again()] == [0, 0, 9]
    assert shop.cli.provider.purchases == 3
    assert shop.doctor().code == 0
    assert shop.buy().code == 0


def test_s10_a_database_that_is_gone_is_built_from_the_journal(shop: Shop) -> None:
    """With the journal alone nothing is bought; after the repair all is known again, and the journal is as it was."""
    shop.database.unlink()
    told = shop.journal.read_bytes()

    ran = shop.buy()
    assert (ran.code, ran.json["error"]["hint"]) == (3, FIX)
    mended = shop.doctor("--repair")
    assert mended.code == 0
    assert any("attempts are gone" in row["finding"] for row in mended.json["doctor"])
    assert shop.journal.read_bytes() == told
    assert listed(shop.cli) == shop.before
    assert [ran.code for ran in shop.again()] == [0, 0, 9]
    assert shop.cli.provider.purchases == 3


def test_s10_a_journal_that_is_gone_is_written_again(shop: Shop) -> None:
    """With the database alone nothing is lost: the next command writes a journal that can rebuild it."""
    shop.journal.unlink()
    assert shop.doctor().code == 0
    assert not shop.journal.exists()
    assert listed(shop.cli) == shop.before
    shop.database.unlink()
    assert shop.doctor("--repair").code == 0
    assert listed(shop.cli) == shop.before


def test_s10_both_damaged_keep_what_either_still_has(shop: Shop) -> None:
    """A task that only the old database has is saved from it, and so is one that only the journal has."""
    lines = shop.journal.read_bytes().splitlines(keepends=True)
    first = json.loads(lines[0])["task"]["id"]
    shop.journal.write_bytes(b"".join(line for line in lines if first.encode() not in line))
    shop.database.write_bytes(fill(0, 100)(shop.database.read_bytes()))

    mended = shop.doctor("--repair")
    assert mended.code == 0, mended.json
    assert any(first in row["finding"] for row in mended.json["doctor"] if row["check"] == "repair")
    assert listed(shop.cli) == shop.before
    assert first in shop.journal.read_text()


def test_s10_bodies_and_answers_are_saved_from_the_old_database(shop: Shop) -> None:
    """Requests and answers are in the database alone: those that can be read are in the new one, byte for byte."""
    ids = [task["id"] for task in shop.before]
    with Ledger.open(shop.place) as ledger:
        evidence = [ledger.attempts(name) for name in ids]
    shop.database.write_bytes(fill(0, 100)(shop.database.read_bytes()))

    mended = shop.doctor("--repair")
    assert not any("attempts are gone" in row["finding"] for row in mended.json["doctor"])
    with Ledger.open(shop.place) as ledger:
        assert [ledger.attempts(name) for name in ids] == evidence
    assert all(evidence)


def test_s10_what_was_being_sent_is_never_sent_again_without_a_key(shop: Shop) -> None:
    """A purchase that was under way comes back as such: it ends unknown, exit 9, and is not bought a second time."""
    with Ledger.open(shop.place) as ledger:
        (task,) = ledger.by_user_key("open")
        from dataclasses import replace

        from wan_cli.models import Sending

        ledger.save(replace(task, state=Sending(at=task.created_at), task_id=None, charged="unknown"))
    shop.database.unlink()
    assert shop.doctor("--repair").code == 0
    ran = shop.cli.run(*CALLS[1])
    assert (ran.code, ran.said("charged")) == (9, "unknown")
    assert shop.cli.provider.purchases == 3


def test_s10_a_plan_before_an_unreadable_line_counts_as_sent(shop: Shop) -> None:
    """Where the line that said "sending" cannot be read and the database is gone, the task is not bought again."""
    lines = shop.journal.read_bytes().splitlines(keepends=True)
    mine = [number for number, line in enumerate(lines) if b'"user_key":"open"' in line]
    lines = [line for number, line in enumerate(lines) if number not in mine[2:]]
    lines[mine[1]] = lines[mine[1]][:100] + b"\x00\xff\n"
    shop.journal.write_bytes(b"".join(lines))
    shop.database.unlink()

    mended = shop.doctor("--repair")
    assert any(row["fix"].startswith("wan recover") and row["check"] == "repair" for row in mended.json["doctor"])
    assert any("line" in row["finding"] for row in mended.json["doctor"] if row["check"] == "repair")
    ran = shop.cli.run(*CALLS[1])
    assert (ran.code, ran.said("charged")) == (9, "unknown")
    assert shop.cli.provider.purchases == 3


def test_s10_an_older_copy_of_the_database_catches_up_with_the_journal(shop: Shop, tmp_path: Path) -> None:
    """A database put back from before a purchase learns of it from the journal; nothing is bought again."""
    old = tmp_path / "old.db"
    shutil.copy(shop.database, old)
    call = ("generate", "a wren", "-p", "modelverse", "--idempotency-key", "late", "--no-wait")
    handle = shop.cli.run(*call).out
    shutil.copy(old, shop.database)

    assert shop.doctor().code == 0
    ran = shop.cli.run(*call)
    assert (ran.code, ran.out) == (0, handle)
    assert shop.cli.provider.purchases == 4


def test_s10_text_that_was_changed_in_the_database_is_put_right(shop: Shop) -> None:
    """A bit flipped in a document passes SQLite's checks; the doctor holds it against the journal and mends it."""
    data = shop.database.read_bytes()
    place = data.index(b'"prompt":"a hare"') + len('"prompt":"a ')
    shop.database.write_bytes(flip(place, 3)(data))
    assert listed(shop.cli) != shop.before

    seen = shop.doctor()
    assert (seen.code, shop.finding(seen, "ledger")["fix"]) == (3, FIX)
    assert shop.doctor("--repair").code == 0
    assert listed(shop.cli) == shop.before
    (kept,) = shop.place.glob("ledger.corrupt-*.db")
    assert flip(place, 3)(data)[place : place + 4] in kept.read_bytes()
    assert shop.doctor().code == 0


def test_s10_uploads_are_saved_from_the_old_database(shop: Shop) -> None:
    """Where a file was uploaded to is in the database alone, and is known to the new one."""
    place = {"sha256": "a" * 64, "provider": "rivya", "origin": "https://rivya.ai", "key_print": "k"}
    with Ledger.open(shop.place, clock=shop.cli.clock) as ledger:
        ledger.remember_upload(**place, upload=Upload(url="https://cdn.example/a.png", file_id="f-1"))
    shop.database.write_bytes(fill(0, 100)(shop.database.read_bytes()))

    assert shop.doctor("--repair").code == 0
    with Ledger.open(shop.place, clock=shop.cli.clock) as ledger:
        found = ledger.known_upload(**place, now=shop.cli.clock.now)
    assert found is not None
    assert (found.url, found.file_id) == ("https://cdn.example/a.png", "f-1")


def test_s10_a_repair_waits_for_the_owner_of_a_task(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the system does not tell who has the ledger open, the claims do: a living owner stops the repair."""
    stat = Path("/proc/1/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19]
    with Ledger.open(shop.place, clock=shop.cli.clock) as ledger:
        mine = ledger._here
        ledger._here = Owner(1, stat, mine.boot, mine.space)
        assert ledger.claim(ledger.recent()[0].id)
    shop.database.write_bytes(fill(0, 100)(shop.database.read_bytes()))
    monkeypatch.setattr("wan_cli.ledger.repair.holders", lambda database: [])

    mended = shop.doctor("--repair")
    assert mended.code == 3
    assert "process 1 has it open" in mended.out
    assert not list(shop.place.glob("ledger.corrupt-*"))


def test_s10_a_torn_line_of_the_journal_is_only_a_warning(shop: Shop) -> None:
    """What a power cut leaves in the journal stops nothing while the database is whole; a repair writes it anew."""
    with shop.journal.open("ab") as file:
        file.write(b'{"at": 1, "task": {"id"')
    seen = shop.doctor()
    assert (seen.code, shop.finding(seen, "journal")["level"]) == (0, "warning")
    assert shop.buy("--no-wait").code == 0
    assert shop.doctor("--repair").code == 0
    assert shop.finding(shop.doctor(), "journal")["ok"] is True
    assert len(list(shop.place.glob("journal.damaged-*.jsonl"))) == 1


def test_s10_no_flipped_bit_loses_a_task(shop: Shop) -> None:
    """Each byte of the header, and bytes all over the file: it is read as it was, or refused and rebuilt as it was."""
    whole, told = shop.database.read_bytes(), shop.journal.read_bytes()
    ids = {task["id"]: task["state"] for task in shop.before}
    chance = random.Random(7)  # noqa: S311 - no secret
    places = [*range(0, 100, 8), *(chance.randrange(100, len(whole)) for _ in range(8))]
    noticed = 0
    for place in places:
        shutil.rmtree(shop.place)
        shop.place.mkdir(mode=0o700)
        shop.database.write_bytes(flip(place, chance.randrange(8))(whole))
        shop.journal.write_bytes(told)
        for file in (shop.database, shop.journal):
            file.chmod(0o600)
        try:
            Ledger.open(shop.place).close()
        except StateUnusable:
            noticed += 1
        seen = check(shop.place)
        if seen.condition in ("newer", "foreign"):
            assert shop.database.exists()
            continue
        repair(shop.place)
        assert {task.id for task in check(shop.place).tasks} == set(ids), place
        Ledger.open(shop.place).close()
    assert noticed > 3


def test_s10_a_repair_that_was_cut_off_is_taken_up(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the process dies after it moved the old database away, the next repair reads that one."""
    lines = shop.journal.read_bytes().splitlines(keepends=True)
    first = json.loads(lines[0])["task"]["id"].encode()
    shop.journal.write_bytes(b"".join(line for line in lines if first not in line))
    shop.database.write_bytes(fill(0, 100)(shop.database.read_bytes()))

    class Killed(BaseException):
        pass

    def die(*_: object) -> bool:
        raise Killed

    journal = shop.journal.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(schema, "make", lambda path, *rest: True if path.name == "fresh.db" else die())
        patch.setattr("wan_cli.ledger.salvage._new_header", lambda *_: None)
        with pytest.raises(Killed):
            repair(shop.place)
    assert not shop.database.exists()
    shop.journal.write_bytes(journal)
    assert shop.buy().code == 3
    assert shop.doctor("--repair").code == 0
    assert listed(shop.cli) == shop.before


# -- somebody else has it


@contextlib.contextmanager
def holding(database: Path) -> Iterator[int]:
    """Let another process hold the write lock; give its number."""
    script = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1], isolation_level=None);"
        " db.execute('BEGIN IMMEDIATE'); print('held', flush=True); sys.stdin.read()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(database)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"held\n"
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


@pytest.mark.skipif(not Path("/proc/locks").exists(), reason="the system does not tell who holds a lock")
def test_s09_a_ledger_that_is_locked_names_the_process(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is bought while another process holds the ledger, and the hint has its number; afterwards all is well."""
    monkeypatch.setattr(schema, "BUSY_S", 0.02)
    with holding(shop.database) as pid:
        ran = shop.buy()
        assert (ran.code, ran.json["error"]["code"]) == (3, "state_unusable")
        assert f"process {pid} holds it" in ran.json["error"]["hint"]
        assert shop.doctor().code == 0
        with shop.journal.open("ab") as file:
            file.write(b"torn\n")
        mended = shop.doctor("--repair")
        assert mended.code == 3
        assert f"process {pid} has it open" in shop.finding(mended, "repair")["finding"]
    assert shop.cli.provider.purchases == 3
    assert shop.doctor("--repair").code == 0
    assert shop.buy().code == 0


def test_s09_a_network_file_system_is_warned_about(shop: Shop, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The doctor says when locks may not hold between machines."""
    mounts = tmp_path / "mounts"
    mounts.write_text(f"/dev/sda1 / ext4 rw 0 0\nhost:/x {shop.cli.root} nfs4 rw 0 0\nbad\n")
    monkeypatch.setattr("wan_cli.cli.doctor.state.MOUNTS", mounts)
    seen = shop.doctor()
    assert (seen.code, shop.finding(seen, "disk")["level"]) == (0, "warning")
    assert "nfs4" in shop.finding(seen, "disk")["finding"]
    mounts.unlink()
    assert shop.finding(shop.doctor(), "disk")["ok"] is True


def test_s11_a_newer_ledger_is_left_alone(shop: Shop) -> None:
    """Neither a purchase, nor a list, nor a repair touches what a newer wan wrote; all of them say so."""
    with contextlib.closing(sqlite3.connect(shop.database)) as db:
        db.execute(f"PRAGMA user_version = {len(schema.MIGRATIONS) + 1}")
    before = shop.database.read_bytes()
    for ran in (shop.buy(), shop.cli.run("status", "--json"), shop.doctor(), shop.doctor("--repair")):
        assert ran.code == 3
        assert "newer wan" in ran.json["error"]["message"]
        assert "upgrade wan" in ran.json["error"]["hint"]
    assert shop.database.read_bytes() == before
    assert shop.cli.provider.purchases == 3


@pytest.mark.parametrize("name", [".", "ledger.db", "journal.jsonl"])
def test_s12_what_others_can_write_is_refused_and_repaired(shop: Shop, name: str) -> None:
    """A group-writable folder or file stops purchases with the command that mends it; --repair does it, too."""
    path = shop.place / name
    path.chmod(0o770 if name == "." else 0o660)
    ran = shop.buy()
    assert (ran.code, ran.json["error"]["code"]) == (3, "state_unusable")
    assert f"chmod {'700' if name == '.' else '600'} {path}".replace("/.", "") in ran.json["error"]["hint"]
    assert shop.doctor("--repair").code == 0
    assert path.stat().st_mode & 0o077 == 0
    assert shop.buy().code == 0


@as_root
@pytest.mark.parametrize("name", [".", "ledger.db", "journal.jsonl"])
def test_s12_what_belongs_to_others_is_refused(shop: Shop, name: str) -> None:
    """Another user's folder or file stops purchases, and a repair does not take it."""
    os.chown(shop.place / name, 54_321, -1)
    ran = shop.buy()
    assert (ran.code, "belongs to another user" in ran.json["error"]["message"]) == (3, True)
    assert "chown 0" in ran.json["error"]["hint"]
    assert shop.doctor("--repair").code == 3
    assert (shop.place / name).stat().st_uid == 54_321


@pytest.mark.parametrize("name", ["ledger.db", "journal.jsonl"])
def test_s12_a_link_is_refused(shop: Shop, name: str) -> None:
    """A link in place of a file stops purchases and repairs, and what it names is untouched."""
    path, elsewhere = shop.place / name, shop.cli.root / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    before = elsewhere.read_bytes()
    ran = shop.buy()
    assert (ran.code, "symbolic link" in ran.json["error"]["message"]) == (3, True)
    assert shop.doctor("--repair").code == 3
    assert elsewhere.read_bytes() == before
    assert shop.cli.provider.purchases == 3


def test_s12_a_configuration_that_others_can_change_is_refused(live: Cli) -> None:
    """A group-writable user's file could send keys elsewhere: nothing is bought, and chmod is the hint."""
    path = live.config("[defaults]\nsize = '1K'\n", mode=0o660)
    ran = live.run("generate", "x", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")
    assert ran.json["error"]["hint"] == f"chmod 600 {path}"
    assert live.run("doctor", "--offline").code == 3
    path.chmod(0o600)
    if ROOT:
        os.chown(path, 54_321, -1)
        assert live.run("generate", "x").code == 3
    assert not live.provider.seen


# -- no home, no time


@pytest.fixture
def homeless(live: Cli, monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Return a command line of a user whom the system does not know, without HOME."""

    def unknown(*_: object) -> None:
        raise KeyError("no such user")

    for name in ("HOME", "XDG_STATE_HOME", "XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME", "WAN_STATE_DIR"):
        monkeypatch.delenv(name)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    return live


def test_s16_without_a_home_nothing_is_bought(homeless: Cli) -> None:
    """Where there is no place for the ledger the hint names the variable, and no folder called ~ appears."""
    ran = homeless.run("generate", "x", "--json", "-o", "x.png")
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (3, "state_unusable", "no")
    assert "WAN_STATE_DIR" in ran.json["error"]["hint"]
    seen = homeless.run("doctor", "--offline")
    assert (seen.code, "WAN_STATE_DIR" in seen.err) == (3, True)
    assert not homeless.provider.seen
    assert homeless.files() == []


def test_s16_without_a_home_the_variable_is_enough(homeless: Cli) -> None:
    """WAN_STATE_DIR is all that a container without a home needs."""
    ran = homeless.run("generate", "x", "-o", "x.png", env={"WAN_STATE_DIR": str(homeless.root / "own")})
    assert ran.code == 0
    assert homeless.run("generate", "x", env={"WAN_STATE_DIR": "~/own"}).code == 3
    assert homeless.run("generate", "x", env={"WAN_CONFIG": "~/own.toml"}).code == 3
    assert homeless.provider.purchases == 1


def test_s17_a_clock_of_1970_decides_nothing(live: Cli) -> None:
    """Purchases made while the clock says 1970 are in the ledger, in order, and are collected when it is right."""
    right = live.clock.now
    live.clock.now = 3.0
    call = ("generate", "a fox", "-p", "modelverse", "--no-wait", "--idempotency-key", "early")
    handles = [live.run(*call).out.strip()]
    handles.append(live.run("generate", "a hare", "-p", "modelverse", "--no-wait").out.strip())
    live.clock.now = right
    assert [task["handle"] for task in reversed(listed(live))] == handles
    assert live.run(*call).out.strip() == handles[0]
    assert live.run("doctor", "--offline").code == 0
    assert live.run("wait", "--all").code == 0
    assert live.provider.purchases == 2
    assert len(live.files()) == 2
