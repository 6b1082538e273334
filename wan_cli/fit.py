"""A job held against what a model offers: once, before anything is sent, for every provider alike.

What the provider cannot honour is refused with the allowed values and, where another provider can do it, that command
(interface.md, section 2: an option is never silently dropped). Sizes and shapes are translated where the picture stays
the same.
"""

from __future__ import annotations

import json
from collections.abc import Iterable

from wan_cli import geometry
from wan_cli.catalog import Inputs, Model, Offer
from wan_cli.dataclass import dataclass, replace
from wan_cli.errors import UnsupportedOption, UsageError
from wan_cli.fit_video import check_roles, fit_video
from wan_cli.models import Job
from wan_cli.pattern import pattern
from wan_cli.registry import BUILTIN, capabilities, who_can

OPTION_FLAGS = {
    "watermark": "--watermark", "thinking": "--thinking", "negative": "--negative", "audio_setting": "--audio-setting",
}  # fmt: skip
_CONTROL = pattern("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
MOST_RESULTS = 1_000
"""Results of one call: where a provider has no count each is a task of its own, and all are written down first."""


@dataclass(frozen=True, slots=True)
class Fitted:
    """The job as it will be sent, and what the user should know of the difference."""

    job: Job
    warnings: tuple[str, ...] = ()


def offer_for(model: Model, verb: str) -> Offer:
    """Return what ``model`` offers for ``verb``. Raises ``UnsupportedOption`` naming who can do it."""
    if offer := model.verbs.get(verb):
        return offer
    able = [name for name in who_can(verb, makes=model.makes) if name != model.provider]
    raise UnsupportedOption(
        f"{model.name} on {model.provider} cannot {verb}" + _others(able, verb),
        hint=f"use -p {able[0]}" if able else "wan models",
    )


def fit(job: Job, model: Model) -> Fitted:
    """Check ``job`` and translate it to ``model``. Raises ``UsageError`` or ``UnsupportedOption``; nothing was sent."""
    offer = offer_for(model, job.verb)
    warnings: list[str] = []
    _check_prompt(job.prompt, job.model, offer)
    _check_texts(job)
    _check_count(job, model, offer)
    _check_inputs(job, model, offer)
    _check_options(job, model, offer, warnings)
    job = _fit_seed(job, model, offer, warnings)
    job = fit_video(job, model, offer) if job.makes == "video" else _fit_size(job, model, offer)
    return Fitted(job, tuple(warnings))


def retold(model: Model, offer: Offer, prompt: str, seed: int | None) -> None:
    """Check that a job that was fitted may have another prompt and seed, all else as it is. Raises ``UsageError``."""
    _check_prompt(prompt, model.name, offer)
    if seed is not None and (not offer.seed or seed == offer.seed_unset or not offer.seed[0] <= seed <= offer.seed[1]):
        raise UsageError(f"--seed {seed}: {model.provider} reads it in its own way")


def _others(able: Iterable[str], verb: str) -> str:
    names = list(able)
    return f"; {' and '.join(names)} can {verb}" if names else ""


def _check_prompt(prompt: str, model: str, offer: Offer) -> None:
    if not prompt.strip():
        raise UsageError("the prompt is empty", hint="give a text, @FILE or - for standard input")
    if bad := _CONTROL.search(prompt):
        place, code = bad.start() + 1, ord(bad[0])
        raise UsageError(f"the prompt has a control character (U+{code:04X}) at position {place}")
    points, units = len(prompt), len(prompt) + sum(char > "\uffff" for char in prompt)
    if max(points, units) > offer.prompt_max:  # the provider may count either way (reliability.md I01)
        shown = f"{points:,} characters" + (f" ({units:,} UTF-16 units)" if units != points else "")
        raise UsageError(f"the prompt has {shown}; {model} takes {offer.prompt_max:,}", hint="shorten the prompt")


def _check_texts(job: Job) -> None:
    """Refuse what no body can hold: arguments that are not UTF-8 reach us with lone surrogates (PEP 383)."""
    params = json.dumps(dict(job.params), ensure_ascii=False)
    said = {"--model": job.model, "--negative": job.negative or "", "--param": params}
    for flag, text in said.items():
        if any("\ud800" <= char <= "\udfff" for char in text):
            raise UsageError(f"{flag} has a character that cannot be sent", hint="give it as UTF-8 text")


def _check_count(job: Job, model: Model, offer: Offer) -> None:
    if job.n < 1:
        raise UsageError(f"--count {job.n}: at least 1")
    if job.n > MOST_RESULTS:
        raise UsageError(f"--count {job.n}: at most {MOST_RESULTS:,} in one call", hint=f"use -n {MOST_RESULTS}")
    if offer.count and not offer.count[0] <= job.n <= offer.count[1]:
        able = [name for name in who_can(job.verb, n=job.n) if name != model.provider]
        more = f"; {' and '.join(able)} can make {job.n}" if able else ""
        hint = f"use -p {able[0]}" if able else f"use -n {offer.count[1]}"
        if job.verb == "generate" and _longest_sequence(model) >= job.n:
            hint = f"wan sequence PROMPT -n {job.n}"
        raise UnsupportedOption(
            f"--count {job.n}: {model.provider} makes {offer.count[0]} to {offer.count[1]} with {job.verb}{more}",
            hint=hint,
        )


def _longest_sequence(model: Model) -> int:
    sequence = model.verbs.get("sequence")
    return sequence.count[1] if sequence and sequence.count else 0


def _check_inputs(job: Job, model: Model, offer: Offer) -> None:
    """Check how many pictures (or videos) stand before the prompt, and that each medium has a place."""
    given = sum(media.role in ("edit_source", "reference") for media in job.media)
    others = 0
    if job.makes == "video" and job.verb == "edit":  # one video is changed; pictures beside it are context
        others = sum(media.role == "reference" for media in job.media)
        given -= others
    if offer.inputs is None:
        if given:
            raise UsageError(f"{job.verb} takes no pictures", hint="wan edit PICTURE PROMPT")
    else:
        _check_range(job, model, given, offer.inputs)
    if others and "reference" not in offer.roles:
        raise UnsupportedOption(f"{model.name} on {model.provider} takes no pictures beside the video")
    if others:
        _check_range(job, model, others, offer.roles["reference"])
    check_roles(job, model, offer)


def _check_range(job: Job, model: Model, given: int, inputs: Inputs) -> None:
    least, most = inputs.count
    kinds = ["picture" if kind == "image" else kind for kind in inputs.kinds]
    what, many = " or ".join(kinds), " or ".join(f"{kind}s" for kind in kinds)
    if given < least:
        hint = "wan edit PICTURE PROMPT" if job.verb == "fuse" and given else f"wan {job.verb} --help"
        raise UsageError(f"{job.verb} needs at least {least} {many if least > 1 else what}, got {given}", hint=hint)
    if given > most:
        raise UnsupportedOption(f"{given} {many}: {model.name} on {model.provider} takes at most {most}")


def _check_options(job: Job, model: Model, offer: Offer, warnings: list[str]) -> None:
    for option, flag in OPTION_FLAGS.items():
        if getattr(job, option) is None:
            continue
        if option not in offer.options:
            able = [name for name in who_can(job.verb, makes=job.makes, option=option) if name != model.provider]
            tail = f"; {' and '.join(able)} can" if able else ""
            hint = f"use -p {able[0]}" if able else f"leave {flag} out"
            places = [other for each in capabilities(model.provider).models for other in each.verbs.values()]
            elsewhere = any(option in place.options for place in places)
            here = f" for {model.name} with {job.verb}" if elsewhere else ""
            raise UnsupportedOption(f"{flag}: {model.provider} has no such option{here}{tail}", hint=hint)
        if option in offer.ineffective:
            warnings.append(f"{flag}: {offer.ineffective[option]} on {model.provider}")
    routes = capabilities(model.provider).routes
    if job.route and job.route not in routes:
        able = [name for name in BUILTIN if job.route in capabilities(name).routes]
        raise UnsupportedOption(
            f"--{job.route}: {model.provider} has one interface only" + (f"; {able[0]} has both" if able else ""),
            hint=f"leave --{job.route} out",
        )
    taken = capabilities(model.provider).param_options
    for name in job.params:
        if name in taken:
            raise UsageError(f"--param {name}: {taken[name]} says this", hint=f"say it with {taken[name]} alone")


def _fit_seed(job: Job, model: Model, offer: Offer, warnings: list[str]) -> Job:
    if job.seed is None:
        return job
    if offer.seed is None:
        raise UnsupportedOption(
            f"--seed: {model.provider} has no such option; --param seed=N goes as it is, where the server knows it",
            hint="leave --seed out",
        )
    if job.seed == offer.seed_unset:
        warnings.append(f"--seed {job.seed}: {model.provider} reads it as no seed, so none is sent")
        return replace(job, seed=None)
    if not offer.seed[0] <= job.seed <= offer.seed[1]:
        raise UsageError(f"--seed {job.seed}: {offer.seed[0]} to {offer.seed[1]} on {model.provider}")
    return job


def _fit_size(job: Job, model: Model, offer: Offer) -> Job:
    size = job.size.upper() if job.size and job.size.upper() in geometry.TIERS else job.size
    pixels = geometry.parse_pixels(size) if size else None
    if size and pixels is None and size not in geometry.TIERS:
        raise UsageError(
            f"--size {size}: a tier (1K, 2K, 4K) or pixels (1920x1080)", hint=f"wan models {model.provider}"
        )
    aspect = geometry.parse_aspect(job.aspect) if job.aspect else None
    if job.aspect and aspect is None:
        raise UsageError(f"--aspect {job.aspect}: two whole numbers, such as 16:9")
    if pixels and aspect and geometry.reduced(*pixels) != geometry.reduced(*aspect):
        raise UsageError(f"--size {size} is not {job.aspect}", hint="give one of --size and --aspect")
    if offer.pixels is None:
        return _fit_to_tiers(replace(job, size=size), model, offer, pixels, aspect)
    return _fit_to_pixels(replace(job, size=size), model, offer, pixels, aspect)


def _fit_to_tiers(
    job: Job, model: Model, offer: Offer, pixels: tuple[int, int] | None, aspect: tuple[int, int] | None
) -> Job:
    """A provider that takes tiers and named shapes: pixels go where a tier and a shape give exactly them."""
    shapes = [shape for name in offer.aspects if (shape := geometry.parse_aspect(name))]
    if pixels:
        matches = [
            (tier, f"{shape[0]}:{shape[1]}") for tier in offer.sizes for shape in shapes
            if geometry.tier_pixels(tier, shape) == pixels
        ]  # fmt: skip
        if not matches:
            able = [name for name in who_can(job.verb, pixels=pixels[0] * pixels[1]) if name != model.provider]
            raise UnsupportedOption(
                f"--size {job.size}: {model.provider} renders {_listed(offer.sizes)} "
                f"in the shapes {', '.join(offer.aspects)}"
                + (f"; {_listed(able)} take{'s' if len(able) == 1 else ''} pixels" if able else ""),
                hint=f"use -p {able[0]}" if able else f"wan models {model.provider}",
            )
        return replace(job, size=matches[0][0], aspect=matches[0][1])
    if job.size and job.size not in offer.sizes:
        raise _no_tier(job, model, offer)
    if aspect:
        same = [s for s in shapes if geometry.reduced(*s) == geometry.reduced(*aspect)]
        if not same:
            able = [name for name in who_can(job.verb, aspect=job.aspect) if name != model.provider]
            raise UnsupportedOption(
                f"--aspect {job.aspect}: {model.provider} renders {', '.join(offer.aspects)}"
                + (f"; {_listed(able)} render{'s' if len(able) == 1 else ''} any shape up to 8:1" if able else ""),
                hint=f"use -p {able[0]}" if able else f"wan models {model.provider}",
            )
        return replace(job, aspect=f"{same[0][0]}:{same[0][1]}")
    return job


def _fit_to_pixels(
    job: Job, model: Model, offer: Offer, pixels: tuple[int, int] | None, aspect: tuple[int, int] | None
) -> Job:
    """A provider that takes pixels: a shape with a tier becomes the pixels of that tier."""
    if job.size in geometry.TIERS and offer.tiers_as_pixels and not aspect:
        aspect = (1, 1)
    elif job.size in geometry.TIERS and job.size not in offer.sizes and not offer.tiers_as_pixels:
        raise _no_tier(job, model, offer)
    if aspect and not pixels:
        _check_ratio(f"--aspect {job.aspect}", aspect, model, offer)
        tier = job.size or offer.default_size
        square = geometry.reduced(*aspect) == (1, 1)
        if square and not job.media and not offer.tiers_as_pixels:
            return replace(job, size=tier)  # a tier alone is square where no picture gives another shape
        pixels = geometry.tier_pixels(tier, aspect)
        job = replace(job, size=f"{pixels[0]}x{pixels[1]}")
    if pixels:
        least, most = offer.pixels or (0, 0)
        area = pixels[0] * pixels[1]
        if not least <= area <= most:
            able = [
                name for name in who_can(job.verb, pixels=area) if name != model.provider or model.name != job.model
            ]
            raise UnsupportedOption(
                f"--size {job.size} has {area:,} pixels; {model.name} on {model.provider} makes {least:,} to {most:,} "
                f"with {job.verb}", hint=f"wan models {able[0]}" if able else f"wan models {model.provider}",
            )  # fmt: skip
        _check_ratio(f"--size {job.size}", pixels, model, offer)
    return job


def _check_ratio(flag: str, shape: tuple[int, int], model: Model, offer: Offer) -> None:
    if offer.max_ratio and max(shape) > offer.max_ratio * min(shape):
        raise UsageError(f"{flag}: {model.provider} makes shapes from 1:{offer.max_ratio:g} to {offer.max_ratio:g}:1")


def _no_tier(job: Job, model: Model, offer: Offer) -> UnsupportedOption:
    able = [name for name in who_can(job.verb, size=job.size) if name != model.provider]
    elsewhere = [m.name for m in capabilities(model.provider).models
                 if job.verb in m.verbs and job.size in m.verbs[job.verb].sizes]  # fmt: skip
    message = f"--size {job.size}: {model.provider} renders {_listed(offer.sizes)}"
    if elsewhere and elsewhere[0] != model.name:
        return UnsupportedOption(
            f"{message} with {model.name}; {_listed(elsewhere)} renders {job.size}", hint=f"use -m {elsewhere[0]}"
        )
    if able:
        verb = "renders" if len(able) == 1 else "render"
        return UnsupportedOption(f"{message}; {_listed(able)} {verb} {job.size}", hint=f"use -p {able[0]}")
    if job.verb != "generate":
        return UnsupportedOption(
            f"{message} with {job.verb}; {job.size} is for text to image only", hint="leave --size out"
        )
    return UnsupportedOption(message, hint=f"wan models {model.provider}")


def _listed(names: Iterable[str]) -> str:
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
