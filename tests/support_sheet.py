"""A report with everything in it, and texts that would do harm if one of its kinds believed them."""

from __future__ import annotations

import io
from typing import Any

from PIL import Image

from wan_cli.errors import RateLimited, TaskFailed
from wan_cli.ui.report import Change, Line, Report, Shot

HOSTILE = (
    "<script>alert(1)</script>",
    "</style><style>*{display:none}</style><img src=https://evil.example/x onerror=alert(1)>",
    "]]>--><![CDATA[<evil/>&amp;&#0;",
    "| a | b |\n|---|---|\n# title [x](javascript:alert(1)) ![p](https://evil.example/p.png) `code` <b>@everyone</b>",
    "::error file=x::y\n::set-output name=a::b\n##[error]z\n##vso[task.complete]",
    "\x1b[31mred\x1b]8;;https://evil.example\x07link\x1b]8;;\x07 \u202emirrored\u202c \x00\x07\ufffe\uffff\ud800",
    '" onmouseover="alert(1)" x="',
    "{0} {same} %s %(a)s ${HOME} $(id) {{7*7}}",
)


def picture(width: int = 64, height: int = 48, colour: Any = (200, 80, 40), form: str = "JPEG", **save: Any) -> bytes:
    """Return a small plain picture."""
    data = io.BytesIO()
    mode = "RGBA" if len(colour) == 4 else "RGB"
    Image.new(mode, (width, height), colour).save(data, form, **save)
    return data.getvalue()


def line(name: str, ending: str = "made", **more: Any) -> Line:
    """Return an asset of a report."""
    given = {"prompt": f"a picture of {name}", "where": "assets.toml:12", "provider": "rivya", "model": "wan2.7-image"}
    return Line(**{"id": name, "ending": ending, **given, **more})


def shot(name: str, colour: tuple[int, int, int] = (200, 80, 40)) -> Shot:
    """Return a file of a report."""
    return Shot(path=f"assets/{name}.png", size=1_048_576, width=2048, height=1536, jpeg=picture(colour=colour))


def report(lines: list[Line], **more: Any) -> Report:
    """Return a report."""
    return Report(**{"manifest": "assets.toml", "at": "2026-11-21 09:00 UTC", "lines": lines, **more})


def full() -> Report:
    """Return a report with every ending."""
    changes = [
        Change(name="prompt", was="a lighthouse at night", now="a lighthouse at dawn, wide shot"),
        Change(name="seed", was="3", now="7"), Change(name="negative", was="", now="people"),
    ]  # fmt: skip
    return report([
        line("bg", "current", shots=[shot("bg")], cost=12.0, unit="credits"),
        line("hero", seed=7, cost=12.0, unit="credits", paid=True, was=[shot("old", (20, 30, 90))],
             shots=[shot("hero")], changes=changes, why="prompt changed; seed was 3, is 7; @bg changes",
             beside="@bg changes", request={"size": "2K"}, handle="rivya:task_1", warnings=["seed 0 is no seed"],
             seconds=14.5),
        line("story", "collected", shots=[shot("story-1"), shot("story-2")], prompt="word " * 200),
        line("clip", shots=[Shot(path="assets/clip.mp4", size=2500)]),
        line("poster", "failed", error=TaskFailed("the model failed", charged="no"), was=[shot("poster")]),
        line("banner", "failed", error=RateLimited("429, retries used up", hint="wan render assets.toml"), where=""),
        line("next", "skipped", why="@poster is not there"), line("later", "pending", handle="rivya:task_2"),
        line("logo", "edited", shots=[shot("logo")], why="logo.png was changed"), line("old", "moved"),
    ], spent="12 credits", orphans=["gone"])  # fmt: skip


def hostile() -> Report:
    """Return a report in which every text is an attack."""
    lines = []
    for number, text in enumerate(HOSTILE):
        error = TaskFailed(text, hint=text, charged="no") if number % 2 else None
        lines.append(line(
            text, "failed" if error else "made", prompt=text, why=text, provider=text, model=text, handle=text,
            unit=text[:40], cost=1.0, request={text: text}, warnings=[text], error=error, where=f"{text}:7",
            changes=[Change(name="prompt", was="was", now=text), Change(name=text, was=text, now=text)],
            shots=[Shot(path=text, size=7, jpeg=picture())], was=[Shot(path=text)] if number % 3 else (),
        ))  # fmt: skip
    return report(lines, manifest=HOSTILE[0], spent=HOSTILE[3], at=HOSTILE[1], orphans=list(HOSTILE))
