"""A clip where a frame is wanted: the one that it shares with the new video stands for it.

``--first-frame clip.mp4`` begins with the clip's last frame, so the story goes on; ``--last-frame clip.mp4`` ends with
its first, so the clip can follow. The frame is a PNG in the state folder, named after the clip's content.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.errors import UsageError
from wan_cli.media import mime_of_extension, sniff
from wan_cli.models import Media, Role
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.media.film import Which

SHARED: Mapping[Role, Which] = {"first_frame": "last", "last_frame": "first"}
"""Which frame of a clip stands where."""
_OPTION: Mapping[Role, str] = {"first_frame": "--first-frame", "last_frame": "--last-frame"}
_HEAD = 512


def still_of(app: App, medium: Media, asset: str, path: str) -> str:
    """Return the file that stands for a medium: ``path``, or the picture that is cut from it where that is a clip.

    Raises ``ConfigInvalid`` without the extra, and ``FileInvalid`` for a clip that cannot be opened. Nothing was sent.
    """
    if medium.role not in SHARED or not _is_video(path):
        return path
    from wan_cli.media import film

    film.require(f"{_OPTION[medium.role]} {one_line(asset)}: a frame of a video")
    app.private(folder := app.state / "frames")
    return str(film.cut(path, SHARED[medium.role], folder))


def check_coming(medium: Media, asset: str) -> None:
    """Raise ``ConfigInvalid`` where a clip that is not there yet will need the extra."""
    if medium.role in SHARED and _named_video(asset):
        from wan_cli.media import film

        film.require(f"{_OPTION[medium.role]} {one_line(asset)}: a frame of a video")


def check_address(medium: Media, asset: str) -> None:
    """Raise ``UsageError`` for the address of a video where a frame is wanted: only a file can be cut."""
    if medium.role in SHARED and medium.url and _named_video(asset.partition("?")[0]):
        raise UsageError(
            f"{_OPTION[medium.role]} {one_line(asset)}: a frame is cut from a file, not from an address",
            hint="download it, and give the file",
        )


def spoken(medium: Media, asset: str) -> str:
    """Return how an error calls the picture that was cut: by the clip that the user typed."""
    return f"the {SHARED[medium.role]} frame of {asset}"


def forget_frames(app: App, before: float) -> None:
    """Remove the frames that were last used before a time (seconds since the epoch); one that stays harms nothing."""
    with suppress(OSError):
        for path in (app.state / "frames").iterdir():
            if path.stat().st_mtime < before:
                path.unlink()


def _named_video(name: str) -> bool:
    return (mime_of_extension(name) or "").startswith("video/")


def _is_video(path: str) -> bool:
    """Tell whether a file is a video by its first bytes; what cannot be read is told of by what checks it."""
    try:
        if not Path(path).is_file():  # opening a pipe without a writer would block for ever (reliability.md I14)
            return False
        with open(path, "rb") as file:  # noqa: PTH123 - a name of any bytes
            return (sniff(file.read(_HEAD)) or "").startswith("video/")
    except (OSError, ValueError):
        return False
