"""Plain lines on stderr for a render: one an asset, when it has ended, and a sign of life in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wan_cli.models import TaskChanged, Warned
from wan_cli.text import one_line
from wan_cli.ui.messages import warning_line
from wan_cli.ui.overall import AssetEnded, Overall, Workload
from wan_cli.ui.plain import GAP
from wan_cli.ui.reporter import EventReporter
from wan_cli.ui.wording import elapsed

if TYPE_CHECKING:
    from wan_cli.models import Event
    from wan_cli.ui.streams import Streams

SILENCE_S = 60.0
"""Seconds without a line after which one is written: CI ends jobs that seem to hang (CircleCI after ten minutes)."""


class PlainAssetsReporter(EventReporter):
    """Writes ``[12/340] hero  made  PROVIDER MODEL  COST  ELAPSED  FILES``; what was up to date gets no line."""

    def __init__(self, streams: Streams, load: Workload, *, clock: Callable[[], float]) -> None:
        """Remember where to write; ``clock`` is in seconds."""
        self._streams = streams
        self._overall = Overall(load, clock)
        self._clock = clock
        self._began: dict[str, float] = {}
        self._spoke = clock()

    def __call__(self, event: Event) -> None:
        """Take in the event; only warnings, and a long silence, are worth a line."""
        if isinstance(event, Warned):
            self._say(warning_line(self._overall.load.named(event), color=self._streams.color))
        elif isinstance(event, TaskChanged):
            self._began.setdefault(self._overall.load.name_of(event.task), self._clock())
        self._overall.note(event)
        if self._clock() - self._spoke >= SILENCE_S:
            now = self._overall
            left = f", about {elapsed(now.left)} left" if now.left is not None else ""
            self._say(f"[{now.done}/{now.load.total}] {now.under_way} under way after {elapsed(now.elapsed)}{left}")

    def ended(self, asset: AssetEnded) -> None:
        """Write the asset's line."""
        self._overall.ended(asset)
        began = self._began.pop(asset.id, None)
        if not asset.counts:
            return
        spent = "" if began is None else elapsed(self._clock() - began)
        parts = [asset.ending, asset.made_by, asset.note, asset.cost, spent, " ".join(asset.files)]
        said = GAP.join(one_line(part, 500) for part in parts if part)
        self._say(f"[{self._overall.done}/{self._overall.load.total}] {one_line(asset.id)}{GAP}{said}")

    def close(self) -> None:
        """Do nothing: every line is complete when it is written."""

    def _say(self, line: str) -> None:
        self._spoke = self._clock()
        self._streams.say(line)
