"""The options, declared once: each command's signature is made from these classes.

Every ``--help`` and every TAB makes them anew, so they are cheap to make: annotations are no texts that would have to
be compiled, and no methods are generated (each dataclass with its usual ones takes up to a millisecond).
"""

import dataclasses
import inspect
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_type_hints

import typer

from wan_cli.cli import complete

OptionsT = TypeVar("OptionsT")

MaxCost = Annotated[
    list[str] | None, typer.Option("--max-cost", metavar="AMOUNTUNIT", help="Refuse above this, e.g. 24credits.")
]
MaxResults = Annotated[int | None, typer.Option("--max-results", min=1, help="Refuse more results than this.")]
UnknownCost = Annotated[bool, typer.Option("--allow-unknown-cost", help="With --max-cost: buy at unknown prices.")]
Yes = Annotated[bool, typer.Option("--yes", help="Consent to a large purchase.")]
Shrink = Annotated[
    bool, typer.Option("--shrink-references", help="Send a smaller copy of a picture that is too large.")
]
Queue = Annotated[
    str | None,
    typer.Option("--queue", metavar="URL", help="Shared by workers: postgresql://HOST/DATABASE; or WAN_QUEUE."),
]
OfQueue = Annotated[
    str | None, typer.Option("--queue", metavar="URL", help="Of a shared queue: postgresql://HOST/DATABASE.")
]
NoDownload = Annotated[bool, typer.Option("--no-download", help="Print addresses, fetch nothing.")]


def finite(value: float | None) -> float | None:
    """Refuse ``nan`` and ``inf``, which pass for numbers."""
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number of seconds")
    return value


class Options:
    """What was said by name; what was not has its class's default. Read-only."""

    def __init__(self, **said: Any) -> None:
        if strange := said.keys() - {field.name for field in dataclasses.fields(self)}:  # type: ignore[arg-type]
            raise TypeError(f"no options of {type(self).__name__}: {sorted(strange)}")
        vars(self).update(said)

    def __setattr__(self, name: str, value: object) -> None:
        """Refuse a change: what the user said stays."""
        raise dataclasses.FrozenInstanceError(name)


@dataclass(init=False, eq=False, repr=False)
class Talk(Options):
    """What a command prints, and whether it is played offline."""

    json: Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")] = False
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")] = False
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Show requests and answers, without secrets.")] = (
        False
    )
    sandbox: Annotated[bool, typer.Option("--sandbox", help="Play it offline: no key, no network, no cost.")] = False


@dataclass(init=False, eq=False, repr=False)
class Faults(Options):
    """What goes wrong in the sandbox, and how long it takes."""

    fault: Annotated[
        list[str] | None,
        typer.Option(
            "--fault",
            metavar="SPEC",
            help="What goes wrong in the sandbox; see 'wan help sandbox'.",
            autocompletion=complete.faults,
        ),
    ] = None
    latency: Annotated[
        float | None,
        typer.Option(
            "--latency", metavar="S", min=0, callback=finite, help="Seconds that a task of the sandbox takes."
        ),
    ] = None


@dataclass(init=False, eq=False, repr=False)
class Lines(Options):
    """The event stream."""

    jsonl: Annotated[bool, typer.Option("--jsonl", help="One JSON line an event on standard output.")] = False


@dataclass(init=False, eq=False, repr=False)
class Waiting(Options):
    """How long to wait."""

    timeout: Annotated[
        str | None, typer.Option("--timeout", metavar="90s|10m|1h", help="How long to wait for a task.")
    ] = None
    strict: Annotated[bool, typer.Option("--strict", help="Exit 14 when the delivery differs from the request.")] = (
        False
    )


@dataclass(init=False, eq=False, repr=False)
class Saving(Options):
    """Where results go."""

    output: Annotated[
        str | None,
        typer.Option(
            "--output", "-o", metavar="FILE|DIR/|TEMPLATE|s3://|-", help="Where to save; see 'wan help templates'."
        ),
    ] = None
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace existing files.")] = False
    convert: Annotated[bool, typer.Option("--convert", help="Convert to the format that -o names.")] = False
    sidecar: Annotated[bool, typer.Option("--sidecar", help="Write FILE.json beside each file: how it was made.")] = (
        False
    )
    poster: Annotated[
        bool, typer.Option("--poster", help="Write FILE.poster.jpg beside each video: its first frame.")
    ] = False
    embed: Annotated[
        bool | None, typer.Option("--embed/--no-embed", help="Write into each picture how it was made.")
    ] = None


@dataclass(init=False, eq=False, repr=False)
class Looking(Options):
    """Whether results are shown on the terminal."""

    preview: Annotated[bool, typer.Option("--preview", help="Show the pictures on the terminal.")] = False


@dataclass(init=False, eq=False, repr=False)
class Choosing(Options):
    """Which provider and model."""

    provider: Annotated[
        str | None,
        typer.Option("--provider", "-p", metavar="NAME", help="See 'wan models'.", autocompletion=complete.providers),
    ] = None
    model: Annotated[
        str | None,
        typer.Option("--model", "-m", metavar="NAME", help="See 'wan models'.", autocompletion=complete.models),
    ] = None


@dataclass(init=False, eq=False, repr=False)
class Making(Choosing, Saving, Looking, Waiting, Lines, Faults, Talk):
    """The options of the four making verbs (interface.md, section 2)."""

    like: Annotated[
        str | None, typer.Option("--like", metavar="FILE", help="With the settings that made this file.")
    ] = None
    prompt_text: Annotated[
        str | None, typer.Option("--prompt", metavar="TEXT", help="The prompt, instead of PROMPT.")
    ] = None
    prompt_file: Annotated[
        str | None, typer.Option("--prompt-file", metavar="FILE", help="A file with the prompt.")
    ] = None
    count: Annotated[int | None, typer.Option("--count", "-n", help="How many results.")] = None
    size: Annotated[
        str | None,
        typer.Option(
            "--size", "-s", metavar="1K|2K|4K|WxH", help="Size of the picture.", autocompletion=complete.sizes
        ),
    ] = None
    aspect: Annotated[
        str | None,
        typer.Option("--aspect", "-a", metavar="W:H", help="Shape of the picture.", autocompletion=complete.aspects),
    ] = None
    seed: Annotated[int | None, typer.Option("--seed", help="The same seed helps to repeat a result.")] = None
    watermark: Annotated[bool | None, typer.Option("--watermark/--no-watermark", help="Put a mark on the picture.")] = (
        None
    )
    thinking: Annotated[bool | None, typer.Option("--thinking/--no-thinking", help="Let the model think first.")] = None
    negative: Annotated[str | None, typer.Option("--negative", metavar="TEXT", help="What must not be in it.")] = None
    mask: Annotated[str | None, typer.Option("--mask", metavar="FILE", help="PNG; what is transparent is changed.")] = (
        None
    )
    duration: Annotated[
        int | None,
        typer.Option("--duration", "-d", metavar="S", help="Seconds of video.", autocompletion=complete.durations),
    ] = None
    resolution: Annotated[
        str | None,
        typer.Option("--resolution", metavar="720p|1080p", help="Of a video.", autocompletion=complete.resolutions),
    ] = None
    shrink_references: Shrink = False
    first_frame: Annotated[str | None, typer.Option("--first-frame", metavar="ASSET", help="The video begins so.")] = (
        None
    )
    last_frame: Annotated[str | None, typer.Option("--last-frame", metavar="ASSET", help="A video's end.")] = None
    first_clip: Annotated[str | None, typer.Option("--first-clip", metavar="ASSET", help="A video to go on with.")] = (
        None
    )
    audio: Annotated[str | None, typer.Option("--audio", metavar="ASSET", help="Sound that drives the video.")] = None
    voice: Annotated[str | None, typer.Option("--voice", metavar="ASSET", help="The voice of a reference.")] = None
    audio_setting: Annotated[
        str | None,
        typer.Option(
            "--audio-setting",
            metavar="auto|origin",
            help="Sound of an edited video.",
            autocompletion=complete.audio_settings,
        ),
    ] = None
    param: Annotated[
        list[str] | None,
        typer.Option("--param", metavar="KEY=VALUE", help="A provider's own parameter, sent as given."),
    ] = None
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Buy nothing when the files exist; exit 0.")
    ] = False
    no_download: NoDownload = False
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait for the result, or only submit.")] = True
    max_cost: MaxCost = None
    max_results: MaxResults = None
    allow_unknown_cost: UnknownCost = False
    yes: Yes = False
    idempotency_key: Annotated[
        str | None, typer.Option("--idempotency-key", metavar="TEXT", help="The same key and request never buy twice.")
    ] = None
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the requests as curl commands; send nothing.")] = (
        False
    )
    route_async: Annotated[
        bool | None, typer.Option("--async/--sync", help="Force the provider's asynchronous or synchronous interface.")
    ] = None


def said(options: object, names: Iterable[str]) -> list[str]:
    """Return those of the options that were used, by their fields' names."""
    usual = {field.name: field.default for field in dataclasses.fields(options)}  # type: ignore[arg-type]
    return [name for name in names if getattr(options, name) != usual[name]]


def flag(name: str) -> str:
    """Return how an option is spelled, by its field's name."""
    special = {"import_file": "--import", "wait": "--no-wait", "everything": "--all"}
    return special.get(name, f"--{name.replace('_', '-')}")


def with_options(options: type[OptionsT]) -> Callable[[Callable[..., int]], Callable[..., int]]:
    """Make a command of ``function(ctx, ..., options)``: its last parameter becomes the options of ``options``."""

    def wrap(function: Callable[..., int]) -> Callable[..., int]:
        hints = get_type_hints(options, include_extras=True)
        own = [p for p in inspect.signature(function, eval_str=True).parameters.values() if p.name != "options"]
        fields = [
            inspect.Parameter(
                field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=hints[field.name]
            )
            for field in dataclasses.fields(options)  # type: ignore[arg-type]
        ]
        names = {field.name for field in fields}

        def command(*args: Any, **values: Any) -> int:
            said = {name: values.pop(name) for name in names}
            return function(*args, **values, options=options(**said))

        keyword = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]
        command.__signature__ = inspect.Signature([*keyword, *fields])  # type: ignore[attr-defined]
        command.__doc__, command.__name__ = function.__doc__, function.__name__
        return command

    return wrap
