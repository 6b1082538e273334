"""How much is bought at a time, as the configuration says: alone, or with all workers of a shared ledger."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from wan_cli.config.settings import MOST_JOBS
from wan_cli.engine import Engine
from wan_cli.engine.pace import Pace

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.engine.pace import Gate


def gates_of(app: App) -> Callable[[Engine, str], Gate]:
    """Return what makes the gate of a provider: ``[providers.NAME]`` may say ``in_flight`` and ``per_minute``."""

    def gate(engine: Engine, provider: str) -> Gate:
        table = app.config.tables.get(provider)
        in_flight, per_minute = (table.in_flight, table.per_minute) if table else (None, None)
        if limits := engine.ledger.limits:
            from wan_cli.engine.shared_pace import SharedPace

            return SharedPace(
                limits, provider, lambda: app.key_print(provider), own=engine.submits,
                most=in_flight or max(MOST_JOBS, engine.submits), per_minute=per_minute, stop=engine.stop,
            )  # fmt: skip
        most = min(engine.submits, in_flight or engine.submits)
        return Pace(most=most, per_minute=per_minute, now=engine.monotonic, stop=engine.stop)

    return gate
