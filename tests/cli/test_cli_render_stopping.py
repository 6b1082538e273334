"""What stops a render from buying, and never from collecting; and how its exit code tells (interface.md, section 4)."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest
from support_cli import Cli
from support_provider import Say
from support_render import answering, assets, block, one, prompts, refusal, sent

from wan_cli.engine import Engine

RENDER = ("render", "assets.toml")
LIMITED = refusal(429, "rate_limited", "slow down")


def many(cli: Cli, number: int, **fields: Any) -> list[str]:
    """Write a manifest of so many assets, and return their ids in order."""
    names = [f"pic{place:02}" for place in range(number)]
    assets(cli, *(one(name, **fields) for name in names))
    return names


def test_c16_a_breaker(live: Cli) -> None:
    """C16: after five purchases in a row that were not taken nothing more is bought there; what was is collected."""
    names = many(live, 30, provider="modelverse")
    live.run(*RENDER, "--only", "pic0[0-4]", "--no-wait")
    answering(live, dict.fromkeys(names[5:], LIMITED))
    ran = live.run(*RENDER, "--jobs", "1", "--yes")
    assert ran.code == 11, ran.err
    assert ran.lines == [f"{name}.png" for name in names[:5]]
    tried = set(sent(live)[5:])
    assert len(tried) == 5
    assert live.provider.purchases == 5
    assert "in a row" in ran.err


@pytest.mark.parametrize("jobs", ["1", "4"])
def test_c16_everything_refused(live: Cli, jobs: str) -> None:
    """C16: with many at once, no more are sent after the fifth refusal than were under way; all alike is 6."""
    names = many(live, 40, provider="modelverse")
    answering(live, dict.fromkeys(names, LIMITED))
    ran = live.run(*RENDER, "--jobs", jobs, "--yes")
    assert ran.code == 6, ran.err
    assert len(set(sent(live))) <= 5 + int(jobs)
    assert block(live) == {}


def test_c16_no_clear_answers(live: Cli) -> None:
    """C16: five answers in a row that say nothing clear stop the buying too: each may have been a purchase."""
    names = many(live, 20, provider="modelverse")
    answering(live, dict.fromkeys(names, Say(500, {"error": {"message": "oops"}})))
    ran = live.run(*RENDER, "--jobs", "1")
    assert ran.code == 9, ran.err
    assert len(sent(live)) == 5


def test_c16_the_next_provider(live: Cli) -> None:
    """C16: a list of providers goes on without the one that is in trouble."""
    names = [f"pic{place:02}" for place in range(8)]
    assets(live, *(one(name, provider=["modelverse", "rivya"]) for name in names))
    live.provider._modelverse_submit = lambda seen: LIMITED
    ran = live.run(*RENDER, "--jobs", "1")
    assert ran.code == 0, ran.err
    assert {block(live, name)["provider"] for name in names} == {"rivya"}
    assert len([seen for seen in live.provider.asked("submit") if not seen.path.startswith("/api/")]) == 5 * 4


def test_moderation_breaks_nothing(live: Cli) -> None:
    """Refusals of the request itself say nothing of the next one: all are tried."""
    names = many(live, 8, provider="modelverse")
    answering(live, dict.fromkeys(names, refusal(400, "invalid", "no")))
    ran = live.run(*RENDER, "--jobs", "1")
    assert ran.code == 4, ran.err
    assert len(sent(live)) == 8


def test_fail_fast(live: Cli) -> None:
    """--fail-fast buys nothing after a failure, also not what is in hand; what was bought before is collected."""
    names = many(live, 12, provider="modelverse")
    live.run(*RENDER, "--only", "pic1*", "--no-wait")
    answering(live, {"pic00": refusal(400, "invalid", "no")})
    ran = live.run(*RENDER, "--fail-fast", "--jobs", "1")
    assert ran.code == 11, ran.err
    assert ran.lines == ["pic10.png", "pic11.png"]
    assert sent(live)[2:] == ["pic00"]
    assert live.run(*RENDER).code == 11
    assert live.provider.purchases == len(names) - 1


def test_fail_fast_in_hand(live: Cli) -> None:
    """What waits for its turn when another asset fails is not sent either."""
    names = many(live, 12, provider="modelverse")
    answering(live, {"pic00": refusal(400, "invalid", "no")})
    live.engine["submits"] = 1
    ran = live.run(*RENDER, "--fail-fast")
    assert ran.code == 11, ran.err
    assert live.provider.purchases < len(names) - 1
    assert live.provider.purchases == len(block(live))


def test_keep_going(live: Cli) -> None:
    """One that fails takes nothing but what uses it along: 11, and each says why."""
    assets(
        live, one("hero", provider="modelverse"), one("owl"),
        one("poster", provider="modelverse", verb="edit", images=["@hero"]),
        one("card", provider="modelverse", verb="edit", images=["@poster"]),
    )  # fmt: skip
    answering(live, {"hero": refusal(400, "invalid", "no such style")})
    ran = live.run(*RENDER, "--json")
    assert ran.code == 11, ran.err
    endings = {row["id"]: row["ending"] for row in ran.json["assets"]}
    assert endings == {"hero": "failed", "owl": "made", "poster": "skipped", "card": "skipped"}
    assert prompts(live) == ["owl"]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (refusal(400, "invalid", "no"), 4),
        (refusal(402), 5),
        (LIMITED, 6),
        (refusal(401, message="bad key"), 3),
        (Say(drop=True), 9),
    ],
)
def test_failing_alike(live: Cli, answer: Say, code: int) -> None:
    """Assets that all fail alike, with what uses them, end with that code."""
    rows = one("hero", provider="modelverse"), one("poster", provider="modelverse", verb="edit", images=["@hero"])
    assets(live, *rows, one("owl", provider="modelverse"))
    answering(live, {"hero": answer, "owl": answer})
    ran = live.run(*RENDER)
    assert ran.code == code, ran.err
    assert live.provider.purchases == 0


def test_worse_than_failed(live: Cli) -> None:
    """A result that cannot be fetched is 12 whatever else failed, and is fetched by the next run."""
    assets(live, *(one(name, provider="modelverse") for name in ("fox", "owl", "bear")))
    answering(live, {"owl": refusal(400, "invalid", "no")})
    live.provider.always["download"] = Say(500)
    ran = live.run(*RENDER)
    assert ran.code == 12, ran.err
    assert sorted(name for name, entry in block(live).items() if entry["open"]) == ["bear", "fox"]
    live.provider.always.clear()
    assert live.run(*RENDER).code == 11
    assert live.provider.purchases == 2
    assert live.files() == ["assets.lock", "assets.toml", "bear.png", "fox.png"]


def test_slower_after_429(live: Cli) -> None:
    """A 429 halves the purchases that are under way at once, and its Retry-After holds for all of them."""
    names = many(live, 12, provider="modelverse")
    live.provider.script["submit"] = [Say(429, LIMITED.body, {"Retry-After": "7"})] * 3
    seen: list[tuple[float, float]] = []
    asyncio_sleep = live.clock.sleep

    async def sleep(seconds: float) -> None:
        seen.append((live.clock.now, seconds))
        await asyncio_sleep(seconds)

    live.engine["sleep"] = sleep
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert sorted(prompts(live)) == names
    assert any(seconds >= 7 for _, seconds in seen)


def test_room_in_headers(live: Cli) -> None:
    """X-RateLimit-Remaining: 0 pauses the next purchase until X-RateLimit-Reset, without a 429."""
    many(live, 3, provider="modelverse")
    usual = live.provider._modelverse_submit
    times: list[float] = []

    def submit(seen: Any) -> Say:
        times.append(live.clock.now)
        said: Say = usual(seen)
        said.headers |= {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "40"}
        return said

    live.provider._modelverse_submit = submit
    assert live.run(*RENDER, "--jobs", "1").code == 0
    assert len(times) == 3
    assert all(later - earlier >= 40 for earlier, later in itertools.pairwise(times))


def test_jobs(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """--jobs bounds the assets in hand and the purchases under way."""
    names = many(live, 9, provider="modelverse")
    most = [0]
    run = Engine.run
    active: set[str] = set()

    async def counted(self: Engine, task: Any, **how: Any) -> Any:
        active.add(task.id)
        most[0] = max(most[0], len(active))
        try:
            await asyncio.sleep(0)
            return await run(self, task, **how)
        finally:
            active.discard(task.id)

    monkeypatch.setattr(Engine, "run", counted)
    assert live.run(*RENDER, "--jobs", "3").code == 0
    assert most == [3]
    assert len(prompts(live)) == len(names)


def test_a_bug_in_one(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bug in one asset is 1, after the others that were begun have been brought in."""
    many(live, 3, provider="modelverse")
    run = Engine.run

    async def broken(self: Engine, task: Any, **how: Any) -> Any:
        if task.job.prompt.endswith("pic01"):
            raise RuntimeError("oops")
        return await run(self, task, **how)

    monkeypatch.setattr(Engine, "run", broken)
    ran = live.run(*RENDER)
    assert ran.code == 1
    assert set(block(live)) <= {"pic00", "pic02"}
    assert all("files" in entry for entry in block(live).values())
    monkeypatch.undo()
    live.env["WAN_STATE_DIR"] = str(live.root / "state")
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 3
