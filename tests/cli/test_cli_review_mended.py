"""What a later review found: odd words, sums over several tasks, files that went, rotated keys, strange handles."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from typing import Any

import pytest
from support_cli import RIVYA_KEY, Cli, Ran
from support_provider import Say

from wan_cli.cli import booking
from wan_cli.cli.outcome import Wish, overall, task_outcome
from wan_cli.engine import Engine
from wan_cli.engine.loop import Stopped
from wan_cli.ledger import Ledger
from wan_cli.models import New, Task

RV = ("generate", "a fox", "-p", "rivya")
MV = ("generate", "a fox", "-p", "modelverse")
AT_ONCE = ("generate", "a fox", "--sandbox", "-p", "yunwu", "-o", "fox.png")
KEYED = ("--idempotency-key", "k")
NO_CREDITS = Say(402, {"error": {"code": "insufficient_credits", "message": "0 left"}})
REFUSED = Say(400, {"error": {"code": "validation_failed", "message": "no"}})
SLOW = Say(429, {"error": {"message": "slow"}})
OTHER_KEY = {"RIVYA_API_KEY": "rvya_sk_another_key_entirely", "MODELVERSE_API_KEY": "mv-another-key-entirely"}


def kept(cli: Cli, *, sandbox: bool = False) -> list[Task]:
    """Return what the ledger has."""
    with Ledger.open(cli.root / "state" / ("sandbox" if sandbox else "")) as ledger:
        return ledger.recent()


def put(cli: Cli, task: Task) -> None:
    """Write a task into the ledger."""
    with Ledger.open(cli.root / "state") as ledger:
        ledger.save(task)


# Words that are no file's name.


@pytest.mark.parametrize("length", [255, 256, 1023, 1024, 4500])
def test_a_long_prompt_is_no_file(cli: Cli, length: int) -> None:
    """A prompt longer than any file's name is a prompt, on the dry run as on a purchase."""
    ran = cli.run("generate", "x" * length, "--sandbox", "--dry-run", "-p", "rivya")
    assert (ran.code, "x" * length in ran.out) == (0, True), ran.err


@pytest.mark.parametrize(
    ("argv", "env", "code"),
    [
        (("generate", "a fox", "-o", f"{'x' * 300}/fox.png"), {}, 2), (("upload", "x" * 300), {}, 2),
        (("generate", "a fox", "-o", "a/" * 2500 + "fox.png", "--skip-existing"), {}, 2),
        (("edit", "x" * 300, "make it red"), {}, 2), (("generate", "@" + "x" * 300), {}, 2),
        (("generate", "--prompt-file", "x" * 300), {}, 2), (("recover", "--import", "x" * 300), {}, 2),
        (("generate", "a fox"), {"WAN_CONFIG": "/" + "x" * 300}, 3),
    ],
)  # fmt: skip
def test_a_word_that_no_file_can_be_called(cli: Cli, argv: tuple[str, ...], env: dict[str, str], code: int) -> None:
    """Wherever a word is looked up on disk, one that is too long for that is an error that says so, never a bug."""
    ran = cli.run(*argv, "--sandbox", env=env)
    assert (ran.code, ran.said("charged")) == (code, "no"), ran.err


def test_waiting_for_two_into_a_name_that_cannot_be(live: Cli) -> None:
    """The same for -o of ``wan wait``."""
    handles = live.run(*RV, "-n", "2", "--no-wait").lines
    assert live.run("wait", *handles, "-o", "x" * 300 + "/a.png").code == 2


# What several tasks come to.


def together(ran: Ran) -> tuple[str, bool, str]:
    """Return charge, whether a repeat is safe, and the hint of the decisive error."""
    error = ran.json["error"]
    return error["charged"], error["retry_safe"], error["hint"]


def test_different_failures_that_bought_nothing(live: Cli) -> None:
    """11 for two refusals of two kinds: charged no, and safe to repeat where that can help each of them."""
    live.provider.script["submit"] = [NO_CREDITS, REFUSED]
    ran = live.run(*RV, "-n", "2", "--json")
    assert (ran.code, live.provider.purchases, *together(ran)) == (11, 0, "no", False, "wan status")
    live.provider.script["submit"] = [NO_CREDITS, *[SLOW] * 4]
    ran = live.run(*RV, "-n", "2", "--json")
    assert (ran.code, live.provider.purchases, *together(ran)) == (11, 0, "no", True, "wan status")


@pytest.mark.parametrize(("more", "hint"), [((), "wan status"), (("--no-wait",), "wan wait --all")])
def test_a_refusal_beside_a_purchase_is_charged(live: Cli, more: tuple[str, ...], hint: str) -> None:
    """What succeeded or was accepted beside a refusal counts: charged yes; what is still there is collected."""
    live.provider.script["submit"] = [NO_CREDITS]
    ran = live.run(*RV, "-n", "2", "--json", *more)
    assert (ran.code, *together(ran)) == (11, "yes", False, hint)


def test_the_common_failure_is_charged_as_any_of_them(live: Cli) -> None:
    """7 for two failures of which the first cost nothing and the second did: charged yes; each task keeps its own."""
    failed = {"id": "t", "status": "failed", "error": {"message": "bad luck"}}
    live.provider.script["poll"] = [Say(200, failed | {"final_credits": price}) for price in (0, 5)]
    ran = live.run(*RV, "-n", "2", "--json")
    assert (ran.code, together(ran)[0]) == (7, "yes")
    assert sorted(task["error"]["charged"] for task in ran.json["tasks"]) == ["no", "yes"]
    live.provider.script["poll"] = [Say(200, failed | price) for price in ({"final_credits": 0}, {})]
    assert together(live.run(*RV, "-n", "2", "--json"))[0] == "unknown"


def test_an_unknown_beside_running_ones(live: Cli) -> None:
    """9 decides, a person has to look; the hint names what was bought and is not here as well."""
    live.provider.script["submit"] = [Say(500, "boom")]
    assert live.run(*MV, "--no-wait").code == 9
    (handle,) = live.run(*MV, "--no-wait").lines
    (unknown,) = [task for task in kept(live) if task.state.kind == "unknown"]
    ran = live.run("status", unknown.id, handle, "--json")
    live.provider.always["poll"] = Say(200, {"output": {"task_status": "Running"}})
    ran = live.run("status", unknown.id, handle, "--json")
    assert (ran.code, *together(ran)) == (
        9, "unknown", False, f"wan recover {unknown.id}",
    )  # fmt: skip


def test_interrupted_with_one_refused_and_two_under_way(live: Cli) -> None:
    """Ctrl-C while two of three go on: charged yes, and the hint collects both."""
    sleep = live.clock.sleep

    async def interrupted(seconds: float) -> None:
        if len(live.clock.slept) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        await sleep(seconds)

    live.engine["sleep"] = interrupted
    live.provider.script["submit"] = [NO_CREDITS]
    live.provider.always["poll"] = Say(200, {"id": "t", "status": "processing"})
    ran = live.run(*RV, "-n", "3", "--json")
    assert (ran.code, *together(ran)) == (130, "yes", False, "wan wait --all")
    assert (ran.said("hint"), ran.said("charged")) == ("wan wait --all", "yes")
    live.engine.clear()
    live.provider.always.clear()
    assert len(live.run("wait", "--all").lines) == 2


def test_interrupted_before_the_first_of_several(live: Cli) -> None:
    """Where the first task was never sent but another was bought, nobody is told to run the command again."""
    live.run(*RV, "--no-wait")
    (bought,) = kept(live)
    tasks = [replace(bought, id="first0", task_id=None, state=New(), charged="no"), bought]
    wish = Wish(signal=2)
    ends = [task_outcome(task, wish) for task in tasks]
    error = overall(tasks, ends, signal=2)
    assert error is not None
    assert (error.exit_code, error.charged, error.hint) == (130, "yes", "wan wait --all")
    assert ends[0] is not None
    assert (ends[0].charged, ends[0].hint) == ("no", "run the command again")


# Results that are not there any more.


@pytest.mark.parametrize("call", ["rerun", "wait", "status"])
def test_a_file_that_was_removed(cli: Cli, call: str) -> None:
    """10 for a saved result that is not there and that no provider keeps; nothing is named that is not there."""
    assert cli.run(*AT_ONCE, *KEYED).lines == ["fox.png"]
    (task,) = kept(cli, sandbox=True)
    words = {"rerun": (*AT_ONCE, *KEYED), "wait": ("wait", task.id, "--sandbox"),
             "status": ("status", task.id, "--sandbox")}[call]  # fmt: skip
    assert cli.run(*words).code == 0
    (cli.cwd / "fox.png").unlink()
    ran = cli.run(*words)
    assert (ran.code, "fox.png" in ran.out) == (10, False)
    assert ran.said("error") == f"{cli.cwd / 'fox.png'} was removed, and yunwu keeps no copy"
    assert (ran.said("charged"), "another --idempotency-key" in ran.said("hint")) == ("yes", True)
    told = cli.run(*words, "--json")
    assert (told.code, told.json["error"]["code"], told.task["files"]) == (10, "result_expired", [])


def test_one_of_several_files_that_was_removed(cli: Cli) -> None:
    """What is still there is still named; ``wan wait -o`` does not send anybody to files that are gone."""
    many = (*AT_ONCE[:-2], "-n", "2", "-o", "{index}.png")
    assert cli.run(*many).lines == ["1.png", "2.png"]
    (cli.cwd / "1.png").unlink()
    names = [task.id for task in kept(cli, sandbox=True)]
    ran = cli.run("wait", *names, "--sandbox")
    assert (ran.code, ran.lines) == (10, ["2.png"])
    assert "--idempotency-key" not in ran.said("hint")
    (gone,) = [task.id for task in kept(cli, sandbox=True) if task.item == 1]
    assert cli.run("wait", gone, "--sandbox", "-o", "new.png").code == 10


# Another key.


def test_a_finished_task_needs_no_key(live: Cli) -> None:
    """A retried step after the key was rotated returns what is saved, and asks nobody."""
    words = (*RV, *KEYED, "-o", "fox.png")
    assert live.run(*words).lines == ["fox.png"]
    seen = len(live.provider.seen)
    ran = live.run(*words, env=OTHER_KEY)
    assert (ran.code, ran.lines, len(live.provider.seen)) == (0, ["fox.png"], seen)


def test_what_is_to_be_fetched_with_another_key(live: Cli) -> None:
    """8 for what is still at the provider under the earlier key, which the hint asks for; the saved one is named."""
    words = (*RV, "-n", "2", *KEYED)
    first = live.run(*words, "--no-wait").lines[0]
    assert live.run("wait", first, "-o", "one.png").code == 0
    seen = len(live.provider.seen)
    ran = live.run(*words, "--json", env=OTHER_KEY)
    assert (ran.code, ran.json["error"]["code"], len(live.provider.seen)) == (8, "key_rejected", seen)
    assert "bought with another key" in ran.json["error"]["message"]
    assert sorted(task["state"] for task in ran.json["tasks"]) == ["pending", "succeeded"]
    assert live.run(*words).code == 0
    assert live.provider.purchases == 2


def test_a_doubt_stays_one_with_another_key(live: Cli) -> None:
    """9 with ``wan recover`` for an unknown purchase, whichever key is set."""
    live.provider.script["submit"] = [Say(500, "boom")]
    assert live.run(*MV, *KEYED).code == 9
    ran = live.run(*MV, *KEYED, env=OTHER_KEY)
    assert (ran.code, ran.said("hint")) == (9, f"wan recover {kept(live)[0].id}")


def test_what_was_never_sent_goes_with_the_key_of_today(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A task that was only planned was bought with no key: another one may buy it."""

    def ended(*_: Any) -> Any:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("wan_cli.cli.run.Session.run", ended)
        assert live.run(*RV, *KEYED, env=OTHER_KEY).code == 130
    assert live.run(*RV, *KEYED, "-o", "fox.png").lines == ["fox.png"]
    assert live.provider.purchases == 1


# Idempotency keys.


def test_the_items_of_a_key_are_no_other_key(live: Cli) -> None:
    """``k-2`` is the user's own, whatever -n made of ``k``; the first task has the key as it was typed."""
    assert live.run(*RV, "-n", "2", *KEYED, "--json").code == 0
    assert live.run("generate", "a hare", "-p", "rivya", "--idempotency-key", "k-2").code == 0
    keys = [seen.headers["idempotency-key"] for seen in live.provider.asked("submit")]
    assert (live.provider.purchases, len(set(keys)), "k" in keys, "k-2" in keys) == (3, 3, True, True)


def test_two_repeats_at_once_add_their_tasks_once(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one refused task becomes several, of two processes one adds them and the other finds them."""
    live.provider.script["submit"] = [NO_CREDITS]
    call = ("generate", "a fox", "-n", "2", *KEYED, "--json")
    assert live.run(*call, env={"WAN_PROVIDER": "modelverse"}).code == 5
    real, rival = booking.taken, []

    def taken(ledger: Ledger, task: Task) -> Task:
        if not rival:
            rival.append(None)
            rival[0] = live.run(*call, env={"WAN_PROVIDER": "rivya"})
        return real(ledger, task)

    monkeypatch.setattr(booking, "taken", taken)
    ran = live.run(*call, env={"WAN_PROVIDER": "rivya"})
    assert (ran.code, rival[0].code) == (0, 0), ran.err
    names = [sorted(task["id"] for task in one.json["tasks"]) for one in (ran, rival[0])]
    assert names[0] == names[1]
    assert (live.provider.purchases, len(kept(live))) == (2, 2)


def test_a_task_at_which_another_process_works_is_not_replaced(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """While somebody else tries the earlier task, its place is not given away and nothing is added or sent."""
    live.provider.script["submit"] = [NO_CREDITS]
    call = ("generate", "a fox", "-n", "2", *KEYED)
    assert live.run(*call, env={"WAN_PROVIDER": "modelverse"}).code == 5
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "claim", lambda *_: False)
        ran = live.run(*call, env={"WAN_PROVIDER": "rivya"})
    assert (ran.code, len(kept(live)), live.provider.purchases) == (2, 1, 0)
    assert "another process is working on" in ran.said("error")


# A purchase that is under way.


@pytest.mark.parametrize("listed", [False, True])
def test_a_purchase_that_a_live_process_is_sending(
    live: Cli, monkeypatch: pytest.MonkeyPatch, listed: bool
) -> None:  # fmt: skip
    """8 with ``wan wait`` while the process that sends it is alive; 9 with ``wan recover`` once it is not."""

    async def killed(engine: Engine, task: Task, *_: Any, **__: Any) -> Any:
        await engine.begin(task, lambda: None)
        raise Stopped

    with monkeypatch.context() as patch:
        patch.setattr("wan_cli.engine.submit._attempt", killed)
        live.run(*RV)
    (task,) = kept(live)
    assert task.state.kind == "sending"
    words = ("status", "--exit-status", "--json") if listed else ("status", task.id, "--json")
    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "claim", lambda *_: False)
        ran = live.run(*words)
    error = ran.json["error"]
    assert (ran.code, error["hint"], error["charged"]) == (8, f"wan wait {task.id}", "unknown")
    after = live.run(*words)
    assert (after.code, after.json["error"]["hint"]) == (9, f"wan recover {task.id}")


# Hints in the sandbox.


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("recover", "abc", "--import", "x.json"), "wan recover --import FILE --sandbox"),
        (("recover", "--abandon"), "wan recover --sandbox"), (("wait", "yunwu:abc"), "wan status --sandbox"),
        (("status", "zzzzzz"), "wan status --sandbox"), (("recover", "abc", "--yes"), "wan recover --help"),
        (("generate", "a fox", "-n", "2", "-p", "rivya", "--fault", "moderation*1/submit", "--no-wait"),
         "wan wait --all --sandbox"),
        (("generate", "a fox", "-n", "2", "-p", "rivya", "--fault", "moderation*1/submit"), "wan status --sandbox"),
    ],
)  # fmt: skip
def test_hints_lead_into_the_sandbox(cli: Cli, argv: tuple[str, ...], hint: str) -> None:
    """A command about tasks that live in the sandbox has ``--sandbox``; one about options has not."""
    ran = cli.run(*argv, "--sandbox")
    assert ran.code
    assert ran.said("hint") == hint, ran.err


@pytest.mark.parametrize(
    ("fault", "code", "hint"),
    [(RuntimeError("x"), 1, "wan status --sandbox"), (KeyboardInterrupt(), 130, "wan status --sandbox")],
)
def test_hints_after_a_crash_in_the_sandbox(
    cli: Cli, monkeypatch: pytest.MonkeyPatch, fault: BaseException, code: int, hint: str
) -> None:
    """What ends a command early says where its tasks live."""

    def broken(*_: Any) -> Any:
        raise fault

    monkeypatch.setattr("wan_cli.cli.dryrun.show", broken)
    ran = cli.run(*RV, "--sandbox", "--dry-run")
    assert (ran.code, ran.said("hint")) == (code, hint)


# Handles that nobody knows, and tasks that seemed lost.


@pytest.mark.parametrize("command", ["wait", "status"])
@pytest.mark.parametrize("maker", ["rivya", "modelverse"])
def test_a_mistyped_handle(live: Cli, command: str, maker: str) -> None:
    """2 for a handle the provider never knew: nothing is said to have been bought, and the ledger stays empty."""
    ran = live.run(command, f"{maker}:nonexist")
    assert (ran.code, ran.raw) == (2, b"")
    said = f"{maker} knows no task nonexist of this account; check the handle, and whose key is set"
    assert ran.said("error").startswith(said)
    assert "bought" not in ran.err
    assert kept(live) == []
    told = live.run(command, f"{maker}:nonexist", "--json")
    assert (told.code, told.task["id"], told.json["error"]["code"]) == (2, None, "usage")
    assert "bought on" not in live.run(command, f"{maker}:nonexist", *(["--jsonl"] * (command == "wait"))).out


def test_a_mistyped_handle_stops_no_other(live: Cli) -> None:
    """Beside one that is known, which is collected, the mistyped one is told of; other tasks are not forgotten."""
    (handle,) = live.run(*RV, "--no-wait", "-o", "fox.png").lines
    ran = live.run("wait", handle, "rivya:nonexist")
    assert (ran.code, ran.lines, [task.handle for task in kept(live)]) == (11, ["fox.png"], [handle])


def test_an_adopted_task_without_a_result_was_known(live: Cli) -> None:
    """10 for a handle that the provider knows, and of which it names no result."""
    live.provider.always["poll"] = Say(200, {"id": "task_9", "status": "succeeded", "result": {"urls": []}})
    assert live.run("wait", "rivya:task_9").code == 10
    assert [task.handle for task in kept(live)] == ["rivya:task_9"]


def test_lost_results_are_collected_until_they_expire(live: Cli) -> None:
    """``wan wait --all`` asks once more for what seemed lost while its results may be there, and not longer."""
    (handle,) = live.run(*RV, "--no-wait", "-o", "fox.png").lines
    live.provider.always["poll"] = Say(404, {"error": {"code": "not_found", "message": "no such task"}})
    ran = live.run("wait", handle)
    assert (ran.code, ran.said("hint")) == (10, f"wan wait {handle}")
    (lost,) = kept(live)
    live.provider.always.clear()
    for expires in (None, live.clock.now - 1):
        put(live, replace(lost, expires_at=expires))
        assert "nothing is outstanding" in live.run("wait", "--all").err
    put(live, replace(lost, expires_at=live.clock.now + 3600))
    assert live.run("wait", "--all").lines == ["fox.png"]
    assert live.provider.purchases == 1
    assert RIVYA_KEY not in str(kept(live))
