"""The poster beside a video: its first frame as a JPEG, ``clip.poster.jpg`` for ``clip.mp4``.

The video is what was bought and is safe before its poster is thought of, so a poster that cannot be made is a warning.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import NamedTuple

from wan_cli.dataclass import replace
from wan_cli.extras import install
from wan_cli.intake import read_regular
from wan_cli.media import film
from wan_cli.models import File, Target
from wan_cli.text import one_line
from wan_cli.whole import whole


class Postered(NamedTuple):
    """A result with its poster's path, if it has one, and what is to be said of it."""

    file: File
    notes: tuple[str, ...] = ()


def with_poster(target: Target, file: File | None) -> Postered | None:
    """Write the poster of a video that is in place, where it is to have one and has none; ``None`` where it is not.

    Nothing is replaced but with ``overwrite``. Raises nothing.
    """
    if not (file and target.poster and file.path and file.mime.startswith("video/")):
        return None
    if file.poster is not None and os.path.lexists(file.poster):
        return None
    video = Path(file.path)
    path = film.poster_path(video)
    if not film.installed():
        return Postered(file, (f"{path.name} was not made: PyAV (the extra [video]) is missing; {install('video')}",))
    try:
        data = film.poster(video)
    except Exception as error:  # noqa: BLE001 - whatever a decoder makes of a file
        return Postered(
            file, (f"{path.name} was not made: {one_line(str(getattr(error, 'strerror', None) or error))}",)
        )
    try:
        if os.path.lexists(path) and not target.overwrite and read_regular(path, film.POSTER_BYTES) != data:
            return Postered(file, (f"{path.name} exists and was left as it is, so the video has no poster",))
        with whole(path) as out:
            out.write(data)
    except OSError as error:
        return Postered(file, (f"{path.name} could not be written: {error.strerror or error}",))
    return Postered(replace(file, poster=str(path)))
