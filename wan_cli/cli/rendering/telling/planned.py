"""``--plan`` and ``--schema``: what would be made, why, and what it would cost."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from wan_cli import spend
from wan_cli.cli.rendering.telling.lines import planned_line
from wan_cli.cli.rendering.telling.reports import write_reports
from wan_cli.render.plan import Item, Plan
from wan_cli.ui.document import jsonl_line
from wan_cli.ui.jsonl import row_event
from wan_cli.ui.messages import say_error
from wan_cli.ui.money import amount, number
from wan_cli.ui.tables import table

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.rendering.asking import Quote
    from wan_cli.errors import WanError
    from wan_cli.manifest import Manifest

PLAN_COLUMNS = ("id", "status", "why", "provider", "model", "cost")


def print_schema(app: App) -> int:
    """Print the JSON Schema of a manifest."""
    from wan_cli.manifest import schema

    app.streams.out(json.dumps(schema(), indent=2, ensure_ascii=False))
    return 0


def item_row(item: Item, quote: Quote | None) -> dict[str, Any]:
    """Return an item of the plan as a flat object; what is not bought costs 0."""
    return {
        "id": item.asset.id, "status": item.status, "why": list(item.why), "line": item.asset.line or None,
        "provider": quote.model.provider if quote else item.entry.provider if item.entry else None,
        "model": quote.model.name if quote else item.entry.model if item.entry else None,
        "cost": price_of(quote) if quote else {"amount": 0, "unit": None},
        "files": [made.path for made in item.entry.files] if item.entry else [],
    }  # fmt: skip


def price_of(quote: Quote) -> dict[str, Any]:
    """Return what an asset costs; an unknown part makes the whole unknown."""
    amounts = [line.amount for line in quote.lines]
    known = None if any(one is None for one in amounts) else sum(filter(None, amounts))
    return {"amount": None if known is None else number(float(known)), "unit": quote.lines[0].unit}


def estimate_rows(lines: Sequence[spend.Line]) -> list[dict[str, Any]]:
    """Return the estimate in each unit; ``null`` stands for what is not known."""
    rows: list[dict[str, Any]] = [
        {"amount": number(float(total)), "unit": unit} for unit, total in spend.totals(lines).items()
    ]
    return [*rows, {"amount": None, "unit": None}] if any(line.amount is None for line in lines) else rows


def show_plan(
    app: App, manifest: Manifest, planned: Plan, quotes: Mapping[str, Quote], lines: Sequence[spend.Line],
    reports: Sequence[str] = (), *, over: WanError | None = None,
) -> int:  # fmt: skip
    """Print what would be made; nothing is sent. ``lines`` is the estimate, each purchase at its dearest.

    ``over`` is what a run would be refused with: the plan is shown all the same, and that is how it ends.
    """
    code = over.exit_code if over else 0
    rows = [item_row(item, quotes.get(item.asset.id)) for item in planned.items]
    if reports:
        said = [
            planned_line(app, manifest, item, cost=row["cost"] if item.asset.id in quotes else None)
            for item, row in zip(planned.items, rows, strict=True)
        ]
        write_reports(app, manifest, said, reports, what="plan", orphans=planned.orphans)
    if app.say_json == "json":
        _told(app, over)
        return app.emit([], over, code, plan=rows, orphans=list(planned.orphans), estimate=estimate_rows(lines))
    if app.say_json == "jsonl":
        for row in rows:
            app.streams.out(jsonl_line(row_event("plan", row)))
        _told(app, over)
        return app.summary([], over, code, estimate=estimate_rows(lines))
    shown = [
        {**row, "why": "; ".join(row["why"]), "cost": amount(*row["cost"].values()) if row["id"] in quotes else ""}
        for row in rows if row["status"] != "current"
    ]  # fmt: skip
    table(shown, PLAN_COLUMNS, app.streams)
    app.talk(f"{manifest.path.name}: {_summed(planned, quotes, lines)}")
    for name in planned.orphans:
        app.talk(f"{name}: no longer in the manifest; --prune removes it")
    return app.fail(over) if over else 0


def _told(app: App, over: WanError | None) -> None:
    if over:
        say_error(app.streams, over)


def _summed(planned: Plan, quotes: Mapping[str, Quote], lines: Sequence[spend.Line]) -> str:
    """Say it in one line: ``2 to render (5 results) for 24 credits; 1 to collect; 12 up to date``.

    Of an asset that is to be collected something may be missing, which is bought: ``1 to complete``.
    """
    rest, results = sum(item.asset.id in quotes for item in planned.of("open")), sum(line.results for line in lines)
    make = len(quotes) - rest
    many = f" ({results:,} results)" if results != make + rest else ""
    said = ", ".join(f"{count:,} to {word}" for count, word in ((make, "render"), (rest, "complete")) if count)
    parts = [f"{said}{many} for {spend.shown(lines)}" if said else "nothing to render"]
    counted = (
        (planned.of("open"), "to collect, bought before"), (planned.of("moved"), "to rename"),
        (planned.of("edited"), "edited by hand, so left alone"), (planned.of("current"), "up to date"),
    )  # fmt: skip
    return "; ".join([*parts, *(f"{len(items):,} {word}" for items, word in counted if items)])
