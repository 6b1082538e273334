"""Task <-> imprint: what a file may say of how it was made, in a sidecar or inside of it.

An imprint names no key, no header, no base URL and no address: it may be published with the picture, and one that is
read may be anybody's. What of it is no value of its kind counts as not said.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, get_args

from wan_cli.models import File, Job, LocalFile, Media, Role, Saved, Target, Task, Verb
from wan_cli.pattern import pattern

VERSION = 1
_HIDDEN = pattern(r"sha256:[0-9a-f]{64}")
"""What stands for a text that is not stored (:mod:`wan_cli.record`)."""
_SHA256 = pattern(r"[0-9a-f]{64}")
_PATHLIKE = pattern(r"[/\\\0]")
_NAME = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_TASK_ID = pattern(r"[A-Za-z0-9._:-]{1,200}")
_TEXTS = ("size", "aspect", "resolution", "audio_setting")
_NUMBERS = ("seed", "duration")
_FLAGS = ("watermark", "thinking")
_SHORT, _LONG = 300, 65_536
"""Characters of a name and of a prompt; a manifest takes as many."""
_UNSAID = ("reference", "edit_source")
"""Roles that the verb tells."""
MOST_REFERENCES = 64
_LARGEST = 2**63 - 1


def imprint(task: Task) -> dict[str, Any]:
    """Return what made the results of ``task``, as the file itself may say it. References are told by their content."""
    job = task.job
    said: dict[str, Any] = {
        "wan": VERSION, "verb": job.verb, "provider": task.provider, "model": job.model,
        "provider_model": task.provider_model, "sandbox": task.sandbox, "prompt": told(job.prompt), "size": job.size,
        "aspect": job.aspect, "seed": job.seed, "n": job.n, "watermark": job.watermark, "thinking": job.thinking,
        "negative": told(job.negative), "duration": job.duration, "resolution": job.resolution,
        "audio_setting": job.audio_setting, "references": references(job),
        "addresses": sum(medium.file is None for medium in job.media) or None,
    }  # fmt: skip
    return {name: value for name, value in said.items() if value not in (None, "", [])}


def told(text: str | None) -> str | None:
    """Return a text of the user; ``None`` for one of which only a hash is stored."""
    return None if text is None or _HIDDEN.fullmatch(text) else text


def references(job: Job) -> list[dict[str, Any]]:
    """Return the references that are files, by name and content; those with a part of their own name it.

    An address is nobody's business: it may be signed.
    """
    return [
        {**_reference(medium.file), **({} if medium.role in _UNSAID else {"role": medium.role})}
        for medium in job.media if medium.file
    ]  # fmt: skip


def _reference(file: LocalFile) -> dict[str, Any]:
    """Name a reference; where a smaller copy of it was sent, that as well."""
    source = file.original or file
    sent = {"sent": {"sha256": file.sha256, "width": file.width, "height": file.height}} if file.original else {}
    return {"name": source.name, "sha256": source.sha256, **sent}


def task_of(said: object, file: File) -> Task | None:
    """Return the task that an imprint tells of, with ``file`` as its result; ``None`` for what is no imprint.

    Its origin is empty: nothing that is read here says where a request goes. What it says of money does not count, and
    when it was made is not known (a time that no calendar has).
    """
    if not isinstance(said, Mapping) or said.get("wan") != VERSION or isinstance(said.get("wan"), bool):
        return None
    verb: Verb | None = next((known for known in get_args(Verb) if known == said.get("verb")), None)
    provider, model = _named(said.get("provider")), _text(said.get("model"), _SHORT) or ""
    if verb is None or not provider:
        return None
    n = _whole(said.get("n"))
    plain: dict[str, Any] = {
        **{name: _text(said.get(name), _SHORT) for name in _TEXTS},
        **{name: _whole(said.get(name)) for name in _NUMBERS},
        **{name: value if isinstance(value := said.get(name), bool) else None for name in _FLAGS},
    }  # fmt: skip
    job = Job(
        verb=verb, provider=provider, model=model, prompt=_text(said.get("prompt"), _LONG) or "",
        makes="video" if file.mime.startswith("video/") else "image", media=tuple(_media(said)),
        n=n if n and n > 0 else 1, negative=_text(said.get("negative"), _LONG), **plain,
        params=params if isinstance(params := said.get("params"), dict) else {},
    )  # fmt: skip
    handle = str(said.get("handle") or "").removeprefix(f"{provider}:")
    return Task(
        id="", provider=provider, origin="", job=job, provider_model=_text(said.get("provider_model"), _SHORT) or "",
        token="", target=Target(template=None), created_at=math.nan, state=Saved(files=(file,)), charged="unknown",
        charge_basis="assumed", sandbox=said.get("sandbox") is True,
        task_id=handle if _TASK_ID.fullmatch(handle) and handle.strip(".") else None,
    )  # fmt: skip


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and abs(value) <= _LARGEST else None


def _named(value: object) -> str | None:
    return value if isinstance(value, str) and _NAME.fullmatch(value) else None


def _text(value: object, most: int) -> str | None:
    return value if isinstance(value, str) and 0 < len(value) <= most and told(value) else None


def _media(said: Mapping[str, Any]) -> Iterator[Media]:
    """Yield the references, each by the bare name that it had; of an address, or a path, nothing is kept."""
    for _ in range(min(_whole(said.get("addresses")) or 0, MOST_REFERENCES)):
        yield Media(role="reference", kind="image", url="")
    listed = said.get("references")
    for one in listed[:MOST_REFERENCES] if isinstance(listed, list) else []:
        role = one.get("role", "reference") if isinstance(one, Mapping) else None
        known: Role | None = next((known for known in get_args(Role) if known == role), None)
        if known is not None:
            file = _named_file(one)
            yield Media(role=known, kind="image", file=file, url=None if file else "")


def _named_file(said: Mapping[str, Any]) -> LocalFile | None:
    name, digest = _text(said.get("name"), _SHORT), said.get("sha256")
    if name is None or _PATHLIKE.search(name) or not name.strip(".") or not isinstance(digest, str):
        return None
    return LocalFile(path=name, sha256=digest, size=0, mime="") if _SHA256.fullmatch(digest) else None
