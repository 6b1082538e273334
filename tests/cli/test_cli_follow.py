"""``wan status`` and ``wan wait``: what was bought before, here or elsewhere; neither buys (sections 1 and 4)."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from typing import Any

import pytest
from support_cli import Cli, Run, picture
from support_provider import Say

RV = ("generate", "a fox", "-p", "rivya")


@pytest.fixture
def bought(live: Cli) -> str:
    """Buy one task and leave it at the provider; return its handle."""
    (handle,) = live.run(*RV, "--no-wait", "-o", "fox.png").lines
    return handle


def test_wait_by_handle(live: Cli, bought: str) -> None:
    """``wan wait HANDLE`` brings the result to where the submit said."""
    ran = live.run("wait", bought)
    assert (ran.code, ran.lines) == (0, ["fox.png"])


def test_wait_by_prefix(live: Cli, bought: str) -> None:
    """A local id, or the beginning of it, names the task too."""
    name = live.run("status", "--json").task["id"]
    assert bought
    assert live.run("wait", name[:3]).lines == ["fox.png"]


@pytest.mark.parametrize("words", [[], ["--all"]])
def test_wait_for_everything(live: Cli, bought: str, words: Sequence[str]) -> None:
    """Without a name, or with --all, everything outstanding is collected; then there is nothing left."""
    assert bought
    assert live.run("wait", *words).lines == ["fox.png"]
    again = live.run("wait", *words)
    assert (again.code, again.out) == (0, "")
    assert "nothing is outstanding" in again.err
    assert live.run("wait", "--json").json["tasks"] == []


def test_wait_from_an_empty_ledger(live: Cli, bought: str) -> None:
    """A handle works on a machine that never saw the task, with a name of its own."""
    shutil.rmtree(live.root / "state")
    ran = live.run("wait", bought, "--json")
    assert ran.code == 0, ran.err
    assert ran.task["handle"] == bought
    assert ran.task["files"][0]["path"].endswith(".png")
    assert live.provider.purchases == 1


def test_wait_again(live: Cli, bought: str) -> None:
    """A task that is saved already is exit 0 with its path, and is not fetched again."""
    live.run("wait", bought)
    ran = live.run("wait", bought)
    assert (ran.code, ran.lines) == (0, ["fox.png"])
    assert len(live.provider.asked("download")) == 1


def test_wait_for_a_deleted_file(live: Cli, bought: str) -> None:
    """A file that was deleted is fetched again from the provider."""
    live.run("wait", bought)
    (live.cwd / "fox.png").unlink()
    assert live.run("wait", bought).lines == ["fox.png"]
    assert live.files() == ["fox.png"]


@pytest.mark.parametrize(
    ("words", "lines"),
    [
        (["-o", "other.png"], ["other.png"]),
        (["-o", "new/"], None),
        (["-o", "fox.jpg", "--convert"], ["fox.jpg"]),
        (["--sidecar"], ["fox.png"]),
    ],
)
def test_wait_elsewhere(live: Cli, bought: str, words: Sequence[str], lines: list[str] | None) -> None:
    """-o of wait overrides where the results go."""
    ran = live.run("wait", bought, *words)
    assert ran.code == 0, ran.err
    assert lines is None or ran.lines == lines
    assert (live.cwd / ran.lines[0]).is_file()


def test_wait_to_standard_output(live: Cli, bought: str) -> None:
    """``wan wait HANDLE -o -`` writes the bytes."""
    assert live.run("wait", bought, "-o", "-").raw == picture(2048, 2048)


def test_wait_saves_what_went_to_standard_output(live: Cli, bought: str) -> None:
    """Results that are here, or went through a pipe, are brought once more where -o asks for them elsewhere."""
    assert live.run("wait", bought, "-o", "-").code == 0
    for name in ("fox.png", "again.png"):
        ran = live.run("wait", bought, "-o", name)
        assert (ran.code, ran.lines) == (0, [name])
        assert (live.cwd / name).is_file()
    assert live.provider.purchases == 1


def test_wait_without_download(live: Cli, bought: str) -> None:
    """--no-download prints the address."""
    assert live.run("wait", bought, "--no-download").lines == [f"{live.provider.url}/results/task_1/1.png"]
    assert live.files() == []


@pytest.mark.parametrize(
    "words",
    [
        ["nobody"], ["rivya:no such"], ["nobody:task_1"], ["rivya:"], ["rivya:../x"], ["--all", "rivya:task_1"],
        ["--json", "--jsonl"], ["rivya:task_1", "-o", "-", "--json"], ["rivya:task_1", "--timeout", "x"],
    ],
)  # fmt: skip
def test_wait_that_makes_no_sense(live: Cli, bought: str, words: Sequence[str]) -> None:
    """Names that are none and options that exclude each other are exit 2."""
    assert bought
    assert live.run("wait", *words).code == 2
    assert not live.provider.asked("poll")


def test_wait_over_an_existing_file(live: Cli, bought: str) -> None:
    """What stands in the way is never replaced unasked, and the result is never lost for it."""
    live.write("fox.png", "mine")
    ran = live.run("wait", bought, "--json")
    assert (live.cwd / "fox.png").read_text() == "mine"
    assert ran.code in (0, 2, 12)
    assert live.run("wait", bought, "--overwrite", "-o", "fox.png").code == 0


def test_wait_with_another_key(live: Cli, bought: str) -> None:
    """A task of another account is noticed before it is asked about: 8, and charged."""
    ran = live.run("wait", bought, "--json", env={"RIVYA_API_KEY": "rvya_sk_another_key_entirely"})
    assert ran.code == 8
    assert ran.json["error"]["code"] == "key_rejected"
    assert ran.json["error"]["charged"] == "yes"
    assert not live.provider.asked("poll")


def test_wait_as_json_lines(live: Cli, bought: str) -> None:
    """--jsonl of wait ends with the summary."""
    ran = live.run("wait", bought, "--jsonl")
    assert ran.code == 0
    assert ran.events[-1]["command"] == "wait"


def test_wait_times_out(live: Cli, bought: str) -> None:
    """--timeout of wait: 8, with the command that goes on."""
    live.provider.always["poll"] = Say(200, {"id": "task_1", "status": "queued"})
    ran = live.run("wait", bought, "--timeout", "10")
    assert ran.code == 8
    assert ran.said("hint") == f"wan wait {bought}"


def test_waiting_never_buys(live: Cli) -> None:
    """A purchase whose answer was lost is not sent by wait or status where the provider has no key for it."""
    live.provider.always["submit"] = Say(drop=True, accept=True)
    assert live.run("generate", "x", "-p", "modelverse").code == 9
    name = live.run("status", "--json").task["id"]
    live.provider.always.clear()
    assert live.run("wait", name).code == 9
    assert live.run("wait").code == 0
    assert live.run("status", name).code == 9
    assert len(live.provider.asked("submit")) == 1


def test_status_lists(live: Cli, bought: str) -> None:
    """The list has a row a task, tab-separated without a terminal, open ones first; exit 0."""
    live.run("generate", "done", "-p", "rivya")
    ran = live.run("status")
    assert ran.code == 0
    header_or_first, *_ = ran.lines
    assert "\t" in header_or_first
    rows = live.run("status", "--json").json["tasks"]
    assert [task["state"] for task in rows] == ["pending", "succeeded"]
    assert rows[0]["handle"] == bought
    assert [task["state"] for task in live.run("status", "--limit", "1", "--json").json["tasks"]] == ["pending"]


def test_status_of_nothing(wan: Run) -> None:
    """An empty ledger is exit 0 and an empty list."""
    ran = wan("status")
    assert (ran.code, ran.out) == (0, "")
    assert "no tasks yet" in ran.err
    assert wan("status", "--json").json["tasks"] == []


def test_exit_status(live: Cli, bought: str) -> None:
    """--exit-status exits by the worst task of the list."""
    assert bought
    assert live.run("status", "--exit-status").code == 8
    live.provider.always["submit"] = Say(500, "x")
    live.run("generate", "x", "-p", "modelverse")
    assert live.run("status", "--exit-status", "--json", command=False).code == 9


def test_status_of_a_task(live: Cli, bought: str) -> None:
    """With a name it asks the provider, downloads nothing, and exits by the state: not yet fetched is 8."""
    live.provider.always["poll"] = Say(200, {"id": "task_1", "status": "processing"})
    ran = live.run("status", bought, "--json")
    assert ran.code == 8
    assert ran.task["state"] == "pending"
    live.provider.always.clear()
    assert live.run("status", bought).code == 8
    assert live.files() == []
    live.run("wait", bought)
    assert live.run("status", bought).code == 0
    (live.cwd / "fox.png").unlink()
    assert live.run("status", bought).code == 8


@pytest.mark.parametrize(
    ("poll", "code"),
    [
        ({"id": "task_1", "status": "failed", "final_credits": 0}, 7),
        ({"id": "task_1", "status": "succeeded", "result": {"urls": ["http://127.0.0.1/x"]}}, 8),
    ],
)
def test_status_exits_by_the_state(live: Cli, bought: str, poll: dict[str, Any], code: Any) -> None:
    """Failed is 7, finished and not fetched is 8."""
    live.provider.always["poll"] = Say(200, poll)
    assert live.run("status", bought, "--json").code == code


def test_status_of_a_lost_task(live: Cli) -> None:
    """Lost is 10, in status as in the run that found out."""
    live.provider.always["download"] = Say(403, "expired")
    assert live.run(*RV).code == 10
    assert live.run("status", "rivya:task_1", "--json").code == 10


def test_status_of_a_foreign_handle(live: Cli) -> None:
    """A handle from elsewhere is adopted and asked about."""
    live.run(*RV, "--no-wait")
    shutil.rmtree(live.root / "state")
    ran = live.run("status", "rivya:task_1", "--json")
    assert ran.code == 8
    assert ran.task["handle"] == "rivya:task_1"


def test_status_waits(live: Cli, bought: str) -> None:
    """``status --wait`` is ``wait``."""
    assert live.run("status", bought, "--wait").lines == ["fox.png"]


def test_prune(live: Cli, bought: str) -> None:
    """--prune forgets finished tasks older than that, keeps open ones, and touches no file."""
    live.run("generate", "done", "-p", "rivya", "-o", "done.png")
    assert live.run("status", "--prune", "30d", "--json").json["forgotten"] == 0
    live.clock.now += 31 * 86_400
    ran = live.run("status", "--prune", "30d")
    assert (ran.code, ran.out) == (0, "")
    assert "forgot 1 finished task" in ran.err
    assert [task["handle"] for task in live.run("status", "--json").json["tasks"]] == [bought]
    assert "done.png" in live.files()


@pytest.mark.parametrize("words", [["--prune", "soon"], ["--prune", "30d", "rivya:task_1"], ["--limit", "0"]])
def test_status_that_makes_no_sense(live: Cli, words: Sequence[str]) -> None:
    """A time that is none, and names beside --prune, are exit 2."""
    assert live.run("status", *words, command=False).code == 2


def test_the_sandbox_has_a_ledger_of_its_own(live: Cli, bought: str) -> None:
    """Sandbox tasks are not among the real ones, and work across runs."""
    (handle,) = live.run("generate", "x", "--sandbox", "--no-wait").lines
    assert [task["handle"] for task in live.run("status", "--json").json["tasks"]] == [bought]
    assert [task["handle"] for task in live.run("status", "--json", "--sandbox").json["tasks"]] == [handle]
    live.clock.now += 5
    assert live.run("wait", handle, "--sandbox").code == 0
    assert live.provider.purchases == 1


def test_prompts_are_not_stored_on_request(live: Cli) -> None:
    """[privacy] store_prompts = false keeps no prompt in the state folder."""
    live.config("[privacy]\nstore_prompts = false\n")
    assert live.run("generate", "a very private heron", "-p", "rivya", "-o", "x.png").code == 0
    for path in (live.root / "state").rglob("*"):
        if path.is_file():
            assert b"private heron" not in path.read_bytes(), path
    assert "private heron" not in json.dumps(live.run("status", "--json").json)
