"""``--like FILE``: a call with the settings of what made a file. What the call says itself wins.

What a sidecar or the inside of a file says may be anybody's: of it neither provider parameters nor how many results to
buy are taken, and a picture that it names counts only where one with the same content is here.
"""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli.cli.assets import ROLES
from wan_cli.cli.options import Making, flag
from wan_cli.cli.provenance.origin import Origin, look
from wan_cli.dataclass import dataclass, field, fields
from wan_cli.errors import FileInvalid, UsageError
from wan_cli.imprint import told
from wan_cli.intake import digest_of
from wan_cli.media import looks_like_media_name
from wan_cli.registry import capabilities, knows
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.models import Job, Media, Verb

PLAIN = ("aspect", "size", "seed", "watermark", "thinking", "duration", "resolution", "audio_setting")
"""What a job and the options call by the same name, and what no word of it can do harm by."""
FIELD_OF = {role: name for name, role in ROLES.items()}
LARGEST_SEED = 2**31 - 1
"""Seeds of other programs go up to 2**64; those of Wan do not (contracts.md)."""


@dataclass(kw_only=True)
class _Taking:
    """What is taken and what is not, while the options are filled."""

    app: App
    verb: Verb
    origin: Origin
    said: dict[str, Any]
    taken: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)

    def take(self, name: str, value: Any, shown: str | None = None) -> None:
        """Fill an option that the call left open."""
        if self.said[name] is None and value is not None:
            self.said[name] = value
            self.taken.append(shown or f"{flag(name)} {one_line(str(value), 60)}")

    def leave(self, what: str, why: str) -> None:
        """Say that something is not taken."""
        self.left.append(f"{what} ({why})")


def with_like(app: App, verb: Verb, words: list[str], options: Making) -> tuple[list[str], Making]:
    """Return words and options with what made ``options.like`` filled in where the call says nothing.

    Raises ``UsageError`` where nothing says what made it, or something that it was made from is not here.
    """
    origin = look(app, str(options.like))
    known = {one.name: getattr(options, one.name) for one in fields(options)}
    call = _Taking(app=app, verb=verb, origin=origin, said=known)
    own, has_prompt = _split(call, words)
    job = origin.task.job if origin.task else None
    prompt = told(job.prompt) if job else origin.said.get("prompt")
    if job is None and not prompt:
        raise UsageError(
            f"--like {one_line(origin.name)}: nothing says with which settings it was made", hint="wan inspect --help"
        )
    if not has_prompt:
        if not prompt:
            raise UsageError(f"--like {one_line(origin.name)}: its prompt is not stored; give one", hint="wan status")
        call.said["prompt_text"] = prompt
        call.taken.append("the prompt")
    if job is None:
        _foreign(call)
    else:
        words = _media(call, job, words, own)
        _maker(call, job)
        _settings(call, job)
    taken = ", ".join(call.taken) or "nothing that the call does not say"
    app.talk(f"like {one_line(origin.name)} ({origin.source}): {taken}")
    if call.left:
        app.streams.say(f"warning: --like {one_line(origin.name)}: not taken: {', '.join(call.left)}")
    return words, Making(**call.said)


def _split(call: _Taking, words: Sequence[str]) -> tuple[list[str], bool]:
    """Return the call's own pictures, and whether it has a prompt: the last word is one, unless it names a file."""
    if call.said["prompt_text"] is not None or call.said["prompt_file"] is not None or not words:
        return list(words), call.said["prompt_text"] is not None or call.said["prompt_file"] is not None
    last = words[-1]
    address = last.startswith("https://") and not last.split()[1:]
    named = address or looks_like_media_name(last) or os.path.isfile(call.app.cwd / last)  # noqa: PTH113 - odd names
    if call.verb == "generate" or not named:
        return list(words[:-1]), True
    return list(words), False


def _media(call: _Taking, job: Job, words: list[str], own: list[str]) -> list[str]:
    """Return the words with the pictures that the file was made from; those with a part of their own become options."""
    missing: list[str] = []
    before: list[str] = []
    for medium in job.media:
        name = FIELD_OF.get(medium.role)
        if (name and call.said[name] is not None) or (name is None and own):
            continue  # the call has its own
        if name is None and call.verb == "generate":
            raise UsageError(
                f"--like {one_line(call.origin.name)}: it was made from pictures by wan {job.verb}",
                hint=f"wan {job.verb} --like {one_line(call.origin.name)}",
            )
        found = _found(call, medium)
        if found is None:
            missing.append(one_line(medium.file.name) if medium.file else "an address that is not kept")
        elif name:
            call.take(name, found)
        else:
            before.append(found)
    if missing:
        raise FileInvalid(
            f"--like {one_line(call.origin.name)}: not here as it was: {', '.join(missing)}, of which it was made",
            hint="put it back, or name the pictures yourself",
        )
    if before:
        call.taken.append(", ".join(one_line(Path(one).name) for one in before))
    if call.verb != job.verb:
        call.leave(f"the verb {job.verb}", f"this is wan {call.verb}")
    return [*before, *words]


def _found(call: _Taking, medium: Media) -> str | None:
    """Return where a reference is: at its recorded path, else beside the file or here; with the same content."""
    if medium.file is None:
        return medium.url if call.origin.own else None
    for file in (medium.file, *([medium.file.original] if medium.file.original else [])):  # copies go after a month
        recorded, name = Path(file.path), file.name
        places = [recorded] if call.origin.own and recorded.is_absolute() else []
        for path in (*places, call.origin.path.parent / name, call.app.cwd / name):
            if name.strip(".") and digest_of(path) == file.sha256:
                if file is medium.file.original and not call.said["shrink_references"]:
                    call.said["shrink_references"] = True
                    call.taken.append("--shrink-references")
                return str(path)
    return None


def _maker(call: _Taking, job: Job) -> None:
    """Take provider and model, where they are known here and go together with what the call names."""
    named, model = call.said["provider"], call.said["model"]
    if named is None:
        why = _strange(call, job, model)
        if why:
            call.leave(f"-p {one_line(job.provider)}", why)
        else:
            call.take("provider", job.provider)
    if model is None and job.model:
        names = [name.strip() for name in str(call.said["provider"] or "").split(",") if name.strip()]
        offered = any(knows(name) and capabilities(name).find(job.model) for name in names)
        if offered or (call.origin.own and call.said["provider"] == job.provider):
            call.take("model", job.model)
        else:
            call.leave(f"-m {one_line(job.model)}", "not in the catalogue of who makes it now")


def _strange(call: _Taking, job: Job, model: str | None) -> str:
    """Say why the provider that made it cannot make this, or nothing."""
    if not knows(job.provider):
        return "no provider here"
    if model and not capabilities(job.provider).find(model):
        return f"it has no {one_line(model)}"
    if not call.origin.own and not (call.app.sandbox or call.said["dry_run"] or call.app.has_key(job.provider)):
        return "no key of it is set"
    return ""


def _settings(call: _Taking, job: Job) -> None:
    """Take the rest. A size in pixels and a shape say the same, so of these the call's own stands alone."""
    sized, shaped = call.said["size"], call.said["aspect"]
    for name in PLAIN:
        value = getattr(job, name)
        if value is not None and (
            (name == "aspect" and _pixels(sized)) or (name == "size" and shaped and _pixels(value))
        ):
            call.leave(f"{flag(name)} {one_line(str(value), 60)}", "the call says its own shape")
            continue
        call.take(name, value)
    if job.negative is not None:
        if told(job.negative):
            call.take("negative", job.negative, "--negative")
        else:
            call.leave("--negative", "not stored")
    if job.stated_n is not None:
        if call.origin.own or call.verb == "sequence":
            call.take("count", job.n, f"-n {job.n}")
        elif call.said["count"] is None:
            call.leave(f"-n {job.n}", "a file does not say how many are bought")
    if call.origin.own and job.route is not None:
        call.take("route_async", job.route == "async", f"--{job.route}")
    _params(call, job)


def _pixels(size: str | None) -> bool:
    """Tell a size in pixels, which is a shape as well, from a tier such as 1K."""
    return size is not None and not size.upper().endswith("K")


def _params(call: _Taking, job: Job) -> None:
    own = {pair.partition("=")[0] for pair in call.said["param"] or ()}
    pairs = []
    for name, value in job.params.items():
        if name in own:
            continue
        if not call.origin.own or (isinstance(value, str) and not told(value)):
            call.leave(
                f"--param {one_line(str(name), 60)}", "not stored" if call.origin.own else "a file names no parameters"
            )
        else:
            pairs.append(f"{name}={json.dumps(value)}")
            call.taken.append(f"--param {one_line(name, 60)}")
    if pairs:
        call.said["param"] = [*(call.said["param"] or ()), *pairs]


def _foreign(call: _Taking) -> None:
    """Of another program's settings prompt and seed mean something here; the rest is said."""
    for name, value in call.origin.said.items():
        if name == "seed" and isinstance(value, int) and 0 <= value <= LARGEST_SEED:
            call.take("seed", value)
        elif name != "prompt":
            call.leave(f"{name} {one_line(str(value), 60)}", f"of {call.origin.source}")
