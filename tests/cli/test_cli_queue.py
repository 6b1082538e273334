"""``wan render --queue``, ``wan worker``, and ``status`` and ``recover`` of a shared queue, in one process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support_cli import Cli, Ran
from support_provider import Say
from support_render import assets, block, one, prompts, refusal

from wan_cli import __version__

if TYPE_CHECKING:
    from support_postgres import PostgresServer

RENDER = ("render", "assets.toml", "-q")
WORK = ("worker", "--until-empty")


class Queue:
    """The command line beside a database."""

    def __init__(self, cli: Cli, server: PostgresServer) -> None:
        self.cli = cli
        self.server = server
        self.provider: Any = cli.provider

    def render(self, *words: str, **how: Any) -> Ran:
        return self.cli.run(*RENDER, *words, "--queue", self.server.url, **how)

    def work(self, *words: str, **how: Any) -> Ran:
        return self.cli.run(*WORK, *words, "--queue", self.server.url, **how)

    def status(self) -> Any:
        return self.cli.run("status", "--json", "--queue", self.server.url).json

    def states(self) -> list[str]:
        return sorted(task["state"] for task in self.status()["tasks"])

    def lines(self) -> list[tuple[str, str]]:
        return self.server.ask("SELECT queueing_lock, status::text FROM wan_queue.procrastinate_jobs ORDER BY 1")


@pytest.fixture
def queue(live: Cli, postgres: PostgresServer) -> Queue:
    """Return a queue that nothing was put in yet."""
    return Queue(live, postgres)


# -- from manifest to files


def test_a_render_is_made_by_a_worker(queue: Queue) -> None:
    """What is queued is made by a worker, brought into the lock by the next render, and bought once."""
    assets(queue.cli, one("fox", provider="rivya"), one("hen", provider="modelverse", count=2))
    ran = queue.render("--no-wait", "--json")
    assert (ran.code, queue.provider.seen) == (0, []), ran.err
    assert queue.states() == ["planned"] * 2
    again = queue.render("--no-wait")
    assert (again.code, len(queue.lines())) == (0, 2), "nothing is queued twice"
    worked = queue.work()
    assert worked.code == 0, worked.err
    assert (queue.provider.purchases, queue.lines()) == (2, [])
    assert queue.states() == ["succeeded"] * 2
    ran = queue.render("--json", command=False)
    assert ran.code == 0, ran.err
    assert [(asset["id"], asset["ending"]) for asset in ran.json["assets"]] == [
        ("fox", "collected"),
        ("hen", "collected"),
    ]
    assert len(block(queue.cli, "hen")["files"]) == 2
    assert queue.render().code == 0
    assert queue.provider.purchases == 2


def test_what_is_queued_is_in_the_lock_as_about_to_be_sent(queue: Queue) -> None:
    """A render without the queue sees that somebody may have bought, and buys nothing by itself."""
    assets(queue.cli, one("fox", provider="modelverse"))
    assert queue.render("--no-wait").code == 0
    assert [flight["state"] for flight in block(queue.cli, "fox")["open"]] == ["sending"]
    assert queue.cli.run(*RENDER).code == 9
    assert queue.provider.purchases == 0


def test_a_lost_line_is_put_back(queue: Queue) -> None:
    """The line may be lost, whole or in part: the tasks are in the ledger, and the next render lines them up."""
    assets(queue.cli, one("fox", provider="rivya"))
    assert queue.render("--no-wait").code == 0
    queue.server.ask("DROP SCHEMA wan_queue CASCADE")
    assert queue.status()["queue"]["lines"] == []
    assert queue.render("--no-wait").code == 0
    assert queue.work().code == 0
    assert queue.provider.purchases == 1


def test_a_failure_may_be_bought_again(queue: Queue) -> None:
    """A refused purchase is told by the render as one of its own, and queued again by the next."""
    assets(queue.cli, one("fox", provider="modelverse"))
    queue.provider.script["submit"] = [refusal(400, "bad", "no such thing")]
    assert queue.render("--no-wait").code == 0
    assert queue.work().code == 0
    assert queue.states() == ["failed"]
    assert queue.render("--no-wait").code == 0
    assert queue.work().code == 0
    assert queue.render().code == 0
    assert (queue.provider.purchases, queue.cli.files()) == (
        1,
        [".assets.queue", "assets.lock", "assets.toml", "fox.png"],
    )


def test_an_unknown_purchase_stays_a_persons(queue: Queue) -> None:
    """A purchase in doubt is 9 by the render, never made again, and settled by ``wan recover --queue``."""
    assets(queue.cli, one("fox", provider="modelverse"))
    queue.provider.script["submit"] = [Say(accept=True, drop=True)]
    assert queue.render("--no-wait").code == 0
    assert queue.work().code == 0
    ran = queue.render()
    assert ran.code == 9, ran.err
    assert queue.work().code == 0
    assert queue.provider.purchases == 1
    of = ("--queue", queue.server.url)
    (task,) = queue.cli.run("recover", "--json", *of).json["tasks"]
    assert f"wan recover {task['id']} --queue URL" in ran.err
    shown = queue.cli.run("recover", task["id"], *of)
    assert (shown.code, f"wan recover {task['id']} --queue URL --abandon" in shown.out) == (9, True)
    assert queue.cli.run("recover", task["id"], "--abandon", *of).code == 0
    assert queue.cli.run("recover", "--json", *of).json["tasks"] == []


# -- what workers leave alone


def test_a_reference_that_differs_is_refused(queue: Queue) -> None:
    """A reference that is not what was checked is refused before anything is sent; so is one that is gone."""
    from support_cli import picture

    queue.cli.write("in.png", picture(512, 512))
    assets(queue.cli, one("fox", verb="edit", images=["in.png"], provider="rivya"))
    for change in (lambda: queue.cli.write("in.png", picture(640, 512)), (queue.cli.cwd / "in.png").unlink):
        queue.cli.write("in.png", picture(512, 512))
        assert queue.render("--no-wait").code == 0
        change()
        assert queue.work().code == 0
        (task,) = queue.status()["tasks"]
        assert (task["state"], task["charged"], task["error"]["code"]) == ("failed", "no", "file_invalid")
    assert queue.provider.seen == []


def test_a_folder_that_is_elsewhere(queue: Queue) -> None:
    """A worker makes nothing where the folder is not, or is another one, and works below ``--root`` where it is."""
    assets(queue.cli, one("fox", provider="rivya"))
    assert queue.render("--no-wait").code == 0
    away = queue.cli.root / "mnt" / "work"
    away.parent.mkdir()
    queue.cli.cwd.rename(away)
    queue.cli.cwd.mkdir()
    shutil.copytree(away, queue.cli.root / "copy")
    assert queue.work(cwd=queue.cli.root).code == 0
    shutil.rmtree(queue.cli.cwd)
    shutil.copytree(queue.cli.root / "copy", queue.cli.cwd)
    assert queue.work(cwd=queue.cli.root).code == 0
    assert queue.provider.seen == []
    assert queue.work("--root", str(away.parent), cwd=queue.cli.root).code == 0
    assert (away / "fox.png").exists()
    (task,) = queue.status()["tasks"]
    assert task["files"][0]["path"] == "fox.png", "the ledger has the paths of whoever rendered"


def test_tasks_of_a_provider_without_a_key_wait_for_others(queue: Queue) -> None:
    """A worker takes what it has a key for, at the same base URL; the rest stays in the line."""
    assets(queue.cli, one("fox", provider="rivya"), one("hen", provider="modelverse"))
    assert queue.render("--no-wait").code == 0
    assert queue.work("-p", "modelverse").code == 0
    assert (
        queue.work(
            env={"RIVYA_BASE_URL": "http://127.0.0.1:9"},
        ).code
        == 0
    )
    assert prompts(queue.cli) == ["hen"]
    assert [line["waiting"] for line in queue.status()["queue"]["lines"]] == [1]


def test_a_key_that_is_refused_costs_no_task(queue: Queue) -> None:
    """A worker whose only key is refused ends with that; its tasks are in the line, and made by another worker."""
    assets(queue.cli, one("fox", provider="rivya"), one("hen", provider="rivya"))
    assert queue.render("--no-wait").code == 0
    ran = queue.work("-p", "rivya", env={"RIVYA_API_KEY": "rvya_sk_another0123456789abcd"})
    assert (ran.code, queue.provider.purchases) == (3, 0), ran.err
    assert queue.states() == ["planned"] * 2
    assert queue.work().code == 0
    assert queue.provider.purchases == 2


def test_a_provider_that_is_in_trouble_is_left_for_a_while(queue: Queue) -> None:
    """After purchases in a row that were not taken nothing is sent there; what was held back waits in the line."""
    assets(queue.cli, *(one(f"a{number}", provider="modelverse") for number in range(8)))
    queue.provider.always["submit"] = refusal(429)
    assert queue.render("--no-wait").code == 0
    ran = queue.work("--jobs", "1", "--jsonl")
    assert ran.code == 0
    assert [event["what"] for event in ran.events if event["event"] == "worker"] == ["started", "paused", "ended"]
    assert queue.states() == ["failed"] * 5 + ["planned"] * 3


# -- what is refused


@pytest.mark.parametrize(
    ("url", "code", "says"),
    [
        ("mysql://db/wan", 2, "postgresql://"),
        ("postgresql:///nowhere?host=/nowhere", 3, "cannot be reached"),
        ("postgresql://h:p%ZZ@/x", 2, "cannot be read"),
    ],
)
def test_an_address_that_is_of_no_use(live: Cli, url: str, code: int, says: str) -> None:
    """An address that is none is 2, a database that is away 3, for every command; nothing is bought."""
    assets(live, one("fox", provider="rivya"))
    for words in (RENDER, WORK, ("status",), ("recover",)):
        ran = live.run(*words, "--queue", url)
        assert (ran.code, says in ran.err) == (code, True), ran.err
    assert (live.provider.seen, live.files()) == ([], ["assets.toml"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--shard", "1/2"), "--shard"), (("--again", "-n", "2"), "-n makes takes"), (("--check",), "--check"),
        (("--prune",), "--prune"), (("--sandbox",), "--sandbox"),
    ],
)  # fmt: skip
def test_flags_that_do_not_go_with_a_queue(live: Cli, words: tuple[str, ...], says: str) -> None:
    """What a queue cannot do is exit 2 before it is looked for."""
    assets(live, one("fox", provider="rivya"))
    ran = live.run(*RENDER, *words, "--queue", "postgresql:///nowhere?host=/nowhere")
    assert (ran.code, says in ran.err, live.provider.seen) == (2, True, []), ran.err


def test_a_queue_of_the_environment(queue: Queue) -> None:
    """``WAN_QUEUE`` names the queue of renders and workers; a check and the sandbox go without."""
    assets(queue.cli, one("fox", provider="rivya"))
    env = {"WAN_QUEUE": queue.server.url}
    assert queue.cli.run(*RENDER, "--check", env=env).code == 13
    assert queue.cli.run(*RENDER, "--sandbox", env=env).code == 0
    assert queue.cli.run(*RENDER, "--no-wait", env=env).code == 0
    assert queue.cli.run(*WORK, env=env).code == 0
    assert queue.provider.purchases == 1
    assert queue.cli.run(*WORK).code == 2
    assert queue.cli.run(*WORK, env={**env, "WAN_SANDBOX": "1"}).code == 2


def test_options_of_status_and_recover(queue: Queue) -> None:
    """Beside ``--queue`` what is about this machine or a provider's list is refused."""
    of = ("--queue", queue.server.url)
    for words in (("status", "--wait"), ("status", "--remote"), ("status", "--sandbox"), ("recover", "--sandbox")):
        assert queue.cli.run(*words, *of).code == 2


def test_prompts_that_are_not_stored(queue: Queue) -> None:
    """Without prompts in the ledger no worker could send them: exit 3."""
    queue.cli.config("store_prompts = false\n")
    assets(queue.cli, one("fox", provider="rivya"))
    assert queue.render().code == 3


@pytest.mark.parametrize("module", ["psycopg", "procrastinate"])
def test_without_the_extra(queue: Queue, module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the extra it is 3 with the command that installs it."""
    assets(queue.cli, one("fox", provider="rivya"))
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    for ran in (queue.render(), queue.work()):
        assert (ran.code, "psycopg[binary]" in ran.err) == (3, True), ran.err
    assert queue.provider.seen == []


@pytest.mark.parametrize("command", ["render m.jsonl", "worker", "status", "recover"])
def test_a_process_without_the_extra(command: str, tmp_path: Path) -> None:
    """A process that never had the libraries says so as well, before it needs anything of them."""
    (tmp_path / "m.jsonl").write_text('{"id": "fox", "prompt": "a fox", "provider": "rivya"}\n', encoding="utf-8")
    script = "import sys; sys.modules['psycopg'] = None; from wan_cli.__main__ import run; run()"
    ran = subprocess.run(
        [sys.executable, "-c", script, *command.split(), "--queue", "postgresql://h/d"], cwd=tmp_path, check=False,
        env={**os.environ, "HOME": str(tmp_path), "WAN_STATE_DIR": str(tmp_path), "RIVYA_API_KEY": "k"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True,
    )  # fmt: skip
    assert (ran.returncode, "psycopg[binary]" in ran.stderr) == (3, True), ran.stderr


def test_a_copy_of_a_manifests_folder(queue: Queue) -> None:
    """A folder that was copied has its mark copied: 2 with what to remove, after which it is another manifest."""
    assets(queue.cli, one("fox", provider="rivya"))
    assert queue.render("--no-wait").code == 0
    copy = queue.cli.root / "copy"
    shutil.copytree(queue.cli.cwd, copy)
    (copy / "assets.lock").unlink()
    ran = queue.render("--no-wait", cwd=copy)
    assert (ran.code, f"rm {copy / '.assets.queue'}" in ran.err) == (2, True), ran.err
    (copy / ".assets.queue").unlink()
    assert queue.render("--no-wait", cwd=copy).code == 0
    assert len(queue.states()) == 2
    (copy / ".assets.queue").write_text("{")
    assert queue.render("--no-wait", cwd=copy).code == 3


def test_databases_that_are_not_ours(queue: Queue) -> None:
    """Another program's schema, another Procrastinate's tables and a newer wan's are 3, and nothing is changed."""
    assets(queue.cli, one("fox", provider="rivya"))
    queue.server.ask("CREATE SCHEMA wan_queue; CREATE TABLE wan_queue.procrastinate_jobs (id int)")
    ran = queue.render()
    assert (ran.code, "no queue of wan" in ran.err) == (3, True), ran.err
    queue.server.ask("INSERT INTO wan.line VALUES ('99.00.00_01_pre_future')")
    ran = queue.work()
    assert (ran.code, "DROP SCHEMA wan_queue" in ran.err) == (3, True), ran.err
    queue.server.ask("UPDATE wan.about SET version = 99")
    assert (queue.work().code, queue.render().code) == (3, 3)
    assert queue.provider.seen == []


def test_workers_of_two_versions(queue: Queue) -> None:
    """A worker does not work beside a living one of another wan: 3; beside a dead one it does."""
    assets(queue.cli, one("fox", provider="rivya"))
    assert queue.render("--no-wait").code == 0
    queue.server.ask("INSERT INTO wan.worker VALUES ('w', 'far', 7, '', extract(epoch FROM clock_timestamp()))")
    queue.server.ask("INSERT INTO wan.crew VALUES ('w', '0.0.1', 8)")
    for ran in (queue.work(), queue.render()):
        assert (ran.code, "pip install 'wan-cli==0.0.1'" in ran.err) == (3, True), ran.err
    (worker,) = queue.status()["queue"]["workers"]
    assert (worker["state"], worker["host"], worker["wan"]) == ("alive", "far", "0.0.1")
    queue.server.ask("UPDATE wan.worker SET seen = seen - 61 WHERE id = 'w'")
    assert queue.work().code == 0
    assert queue.provider.purchases == 1
    assert __version__ != "0.0.1"


def test_a_role_without_rights(queue: Queue) -> None:
    """A role that may make no schema is 3 with what its administrator types."""
    queue.server.ask("DROP ROLE IF EXISTS poor; CREATE ROLE poor LOGIN")
    assets(queue.cli, one("fox", provider="rivya"))
    url = queue.server.url.replace("wan@", "poor@")
    ran = queue.cli.run(*RENDER, "--queue", url)
    assert (ran.code, "permission denied" in ran.err) == (3, True), ran.err


def test_what_a_person_sees(queue: Queue) -> None:
    """``wan status --queue`` says what waits, for which manifest, and that nobody works."""
    assets(queue.cli, one("fox", provider="rivya"))
    assert queue.render("--no-wait").code == 0
    ran = queue.cli.run("status", "--queue", queue.server.url)
    assert "1 wait for rivya" in ran.err
    assert str(queue.cli.cwd / "assets.toml") in ran.err
    assert "no worker is at work" in ran.err
    assert json.loads(json.dumps(queue.status()))["queue"]["waiting"] == 1


def test_results_that_were_removed_are_collected_again(queue: Queue) -> None:
    """Where lock and files are gone, what was bought is collected once more by a worker, and not bought again."""
    assets(queue.cli, one("fox", provider="rivya"))
    for _ in range(2):
        assert queue.render("--no-wait").code == 0
        assert queue.work().code == 0
        assert (queue.cli.cwd / "fox.png").exists()
        (queue.cli.cwd / "fox.png").unlink()
        (queue.cli.cwd / "assets.lock").unlink(missing_ok=True)
    assert queue.provider.purchases == 1


def test_a_folder_that_was_renamed(queue: Queue) -> None:
    """A folder that has another path is refused while anything of it is queued under the old one, and then goes on."""
    assets(queue.cli, one("fox", provider="rivya"))
    assert queue.render("--no-wait").code == 0
    new = queue.cli.root / "new"
    queue.cli.cwd.rename(new)
    ran = queue.render("--no-wait", cwd=new)
    assert (ran.code, "not done yet" in ran.err) == (2, True), ran.err
    new.rename(queue.cli.cwd)
    assert queue.work().code == 0
    assert queue.render().code == 0
    queue.cli.cwd.rename(new)
    assert queue.render("--no-wait", cwd=new).code == 0
    assert queue.provider.purchases == 1


@pytest.mark.parametrize(
    ("doubted", "said", "charged"),
    [
        ([], "nothing was being sent", "no"),
        (["a"], "what became of a purchase that was being sent is not known", "unknown"),
        (["a", "b"], "of 2 purchases that were being sent is not known", "unknown"),
    ],
)
def test_a_second_signal_says_what_it_left(doubted: list[str], said: str, charged: str) -> None:
    """What a worker that was cut short says is true of what it had in hand."""
    from wan_cli.cli.queued.worker import _cut_short

    error = _cut_short(doubted, 15)
    assert said in error.message
    assert (error.charged, error.exit_code) == (charged, 143)
