"""``wan render -o s3://… --queue``: workers put the results into the store."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support_cli import Cli, picture
from support_store import Store
from test_cli_queue import Queue
from test_cli_render_stores import HOME, MANIFEST

if TYPE_CHECKING:
    from support_postgres import PostgresServer


def test_results_of_a_queue_go_to_a_store(live: Cli, postgres: PostgresServer, store: Store) -> None:
    """What needs a result from the store is refused before anything is queued; the rest is bought once, and there."""
    queue = Queue(live, postgres)
    live.write("assets.toml", MANIFEST)
    live.write("refs/logo.png", picture(512, 512))
    ran = queue.render("--no-wait", "-o", HOME)
    assert (ran.code, queue.states()) == (2, []), ran.err
    assert "poster uses @hero" in ran.err
    for _ in range(2):
        assert queue.render("--no-wait", "-o", HOME, "--only", "hero").code == 0
        assert queue.work().code == 0
    assert (queue.provider.purchases, list(store.objects)) == (1, ["game/art/hero.png"])
