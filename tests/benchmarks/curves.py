"""Curves of wall-clock time, processor time and memory over tasks and over tasks in flight: CSV and a picture.

Called by ``throughput.py --curves FOLDER``. The pictures are small and the polls close together, so that what is seen
is the work a task makes and not the loopback or the waiting. Drawn with Pillow, on logarithmic axes: what is linear
rises by one decade a decade.
"""

from __future__ import annotations

import csv
import math
import sys
from collections.abc import Callable
from pathlib import Path

TASKS = (10, 30, 100, 300, 1_000, 3_000, 10_000)
FLYING = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
SMALL, PAUSE_S, FLIGHT, CROWD = 20_000, 0.05, 256, 512
COLOURS = {"wan": "#b3261e", "transport": "#1f5fa8", "aiohttp": "#2e7d32"}
SIDE, EDGE = 420, 60

Row = dict[str, float]


def draw(folder: Path, measure: Callable[..., Row], clients: list[str], most: int) -> None:
    """Measure every point up to ``most`` tasks, write ``curves.csv`` and ``curves.png``."""
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[dict[str, object]] = []
    for client in clients:
        for tasks in (count for count in TASKS if count <= most):
            found = measure(client, tasks=tasks, flying=FLIGHT, pause=PAUSE_S, size=SMALL)
            rows.append({"client": client, "over": "tasks", "at": tasks, **found})
        for flying in FLYING:
            found = measure(client, tasks=CROWD, flying=flying, pause=0.0, size=SMALL)
            rows.append({"client": client, "over": "in flight", "at": flying, **found})
            sys.stderr.write(f"{rows[-1]}\n")
    with (folder / "curves.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    plot(rows, folder / "curves.png")


def plot(rows: list[dict[str, object]], path: Path) -> None:
    """Draw two rows (over tasks, over those in flight) of three panels (wall s, cpu s, peak MiB)."""
    from PIL import Image, ImageDraw

    keys = ("wall", "cpu", "peak")
    image = Image.new("RGB", (SIDE * 3, SIDE * 2), "white")
    pen = ImageDraw.Draw(image)
    for down, over in enumerate(("tasks", "in flight")):
        for right, key in enumerate(keys):
            part = [(str(row["client"]), float(row["at"]), float(row[key])) for row in rows if row["over"] == over]  # type: ignore[arg-type]
            panel(pen, (right * SIDE, down * SIDE), f"{key} over {over}", part)
    present = {row["client"] for row in rows}
    for place, (client, colour) in enumerate((name, COLOURS[name]) for name in COLOURS if name in present):
        pen.text((EDGE + 110 * place, 4), client, fill=colour, font_size=15)
    image.save(path)


def panel(pen: object, corner: tuple[int, int], title: str, points: list[tuple[str, float, float]]) -> None:
    """Draw one panel at ``corner``: title, decades, a line a client."""
    left, top = corner
    xs, ys = [math.log10(x) for _, x, _ in points], [math.log10(max(y, 1e-3)) for _, _, y in points]
    low_x, high_x = math.floor(min(xs)), math.ceil(max(xs))
    low_y, high_y = math.floor(min(ys)), max(math.ceil(max(ys)), math.floor(min(ys)) + 1)
    span = SIDE - 2 * EDGE

    def at(x: float, y: float) -> tuple[float, float]:
        across, up = (x - low_x) / (high_x - low_x), (y - low_y) / (high_y - low_y)
        return left + EDGE + across * span, top + SIDE - EDGE - up * span

    write, line = pen.text, pen.line  # type: ignore[attr-defined] # an ImageDraw
    write((left + EDGE, top + 30), title, fill="black", font_size=15)
    for decade in range(low_x, high_x + 1):
        line([at(decade, low_y), at(decade, high_y)], fill="#dddddd")
        write(at(decade, low_y), f"{10**decade:,}", fill="black", font_size=12)
    for decade in range(low_y, high_y + 1):
        line([at(low_x, decade), at(high_x, decade)], fill="#dddddd")
        x, y = at(low_x, decade)
        write((x - 45, y - 8), f"{10.0**decade:g}", fill="black", font_size=12)
    for client, colour in COLOURS.items():
        own = [at(x, y) for (name, _, _), x, y in zip(points, xs, ys, strict=True) if name == client]
        if len(own) > 1:
            line(own, fill=colour, width=3)
