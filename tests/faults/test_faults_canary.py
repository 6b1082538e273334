"""A key is in no output, no file and no process list, whatever is run; what wan makes is as private as it must be.

Threats S17, S18 and S19 of reliability.md; rows C01, C02, C03, C11 and C12.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support_cli import MODELVERSE_KEY, RIVYA_KEY, Cli, Ran, drawn, picture
from support_leaks import PROVIDERS, WORDS, Both, Listening, clip
from support_provider import Say

from wan_cli.cli.main import COMMANDS
from wan_cli.sandbox.transport import CONTRACTS
from wan_cli.sandbox.world import World

SHAPES = {
    "rivya": "rvya_sk_0123456789abcdefghij", "webhook": "whsec_0123456789abcdefghij",
    "yunwu": "sk-0123456789abcdefghij", "toapis": "sk-toapis0123456789abcdef",
    "dashscope": "sk-0123456789abcdef0123456789abcdef",
    "openai": "sk-proj-0123456789_abc-defghij", "modelverse": MODELVERSE_KEY,
}  # fmt: skip


@pytest.fixture(params=PROVIDERS)
def both(request: pytest.FixtureRequest, cli: Cli, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Both]:
    """Return both servers of a provider; what they keep is not below the test's folder."""
    with Listening() as api, Listening() as host:
        folder = tmp_path_factory.mktemp("world")
        world = World(folder, latency=0.0, public_url=f"http://localhost:{host.port}", draw=drawn, film=clip)
        made = Both(cli, api, host, world, request.param)
        api.answer, host.answer = made.api_answer, made.host_answer
        yield made


def echoed(both: Both) -> httpx.Response:
    """Return a refusal that repeats the key wherever a provider can put it."""
    key = CONTRACTS[both.provider].KEY
    body = {
        "error": {
            "code": f"bad-{key}",
            "message": f"Incorrect API key: {key} (Authorization: Bearer {key})",
            "param": key,
        }
    }
    return httpx.Response(400, json={**body, "request_id": key}, headers={"X-Request-Id": key, "X-Echo": key})


def test_threat_s18_c11_the_key_is_nowhere(both: Both) -> None:
    """Over every command, in every mode, with a provider that repeats the key: no stream and no file holds it."""
    cli, provider = both.cli, both.provider
    key = CONTRACTS[provider].KEY
    cli.write("a.png", picture(512, 512))
    suffix = "/v1" if provider == "openai" else ""
    cli.env |= {
        f"{provider.upper()}_API_KEY": key,
        f"{provider.upper()}_BASE_URL": f"http://127.0.0.1:{both.api.port}{suffix}",
    }
    ran: list[Ran] = [cli.run(*WORDS[provider], *more) for more in (
        ("-v",), ("--json",), ("--jsonl",), ("--dry-run",), ("--dry-run", "--json"), ("--sidecar", "-o", "s/{id}{ext}"),
        ("--no-wait", "-v"),
    )]  # fmt: skip
    assert [one.code for one in ran] == [0] * len(ran), [one.err for one in ran]
    plain = httpx.Response(400, content=f"no: {key}".encode(), headers={"X-Request-Id": key, "X-Echo": key})
    both.script["POST"] = [echoed(both), echoed(both), plain, plain]
    for more in (("-v",), ("--json",), ("--jsonl",), ()):
        refused = cli.run(*WORDS[provider], *more)
        assert refused.code == 4, refused.err
        ran.append(refused)
    both.script["POST"] = [httpx.Response(500, content=key.encode() * 3)] * 9
    both.script["GET"] = [httpx.Response(400, content=f"<html>{key}".encode())] * 2
    ran += [
        cli.run(*WORDS[provider], "-v"),
        cli.run("models", provider, "-v"),
        cli.run("wait", "--all", "-v", "--timeout", "9s"),
    ]
    both.script.clear()
    ran += [
        cli.run(*words) for words in (
            ("status",), ("status", "--json"), ("wait", "--json"), ("models", provider), ("auth", "list"),
            ("auth", "list", "--json"), ("config", "show", "--json"), ("upload", "a.png", "-p", provider, "-v"),
            ("edit", "a.png", "make it blue", "-p", provider, "-v"), ("fuse", "a.png", "a.png", "x", "-p", provider),
            ("sequence", "a fox", "-n", "2", "-p", provider), ("help", "environment"), ("completion", "bash"),
        )
    ]  # fmt: skip
    extra = [name for name in ("doctor", "recover") if name in COMMANDS]
    ran += [cli.run(name, *more) for name in extra for more in ((), ("--json",))]
    for one in ran:
        assert key not in one.out + one.err, one.argv
    for path in cli.root.rglob("*"):
        if path.is_file():
            assert key.encode() not in path.read_bytes(), path
    assert any(came.header("authorization") == f"Bearer {key}" for came in both.api.came)


def test_threat_s18_c12_a_crash_file_holds_no_key(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug while keys of every form are in messages, headers and addresses leaves a file of 0600 without them."""
    held = {**SHAPES, "other": "plain-canary-value-0123456789"}
    live.env |= {"MODELVERSE_API_KEY": MODELVERSE_KEY, "MY_RELAY_API_KEY": held["other"]}
    text = "\n".join([
        *held.values(), *(f"{{'authorization': 'Bearer {value}'}}" for value in held.values()),
        "https://u:hunter2hunter2@proxy.example/", "https://h/1.png?Expires=1&Signature=signature-canary-1",
        '{"url": "https://h/1.png?Expires=1\\u0026Signature=signature-canary-2"}',
        "x-oss-security-token: signature-canary-3",
        "https://proxy/?u=https%3A%2F%2Fh%2F1.png%3FExpires%3D1%26Signature%3Dsignature-canary-4",
    ])  # fmt: skip

    def explode(*_: Any) -> Any:
        local = text
        raise ZeroDivisionError(local)

    monkeypatch.setattr("wan_cli.cli.making.read_order", explode)
    for number in (1, 2):
        ran = live.run("generate", "x", "-p", "rivya", "-v")
        assert (ran.code, ran.said("charged")) == (1, "unknown")
        files = sorted((live.root / "state").glob("crash-*.txt"))
        assert len(files) == number  # a second crash in the same second has a file of its own
        for file in files:
            said = file.read_text()
            assert stat.S_IMODE(file.stat().st_mode) == 0o600
            assert "ZeroDivisionError" in said
            assert not [one for one in (*held.values(), "hunter2hunter2", "signature-canary") if one in said]
        assert not [one for one in held.values() if one in ran.err]


def test_threat_s8_c12_a_crash_file_is_never_somebody_elses_link(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that waits under the crash file's name is not written through."""
    state, victim = live.root / "state", live.write("victim", "mine")
    state.mkdir(mode=0o700)
    (state / f"crash-{int(live.clock.now)}.txt").symlink_to(victim)
    monkeypatch.setattr("wan_cli.cli.making.read_order", lambda *_: 1 // 0)
    assert live.run("generate", "x").code == 1
    assert victim.read_text() == "mine"
    assert len([path for path in state.glob("crash-*") if not path.is_symlink()]) == 1


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(
    "form", ["{}", "--param=key={}", "Authorization: Bearer {}", "--prompt=x {} y", '{{"key": "{}"}}']
)
def test_threat_s17_c01_a_key_on_the_command_line_is_refused(live: Cli, shape: str, form: str) -> None:
    """Whatever provider a key is of, and wherever it stands, it is exit 2 before anything; it is not repeated."""
    ran = live.run("generate", "x", "-p", "rivya", form.format(SHAPES[shape]))
    assert (ran.code, ran.said("charged")) == (2, "no")
    assert SHAPES[shape] not in ran.err
    assert "replace the key" in ran.said("error")
    assert live.provider.seen == []


def test_threat_s17_no_option_takes_a_key(cli: Cli) -> None:
    """No command has a flag for the value of a key, a header or a switch that weakens TLS."""
    for name in COMMANDS:
        page = cli.run(name, "--help").out
        assert not [word for word in ("--api-key", "--token", "--header", "--insecure", "--no-verify", "--password")
                    if word in page]  # fmt: skip


def test_threat_s17_s18_keys_are_in_no_process_list(live: Cli) -> None:
    """The key of a file reaches neither the arguments nor the environment of a child; a key command gets no key."""
    script = live.write("print_key.py", (
        "import os, pathlib, sys\n"
        "seen = pathlib.Path(sys.argv[1])\n"
        "parts = [pathlib.Path(f'/proc/{pid}/cmdline').read_bytes() for pid in (os.getpid(), os.getppid())]\n"
        "seen.write_bytes(b'\\n'.join(parts) + pathlib.Path('/proc/self/environ').read_bytes())\n"
        f"print({MODELVERSE_KEY[::-1]!r}[::-1])\n"
    ))  # fmt: skip
    seen = live.cwd / "seen"
    path = live.key_file(RIVYA_KEY)
    for name in ("RIVYA", "MODELVERSE"):
        live.env.pop(f"{name}_API_KEY")
    base = live.provider.url
    for name in ("RIVYA", "MODELVERSE"):
        live.env.pop(f"{name}_BASE_URL")
    live.config(
        f'[providers.rivya]\nbase_url = "{base}"\nkey_file = "{path}"\n'
        f'[providers.modelverse]\nbase_url = "{base}"\nkey_command = ["{sys.executable}", "{script}", "{seen}"]\n'
    )
    live.provider.script["submit"] = [Say(402, {"error": {"code": "insufficient_credits", "message": "no"}})]
    ran = live.run("generate", "x", "-p", "rivya,modelverse", "--json")
    assert (ran.code, ran.task["provider"]) == (0, "modelverse")
    said = seen.read_bytes()
    assert b"print_key.py" in said
    assert RIVYA_KEY.encode() not in said
    assert MODELVERSE_KEY.encode() not in said


@pytest.mark.parametrize("mask", [0o000, 0o022, 0o077], ids=oct)
def test_threat_s19_what_is_made_is_private_whatever_the_umask(
    live: Cli, monkeypatch: pytest.MonkeyPatch, mask: int
) -> None:
    """State, ledger, journal, scratch and crash files are the user's alone; results follow the umask, parts do not."""
    parts: list[int] = []
    scratch: list[int] = []
    deliver = live.provider.deliver

    def look(order: Any, number: int) -> bytes:
        parts.extend(stat.S_IMODE(path.stat().st_mode) for path in live.root.rglob("*.part"))
        scratch.extend(stat.S_IMODE(path.stat().st_mode) for path in live.root.glob("state/scratch"))
        return deliver(order, number)

    live.provider.deliver = look
    before = os.umask(mask)
    try:
        assert live.run("generate", "x", "-p", "rivya", "-o", "-", command=False).code == 0
        shutil.rmtree(live.root / "state")
        assert live.run("upload", "-", stdin=picture(512, 512)).code == 0
        assert live.run("generate", "x", "-p", "rivya", "-o", "deep/er/{id}{ext}", "--sidecar", "--embed").code == 0
        assert live.run("edit", "-", "blue", "-p", "rivya", stdin=picture(640, 640)).code == 0
        assert live.run("generate", "x", "--sandbox", "-o", "sandbox.png").code == 0
        with monkeypatch.context() as patch:
            patch.setattr("wan_cli.cli.making.read_order", lambda *_: 1 // 0)
            assert live.run("generate", "x").code == 1
    finally:
        os.umask(before)
    state = live.root / "state"
    made = [state, *state.rglob("*")]
    assert {"ledger.db", "journal.jsonl", "scratch", "world"} <= {path.name for path in made}
    for path in made:
        assert stat.S_IMODE(path.lstat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    assert parts
    assert set(parts) == {0o600}
    assert set(scratch) == {0o700}
    results = [path for path in live.cwd.rglob("*") if path.is_file()]
    assert len(results) == 4
    for path in results:
        assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~mask, path
    assert stat.S_IMODE((live.cwd / "deep" / "er").stat().st_mode) == 0o777 & ~mask


@pytest.mark.parametrize(
    ("mode", "code"), [(0o600, 0), (0o400, 0), (0o640, 3), (0o604, 3), (0o644, 3), (0o620, 3)], ids=str
)
def test_threat_s19_c02_a_key_file_that_others_can_read_is_refused(live: Cli, mode: int, code: int) -> None:
    """As with ssh: the mode has to be mended first, and the hint is the command that does it."""
    path = live.key_file(RIVYA_KEY, mode=mode)
    live.env |= {"RIVYA_API_KEY_FILE": str(path)}
    live.env.pop("RIVYA_API_KEY")
    ran = live.run("generate", "x", "-p", "rivya")
    assert ran.code == code
    assert live.provider.purchases == (code == 0)
    if code:
        assert ran.said("hint") == f"chmod 600 {path}"


@pytest.mark.parametrize(
    "value",
    [f"{RIVYA_KEY}\nX-Other: y", f'"{RIVYA_KEY}', f"{RIVYA_KEY} {RIVYA_KEY}", f"{RIVYA_KEY}\u00e9", f"{RIVYA_KEY}\x7f",
     f"{RIVYA_KEY}\r\n\r\n", f"\ufeff{RIVYA_KEY}", f"  {RIVYA_KEY}\t\n"],
)  # fmt: skip
def test_c03_a_key_is_trimmed_once_or_refused(live: Cli, value: str) -> None:
    """What cannot stand in a header never gets there, and is not shown; blanks around a key are its copy's."""
    ran = live.run("generate", "x", "-p", "rivya", "-v", env={"RIVYA_API_KEY": value})
    clean = value.strip().lstrip("\ufeff").strip() == RIVYA_KEY
    assert ran.code == (0 if clean else 3)
    assert {seen.headers.get("authorization") for seen in live.provider.asked("submit")} <= {f"Bearer {RIVYA_KEY}"}
    assert live.provider.purchases == clean


def test_threat_s19_the_state_folder_of_somebody_else_is_not_used(live: Cli) -> None:
    """A state folder that others can write is refused before anything is bought, and nothing is put into it."""
    state = Path(live.root / "state")
    state.mkdir()
    state.chmod(0o777)
    ran = live.run("generate", "x", "-p", "rivya")
    assert (ran.code, ran.said("charged"), ran.said("hint")) == (3, "no", f"chmod 700 {state}")
    assert list(state.iterdir()) == []
    assert live.provider.purchases == 0
