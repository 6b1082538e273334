"""``wan render``: reads, plans, asks the gate, runs, reports, and says how it ended."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, cast

from wan_cli import spend
from wan_cli.cli.consent import asker, limits_of
from wan_cli.cli.earlier import tell_of_earlier
from wan_cli.cli.hints import settle
from wan_cli.cli.outcome import Wish
from wan_cli.cli.queued.marks import identify
from wan_cli.cli.queued.standing import ready
from wan_cli.cli.rendering import telling, tidying
from wan_cli.cli.rendering.asking import Quote, Reader
from wan_cli.cli.rendering.books import Books, follow_ledger, scope_of
from wan_cli.cli.rendering.both import Both
from wan_cli.cli.rendering.endings import decisive, settled
from wan_cli.cli.rendering.flags import check_flags, shard_of
from wan_cli.cli.rendering.lined import IN_LINE, lined, queue_of
from wan_cli.cli.rendering.onward import part, typed
from wan_cli.cli.rendering.stored import check_home, home_of, moved, sight_of
from wan_cli.cli.rendering.works import Works
from wan_cli.cli.run import Session, seconds
from wan_cli.dataclass import dataclass, replace
from wan_cli.errors import OverBudget, UsageError, WanError
from wan_cli.lock import Entry, Lock, Shard
from wan_cli.manifest import Manifest, read
from wan_cli.render.holding import refuse_pointers
from wan_cli.render.moving import move
from wan_cli.render.places import Places
from wan_cli.render.plan import MAKES, Item, Plan, Wanted, chosen, plan
from wan_cli.render.run import Result, Run
from wan_cli.render.sight import Sight

if TYPE_CHECKING:
    from wan_cli.cli.commands.render import Rendering
    from wan_cli.cli.context import App
    from wan_cli.engine import Engine
    from wan_cli.ledger import Ledger
    from wan_cli.ledger.postgres.roster import Place
    from wan_cli.models import Task

IN_HAND = 16
"""Assets in the works at the same time where nobody says; most of them wait for their provider."""


@dataclass(frozen=True, kw_only=True)
class Call:
    """One call of ``wan render``: what it reads, and what it holds that against."""

    app: App
    options: Rendering
    manifest: Manifest
    lock: Lock
    sight: Sight
    wanted: Wanted
    places: Places
    """Where the results of each asset go."""
    place: Place | None = None
    """What the manifest is called in the queue, where there is one."""

    @property
    def scope(self) -> str:
        """Return whose purchases these are in the ledger."""
        if self.app.queue is None:
            return scope_of(self.lock.path)
        return f"queue|{self.place.mark if self.place else ''}"

    def plan(self) -> Plan:
        """Hold the manifest against lock and disk."""
        planned = plan(
            self.manifest, self.lock.entries, self.sight, self.wanted, places=self.places, rehearsed=self._rehearsed()
        )
        self.sight.remember()
        return planned

    def _rehearsed(self) -> Mapping[str, Entry]:
        """Return the sandbox's lock beside the real one: its pictures never count, and may be replaced."""
        path = lock_path(self.manifest.path, sandbox=True)
        if self.app.sandbox or not path.exists():
            return {}
        try:
            return Lock(path).entries
        except WanError:  # it is nobody's truth
            return {}


def render(app: App, name: str | None, options: Rendering) -> int:
    """Run ``wan render``."""
    if options.schema:
        return telling.print_schema(app)
    if options.merge:
        return tidying.merge_locks(app, *map(Path, options.merge))
    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    check_flags(options)
    app.queue = queue_of(app, options)
    telling.check_reports(app, options.report or ())
    if name is None:
        raise UsageError("MANIFEST is missing", hint="wan render assets.toml")
    call = _call(app, name, options)
    if options.accept or options.prune:
        return tidying.tidy(app, call.manifest, call.lock, call.sight, options, call.plan)
    if options.check:
        planned = call.plan()
        telling.warn_of_later(app, call.manifest, planned.items, call.sight, call.wanted)
        return telling.check(app, call.manifest, planned, options.report or ())
    with nullcontext() if options.plan else call.lock:
        return _rendered(call)


def _call(app: App, name: str, options: Rendering) -> Call:
    path = app.cwd / name
    bare = read(path, None if options.root is None else app.cwd / options.root)
    home = home_of(options)
    manifest = replace(bare, typed=typed(app, path, options.root, home), part=part(options), home=home)
    (places := Places(manifest)).all()
    if app.queue is not None:
        ready(app)  # what is wrong with the queue is told before anything else is done
    wanted = Wanted(
        only=options.only or (), force=options.force, again=options.again and options.count is None,
        shard=shard_of(options.shard), inputs_only=options.inputs_only,
    )  # fmt: skip
    lock = _lock(lock_path(path, sandbox=app.sandbox), wanted.shard)
    if not options.inputs_only:
        check_home(manifest, lock.entries)
    return Call(
        app=app, options=options, manifest=manifest, lock=lock, wanted=wanted, places=places,
        sight=sight_of(manifest, _memory(app, path), int(app.now() * 1e9), inputs_only=options.inputs_only),
        place=None if app.queue is None else identify(manifest, make=not options.plan),
    )  # fmt: skip


def _rendered(call: Call) -> int:
    """Plan, and render what the gate lets pass; with ``--plan`` only tell. The lock is held, but for that."""
    app, options, manifest = call.app, call.options, call.manifest
    mine = chosen(manifest, call.wanted) if call.wanted.shard else None
    held = not options.plan and call.place is None  # what is queued may be made before this run comes to it again
    unsent = follow_ledger(call.lock, lambda: app.ledger, held=held, only=mine, scope=call.scope)
    planned = call.plan()
    reader = Reader(app=app, manifest=manifest, tell=_once(app.talk), used=_used(manifest))
    if options.count is not None:
        from wan_cli.cli.rendering.takes import Choice

        return Choice(call=call, planned=planned, reader=reader, number=options.count).render()
    telling.warn_of_later(app, manifest, planned.items, call.sight, call.wanted)
    telling.warn_of_alike(app, manifest, (item.asset for item in planned.items if "--again" in item.why))
    refuse_pointers(manifest, {item.asset.id: item for item in planned.items}, call.sight)
    quotes = _quotes(planned, reader)
    lines = [line for quote in quotes.values() for line in quote.dearest]
    limit_of(call)  # refused now rather than after the plan
    if options.plan:
        return telling.show_plan(app, manifest, planned, quotes, lines, options.report or (), over=_over(call, lines))
    pass_gate(app, options, lines)
    if not manifest.home:
        planned = move(planned, manifest.root, call.lock, call.sight)
    elif moved(manifest, planned, call.lock, call.sight):
        planned = call.plan()
    return _run(call, planned, reader, quotes, lines, Books(lock=call.lock, scope=call.scope, unsent=unsent))


def lock_path(manifest: Path, *, sandbox: bool) -> Path:
    """Return where the lock of a manifest is: ``assets.lock`` beside ``assets.toml``."""
    return manifest.with_name(f"{manifest.stem}{'.sandbox' if sandbox else ''}.lock")


def _lock(path: Path, shard: tuple[int, int] | None) -> Lock:
    """Return the lock: one part of several works beside the others, each with its own journal."""
    return Lock(path) if shard is None else Shard(path, shard)


def _memory(app: App, path: Path) -> Path:
    import hashlib

    return app.state / "seen" / f"{hashlib.sha256(str(path).encode('utf-8', 'surrogateescape')).hexdigest()[:24]}.json"


def _once(say: Callable[[str], None]) -> Callable[[str], None]:
    """Return a way to say each line once."""
    told: set[str] = set()

    def tell(line: str) -> None:
        if line not in told:
            told.add(line)
            say(line)

    return tell


def _used(manifest: Manifest) -> frozenset[str]:
    return frozenset(need for asset in manifest.assets.values() for need in asset.needs)


def _quotes(planned: Plan, reader: Reader) -> dict[str, Quote]:
    """Read every asset that would be bought as its verb would: all that is wrong is found before anything is sent."""
    paths = {
        item.asset.id: [made.path for made in item.entry.files]
        for item in planned.of("current", "edited", "moved") if item.entry and item.asset.id in reader.used
    }  # fmt: skip
    quotes: dict[str, Quote] = {}
    for item in planned.items:
        pinned = item.entry.pinned if item.entry else None
        if item.status in MAKES or (item.status == "open" and item.asked):
            quotes[item.asset.id] = reader.quote(item.asset, paths, pinned=pinned)
        elif item.status == "open" and item.entry and (rest := _rest(item)):
            quote = reader.quote(item.asset, paths, pinned=pinned)
            quotes[item.asset.id] = quote.part(rest)
    return quotes


def _rest(item: Item) -> int:
    """Return how many purchases of an asset are still to be made beside those under way."""
    flights = item.entry.open if item.entry else ()
    same = [flight for flight in flights if flight.request == item.asset.request]
    return max(0, same[0].of - len(same)) if same and len(same) == len(flights) else 0


def pass_gate(app: App, options: Rendering, lines: Sequence[spend.Line]) -> None:
    """Let the purchases pass the one gate. Raises what it refuses with."""
    limits = limits_of(app, options, yes=options.yes, max_results=options.max_results)
    spend.check_units(lines, limits)
    spend.check(lines, limits, ask=asker(app))


def _over(call: Call, lines: Sequence[spend.Line]) -> WanError | None:
    """Return what the gate would refuse the plan with; a plan needs nobody's consent. Raises ``UsageError``."""
    limits = limits_of(call.app, call.options, yes=True, max_results=call.options.max_results)
    spend.check_units(lines, limits)
    try:
        spend.check(lines, limits, ask=None)
    except OverBudget as error:
        settle(error, call.app.words, command=call.app.command, sandbox=call.app.sandbox)
        return error
    return None


def limit_of(call: Call) -> float | None:
    """Return how long a task is waited for, in seconds."""
    timeout = call.app.config.get("timeout") if call.options.timeout is None else call.options.timeout
    return seconds(timeout) if timeout else None


def session_of(call: Call) -> Session:
    """Return what runs the engine."""
    options = call.options
    return Session(app=call.app, quiet=options.quiet, jsonl=options.jsonl, verbose=options.verbose)


def _provider(item: Item, quotes: Mapping[str, Quote]) -> str:
    """Return who makes an item, as far as is known before it is made."""
    if item.status == "open" and item.entry:
        return item.entry.open[0].provider
    quote = quotes.get(item.asset.id)
    return quote.model.provider if quote else ""


def _run(
    call: Call, planned: Plan, reader: Reader, quotes: Mapping[str, Quote], lines: Sequence[spend.Line], books: Books
) -> int:  # fmt: skip
    app, options, manifest = call.app, call.options, call.manifest
    session, limit = session_of(call), limit_of(call)
    session.load = telling.workload(app, manifest, planned, lines, books.asset_of)
    results: dict[str, Result] = {}
    before = telling.pictures_before(manifest, planned.of("stale"), options.report or ())
    tell_of_earlier(app)
    app.buying, begun = True, app.now()

    async def work(engine: Engine) -> list[Task]:
        engine.ledger = cast("Ledger", Both(engine.ledger, books))
        engine.submits = options.jobs or engine.submits
        place = call.place
        works = Works(
            app=app, manifest=manifest, books=books, sight=call.sight, engine=engine, reader=reader,
            places=call.places, limit=limit, halted=lambda: run.halted, shared=place is not None,
            wish=lambda: Wish(wait=options.wait, signal=session.signal, queued=place is not None),
            batch=f"queue-{place.mark}" if place else secrets.token_hex(8),
        )  # fmt: skip
        engine.hold_back = works.hold_back
        width = app.config.get("jobs") or IN_HAND if place is None else IN_LINE
        run = Run(
            items=planned.items, make=works.make, jobs=options.jobs or width,
            fail_fast=not options.keep_going, results=results, lane=lambda item: _provider(item, quotes),
            done=telling.Ended(app=app, manifest=manifest, reporter=session.reporter),
        )  # fmt: skip
        if place is None:
            await run.all()
        else:
            async with lined(app, manifest, place, engine, books, works.hold_back, planned.items) as works.engine:
                await run.all()
        return []

    session.run(work)
    call.sight.remember(int(app.now() * 1e9))
    error: WanError | None = decisive(manifest, planned.items, results, wait=options.wait, signal=session.signal)
    settled(manifest, results, error, sandbox=app.sandbox, queue=app.queue)
    return telling.conclude(app, options, manifest, planned, results, before, error, since=begun)
