"""The visit: everything is looked at, whatever else is broken; then it is mended where that was asked for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.cli.doctor import gateway, network, setup, state, work
from wan_cli.cli.doctor.finding import Finding, fine, skipped, verdict, wrong
from wan_cli.errors import ConfigInvalid, SetupError, StateUnusable, WanError
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.commands.doctor import Examining
    from wan_cli.cli.context import App
    from wan_cli.ledger.repair import Repair


def doctor(app: App, options: Examining) -> int:
    """Print a finding for each thing that a purchase depends on; 3 when one of them stops purchases."""
    broken = _settled(app, options)
    gateway.check_call(options)
    found = [*_examined(app, options, broken)]
    error = verdict(found)
    code = error.exit_code if error else 0
    if app.say_json == "json":
        app.emit([], error, code, doctor=[finding.row() for finding in found])
    else:
        from wan_cli.cli.doctor.showing import show

        show(found, app.streams)
    if error is not None:
        from wan_cli.ui.messages import say_error

        say_error(app.streams, error)
    return code


def _settled(app: App, options: Examining) -> WanError | None:
    """Take the flags; a configuration that cannot be read is returned as the error it is, and left out."""
    try:
        app.use(sandbox=options.sandbox, quiet=options.quiet)
    except ConfigInvalid as error:
        from wan_cli.config import Config

        app.__dict__["config"] = Config(env={**app.env, "WAN_SANDBOX": ""})
        app.sandbox, app.quiet = options.sandbox, options.quiet
        return error
    except SetupError as error:
        return error
    finally:
        if options.verbose:
            from wan_cli.cli.run import Session

            Session(app=app, verbose=True).show_requests()
    return None


def _examined(app: App, options: Examining, broken: WanError | None) -> Iterator[Finding]:
    yield from setup.config_files(app, broken)
    found, usable = setup.accounts(app, offline=options.offline)
    yield from found
    yield from setup.defaults(app, usable)
    yield from setup.proxies(app)
    yield from setup.certificates(app)
    if app.sandbox:
        yield skipped("network", "all providers", "the sandbox needs none")
        yield skipped("clock", "this machine", "not compared: the sandbox has the same")
    elif options.offline:
        yield skipped("network", "all providers", "not asked, because of --offline")
        yield skipped("clock", "this machine", "not compared, because of --offline")
    elif usable:
        yield from network.reach(app, usable)
    else:
        yield skipped("clock", "this machine", "not compared: there is no provider to ask")
    try:
        place = app.state
    except StateUnusable as error:
        yield wrong("state", "state folder", error.message, error.hint)
        return
    yield from gateway.gateway(app, options, usable)
    if options.repair:
        yield from _mended(app, place)
    yield from _stored(app, place)


def _stored(app: App, place: Path) -> Iterator[Finding]:
    from wan_cli.ledger.checkup import check

    try:
        yield from state.folder(app, place)
        seen = check(place)
        yield from state.ledger(app, seen)
        yield from work.tasks(seen.tasks, app.now())
        yield from state.leftovers(app, place)
    except OSError as error:
        yield wrong(
            "state", str(place), f"it cannot be read: {one_line(str(error))}", "set WAN_STATE_DIR to a folder of yours"
        )


def _mended(app: App, place: Path) -> Iterator[Finding]:
    """Mend permissions, then the ledger; say what was done, and what could not be."""
    from wan_cli.ledger.folder import make_private
    from wan_cli.ledger.repair import repair

    try:
        if changed := make_private(place):
            yield fine("repair", str(place), f"made private: {', '.join(path.name for path in changed)}")
        done = repair(place, app.now)
    except OSError as error:
        yield wrong("repair", str(place), one_line(str(error)), "set WAN_STATE_DIR to a folder of yours")
    except StateUnusable as error:
        yield wrong("repair", str(place), error.message, error.hint)
    else:
        yield from _told(app, place, done)


def _told(app: App, place: Path, done: Repair | None) -> Iterator[Finding]:
    from wan_cli.cli.doctor.finding import warning

    subject = str(place / "ledger.db")
    if done is None:
        yield fine("repair", subject, "nothing to repair")
        return
    kept = ", ".join(path.name for path in done.kept) or "nothing"
    yield fine("repair", subject, f"repaired; tasks: {done.tasks}; the old files are kept: {kept}")
    if done.salvaged:
        yield fine("repair", subject, f"only the old database had {', '.join(done.salvaged)}")
    sandbox = " --sandbox" if app.sandbox else ""
    if done.bad_lines:
        lines = ", ".join(map(str, done.bad_lines))
        yield warning(
            "repair", subject, f"what line {lines} of the journal said may be missing", f"wan status{sandbox}"
        )
    for name in done.doubtful:
        yield warning(
            "repair", name, "it is not known whether it was sent, so it counts as sent", f"wan recover {name}{sandbox}"
        )
    if done.evidence_lost:
        yield warning(
            "repair",
            subject,
            "requests and answers of some attempts are gone with the old database",
            f"wan status{sandbox}",
        )
