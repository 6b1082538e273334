"""What a reviewer found untrue in what commands say: fresh state, money, and the command that goes on."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support_cli import Cli, Output, Ran
from support_provider import Say

from wan_cli.ledger import Ledger

RV = ("generate", "a fox", "-p", "rivya")
MV = ("generate", "a fox", "-p", "modelverse")
FULL = OSError(errno.ENOSPC, "No space left on device")
BUSY = {"id": "task_1", "status": "processing"}


def bought(live: Cli, *words: str) -> Any:
    """Buy one task without waiting; return it."""
    assert live.run(*RV, "--no-wait", *words).code == 0
    with Ledger.open(live.root / "state") as ledger:
        return ledger.recent(1)[0]


def doubtful(live: Cli) -> Any:
    """Leave a purchase whose answer was lost; return it."""
    live.provider.script["submit"] = [Say(accept=True, drop=True)]
    assert live.run(*MV, "-o", "fox.png").code == 9
    with Ledger.open(live.root / "state") as ledger:
        return ledger.recent(1)[0]


@pytest.mark.parametrize(
    ("env", "answer", "why"),
    [
        ({"RIVYA_BASE_URL": ""}, Say(drop=True), "could not be asked"),
        ({}, Say(503, {"error": {"message": "down"}}), "could not be asked: down"),
        ({}, Say(401, {"error": {"code": "api_key_invalid", "message": "not this key"}}), "not this key"),
        ({"RIVYA_API_KEY": ""}, None, "RIVYA_API_KEY is not set"),
    ],
)
def test_status_that_could_not_ask(live: Cli, env: dict[str, str], answer: Say | None, why: str) -> None:
    """``wan status`` says in text and in JSON that the provider was not asked, and why; its code is the state's."""
    task = bought(live)
    if answer:
        live.provider.always["poll"] = answer
        env = {}
    ran = live.run("status", task.handle, env=env)
    assert ran.code == 8
    assert why in ran.said("error")
    assert ran.said("charged") == "yes"
    assert ran.said("hint").endswith(f"wan wait {task.handle}")
    assert "--sandbox" not in ran.err
    ran = live.run("status", task.handle, "--json", env=env)
    assert (ran.code, ran.task["state"]) == (8, "pending")
    assert why in ran.task["error"]["message"]
    assert why in ran.json["error"]["message"]


def test_status_of_what_is_running(live: Cli) -> None:
    """A task that goes on is no failure: 8, with one line that says so and the command that collects it."""
    task = bought(live)
    live.provider.always["poll"] = Say(200, BUSY)
    ran = live.run("status", task.handle)
    assert (ran.code, ran.err) == (8, f"{task.handle}: still running; go on with: wan wait {task.handle}\n")
    assert live.run("status", task.handle, "-q").err == ""


def test_a_wait_that_was_never_answered(live: Cli) -> None:
    """At the timeout, where every question failed, nobody is told that the task is still running."""
    task = bought(live)
    live.provider.always["poll"] = Say(503, {"error": {"message": "down for repairs"}})
    ran = live.run("wait", task.handle, "--timeout", "30s", "--json")
    assert ran.code == 8
    assert ran.task["error"]["message"] == "rivya could not be asked: down for repairs"
    assert "rivya could not be asked: down for repairs" in ran.task["warnings"]
    live.provider.always["poll"] = Say(200, BUSY)
    assert "still running" in live.run("wait", task.handle, "--timeout", "30s").said("error")


def test_full_output_of_a_purchase(live: Cli) -> None:
    """12 with the true charge and the command that names the files; free commands are 1, with nothing charged."""
    ran = live.run(*RV, "-o", "fox.png", stdout=Output(FULL))
    with Ledger.open(live.root / "state") as ledger:
        (task,) = ledger.recent(1)
    assert (ran.code, ran.said("charged"), ran.said("hint")) == (12, "yes", f"wan status {task.handle}")
    ran = live.run(*RV, "-o", "two.png", "--sandbox", stdout=Output(FULL))
    assert (ran.code, ran.said("hint").split()[-1]) == (12, "--sandbox")
    for words in (("status",), ("doctor", "--offline"), ("models",), ("help",), (*RV, "--dry-run")):
        ran = live.run(*words, stdout=Output(FULL))
        assert (ran.code, ran.said("charged")) == (1, "no")
        assert ran.said("hint") == f"wan {' '.join(words)}".replace("a fox", "'a fox'")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full")
@pytest.mark.parametrize("words", [("--version",), ("--help",), ("generate", "--help"), ("models",)])
def test_full_output_of_a_process(words: tuple[str, ...], tmp_path: Path) -> None:
    """No command shows a traceback, or speaks of a bug, because its output has no room; nor where it is closed."""
    env = {**os.environ, "WAN_STATE_DIR": str(tmp_path / "state")}
    with open("/dev/full", "w", encoding="utf-8") as full:  # noqa: PTH123
        ran = subprocess.run(
            [sys.executable, "-m", "wan_cli", *words], stdout=full, stderr=subprocess.PIPE, env=env, check=False
        )
    assert ran.returncode == 1
    assert [line.split(":")[0] for line in ran.stderr.decode().splitlines()] == ["error", "charged", "hint"]
    assert b"charged: no" in ran.stderr
    assert not (tmp_path / "state").exists()


def test_version_with_output_closed() -> None:
    """A line that cannot be written is not dropped in silence."""
    command = f'"{sys.executable}" -m wan_cli --version >&-'
    ran = subprocess.run(["/bin/sh", "-c", command], stderr=subprocess.PIPE, check=False)
    assert (ran.returncode, ran.stderr.decode().splitlines()[0].split(":")[0]) == (1, "error")


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ((*RV, "-s", "4K", "-q"), "wan generate 'a fox' -s 4K -q -p modelverse"),
        ((*RV, "-n21"), "wan generate 'a fox' -p rivya -n21 --yes"),
        ((*RV, "--max-cost", "1credits"), "wan generate 'a fox' -p rivya --max-cost 5credits"),
        ((*RV, "--max-cost=1credits", "--max-cost", "2credits"), "use --max-cost 5credits"),
        ((*RV, "-n", "2", "--max-results=1"), "wan generate 'a fox' -p rivya -n 2 --max-results 2"),
        (
            ("generate", "-p", "rivya", "--fault", "fail", "--", "-x"),
            "wan generate -p rivya --fault fail --sandbox -- -x",
        ),
        (("sequence", "a set", "-p", "modelverse"), "wan sequence 'a set' -p modelverse -n 4"),
        ((*RV, "-o", "a.webp"), "wan generate 'a fox' -p rivya -o a.webp --convert"),
        ((*RV, "--skip-existing"), "wan generate 'a fox' -p rivya --skip-existing -o '{slug}{ext}'"),
        (("generate", "a", "fox", "-p", "rivya"), "quote the prompt"),
    ],
)
def test_hints_are_whole_commands(live: Cli, words: tuple[str, ...], hint: str) -> None:
    """What has to change in a call is given as the call with that change, to paste."""
    ran = live.run(*words)
    assert (ran.code in (2, 5), ran.said("hint")) == (True, hint)


def test_a_call_that_may_be_repeated_is_given(live: Cli) -> None:
    """Where nothing was bought and the same call may work later, the hint is that call; not where some was bought."""
    live.provider.always["submit"] = Say(503, {"error": {"code": "public_api_disabled", "message": "closed"}})
    ran = live.run(*RV)
    assert (ran.code, ran.said("hint")) == (6, "wan generate 'a fox' -p rivya")


def test_no_key_names_the_sandbox_only_where_it_helps(live: Cli) -> None:
    """--sandbox is offered to a call that makes something, never to one about a task that was bought."""
    task, lost = bought(live), doubtful(live)
    gone = {"RIVYA_API_KEY": "", "MODELVERSE_API_KEY": ""}
    ran = live.run(*RV, env=gone)
    assert ("--sandbox" in ran.said("error"), ran.said("hint")) == (True, "export RIVYA_API_KEY=YOUR_KEY")
    for words in (("wait", task.handle), ("status", task.handle), ("cancel", task.handle),
                  ("recover", lost.id, "--resubmit"), ("recover", lost.id, "--adopt", "x")):  # fmt: skip
        assert "--sandbox" not in live.run(*words, env=gone).err


@pytest.mark.parametrize("verb", ["recover", "wait", "status", "cancel"])
def test_a_task_of_the_other_ledger(live: Cli, verb: str) -> None:
    """A task that the sandbox has is not looked for at a provider, nor the other way round: the command is given."""
    real = bought(live)
    assert live.run(*RV, "--no-wait", "--sandbox").code == 0
    with Ledger.open(live.root / "state" / "sandbox") as ledger:
        (played,) = ledger.recent(1)
    names = (played.id,) if verb in ("recover", "cancel") else (played.id, played.handle)
    for name in names:
        ran = live.run(verb, name)
        assert (ran.code, ran.said("hint")) == (2, f"wan {verb} {name} --sandbox")
        assert "is a task of the sandbox" in ran.said("error")
    ran = live.run(verb, real.id, "--sandbox")
    assert (ran.code, ran.said("hint")) == (2, f"wan {verb} {real.id}")
    ran = live.run(verb, real.id, env={"WAN_SANDBOX": "1"})
    assert ran.said("hint").startswith(f"WAN_SANDBOX=0 wan {verb} {real.id}")
    assert "no task" in live.run(verb, "zzzzzz").said("error")


def test_status_wait_is_wait(live: Cli) -> None:
    """``wan status --wait`` takes what ``wan wait`` takes; without --wait such an option is refused, not dropped."""
    task = bought(live)
    ran = live.run("status", "--wait", task.handle, "-o", "kept.png", "--sidecar", "--timeout", "1m", "--jsonl")
    assert (ran.code, live.files()) == (0, ["kept.png", "kept.png.json"])
    assert ran.events[-1]["event"] == "summary"
    assert live.run("status", "--wait", "--all", "--json").code == 0
    for option in (("-o", "x.png"), ("--all",), ("--jsonl",), ("--strict",), ("--no-download",), ("--timeout", "1m")):
        ran = live.run("status", task.handle, *option)
        assert (ran.code, "needs --wait" in ran.said("error")) == (2, True)
    assert live.run("status", "--wait", "--limit", "3").code == 2


def test_ctrl_c_at_the_question(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C at ``--resubmit``'s question ends its line, and says what is unknown and how to go on."""
    task = doubtful(live)
    before = live.provider.purchases

    def pressed(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr("support_cli.Input.readline", pressed, raising=False)
    ran = live.run("recover", task.id, "--resubmit", tty=("stdin", "stderr"), env={"CI": "", "NO_COLOR": "1"})
    assert (ran.code, ran.said("charged")) == (130, "unknown")
    assert ran.said("hint") == f"wan recover {task.id} --resubmit"
    assert task.id in ran.said("error")
    assert "[y/N] \nerror:" in ran.err
    assert live.provider.purchases == before


def test_resubmit_looks_at_its_target_first(live: Cli) -> None:
    """A file in the way of a repeated purchase is 2 before anything is sent; --overwrite replaces it."""
    task = doubtful(live)
    live.write("fox.png", "mine")
    before = live.provider.purchases
    ran = live.run("recover", task.id, "--resubmit", "--yes")
    assert (ran.code, ran.said("charged"), live.provider.purchases) == (2, "unknown", before)
    assert ran.said("hint") == f"wan recover {task.id} --resubmit --yes --overwrite"
    assert live.run("recover", task.id, "--resubmit", "--yes", "--overwrite").code == 0
    assert live.provider.purchases == before + 1


def test_the_reason_is_said_once(live: Cli) -> None:
    """A doubt keeps its reason however often it is looked at; a provider with keys is not said to be asked never."""
    live.provider.always["submit"] = Say(accept=True, drop=True)
    ran = live.run(*RV)
    assert ran.code == 9
    assert ran.said("error").count("may have taken it") == 1
    assert "does not send it again" not in ran.said("error")
    with Ledger.open(live.root / "state") as ledger:
        (task,) = ledger.recent(1)
    for words in (("--same-key",), ("--resubmit", "--yes")):
        ran = live.run("recover", task.id, *words)
        assert (ran.code, ran.err.count("may have taken it; rivya")) == (9, 0)
        assert ran.said("error").count("may have taken it") == 1


def test_moderation_is_called_so(cli: Cli) -> None:
    """Rivya documents no code for its content rules: the message of the refused input tells."""
    ran = cli.run(*RV, "--sandbox", "--fault", "moderation", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (4, "moderation")
    assert "reword" in ran.said("hint")
    ran = cli.run(*RV, "--sandbox", "--param", "style=9", "--json")
    assert ran.json["error"]["code"] == "request_rejected"


def test_latency_is_the_submitters(cli: Cli) -> None:
    """``--latency`` of the command that bought decides when the sandbox is done, not that of a later look."""
    assert cli.run(*RV, "--sandbox", "--no-wait", "--latency", "3600", "-q").code == 0
    assert cli.run("wait", "--all", "--sandbox", "--latency", "0", "--timeout", "60s").code == 8
    cli.clock.now += 3600
    assert cli.run("wait", "--all", "--sandbox", "--latency", "9999", "--timeout", "60s").code == 0


def test_a_fault_says_that_it_is_one(cli: Cli) -> None:
    """A failure that was asked for with ``--fault`` is told apart from one that a prompt caused."""
    for provider in ("modelverse", "rivya", "yunwu"):
        ran = cli.run("generate", "a fox", "-p", provider, "--sandbox", "--fault", "fail")
        assert "the sandbox made it fail" in ran.said("error")


def warnings(ran: Ran) -> list[str]:
    """Return the messages of the warnings among the events."""
    return [event["message"] for event in ran.events if event["event"] == "warning"]


def test_earlier_tasks_are_events_too(live: Cli) -> None:
    """What earlier commands left is a warning event for who reads events, also of ``wan wait``, and talk elsewhere."""
    task = doubtful(live)
    line = f"1 earlier task needs a decision: wan recover {task.id}"
    for words in ((*RV,), ("wait", "--all")):
        assert line in live.run(*words).err
        assert line in warnings(live.run(*words, "--jsonl", "-q"))
        ran = live.run(*words, "--json")
        assert line in ran.err
        json.loads(ran.out)
    assert line not in live.run("wait", task.id).err


def test_prune_wants_a_time_of_its_own(live: Cli) -> None:
    """A time that is none is answered with one that fits what was asked."""
    ran = live.run("status", "--prune", "xx")
    assert (ran.code, ran.said("hint")) == (2, "wan status --prune 30d")
    assert "30d" in ran.said("error")


def test_downloading_is_told_once(live: Cli) -> None:
    """The event stream holds no two lines that say the same of a task."""
    ran = live.run(*RV, "--jsonl")
    lines = [line for line in ran.lines if '"event":"task"' in line]
    assert len(lines) == len(set(lines))
    assert sum('"state":"downloading"' in line for line in lines) == 1


def test_an_upload_that_the_provider_broke(live: Cli) -> None:
    """HTTP 500 on an upload is the provider's, not the network's; nothing was bought."""
    from support_cli import picture

    live.write("a.png", picture())
    live.provider.always["upload"] = Say(500, {"error": {"message": "no disk"}})
    ran = live.run("edit", "a.png", "blue", "-p", "rivya", "--json")
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (6, "provider_unavailable", "no")


def test_recover_fits_a_terminal(live: Cli) -> None:
    """The facts are broken at 80 columns; a command never is, and what it means stands above it."""
    task = doubtful(live)
    ran = live.run("recover", task.id, tty=("stdout",), env={"COLUMNS": "80"})
    assert all(len(line) <= 80 for line in ran.lines if not line.startswith("wan "))
    assert f"wan recover {task.id} --adopt PROVIDER_TASK_ID" in ran.lines
    assert any(line.startswith("# ") for line in ran.lines)


def test_one_repair_is_enough(live: Cli) -> None:
    """Where database and journal are both damaged one repair mends both, and nothing is called lost that is there."""
    for number in range(3):
        assert live.run("generate", f"fox {number}", "-p", "rivya").code == 0
    place = live.root / "state"
    journal = place / "journal.jsonl"
    lines = journal.read_bytes().splitlines(keepends=True)
    lines[2] = b"garbage{\n"
    journal.write_bytes(b"".join(lines))
    database = place / "ledger.db"
    database.write_bytes(b"\0" * 100 + database.read_bytes()[100:])
    ran = live.run("doctor", "--offline", "--json")
    assert "still has" not in ran.json["error"]["message"]
    ran = live.run("doctor", "--offline", "--repair", "--json")
    assert (ran.code, [row["level"] for row in ran.json["doctor"] if row["check"] == "repair"]) == (0, ["ok"])
    assert not [row for row in ran.json["doctor"] if row["level"] in ("warning", "error")]
    again = live.run("doctor", "--offline", "--repair", "--json")
    assert [row["finding"] for row in again.json["doctor"] if row["check"] == "repair"] == ["nothing to repair"]
    assert len(live.run("status", "--json").json["tasks"]) == 3
