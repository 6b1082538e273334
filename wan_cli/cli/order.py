"""What a call of a making verb asks for: words and options read, a provider chosen, every file checked, priced."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from wan_cli import spend
from wan_cli.catalog import Inputs, Model, Price
from wan_cli.cli.choose import choose
from wan_cli.cli.prompt import asset_path, read_prompt, split_words
from wan_cli.errors import UsageError
from wan_cli.fit import Fitted, offer_for
from wan_cli.media import local_file
from wan_cli.models import Job, Media, Role, Verb
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.options import Making


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One checked call: what will be bought, where it goes, what it costs."""

    model: Model
    fitted: Fitted
    jobs: Sequence[Job]
    lines: Sequence[spend.Line]
    price: Price | None
    fingerprint: str


def read_order(app: App, verb: Verb, words: list[str], options: Making) -> Order:
    """Read the words, choose who makes it, and check everything that can be known here."""
    has_prompt = options.prompt_text is not None or options.prompt_file is not None
    assets, word = split_words(words, has_prompt=has_prompt and verb != "generate")
    if verb == "generate" and assets:
        raise UsageError(
            f"generate takes one PROMPT, got {len(words)} words",
            hint="quote the prompt; to change a picture: wan edit PICTURE PROMPT",
        )
    prompt = read_prompt(app, word, options.prompt_text, options.prompt_file)
    if verb == "sequence" and options.count is None:
        raise UsageError("sequence needs -n N: how many pictures the set has", hint='wan sequence "…" -n 4')
    drafts = tuple(_draft(asset, verb) for asset in assets)
    job = Job(
        verb=verb, provider="", model="", prompt=prompt, media=drafts, size=options.size or app.config.get("size"),
        aspect=options.aspect or app.config.get("aspect"), n=1 if options.count is None else options.count,
        seed=options.seed, watermark=options.watermark, thinking=options.thinking, params=_params(options.param or []),
        route=None if options.route_async is None else "async" if options.route_async else "sync",
    )  # fmt: skip
    model, fitted = choose(app, job, provider=options.provider, model=options.model, need_key=not options.dry_run)
    offer = offer_for(model, verb)
    inputs = offer.inputs or Inputs(count=(0, 0))
    media = tuple(_checked(app, item, inputs, asset) for item, asset in zip(drafts, assets, strict=True))
    fitted = replace(fitted, job=replace(fitted.job, media=media))
    jobs = [fitted.job] if offer.count else [replace(fitted.job, n=1)] * job.n
    price = app.price(model)
    fingerprint = _fingerprint(replace(job, media=media, provider=options.provider or "", model=options.model or ""))
    return Order(
        model=model,
        fitted=fitted,
        jobs=jobs,
        lines=[spend.estimate(j, price) for j in jobs],
        price=price,
        fingerprint=fingerprint,
    )


def _draft(asset: str, verb: Verb) -> Media:
    """Make a medium of an ASSET before the provider, whose limits decide what it may be, is chosen."""
    role: Role = "edit_source" if verb == "edit" else "reference"
    parts = urlsplit(asset) if "://" in asset else None
    if parts is None:
        return Media(role=role, kind="image", url=None)
    if parts.scheme != "https" or not parts.hostname or parts.username:
        raise UsageError(
            f"{one_line(asset)}: an address must be https://, without a user name", hint="or give a local file"
        )
    return Media(role=role, kind="image", url=asset)


def _checked(app: App, medium: Media, inputs: Inputs, asset: str) -> Media:
    if medium.url:
        return medium
    path = asset_path(app, asset, app.state / "scratch")
    return replace(medium, file=local_file(path, inputs, label="picture"))


def _params(pairs: list[str]) -> dict[str, Any]:
    """Read ``KEY=VALUE``: JSON where it parses, else text."""
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise UsageError(f"--param {one_line(pair)}: KEY=VALUE")
        try:
            found[name] = json.loads(value, parse_constant=lambda word: word)
        except (ValueError, RecursionError):
            found[name] = value
    return found


def _fingerprint(job: Job) -> str:
    """Hash the request as it was stated, so that an idempotency key can be held against it."""
    stated = {
        "verb": job.verb, "provider": job.provider, "model": job.model, "prompt": job.prompt, "size": job.size,
        "n": job.n, "media": [[item.role, item.identity] for item in job.media], "aspect": job.aspect,
        "seed": job.seed, "route": job.route, "watermark": job.watermark, "thinking": job.thinking,
        "params": dict(job.params),
    }  # fmt: skip
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
