"""``wan doctor --probe``: asks OpenAI-compatible gateways what they take, without buying anything, and keeps it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, cast

from wan_cli.cli import gateways as learning
from wan_cli.cli.doctor.finding import Finding, fine, skipped, warning, wrong
from wan_cli.config import gateways
from wan_cli.config.gateways import Gateway
from wan_cli.errors import UsageError, WanError
from wan_cli.registry import knows, names
from wan_cli.text import one_line

if TYPE_CHECKING:
    import httpx

    from wan_cli.cli.commands.doctor import Examining
    from wan_cli.cli.context import App
    from wan_cli.providers.openai import OpenAI
    from wan_cli.providers.openai_probe import Learnt

CHECK = "gateway"
ANSWER_S = 15.0
"""Seconds that an answer may take: nothing is drawn for it."""
_LINES = {
    "edits": "wan edit PICTURE PROMPT -p {name}",
    "response_format": '[providers.{name}] response_format = "b64_json"',
    "image_field": '[providers.{name}] image_field = "image"',
    "size_separator": '[providers.{name}] size_separator = "*"',
}
"""Where a fact cannot be known: what would buy it, or what to configure when a purchase is refused because of it."""


def check_call(options: Examining) -> None:
    """Refuse flags that do not go together. Raises ``UsageError``."""
    asked = options.probe or options.forget
    if options.provider is not None and not asked:
        raise UsageError("doctor -p is for --probe and --forget", hint="wan doctor --probe")
    if options.probe and options.offline:
        raise UsageError("--probe asks the server, and --offline nobody", hint="leave --offline out")
    if options.provider is not None and not (knows(options.provider) and learning.speaks(options.provider)):
        able = ", ".join(filter(learning.speaks, names()))
        raise UsageError(
            f"{one_line(options.provider)} is no OpenAI-compatible gateway; there are {able}", hint="wan auth list"
        )


def gateway(app: App, options: Examining, usable: Sequence[str]) -> Iterator[Finding]:
    """Forget, ask, or say what is known of each gateway."""
    chosen = [options.provider] if options.provider else list(filter(learning.speaks, names()))
    if options.forget:
        yield from (_forgotten(app, name) for name in chosen)
    if not options.probe:
        yield from _remembered(app, chosen if not options.forget else ())
        return
    able = [name for name in chosen if name in usable]
    if not able:
        yield skipped(CHECK, ", ".join(chosen), "not asked: there is no key for it", f"wan auth set {chosen[0]}")
    for name in able:
        yield from _probed(app, name)


def _remembered(app: App, chosen: Sequence[str]) -> Iterator[Finding]:
    for name in chosen:
        try:
            found = learning.known(app, name)
        except WanError:  # a base URL that cannot be used, which has its own finding
            continue
        if found:
            said = "; ".join(_told(fact, values) for fact, values in found.facts.items() if fact != "models")
            yield fine(CHECK, name, f"learnt on {found.day}: {said or 'nothing but its models'}")


def _forgotten(app: App, name: str) -> Finding:
    from wan_cli.providers import load

    try:
        there = gateways.forget(app.state, name, load(name).strip_endpoint(app.account(name).base_url))
    except WanError as error:
        return skipped(CHECK, name, f"nothing is forgotten: {error.message}", error.hint)
    except OSError as error:
        return wrong(CHECK, name, f"what was learnt cannot be removed: {error.strerror}", "wan doctor --repair")
    return fine(CHECK, name, "what was learnt is forgotten" if there else "nothing was learnt")


def _probed(app: App, name: str) -> Iterator[Finding]:
    from wan_cli.providers.openai_probe import FACTS
    from wan_cli.ui.document import timestamp

    try:
        learnt = asyncio.run(_asked(app, name))
        base = app.provider(name).base
    except WanError as error:
        yield wrong("config" if error.code == "config_invalid" else "key", name, error.message, error.hint)
        return
    if learnt.refused:
        yield wrong("account", name, learnt.stopped, f"make a new key for {name}, then: wan auth set {name}")
    elif learnt.stopped:
        yield warning(CHECK, name, f"the asking stopped: {learnt.stopped}", f"wan doctor --probe -p {name}")
    facts = {fact: learnt.facts[fact] for fact in FACTS if fact in learnt.facts}
    found = Gateway(provider=name, base_url=base, at=timestamp(app.now()) or "", facts=facts, how=learnt.how)
    yield from _facts(app, found)
    if learnt.facts:
        try:
            app.private(app.state / gateways.FOLDER)
            gateways.save(app.state, found)
        except (OSError, WanError) as error:
            why = error.message if isinstance(error, WanError) else one_line(str(error))
            yield warning(CHECK, name, f"what was learnt cannot be kept: {why}", "wan doctor --repair")


def _facts(app: App, found: Gateway) -> Iterator[Finding]:
    """Tell each fact, with what to do where it is not known, or where the configuration says otherwise."""
    from wan_cli.providers.openai_probe import FACTS

    name, own = found.provider, app.account(found.provider).quirks
    for fact in FACTS:
        values = found.facts.get(fact)
        if values is None:
            moot = fact == "image_field" and found.facts.get("edits") == ("no",)
            if fact in _LINES and not moot:
                said = f"{fact}: it cannot be known without buying, which is left to you"
                yield skipped(CHECK, name, said, _LINES[fact].format(name=name))
            continue
        if fact in own and own[fact] not in (*values, None, "auto"):
            said = f"{_told(fact, values)}; the configuration says {own[fact]}"
            yield warning(CHECK, name, said, f"edit {app.config.user_file}")
        else:
            yield fine(CHECK, name, f"{_told(fact, values)} ({found.how[fact]})")


def _told(fact: str, values: Sequence[str]) -> str:
    return f"{fact}: {one_line(', '.join(values)) if values else 'the field is refused'}"


async def _asked(app: App, name: str) -> Learnt:
    """Run the probe; a connection that breaks ends it with what is known by then."""
    from wan_cli.providers.openai_probe import Learnt, probe
    from wan_cli.transport.client import AnswerLost, NotSent

    service = app.service(name)
    known = Learnt()
    flow = probe(cast("OpenAI", service.provider), known, app.config.get("model"))
    response: httpx.Response | None = None
    try:
        request = next(flow)
        while True:
            async with asyncio.timeout(ANSWER_S):
                response = await service.api.send(request)
            request = flow.send(response)
    except StopIteration:
        pass
    except NotSent as error:
        known.stopped = f"not reached: {error.error.message}"
    except AnswerLost as error:
        known.stopped = f"no answer: {one_line(error.reason)}"
    except TimeoutError:
        known.stopped = f"no answer within {ANSWER_S:g} s"
    finally:
        flow.close()
        await service.close()
    return known
