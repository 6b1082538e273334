"""The four making verbs: words and options in; a checked, priced, durable purchase out."""

from __future__ import annotations

import hashlib
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli import naming, spend
from wan_cli.cli.aiming import keep_in_project
from wan_cli.cli.consent import asker, limits_of
from wan_cli.cli.converting import check_format
from wan_cli.cli.earlier import tell_of_earlier
from wan_cli.cli.embedding import embeds
from wan_cli.cli.lengths import seconds
from wan_cli.cli.order import Order, price_lines, read_order
from wan_cli.cli.outcome import Wish
from wan_cli.cli.storing import in_store, own_name, refuse_showing
from wan_cli.dataclass import dataclass, fields, replace
from wan_cli.errors import UsageError
from wan_cli.media import EXTENSIONS, film
from wan_cli.models import Cost, Done, Saved, Target, Task, Verb, Warned
from wan_cli.stores import Address, is_address
from wan_cli.targets import check_targets

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.options import Making
    from wan_cli.engine import Engine

UNKNOWN_EXTENSION = ".png"
"""What a name is tried with before the bytes are known, where the catalogue does not say what is delivered."""

KEY_LENGTH = 200
"""The longest idempotency key: providers in Stripe's manner take 255, and ``-n`` adds a number (reliability.md 4.6)."""


def make(app: App, verb: Verb, words: list[str], options: Making) -> int:
    """Run one making verb and return the exit code."""
    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    _check_flags(app, options)
    wish = Wish(wait=options.wait, download=not options.no_download, strict=options.strict)
    timeout = app.config.get("timeout") if options.timeout is None else options.timeout
    limit = seconds(timeout) if timeout else None
    if options.like is not None:
        from wan_cli.cli.provenance.like import with_like

        words, options = with_like(app, verb, words, options)
    order = read_order(app, verb, words, options)
    if options.poster:
        _check_poster(order)
    embed = embeds(app, order, said=options.embed, convert_to=options.output if options.convert else None)
    places = _place(app, options, order)
    if places.existing:
        return _skipped(app, places.existing)
    _gate(app, options, order)
    tasks = [replace(task, target=replace(task.target, embed=embed)) for task in _tasks(app, options, order, places)]
    if options.dry_run:
        from wan_cli.cli.dryrun import show

        return show(app, tasks, order.lines)
    return _buy(app, options, order, tasks, wish, limit)


def _buy(app: App, options: Making, order: Order, tasks: list[Task], wish: Wish, limit: float | None) -> int:
    """Write the tasks down, run them, and return the exit code. Here the engine is loaded: ``--dry-run`` needs none."""
    from wan_cli.cli.booking import durable
    from wan_cli.cli.failover import run_through
    from wan_cli.cli.run import Session

    app.secret(order.model.provider)
    tell_of_earlier(app)
    tasks = durable(app, options, tasks, order)
    session = Session(
        app=app, quiet=options.quiet, jsonl=options.jsonl, verbose=options.verbose, preview=options.preview
    )
    app.buying = True

    async def work(engine: Engine) -> list[Task]:
        for message in order.fitted.warnings:
            engine.tell(Warned(message=message))
        how = {"wait": wish.wait, "download": wish.download, "limit": limit}
        left = {task.id for task in tasks if task.trouble}  # another account's: not asked about with this key
        going = [run_through(app, engine, task, order.candidates[1:], **how) for task in tasks if task.id not in left]
        done = iter(await engine.gathered(going))
        return [task if task.id in left else next(done) for task in tasks]

    return session.conclude(session.run(work), wish)


def _check_flags(app: App, options: Making) -> None:
    for field in fields(options):
        if field.name != "prompt_text" and getattr(options, field.name) == "":
            raise UsageError(f"--{field.name.replace('_', '-')} is empty", hint=f"wan {app.command} --help")
    if options.json and options.jsonl:
        raise UsageError("--json and --jsonl exclude each other")
    if options.overwrite and options.skip_existing:
        raise UsageError("--overwrite and --skip-existing exclude each other")
    if options.output == "-":
        _check_stdout(app, options)
    if options.preview:
        refuse_showing(app.config.get("output") if options.output is None else options.output)
    key = options.idempotency_key
    if key is not None and not (len(key) <= KEY_LENGTH and key.isprintable() and key.isascii()):
        raise UsageError(f"--idempotency-key: 1 to {KEY_LENGTH} printable ASCII characters")


def _check_stdout(app: App, options: Making) -> None:
    """Refuse what cannot go together with ``-o -``."""
    if options.json or options.jsonl:
        raise UsageError("-o - writes the picture to standard output, so --json cannot be there", hint="use -o ./")
    if (options.count or 1) > 1:
        raise UsageError("-o - takes one result", hint="use -o ./")
    if options.no_download or not options.wait:
        raise UsageError("-o - needs the result here, so neither --no-wait nor --no-download")
    if app.streams.stdout_tty:
        raise UsageError("-o - would write picture bytes to the terminal", hint="use -o ./")
    if options.sidecar or options.poster or options.convert or options.skip_existing:
        raise UsageError("--sidecar, --poster, --convert and --skip-existing need a file's name, and -o - has none")


def _check_poster(order: Order) -> None:
    """Refuse ``--poster`` where it could not be written, before anything is bought."""
    if order.fitted.job.makes != "video":
        raise UsageError("--poster: only a video has one, and this makes a picture", hint="leave --poster out")
    film.require("--poster")


@dataclass(frozen=True, slots=True)
class _Places:
    plan: naming.Plan | None
    stamp: float
    existing: Sequence[Path | Address] = ()


def _place(app: App, options: Making, order: Order) -> _Places:
    """Resolve and check the targets; ``existing`` are those that --skip-existing keeps, when all are there."""
    stamp = app.now()
    if options.output == "-" or (options.no_download and options.output is None):
        return _Places(None, stamp)
    output = app.config.get("output") if options.output is None else options.output
    job, total = order.fitted.job, sum(line.results for line in order.lines)
    values = {
        "verb": job.verb, "seed": job.seed, "date": time.strftime("%Y-%m-%d", time.localtime(stamp)),
        "slug": naming.slug(job.prompt),
    }  # fmt: skip
    makers = [{"provider": one.model.provider, "model": one.model.name} for one in order.candidates]
    if len(makers) == 1:  # of several, who makes it is only known when it is made
        values |= makers[0]
    if is_address(output):
        placed = in_store(options, order, str(output), values, makers, _own_files(app, options))
        return _Places(placed.plan, stamp, placed.existing)
    plan = naming.plan(output, cwd=str(app.cwd), values=values, count=total)
    delivered = [EXTENSIONS[mime] for mime in order.model.formats]
    check_format(order, str(output), convert=options.convert)
    if options.convert and not plan.wanted_ext:
        raise UsageError("--convert: to which format? -o names none", hint="use -o {slug}-{id}.jpg")
    ext = plan.wanted_ext or (delivered or [UNKNOWN_EXTENSION])[0]
    if "id" not in naming.parse_template(plan.template):  # an id makes the name new
        own = _own_files(app, options)
        named = [path for maker in makers for path in naming.final_paths(plan.template, total, ext, values=maker)]
        paths = [path for path in dict.fromkeys(named) if str(path) not in own]
        keep_in_project(app, options.output, paths)
        if check_targets(paths, overwrite=options.overwrite, skip_existing=options.skip_existing) == "skip":
            return _Places(plan, stamp, paths)
        _check_beside(options, paths, own)
    elif options.skip_existing:
        raise UsageError("--skip-existing: a name with {id} never exists yet", hint="use -o {slug}{ext}")
    else:
        names = {"id": secrets.token_hex(6)}
        trial = [
            path for maker in makers for path in naming.final_paths(plan.template, total, ext, values=names | maker)
        ]
        keep_in_project(app, options.output, trial)
        check_targets(_apart(trial), overwrite=options.overwrite, skip_existing=False)
    return _Places(plan, stamp)


def _check_beside(options: Making, paths: Sequence[Path], own: frozenset[str]) -> None:
    """Refuse where a file of somebody has the name of a poster or a sidecar; an older sidecar is written anew."""
    if options.poster:
        posters = [poster for path in paths if str(poster := film.poster_path(path)) not in own]
        check_targets(posters, overwrite=options.overwrite, skip_existing=False)
    if options.sidecar:
        from wan_cli.engine.sidecar import sidecar_path, stranger

        for path in paths:
            if sidecar_path(path).is_dir():
                raise UsageError(f"--sidecar: {sidecar_path(path)} is a folder", hint="use -o ./")
            if stranger(path) and not options.overwrite:
                raise UsageError(f"--sidecar: {sidecar_path(path)} exists and is no sidecar", hint="add --overwrite")


def _own_files(app: App, options: Making) -> frozenset[str]:
    """Return what earlier calls under this idempotency key saved: the step that is retried finds it in place."""
    if options.idempotency_key is None or options.dry_run:
        return frozenset()
    states = [task.state for task in app.ledger.by_user_key(options.idempotency_key)]
    files = [file for state in states if isinstance(state, Done | Saved) for file in state.files]
    return frozenset(own_name(app, path) for file in files for path in (file.path, file.poster) if path)


def _apart(paths: list[Path]) -> list[Path]:
    """One path a folder: with an id in them the names cannot clash, and only the folders need a check."""
    return list({path.parent: path for path in paths}.values())


def _skipped(app: App, existing: Sequence[Path | Address]) -> int:
    """Say what is there already; nothing is bought."""
    from wan_cli.ui.document import typed_path

    names = [typed_path(str(path), str(app.cwd)) for path in existing]
    app.talk(f"nothing bought: {', '.join(names)} {'exists' if len(names) == 1 else 'exist'} already")
    if app.say_json == "json":
        return app.emit([], None, 0, skipped=names)
    if app.say_json == "jsonl":
        return app.summary([], None, 0)
    for name in names:
        app.streams.out(name)
    return 0


def _gate(app: App, options: Making, order: Order) -> None:
    limits = limits_of(app, options, yes=options.yes or options.dry_run, max_results=options.max_results)
    ask = asker(app)
    estimates = [price_lines(app, candidate, order.jobs) for candidate in order.candidates]
    spend.check_units([line for lines in estimates for line in lines], limits)
    for lines in estimates:  # the dearest of a list has to pass as well
        spend.check(lines, limits, ask=ask)


def _tasks(app: App, options: Making, order: Order, places: _Places) -> list[Task]:
    """Make the tasks of the call; nothing is stored or sent yet."""
    batch, target = secrets.token_hex(8), Target(template=places.plan.template if places.plan else None)
    target = replace(
        target,
        overwrite=options.overwrite,
        convert=options.convert,
        sidecar=options.sidecar,
        poster=options.poster,
        stdout=options.output == "-",
    )
    origin = app.provider(order.model.provider).origin
    tasks = []
    for item, (job, line) in enumerate(zip(order.jobs, order.lines, strict=True), start=1):
        key = options.idempotency_key
        token = f"wan-{secrets.token_hex(16)}" if key is None else _token(key, item)
        tasks.append(Task(
            id="", provider=order.model.provider, origin=origin, job=job, provider_model=order.model.id, token=token,
            target=target, created_at=places.stamp, sandbox=app.sandbox, user_key=key, fingerprint=order.fingerprint,
            batch=batch, item=item, siblings=len(order.jobs), warnings=order.fitted.warnings,
            cost=Cost(estimated=None if line.amount is None else float(line.amount), unit=line.unit),
        ))  # fmt: skip
    return tasks


def _token(key: str, item: int) -> str:
    """Return what the provider is sent as key: the user's own; for further tasks of ``-n`` one that nobody types.

    The user's ``k-2`` must not be the second task of ``k``: that would be taken for a purchase made already.
    """
    if item == 1:
        return key
    return f"wan-{hashlib.sha256(f'{item} {key}'.encode()).hexdigest()[:40]}"
