"""``wan render --again -n N``: takes to choose from, saved beside an asset's own file; ``wan keep`` promotes one.

Neither the asset's file nor its block of the lock is touched. The takes are tasks of the ledger like those of any verb,
so ``wan status`` and ``wan wait`` know them.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING

from wan_cli import naming
from wan_cli.cli.embedding import extras
from wan_cli.cli.failover import run_through
from wan_cli.cli.outcome import Wish
from wan_cli.cli.rendering.asking import Paths, Reader
from wan_cli.cli.rendering.books import Purchase
from wan_cli.dataclass import dataclass
from wan_cli.errors import UsageError
from wan_cli.models import Cost, Target, Task, Warned
from wan_cli.pattern import pattern

if TYPE_CHECKING:
    from wan_cli.cli.order import Order
    from wan_cli.cli.rendering.command import Call
    from wan_cli.engine import Engine
    from wan_cli.manifest import Asset
    from wan_cli.render.plan import Item, Plan

_TAKE = pattern(r"\.take-([1-9][0-9]{0,5})(?:-[0-9]+)?\.[A-Za-z0-9]+\Z", re.ASCII)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Renders ``number`` takes of each asset that is named."""

    call: Call
    planned: Plan
    reader: Reader
    number: int

    def render(self) -> int:
        """Price, ask, buy and collect the takes. Return the exit code."""
        from wan_cli.cli.rendering.command import limit_of, pass_gate, session_of
        from wan_cli.cli.rendering.telling import report_takes, show_plan, warn_of_alike

        call, options = self.call, self.call.options
        named = [item for item in self.planned.items if call.wanted.picks(item.asset)]
        there = self.planned.of("current", "edited", "moved")
        paths = {item.asset.id: [made.path for made in item.entry.files] for item in there if item.entry}
        self._check(named, paths)
        quotes = {item.asset.id: self.reader.quote(item.asset, paths, pinned=_pinned(item)) for item in named}
        warn_of_alike(call.app, call.manifest, (item.asset for item in named))
        dearest = [line for quote in quotes.values() for line in quote.dearest] * self.number
        if options.plan:
            return show_plan(call.app, call.manifest, self.planned, quotes, dearest, options.report or ())
        pass_gate(call.app, options, dearest)
        orders = [(item.asset, self.reader.order(item.asset, paths, pinned=_pinned(item))) for item in named]
        tasks = [pair for asset, order in orders for pair in self._tasks(asset, order)]
        call.app.ledger.add([task for task, _ in tasks])
        call.app.buying = True
        session, limit = session_of(call), limit_of(call)

        async def work(engine: Engine) -> list[Task]:
            engine.submits = options.jobs or engine.submits
            for asset, message in ((asset, one) for asset, order in orders for one in order.fitted.warnings):
                engine.tell(Warned(message=f"{asset.id}: {message}"))
            how = {"wait": options.wait, "download": True, "limit": limit}
            return await engine.gathered(
                run_through(call.app, engine, task, order.candidates[1:], **how) for task, order in tasks
            )

        wish, ended = Wish(wait=options.wait), session.run(work)
        if options.report:
            owners = [asset.id for asset, order in orders for _ in range(self.number * len(order.jobs))]
            made = {name: [task for owner, task in zip(owners, ended, strict=True) if owner == name] for name in owners}
            report_takes(call.app, call.manifest, named, made, options.report, wish)
        return session.conclude(ended, wish)

    def _check(self, named: Sequence[Item], paths: Paths) -> None:
        """Refuse takes of what uses an asset that is not there: it would have to be bought first."""
        for item in named:
            absent = [need for need in item.asset.needs if need not in paths]
            if absent:
                raise UsageError(
                    f"{self.call.manifest.where(item.asset)}: {item.asset.id}: @{absent[0]} is not there yet",
                    hint=self.call.manifest.command(),
                )

    def _tasks(self, asset: Asset, order: Order) -> Iterator[tuple[Task, Order]]:
        app, model = self.call.app, order.model
        template = self.call.places.template(asset)
        first = _free(template)
        for number in range(first, first + self.number):
            target = Target(template=beside(template, number), **extras(app, asset.fields))
            batch = secrets.token_hex(8)
            for place, (job, line) in enumerate(zip(order.jobs, order.lines, strict=True), start=1):
                amount = None if line.amount is None else float(line.amount)
                yield Task(
                    id=app.ledger.new_id(), provider=model.provider, origin=app.provider(model.provider).origin,
                    job=job, provider_model=model.id, token=f"wan-{secrets.token_hex(16)}", created_at=app.now(),
                    target=target, sandbox=app.sandbox, batch=batch, item=place, siblings=len(order.jobs),
                    warnings=order.fitted.warnings, key_print=app.key_print(model.provider),
                    fingerprint=Purchase(asset.id, asset.request, {}, 0).mark,
                    cost=Cost(estimated=amount, unit=line.unit),
                ), order  # fmt: skip


def _pinned(item: Item) -> str | None:
    return item.entry.pinned if item.entry else None


def beside(template: str, number: int) -> str:
    """Return where take ``number`` goes: ``hero.take-2.png`` beside ``hero.png``."""
    path = PurePath(template)
    end = "{ext}" if path.name.endswith("{ext}") else path.suffix
    return str(path.with_name(f"{path.name.removesuffix(end)}.take-{number}{end}"))


def _free(template: str) -> int:
    """Return the first number that no take in the asset's folder has."""
    (path,) = naming.final_paths(template, 1, ".png")
    folder, stem = Path(path).parent, Path(path).stem
    names = [one.name for one in folder.iterdir()] if folder.is_dir() else []
    found = [_TAKE.search(name) for name in names if name.startswith(f"{stem}.take-")]
    return max((int(one[1]) for one in found if one), default=0) + 1
