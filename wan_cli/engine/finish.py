"""What is done to a result between its arrival and its name: converted, and labelled with how it was made."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

from wan_cli.convert import convert
from wan_cli.dataclass import dataclass, field
from wan_cli.errors import DownloadFailed
from wan_cli.imprint import imprint, told
from wan_cli.media import EXTENSIONS, Sniffed, inspect, mime_of_extension
from wan_cli.models import Task
from wan_cli.publish import Part
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.media.labels import Label


@dataclass(slots=True)
class Finished:
    """A result as it will be published: its part, what it is, and what the user should know of it."""

    part: Part
    sniffed: Sniffed
    notes: list[str] = field(default_factory=list)


@contextmanager
def finished(task: Task, part: Part, sniffed: Sniffed, public: Task) -> Iterator[Finished]:
    """Convert and label as the task's target wants; ``public`` is the task as it may be told.

    What cannot be done is a note, and the result goes on as it came. Parts that are not published are removed.
    """
    with ExitStack() as stack:
        made = Finished(part, sniffed)
        _converted(task, made, stack)
        if task.target.embed and task.job.makes != "video":  # the configuration may say it of everything
            _labelled(made, public, stack)
        yield made


def _converted(task: Task, made: Finished, stack: ExitStack) -> None:
    wanted = mime_of_extension(task.target.template or "")
    if not wanted or wanted == made.sniffed.mime:
        return
    if not task.target.convert:
        mime = made.sniffed.mime
        made.notes.append(f"the provider delivered {mime}, so the name ends in {EXTENSIONS[mime]}")
        return
    try:
        made.part = stack.enter_context(convert(made.part, wanted))
    except DownloadFailed as error:
        made.notes.append(one_line(error.message))
    else:
        with made.part.reading() as source:
            made.sniffed = inspect(source)


def label_of(public: Task) -> Label:
    """Return what a file may say of the task that made it."""
    from wan_cli.media.labels import Label

    said = json.dumps(imprint(public), sort_keys=True, separators=(",", ":"))
    return Label(said, f"{public.job.model} ({public.provider})".strip(), told(public.job.prompt) or None)


def _labelled(made: Finished, public: Task, stack: ExitStack) -> None:
    from wan_cli.embed import embed
    from wan_cli.media.labels import Unlabelled

    try:
        made.part = stack.enter_context(embed(made.part, label_of(public)))
    except Unlabelled as error:
        made.notes.append(f"nothing was embedded: {one_line(str(error))}")
