"""What a call of a making verb asks for: words and options read, a provider chosen, every file checked, priced."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli import spend
from wan_cli.catalog import Model, Offer
from wan_cli.cli.assets import checked, inputs_for, read_media, wanted_kind
from wan_cli.cli.choose import Candidate, choose
from wan_cli.cli.frames import check_coming, spoken, still_of
from wan_cli.cli.prompt import as_utf8, asset_path, read_prompt, split_words
from wan_cli.dataclass import dataclass, replace
from wan_cli.errors import FileInvalid, UsageError
from wan_cli.fit import Fitted, offer_for
from wan_cli.models import Job, Media, Verb
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
    candidates: Sequence[Candidate]
    """Who makes it, and who comes after when it certainly was not taken (interface.md, section 5)."""
    fingerprint: str


def read_order(
    app: App, verb: Verb, words: list[str], options: Making, *, absent: frozenset[str] = frozenset(),
    need_key: bool | None = None, tell: Callable[[str], None] | None = None,
    look: Callable[..., Media] = checked,
) -> Order:  # fmt: skip
    """Read the words, choose who makes it, and check everything that can be known here.

    ``absent`` are words for pictures that are not there yet (another asset of a manifest makes them first): all but
    the pictures themselves is checked. ``tell`` is told who was chosen where nobody was named. ``look`` opens and
    checks a file, as :func:`checked` does.
    """
    has_prompt = options.prompt_text is not None or options.prompt_file is not None
    assets, word = split_words(words, has_prompt=has_prompt and verb != "generate")
    if verb == "generate" and assets:
        raise UsageError(
            f"generate takes one PROMPT, got {len(words)} words; to change a picture: wan edit",
            hint="quote the prompt",
        )
    prompt = read_prompt(app, word, options.prompt_text, options.prompt_file)
    if verb == "sequence" and options.count is None:
        raise UsageError("sequence needs -n N: how many pictures the set has", hint="add -n 4")
    makes = wanted_kind(app, options)
    drafts = read_media(app, verb, assets, options, makes)

    def said(name: str) -> Any:
        """Return an option; one that only a video has may stand in the configuration, and is left out of pictures."""
        own = getattr(options, name)
        return app.config.get(name) if own is None and makes == "video" else own

    job = Job(
        verb=verb, provider="", model="", prompt=prompt, makes=makes, media=tuple(drafts.values()),
        size=options.size or (app.config.get("size") if makes == "image" else None),
        aspect=options.aspect or app.config.get("aspect"), n=1 if options.count is None else options.count,
        n_said=options.count is not None,
        seed=options.seed, watermark=options.watermark, thinking=options.thinking,
        negative=as_utf8(said("negative")), duration=said("duration"), resolution=said("resolution"),
        audio_setting=options.audio_setting,
        params=_params(options.param or []),
        route=None if options.route_async is None else "async" if options.route_async else "sync",
    )  # fmt: skip
    found = choose(
        app, job, provider=options.provider, model=options.model, tell=tell or app.talk,
        need_key=not options.dry_run if need_key is None else need_key,
    )  # fmt: skip
    if options.shrink_references:
        look = functools.partial(look, copies=_copies(app, options))
    candidates = _with_files(app, found, drafts, absent, look)
    apart = any(offer_for(candidate.model, verb).count is None for candidate in candidates)
    model, fitted = candidates[0].model, candidates[0].fitted
    jobs = [replace(fitted.job, n=1, n_said=False)] * job.n if apart else [fitted.job]
    stated = replace(job, media=fitted.job.media, provider=options.provider or "", model=options.model or "")
    return Order(
        model=model, fitted=fitted, jobs=jobs, lines=price_lines(app, candidates[0], jobs), candidates=candidates,
        fingerprint=_fingerprint(stated),
    )  # fmt: skip


def _copies(app: App, options: Making) -> Path:
    """Return the folder for smaller copies, made private. Raises ``UsageError`` beside a mask."""
    if options.mask is not None:
        raise UsageError(
            "--shrink-references and --mask exclude each other: the mask has to be as large as the picture",
            hint="leave --shrink-references out",
        )
    app.private(folder := app.state / "copies")
    return folder


def price_lines(app: App, candidate: Candidate, jobs: Sequence[Job]) -> list[spend.Line]:
    """Say what ``jobs`` cost where the candidate makes them."""
    price = app.price(candidate.model)
    offer = offer_for(candidate.model, candidate.fitted.job.verb)
    return [spend.estimate(job, price, seconds=offer.price_seconds, footage=offer.price_footage) for job in jobs]


def _with_files(
    app: App, found: Sequence[Candidate], drafts: Mapping[tuple[str, str], Media], absent: frozenset[str],
    look: Callable[..., Media],
) -> list[Candidate]:  # fmt: skip
    """Open and check the files against each candidate's limits; who comes later and refuses one is passed over.

    Raises ``FileInvalid`` where the first refuses it.
    """
    # standard input can be read once, so all of them are given the same copy
    typed = {asset: asset_path(app, asset) for (_, asset), item in drafts.items() if not item.url}
    paths = {
        asset: still_of(app, item, asset[1], typed[asset[1]])
        for asset, item in drafts.items() if asset[1] in typed and asset[1] not in absent
    }  # fmt: skip
    candidates: list[Candidate] = []
    passed: list[str] = []
    notices: dict[str, None] = {}
    for model, fitted in ((one.model, one.fitted) for one in found):
        offer = offer_for(model, fitted.job.verb)
        try:
            media = tuple(
                _coming(item, offer, asset[1]) if asset[1] in absent
                else look(item, offer, asset[1], paths.get(asset, ""), notices.setdefault)
                for asset, item in drafts.items()
            )  # fmt: skip
        except FileInvalid as error:
            for asset, path in paths.items():
                if path != typed[asset[1]]:
                    error.message = error.message.replace(path, spoken(drafts[asset], asset[1]))
            if not candidates:
                raise
            passed.append(f"{model.provider} was passed over: {error.message}")
        else:
            candidates.append(Candidate(model, replace(fitted, job=replace(fitted.job, media=media))))
    first = candidates[0]
    warned = replace(first.fitted, warnings=(*first.fitted.warnings, *notices, *passed))
    return [Candidate(first.model, warned), *candidates[1:]]


def _coming(medium: Media, offer: Offer, asset: str) -> Media:
    """Check of a file that is not there yet what can be known of it: whether its kind may stand here."""
    inputs_for(medium, offer, asset)
    check_coming(medium, asset)
    return medium


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
        "params": dict(job.params), "negative": job.negative, "duration": job.duration, "makes": job.makes,
        "resolution": job.resolution, "audio_setting": job.audio_setting,
    }  # fmt: skip
    return hashlib.sha256(json.dumps(stated, sort_keys=True).encode()).hexdigest()
