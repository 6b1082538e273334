"""``wan render``."""

from dataclasses import dataclass
from typing import Annotated

import typer

from wan_cli.cli import complete
from wan_cli.cli.options import Faults, Lines, MaxCost, MaxResults, Queue, Talk, UnknownCost, Yes, with_options


@dataclass(init=False, eq=False, repr=False)
class Rendering(Lines, Faults, Talk):
    """The options of ``render`` (interface.md, section 6)."""

    plan: Annotated[bool, typer.Option("--plan", help="Show what would be made, why, and its price; buy nothing.")] = (
        False
    )
    check: Annotated[bool, typer.Option("--check", help="Exit 13 unless all is up to date; no key, no network.")] = (
        False
    )
    inputs_only: Annotated[
        bool, typer.Option("--inputs-only", help="With --check: the files themselves are not committed.")
    ] = False
    only: Annotated[
        list[str] | None,
        typer.Option(
            "--only",
            metavar="GLOB",
            help="Only assets with such an id, and what they use.",
            autocompletion=complete.assets,
        ),
    ] = None
    force: Annotated[bool, typer.Option("--force", help="Render anew, edited files too.")] = False
    again: Annotated[bool, typer.Option("--again", help="Render another take.")] = False
    count: Annotated[
        int | None, typer.Option("--count", "-n", min=1, max=20, help="With --again: so many takes to choose from.")
    ] = None
    jobs: Annotated[
        int | None, typer.Option("--jobs", min=1, max=1024, help="Assets in hand at a time, per provider.")
    ] = None
    keep_going: Annotated[
        bool, typer.Option("--keep-going/--fail-fast", help="After a failure go on buying, or only collect.")
    ] = True
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for results; a later run collects.")] = True
    timeout: Annotated[str | None, typer.Option("--timeout", metavar="90s|10m|1h", help="How long for a task.")] = None
    shard: Annotated[str | None, typer.Option("--shard", metavar="I/N", help="Only the I-th of N parts.")] = None
    queue: Queue = None
    root: Annotated[
        str | None, typer.Option("--root", metavar="DIR", help="Nothing outside is read or written; the manifest's.")
    ] = None
    output: Annotated[
        str | None,
        typer.Option("--output", "-o", metavar="s3://BUCKET/FOLDER/", help="Results go below it; also gs:// az://."),
    ] = None
    accept: Annotated[
        list[str] | None,
        typer.Option(
            "--accept", metavar="GLOB", help="Record edited files as they are.", autocompletion=complete.assets
        ),
    ] = None
    prune: Annotated[bool, typer.Option("--prune", help="Remove what the manifest no longer has, files and lock.")] = (
        False
    )
    report: Annotated[
        list[str] | None,
        typer.Option("--report", metavar="FILE.html|.md|.xml", help="Contact sheet, job summary or JUnit."),
    ] = None
    schema: Annotated[bool, typer.Option("--schema", help="Print the JSON Schema of a manifest.")] = False
    merge: Annotated[
        tuple[str, str, str] | None,
        typer.Option("--merge", metavar="BASE OURS THEIRS", help="Merge locks, as git's merge driver."),
    ] = None
    max_cost: MaxCost = None
    max_results: MaxResults = None
    allow_unknown_cost: UnknownCost = False
    yes: Yes = False


@with_options(Rendering)
def command(
    ctx: typer.Context,
    manifest: Annotated[
        str | None, typer.Argument(metavar="MANIFEST", help="TOML, JSONL, CSV, or YAML with its extra.")
    ] = None,
    *,
    options: Rendering,
) -> int:
    """Render a project's assets from one file: what is missing, stale or changed."""
    from wan_cli.cli.rendering import command as rendering

    return rendering.render(ctx.obj, manifest, options)
