"""Markdown for a job's summary: a headline, failures with what to do, a table. No picture: summaries show none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from wan_cli.pattern import pattern
from wan_cli.text import one_line
from wan_cli.ui.messages import hint_for

if TYPE_CHECKING:
    from wan_cli.ui.report.rows import Line, Report

MOST_BYTES = 900 * 1024
"""A step's summary takes 1 MiB (docs.github.com, "Adding a job summary"); this leaves room for others."""
MOST_FAILURES = 50
"""Failures that are told above the table; the table has them all."""
ALL_ROWS = 50
"""Assets of a manifest above which those that are up to date are counted and not listed."""
_MARKED = pattern(r"([\\`*_{}\[\]()#+!|<>~@&$-])")
_LINKS = pattern(r"(?<=:)/(?=/)|(?<=www)\.", re.IGNORECASE)


def markdown(report: Report, room: int = MOST_BYTES) -> str:
    """Return the report as GitHub's Markdown, cut with a note where it would be larger than ``room`` bytes."""
    if report.sandbox:
        money = "Sandbox: nothing was bought."
    else:
        money = f"Spent: {_plain(report.spent)}" if report.what == "render" else ""
    text = f"## {_plain(report.manifest)}: {_plain(report.headline)}\n\n" + (f"{money}\n\n" if money else "")
    wrong = [line for line in report.sorted if line.error]
    text += "".join(map(_failure, wrong[:MOST_FAILURES])) + ("\n" if wrong else "")
    rows = [line for line in report.sorted if line.ending != "current" or len(report.lines) <= ALL_ROWS]
    if not rows:
        return text
    text += "| asset | | made by | seed | cost | file |\n|---|---|---|---|---|---|\n"
    size, parts = len(text.encode()), [text]
    for place, line in enumerate(rows):
        row = _row(line)
        size += len(row.encode())
        if size > room:
            return "".join(parts) + f"\n… and {len(rows) - place:,} more\n"
        parts.append(row)
    return "".join(parts)


def _failure(line: Line) -> str:
    if line.error is None:
        return ""
    where = f" ({_plain(line.where)})" if line.where else ""
    said = f"- **{_plain(line.id)}**{where}: {_plain(line.error.message)}\n"
    return said + f"  - charged: {line.error.charged} · {_plain(hint_for(line.error))}\n"


def _row(line: Line) -> str:
    what = line.ending + (f": {line.why}" if line.why else "")
    paths = ", ".join(shot.path for shot in line.shots)
    cells = (line.id, what, line.made_by, "" if line.seed is None else str(line.seed), line.price, paths)
    return "| " + " | ".join(map(_plain, cells)) + " |\n"


def _plain(text: str) -> str:
    """Return text that Markdown takes for nothing but text: no markup, no HTML, no address that becomes a link."""
    unlinked = _LINKS.sub(lambda found: f"\0{ord(found[0])}\0", one_line(text, 300))
    marked = _MARKED.sub(r"\\\1", unlinked).replace("::", ":&#58;")
    return re.sub(r"\0(\d+)\0", r"&#\1;", marked)
