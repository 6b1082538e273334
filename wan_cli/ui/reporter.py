"""Who is told of events: the seam between the engine and what is shown."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from wan_cli.models import Event
    from wan_cli.ui.overall import AssetEnded, Workload
    from wan_cli.ui.streams import Streams

NARROWEST = 40
"""Columns below which a redrawn line says too little (reliability.md, row O05)."""


class EventReporter(ABC):
    """A :data:`wan_cli.models.Reporter` that has to be closed; ``close`` may be called twice."""

    @abstractmethod
    def __call__(self, event: Event) -> None:
        """Tell of ``event``. It never fails: nothing that is shown may stop a purchase from being collected."""

    def ended(self, asset: AssetEnded) -> None:  # noqa: B027 - most say nothing of assets
        """Tell that an asset of a render has ended."""

    @abstractmethod
    def close(self) -> None:
        """Leave nothing behind."""

    def __enter__(self) -> Self:
        """Return the reporter itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, also after Ctrl-C."""
        self.close()


class QuietReporter(EventReporter):
    """Says nothing (``-q``): errors are printed by the command, warnings are in the JSON document."""

    def __call__(self, event: Event) -> None:
        """Keep silent."""

    def close(self) -> None:
        """Do nothing: nothing was begun."""


def reporter_for(
    streams: Streams, *, cwd: str, clock: Callable[[], float], quiet: bool = False, jsonl: bool = False,
    load: Workload | None = None,
) -> EventReporter:  # fmt: skip
    """Choose: ``--jsonl`` events on stdout, ``-q`` nothing, else a live display where it works, else plain lines.

    ``clock`` is monotonic, in seconds; ``load`` is a render's work, of which assets are told instead of tasks.
    """
    if jsonl:
        from wan_cli.ui.jsonl import JsonlReporter

        return JsonlReporter(streams, cwd=cwd, clock=clock)
    if quiet:
        return QuietReporter()
    if streams.live and streams.width(streams.stderr) >= NARROWEST:
        from wan_cli.ui.live import LiveReporter, redraws

        if redraws():
            return LiveReporter(streams, clock=clock, load=load)
    if load is not None:
        from wan_cli.ui.plain_assets import PlainAssetsReporter

        return PlainAssetsReporter(streams, load, clock=clock)
    from wan_cli.ui.plain import PlainReporter

    return PlainReporter(streams, quiet=quiet, clock=clock)
