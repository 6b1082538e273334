"""``wan auth set`` and ``remove``: where a key goes, where it may be sent, and that nobody sees it."""

from __future__ import annotations

import getpass
import json
import os
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from support_cli import RIVYA_KEY, Cli, Ran
from support_processes import Machine, until
from support_terminal import Terminal

from wan_cli.config import keyrings, stored

ORIGIN = "https://rivya.ai"
RELAY = "https://relay.example.com"


class Ring(ModuleType):
    """A stand-in for the library ``keyring``: a backend of some priority that keeps keys, or does what it is told."""

    def __init__(self, priority: float = 5, module: str = "keyring.backends.SecretService") -> None:
        super().__init__("keyring")
        backend = type("Keyring", (), {"__module__": module, "priority": priority, "name": "SecretService Keyring"})
        self.backend: Any = backend()
        self.kept: dict[tuple[str, str], str] = {}
        self.fails: Callable[[str], None] = lambda _: None
        self.forgetful = self.sticky = False

    def get_keyring(self) -> Any:
        self.fails("find")
        return self.backend

    def set_password(self, service: str, user: str, key: str) -> None:
        self.fails(key)
        if not self.forgetful:
            self.kept[service, user] = key

    def get_password(self, service: str, user: str) -> str | None:
        self.fails("get")
        return self.kept.get((service, user))

    def delete_password(self, service: str, user: str) -> None:
        if not self.sticky:
            del self.kept[service, user]


@pytest.fixture
def ring(monkeypatch: pytest.MonkeyPatch) -> Ring:
    """Return the keyring of this system, which is a fake."""
    made = Ring()
    monkeypatch.setitem(sys.modules, "keyring", made)
    return made


@pytest.fixture
def no_ring(monkeypatch: pytest.MonkeyPatch) -> None:
    """Take the extra away."""
    monkeypatch.setitem(sys.modules, "keyring", None)


def files(cli: Cli) -> list[Path]:
    """Return the files with kept keys; they alone may hold one."""
    found = sorted((cli.root / "home" / ".local" / "share" / "wan" / "keys").glob("*"))
    cli.key_files += found
    return found


def row(ran: Ran) -> Any:
    """Return the only row."""
    assert ran.code == 0, ran.err
    (only,) = ran.json["auth"]
    return only


# -- a file


@pytest.mark.usefixtures("no_ring")
def test_a_key_from_a_pipe_is_kept_in_a_file(cli: Cli) -> None:
    """Without a keyring the key goes into a file of this user alone, and is said to be for one origin."""
    ran = cli.run("auth", "set", "rivya", stdin=f"{RIVYA_KEY}\n")
    (path,) = files(cli)
    assert (ran.code, ran.out) == (0, "")
    assert ran.err == f"rivya: the key is kept in {path}; it goes to {ORIGIN} and nowhere else\n"
    if os.name == "posix":
        assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    kept = json.loads(path.read_text(encoding="utf-8"))
    assert kept == {"wan": 1, "provider": "rivya", "origin": ORIGIN, "store": "file", "backend": "",
                    "at": "2026-11-21T09:00:00Z", "key": RIVYA_KEY}  # fmt: skip
    found = row(cli.run("auth", "list", "rivya", "--json"))
    assert (found["source"], found["origin"], found["problem"]) == (f"the stored key in {path}", ORIGIN, None)
    assert found["stored"] == f"file, for {ORIGIN}"


@pytest.mark.usefixtures("no_ring")
def test_a_kept_key_is_used(live: Cli) -> None:
    """A kept key buys: it is what the provider of its origin receives."""
    del live.env["RIVYA_API_KEY"]
    assert live.run("auth", "set", "rivya", "-", "-q", stdin=RIVYA_KEY).err == ""
    assert live.run("generate", "a fox", "-p", "rivya", "-o", "fox.png").code == 0
    assert {seen.headers.get("authorization") for seen in live.provider.seen if "/api/" in seen.path} == {
        f"Bearer {RIVYA_KEY}"
    }
    files(live)


@pytest.mark.usefixtures("no_ring")
def test_s3_a_kept_key_goes_nowhere_else(live: Cli) -> None:
    """With a base URL of another origin a kept key is not sent; both origins and the next command are named."""
    del live.env["RIVYA_API_KEY"]
    live.run("auth", "set", "rivya", stdin=RIVYA_KEY, env={"RIVYA_BASE_URL": RELAY})
    ran = live.run("generate", "a fox", "-p", "rivya", "--json")
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["hint"]) == (3, "key_origin", "wan auth set rivya")
    assert RELAY in ran.json["error"]["message"]
    assert live.provider.url in ran.json["error"]["message"]
    assert live.provider.seen == []
    found = row(live.run("auth", "list", "rivya", "--json"))
    assert (found["origin"], found["problem"]) == (
        RELAY,
        f"the base URL is {live.provider.url}, so this key is not sent",
    )
    live.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    assert row(live.run("auth", "list", "rivya", "--json"))["origin"] == live.provider.url
    assert len(files(live)) == 2, "each origin has a key of its own"


@pytest.mark.usefixtures("no_ring")
def test_s3_a_file_that_is_edited_leads_nowhere(cli: Cli) -> None:
    """A file whose origin was changed, or that took another one's name, is not used."""
    cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    (path,) = files(cli)
    path.write_text(path.read_text(encoding="utf-8").replace(ORIGIN, RELAY), encoding="utf-8")
    for url in (ORIGIN, RELAY):
        found = row(cli.run("auth", "list", "rivya", "--json", env={"RIVYA_BASE_URL": url}))
        assert (found["key"], found["stored"]) == (None, None)
    entry = stored.Stored(provider="rivya", origin=ORIGIN, store="file", path=path)
    with pytest.raises(stored.ConfigInvalid, match="damaged"):
        entry.read()


@pytest.mark.usefixtures("no_ring")
def test_the_order_of_sources(cli: Cli) -> None:
    """The environment and the user's file stand before a kept key, and ``set`` says that they do."""
    ran = cli.run("auth", "set", "rivya", stdin=RIVYA_KEY, env={"RIVYA_API_KEY": "another-key-0123456789"})
    assert ran.said("warning") == "RIVYA_API_KEY stands before it, and is used instead"
    cli.config('[providers.rivya]\nkey_command = "echo x"\n')
    found = row(cli.run("auth", "list", "rivya", "--json"))
    assert found["key"] == "[providers.rivya] key_command echo"
    assert found["stored"] == f"file, for {ORIGIN}"
    files(cli)


@pytest.mark.usefixtures("no_ring")
def test_c02_a_kept_key_that_others_read_is_refused(cli: Cli) -> None:
    """A file that others can read is refused with the command that mends it, as a key file is."""
    cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    (path,) = files(cli)
    path.chmod(0o644)
    ran = cli.run("doctor", "--offline", "--json")
    (found,) = [finding for finding in ran.json["doctor"] if finding["check"] == "key" and finding["ok"] is False]
    assert (ran.code, found["fix"]) == (3, f"chmod 600 {path}")


@pytest.mark.usefixtures("no_ring")
@pytest.mark.parametrize("text", ["", "null", "[1", '{"wan": 2}'])
def test_a_damaged_file(cli: Cli, text: str) -> None:
    """A file that nobody can read is an error of the set-up where its key is needed, and can be removed."""
    cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    (path,) = files(cli)
    path.write_text(text, encoding="utf-8")
    ran = cli.run("doctor", "--offline", "--json")
    assert (ran.code, "damaged" in ran.json["error"]["message"]) == (3, True)
    assert cli.run("auth", "remove", "rivya").code == 0
    assert not path.exists()


# -- a keyring


def test_a_key_goes_into_the_keyring(cli: Cli, ring: Ring) -> None:
    """Where there is a keyring it has the key, under the origin; no file of wan's does."""
    ran = cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    assert ran.said("rivya").startswith("the key is kept in the system's keyring (SecretService Keyring); it goes to")
    assert ring.kept == {(f"wan:{ORIGIN}", "rivya"): RIVYA_KEY}
    (path,) = files(cli)
    assert RIVYA_KEY not in path.read_text(encoding="utf-8")
    found = row(cli.run("auth", "list", "rivya", "--json"))
    assert (found["key"], found["stored"]) == (
        "the system's keyring (SecretService Keyring)", f"keyring, for {ORIGIN}",
    )  # fmt: skip
    ran = cli.run("doctor", "--offline", "--json")
    assert ran.code == 0, ran.err


@pytest.mark.parametrize(
    ("priority", "module"), [(0, "keyring.backends.fail"), (9, "keyring.backends.null"), (0.5, "keyrings.alt.file")]
)
def test_what_is_no_keyring(cli: Cli, monkeypatch: pytest.MonkeyPatch, priority: float, module: str) -> None:
    """A backend that keeps nothing, or keeps plain text, is passed over for wan's own file."""
    weak = Ring(priority, module)
    monkeypatch.setitem(sys.modules, "keyring", weak)
    assert row(cli.run("auth", "set", "rivya", "--json", stdin=RIVYA_KEY))["stored"] == f"file, for {ORIGIN}"
    ran = cli.run("auth", "set", "rivya", "--store", "keyring", stdin=RIVYA_KEY)
    if module == "keyrings.alt.file":
        assert weak.kept, "asked for by name it is taken"
    else:
        assert (ran.code, ran.said("hint")) == (3, "wan auth set rivya --store file")
        assert weak.kept == {}
    files(cli)


@pytest.mark.usefixtures("no_ring")
def test_the_extra_is_missing(cli: Cli) -> None:
    """A keyring that was asked for needs the extra: 3 with the command that installs it, and nothing is kept."""
    ran = cli.run("auth", "set", "rivya", "--store", "keyring", stdin=RIVYA_KEY)
    assert (ran.code, ran.said("hint")) == (3, "python -m pip install 'keyring>=25.5'")
    assert files(cli) == []


def test_the_extra_went_away(cli: Cli, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key in a keyring that can no longer be asked is 3 with the command, and cannot be removed in silence."""
    cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    monkeypatch.setitem(sys.modules, "keyring", None)
    for words in (("generate", "a fox", "-p", "rivya"), ("auth", "remove", "rivya")):
        ran = cli.run(*words)
        assert (ran.code, ran.said("hint")) == (3, "python -m pip install 'keyring>=25.5'")
    assert len(files(cli)) == 1
    assert ring.kept


@pytest.mark.parametrize("said", ["it is locked", ""])
def test_a_keyring_that_fails(cli: Cli, ring: Ring, said: str) -> None:
    """What a backend raises is one line and exit 3; the key is not in it, although the backend quoted it."""

    def fails(key: str) -> None:
        if key == RIVYA_KEY:
            raise RuntimeError(f"{said}\n{key}" if said else "")

    ring.fails = fails
    ran = cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    assert ran.code == 3
    assert "the system's keyring cannot be used: RuntimeError" in ran.said("error")
    assert said in ran.said("error")
    assert ran.said("hint") == "wan auth set rivya --store file"
    assert files(cli) == []


def test_a_keyring_that_hangs(cli: Cli, ring: Ring, monkeypatch: pytest.MonkeyPatch) -> None:
    """A keyring that waits for its password longer than a person needs is given up, and the command ends."""
    cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    monkeypatch.setattr(keyrings, "KEYRING_S", 0.02)
    let_go = threading.Event()
    ring.fails = lambda _: let_go.wait(5) and None
    ran = cli.run("generate", "a fox", "-p", "rivya")
    let_go.set()
    assert ran.code == 3
    assert "did not answer within 0.02 s" in ran.said("error")
    files(cli)


def test_a_keyring_that_fails_is_passed_over_only_before_it_was_chosen(cli: Cli, ring: Ring) -> None:
    """A keyring that cannot even be found out about leaves the file; asked for by name it is an error."""

    def fails(step: str) -> None:
        if step == "find":
            raise ModuleNotFoundError("no D-Bus")  # a backend that PYTHON_KEYRING_BACKEND names, say

    ring.fails = fails
    assert row(cli.run("auth", "set", "rivya", "--json", stdin=RIVYA_KEY))["stored"] == f"file, for {ORIGIN}"
    ran = cli.run("auth", "set", "rivya", "--store", "keyring", stdin=RIVYA_KEY)
    assert "no D-Bus" in ran.said("error")
    assert (ran.code, ran.said("hint")) == (3, "wan auth set rivya --store file")
    files(cli)


def test_a_keyring_that_keeps_nothing(cli: Cli, ring: Ring) -> None:
    """A key that cannot be read back was not kept; one that went away later is missing; one that stays is told."""
    ring.forgetful = True
    assert "did not keep" in cli.run("auth", "set", "rivya", stdin=RIVYA_KEY).said("error")
    ring.forgetful = False
    cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    ring.sticky = True
    assert "still has the key" in cli.run("auth", "remove", "rivya").said("error")
    ring.kept.clear()
    ran = cli.run("generate", "a fox", "-p", "rivya")
    assert (ran.code, ran.said("hint")) == (3, "wan auth set rivya")
    assert cli.run("auth", "remove", "rivya").code == 0
    assert files(cli) == []


def test_from_the_keyring_to_a_file_and_back(cli: Cli, ring: Ring) -> None:
    """A key that moves leaves no copy where it was; a copy that cannot be removed is a warning."""
    cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    assert cli.run("auth", "set", "rivya", "--store", "file", stdin=RIVYA_KEY).code == 0
    assert ring.kept == {}
    cli.run("auth", "set", "rivya", "--store", "keyring", stdin=RIVYA_KEY)
    (path,) = files(cli)
    assert RIVYA_KEY not in path.read_text(encoding="utf-8")
    ring.sticky = True
    ran = cli.run("auth", "set", "rivya", "--store", "file", stdin=RIVYA_KEY)
    assert (ran.code, "still in the system's keyring" in ran.said("warning")) == (0, True)


# -- what is refused


@pytest.mark.usefixtures("no_ring")
@pytest.mark.parametrize(
    "sent", [b"", b" \n", b"one\ntwo\n", b"a\x00b", b"a\x1b[2Jb", b"\xff\xfe", b"k" * 70_000, None]
)
def test_what_is_no_key_is_refused(cli: Cli, sent: bytes | None) -> None:
    """Nothing, several lines, control characters, no text and far too much are 3; nothing of it is shown or kept."""
    ran = cli.run("auth", "set", "rivya", stdin=sent)
    assert (ran.code, ran.said("hint")) == (3, "wan auth set rivya < FILE")
    assert "one" not in ran.err.replace("none", "")
    assert "\x1b" not in ran.err
    assert files(cli) == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("set",), "wan auth set rivya"), (("remove",), "wan auth remove rivya"), (("set", "nobody"), "wan auth list"),
        (("remove", "nobody"), "wan auth list"), (("list", "nobody"), "wan auth list"),
        (("set", "rivya", "hunter2"), "wan auth set rivya < FILE"),
        (("set", "x", "hunter2"), "wan auth set rivya < FILE"),
        (("remove", "rivya", "-"), "wan auth set rivya < FILE"), (("list", "--store", "file"), "wan auth list"),
    ],
)  # fmt: skip
def test_a_call_without_sense(cli: Cli, words: tuple[str, ...], hint: str) -> None:
    """A provider that is missing or strange, and a key as an argument, are usage errors; the word is not repeated."""
    ran = cli.run("auth", *words, stdin=RIVYA_KEY)
    assert (ran.code, ran.said("hint")) == (2, hint)
    assert "hunter2" not in ran.err
    assert files(cli) == []


def test_a_server_that_needs_no_key(cli: Cli) -> None:
    """Where the configuration says that no key is needed, none is kept."""
    cli.config('[providers.rivya]\nauth = "none"\n')
    assert cli.run("auth", "set", "rivya", stdin=RIVYA_KEY).code == 2


@pytest.mark.usefixtures("no_ring")
@pytest.mark.skipif(not hasattr(os, "geteuid"), reason="no such permissions")
def test_a_folder_that_takes_nothing(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A key that cannot be written, and one that cannot be removed, are 3 with what stands in the way."""
    cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    (path,) = files(cli)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert cli.run("auth", "remove", "rivya").said("hint") == f"rm {path}"
    monkeypatch.undo()
    monkeypatch.setenv("XDG_DATA_HOME", str(path.parents[2]))
    monkeypatch.setitem(sys.modules, "keyring", None)
    monkeypatch.setattr(Path, "replace", refuse)
    ran = cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    assert (ran.code, "Permission denied" in ran.said("error")) == (3, True)
    assert files(cli) == [path], "no part of a file is left"


def test_a_user_without_a_home(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a home folder no key is kept, and none is found."""

    def homeless(*_: object, **__: object) -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_data_path", homeless)
    assert "no home folder" in cli.run("auth", "set", "rivya", "--store", "file", stdin=RIVYA_KEY).said("error")
    assert row(cli.run("auth", "list", "rivya", "--json"))["stored"] is None


def test_a_folder_of_somebody_else(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder that cannot be looked into is one without keys."""
    real = Path.is_file

    def is_file(path: Path) -> bool:
        if path.parent.name == "keys":
            raise PermissionError
        return real(path)

    monkeypatch.setattr(Path, "is_file", is_file)
    assert row(cli.run("auth", "list", "rivya", "--json"))["key"] is None


# -- removing


@pytest.mark.usefixtures("no_ring")
def test_what_remains_is_told(cli: Cli) -> None:
    """Removing says from where, and what still sets a key; removing nothing is no error."""
    cli.run("auth", "set", "rivya", stdin=RIVYA_KEY)
    (path,) = files(cli)
    ran = cli.run("auth", "remove", "rivya", env={"RIVYA_API_KEY": RIVYA_KEY})
    assert ran.err.splitlines() == [
        f"rivya: the key for {ORIGIN} is removed from {path}", "rivya: RIVYA_API_KEY still sets one",
    ]  # fmt: skip
    assert not path.exists()
    ran = cli.run("auth", "remove", "rivya", "--json")
    assert ran.err.splitlines() == ["rivya: none of its keys is kept", "rivya: it has no key now"]
    assert ran.json["command"] == "auth remove"
    assert row(ran)["key"] is None


@pytest.mark.usefixtures("no_ring")
def test_the_key_of_a_provider_that_is_gone(cli: Cli) -> None:
    """A key of a provider that the configuration has no more is listed with that, and can be removed."""
    own = cli.config('[providers.studio]\ncontract = "openai"\nbase_url = "https://studio.example"\n')
    cli.run("auth", "set", "studio", stdin=RIVYA_KEY)
    files(cli)
    own.write_text('[providers.rivya]\nbase_url = "ftp://x"\n', encoding="utf-8")
    rows = {found["provider"]: found for found in cli.run("auth", "list", "--json").json["auth"]}
    assert "no provider of this name" in rows["studio"]["problem"]
    ran = cli.run("auth", "remove", "studio")
    assert (ran.code, ran.said("studio")) == (
        0,
        "the key for https://studio.example is removed from " + str(cli.key_files[0]),
    )
    ran = cli.run("auth", "remove", "rivya")
    assert (ran.code, ran.err) == (0, "rivya: none of its keys is kept\n"), "a base URL that is none stands in no way"


# -- a person


@pytest.mark.usefixtures("no_ring")
def test_a_person_is_asked_unseen(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a terminal the key is asked for with its origin; an end of input is no key; in CI nobody is asked."""
    asked: list[str] = []

    def typed(question: str) -> str:
        asked.append(question)
        if len(asked) > 1:
            raise EOFError
        return RIVYA_KEY

    monkeypatch.setattr(getpass, "getpass", typed)
    assert cli.run("auth", "set", "rivya", tty=["stdin"], env={"CI": ""}).code == 0
    assert asked == [f"key for rivya, to be sent to {ORIGIN} (it is not shown): "]
    assert cli.run("auth", "set", "rivya", tty=["stdin"], env={"CI": ""}).code == 3
    assert cli.run("auth", "set", "rivya", tty=["stdin"], env={"CI": "1"}).code == 3
    assert len(asked) == 2
    files(cli)


def test_a_terminal_that_would_show_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where what is typed cannot be hidden, nothing is asked."""

    def typed(_question: str) -> str:
        warnings.warn("Can not control echo on the terminal.", getpass.GetPassWarning, stacklevel=2)
        return RIVYA_KEY

    monkeypatch.setattr(getpass, "getpass", typed)
    ran = cli.run("auth", "set", "rivya", tty=["stdin"], env={"CI": ""})
    assert (ran.code, ran.said("hint")) == (2, "wan auth set rivya < FILE")
    assert files(cli) == []


def test_a_real_terminal_shows_nothing(tmp_path: Path) -> None:
    """On a pseudo-terminal the key is typed, is kept, and never appears; Ctrl-C ends with 130 and keeps nothing."""
    machine = Machine(tmp_path)
    machine.env |= {"CI": "", "XDG_DATA_HOME": str(tmp_path / "data")}
    for keys, code in ((f"{RIVYA_KEY}\n".encode(), 0), (b"half-a-key\x03", 130)):
        terminal = Terminal(machine, "auth", "set", "modelverse" if code else "rivya", "--store", "file")
        until(lambda terminal=terminal: terminal.shows("it is not shown"))  # type: ignore[misc]
        terminal.press(keys)
        assert terminal.end() == code
        assert RIVYA_KEY.encode() not in terminal.raw
        assert b"half-a-key" not in terminal.raw
    (path,) = (tmp_path / "data" / "wan" / "keys").iterdir()
    assert RIVYA_KEY in path.read_text(encoding="utf-8")
    path.unlink()
    machine.close()


def test_a_real_keyring(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library itself, with a backend of a test, keeps, gives and removes a key."""
    keyring = pytest.importorskip("keyring", reason="the extra [keyring] is not installed")
    from keyring.backend import KeyringBackend

    class Memory(KeyringBackend):
        priority = 7
        kept: dict[tuple[str, str], str] = {}  # noqa: RUF012

        def set_password(self, service: str, username: str, password: str) -> None:
            self.kept[service, username] = password

        def get_password(self, service: str, username: str) -> str | None:
            return self.kept.get((service, username))

        def delete_password(self, service: str, username: str) -> None:
            del self.kept[service, username]

    before = keyring.get_keyring()
    keyring.set_keyring(Memory())
    try:
        assert row(cli.run("auth", "set", "rivya", "--json", stdin=RIVYA_KEY))["stored"] == f"keyring, for {ORIGIN}"
        assert list(Memory.kept.values()) == [RIVYA_KEY]
        assert cli.run("doctor", "--offline").code == 0
        assert cli.run("auth", "remove", "rivya").code == 0
        assert Memory.kept == {}
        from keyring.backends.fail import Keyring

        keyring.set_keyring(Keyring())
        assert row(cli.run("auth", "set", "rivya", "--json", stdin=RIVYA_KEY))["stored"] == f"file, for {ORIGIN}"
    finally:
        keyring.set_keyring(before)
    files(cli)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="pipes with names are of POSIX")
def test_a_pipe_among_the_kept_keys_is_passed_over(cli: Cli) -> None:
    """No command waits for somebody to write into it."""
    cli.run("auth", "set", "rivya", "--store", "file", stdin=b"sk-of-rivya")
    (kept,) = files(cli)
    os.mkfifo(kept.with_name("aaa.json"), 0o600)
    ran = cli.run("auth", "list", "rivya", "--json")
    assert (ran.code, row(ran)["stored"]) == (0, f"file, for {row(ran)['origin']}")


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such modes")
def test_c02_the_list_says_that_a_kept_key_is_refused(cli: Cli) -> None:
    """A key that no command will use is not listed as if all were well."""
    cli.run("auth", "set", "rivya", "--store", "file", stdin=b"sk-of-rivya")
    (kept,) = files(cli)
    assert row(cli.run("auth", "list", "rivya", "--json"))["problem"] is None
    kept.chmod(0o644)
    assert "can be read by others" in row(cli.run("auth", "list", "rivya", "--json"))["problem"]
