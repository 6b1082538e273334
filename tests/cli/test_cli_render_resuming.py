"""What was bought before is collected: on this machine, on another one, and as a person decided about it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from support_cli import MODELVERSE_KEY, Cli, picture
from support_provider import FakeProvider, Say
from support_render import answering, assets, block, elsewhere, one, prompts, refusal

from wan_cli.errors import StateUnusable
from wan_cli.ledger import Ledger
from wan_cli.models import New, Sending, Task

RENDER = ("render", "assets.toml")
BOTH = ("rivya", "modelverse")
GONE = Say(403, {"error": "Request has expired"})


def edit_lock(cli: Cli, **changes: Any) -> None:
    """Change the purchase under way that the lock has of the only asset."""
    path = cli.cwd / "assets.lock"
    document = json.loads(path.read_text(encoding="utf-8"))
    (entry,) = document["assets"].values()
    flight = {**entry["open"][0], **changes}
    entry["open"] = [{name: value for name, value in flight.items() if value is not None}]
    path.write_text(json.dumps(document), encoding="utf-8")


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("name", BOTH)
def test_now_and_later(live: Cli, where: str, name: str) -> None:
    """--no-wait prints a handle for each asset; a later run, also on another machine, collects from the lock alone."""
    assets(live, one("fox"), one("owl"), defaults={"provider": name})
    ran = live.run(*RENDER, "--no-wait")
    assert ran.code == 0, ran.err
    handles = [block(live, asset)["open"][0]["task"] for asset in ("fox", "owl")]
    assert ran.lines == [f"{name}:{task}" for task in handles]
    if where == "elsewhere":
        elsewhere(live)
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox.png", "owl.png"]), ran.err
    assert live.provider.purchases == 2
    entry = block(live, "fox")
    assert entry["handle"] == f"{name}:{handles[0]}"
    assert "open" not in entry
    assert live.run(*RENDER, "--check").code == 0


def test_dependants_wait(live: Cli) -> None:
    """With --no-wait what uses another asset is left to the run that has collected it; that is no failure."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows)
    ran = live.run(*RENDER, "--no-wait")
    assert (ran.code, len(ran.lines)) == (0, 1), ran.err
    elsewhere(live)
    assert live.run(*RENDER).code == 0
    assert prompts(live) == ["hero", "poster"]


def test_a_set_of_tasks(live: Cli) -> None:
    """Several tasks for one asset are collected elsewhere under the names that they would have had here."""
    assets(live, one("fox", provider="rivya", count=3))
    assert len(live.run(*RENDER, "--no-wait").lines) == 3
    elsewhere(live)
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox-1.png", "fox-2.png", "fox-3.png"]), ran.err
    assert live.provider.purchases == 3


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_another_account(live: Cli, where: str) -> None:
    """A task of another account is 3, stays in the lock, and is never bought again."""
    assets(live, one("fox", provider="modelverse"), one("owl", provider="rivya"))
    live.run(*RENDER, "--no-wait")
    if where == "elsewhere":
        elsewhere(live)
    asked = len(live.provider.seen)
    ran = live.run(*RENDER, "--only", "fox", env={"MODELVERSE_API_KEY": "mv-another-0123456789abcdef"})
    assert (ran.code, ran.said("charged")) == (3, "yes"), ran.err
    assert len(live.provider.seen) == asked
    ran = live.run(*RENDER, "--only", "fox", env={"MODELVERSE_API_KEY": ""})
    assert ran.code == 3, ran.err
    live.env["MODELVERSE_API_KEY"] = MODELVERSE_KEY
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 2


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_c10_edited_after_it_was_submitted(live: Cli, where: str) -> None:
    """C10: what was bought before an edit is collected and said (13); the next run buys what the manifest says."""
    assets(live, one("fox", provider="modelverse"))
    live.run(*RENDER, "--no-wait")
    assets(live, one("fox", provider="modelverse", seed=7))
    if where == "elsewhere":
        elsewhere(live)
    ran = live.run(*RENDER, "--json")
    assert ran.code == 13, ran.err
    assert (ran.json["error"]["code"], ran.task["state"]) == ("stale", "succeeded")
    assert live.provider.purchases == 1
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 2
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 2


def test_c10_and_what_uses_it(live: Cli) -> None:
    """What uses an asset that is about to be replaced waits for the new one."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows)
    live.run(*RENDER, "--no-wait")
    assets(live, rows[0] | {"seed": 7}, rows[1])
    assert live.run(*RENDER).code == 13
    assert live.run(*RENDER).code == 0
    assert prompts(live) == ["hero", "hero", "poster"]


def test_c10_and_its_reference(live: Cli) -> None:
    """A reference that was edited after the submit: the result is collected as made from the old one."""
    live.write("ref.png", live.provider.deliver(Say_order(), 1))
    assets(live, one("fox", provider="modelverse", verb="edit", images=["ref.png"]))
    live.run(*RENDER, "--no-wait")
    live.write("ref.png", live.provider.deliver(Say_order(1000), 1))
    assert live.run(*RENDER).code == 13
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 2


def Say_order(side: int = 900) -> Any:  # noqa: N802 - stands in for an order
    """Return an order of that size."""
    from support_provider import Order

    return Order("", "modelverse", 1, (side, side), {})


# In doubt.


@pytest.mark.parametrize("where", ["here", "elsewhere"])
def test_in_doubt(live: Cli, where: str) -> None:
    """A lost answer is 9 in every later run and in the lock, and is not bought again; the others are made."""
    answering(live, {"fox": Say(drop=True, accept=True)})
    assets(live, one("fox"), one("owl"), defaults={"provider": "modelverse"})
    ran = live.run(*RENDER)
    assert ran.code == 9, ran.err
    assert "wan recover" in ran.said("hint")
    assert block(live, "fox")["open"][0]["state"] == "unknown"
    assert block(live, "owl")["files"]
    if where == "elsewhere":
        elsewhere(live)
    for _ in range(2):
        ran = live.run(*RENDER)
        assert ran.code == 9, ran.err
    assert live.provider.purchases == 2
    assert len(live.run("recover", "--json").json["tasks"]) == 1


def doubtful(live: Cli) -> str:
    """Render one asset whose answer is lost, and return its task's id."""
    answering(live, {"fox": Say(drop=True, accept=True)})
    assets(live, one("fox", provider="modelverse"))
    assert live.run(*RENDER).code == 9
    live.provider._usual = FakeProvider._usual.__get__(live.provider)
    (task,) = live.run("recover", "--json").json["tasks"]
    return str(task["id"])


def test_given_up(live: Cli) -> None:
    """A purchase that a person closed is not followed any more: the next run renders the asset anew."""
    live.run("recover", doubtful(live), "--abandon")
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert live.provider.purchases == 2
    assert block(live, "fox")["take"] == 2
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 2


def test_given_up_counts(live: Cli) -> None:
    """What is rendered because a person closed its purchase passes the gate like any other."""
    live.run("recover", doubtful(live), "--abandon")
    live.config('[prices."modelverse/wan2.7-image"]\namount = 2\nunit = "CNY"\nper = "image"\n')
    assert live.run(*RENDER, "--max-cost", "1CNY").code == 5
    assert live.run(*RENDER, "--plan", "--json").json["estimate"] == [{"amount": 2, "unit": "CNY"}]
    assert live.provider.purchases == 1


@pytest.mark.parametrize("waits", ["--wait", "--no-wait"])
def test_adopted(live: Cli, waits: str) -> None:
    """A purchase that a person found again is the asset's result."""
    task = doubtful(live)
    live.run("recover", task, "--adopt", live.provider.orders[0].id, waits)
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert live.provider.purchases == 1
    assert block(live, "fox")["handle"] == "modelverse:mv-1"
    assert live.files() == ["assets.lock", "assets.toml", "fox.png"]


@pytest.mark.parametrize("waits", ["--wait", "--no-wait"])
def test_sent_again(live: Cli, waits: str) -> None:
    """A purchase that a person sent again is the asset's result."""
    live.run("recover", doubtful(live), "--resubmit", "--yes", waits)
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert live.provider.purchases == 2
    assert block(live, "fox")["handle"] == "modelverse:mv-2"
    assert "open" not in block(live, "fox")


@pytest.mark.parametrize(("name", "code", "requests"), [("rivya", 0, 2), ("modelverse", 9, 1)])
def test_sending_elsewhere(live: Cli, name: str, code: int, requests: int) -> None:
    """A purchase that another machine was sending: under its key it is the same one; without keys it is in doubt."""
    assets(live, one("fox", provider=name))
    live.run(*RENDER, "--no-wait")
    edit_lock(live, state="sending", task=None)
    elsewhere(live)
    ran = live.run(*RENDER)
    assert ran.code == code, ran.err
    assert len(live.provider.asked("submit")) == requests
    assert live.provider.purchases == 1
    keys = {(seen.headers.get("idempotency-key"), seen.body) for seen in live.provider.asked("submit")}
    assert len(keys) == 1


@pytest.mark.parametrize("change", [{"seed": 7}, {"prompt": "a picture of dogs"}])
def test_sending_elsewhere_what_has_changed(live: Cli, change: dict[str, Any]) -> None:
    """What another machine was sending is not sent again when the request is another one by now: it is in doubt."""
    assets(live, one("fox", provider="rivya"))
    live.run(*RENDER, "--no-wait")
    edit_lock(live, state="sending", task=None)
    assets(live, one("fox", provider="rivya") | change)
    elsewhere(live)
    assert live.run(*RENDER).code == 9
    assert len(live.provider.asked("submit")) == 1


def test_sending_too_long_ago(live: Cli) -> None:
    """After ten minutes a key is no longer trusted to be remembered (reliability.md 4.6)."""
    assets(live, one("fox", provider="rivya"))
    live.run(*RENDER, "--no-wait")
    edit_lock(live, state="sending", task=None)
    elsewhere(live)
    live.clock.now += 3600
    assert live.run(*RENDER).code == 9
    assert len(live.provider.asked("submit")) == 1


def test_sending_here_and_never_sent(live: Cli) -> None:
    """A run that ended between its two books: the ledger knows that nothing was sent, so it is bought once."""
    live.provider.script["submit"] = [refusal(402)]
    assets(live, one("fox", provider="modelverse"))
    assert live.run(*RENDER).code == 5
    flight = {
        "state": "sending", "request": "", "provider": "modelverse", "origin": live.provider.url, "model": "m",
        "token": "t", "at": live.clock.now, "key": "none",
    }  # fmt: skip
    assets(live, one("fox", provider="modelverse"))
    request = live.run(*RENDER, "--plan", "--json")
    assert request.code == 0
    from wan_cli.manifest import read

    flight["request"] = read(live.cwd / "assets.toml").assets["fox"].request
    live.write("assets.lock", json.dumps({"wan_lock": 1, "assets": {"fox": {"open": [flight]}}}))
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 1


# With the other commands.


def test_wait_collects_it(live: Cli) -> None:
    """A render's tasks are those of ``wan status`` and ``wan wait``; the next render finds what came."""
    assets(live, one("fox", provider="rivya"), one("owl", provider="rivya"))
    live.run(*RENDER, "--no-wait")
    assert len(live.run("status", "--json").json["tasks"]) == 2
    assert sorted(live.run("wait").lines) == ["fox.png", "owl.png"]
    asked = len(live.provider.seen)
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox.png", "owl.png"]), ran.err
    assert len(live.provider.seen) == asked


def test_wait_put_it_elsewhere(live: Cli) -> None:
    """What ``wan wait -o`` put outside the root is fetched once more, not bought."""
    assets(live, one("fox", provider="rivya"))
    (handle,) = live.run(*RENDER, "--no-wait").lines
    assert live.run("wait", handle, "-o", str(live.root / "fox.png")).code == 0
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert live.provider.purchases == 1


def test_the_lock_is_lost(live: Cli) -> None:
    """Where only the ledger knows of a purchase, it is continued from there."""
    assets(live, one("fox", provider="rivya"), one("owl", provider="modelverse"))
    live.run(*RENDER, "--no-wait")
    (live.cwd / "assets.lock").unlink()
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 2
    for name in ("assets.lock", "fox.png", "owl.png"):
        (live.cwd / name).unlink()
    assert live.run(*RENDER).code == 0  # fetched again from where they are kept
    assert live.provider.purchases == 2
    assert live.run(*RENDER, "--check").code == 0


def test_nothing_to_fetch_again(live: Cli) -> None:
    """A result that is lost with its lock, and that no provider keeps any more, is bought anew in the same run."""
    assets(live, one("fox", provider="rivya"))
    live.run(*RENDER)
    (live.cwd / "assets.lock").unlink()
    (live.cwd / "fox.png").unlink()
    live.clock.now += 90_000
    first = live.provider.orders[0]
    first.id = "forgotten"
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert live.provider.purchases == 2
    assert block(live, "fox")["take"] == 2


def test_still_running(live: Cli) -> None:
    """What does not end within --timeout is 8; what uses it waits; the next run collects and goes on."""
    live.provider.always["poll"] = Say(200, {"output": {"task_id": "mv-1", "task_status": "Running"}})
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows)
    ran = live.run(*RENDER, "--timeout", "30s")
    assert ran.code == 8, ran.err
    assert block(live, "hero")["open"]
    live.provider.always.clear()
    assert live.run(*RENDER).code == 0
    assert prompts(live) == ["hero", "poster"]


def test_collected_though_it_cannot_be_bought(live: Cli) -> None:
    """A result is collected though what it uses has failed, or its reference is gone, since."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows)
    live.run(*RENDER, "--only", "hero")
    live.run(*RENDER, "--no-wait")
    assets(live, rows[0] | {"seed": 3}, rows[1])
    answering(live, {"hero": refusal(400, "invalid", "no")})
    ran = live.run(*RENDER)
    assert ran.code == 11, ran.err
    assert "poster.png" in ran.lines
    assert "open" not in block(live, "poster")


def test_a_lock_names_a_strange_provider(live: Cli) -> None:
    """A purchase of a provider that there is none of is a usage error, and nothing is sent."""
    assets(live, one("fox", provider="rivya"))
    live.run(*RENDER, "--no-wait")
    edit_lock(live, provider="nobody")
    elsewhere(live)
    asked = len(live.provider.seen)
    ran = live.run(*RENDER)
    assert ran.code == 2, ran.err
    assert len(live.provider.seen) == asked


def test_a_lock_names_another_origin(live: Cli) -> None:
    """A purchase made at another base URL is not asked about here, and not bought."""
    assets(live, one("fox", provider="rivya"))
    live.run(*RENDER, "--no-wait")
    edit_lock(live, origin="https://evil.example")
    elsewhere(live)
    asked = len(live.provider.seen)
    assert live.run(*RENDER).code in (3, 8)
    assert len(live.provider.seen) == asked


@pytest.mark.parametrize("state", ["sending", "new"])
def test_a_ledger_that_is_behind(live: Cli, state: str) -> None:
    """Where the lock knows more of a purchase than the ledger, as after a restored backup, the lock is followed."""
    assets(live, one("fox", provider="modelverse"))
    live.run(*RENDER, "--no-wait")
    with Ledger.open(live.root / "state", clock=live.clock) as ledger:
        (task,) = ledger.recent()
        behind = Sending(at=live.clock.now) if state == "sending" else New()
        ledger.save(replace(task, state=behind, task_id=None, charged="unknown" if state == "sending" else "no"))
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert live.provider.purchases == 1


def test_prompts_are_not_stored(live: Cli) -> None:
    """Without stored prompts a purchase under way is resumed with the manifest's own prompt, under its key."""
    live.config("[privacy]\nstore_prompts = false\n")
    assets(live, one("fox", provider="rivya"))
    live.run(*RENDER, "--no-wait")
    with Ledger.open(live.root / "state", store_prompts=False, clock=live.clock) as ledger:
        (task,) = ledger.recent()
        ledger.save(replace(task, state=Sending(at=live.clock.now), task_id=None, charged="unknown"))
    edit_lock(live, state="sending", task=None)
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert live.provider.purchases == 1


def test_a_ledger_that_fails(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the ledger takes no answer the lock has it, so that the next run collects and buys nothing."""
    save = Ledger.save

    def full(self: Ledger, task: Task) -> None:
        if task.state.kind not in ("new", "sending"):
            raise StateUnusable("the ledger cannot be written: No space left on device", hint="free space")
        save(self, task)

    monkeypatch.setattr(Ledger, "save", full)
    assets(live, one("fox", provider="modelverse"))
    ran = live.run(*RENDER, "--no-wait")
    assert block(live, "fox")["open"][0]["task"] == "mv-1", ran.err
    monkeypatch.undo()
    live.env["WAN_STATE_DIR"] = str(live.root / "state")
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert live.provider.purchases == 1


# Bought twice, and lost.


def branched(cli: Cli, name: str = "modelverse", **fields: Any) -> None:
    """Buy the same asset on two machines, without waiting, and merge their locks as git would."""
    assets(cli, one("fox", provider=name, **fields))
    base, ours, theirs = (cli.root / f"{side}.lock" for side in ("base", "ours", "theirs"))
    base.write_text('{"wan_lock": 1, "assets": {}}', encoding="utf-8")
    for side in (theirs, ours):
        elsewhere(cli, side.stem)
        assert cli.run(*RENDER, "--no-wait").code == 0
        (cli.cwd / "assets.lock").rename(side)
    assert cli.run("render", "--merge", str(base), str(ours), str(theirs)).code == 0
    ours.rename(cli.cwd / "assets.lock")


def test_bought_on_two_branches(live: Cli) -> None:
    """Two machines bought the same take: both results come in, the first as the asset, the other beside it."""
    live.provider.deliver = lambda order, _: picture(1024 + 16 * int(order.id.removeprefix("mv-")), 1024)
    branched(live)
    assert len(block(live, "fox")["open"]) == 2
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert "bought twice, on two branches" in ran.err
    assert live.files() == ["assets.lock", "assets.toml", "fox-2.png", "fox.png"]
    assert "open" not in block(live, "fox")
    assert [made["path"] for made in block(live, "fox")["files"]] == ["fox.png"]
    assert live.provider.purchases == 2
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 2


def test_a_twin_makes_nothing_up_to_date(live: Cli) -> None:
    """A twin that comes in late, after an edit, is put beside; the run says that the asset has to be rendered (13)."""
    live.provider.deliver = lambda order, _: picture(1024 + 16 * int(order.id.removeprefix("mv-")), 1024)
    branched(live)
    twin = block(live, "fox")["open"][1]
    assert live.run(*RENDER).code == 0
    path = live.cwd / "assets.lock"
    lock = json.loads(path.read_text(encoding="utf-8"))
    lock["assets"]["fox"]["open"] = [twin]
    path.write_text(json.dumps(lock), encoding="utf-8")
    assets(live, one("fox", provider="modelverse", seed=7))
    assert live.run(*RENDER).code == 13
    assert (live.run(*RENDER).code, live.provider.purchases) == (0, 3)


def test_bought_once_on_two_branches(live: Cli) -> None:
    """Under the same idempotency key two machines bought one task, and one result comes in."""
    branched(live, "rivya")
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert live.files() == ["assets.lock", "assets.toml", "fox.png"]
    assert live.provider.purchases == 1


@pytest.mark.parametrize("where", ["here", "elsewhere"])
@pytest.mark.parametrize("name", BOTH)
def test_a_lost_result_is_asked_for_again(live: Cli, where: str, name: str) -> None:
    """Exit 10 leaves the purchase in the lock: the next run asks again and buys nothing."""
    assets(live, one("fox", provider=name))
    live.provider.always["download"] = GONE
    ran = live.run(*RENDER)
    assert (ran.code, ran.said("charged")) == (10, "yes"), ran.err
    assert [flight["state"] for flight in block(live, "fox")["open"]] == ["pending"]
    if where == "elsewhere":
        elsewhere(live)
    assert live.run(*RENDER).code == 10
    live.provider.always.clear()
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (0, ["fox.png"]), ran.err
    assert live.provider.purchases == 1
    assert "open" not in block(live, "fox")


def test_a_lost_result_is_bought_again_by_a_person(live: Cli) -> None:
    """With --force what is lost for good is bought anew, and only then; the plan says what that may cost."""
    assets(live, one("fox", provider="modelverse"))
    live.provider.always["download"] = GONE
    live.run(*RENDER)
    planned = live.run(*RENDER, "--plan", "--force", "--json")
    assert planned.json["plan"][0]["status"] == "open"
    assert len(planned.json["estimate"]) == 1
    ran = live.run(*RENDER, "--force")
    assert ran.code == 10, ran.err  # the second one is lost as well
    assert live.provider.purchases == 2
    live.provider.always.clear()
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 2
