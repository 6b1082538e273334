"""``wan worker``: what it can buy, its loop, and how it ends."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any, cast

from wan_cli import __version__
from wan_cli.cli.choose import known
from wan_cli.cli.queued.reporting import WorkerReporter
from wan_cli.cli.queued.standing import address_of, ready
from wan_cli.cli.run import Session
from wan_cli.errors import Interrupted, KeyMissing, UsageError, WanError
from wan_cli.registry import capabilities, names

if TYPE_CHECKING:
    from wan_cli.cli.commands.worker import Working
    from wan_cli.cli.context import App
    from wan_cli.cli.queued.hands import Hands
    from wan_cli.cli.queued.making import Served
    from wan_cli.engine import Engine
    from wan_cli.ledger.postgres.shared import SharedLedger
    from wan_cli.models import Event, Task

GRACE_S = {"SIGINT": 60.0, "SIGTERM": 25.0, "SIGHUP": 25.0}
"""Seconds a purchase under way may still take after a signal: Kubernetes kills 30 s after its SIGTERM."""


IN_HAND = 64
"""Tasks in hand at a time where nobody says; most of them wait for their provider."""


def work(app: App, options: Working) -> int:
    """Work on a queue until a signal comes, or it is empty. Return the exit code; 0 where it was drained."""
    app.use(sandbox=False, quiet=options.quiet)
    if app.sandbox:
        raise UsageError("WAN_SANDBOX is set, and a worker buys: its tasks are others'", hint="unset WAN_SANDBOX")
    app.queue = address_of(options.queue, app.env.get("WAN_QUEUE"))
    if not app.queue:
        raise UsageError("--queue is missing", hint="wan worker --queue postgresql://HOST/DATABASE")
    served = _served(app, options.provider or ())
    root = None if options.root is None else app.cwd / options.root
    if root is not None and not root.is_dir():
        raise UsageError(f"--root {root} is not a folder", hint="wan worker --help")
    ledger = ready(app)
    session = Session(
        app=app, quiet=options.quiet, jsonl=options.jsonl, verbose=options.verbose, grace=GRACE_S, beats=False,
    )  # fmt: skip
    session.speaker = lambda: WorkerReporter(app.streams, quiet=options.quiet, jsonl=options.jsonl)
    app.buying = True
    ended: list[WanError] = []

    async def loop(engine: Engine) -> list[Task]:
        hands = await _loop(app, engine, ledger, session, options, served, root)
        if engine.abandon.is_set() and session.signal:
            ended.append(_cut_short(hands.doubted, session.signal))
        elif hands.error is not None:
            ended.append(hands.error)
        return []

    session.run(loop)
    if ended:
        raise ended[0]
    return app.summary([], None, 0) if options.jsonl else 0


async def _loop(
    app: App, engine: Engine, ledger: SharedLedger, session: Session, options: Working, served: dict[str, Served],
    root: Any,
) -> Hands:  # fmt: skip
    from wan_cli.cli.queued.folders import Folders, Moving
    from wan_cli.cli.queued.hands import Hands
    from wan_cli.cli.queued.making import Making
    from wan_cli.ledger.postgres.line import Line
    from wan_cli.ledger.postgres.roster import Roster

    reporter = cast("WorkerReporter", session.reporter)
    roster, folders, jobs = Roster(ledger), Folders(root=root), options.jobs or IN_HAND
    engine.submits = options.jobs or engine.submits
    async with Line(ledger, app.queue or "", durable=False) as line:
        moving = Moving(ledger, lambda task: hands.roots(task))  # noqa: PLW0108 - it is made below
        making = Making(
            engine=engine, ledger=moving, line=line, folders=folders, served=served, say=reporter.tell,
            monotonic=engine.monotonic,
        )  # fmt: skip
        hands = Hands(
            making=making, ledger=ledger, roster=roster, folders=folders, jobs=jobs,
            until_empty=options.until_empty,
        )  # fmt: skip

        def heard(event: Event) -> None:
            hands.heard(event)
            reporter(event)

        engine.ledger, engine.report = cast("Any", moving), heard
        engine.hold_back = making.hold_back
        roster.sign_on(__version__, jobs)
        await line.beat()
        words = ", ".join(served)
        reporter.tell("started", f"worker {ledger.worker} at {ledger.name}: {jobs} at a time, {words}",
                      worker=ledger.worker, providers=[*served])  # fmt: skip
        await hands.run()
        reporter.tell("ended", f"worker {ledger.worker} has ended", worker=ledger.worker)
    return hands


def _cut_short(doubted: Collection[str], number: int) -> Interrupted:
    """Say what a second signal left behind: the tasks in hand are given back, what was being sent may be bought."""
    if not doubted:
        said = "ended at once; nothing was being sent, and its tasks are taken up by the next worker"
        return Interrupted(said, hint="wan status --queue URL", charged="no", exit_code=128 + number)
    what = "a purchase that was being sent" if len(doubted) == 1 else f"{len(doubted):,} purchases that were being sent"
    said, hint = f"ended at once; what became of {what} is not known", "wan recover --queue URL"
    return Interrupted(said, hint=hint, charged="unknown", exit_code=128 + number)


def _served(app: App, wanted: Sequence[str]) -> dict[str, Served]:
    """Return the providers that this worker has keys for; those that are named have to have one."""
    from wan_cli.cli.queued.making import Served

    listed = [name.strip() for words in wanted for name in words.split(",")]
    named = [known(name) for name in listed] or [name for name in names() if app.has_key(name)]
    if not named:
        variables = ", ".join(capabilities(name).key_env for name in names())
        raise KeyMissing(f"no key is set: {variables}", hint=f"export {capabilities(names()[0]).key_env}=YOUR_KEY")
    return {
        name: Served(name=name, origin=app.provider(name).origin, key_print=app.key_print(name)) for name in named
    }  # fmt: skip
