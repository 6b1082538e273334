"""``wan models``: the catalogue, and what is left on the account where a provider says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.dataclass import replace
from wan_cli.errors import Interrupted, UsageError, WanError
from wan_cli.registry import every_model, knows
from wan_cli.text import one_line
from wan_cli.ui.rows import model_rows
from wan_cli.ui.tables import MODEL_COLUMNS, table

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.options import Talk
    from wan_cli.engine import Engine
    from wan_cli.models import Task


def models(app: App, name: str | None, options: Talk) -> int:
    """Print the models of one provider, one model at every provider, or all."""
    app.use(sandbox=options.sandbox, quiet=options.quiet)
    wanted = (name or "").casefold()
    found = [m for m in every_model() if not wanted or wanted in (m.provider, m.name.casefold(), m.id.casefold())]
    if not found:
        raise UsageError(
            f"{one_line(name or '')} is neither a provider nor a model in the catalogue", hint="wan models"
        )
    rows = model_rows([replace(model, price=app.price(model)) for model in found])
    balance = _balance(app, wanted, options) if wanted and knows(wanted) else None
    if app.say_json == "json":
        extra = {"balance": {wanted: balance}} if balance else {}
        return app.emit([], None, 0, models=rows, **extra)
    table(rows, MODEL_COLUMNS, app.streams)
    if balance:
        app.streams.say(f"{wanted}: {balance} left")
    return 0


def _balance(app: App, provider: str, options: Talk) -> str | None:
    """Ask what is left where there is a key; the catalogue is shown whatever the answer."""
    if not (app.sandbox or app.has_key(provider)):
        return None
    from wan_cli.transport.client import AnswerLost, NotSent
    from wan_cli.transport.drive import Refusal, drive

    answer: list[str] = []

    async def work(engine: Engine) -> list[Task]:
        service = engine.service(provider)
        asked = drive(service.provider.balance(), service.provider, service.api.send)
        answer.append(await engine.unless(engine.stop, asked))
        return []

    from wan_cli.cli.run import Session

    try:
        Session(app=app, quiet=True, verbose=options.verbose).run(work)
    except Interrupted:
        raise
    except (WanError, NotSent, AnswerLost, Refusal) as error:
        app.streams.say(f"warning: {provider} did not say what is left: {one_line(str(error))}")
        return None
    return answer[0] or None
