"""Every class of error, reached by a real command line: what it says in text, JSON and JSON lines is one and the same.

interface.md, sections 3 and 4: three lines, the exit code of the table, what was charged, and the next command.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer
from support_cli import RIVYA_KEY, Cli, picture
from support_provider import Say

from wan_cli import errors
from wan_cli.cli.main import COMMANDS, root
from wan_cli.errors import WanError

RV = ("generate", "a fox", "-p", "rivya")
MV = ("generate", "a fox", "-p", "modelverse")
EXITS = {
    "usage": 2, "unsupported_option": 2, "file_invalid": 2, "key_missing": 3, "key_rejected": 3, "key_origin": 3,
    "config_invalid": 3, "state_unusable": 3, "request_rejected": 4, "moderation": 4, "model_unknown": 4,
    "insufficient_credits": 5, "over_budget": 5, "consent_missing": 5, "rate_limited": 6, "provider_unavailable": 6,
    "network": 6, "task_failed": 7, "cancelled": 7, "timeout_waiting": 8, "outcome_unknown": 9, "result_expired": 10,
    "task_vanished": 10, "partial": 11, "download_failed": 12, "write_failed": 12, "stale": 13, "delivery_mismatch": 14,
    "interrupted": 130, "internal": 1,
}  # fmt: skip
"""The codes of interface.md section 3 and the table of section 4, written down once more."""

SHELL = frozenset({"chmod", "chown", "sudo", "export", "unset", "mv", "pip", "echo", "df"})
"""What a hint that is a command begins with, beside ``wan``."""


@dataclass(frozen=True)
class Case:
    """A command line that ends with a class of error. ``prepare`` makes the world it needs."""

    kind: type[WanError]
    argv: tuple[str, ...] = RV
    charged: str = "no"
    prepare: Callable[[Cli, pytest.MonkeyPatch], Any] = lambda cli, patch: None
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.kind.__name__


def refused(code: str, status: int = 400, message: str = "no, since it is a test") -> Callable[..., Any]:
    """Let the provider refuse every purchase."""

    def prepare(cli: Cli, _: object) -> None:
        cli.provider.always["submit"] = Say(status, {"error": {"code": code, "message": message}})

    return prepare


def polled(body: Any, status: int = 200) -> Callable[..., Any]:
    """Let the provider say this of every task."""

    def prepare(cli: Cli, _: object) -> None:
        cli.provider.always["poll"] = Say(status, body)

    return prepare


def environment(**values: str | None) -> Callable[..., Any]:
    """Set variables; ``None`` takes one away."""

    def prepare(cli: Cli, _: object) -> None:
        for name, value in values.items():
            cli.env.pop(name, None) if value is None else cli.env.update({name: value})

    return prepare


def closed_port(cli: Cli, _: object) -> None:
    """Point the provider at a port where nobody listens."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        cli.env["RIVYA_BASE_URL"] = f"http://127.0.0.1:{held.getsockname()[1]}"


def foreign_origin(cli: Cli, _: object) -> None:
    """Bind the key of the user's file to one origin, and name another in the environment."""
    cli.config('[providers.rivya]\nbase_url = "https://relay.example"\nkey_env = "RELAY_KEY"\n')
    cli.env |= {"RELAY_KEY": cli.env.pop("RIVYA_API_KEY", RIVYA_KEY), "RIVYA_BASE_URL": cli.provider.url}


def blocked_state(cli: Cli, _: object) -> None:
    """Put a file where the state folder would be."""
    (cli.root / "blocked").write_text("a file")
    cli.env["WAN_STATE_DIR"] = str(cli.root / "blocked")


def spoilt_folder(cli: Cli, _: object) -> None:
    """Turn the target's folder into a file once the picture is bought."""
    if not cli.provider.purchases:
        cli.run(*RV, "--no-wait", "-o", "out/fox.png")
        (cli.cwd / "out").rmdir()
        cli.write("out", "in the way")


def stopped(cli: Cli, _: object) -> None:
    """Press Ctrl-C while the task is waited for."""
    polled({"id": "task_1", "status": "processing"})(cli, None)
    sleep, before = cli.clock.sleep, cli.provider.purchases

    async def interrupted(seconds: float) -> None:
        if cli.provider.purchases > before:
            os.kill(os.getpid(), signal.SIGINT)
        await sleep(seconds)

    cli.engine["sleep"] = interrupted


def unrendered(cli: Cli, _: object) -> None:
    """Write a manifest of which nothing was rendered."""
    cli.write("assets.toml", '[[asset]]\nid = "hero"\nprompt = "a fox"\nprovider = "rivya"\n')


def buggy(_: Cli, patch: pytest.MonkeyPatch) -> None:
    """Break the program."""

    def explode(*_: Any) -> Any:
        raise ZeroDivisionError("a test")

    patch.setattr("wan_cli.cli.making.read_order", explode)


def fewer(cli: Cli, _: object) -> None:
    """Deliver one result, whatever was asked."""
    cli.provider.results = lambda _: 1


def smaller(cli: Cli, _: object) -> None:
    """Deliver another size than asked."""
    cli.provider.deliver = lambda *_: picture(512, 512)


def gone(cli: Cli, _: object) -> None:
    """Let every address of a result have expired."""
    cli.provider.always["download"] = Say(403, "expired")


def down(cli: Cli, _: object) -> None:
    """Let the host of results answer with a page."""
    cli.provider.always["download"] = Say(200, b"<html>login</html>", {"Content-Type": "text/html"})


def dropped(cli: Cli, _: object) -> None:
    """Take the order and hang up."""
    cli.provider.always["submit"] = Say(accept=True, drop=True)


CASES = [
    Case(errors.UsageError, ("generate", "a fox", "--no-such-option")),
    Case(errors.UsageError, ("wait", "zzzzzz"), name="UsageError-wait"),
    Case(errors.UsageError, ("generate", "a fox", "-o", "{nothing}"), name="UsageError-template"),
    Case(errors.UnsupportedOption, (*RV, "-s", "4K")),
    Case(errors.FileInvalid, ("edit", "absent.png", "make it blue", "-p", "rivya")),
    Case(errors.KeyMissing, RV, prepare=environment(RIVYA_API_KEY=None)),
    Case(errors.KeyMissing, ("generate", "a fox"), name="KeyMissing-any",
         prepare=environment(RIVYA_API_KEY=None, MODELVERSE_API_KEY=None)),
    Case(errors.KeyRejected, RV, prepare=refused("api_key_invalid", 401)),
    Case(errors.KeyRejected, MV, prepare=refused("permission_error", 403, "ip not in whitelist"),
         name="KeyRejected-ip"),
    Case(errors.KeyOrigin, RV, prepare=foreign_origin),
    Case(errors.ConfigInvalid, RV, prepare=environment(RIVYA_BASE_URL="http://relay.example")),
    Case(errors.ConfigInvalid, RV, prepare=lambda cli, _: cli.config("[defaults]\nnothing = 1\n"),
         name="ConfigInvalid-file"),
    Case(errors.StateUnusable, RV, prepare=blocked_state),
    Case(errors.RequestRejected, RV, prepare=refused("validation_failed", 422)),
    Case(errors.Moderation, MV, prepare=refused("sensitive_check_error")),
    Case(errors.ModelUnknown, MV, prepare=refused("model_error")),
    Case(errors.InsufficientCredits, RV, prepare=refused("insufficient_credits", 402)),
    Case(errors.OverBudget, (*RV, "--max-cost", "1credits")),
    Case(errors.ConsentMissing, (*RV, "-n", "21")),
    Case(errors.RateLimited, RV, prepare=refused("rate_limited", 429)),
    Case(errors.ProviderUnavailable, RV, prepare=refused("public_api_disabled", 503)),
    Case(errors.NetworkError, RV, prepare=closed_port),
    Case(errors.TaskFailed, RV, prepare=polled({"id": "task_1", "status": "failed", "final_credits": 0,
                                                 "error": {"code": "x", "message": "the model fell over"}})),
    Case(errors.TaskFailed, RV, "unknown", polled({"id": "task_1", "status": "failed"}), "TaskFailed-unknown"),
    Case(errors.Cancelled, MV, "unknown", polled({"output": {"task_id": "mv-1", "task_status": "CANCELED"}})),
    Case(errors.StillRunning, (*RV, "--timeout", "30s"), "yes", polled({"id": "task_1", "status": "processing"})),
    Case(errors.OutcomeUnknown, MV, "unknown", dropped),
    Case(errors.ResultExpired, RV, "yes", gone),
    Case(errors.TaskVanished, RV, "yes", polled({"error": {"code": "not_found", "message": "no such task"}}, 404)),
    Case(errors.Partial, (*MV, "-n", "2"), "yes", fewer),
    Case(errors.DownloadFailed, RV, "yes", down),
    Case(errors.WriteFailed, ("wait", "--all"), "yes", spoilt_folder),
    Case(errors.StaleAssets, ("render", "assets.toml", "--check"), "no", unrendered),
    Case(errors.DeliveryMismatch, (*RV, "-s", "1K", "--strict"), "yes", smaller),
    Case(errors.Interrupted, RV, "yes", stopped),
    Case(errors.InternalError, RV, "unknown", buggy),
]  # fmt: skip


def classes(kind: type[WanError] = WanError) -> set[type[WanError]]:
    """Return a class and all below it."""
    return {kind}.union(*(classes(below) for below in kind.__subclasses__()))


def check_shell(hint: str) -> None:
    """Fail where a shell could not read a hint, or where it changes a path that is not there."""
    for part in re.split(r" && ", hint):
        assert not re.search(r"[()<>;&$`*?#!]", part), f"more than a command: {hint}"
        words = [word for word in shlex.split(part) if word != "sudo"]
        assert words[0] in SHELL, hint
        if words[0] in ("chmod", "chown", "mv"):
            named = [word for word in words[2:] if word.startswith("/")]
            assert named, hint
            assert Path(named[0]).exists(), f"there is no {named[0]}: {hint}"
        if words[0] == "export":
            assert re.fullmatch(r"[A-Z_]+=\S+", words[1]), hint


def check_next(hint: str) -> None:
    """Fail where a hint is neither a whole command of wan that parses, nor an instruction."""
    assert hint == hint.strip() != ""
    assert not re.search(r"\{[a-z_]+\}", hint) or "-o" in hint or "template" in hint or "fields" in hint, hint
    for name in re.findall(r"\bwan ([a-z][a-z-]*)", hint):
        assert name in COMMANDS, hint
    assert "…" not in hint, f"nothing to paste: {hint}"
    first = hint.split(maxsplit=1)[0]
    if first in SHELL:
        check_shell(hint)
        return
    if first != "wan":
        assert " " in hint, f"not a command, and no sentence: {hint}"
        assert not re.search(r"[()<>|;&$`*?#!]", hint), f"no command, and a shell would read more into it: {hint}"
        return
    words = shlex.split(hint)
    if words[1].startswith("-"):
        assert words[1:] == ["--help"]
        return
    assert not any(word.endswith((";", ",")) for word in words), f"more than a command: {hint}"
    group: Any = typer.main.get_command(root)
    command = group.get_command(None, words[1])
    try:
        command.make_context(words[1], words[2:], obj=None)
    except typer.Exit:
        assert "--help" in words


@pytest.mark.parametrize("case", CASES, ids=str)
def test_every_class_says_what_it_cost_and_what_comes_next(
    live: Cli, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    """Text, --json and --jsonl name the same code, exit code, charge and next command, and they are the table's."""
    sleep_free = dict(live.engine)
    said = []
    for mode in ((), ("--json",), ("--jsonl",)):
        live.engine.clear()
        live.engine.update(sleep_free)
        with monkeypatch.context() as patch:
            case.prepare(live, patch)
            ran = live.run(*case.argv, *mode)
        code = case.kind.code
        assert ran.code == EXITS[code] == case.kind.default_exit, ran.err
        assert (ran.said("charged"), ran.err.count("\nerror: ") + ran.err.startswith("error: ")) == (case.charged, 1)
        check_next(ran.said("hint"))
        if not mode:
            continue
        error = ran.json["error"] if mode == ("--json",) else ran.events[-1]["error"]
        assert (error["code"], error["exit_code"], error["charged"]) == (code, ran.code, case.charged)
        assert error["retry_safe"] is (case.kind.retry_safe and case.charged == "no")
        assert error["message"]
        assert ran.said("hint") == error["hint"]
        said.append(re.sub(r"task_\d+|mv-\d+|--jsonl?|\b[0-9a-z]{6}\b", "", error["hint"]))
    assert said[0] == said[1]


def test_every_class_is_driven() -> None:
    """A class that a command can end with has a case; those that only group others are never raised themselves."""
    groups = {
        errors.WanError, errors.SetupError, errors.SpendError, errors.Temporary, errors.ResultGone, errors.ResultStuck,
    }  # fmt: skip
    assert all(kind.__subclasses__() for kind in groups)
    assert {case.kind for case in CASES} == {kind for kind in classes() if kind.__module__ == errors.__name__} - groups


def test_every_code_of_the_interface_is_a_class() -> None:
    """The codes that scripts read are those of the classes."""
    known = {kind.code for kind in classes() if kind.__module__ == errors.__name__}
    assert known == set(EXITS)
    for kind in classes() - {errors.WanError}:
        assert kind.default_exit == EXITS[kind.code]


def test_hints_that_go_with_a_code_are_commands() -> None:
    """Where an error says nothing of its own, the general next command parses."""
    from wan_cli.ui.messages import GENERAL_HINT, HINTS

    for hint in (GENERAL_HINT, *HINTS.values()):
        check_next(hint)
    assert set(HINTS) <= set(EXITS)
