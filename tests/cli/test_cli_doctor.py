"""``wan doctor``: a row for each thing, whatever else is broken; nothing is bought and nothing is touched."""

from __future__ import annotations

import os
import ssl
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from support_cli import Cli, Ran
from support_provider import Say

from wan_cli.cli.context import App
from wan_cli.cli.doctor import network, state
from wan_cli.ledger import Ledger
from wan_cli.proxies import proxy_fault
from wan_cli.ui.streams import Streams


def rows(ran: Ran, check: str) -> list[Any]:
    """Return the rows of one check."""
    return [row for row in ran.json["doctor"] if row["check"] == check]


def row(ran: Ran, check: str, subject: str = "") -> Any:
    """Return the one row of a check (about a subject)."""
    (only,) = [row for row in rows(ran, check) if not subject or row["subject"] == subject]
    return only


def at(live: Cli, skew: float = 0) -> None:
    """Set the clock so many seconds before that of the provider, which tells the real time."""
    live.clock.now = time.time() - skew


def test_all_is_well(live: Cli) -> None:
    """With keys, network and an unused state folder every row is fine: exit 0, nothing bought, nothing made."""
    at(live)
    ran = live.run("doctor", "--json")
    assert ran.code == 0
    assert {row["level"] for row in ran.json["doctor"]} == {"ok", "skipped"}
    assert all((row["level"] == "skipped") is (row["ok"] is None) for row in ran.json["doctor"])
    assert row(ran, "proxy")["finding"] == "none in use"
    assert set(ran.json["doctor"][0]) == {"check", "subject", "ok", "level", "finding", "fix"}
    assert "988 credits left" in row(ran, "network", "rivya")["finding"]
    assert live.provider.purchases == 0
    assert not (live.root / "state").exists()


def test_a_table_and_tabs(live: Cli) -> None:
    """On a terminal every line fits but a command to copy, which is whole; without one it is tab-separated rows."""
    ran = live.run("doctor", "--offline", tty=("stdout",), env={"COLUMNS": "80", "WAN_PROVIDER": "y" * 90})
    assert "         unset WAN_PROVIDER" in ran.lines
    assert "         export YUNWU_API_KEY=YOUR_KEY" in ran.lines
    assert all(len(line) < 80 for line in ran.lines)
    ran = live.run("doctor", "--offline", "-q")
    assert all(line.count("\t") == 4 for line in ran.lines)
    assert not live.provider.seen


def test_without_any_key(cli: Cli) -> None:
    """No key at all is exit 3 with the variables to set; the sandbox needs none."""
    ran = cli.run("doctor", "--json", stdin=None)
    assert (ran.code, ran.json["error"]["code"]) == (3, "key_missing")
    assert "RIVYA_API_KEY" in ran.json["error"]["hint"]
    assert rows(ran, "network") == []
    assert cli.run("doctor", "--sandbox").code == 0


def test_a_broken_configuration_hides_nothing_else(live: Cli) -> None:
    """A file that cannot be read is a row of its own; keys, state and tasks are still looked at."""
    live.config("[defaults\n")
    ran = live.run("doctor", "--offline", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")
    assert row(ran, "key", "rivya")["ok"] is True
    assert rows(ran, "tasks")
    ran = live.run("doctor", "--offline", "--json", env={"WAN_SANDBOX": "perhaps"})
    assert ran.code == 3


def test_configuration_files_are_named(live: Cli) -> None:
    """The user's file and the project's are rows."""
    path = live.config("[defaults]\nsize = '1K'\n")
    live.write("wan.toml", "aspect = '1:1'\n")
    ran = live.run("doctor", "--offline", "--json")
    assert [found["subject"] for found in rows(ran, "config")] == [str(path), str(live.cwd / "wan.toml")]


def test_keys_and_origins(live: Cli) -> None:
    """A loose key file, a key for another origin, and a server without a key each have their row, never the key."""
    loose = live.key_file("mv-canary-0123456789abcdef", mode=0o644)
    live.config(
        "[providers.yunwu]\nkey_env = 'OWN'\n[providers.toapis]\nauth = 'none'\n"
        "[providers.openai]\nkey_command = 'echo secret-of-mine'\n"
    )
    env = {"MODELVERSE_API_KEY": "", "MODELVERSE_API_KEY_FILE": str(loose), "OWN": "own-key-0123456789",
           "YUNWU_BASE_URL": "https://elsewhere.example"}  # fmt: skip
    ran = live.run("doctor", "--offline", "--json", env=env)
    assert ran.code == 3
    assert row(ran, "key", "modelverse")["fix"] == f"chmod 600 {loose}"
    assert row(ran, "origin", "yunwu")["ok"] is False
    assert "none is needed" in row(ran, "key", "toapis")["finding"]
    assert "was not run" in row(ran, "key", "openai")["finding"]
    assert "own-key" not in ran.out


def test_a_base_url_without_tls(live: Cli) -> None:
    """Plain http to another machine is an error."""
    ran = live.run("doctor", "--offline", "--json", env={"RIVYA_BASE_URL": "http://example.com"})
    assert (ran.code, "plain http" in row(ran, "key", "rivya")["finding"]) == (3, True)


@pytest.mark.parametrize("skew", [-3600.0, 3600.0])
def test_a_clock_that_is_off(live: Cli, skew: float) -> None:
    """More than a minute from the provider's clock is a warning that says which way."""
    at(live, skew)
    ran = live.run("doctor", "--json", env={"MODELVERSE_API_KEY": ""})
    (found,) = rows(ran, "clock")
    assert (ran.code, found["level"]) == (0, "warning")
    assert ("behind" if skew > 0 else "ahead") in found["finding"]
    at(live, 30)
    assert row(live.run("doctor", "--json", env={"MODELVERSE_API_KEY": ""}), "clock")["ok"] is True


@pytest.mark.parametrize("said", [{}, {"Date": "yesterday"}, {"Date": "Sat, 21 Nov 99999 09:00:00 GMT"}])
def test_an_answer_without_a_usable_date(said: dict[str, str]) -> None:
    """A date that is missing, or is none, is not compared."""
    app = App(streams=Streams.standard(), env={}, cwd=Path())
    (found,) = network._clock(app, "rivya", httpx.Response(200, headers=said))
    assert (found.ok, found.level) == (None, "skipped")


@pytest.mark.parametrize(
    ("say", "check", "level"),
    [
        (Say(401, {"error": {"code": "api_key_invalid", "message": "no"}}), "account", "error"),
        (Say(500, {"error": {"message": "down"}}), "network", "warning"),
        (Say(400, {"error": {"message": "odd"}}), "network", "warning"),
    ],
)
def test_a_provider_that_does_not_answer_well(live: Cli, say: Say, check: str, level: str) -> None:
    """A refused key is an error; a provider that is down a warning."""
    live.provider.always["credits"] = say
    ran = live.run("doctor", "--json", env={"MODELVERSE_API_KEY": ""})
    assert row(ran, check, "rivya")["level"] == level
    assert ran.code == (3 if level == "error" else 0)


def test_a_provider_that_cannot_be_reached(live: Cli) -> None:
    """One of several is a warning; where nobody can be reached nothing can be bought, which is an error."""
    away = {"RIVYA_BASE_URL": "http://127.0.0.1:9"}
    ran = live.run("doctor", "--json", env=away)
    assert (ran.code, row(ran, "network", "rivya")["level"]) == (0, "warning")
    ran = live.run("doctor", "--json", env={**away, "MODELVERSE_API_KEY": ""})
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (3, "network", "no")
    assert row(ran, "network", "rivya")["level"] == "warning"
    assert row(ran, "clock")["level"] == "skipped"
    live.provider.always["credits"] = Say(drop=True)
    assert live.run("doctor", env={"MODELVERSE_API_KEY": ""}).code == 3


@pytest.mark.parametrize(
    ("env", "code", "fix"),
    [
        ({"WAN_PROVIDER": "nope"}, 3, "unset WAN_PROVIDER"),
        ({"WAN_PROVIDER": "yunwu"}, 3, "export YUNWU_API_KEY=YOUR_KEY"),
        ({"WAN_PROVIDER": "yunwu,rivya"}, 0, ""),
        ({"WAN_MODEL": "wan9"}, 0, "wan models"),
        ({"WAN_MODEL": "wan2.7-image-pro"}, 0, ""),
    ],
)
def test_a_provider_or_a_model_that_does_not_exist(live: Cli, env: dict[str, str], code: int, fix: str) -> None:
    """A default that stops every purchase is an error; a model that is not in the catalogue is sent, so a warning."""
    ran = live.run("doctor", "--offline", "--json", env=env)
    assert ran.code == code
    bad = [found["fix"] for found in ran.json["doctor"] if found["level"] in ("warning", "error")]
    assert bad == ([fix] if fix else [])
    assert live.run("doctor", "--offline", env={"WAN_PROVIDER": ""}).code == 0


def test_a_default_of_the_file_is_named_with_it(live: Cli) -> None:
    """A provider that the user's file names and that does not exist is mended there."""
    path = live.config("[defaults]\nprovider = 'nope'\n")
    ran = live.run("doctor", "--offline", "--json")
    assert (ran.code, ran.json["error"]["hint"]) == (3, f"edit {path}")


def test_a_ledger_that_cannot_be_written(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that can only be read stops every purchase, so it is an error with the command that mends it."""
    assert live.run("generate", "a fox", "-p", "rivya").code == 0
    database, access = live.root / "state" / "ledger.db", os.access
    monkeypatch.setattr(os, "access", lambda path, mode, **more: path != database and access(path, mode, **more))
    ran = live.run("doctor", "--offline", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "state_unusable")
    assert ran.json["error"]["hint"] == f"chmod 600 {database}"


def test_a_state_folder_that_cannot_be_made(live: Cli) -> None:
    """A folder that a file or the system stands in the way of is an error before anything is bought."""
    blocked = live.write("blocked", "a file")
    base = ("doctor", "--offline", "--json")
    for place in (blocked, blocked / "below"):
        ran = live.run(*base, env={"WAN_STATE_DIR": str(place)})
        assert (ran.code, ran.json["error"]["hint"]) == (3, f"mv -i {blocked} {blocked}.old")
        ran = live.run("generate", "a fox", "-p", "rivya", env={"WAN_STATE_DIR": str(place)})
        assert (ran.code, ran.said("hint")) == (3, f"mv -i {blocked} {blocked}.old")
    if Path("/proc/self").exists():
        ran = live.run(*base, env={"WAN_STATE_DIR": "/proc/wan"})
        assert (ran.code, row(ran, "state")["level"]) == (3, "error")


def test_a_quirk_that_is_unknown(live: Cli) -> None:
    """An adapter that cannot be made is a row."""
    live.config("[providers.rivya]\nrole_key = 'odd'\n")
    ran = live.run("doctor", "--json", env={"MODELVERSE_API_KEY": ""})
    assert (ran.code, row(ran, "config", "rivya")["ok"]) == (3, False)


def test_proxies_are_shown_without_their_password(live: Cli) -> None:
    """A proxy in use is a row with its password masked; one that is none is an error."""
    env = {"HTTPS_PROXY": "http://me:secret@proxy.example:3128", "no_proxy": "127.0.0.1", "ALL_PROXY": "::::"}
    ran = live.run("doctor", "--offline", "--json", env=env)
    assert "proxy.example:3128" in row(ran, "proxy", "HTTPS_PROXY")["finding"]
    assert "secret" not in ran.out
    assert row(ran, "proxy", "ALL_PROXY")["ok"] is False
    assert "127.0.0.1" in row(ran, "proxy", "no_proxy")["finding"]


@pytest.mark.parametrize(
    ("address", "said"), [("host:1", ""), ("ftp://host", "not known"), ("http://", "not the address"), ("a b:x", "not")]
)
def test_what_a_proxy_may_be(address: str, said: str) -> None:
    """Schemes that httpx does not know, and what is no address, are told."""
    fault = proxy_fault(address)
    assert said in fault[0] if fault else said == ""


def test_a_socks_proxy_needs_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the package that httpx needs the fix is to install it."""
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    fault = proxy_fault("socks5://host:1")
    assert fault
    assert "pip install" in fault[1]


def test_certificates(live: Cli, tmp_path: Path) -> None:
    """A bundle that cannot be used is an error, one that can is counted."""
    broken = live.write("broken.pem", "no certificate")
    folder = tmp_path / "certs"
    folder.mkdir()
    base = ("doctor", "--offline", "--json")
    clear = {"SSL_CERT_FILE": "", "SSL_CERT_DIR": ""}
    assert row(live.run(*base, env=clear), "tls")["ok"] is True
    assert live.run(*base, env={**clear, "SSL_CERT_FILE": str(broken)}).code == 3
    assert live.run(*base, env={**clear, "SSL_CERT_FILE": "/nowhere"}).code == 3
    assert live.run(*base, env={**clear, "SSL_CERT_DIR": str(folder)}).code == 3
    (folder / "x.pem").write_text("")
    assert live.run(*base, env={**clear, "SSL_CERT_DIR": str(folder)}).code == 0
    own = ssl.get_default_verify_paths().cafile
    if own:
        assert row(live.run(*base, env={**clear, "SSL_CERT_FILE": own}), "tls")["ok"] is True


def test_the_state_folder(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not there and not possible, a file, no room, no permission: each is told with its fix."""
    base = ("doctor", "--offline", "--json")
    blocked = live.write("blocked", "a file")
    assert "not a folder" in row(live.run(*base, env={"WAN_STATE_DIR": str(blocked)}), "state")["finding"]
    place = live.root / "state"
    with monkeypatch.context() as patch:
        patch.setattr(os, "access", lambda *_: False)
        assert "no new folder" in row(live.run(*base), "state")["finding"]
        place.mkdir(mode=0o700)
        assert "nothing can be written" in row(live.run(*base), "state")["finding"]
    place.chmod(0o755)
    assert row(live.run(*base), "state")["level"] == "warning"
    place.chmod(0o775)
    assert row(live.run(*base), "state")["level"] == "error"
    assert live.run(*base, "--repair").code == 0
    monkeypatch.setattr(state, "LITTLE", 2**70)
    assert row(live.run(*base), "disk")["level"] == "warning"
    monkeypatch.setattr(state, "TOO_LITTLE", 2**70)
    assert live.run(*base).code == 3

    def unknown(_: object) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("shutil.disk_usage", unknown)
    assert "not known" in row(live.run(*base), "disk")["finding"]


def test_what_earlier_runs_left(live: Cli) -> None:
    """Crash files and recovery files are named with what to do about them."""
    place = live.root / "state"
    place.mkdir(mode=0o700)
    (place / "crash-1.txt").write_text("")
    live.write("wan-recovery-abc123.json", "{}")
    ran = live.run("doctor", "--offline", "--json")
    assert ran.code == 0
    assert "crash-1.txt" in row(ran, "crashes")["fix"]
    assert row(ran, "recovery")["fix"].startswith("wan recover --import ")


def test_open_unknown_and_expiring_tasks(live: Cli) -> None:
    """Open tasks are counted, unknown ones have their command, and a result that soon expires is named."""
    assert live.run("generate", "a fox", "-p", "rivya", "--no-wait").code == 0
    live.provider.script["submit"] = [Say(accept=True, drop=True)]
    assert live.run("generate", "a hare", "-p", "modelverse").code == 9
    with Ledger.open(live.root / "state") as ledger:
        from dataclasses import replace

        (task,) = [task for task in ledger.open_tasks() if task.provider == "rivya"]
        ledger.save(replace(task, expires_at=live.clock.now + 3600))
    live.clock.now += 7200
    ran = live.run("doctor", "--offline", "--json")
    assert ran.code == 0
    found = rows(ran, "tasks")
    assert ["1 open task" in found[0]["finding"], found[0]["fix"]] == [True, "wan wait --all"]
    assert found[1]["fix"] == f"wan wait {task.handle}"
    assert found[2]["fix"] == f"wan recover {found[2]['subject']}"
    live.clock.now -= 7200
    assert "expires in" in rows(live.run("doctor", "--offline", "--json"), "tasks")[1]["finding"]


def test_a_journal_that_cannot_be_read(live: Cli) -> None:
    """A folder in place of the journal is an error, and a repair leaves it."""
    assert live.run("generate", "a fox", "-p", "rivya").code == 0
    journal = live.root / "state" / "journal.jsonl"
    journal.unlink()
    journal.mkdir(mode=0o700)
    ran = live.run("doctor", "--offline", "--json")
    assert (ran.code, row(ran, "journal")["ok"]) == (3, False)
    assert live.run("doctor", "--offline", "--repair").code == 3


def test_another_programs_database_is_left_alone(live: Cli) -> None:
    """A database that is no ledger is neither used nor repaired."""
    import contextlib
    import sqlite3

    place = live.root / "state"
    place.mkdir(mode=0o700)
    with contextlib.closing(sqlite3.connect(place / "ledger.db")) as db:
        db.execute("CREATE TABLE songs (title)")
    (place / "ledger.db").chmod(0o600)
    before = (place / "ledger.db").read_bytes()
    assert live.run("doctor", "--offline").code == 3
    assert live.run("doctor", "--offline", "--repair").code == 3
    assert (place / "ledger.db").read_bytes() == before


def test_nothing_to_repair(live: Cli) -> None:
    """A repair of what is whole, or not there, changes nothing."""
    ran = live.run("doctor", "--offline", "--repair", "--json")
    assert (ran.code, row(ran, "repair")["finding"]) == (0, "nothing to repair")
    assert not (live.root / "state").exists()


def test_the_sandbox_has_a_ledger_of_its_own(cli: Cli) -> None:
    """--sandbox looks at and repairs the sandbox's ledger, and its hints say so."""
    assert cli.run("generate", "a fox", "--sandbox", "-p", "rivya", "--no-wait").code == 0
    database = cli.root / "state" / "sandbox" / "ledger.db"
    database.write_bytes(b"")
    ran = cli.run("generate", "a fox", "--sandbox", "-p", "rivya", "--json")
    assert (ran.code, ran.json["error"]["hint"]) == (3, "wan doctor --repair --sandbox")
    ran = cli.run("doctor", "--sandbox", "--json")
    assert row(ran, "ledger")["fix"] == "wan doctor --repair --sandbox"
    assert cli.run("doctor", "--sandbox", "--repair").code == 0
    assert cli.run("wait", "--all", "--sandbox").code == 0


def test_deadlines_are_short() -> None:
    """A doctor who keeps one waiting is not asked again."""
    assert network.CONNECT_S <= network.TOTAL_S <= 10
