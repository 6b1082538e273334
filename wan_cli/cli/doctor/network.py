"""Reaching the providers that have a key, and the clock against theirs. Nothing is bought."""

from __future__ import annotations

import asyncio
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING

from wan_cli.cli.doctor.finding import NOBODY, Finding, fine, skipped, warning, wrong
from wan_cli.errors import SetupError, WanError
from wan_cli.text import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from wan_cli.cli.context import App

SKEW_S = 60.0
"""Seconds by which the clocks may differ: signatures and idempotency windows are in minutes (reliability.md T09)."""
CONNECT_S, TOTAL_S = 5.0, 8.0
"""A doctor who keeps one waiting is not asked again."""
_REFUSED = (401, 403)
_DOWN = 500
_AWAY = "not reached: "


def reach(app: App, providers: Sequence[str]) -> list[Finding]:
    """Ask each provider for one cheap thing: the balance where it tells, its tasks, else its front page."""

    async def ask() -> list[list[Finding]]:
        return await asyncio.gather(*(_visited(app, name) for name in providers))

    found = [finding for findings in asyncio.run(ask()) for finding in findings]
    asked = [finding for finding in found if finding.check in ("network", "account")]
    away = [finding for finding in asked if finding.finding.startswith(_AWAY)]
    if asked and len(away) == len(asked):  # then nothing can be bought
        found.append(wrong("network", NOBODY, "none of them can be reached", away[0].fix))
    if not any(finding.check == "clock" for finding in found):
        found.append(skipped("clock", "this machine", "not compared: no provider answered"))
    return found


async def _visited(app: App, name: str) -> list[Finding]:
    from wan_cli.providers.base import lists_tasks
    from wan_cli.transport.client import AnswerLost, Api, Deadlines, NotSent
    from wan_cli.transport.drive import Refusal, drive

    seen: list[httpx.Response] = []
    try:
        provider = app.provider(name)
    except WanError as error:
        return [wrong("config", name, error.message, error.hint)]
    short = Deadlines(connect=CONNECT_S, poll_total=TOTAL_S)
    api = Api(provider.origin, lambda: app.secret(name), **{"deadlines": short, **app.engine_parts.get("api", {})})

    async def send(request: httpx.Request) -> httpx.Response:
        seen.append(await api.send(request))
        return seen[-1]

    try:
        left = await drive(provider.balance(), provider, send)
        if not seen and lists_tasks(type(provider)):  # which tells whether the key is taken, too
            await drive(provider.tasks(1), provider, send)
        elif not seen:
            await send(provider.request("GET", "/"))
        said = f"reached {provider.origin}{f'; {one_line(left)} left' if left else ''}"
        return [fine("network", name, said), *_clock(app, name, seen[-1])]
    except Refusal as refusal:
        return [_refused(name, refusal.fault.message, seen[-1]), *_clock(app, name, seen[-1])]
    except NotSent as error:
        level = wrong if isinstance(error.error, SetupError) else warning
        return [level("network", name, f"{_AWAY}{error.error.message}", error.error.hint or "check the network")]
    except AnswerLost as error:
        why = f"{_AWAY}{provider.origin}: {one_line(error.reason)}"
        return [warning("network", name, why, "check the network and the base URL")]
    except WanError as error:
        return [wrong("key", name, error.message, error.hint)]
    finally:
        await api.close()


def _refused(name: str, message: str, response: httpx.Response) -> Finding:
    said = f"{one_line(message)} (HTTP {response.status_code})"
    if response.status_code in _REFUSED:
        return wrong("account", name, f"the key is refused: {said}", f"make a new key for {name}, then: wan auth list")
    return warning("network", name, said, "try again later" if response.status_code >= _DOWN else "check the base URL")


def _clock(app: App, name: str, response: httpx.Response) -> list[Finding]:
    """Hold this machine's clock against the ``Date`` of an answer."""
    try:
        theirs = parsedate_to_datetime(response.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError):
        return [skipped("clock", name, "the answer has no date to compare with")]
    skew = app.now() - theirs
    if abs(skew) > SKEW_S:
        way = "ahead of" if skew > 0 else "behind"
        return [
            warning(
                "clock",
                name,
                f"this clock is {abs(skew):,.0f} s {way} the provider's",
                "set the clock: timedatectl set-ntp true",
            )
        ]
    return [fine("clock", name, f"within {SKEW_S:g} s of the provider's")]
