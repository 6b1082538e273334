"""Any order of purchases, kills, lost answers, full disks, signals and decisions keeps the seven invariants.

Source: reliability.md 4.4. The machine runs whole command lines over a real ledger against a model of keyed and
unkeyed, asynchronous and synchronous providers. ``WAN_TEST_MACHINE=full`` runs it with
other numbers every time, 2,000 steps and more; ``--hypothesis-show-statistics`` tells what happened how often.
"""

from __future__ import annotations

import itertools
import os
import shutil
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test
from support_machine import FETCHES, LEAVES, POLLS, TAKES, Row, Shop

from wan_cli.engine import collect, delivery, submit
from wan_cli.ledger import Ledger
from wan_cli.models import Failed
from wan_cli.providers.modelverse import Modelverse

FULL = os.environ.get("WAN_TEST_MACHINE") == "full"
KINDS = {
    "rivya": ("-p", "rivya"),
    "modelverse": ("-p", "modelverse", "--async"),
    "modelverse-sync": ("-p", "modelverse", "--sync"),
    "openai": ("-p", "openai", "-m", "gpt-image-1"),
}
SEAMS = st.none() | st.integers(1, 40)
TROUBLES = st.sampled_from((None, None, None, None, "ledger full", "target full", "key revoked"))
SUBMITS = st.lists(st.sampled_from((*TAKES, *LEAVES)), max_size=3)
COLLECTS = st.lists(st.sampled_from(POLLS), max_size=3)
DOWNLOADS = st.lists(st.sampled_from(FETCHES), max_size=2)
SIGNALS = st.sampled_from(
    ((), (), (), (), ("submit",), ("submit answered",), ("submit", "submit"), ("poll",), ("fetch",))
)
OUTCOMES = {"unknown", "sending"}
ACCEPTED = {"pending", "done", "saved"}


class Purchases(RuleBasedStateMachine):
    """What a user, a provider and bad luck can do, in any order."""

    steps = 0
    """Command lines that were run, in all."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="wan-machine-"))
        self.shop = Shop(self.folder)
        self.numbers = itertools.count(1)
        self.keyed: dict[str, tuple[str, ...]] = {}
        self.allowed: dict[str, int] = {}
        """By prompt: how many purchases the user asked for in so many words."""
        self.before: dict[str, Row] = {}
        self.spoken: set[str] = set()
        """Tasks about which the last step had an explicit word."""
        self.said = ""
        self.clean = True

    def teardown(self) -> None:
        """At the end everything that was paid for and is still known can be collected."""
        try:
            self._settle()
        finally:
            if FULL:
                (Path(tempfile.gettempdir()) / "wan-machine-steps").write_text(str(Purchases.steps), encoding="ascii")
            self.shop.close()
            shutil.rmtree(self.folder, ignore_errors=True)

    # -- what users do

    def run(self, *argv: str, **how: Any) -> Any:
        """Run a command, note what the invariants need to know of it, and hold its exit code to the ledger."""
        for step in ("submit", "poll", "fetch"):
            self.shop.market.script[step] = list(how.pop(step, ()))
        self.shop.market.signals = list(how.pop("signals", ()))
        self.clean = how.get("trouble") != "ledger full"
        ran = self.shop.run(*argv, **how)
        self.clean = self.clean and ran is not None
        self.said = "" if ran is None else ran.err + ran.out
        Purchases.steps += 1
        event(f"{argv[0]}: {'killed' if ran is None else ran.code}")
        if ran is not None:
            assert ran.code != 1, ran.err
        return ran

    @rule(
        kind=st.sampled_from(sorted(KINDS)), named=st.booleans(), wait=st.booleans(), submit=SUBMITS, poll=COLLECTS,
        fetch=DOWNLOADS, seam=SEAMS, trouble=TROUBLES, signals=SIGNALS,
    )  # fmt: skip
    def buy(self, kind: str, *, named: bool, wait: bool, **how: Any) -> None:
        """Ask for a new picture, with an idempotency key of the user's or without."""
        number = next(self.numbers)
        prompt = f"a fox {number}"
        argv: tuple[str, ...] = ("generate", prompt, *KINDS[kind], "-o", f"fox-{number}.png")
        argv += () if wait else ("--no-wait",)
        if named:
            argv += ("--idempotency-key", f"step-{number}")
            self.keyed[prompt] = argv
        self.allowed[prompt] = 1
        self.run(*argv, **how)

    @precondition(lambda self: self.keyed)
    @rule(
        pick=st.integers(0),
        submit=SUBMITS,
        poll=COLLECTS,
        fetch=DOWNLOADS,
        seam=SEAMS,
        trouble=TROUBLES,
        signals=SIGNALS,
    )
    def rerun(self, pick: int, **how: Any) -> None:
        """Repeat a call under its key, as a CI step is retried: it is the same purchase."""
        self.run(*list(self.keyed.values())[pick % len(self.keyed)], **how)

    @rule(one=st.none() | st.integers(0), poll=COLLECTS, fetch=DOWNLOADS, submit=SUBMITS, seam=SEAMS, trouble=TROUBLES,
          signals=SIGNALS)  # fmt: skip
    def wait(self, one: int | None, **how: Any) -> None:
        """Collect one task, or all: never a purchase, but for what a kill left unsent under a key."""
        rows = [row for row in self.shop.rows().values() if row.kind != "new"]
        name = "--all" if one is None or not rows else rows[one % len(rows)].id
        self.run("wait", name, **how)

    @rule(seam=SEAMS)
    def status(self, seam: int | None) -> None:
        """Look: nothing is sent, and what is there stays as it is."""
        self.run("status", seam=seam)
        before, requests = self.shop.rows(), sum(map(len, self.shop.market.requests.values()))
        self.run("status")
        assert self.shop.rows() == before
        assert sum(map(len, self.shop.market.requests.values())) == requests

    @precondition(lambda self: self._doubtful())
    @rule(
        pick=st.integers(0), word=st.sampled_from(("show", "adopt", "stranger", "same-key", "resubmit", "abandon")),
        submit=SUBMITS, poll=COLLECTS, fetch=DOWNLOADS, seam=SEAMS, trouble=TROUBLES,
    )  # fmt: skip
    def recover(self, pick: int, word: str, **how: Any) -> None:
        """Decide about a purchase in doubt, in so many words."""
        doubtful = self._doubtful()
        row = doubtful[pick % len(doubtful)]
        words: tuple[str, ...] = (f"--{word}",)
        if word == "show":
            words = ()
        elif word in {"adopt", "stranger"}:
            mine = [order.id for order in self.shop.market.orders if order.prompt == row.prompt]
            words = ("--adopt", mine[0] if mine and word == "adopt" else "task_9999")
        elif word == "resubmit":
            words = ("--resubmit", "--yes")
            self.allowed[row.prompt] += 1
        if word != "show":
            self.spoken.add(row.id)
        self.run("recover", row.id, *words, **how)

    @precondition(lambda self: self.shop.recovery_files())
    @rule(pick=st.integers(0), seam=SEAMS)
    def take_back(self, pick: int, seam: int | None) -> None:
        """Read a recovery file into the ledger."""
        files = self.shop.recovery_files()
        path = files[pick % len(files)]
        self.spoken |= {name for name in self.before if name in path.name}
        self.run("recover", "--import", str(path), seam=seam)

    # -- what happens

    @rule(seconds=st.sampled_from((-90_000, -3600, -30, 45, 700, 7200, 90_000)))
    def clock(self, seconds: int) -> None:
        """The clock jumps: a suspended laptop, a wrong time zone, a day later."""
        self.shop.cli.clock.now += seconds

    @precondition(lambda self: self.shop.market.orders)
    @rule(pick=st.integers(0), how=st.sampled_from(("forgotten", "expired")))
    def loses(self, pick: int, how: str) -> None:
        """The provider forgets a task, or its result's address expires."""
        orders = self.shop.market.orders
        setattr(orders[pick % len(orders)], how, True)
        event(f"an order is {how}")

    # -- what always holds

    @invariant()
    def i1_nothing_is_paid_twice(self) -> None:
        """As many charges as the user asked for; what is sent again carries one key and one body (invariant 1)."""
        for prompt, charges in self.shop.market.charges.items():
            assert charges <= self.allowed[prompt], f"paid twice: {prompt}, {charges} times"
        for prompt, sent in self.shop.market.requests.items():
            assert len(set(sent)) <= self.allowed[prompt], f"{prompt}: not the same request again"

    @invariant()
    def i2_nothing_leaves_unwritten(self) -> None:
        """The market looked into the ledger at every purchase (invariant 2)."""
        assert not self.shop.market.broken

    @invariant()
    def i3_what_was_answered_is_durable(self) -> None:
        """An id that a provider gave is in the ledger, a recovery file or the last words (invariant 3)."""
        told, self.shop.market.told = self.shop.market.told, []
        if not told or (not self.clean and not self.said):
            return  # killed between the answer and the ledger: what that leaves is i5's and i6's question
        known = {row.task_id for row in self.shop.rows().values()}
        for prompt, name in told:
            assert name in known or name in self.said or name in self.shop.evidence(), (prompt, name)

    @invariant()
    def i4_a_final_name_is_a_whole_file(self) -> None:
        """Every file under a final name has its hash in the ledger (invariant 4)."""
        hashes = {digest for row in self.shop.rows().values() for digest in row.hashes}
        for name, digest in self.shop.results().items():
            assert digest in hashes or not self.clean or self.shop.recovery_files(), name

    @invariant()
    def i5_i6_states_only_go_where_they_may(self) -> None:
        """Unknown ends by a word only, and what was accepted is never dropped (invariants 5 and 6)."""
        after = self.shop.rows()
        for name, old in self.before.items():
            new = after[name]
            if old.kind == "unknown" and new.kind != "unknown":
                assert name in self.spoken, (old, new)
            if old.kind in ACCEPTED:
                assert new.kind in ACCEPTED | {"lost"}, (old, new)
                assert new.task_id == old.task_id, (old, new)
        self.before = after
        self.spoken.clear()

    @invariant()
    def i7_what_is_said_of_the_charge_is_true(self) -> None:
        """A bought task never says "no", one that was not never "yes" (invariant 7); here no bought task ever fails."""
        charges = self.shop.market.charges
        for row in self.shop.rows().values():
            bought = charges[row.prompt]
            assert bought or row.charged != "yes", row
            assert not bought or row.charged != "no", row
            assert not bought or row.kind not in {"new", "failed"}, row

    # -- the end

    def _doubtful(self) -> list[Row]:
        return [row for row in self.shop.rows().values() if row.kind in OUTCOMES]

    def _settle(self) -> None:
        """Collect everything as a patient user would, and count."""
        market = self.shop.market
        for path in self.shop.recovery_files():
            self.shop.run("recover", "--import", str(path))
        self.shop.run("wait", "--all")
        for row in self._doubtful():
            mine = [order.id for order in market.orders if order.prompt == row.prompt]
            owned = {other.task_id for other in self.shop.rows().values()}
            for name in [name for name in mine if name not in owned][:1]:
                self.shop.run("recover", row.id, "--adopt", name)
        kinds = {row.prompt: row.kind for row in self.shop.rows().values()}
        saved = {row.task_id for row in self.shop.rows().values() if row.kind == "saved"}
        files = set(self.shop.results().values())
        for order in market.orders:
            event(f"in the end {kinds[order.prompt]}")
            kept = not order.forgotten and not order.expired and market.charges[order.prompt] == 1
            if kept and kinds[order.prompt] == "saved" and order.id in saved:
                assert files, order
            if kept and order.polls < 1 and order.id.startswith("task") and kinds[order.prompt] in {"pending", "done"}:
                raise AssertionError(f"{order} was bought and could not be collected")
        self.i1_nothing_is_paid_twice()


PROFILE = settings(
    max_examples=250 if FULL else 40, stateful_step_count=40 if FULL else 18, deadline=None, database=None,
    derandomize=not FULL, print_blob=True, suppress_health_check=list(HealthCheck),
)  # fmt: skip
Purchases.TestCase.settings = PROFILE
TestPurchases = pytest.mark.timeout(3600 if FULL else 120)(Purchases.TestCase)


def resends(patch: pytest.MonkeyPatch) -> None:
    """Send an unclear purchase again where no key is documented."""
    patch.setattr(Modelverse, "idempotent", True)


def notes_nothing(patch: pytest.MonkeyPatch) -> None:
    """Send before the attempt is written down."""
    patch.setattr(Ledger, "record_attempt", lambda *_, **__: None)


def shrugs(patch: pytest.MonkeyPatch) -> None:
    """Call an unclear purchase a failed one, with nothing charged."""

    def failed(engine: Any, task: Any, doubt: Any, *_: Any) -> Any:
        return engine.save(
            replace(task, state=Failed(code="network", message=doubt.reason, charged="no"), charged="no")
        )

    patch.setattr(submit, "_unknown", failed)


def forgets_hashes(patch: pytest.MonkeyPatch) -> None:
    """Give a file its name before its hash is written down."""
    saved = delivery._saved
    patch.setattr(delivery, "_saved", lambda engine, task: saved(engine, replace(task, state=_without(task.state))))


def _without(state: Any) -> Any:
    return replace(state, files=())


def drops(patch: pytest.MonkeyPatch) -> None:
    """Give an accepted task up at the first question that fails."""

    def broken(engine: Any, task: Any, reason: str, seen: Any) -> Any:
        return engine.save(replace(task, state=Failed(code="network", message=reason)))

    patch.setattr(collect, "_broken", broken)


@pytest.mark.parametrize(
    ("naive", "words"),
    [
        (resends, "paid twice|not the same request"), (notes_nothing, "_broken|broken"), (shrugs, "Row"),
        (forgets_hashes, "png"), (drops, "Row"),
    ],
    ids=lambda value: getattr(value, "__name__", "_"),
)  # fmt: skip
def test_the_machine_bites(monkeypatch: pytest.MonkeyPatch, naive: Any, words: str) -> None:
    """A client that resends, forgets, shrugs or drops is caught by an invariant within a few runs."""
    naive(monkeypatch)
    quick = settings(PROFILE, max_examples=60, stateful_step_count=10, phases=[Phase.generate], derandomize=True)
    with pytest.raises(AssertionError, match=words):
        run_state_machine_as_test(Purchases, settings=quick)  # type: ignore[no-untyped-call]
