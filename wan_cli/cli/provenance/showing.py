"""``wan inspect``: what made a file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wan_cli.cli.provenance.origin import Origin, look
from wan_cli.errors import FileInvalid, UsageError, WanError
from wan_cli.imprint import told
from wan_cli.text import one_line, safe_text
from wan_cli.ui.document import task_document, timestamp, typed_path
from wan_cli.ui.messages import say_error
from wan_cli.ui.tables import table

if TYPE_CHECKING:
    from wan_cli.cli.commands.inspect import Inspecting
    from wan_cli.cli.context import App

COLUMNS = ("file", "source", "provider", "model", "program", "size", "seed", "made", "task", "prompt")
"""What is shown of each file without a terminal, a row a file."""


def show(app: App, names: Sequence[str], options: Inspecting) -> int:
    """Say of each file what made it. One that nothing is known of is exit 2; the others are shown all the same."""
    app.use(sandbox=options.sandbox, quiet=options.quiet)
    if not names:
        raise UsageError("which FILE?", hint="wan inspect --help")
    seen, errors = _looked(app, names)
    found = [one for one in seen if one.source]
    code = errors[0].exit_code if errors else 0
    if app.say_json == "json":
        tasks = [
            {**task_document(one.task, cwd=str(app.cwd)), "source": one.source} for one in found if one.task is not None
        ]  # fmt: skip
        for fault in errors:
            say_error(app.streams, fault)
        return app.emit(tasks, errors[0] if errors else None, code, inspect=[row(app, one) for one in found])
    _table(app, [row(app, one) for one in found])
    for one in found:
        for note in one.notes:
            app.talk(f"{one_line(one.name)}: {one_line(note)}")
    for fault in errors:
        say_error(app.streams, fault)
    if options.preview and not options.quiet:
        from wan_cli.ui.preview import preview

        preview(app.streams, [str(one.path) for one in seen], cwd=str(app.cwd))
    return code


def _looked(app: App, names: Sequence[str]) -> tuple[list[Origin], list[WanError]]:
    """Look at every file; return what was found of those that can be read, and what is wrong with each that is."""
    seen: list[Origin] = []
    errors: list[WanError] = []
    for name in names:
        try:
            seen.append(look(app, name))
        except FileInvalid as error:
            errors.append(error)
        else:
            if not seen[-1].source:
                errors.append(_unknown(seen[-1]))
    return seen, errors


def _unknown(origin: Origin) -> WanError:
    notes = "".join(f"; {one_line(note)}" for note in origin.notes)
    return FileInvalid(
        f"nothing says what made {one_line(origin.name)}: neither ledger, lock and sidecar nor the file{notes}",
        hint="wan status",
    )


def row(app: App, one: Origin) -> dict[str, Any]:
    """Return what is known of a file as a flat object; what is not known is ``None``."""
    found: dict[str, Any] = {
        "file": one.name, "source": one.source, "where": typed_path(one.where, str(app.cwd)) or None,
        "sha256": one.sha256, "bytes": one.size, "mime": one.sniffed.mime, "width": one.sniffed.width,
        "height": one.sniffed.height, "provider": None, "model": None, "verb": None, "prompt": None, "negative": None,
        "size": None, "aspect": None, "seed": None, "made": None, "task": None, "sandbox": None, "references": None,
        "program": one.program, "digital_source_type": one.kind, "c2pa": one.signed, "notes": list(one.notes) or None,
    }  # fmt: skip
    return found | (_said_by_wan(one) if one.task else _said_by_others(one.said))


def _said_by_wan(one: Origin) -> dict[str, Any]:
    task = one.task
    assert task is not None  # noqa: S101 - the caller looked
    job = task.job
    names = [medium.file.name if medium.file else medium.url or "an address" for medium in job.media]
    return {
        "provider": task.provider, "model": job.model or None, "verb": job.verb, "prompt": told(job.prompt) or None,
        "negative": told(job.negative), "size": job.size, "aspect": job.aspect, "seed": job.seed,
        "made": timestamp(task.created_at), "task": task.name or None, "sandbox": task.sandbox,
        "references": names or None,
    }  # fmt: skip


def _said_by_others(said: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: said[name]
        for name in ("prompt", "negative", "seed", "size", "model", "steps", "sampler", "cfg")
        if name in said
    }


def _table(app: App, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a row a file; on a terminal a small table for each, of what is known."""
    if not app.streams.stdout_tty:
        table(rows, COLUMNS, app.streams)
        return
    for number, known in enumerate(rows):
        if number:
            app.streams.out("")
        shown = {name: value for name, value in known.items() if value not in (None, False) and name != "notes"}
        lines = [
            {"what": name, "is": safe_text(value) if isinstance(value, str) else value} for name, value in shown.items()
        ]
        table(lines, ("what", "is"), app.streams)
