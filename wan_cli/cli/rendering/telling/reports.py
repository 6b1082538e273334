"""``--report``: which files, checked before anything is bought, and written at the end."""

from __future__ import annotations

import os
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli import spend
from wan_cli.dataclass import replace
from wan_cli.errors import UsageError
from wan_cli.text import one_line
from wan_cli.ui.report import Line, Report, Shot
from wan_cli.whole import whole

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.manifest import Manifest
    from wan_cli.render.plan import Item

HTML = (".html", ".htm")
KINDS = (*HTML, ".md", ".xml")
MOST_PICTURES = 600
"""Thumbnails of one sheet: about 10 MB, and as many seconds as a person waits for a report."""
MOST_BEFORE = 200
"""Pictures of what is about to be replaced, which are kept in memory during the run."""
LARGE_UP_TO, LARGE, SMALL = 100, 480, 320
"""Thumbnails of a small sheet are sharp on dense screens too: pixels of the longer side."""


def check_reports(app: App, names: Sequence[str]) -> None:
    """Refuse, before anything is bought, a report of an unknown kind or in a place where nothing can be written."""
    for name in names:
        path = app.cwd / name
        if path.suffix.lower() not in KINDS:
            raise UsageError(
                f"--report {one_line(name)}: ends in .html, .md or .xml",
                hint="use --report out.html",
            )
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if path.is_dir():
                raise UsageError(f"--report {one_line(name)}: is a folder", hint="name a file in it")
            with tempfile.TemporaryFile(dir=path.parent):
                pass
        except OSError as error:
            raise UsageError(
                f"--report {one_line(name)}: cannot be written: {error.strerror}", hint=f"chmod u+w {path.parent}"
            ) from error


def _wants_pictures(names: Iterable[str]) -> bool:
    return any(Path(name).suffix.lower() in HTML for name in names)


def pictures_before(manifest: Manifest, items: Sequence[Item], names: Sequence[str]) -> dict[str, list[Shot]]:
    """Make small pictures of what is about to get another, for the contact sheet."""
    if not _wants_pictures(names):
        return {}
    stale = [item for item in items if item.entry][:MOST_BEFORE]
    paths = {item.asset.id: [made.path for made in item.entry.files] for item in stale if item.entry}
    shots = _looked_at(manifest.root, [path for each in paths.values() for path in each])
    return {name: [shots[path] for path in each if shots[path].size] for name, each in paths.items()}


def _looked_at(root: Path, paths: Sequence[str]) -> dict[str, Shot]:
    from wan_cli.media.thumbnail import thumbnail

    side = LARGE if len(paths) <= LARGE_UP_TO else SMALL

    def look(path: str) -> Shot:
        seen = thumbnail(root / path, side)
        try:
            size = (root / path).stat().st_size
        except OSError:
            size = 0
        return Shot(
            path=path, size=size, width=seen.width, height=seen.height, jpeg=seen.jpeg, duration_s=seen.duration_s
        )

    # Pillow decodes without holding the interpreter; what it thinks of a file is not worth a line on the terminal.
    with warnings.catch_warnings(), ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as hands:
        warnings.simplefilter("ignore")
        return dict(zip(paths, hands.map(look, paths), strict=True))


def _with_pictures(manifest: Manifest, lines: Sequence[Line]) -> list[Line]:
    """Look at the files that the sheet shows: those that need a look first, up to a bound."""
    from wan_cli.ui.report.contact import cards

    wanted = [shot.path for line in cards(lines) for shot in line.shots][:MOST_PICTURES]
    shots = _looked_at(manifest.root, list(dict.fromkeys(wanted)))
    return [replace(line, shots=[shots.get(shot.path, shot) for shot in line.shots]) for line in lines]


def write_reports(
    app: App, manifest: Manifest, lines: Sequence[Line], names: Sequence[str], *, what: str = "render",
    orphans: Sequence[str] = (),
) -> None:  # fmt: skip
    """Write each report that was asked for. One that cannot be written is a warning: the work is done."""
    if not names:
        return
    pictured = _with_pictures(manifest, lines) if _wants_pictures(names) else lines
    spent = spent_on(Counter((cost, line.unit) for line in lines for cost in line.paid))
    report = Report(
        manifest=manifest.path.name, at=time.strftime("%Y-%m-%d %H:%M %Z", time.localtime(app.now())), lines=pictured,
        spent=spent, sandbox=app.sandbox, orphans=orphans, what=what,
    )  # fmt: skip
    for name in dict.fromkeys(names):
        try:
            _write(app.cwd / name, _text(name, report))
        except OSError as error:
            app.streams.say(f"warning: {one_line(name)} could not be written: {error.strerror}")
    if any(Path(name).suffix.lower() == ".md" for name in names):
        _append_summary(app, report)


def spent_on(bought: Counter[tuple[float | None, str | None]]) -> str:
    """Return what this run bought, for people: amount and unit, and how often."""
    return spend.shown([
        spend.Line(number, None if cost is None else Decimal(str(cost)) * number, unit)
        for (cost, unit), number in bought.items()
    ])  # fmt: skip


def _text(name: str, report: Report) -> Iterable[str]:
    from wan_cli.ui.report.contact import contact_sheet
    from wan_cli.ui.report.junit import junit
    from wan_cli.ui.report.markdown import markdown

    kind = Path(name).suffix.lower()
    return contact_sheet(report) if kind in HTML else [markdown(report) if kind == ".md" else junit(report)]


def _write(path: Path, text: Iterable[str]) -> None:
    """Write the whole file or nothing: a CI system may read it at any time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole(path) as out:
        out.writelines(piece.encode() for piece in text)


def _append_summary(app: App, report: Report) -> None:
    """Append to the job's summary where there is one; what the step wrote before counts towards its limit."""
    from wan_cli.ui.report.markdown import MOST_BYTES, markdown

    if not (name := app.env.get("GITHUB_STEP_SUMMARY")):
        return
    try:
        with Path(name).open("a", encoding="utf-8", newline="\n") as out:
            out.write(markdown(report, max(0, MOST_BYTES - out.tell())))
    except OSError as error:
        app.streams.say(f"warning: the job's summary could not be written: {error.strerror}")
