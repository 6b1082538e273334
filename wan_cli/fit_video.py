"""What only videos have, held against what a model offers: durations, resolutions, and media with roles."""

from __future__ import annotations

from collections import Counter
from typing import Any

from wan_cli.catalog import Inputs, Model, Offer
from wan_cli.dataclass import replace
from wan_cli.errors import UnsupportedOption, UsageError
from wan_cli.models import Job, Kind, Media
from wan_cli.registry import capabilities, who_can

FLAGS = {
    "first_frame": "--first-frame", "last_frame": "--last-frame", "first_clip": "--first-clip",
    "driving_audio": "--audio", "voice": "--voice", "mask": "--mask",
}  # fmt: skip
"""The option that gives a medium each role; the other roles belong to what stands before the prompt."""

FRAMES = frozenset({"first_frame", "last_frame", "first_clip"})
"""Roles that decide the picture's shape, so that no ``--aspect`` can."""


def fit_video(job: Job, model: Model, offer: Offer) -> Job:
    """Check what only videos have. Raises ``UsageError`` or ``UnsupportedOption``; nothing was sent."""
    if job.size:
        raise UsageError(
            f"--size {job.size}: a video has --resolution 720p or 1080p, and --aspect", hint="leave --size out"
        )
    if job.route == "sync":
        raise UnsupportedOption("--sync: a video is always made as a task", hint="leave --sync out")
    check_roles(job, model, offer)
    _check_duration(job, model, offer)
    _check_negative(job, model, offer)
    if job.aspect:
        _check_aspect(job, model, offer)
    return _fit_resolution(job, model, offer)


def check_roles(job: Job, model: Model, offer: Offer) -> None:
    """Check that each medium has a place: its role, how many of it, and the set that they make together."""
    given = Counter(media.role for media in job.media if media.role in FLAGS)
    for role in given:
        if role not in offer.roles:
            able = _others(job, model, role=role)
            raise UnsupportedOption(
                f"{FLAGS[role]}: {model.name} on {model.provider} takes none with {job.verb}" + _tail(able),
                hint=f"use -p {able[0]}" if able else f"wan models {model.provider}",
            )
    frames = frozenset(role for role in given if role not in ("voice", "mask"))
    if frames and offer.sets and frames not in offer.sets:
        legal = "; ".join(" ".join(FLAGS[role] for role in sorted(one)) for one in offer.sets)
        asked = " with ".join(FLAGS[role] for role in sorted(frames))
        raise UnsupportedOption(
            f"{asked}: {model.name} on {model.provider} takes {legal}", hint="leave one of them out"
        )
    for media in job.media:
        _check_place(media, model, _place(media, offer))


def _place(media: Media, offer: Offer) -> Inputs | None:
    """Return the limits that hold for a medium: its role's, else those of what stands before the prompt."""
    return offer.roles.get(media.role) or offer.inputs


def _check_place(media: Media, model: Model, inputs: Inputs | None) -> None:
    if inputs is None:
        return
    if media.kind not in inputs.kinds:
        wanted = " or ".join(map(_spoken, inputs.kinds))
        place = FLAGS.get(media.role, media.role.replace("_", " "))
        raise UsageError(f"{place} is {wanted}, got {_spoken(media.kind)}")
    if media.url is None and media.kind in inputs.remote_only:
        raise UnsupportedOption(
            f"{model.provider} takes {_spoken(media.kind)} only as an https:// address",
            hint="put it where the provider can fetch it, and give the address",
        )
    scheme = (media.url or "").partition("://")[0]
    if media.url is not None and scheme not in (taken := capabilities(model.provider).addresses):
        raise UnsupportedOption(
            f"{model.provider} takes no {scheme}:// addresses, only {' and '.join(taken)}", hint="give the file itself"
        )
    if media.url is not None and media.kind in inputs.local_only:
        raise UnsupportedOption(
            f"{model.provider} takes {_spoken(media.kind)} only as a local file, not as an address",
            hint="download the file, and give its path",
        )


def _spoken(kind: Kind) -> str:
    return {"image": "a picture", "video": "a video", "audio": "sound"}[kind]


def _check_duration(job: Job, model: Model, offer: Offer) -> None:
    if job.duration is None:
        return
    footage = any(media.kind == "video" for media in job.media)
    allowed = (offer.durations_with_video if footage else ()) or offer.durations
    if job.duration not in allowed:
        able = _others(job, model, **{"duration_with_video" if footage else "duration": job.duration})
        raise UnsupportedOption(
            f"--duration {job.duration}: {model.name} on {model.provider} makes {_seconds(allowed)} with {job.verb}"
            + _tail(able),
            hint=f"use -p {able[0]}" if able else f"wan models {model.provider}",
        )


def _check_negative(job: Job, model: Model, offer: Offer) -> None:
    given = len(job.negative or "")
    if offer.negative_max and given > offer.negative_max:
        raise UsageError(
            f"--negative has {given:,} characters; {model.name} on {model.provider} takes {offer.negative_max:,}",
            hint="shorten it",
        )


def _seconds(allowed: tuple[int, ...]) -> str:
    if len(allowed) > 3 and allowed == tuple(range(allowed[0], allowed[-1] + 1)):  # noqa: PLR2004 - a range, not a list
        return f"{allowed[0]} to {allowed[-1]} s"
    return f"{', '.join(map(str, allowed))} s"


def _check_aspect(job: Job, model: Model, offer: Offer) -> None:
    if any(media.role in FRAMES for media in job.media):
        raise UsageError("--aspect: the video follows the frame or clip that is given", hint="leave --aspect out")
    if offer.aspects and job.aspect not in offer.aspects:
        raise UnsupportedOption(
            f"--aspect {job.aspect}: {model.name} on {model.provider} makes {', '.join(offer.aspects)}",
            hint=f"wan models {model.provider}",
        )


def _fit_resolution(job: Job, model: Model, offer: Offer) -> Job:
    if job.resolution is None:
        return job
    resolution = job.resolution.casefold()
    if resolution not in offer.resolutions:
        raise UnsupportedOption(
            f"--resolution {job.resolution}: {model.name} on {model.provider} makes {' and '.join(offer.resolutions)}",
            hint=f"wan models {model.provider}",
        )
    return replace(job, resolution=resolution)


def _others(job: Job, model: Model, **wants: Any) -> list[str]:
    return [name for name in who_can(job.verb, makes=job.makes, **wants) if name != model.provider]


def _tail(able: list[str]) -> str:
    return f"; {' and '.join(able)} can" if able else ""
