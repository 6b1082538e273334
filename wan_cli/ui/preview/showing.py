"""Shows files on the terminal behind standard error: the talk, never the data. What fails is a warning."""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.text import one_line
from wan_cli.ui.preview.answers import WAYS, Answers, Way, best
from wan_cli.ui.preview.asking import asked, inside_multiplexer
from wan_cli.ui.preview.screen import Screen, screen_of

if TYPE_CHECKING:
    from wan_cli.media.pixels import Pixels
    from wan_cli.ui.streams import Streams

VARIABLE = "WAN_PREVIEW"
"""Says how pictures are shown where asking finds less than the terminal can: one of the ways, or ``none``."""
MOST = 12
"""Pictures that are shown of one call."""
_NEVER = "none"
_HALF_SQUARE = 2
_BREAK_OFF = "\x1b\\\x1b[0m"
"""Ends a picture that was cut off in the middle, so that what follows is text again."""
_DEEP = ("truecolor", "24bit")
_DEEP_TERMS = ("xterm-kitty", "xterm-ghostty", "alacritty", "foot", "wezterm")


def preview(streams: Streams, paths: Sequence[str | os.PathLike[str]], *, cwd: str) -> None:
    """Show pictures, and the first frames of videos, one below the other. Nothing happens but on a terminal.

    Files are only read. A name stands above each where there are several, or standard output goes elsewhere. Raises
    nothing, and Ctrl-C ends it without ending the command, whose work is done.
    """
    if not streams.stderr_tty or not paths:
        return
    try:
        way, answers = _way(streams)
        if way is None:
            return
        screen = screen_of(streams, answers.cell)
        for path in paths[:MOST]:
            _show(streams, Path(path), cwd, way, screen, answers, named=len(paths) > 1 or not streams.stdout_tty)
        if len(paths) > MOST:
            streams.say(f"preview: {len(paths) - MOST} more are not shown")
    except KeyboardInterrupt:
        streams.say(f"{_BREAK_OFF}preview: broken off; the files are complete")


def _way(streams: Streams) -> tuple[Way | None, Answers]:
    """Return how pictures are shown, and what the terminal said; ``None`` where not, which is told."""
    env = streams.env
    if why := _without(env, dumb=streams.dumb):
        streams.say(f"preview: none, for {why}")
        return None, Answers()
    wanted = env.get(VARIABLE, "").strip().lower()
    if wanted == _NEVER:
        return None, Answers()
    if wanted not in ("", "auto", *WAYS):
        streams.say(f"warning: {VARIABLE}={one_line(wanted)} is none of auto, {', '.join(WAYS)}, {_NEVER}")
    answers = Answers() if wanted == "blocks" else asked(streams.stderr, env)
    named = next((way for way in WAYS if way == wanted), None)
    way = named or best(answers, env, inside=inside_multiplexer(env))
    if way == "blocks" and not (streams.color and _spells_blocks(streams)):
        what = "encoding has no half-blocks" if streams.color else "console has no colours"
        streams.say(f"preview: none, for the terminal's {what}")
        return None, answers
    return way, answers


def _without(env: Mapping[str, str], *, dumb: bool) -> str:
    """Return why there are no pictures on this terminal, if there are none."""
    if env.get("NO_COLOR"):
        return "NO_COLOR is set"
    if dumb:
        return "TERM is dumb" if env.get("TERM") == "dumb" else "CI is set"
    return ""


def _spells_blocks(streams: Streams) -> bool:
    try:
        "▀".encode(streams.stderr.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _show(
    streams: Streams, path: Path, cwd: str, way: Way, screen: Screen, answers: Answers, *, named: bool
) -> None:  # fmt: skip
    from wan_cli.media import mime_of_extension
    from wan_cli.media.pixels import SQUARE, small_pixels
    from wan_cli.ui.document import typed_path

    name = one_line(typed_path(str(path), cwd))
    halves = way == "blocks"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Pillow thinks of a file is not worth a line on the terminal
            fit = screen.in_halves if halves else screen.in_pixels
            pixels = small_pixels(path, fit, square=_HALF_SQUARE if halves else SQUARE)
            shown = _drawn(pixels, way, screen, answers, deep=_is_deep(streams.env))
    except Exception as error:  # noqa: BLE001 - whatever a decoder makes of a file; the file itself is well
        hint = getattr(error, "hint", "")
        said = getattr(error, "strerror", None) or str(error)  # PyAV's own words beside it are a number
        why = f"{said}; {hint}" if hint else said or type(error).__name__
        streams.say(f"warning: {name} cannot be shown: {one_line(why)}")
        return
    film = (mime_of_extension(path.name) or "").startswith("video/")
    if named or film:
        streams.say(f"{name}  {pixels.whole[0]}x{pixels.whole[1]}" + ("  (first frame)" if film else ""))
    streams.say(shown)


def _drawn(pixels: Pixels, way: Way, screen: Screen, answers: Answers, *, deep: bool) -> str:
    """Return what is written: for graphics the room is made first, so that nothing scrolls while they are drawn."""
    from wan_cli.media.pixels import as_png, reduced
    from wan_cli.ui.preview import encoding

    if way == "blocks":
        return "\n".join(encoding.blocks(pixels, deep=deep))
    cells = screen.cells(pixels.width, pixels.height)
    if way == "kitty":
        drawn = encoding.kitty(as_png(pixels), None if screen.told else cells)
    elif way == "iterm2":
        drawn = encoding.iterm2(as_png(pixels), cells)
    else:
        drawn = encoding.sixel(pixels, *reduced(pixels, answers.colours))
    down = "\n" * cells[1]
    return f"{down}\x1b[{cells[1]}A\r\x1b7{drawn}\x1b8{down[1:]}"


def _is_deep(env: Mapping[str, str]) -> bool:
    """Tell whether the terminal has 24-bit colour, which none can be asked for reliably."""
    term = env.get("TERM", "")
    return (
        env.get("COLORTERM", "").lower() in _DEEP or "WT_SESSION" in env or term.endswith("-direct")
        or term.startswith(_DEEP_TERMS)
    )  # fmt: skip
