"""``--check``: one line a finding, without key or network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wan_cli.cli.rendering.telling.lines import planned_line
from wan_cli.cli.rendering.telling.marks import MOST_MARKS, mark, where
from wan_cli.cli.rendering.telling.reports import write_reports
from wan_cli.dataclass import replace
from wan_cli.errors import StaleAssets
from wan_cli.sandbox import MARK
from wan_cli.text import one_line
from wan_cli.ui.document import jsonl_line
from wan_cli.ui.jsonl import row_event
from wan_cli.ui.messages import say_error

if TYPE_CHECKING:
    from pathlib import Path

    from wan_cli.cli.context import App
    from wan_cli.manifest import Manifest
    from wan_cli.render.plan import Item, Plan

FINDINGS = ("stale", "missing", "edited", "open", "moved")
REASONS = {"open": "bought, not collected yet", "moved": "its file has another name"}
MOST_LINE = 2000
"""Characters of a finding's line."""
HEAD_BYTES = 4096
"""What the sandbox writes into a picture to mark it stands before its pixels."""


def check(app: App, manifest: Manifest, planned: Plan, reports: Sequence[str] = ()) -> int:
    """Print one line a finding, and exit 13 where there is one."""
    found = _findings(app, manifest, planned)
    error = None
    if found:
        error = StaleAssets(
            f"{manifest.path.name}: {len(found):,} of {len(planned.items):,} assets are not up to date",
            hint=_hint(manifest, [row for _, row in found]),
        )
    code = error.exit_code if error else 0
    if reports:
        _report(app, manifest, planned, {row["id"]: row for _, row in found}, reports)
    for item, row in found[:MOST_MARKS]:
        mark(app, manifest, item.asset, f"{row['status']}: {row['why']}")
    if app.say_json == "json":
        app.emit([], error, code, findings=[row for _, row in found], orphans=list(planned.orphans))
    elif app.say_json == "jsonl":
        for _, row in found:
            app.streams.out(jsonl_line(row_event("finding", row)))
        app.summary([], error, code)
    else:
        for item, row in found:
            said = f"{where(app, manifest, item.asset)}: {row['id']}: {row['status']}: {row['why']}"
            app.streams.out(one_line(said, MOST_LINE))
        for name in planned.orphans:
            app.talk(f"{one_line(name)}: no longer in the manifest; --prune removes it")
    if error:
        say_error(app.streams, error)
    return code


def _hint(manifest: Manifest, rows: Sequence[dict[str, Any]]) -> str:
    """Return the command that mends all of it: edited files are for a person to decide about."""
    if all(row["status"] == "edited" for row in rows):
        return manifest.command("--accept", rows[0]["id"], whole=True)
    return manifest.command()


def _findings(app: App, manifest: Manifest, planned: Plan) -> list[tuple[Item, dict[str, Any]]]:
    found = []
    for item in planned.items:
        drawn = not app.sandbox and _is_drawn(manifest, item)
        if item.status in FINDINGS or drawn:
            why = [f"{one_line(path)} was changed" for path in item.edited]
            why += item.why or ([REASONS[item.status]] if item.status in REASONS else [])
            if drawn:
                why.append("a sandbox picture is in its place")
            status = item.status if item.status in FINDINGS else "sandbox"
            row = {"id": item.asset.id, "status": status, "why": "; ".join(why), "line": item.asset.line or None}
            found.append((item, row))
    return found


def _is_drawn(manifest: Manifest, item: Item) -> bool:
    """Tell whether the sandbox drew a file of the asset: one that was changed, or recorded as somebody left it.

    The plan knows those in the sandbox's lock, which may not be committed; the mark is in the picture itself. What the
    lock took from a provider was never drawn here, so no other file is opened.
    """
    paths = list(item.edited)
    if not paths and item.entry and item.entry.accepted:
        paths = [made.path for made in item.entry.files]
    return any(_is_marked(manifest.root / path) for path in paths)


def _is_marked(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return MARK in file.read(HEAD_BYTES)
    except OSError:
        return False


def _report(
    app: App, manifest: Manifest, planned: Plan, rows: dict[str, dict[str, Any]], reports: Sequence[str]
) -> None:
    lines = []
    for item in planned.items:
        line = planned_line(app, manifest, item)
        if row := rows.get(item.asset.id):
            wrong = StaleAssets(row["why"] or row["status"], hint=_hint(manifest, [row]))
            line = replace(line, ending=row["status"], error=wrong)
        lines.append(line)
    write_reports(app, manifest, lines, reports, what="check", orphans=planned.orphans)
