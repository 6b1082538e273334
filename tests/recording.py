"""The README's recording: real commands on a real pseudo-terminal, played by the sandbox, as an animated SVG.

``python tests/recording.py`` makes ``.github/readme/terminal.svg`` anew. What is typed is written here; the rest
``wan`` printed, at the pace at which it did, but for long waits. pyte is the terminal. The picture follows the reader's
dark or light scheme, and stands still for those who want less motion.
"""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from xml.sax.saxutils import escape

import pyte

PLACE = Path(__file__).resolve().parent.parent / ".github" / "readme" / "terminal.svg"
COLUMNS, LINES = 96, 22
COMMANDS = (
    'wan generate "a paper crane on a desk, morning light" -p rivya --sandbox -o crane.png',
    'wan edit crane.png "make it night" -p rivya --sandbox --json -q | jq -r ".tasks[].charged"',
    'wan generate "a red kite" -p rivya -n 4 --max-cost 10credits --sandbox -o kites/',
    "wan render assets.toml --sandbox --plan -q",
    "wan render assets.toml --sandbox -q --max-cost 20credits",
    "wan render assets.toml --sandbox --check && echo up to date",
)
"""Typed one after the other; the tests hold them against the program."""
MANIFEST = """\
[defaults]
provider = "rivya"
size = "1K"
output = "assets/{id}{ext}"

[[asset]]
id = "hero"
prompt = "a lighthouse at dawn, wide shot"

[[asset]]
id = "icon-{animal}"
prompt = "flat icon of a {animal}"
matrix = { animal = ["fox", "owl"] }
"""
KEY_S, PAUSE_S, LONGEST_S, FRAME_S, END_S = 0.045, 1.6, 0.8, 0.12, 4.0
"""Seconds for a key, after a command, of a wait at the most, between two pictures at the least, and at the end."""
PATIENCE_S = 60
WIDTH, HEIGHT, PAD = 8.4, 19, 14
"""A character's width and a line's height, and the rim, in pixels, at 14 pixels a letter."""
COLORS = {
    "default": ("#d7dae0", "#24292f"), "red": ("#ff7b72", "#b62324"), "green": ("#7ee787", "#116329"),
    "brown": ("#e3b341", "#7d4e00"), "blue": ("#79c0ff", "#0550ae"), "magenta": ("#d2a8ff", "#6639ba"),
    "cyan": ("#76e3ea", "#0b6b75"), "white": ("#f0f6fc", "#24292f"), "black": ("#8b949e", "#57606a"),
    "ground": ("#161b22", "#f6f8fa"), "rim": ("#30363d", "#d0d7de"),
}  # fmt: skip
"""Each colour on dark and on light ground."""

Run = tuple[int, str, str, bool]
"""Column, text, colour and whether it is bold."""
Row = tuple[Run, ...]


@dataclass
class Film:
    """What stood on the screen, and for how many seconds."""

    screen: pyte.Screen = field(default_factory=lambda: pyte.Screen(COLUMNS, LINES))
    frames: list[tuple[tuple[Row, ...], float]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stream = pyte.ByteStream(self.screen)

    def show(self, data: bytes, seconds: float) -> None:
        """Write to the screen, and let it stand so."""
        self._stream.feed(data)
        rows = tuple(self._row(number) for number in range(LINES))
        if self.frames and (self.frames[-1][0] == rows or self.frames[-1][1] < FRAME_S / 2):
            rows_before, before = self.frames.pop()
            seconds += before if rows_before == rows else 0
        self.frames.append((rows, seconds))

    def _row(self, number: int) -> Row:
        runs: list[Run] = []
        for column in range(COLUMNS):
            char = self.screen.buffer[number][column]
            colour = char.fg.removeprefix("bright") if char.fg.removeprefix("bright") in COLORS else "default"
            if runs and runs[-1][2:] == (colour, char.bold) and runs[-1][0] + len(runs[-1][1]) == column:
                runs[-1] = (runs[-1][0], runs[-1][1] + char.data, colour, char.bold)
            else:
                runs.append((column, char.data or " ", colour, char.bold))
        kept = [(column, text.rstrip(), *look) for column, text, *look in runs]
        return tuple(run for run in kept if run[1])  # type: ignore[misc] # the same four


def record(commands: Sequence[str], folder: Path, *, key_s: float = KEY_S) -> Film:
    """Run ``commands`` in ``folder`` and return the film."""
    (folder / "assets.toml").write_text(MANIFEST, encoding="utf-8")
    film = Film()
    for number, command in enumerate(commands):
        film.show(b"\x1b[32m$\x1b[0m ", PAUSE_S if number else key_s)
        for char in command:
            film.show(char.encode(), key_s)
        film.show(b"\r\n", 0.3)
        for data, seconds in _printed(command, folder):
            film.show(data, min(seconds, LONGEST_S))
    film.show(b"\x1b[32m$\x1b[0m ", END_S)
    return film


def _printed(command: str, folder: Path) -> Iterator[tuple[bytes, float]]:
    """Yield what a command prints, and the seconds until it prints more. Raises ``TimeoutError``."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", LINES, COLUMNS, 0, 0))
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("WAN_", "CI", "NO_COLOR", "COV"))}
    env = kept | {
        "TERM": "xterm-256color", "WAN_STATE_DIR": str(folder / ".state"), "LANG": "C.UTF-8",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }  # fmt: skip
    process = subprocess.Popen(
        ["bash", "-c", command], cwd=folder, env=env, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
    )
    os.close(theirs)
    held, began = b"", time.monotonic()
    while select.select([ours], [], [], PATIENCE_S)[0]:
        try:
            data = os.read(ours, 65_536)
        except OSError:  # the last process on the terminal has ended
            data = b""
        now = time.monotonic()
        if held and (not data or now - began >= FRAME_S):
            yield held, now - began
            held, began = b"", now
        if not data:
            break
        held += data
    else:
        process.kill()
        msg = f"{command} prints nothing more"
        raise TimeoutError(msg)
    os.close(ours)
    process.wait()


def svg(film: Film) -> str:
    """Return the film as an SVG: rows are drawn once, and a strip of screens is moved past a window."""
    shape = (round(COLUMNS * WIDTH + 2 * PAD), LINES * HEIGHT + 2 * PAD)
    total = sum(seconds for _, seconds in film.frames)
    known: dict[Row, str] = {}
    symbols, strip, steps, at = [], [], [], 0.0
    for number, (rows, seconds) in enumerate(film.frames):
        drawn = []
        for line, row in enumerate(rows):
            if not row:
                continue
            if row not in known:
                known[row] = f"r{len(known)}"
                symbols.append(f'<g id="{known[row]}">{"".join(map(_run, row))}</g>')
            drawn.append(f'<use href="#{known[row]}" y="{line * HEIGHT}"/>')
        strip.append(f'<g transform="translate({number * shape[0]})">{"".join(drawn)}</g>')
        steps.append(f"{100 * at / total:.3f}%{{transform:translate(-{number * shape[0]}px)}}")
        at += seconds
    last = (len(film.frames) - 1) * shape[0]
    names = [name for name in COLORS if name not in ("ground", "rim")]

    def style(which: int) -> str:
        said = "".join(f".{name}{{fill:{COLORS[name][which]}}}" for name in names)
        return f"{said}.window{{fill:{COLORS['ground'][which]};stroke:{COLORS['rim'][which]}}}"

    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{shape[0]}" height="{shape[1]}" '
        f'viewBox="0 0 {shape[0]} {shape[1]}" role="img" aria-label="wan in a terminal">\n'
        "<style>text{font:14px ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;"
        "white-space:pre}.b{font-weight:bold}"
        f"{style(0)}@media(prefers-color-scheme:light){{{style(1)}}}"
        f".strip{{animation:play {total:.2f}s steps(1,end) infinite}}"
        f"@media(prefers-reduced-motion:reduce){{.strip{{animation:none;transform:translate(-{last}px)}}}}"
        f"@keyframes play{{{''.join(steps)}}}</style>\n"
        f"<defs>{''.join(symbols)}</defs>\n"
        f'<rect class="window" x=".5" y=".5" width="{shape[0] - 1}" height="{shape[1] - 1}" rx="8"/>\n'
        f'<svg x="{PAD}" y="{PAD}" width="{shape[0] - 2 * PAD}" height="{LINES * HEIGHT}">'
        f'<g class="strip">{"".join(strip)}</g></svg>\n</svg>\n'
    )


def _run(run: Run) -> str:
    column, text, colour, bold = run
    look = f"{colour} b" if bold else colour
    width = f' textLength="{len(text) * WIDTH:.1f}"' if len(text) > 1 else ""
    return f'<text class="{look}" x="{column * WIDTH:.1f}" y="14"{width}>{escape(text)}</text>'


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as name:
        PLACE.write_text(svg(record(COMMANDS, Path(name))), encoding="utf-8")
    sys.stdout.write(f"{PLACE.name}: {PLACE.stat().st_size:,} bytes\n")
