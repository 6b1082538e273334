"""``wan recover``: what is in doubt, the evidence, and the decisions (interface.md 1 and 5, reliability.md 4.7)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support_cli import BEGIN, Cli, Ran, Run
from support_provider import Say

from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger
from wan_cli.ledger.owner import Owner, this_process
from wan_cli.models import Done, Lost, New, Output, Pending, Sending, State, Task, Unknown
from wan_cli.record import to_document

MV = ("generate", "a fox", "-p", "modelverse", "-o", "fox.png")
RV = ("generate", "a fox", "-p", "rivya", "-o", "fox.png")
DAY_S = 86_400


def ledger(live: Cli) -> Ledger:
    """Open the ledger of the command line."""
    return Ledger.open(live.root / "state", clock=live.clock)


def doubtful(live: Cli, *words: str, say: Say | None = None, env: dict[str, str] | None = None) -> str:
    """Buy a task whose answer is lost, and return its id."""
    live.provider.script["submit"] = [say or Say(drop=True, accept=True)] * 3
    ran = live.run(*(words or MV), "--json", env=env)
    live.provider.script["submit"] = []
    assert ran.code == 9, ran.err
    return str(ran.task["id"])


@pytest.fixture
def lost_mv(live: Cli) -> str:
    """Lose an answer of a provider without keys, which took the order as mv-1."""
    return doubtful(live)


@pytest.fixture
def lost_rv(live: Cli) -> str:
    """Lose an answer of a provider with keys, which took the order as task_1."""
    return doubtful(live, *RV)


def in_state(live: Cli, state: State, **said: Any) -> str:
    """Put a task of that state into the ledger."""
    name = live.run(*RV, "--no-wait", "--json").task["id"]
    with ledger(live) as book:
        book.save(replace(book.get(name), state=state, **said))
    return str(name)


def stranger(live: Cli) -> Ledger:
    """Open the ledger as another process that is alive."""
    book, mine = ledger(live), this_process()
    stat = Path("/proc/1/stat").read_text(encoding="utf-8")
    book._here = Owner(1, stat.rpartition(")")[2].split()[19], mine.boot, mine.space)
    return book


# -- listing and showing


def test_nothing_is_in_doubt(live: Cli) -> None:
    """An empty listing is exit 0."""
    ran = live.run("recover")
    assert (ran.code, ran.out) == (0, "")
    assert "nothing to decide" in ran.err
    assert live.run("recover", "--json").json["tasks"] == []


def test_what_is_in_doubt_is_listed(live: Cli, lost_mv: str) -> None:
    """Unknown tasks, and those that a process left in the middle of sending, are listed; others are not."""
    left = in_state(live, Sending(at=BEGIN, attempts=2), task_id=None, charged="unknown")
    live.run(*RV, "--no-wait", "--overwrite")
    ran = live.run("recover")
    assert ran.code == 0
    assert [line.split("\t")[:2] for line in ran.lines] == [[lost_mv, "unknown"], [left, "unknown"]]
    documents = live.run("recover", "--json").json["tasks"]
    assert [(task["id"], task["state"], task["charged"]) for task in documents] == [
        (lost_mv, "unknown", "unknown"), (left, "unknown", "unknown"),
    ]  # fmt: skip


def test_the_evidence_is_shown(live: Cli, lost_mv: str) -> None:
    """Provider, time, cost, prompt, requests and the possible commands; 9, for it is still unknown."""
    ran = live.run("recover", lost_mv)
    assert ran.code == 9
    for said in ("provider: modelverse, https://", "sent: 2026-11-21T09:00", "prompt: a fox", "cost: ", "request 1: ",
                 "no answer", "key: modelverse documents none"):  # fmt: skip
        assert said in ran.out
    commands = [line.partition("   #")[0] for line in ran.lines if line.startswith("wan ")]
    assert commands == [
        f"wan recover {lost_mv} --adopt PROVIDER_TASK_ID", f"wan recover {lost_mv} --resubmit",
        f"wan recover {lost_mv} --abandon",
    ]  # fmt: skip
    assert (ran.said("charged"), ran.said("hint")) == ("unknown", commands[0])
    assert len(live.provider.seen) == 1


def test_the_evidence_of_a_keyed_purchase(live: Cli, lost_rv: str) -> None:
    """The key, until when it can be trusted, every request and its hash are in the document."""
    ran = live.run("recover", lost_rv, "--json")
    told = ran.json["recover"]
    assert (ran.code, ran.task["state"]) == (9, "unknown")
    assert [attempt["http_status"] for attempt in told["attempts"]] == [None] * 3
    assert len({attempt["body_sha256"] for attempt in told["attempts"]}) == 1
    assert told["attempts"][0]["body_bytes"] == len(live.provider.asked("submit")[0].body)
    assert told["key"] == live.provider.asked("submit")[0].headers["idempotency-key"]
    assert told["key_valid_until"].startswith("2026-11-22T09:00")
    assert [choice["decision"] for choice in told["choices"]] == ["same-key", "adopt", "resubmit", "abandon"]
    assert f"key: {told['key']}, to be trusted until" in live.run("recover", lost_rv).out


def test_what_came_back_is_shown_safely(live: Cli) -> None:
    """An answer that could not be read is shown without its escapes, and without the key that it repeats."""
    key = live.env["MODELVERSE_API_KEY"]
    name = doubtful(live, say=Say(200, f"\x1b]0;x\x07<html>{key}".encode()))
    ran = live.run("recover", name)
    assert "answer 1: ^[]0;x^G<html>***" in ran.out
    assert "HTTP 200" in ran.out
    assert "\x1b" not in live.run("recover", name, "--json").json["recover"]["attempts"][0]["raw"]


def test_without_stored_prompts_only_hashes_are_shown(live: Cli) -> None:
    """The size of the body is not known then, and neither a repeat nor a resubmission is offered."""
    live.config("[privacy]\nstore_prompts = false\n")
    name = doubtful(live, *RV)
    told = live.run("recover", name, "--json").json["recover"]
    assert told["attempts"][0]["body_bytes"] is None
    assert [choice["decision"] for choice in told["choices"]] == ["adopt", "abandon"]
    for flag in ("--same-key", "--resubmit"):
        ran = live.run("recover", name, flag)
        assert (ran.code, ran.said("charged")) == (2, "unknown")
        assert "not stored" in ran.err


@pytest.mark.parametrize(
    ("state", "command"),
    [(Pending(task_id="task_1"), "wait"), (Done(outputs=(Output(url="https://x.example/1"),)), "wait"),
     (Lost(code="task_vanished", message="gone"), "status"), (New(), "status")],
)  # fmt: skip
def test_a_task_that_needs_no_decision(live: Cli, state: State, command: str) -> None:
    """Its state and the next command are said, exit 0; deciding about it is exit 2 and changes nothing."""
    name = in_state(live, state)
    ran = live.run("recover", name)
    assert (ran.code, f"wan {command} " in ran.out) == (0, True)
    assert live.run("recover", name, "--json").json["tasks"][0]["id"] == name
    refused = live.run("recover", name, "--abandon")
    assert refused.code == 2
    assert f"wan {command} " in refused.said("hint")


def test_a_task_of_a_living_process_needs_no_decision(live: Cli) -> None:
    """While another process sends it, nothing is in doubt yet, and nothing is decided."""
    name = in_state(live, Sending(at=BEGIN), task_id=None, charged="unknown")
    with stranger(live) as other:
        assert other.claim(name)
        assert live.run("recover").out == ""
        assert "needs no decision" in live.run("recover", name).out
        for words in (["--abandon"], ["--adopt", "task_1"], ["--resubmit", "--yes"], ["--same-key"]):
            ran = live.run("recover", name, *words)
            assert (ran.code, ran.said("charged")) == (2, "unknown")
            assert "another process" in ran.err or "--same-key" in ran.err
    assert live.provider.purchases == 1


@pytest.mark.parametrize(
    "words",
    [
        ["x", "--adopt", "a", "--abandon"], ["--abandon"], ["x", "--import", "file"], ["x", "--json", "--jsonl"],
        ["x", "--yes"], ["x", "--abandon", "-o", "x.png"], ["--max-cost", "5"], ["x", "--adopt", "a", "--yes"],
        ["nobody"], ["nobody", "--resubmit"], ["x", "--no-wait"], ["--import", "missing.json", "--no-download"],
    ],
)  # fmt: skip
def test_options_that_make_no_sense(live: Cli, lost_mv: str, words: Sequence[str]) -> None:
    """Decisions that exclude each other, have no task, or come with options that mean nothing there, are exit 2."""
    ran = live.run("recover", *(lost_mv if word == "x" else word for word in words))
    assert ran.code == 2
    assert len(live.provider.seen) == 1


# -- decisions


@pytest.mark.parametrize("named", ["mv-1", "modelverse:mv-1"])
def test_adopt(live: Cli, lost_mv: str, named: str) -> None:
    """The id that the person found is asked about, waited for, downloaded; nothing is bought."""
    ran = live.run("recover", lost_mv, "--adopt", named)
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert live.provider.purchases == 1
    assert live.run("status", lost_mv, "--json").task["state"] == "succeeded"


def test_adopt_with_the_options_of_wait(live: Cli, lost_mv: str) -> None:
    """-o says where it goes, and --no-wait prints the handle."""
    assert live.run("recover", lost_mv, "--adopt", "mv-1", "--no-wait").lines == ["modelverse:mv-1"]
    other = doubtful(live, *MV[:-1], "other.png")
    ran = live.run("recover", other, "--adopt", "mv-2", "-o", "new/", "--jsonl")
    assert ran.code == 0
    assert len(list((live.cwd / "new").iterdir())) == 1
    other = doubtful(live, *MV[:-1], "third.png")
    assert live.run("recover", other, "--adopt", "mv-3", "--no-download").lines[0].startswith(live.provider.url)


@pytest.mark.parametrize("named", ["mv-9", "rivya:task_1", "../x", "..", "", "modelverse:"])
def test_adopt_what_is_not_ours(live: Cli, lost_mv: str, named: str) -> None:
    """An id that the provider does not know, or that is none, is exit 2; the task is as unknown as before."""
    ran = live.run("recover", lost_mv, "--adopt", named)
    assert (ran.code, ran.said("charged")) == (2, "unknown")
    assert live.run("recover", lost_mv).code == 9


def test_adopt_from_a_provider_that_keeps_no_tasks(live: Cli) -> None:
    """Where every answer is the result, there is no task to adopt, and none is offered."""
    live.env |= {"YUNWU_BASE_URL": live.provider.url, "YUNWU_API_KEY": live.env["MODELVERSE_API_KEY"]}
    name = doubtful(live, "generate", "a fox", "-p", "yunwu", "-o", "fox.png", say=Say(drop=True))
    ran = live.run("recover", name, "--adopt", "task_1")
    assert (ran.code, "keeps no tasks" in ran.err) == (2, True)
    assert "--adopt" not in live.run("recover", name).out


@pytest.mark.parametrize("words", [["--adopt", "mv-1"], ["--same-key"]])
def test_another_account_decides_nothing(live: Cli, lost_mv: str, words: Sequence[str]) -> None:
    """With another key, without one, or at another base URL, nobody is asked: exit 3, and still unknown."""
    for env in ({"MODELVERSE_API_KEY": "another-key-0123456789"}, {"MODELVERSE_API_KEY": ""},
                {"MODELVERSE_BASE_URL": "https://relay.example"}):  # fmt: skip
        ran = live.run("recover", lost_mv, *words, env=env)
        assert (ran.code, ran.said("charged")) == (3, "unknown"), ran.err
    assert len(live.provider.seen) == 1


def test_same_key(live: Cli, lost_rv: str) -> None:
    """The very request goes out under its key: the provider knows it, and one purchase stays one."""
    live.clock.now += DAY_S / 2
    ran = live.run("recover", lost_rv, "--same-key", "--json")
    assert (ran.code, ran.task["charged"], ran.task["handle"]) == (0, "yes", "rivya:task_1"), ran.err
    assert live.provider.purchases == 1
    assert len({seen.body for seen in live.provider.asked("submit")}) == 1


def test_same_key_after_a_day(live: Cli, lost_rv: str) -> None:
    """A key that may be forgotten is neither offered nor sent."""
    live.clock.now += DAY_S + 1
    assert "--same-key" not in live.run("recover", lost_rv).out
    ran = live.run("recover", lost_rv, "--same-key")
    assert (ran.code, "24 h" in ran.err) == (2, True)
    assert len(live.provider.asked("submit")) == 3


def test_resubmit_needs_a_word(live: Cli, lost_rv: str) -> None:
    """Without a terminal it needs --yes: exit 5, with what it may cost, and nothing is sent."""
    ran = live.run("recover", lost_rv, "--resubmit", "--json")
    assert (ran.code, ran.json["error"]["code"]) == (5, "consent_missing")
    assert "this may pay a second time: 5 credits" in ran.err
    assert ran.said("hint") == f"wan recover {lost_rv} --resubmit --yes"
    assert live.provider.purchases == 1


@pytest.mark.parametrize(("typed", "code", "purchases"), [("y\n", 0, 2), ("n\n", 5, 1)])
def test_resubmit_asks_on_a_terminal(live: Cli, lost_rv: str, typed: str, code: int, purchases: int) -> None:
    """A person is asked, and the answer decides."""
    ran = live.run(
        "recover",
        lost_rv,
        "--resubmit",
        stdin=typed,
        tty=("stdin", "stderr"),
        env={"CI": ""},
        command=False,
    )
    assert ran.code == code, ran.err
    assert "once more for 5 credits? [y/N]" in ran.err
    assert live.provider.purchases == purchases


def test_resubmit(live: Cli, lost_rv: str) -> None:
    """It is a new purchase under a fresh key, and collected; the first one may be charged, and that is told."""
    ran = live.run("recover", lost_rv, "--resubmit", "--yes", "--json")
    assert (ran.code, ran.task["id"], ran.task["state"]) == (0, lost_rv, "succeeded"), ran.err
    assert any("may be charged too" in warning for warning in ran.task["warnings"])
    assert live.provider.purchases == 2
    assert len({seen.headers["idempotency-key"] for seen in live.provider.asked("submit")}) == 2


def test_resubmit_keeps_the_users_key(live: Cli) -> None:
    """The repeated CI step finds the result under its --idempotency-key, and buys nothing."""
    words = (*RV, "--idempotency-key", "job-1")
    name = doubtful(live, *words)
    assert live.run(*words).code == 9
    assert live.run("recover", name, "--resubmit", "--yes").code == 0
    ran = live.run(*words)
    assert (ran.code, ran.lines) == (0, ["fox.png"])
    assert live.provider.purchases == 2


def test_resubmit_refused(live: Cli, lost_mv: str) -> None:
    """A refusal says nothing of the first purchase: still 9, with the refusal as a warning."""
    live.provider.script["submit"] = [Say(402, {"error": {"code": "quota", "message": "top up"}})]
    ran = live.run("recover", lost_mv, "--resubmit", "--yes")
    assert (ran.code, ran.said("charged")) == (9, "unknown")
    assert "top up" in ran.err


@pytest.mark.parametrize(
    ("env", "words", "code"),
    [({}, ["--max-cost", "4credits"], 5), ({"WAN_MAX_COST": "4credits"}, [], 5), ({}, ["--max-cost", "5credits"], 0)],
)
def test_resubmit_passes_the_gate(live: Cli, lost_rv: str, env: dict[str, str], words: list[str], code: int) -> None:
    """Caps hold for a resubmission as for every purchase."""
    ran = live.run("recover", lost_rv, "--resubmit", "--yes", *words, env=env)
    assert ran.code == code, ran.err
    assert live.provider.purchases == (1 if code else 2)


def test_resubmit_at_an_unknown_price(live: Cli, lost_mv: str) -> None:
    """With a cap an unknown price needs --allow-unknown-cost."""
    words = ("recover", lost_mv, "--resubmit", "--yes", "--max-cost", "5CNY")
    assert live.run(*words).code == 5
    assert live.run(*words, "--allow-unknown-cost").code == 0


def test_resubmit_checks_the_files_again(live: Cli, picture_file: Path) -> None:
    """A picture that has changed, or is gone, is not what was sent: exit 2 before anything leaves."""
    name = doubtful(live, "edit", "in.png", "make it night", "-p", "modelverse", "-o", "out.png")
    before, data = len(live.provider.seen), picture_file.read_bytes()
    picture_file.write_bytes(other_picture())
    ran = live.run("recover", name, "--resubmit", "--yes")
    assert (ran.code, "has changed" in ran.err) == (2, True)
    picture_file.unlink()
    assert live.run("recover", name, "--resubmit", "--yes").code == 2
    assert len(live.provider.seen) == before
    picture_file.write_bytes(data)
    assert live.run("recover", name, "--resubmit", "--yes").code == 0


def other_picture() -> bytes:
    from support_cli import picture

    return picture(512, 512)


@pytest.fixture
def picture_file(live: Cli) -> Path:
    """Make a picture to edit."""
    from support_cli import picture

    return live.write("in.png", picture(640, 640))


def test_abandon(live: Cli, lost_mv: str) -> None:
    """It is closed without a key and without a question; whether it was charged stays unknown."""
    ran = live.run("recover", lost_mv, "--abandon", "--json", env={"MODELVERSE_API_KEY": ""})
    assert (ran.code, ran.task["state"], ran.task["charged"]) == (0, "cancelled", "unknown")
    assert live.run("recover").out == ""
    assert live.run("status", lost_mv).code == 7
    assert live.run("recover", doubtful(live), "--abandon").code == 0
    assert len(live.provider.seen) == 2


def test_a_repeated_step_does_not_buy_what_was_abandoned(live: Cli) -> None:
    """The same --idempotency-key stands for the abandoned purchase, and buys nothing anew."""
    words = (*MV, "--idempotency-key", "job-1")
    live.run("recover", doubtful(live, *words), "--abandon")
    assert live.run(*words).code == 7
    assert live.provider.purchases == 1


def test_in_the_sandbox(wan: Run) -> None:
    """Decisions work offline, and every command that is named stays there."""
    lost = wan("generate", "a fox", "-p", "modelverse", "--sandbox", "--fault", "drop-after/submit", "-o", "fox.png")
    assert lost.said("hint").endswith(" --sandbox")
    shown = wan(*lost.said("hint").split()[1:])
    assert all(" --sandbox --" in line for line in shown.lines if line.startswith("wan "))
    again = wan("generate", "a fox", "-p", "modelverse", "--sandbox", "-o", "two.png")
    name = lost.said("hint").split()[2]
    assert f"1 earlier task needs a decision: wan recover {name} --sandbox" in again.err
    assert wan("recover", name, "--sandbox", "--resubmit", "--yes").lines == ["fox.png"]


def test_a_provider_that_is_gone(live: Cli, lost_mv: str) -> None:
    """Where a provider's configuration was taken away, its task can still be closed."""
    with ledger(live) as book:
        book.save(replace(book.get(lost_mv), provider="studio"))
    assert live.run("recover", lost_mv).code == 2
    assert live.run("recover", lost_mv, "--adopt", "x").code == 2
    assert live.run("recover", lost_mv, "--abandon").code == 0


def test_the_list_of_tasks_says_what_to_decide(live: Cli, lost_mv: str) -> None:
    """``wan status`` names the command for what is unknown."""
    assert f"1 of these needs a decision: wan recover {lost_mv}\n" in live.run("status").err
    doubtful(live, *MV[:-1], "2.png")
    assert "2 of these need a decision: wan recover\n" in live.run("status").err


# -- what earlier commands left


def test_earlier_tasks_are_named_before_new_work(live: Cli, lost_mv: str) -> None:
    """One line says what waits for a decision; with --quiet and in the document there is nothing of it."""
    line = f"1 earlier task needs a decision: wan recover {lost_mv}"
    ran = live.run(*MV[:-1], "2.png", "--json")
    assert line in ran.err.splitlines()
    assert "earlier" not in ran.out
    doubtful(live, *MV[:-1], "3.png")
    assert "2 earlier tasks need a decision: wan recover\n" in live.run(*MV[:-1], "4.png").err
    assert "earlier" not in live.run(*MV[:-1], "5.png", "-q").err
    assert "earlier" not in live.run(*MV[:-1], "6.png", "--dry-run").err


def test_results_that_will_soon_be_gone_are_named(live: Cli) -> None:
    """Bought results that expire within six hours are counted, by what they say or the provider documents."""
    live.run(*MV, "--no-wait")
    in_state(live, Done(outputs=(Output(url="https://x.example/1"),)), expires_at=BEGIN + 20 * 3600)
    assert "expire" not in live.run(*MV[:-1], "2.png").err
    live.clock.now = BEGIN + 19 * 3600
    assert "2 bought results expire within 6 h: wan wait --all" in live.run(*MV[:-1], "3.png").err
    live.clock.now = BEGIN + 23 * 3600
    assert "1 bought result expires within 6 h: wan wait --all" in live.run(*MV[:-1], "4.png").err
    live.clock.now = BEGIN + 48 * 3600
    assert "expire" not in live.run(*MV[:-1], "5.png").err


# -- the recovery file (S02)


@pytest.fixture
def rescued(live: Cli, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Buy with a ledger that takes no state after the request, and return the recovery file."""
    save = Ledger.save

    def failing(book: Ledger, task: Task) -> None:
        if task.state.kind not in ("new", "sending"):
            raise StateUnusable("the ledger cannot be written: no space left on device")
        save(book, task)

    with monkeypatch.context() as disk:
        disk.setattr(Ledger, "save", failing)
        ran = live.run(*MV, "--no-wait")
    assert (ran.code, ran.lines) == (0, ["modelverse:mv-1"])
    (path,) = live.cwd.glob("wan-recovery-*.json")
    assert f"wan recover --import {path}" in ran.err
    return path


def imported(live: Cli, path: object, *words: str) -> Ran:
    return live.run("recover", "--import", path, *words)


def test_s02_what_was_bought_without_a_ledger_is_imported_and_collected(live: Cli, rescued: Path) -> None:
    """The file leads back to the task: imported once, waited for, and never bought again."""
    ran = imported(live, rescued.name)
    assert (ran.code, ran.lines) == (0, ["modelverse:mv-1"]), ran.err
    assert "wan wait modelverse:mv-1" in ran.err
    assert live.run("wait", "modelverse:mv-1").lines == ["fox.png"]
    again = imported(live, rescued.name)
    assert (again.code, again.said("charged")) == (2, "yes")
    assert live.provider.purchases == 1


def test_s02_an_answer_that_was_all_is_imported_and_fetched(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a provider that keeps no task, the file has the results' addresses; the doubt in the ledger is resolved."""
    save = Ledger.save

    def failing(book: Ledger, task: Task) -> None:
        if task.state.kind not in ("new", "sending"):
            raise StateUnusable("the ledger cannot be written: no space left on device")
        save(book, task)

    with monkeypatch.context() as disk:
        disk.setattr(Ledger, "save", failing)
        live.run(*MV, "--sync", "--no-wait")
    (path,) = live.cwd.glob("wan-recovery-*.json")
    name = imported(live, path, "--json").task["id"]
    assert live.run("wait", name).lines == ["fox.png"]
    assert live.provider.purchases == 1


def test_s02_a_ledger_that_fails_while_collecting(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was bought is still at the provider: 12, charged, and ``wan wait`` goes on when the disk is free."""
    (handle,) = live.run(*MV, "--no-wait").lines

    def failing(book: Ledger, task_id: str) -> bool:
        raise StateUnusable("the ledger cannot be written: no space left on device")

    with monkeypatch.context() as disk:
        disk.setattr(Ledger, "claim", failing)
        ran = live.run("wait", handle, "--json")
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (12, "state_unusable", "yes")
    assert live.run("wait", handle).lines == ["fox.png"]


def written(live: Cli, task: Task, **more: Any) -> Path:
    """Write a recovery file as somebody else could."""
    document = {"wan_recovery": 1, "version": "0", "task": to_document(task), **more}
    return live.write("wan-recovery.json", json.dumps(document))


def bought(live: Cli) -> Task:
    """Buy a task, and return it as the ledger has it."""
    name = live.run(*RV, "--no-wait", "--json").task["id"]
    with ledger(live) as book:
        return book.get(name)


def test_a_file_never_says_where_results_go(live: Cli, tmp_path: Path) -> None:
    """Where the ledger has no such task, the name is of this folder, and what the file says of it does not count."""
    task, victim = bought(live), tmp_path / "victim.png"
    with ledger(live) as book:
        target = replace(task.target, template=str(victim), overwrite=True)
        forged = replace(task, id="zzzzzz", target=target, task_id="task_1", user_key=None)
        del book
    ran = imported(live, written(live, forged), "--json")
    assert ran.code == 0, ran.err
    assert live.run("wait", "zzzzzz").code == 0
    assert not victim.exists()


def test_a_finished_result_is_imported_with_its_addresses(live: Cli) -> None:
    """A whole address stays as it is; where one has no host, the task is asked about instead."""
    task = replace(bought(live), id="zzzzzz")
    done = Done(outputs=(Output(url="https://cdn.example/1.png"),), task_id="task_1")
    assert imported(live, written(live, replace(task, state=done)), "--json").task["state"] == "succeeded"
    odd = Done(outputs=(Output(url="/api/v1/credits"),), task_id="task_1")
    assert imported(live, written(live, replace(task, id="yyyyyy", state=odd)), "--json").task["state"] == "pending"
    none = replace(task, id="xxxxxx", state=replace(odd, task_id=None), task_id=None)
    assert imported(live, written(live, none)).code == 2


def test_an_unknown_task_is_imported_for_a_decision(live: Cli) -> None:
    """It names ``wan recover``; a lost one names ``wan status``."""
    task = replace(bought(live), id="zzzzzz", task_id=None, state=Unknown(reason="reset"), charged="unknown")
    assert "wan recover zzzzzz" in imported(live, written(live, task)).err
    gone = replace(task, id="yyyyyy", state=Lost(code="task_vanished", message="gone"))
    assert "wan status yyyyyy" in imported(live, written(live, gone)).err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"id": "../etc"}, "none of wan's"),
        ({"provider": "nobody"}, "provider is unknown"),
        ({"task_id": "../x"}, "no task id"),
        ({"task_id": "other"}, "no task id"),
        ({"state": New()}, "never bought from a file"),
        ({"state": Sending(at=1.0)}, "never bought from a file"),
        ({"sandbox": True}, "made with --sandbox"),
        ({"token": "wan-other"}, "is another task here"),
        ({}, "the ledger knows as much"),
    ],
)
def test_files_that_are_refused(live: Cli, change: dict[str, Any], says: str) -> None:
    """What such a file never says, another task of the id, and what the ledger knows already, are exit 2."""
    task = bought(live)
    ran = imported(live, written(live, replace(task, **change)))
    assert (ran.code, says in ran.err) == (2, True), ran.err
    with ledger(live) as book:
        assert book.get(task.id) == task
    assert live.provider.purchases == 1


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("{", "is no recovery file"), ("[]", "is no recovery file"), ("{}", "is no recovery file"),
        ('{"wan_recovery": 2}', "newer wan"), ('{"wan_recovery": "x"}', "format is unknown"),
        ('{"wan_recovery": 1, "task": {}}', "no field"), ('{"wan_recovery": NaN}', "not a number"),
        ("[" * 100_000, "is no recovery file"),
    ],
)  # fmt: skip
def test_files_that_are_none(live: Cli, text: str, says: str) -> None:
    """Whatever else a file holds is told as one line."""
    ran = imported(live, live.write("x.json", text))
    assert (ran.code, says in ran.err) == (2, True), ran.err


def test_files_that_cannot_be_read(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder, nothing at all, and a file that is too large or not ours to read are refused."""
    for name in (".", "missing.json"):
        assert "is not a file" in imported(live, name).err
    path = live.write("x.json", "{}" * 100)
    monkeypatch.setattr("wan_cli.cli.importing.MAX_BYTES", 100)
    assert "more than 100 bytes" in imported(live, path).err

    def refuse(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as disk:
        disk.setattr("wan_cli.cli.importing.MAX_BYTES", 1_000)
        disk.setattr(Path, "read_bytes", refuse)
        ran = imported(live, path)
    assert "cannot be read: Permission denied" in ran.err


def test_a_prefix_is_not_the_task(live: Cli) -> None:
    """A file's id that begins another task's id is a task of its own."""
    task = bought(live)
    with ledger(live) as book:
        book.save(replace(task, id="zzzzzzzz", task_id="task_7", state=Pending(task_id="task_7")))
    ran = imported(live, written(live, replace(task, id="zzzzzz")), "--json")
    assert (ran.code, ran.task["id"]) == (0, "zzzzzz")


# -- what a reviewer found


def test_an_answer_on_record_needs_no_decision(live: Cli) -> None:
    """A purchase that was answered before its process ended is not in doubt: nothing is bought again or closed."""
    name = in_state(live, Sending(at=BEGIN), task_id=None, charged="unknown")
    assert live.run("recover").lines == []
    assert f"wan wait {name}" in live.run("recover", name).out
    for decision in ("--abandon", "--resubmit"):
        ran = live.run("recover", name, decision, *(["--yes"] if decision == "--resubmit" else []))
        assert (ran.code, ran.said("hint")) == (2, f"wan wait {name}")
    assert live.run("wait", name).code == 0
    assert live.provider.purchases == 1


def test_a_handle_that_was_looked_at_first_can_be_adopted(live: Cli, lost_mv: str) -> None:
    """Asking how the task is before adopting it makes a placeholder, which goes when the id finds its task."""
    live.run("status", "modelverse:mv-1")
    ran = live.run("recover", lost_mv, "--adopt", "mv-1")
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    with ledger(live) as book:
        assert [task.id for task in book.recent()] == [lost_mv]


def test_attempts_are_numbered_after_the_last(live: Cli, lost_rv: str) -> None:
    """An attempt that was never recorded leaves a gap, and no number is taken twice."""
    with ledger(live) as book:
        task = book.get(lost_rv)
        book._storage.db.execute("UPDATE attempt SET n = n + 10 WHERE task = ?", (lost_rv,))
        numbers = [attempt.n for attempt in book.attempts(task.id)]
    ran = live.run("recover", lost_rv, "--same-key")
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    with ledger(live) as book:
        assert [attempt.n for attempt in book.attempts(lost_rv)][-1] == numbers[-1] + 1
    assert live.provider.purchases == 1
