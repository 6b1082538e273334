"""The contact sheet: one HTML file that needs no network, runs no script, and shows prompts as text.

Its content security policy forbids everything but pictures inside the file and the one style whose hash it names
(w3.org/TR/CSP3), so that nothing in a prompt or a message can do anything.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Sequence
from html import escape
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING

from wan_cli.text import one_line, safe_text
from wan_cli.ui.messages import hint_for
from wan_cli.ui.report.rows import UNSETTLED, WORDS, in_order
from wan_cli.ui.report.wordwise import compared

if TYPE_CHECKING:
    from collections.abc import Mapping

    from wan_cli.ui.report.rows import Change, Line, Report, Shot

MOST_CARDS = 1000
"""Assets that get a card; the rest stand in a table, so that a browser opens a sheet of ten thousand at once."""
CURRENT_CARDS = 300
"""Assets of a manifest above which those that are up to date are told in the table only."""
LONG_PROMPT = 320
"""Characters of a prompt above which it is folded."""
_GROUPS = {"look": "To look at", "made": "Made", "current": "Up to date"}


def contact_sheet(report: Report) -> Iterator[str]:
    """Yield the page in parts."""
    shown = cards(report.lines)
    ids = {line.id for line in shown}
    yield from _head(report)
    yield "<main>\n"
    for group, members in groupby(shown, key=_group):
        each = list(members)
        yield f'<section id="{group}" class="{group}"><h2>{_GROUPS[group]} <span>{len(each):,}</span></h2>\n'
        yield '<div class="sheet">\n'
        yield from map(_card, each)
        yield "</div></section>\n"
    yield from _table([line for line in in_order(report.lines) if line.id not in ids])
    if report.orphans:
        named = ", ".join(map(_text, report.orphans[:MOST_CARDS]))
        yield f"<section><h2>No longer in the manifest <span>{len(report.orphans):,}</span></h2>"
        yield f"<p>{named}</p></section>\n"
    yield "</main>\n</body>\n</html>\n"


def cards(lines: Sequence[Line]) -> list[Line]:
    """Return the assets that get a card, in order; of many, those that are up to date get none."""
    kept = [line for line in in_order(lines) if _group(line) != "current" or len(lines) <= CURRENT_CARDS]
    return kept[:MOST_CARDS]


def _group(line: Line) -> str:
    if line.error or line.ending in UNSETTLED:
        return "look"
    return "current" if line.ending == "current" else "made"


def _head(report: Report) -> Iterator[str]:
    style = (files("wan_cli.ui.report") / "contact.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    policy = f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    yield '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
    yield f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">\n'
    yield '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
    yield '<meta name="color-scheme" content="light dark">\n<meta name="referrer" content="no-referrer">\n'
    yield '<link rel="icon" href="data:,">\n'  # else a server is asked for /favicon.ico
    yield f"<title>{_text(report.manifest)}: {_text(report.headline)}</title>\n"
    yield f"<style>{style}</style>\n</head>\n<body>\n"
    by_word = {word: ending for ending, word in WORDS.items()}
    chips = "".join(
        f'<li class="{escape(by_word.get(word, "failed"), quote=True)}"><b>{number:,}</b> {_text(word)}</li>'
        for word, number in report.counts
    )
    warned = '<p class="sandbox">Sandbox: nothing here was bought, and nothing here is final.</p>'
    spent = "" if report.sandbox or report.what != "render" else f"Spent <b>{_text(report.spent)}</b> · "
    yield f"<header><h1>{_text(report.manifest)}</h1><ul>{chips}</ul>"
    yield f"<p>{spent}{_text(report.what)} of {_text(report.at)}</p>{warned if report.sandbox else ''}</header>\n"


def _card(line: Line) -> str:
    classes = f"{line.ending} wide" if line.was and line.shots else line.ending
    classes += " wrong" if line.error else ""
    return (
        f'<article class="{escape(classes, quote=True)}" id="asset-{_text(line.id)}">{_pictures(line)}'
        f'<div class="about"><h3>{_text(line.id)} <span>{_text(WORDS.get(line.ending, line.ending))}</span></h3>'
        f"{_error(line)}{_why(line)}{_prompt(line)}{''.join(map(_change, line.changes))}{_facts(line)}"
        + "".join(f'<p class="warning">{_text(one)}</p>' for one in line.warnings)
        + "</div></article>\n"
    )


def _error(line: Line) -> str:
    if line.error is None:
        return ""
    return (
        f'<div class="error"><p>{_text(line.error.message)}</p>'
        f"<p>charged: {_text(line.error.charged)} · <code>{_text(hint_for(line.error))}</code></p></div>"
    )


def _why(line: Line) -> str:
    why = line.beside if line.changes else line.why
    return f'<p class="why">{_text(why)}</p>' if why and not line.error else ""


def _prompt(line: Line) -> str:
    """Show the prompt; where it changed, word by word."""
    change = next((one for one in line.changes if one.name == "prompt"), None)
    if change is None:
        shown = _text(line.prompt)
    else:
        tags = {"same": "{}", "gone": "<del>{}</del>", "new": "<ins>{}</ins>"}
        pieces = compared(safe_text(change.was), safe_text(change.now))
        shown = "".join(tags[kind].format(escape(piece)) for kind, piece in pieces)
    if len(line.prompt) <= LONG_PROMPT:
        return f'<p class="prompt">{shown}</p>'
    start = _text(one_line(line.prompt, LONG_PROMPT // 2))
    return f'<details class="prompt"><summary>{start}</summary>{shown}</details>'


def _change(change: Change) -> str:
    if change.name == "prompt":
        return ""
    was = f"<del>{_text(change.was)}</del>" if change.was else ""
    now = f"<ins>{_text(change.now)}</ins>" if change.now else ""
    return f'<p class="change">{_text(change.name)} {" → ".join(filter(None, (was, now)))}</p>'


def _pictures(line: Line) -> str:
    if not line.was:
        return _strip(line.shots)
    if not line.shots:
        return f"<h4>as it was</h4>{_strip(line.was)}"
    return (
        f'<div class="pair"><div><h4>{_text(line.labels[0])}</h4>{_strip(line.was)}</div>'
        f"<div><h4>{_text(line.labels[1])}</h4>{_strip(line.shots)}</div></div>"
    )


def _strip(shots: Sequence[Shot]) -> str:
    many = " many" if len(shots) > 1 else ""
    inner = "".join(map(_picture, shots)) or '<div class="none">no picture</div>'
    return f'<div class="shots{many}">{inner}</div>'


def _picture(shot: Shot) -> str:
    sides = f"{shot.width}x{shot.height}" if shot.width and shot.height else ""
    lasts = f"{shot.duration_s:g} s" if shot.duration_s else ""
    label = " · ".join(filter(None, (sides, lasts, _bytes(shot.size))))
    caption = f"<figcaption><span>{_text(shot.path)}</span> {label}</figcaption>"
    if shot.jpeg is None:
        return f'<figure><div class="none">no preview</div>{caption}</figure>'
    data = base64.b64encode(shot.jpeg).decode()
    image = f'<img alt="{_text(shot.path)}" decoding="async" loading="lazy" src="data:image/jpeg;base64,{data}">'
    return f"<figure>{image}{caption}</figure>"


def _bytes(size: int) -> str:
    for unit, least in (("MB", 1_000_000), ("kB", 1_000)):
        if size >= least:
            return f"{size / least:.1f} {unit}"
    return f"{size} bytes" if size else ""


def _facts(line: Line) -> str:
    said: Mapping[str, str] = {
        "made by": line.made_by, **line.request, "seed": "" if line.seed is None else str(line.seed),
        "cost": line.price, "task": line.handle, "line": line.where,
    }  # fmt: skip
    return "<dl>" + "".join(
        f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in said.items() if value
    ) + "</dl>"  # fmt: skip


def _table(lines: Sequence[Line]) -> Iterator[str]:
    """Yield what has no card: a row an asset."""
    if not lines:
        return
    yield f'<section id="rest" class="rest"><h2>The rest, without pictures <span>{len(lines):,}</span></h2>\n'
    yield '<div class="scroll"><table><thead><tr><th>asset<th>state<th>prompt<th>made by<th>seed<th>cost<th>file'
    yield "</tr></thead>\n<tbody>"
    yield from map(_row, lines)
    yield "</tbody></table></div></section>\n"


def _row(line: Line) -> str:
    cells = (
        WORDS.get(line.ending, line.ending), one_line(line.prompt, 100), line.made_by,
        "" if line.seed is None else str(line.seed), line.price, ", ".join(shot.path for shot in line.shots),
    )  # fmt: skip
    return f"<tr><th>{_text(line.id)}" + "".join(f"<td>{_text(cell)}" for cell in cells) + "</tr>\n"


def _text(text: str) -> str:
    return escape(safe_text(text), quote=True)
