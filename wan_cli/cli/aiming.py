"""Where ``wan wait`` puts what it collects: as the submit said, or as ``-o`` says now."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from wan_cli import naming
from wan_cli.cli.outcome import removed
from wan_cli.cli.storing import aimed, check_objects, refuse_showing
from wan_cli.dataclass import replace
from wan_cli.errors import ConfigInvalid, UsageError
from wan_cli.media import EXTENSIONS, film
from wan_cli.models import Done, Saved, Target, Task
from wan_cli.pattern import pattern
from wan_cli.stores import is_address, places, read_address
from wan_cli.targets import check_targets

if TYPE_CHECKING:
    from wan_cli.cli.commands.recover import Deciding
    from wan_cli.cli.commands.wait import Collecting
    from wan_cli.cli.context import App

_INDEX = pattern(r"(?<!\{)\{index(?::(0[1-9]))?\}")


def default_target(app: App, prompt: str) -> Target:
    """Return the target of a task for which no other was said."""
    values = {"slug": naming.slug(prompt), "date": _day(app)}
    return Target(template=naming.plan(None, cwd=str(app.cwd), values=values).template)


def retargeted(app: App, tasks: list[Task], options: Collecting | Deciding) -> list[Task]:
    """Lay ``-o`` and its companions over the tasks. Raises ``UsageError`` for what cannot be written so."""
    if options.output == "-" and (len(tasks) > 1 or options.json or options.jsonl):
        raise UsageError("-o - takes one result, and no --json beside it")
    if getattr(options, "preview", False):
        for output in (options.output, *(task.target.template for task in tasks if options.output is None)):
            refuse_showing(output)
    if options.poster:
        if options.output == "-":
            raise UsageError("--poster needs a file's name, and -o - has none")
        film.require("--poster")
    return [_retargeted(app, task, options, number, len(tasks)) for number, task in enumerate(tasks, start=1)]


def _retargeted(app: App, task: Task, options: Collecting | Deciding, number: int, count: int) -> Task:
    """``-o`` overrides where the results go."""
    target = replace(task.target, stdout=False) if task.target.stdout and options.output != "-" else task.target
    if options.output is not None and isinstance(task.state, Saved):
        if gone := removed(task):
            raise gone
        raise UsageError(
            f"{task.name} is saved, and {task.provider} keeps no task to fetch it from again; its files can be copied",
            hint=f"{task.command('status')} --json",
        )
    if options.output == "-":
        return replace(task, target=Target(template=None, stdout=True, embed=_embedded(app, task, target, options)))
    if options.output is not None:
        output = options.output if count == 1 else _numbered(options.output, number, app.cwd)
        target = replace(target, template=_template(app, task, output, options, alone=count == 1))
    elif target.template is None and not options.no_download:
        target = replace(target, template=default_target(app, task.job.prompt).template)
    return replace(
        task,
        target=replace(
            target, overwrite=options.overwrite or target.overwrite, convert=options.convert or target.convert,
            sidecar=options.sidecar or target.sidecar, poster=options.poster or target.poster,
            embed=_embedded(app, task, target, options),
        ),
    )  # fmt: skip


def _embedded(app: App, task: Task, target: Target, options: Collecting | Deciding) -> bool:
    """Tell whether how it was made is written into the result; what cannot have it is collected all the same."""
    if not options.embed:
        return target.embed if options.embed is None else False
    kept = f"{task.name} is saved already, and stays as it is; -o fetches it again"
    video = f"{task.name} makes a video, and nothing is written into videos"
    why = kept if isinstance(task.state, Saved) else video if task.job.makes == "video" else ""
    if why:
        app.streams.say(f"warning: --embed: {why}")
    elif isinstance(task.state, Done) and task.state.files and not target.embed:
        app.streams.say(f"warning: --embed: what is already here of {task.name} stays as it is")
    return not why


def free_target(task: Task) -> None:
    """Raise ``UsageError`` where the results of a purchase would have no place: it is not made then."""
    if task.target.template is None:
        return
    from wan_cli.engine.delivery import naming_numbers
    from wan_cli.engine.loop import model_of

    first, total = naming_numbers(task, task.job.n)
    formats = model_of(task).formats
    how: Any = {
        "first": first, "total": total,
        "values": {"id": task.id, "task": task.id, "provider": task.provider, "model": task.job.model},
    }  # fmt: skip
    ext = EXTENSIONS[formats[0]] if formats else ".png"
    if is_address(task.target.template):
        objects = places.addresses(task.target.template, task.job.n, ext, **how)
        check_objects(objects, overwrite=task.target.overwrite, skip_existing=False)
        return
    paths = naming.final_paths(task.target.template, task.job.n, ext, **how)
    check_targets(paths, overwrite=task.target.overwrite, skip_existing=False)


def _template(app: App, task: Task, output: str, options: Collecting | Deciding, *, alone: bool) -> str:
    job = task.job
    values = {
        "verb": job.verb, "provider": task.provider, "model": job.model, "seed": job.seed, "id": task.id,
        "date": _day(app), "slug": naming.slug(job.prompt),
    }  # fmt: skip
    if is_address(output):
        return aimed(output, values, job.n, overwrite=options.overwrite, alone=alone)
    plan = naming.plan(output, cwd=str(app.cwd), values=values, count=job.n)
    if alone:
        trial = naming.final_paths(plan.template, job.n, plan.wanted_ext or ".png")
        check_targets(trial, overwrite=options.overwrite, skip_existing=False)
    return plan.template


def _numbered(output: str, number: int, cwd: Path) -> str:
    """Give each of several tasks a name of its own: ``{index}`` counts them, else ``-1``, ``-2`` … is appended.

    A folder, and a name that holds ``{id}``, tell them apart already.
    """
    if is_address(output):
        output = str(read_address(output))  # a bucket alone is a folder
    if "{id}" in output or output.endswith("/") or os.path.isdir(cwd / output):  # noqa: PTH112 - false for odd names
        return output
    if _INDEX.search(output):
        return _INDEX.sub(lambda found: format(number, found[1] or ""), output)
    suffix = PurePath(output).suffix
    end = suffix if suffix.lower() in naming.TRUE_EXTENSIONS else "{ext}" if output.endswith("{ext}") else ""
    return f"{output.removesuffix(end)}-{number}{end}"


def keep_in_project(app: App, flag: str | None, paths: Sequence[Path]) -> None:
    """Raise ``ConfigInvalid`` where a project's ``output`` leads out of its folder by a link (reliability.md S5, S6).

    What stands in the file alone was checked when it was read. ``flag`` is ``-o``, which the user may point anywhere.
    """
    project = app.config.project_file
    if flag is not None or project is None or app.config.source("output") != str(project):
        return
    root = project.parent.resolve()
    for path in paths:
        if not (real := path.parent.resolve()).is_relative_to(root):
            raise ConfigInvalid(
                f"{project}: output leads out of the project's folder, to {real}", hint=f"edit {project}, or use -o"
            )


def _day(app: App) -> str:
    return time.strftime("%Y-%m-%d", time.localtime(app.now()))
