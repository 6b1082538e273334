"""A manifest that changes while its assets wait in a queue: what it no longer asks for is not bought."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support_cli import Cli
from support_render import assets, block, one
from test_cli_queue import Queue

if TYPE_CHECKING:
    from support_postgres import PostgresServer


@pytest.fixture
def queue(live: Cli, postgres: PostgresServer) -> Queue:
    """Return a queue that nothing was put in yet."""
    return Queue(live, postgres)


def test_what_was_edited_or_removed_before_it_was_sent_is_not_bought(queue: Queue) -> None:
    """The request of before leaves the queue, and so does an asset that the manifest has no more."""
    assets(queue.cli, one("fox", prompt="a red fox"), one("hen"), one("owl"))
    assert queue.render("--no-wait").code == 0
    assets(queue.cli, one("fox", prompt="a blue fox"), one("owl"))
    assert queue.render("--plan").code == 0
    assert queue.states() == ["planned"] * 3, "a plan changes nothing"
    assert queue.render("--no-wait").code == 0
    assert queue.states() == ["cancelled"] * 2 + ["planned"] * 2
    assert queue.work().code == 0
    assert queue.provider.purchases == 2
    assets(queue.cli, one("fox", prompt="a red fox"), one("owl"))
    assert queue.render("--no-wait").code == 13, "what was bought comes in first"
    assert queue.render("--no-wait").code == 0, "it is as it was at first: bought now"
    assert queue.work().code == 0
    assert queue.render().code == 0
    assert (queue.provider.purchases, len(queue.lines())) == (3, 0)


def test_what_a_worker_has_begun_is_collected_as_it_was(queue: Queue) -> None:
    """An edit that comes when a worker has the task already buys nothing beside it."""
    assets(queue.cli, one("fox", prompt="a red fox"))
    assert queue.render("--no-wait").code == 0
    queue.server.ask(
        "INSERT INTO wan.worker VALUES ('else', 'there', 1, '', extract(epoch FROM clock_timestamp()) + 60);"
        "UPDATE wan.task SET worker = 'else', fence = fence + 1"
    )
    assets(queue.cli, one("fox", prompt="a blue fox"))
    assert queue.render("--no-wait").code == 0
    assert queue.states() == ["planned"]
    assert [flight["state"] for flight in block(queue.cli, "fox")["open"]] == ["sending"]


def test_a_variable_that_is_not_set(live: Cli) -> None:
    """``--queue "$WAN_QUEUE"`` without that variable turns no command to this machine alone."""
    assets(live, one("fox"))
    for words in (("render", "assets.toml"), ("worker",), ("status",), ("recover",)):
        ran = live.run(*words, "--queue", "", env={"WAN_QUEUE": "postgresql://127.0.0.1:1/x"})
        assert (ran.code, live.provider.seen) == (2, []), ran.err
        assert "--queue is empty" in ran.err
