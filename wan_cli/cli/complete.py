"""What the shell offers at TAB: from catalogue, ledger and manifest, each opened only where it is asked for.

Every command's options name these functions, so ``--help`` and the completion of an option's name import this module.
Whatever cannot be read is offered as nothing: a TAB never fails, writes nothing and asks no provider.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from wan_cli.pattern import pattern

if TYPE_CHECKING:
    from wan_cli.catalog import Offer

AUDIO_SETTINGS = ("auto", "origin")
SHAPES = ("1:1", "16:9", "9:16", "4:3", "3:4", "21:9")
"""Offered where any shape is made."""
FAULTS = (
    "429:retry-after=2", "500", "drop-before", "drop-after", "stall=5", "truncate", "expired-url", "html", "k-of-n",
    "wrong-size", "jpeg-as-png", "fail", "moderation",
)  # fmt: skip
"""What can go wrong in the sandbox (interface.md, section 7)."""
LARGEST = 1 << 20
"""Bytes of a configuration or a manifest that are read for a TAB."""
MOST_IDS = 200
"""Ids that one row of a manifest may stand for here."""
_HARMLESS = pattern(r"[\w.:-]+")
"""What may stand unquoted on a command line: a manifest may be anybody's, and a handle is a provider's word."""


def _begins(found: Iterator[str] | list[str] | tuple[str, ...], incomplete: str) -> list[str]:
    """Keep those that begin as typed, whatever the case, each once."""
    return [value for value in dict.fromkeys(found) if value.casefold().startswith(incomplete.casefold())]


def providers(incomplete: str) -> list[tuple[str, str]]:
    """Offer provider names with their titles; after a comma the next of an order of preference."""
    from wan_cli import registry

    before, comma, begun = incomplete.rpartition(",")
    titles = {name: registry.title(name) for name in registry.BUILTIN}
    titles |= {name: f"speaks like {table.get('contract', name)}" for name, table in _own_providers().items()}
    said = set(before.split(","))
    return [
        (f"{before}{comma}{name}", title) for name, title in titles.items()
        if name.startswith(begun) and name not in said
    ]  # fmt: skip


def _own_providers() -> Mapping[str, Mapping[str, Any]]:
    """Return the user's own providers by name, as the configuration states them."""
    from wan_cli.config import config_path
    from wan_cli.errors import WanError
    from wan_cli.registry import BUILTIN

    try:
        tables = _toml(config_path(os.environ)).get("providers", {})
    except WanError:
        return {}
    return {name: table for name, table in tables.items() if name not in BUILTIN and isinstance(table, dict)}


def _toml(path: Path) -> Mapping[str, Any]:
    """Return a TOML document; an empty one where there is none that can be read."""
    import tomllib

    from wan_cli.intake import read_regular

    try:
        return tomllib.loads(read_regular(path, LARGEST).decode())
    except (OSError, ValueError):
        return {}


def _chosen(ctx: typer.Context) -> tuple[str, ...]:
    """Return whose catalogue counts: of the providers that ``-p`` or ``WAN_PROVIDER`` names, else of all."""
    from wan_cli import registry

    named = [name.strip() for name in (ctx.params.get("provider") or os.environ.get("WAN_PROVIDER") or "").split(",")]
    if not set(named) <= set(registry.BUILTIN):
        own = _own_providers()
        named = [str(own.get(name, {}).get("contract", name)) for name in named]
    return tuple(name for name in named if name in registry.BUILTIN) or registry.BUILTIN


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the canonical models of the providers named before, or of all."""
    from wan_cli import registry

    return _begins([model.name for model in registry.every_model(_chosen(ctx))], incomplete)


def sizes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the tiers of provider, model and verb."""
    return _values(ctx, lambda offer: offer.sizes, incomplete)


def aspects(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the shapes of provider, model and verb; common ones where any shape is made."""
    return _values(ctx, lambda offer: offer.aspects, incomplete) or _begins(SHAPES, incomplete)


def resolutions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the resolutions of videos of provider, model and verb."""
    return _values(ctx, lambda offer: offer.resolutions, incomplete)


def durations(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the durations of videos of provider, model and verb, in seconds."""
    found = _values(ctx, lambda offer: map(str, offer.durations), incomplete)
    return sorted(found, key=int)


def audio_settings(incomplete: str) -> list[str]:
    """Offer what ``--audio-setting`` takes."""
    return _begins(AUDIO_SETTINGS, incomplete)


def faults(incomplete: str) -> list[str]:
    """Offer what can go wrong in the sandbox."""
    return _begins(FAULTS, incomplete)


def _values(ctx: typer.Context, what: Callable[[Offer], Any], incomplete: str) -> list[str]:
    from wan_cli import registry

    verb, named = ctx.info_name or "generate", (ctx.params.get("model") or "").casefold()
    every = list(registry.every_model(_chosen(ctx)))
    known = [model for model in every if named in (model.name.casefold(), model.id.casefold())]
    found = (str(value) for model in known or every if (offer := model.verbs.get(verb)) for value in what(offer))
    return _begins(found, incomplete)


def names(incomplete: str) -> list[str]:
    """Offer providers and canonical models, for ``wan models``."""
    from wan_cli import registry

    return _begins([*registry.BUILTIN, *(model.name for model in registry.every_model(registry.BUILTIN))], incomplete)


def every_task(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the newest tasks of this machine, by local id and by handle."""
    return _tasks(ctx, incomplete, ())


def open_tasks(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the tasks that are outstanding."""
    return _tasks(ctx, incomplete, ("new", "sending", "pending", "done"))


def unknown_tasks(ctx: typer.Context, incomplete: str) -> list[tuple[str, str]]:
    """Offer the tasks about which somebody has to decide."""
    return _tasks(ctx, incomplete, ("unknown",))


def _tasks(ctx: typer.Context, incomplete: str, kinds: tuple[str, ...]) -> list[tuple[str, str]]:
    from wan_cli.config import state_folder
    from wan_cli.errors import WanError
    from wan_cli.text import one_line

    played = ctx.params.get("sandbox") or os.environ.get("WAN_SANDBOX", "").strip().casefold() in {
        "1", "true", "yes", "on",
    }  # fmt: skip
    try:
        folder = state_folder(os.environ)
    except WanError:
        return []
    from wan_cli.ledger.offered import offered

    rows = offered(folder / "sandbox" if played else folder, begins=incomplete, kinds=kinds)
    said = set(ctx.params.get("tasks") or ())
    return [(name, one_line(told)) for name, told in rows if name not in said and _HARMLESS.fullmatch(name)]


def assets(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the assets of the manifest that the command is about, which is ``assets.toml`` where none is named."""
    manifest = ctx.params.get("manifest") or ctx.params.get("into") or "assets.toml"
    rows = _toml(Path(manifest)).get("asset")
    found = (name for row in rows if isinstance(row, dict) for name in _ids(row)) if isinstance(rows, list) else ()
    return _begins(iter(found), incomplete)


def _ids(row: Mapping[str, Any]) -> Iterator[str]:
    """Yield the ids that a row of a manifest stands for."""
    name, matrix = row.get("id"), row.get("matrix", {})
    if not isinstance(name, str) or not isinstance(matrix, dict):
        return
    axes = {axis: values for axis, values in matrix.items() if isinstance(values, list)}
    for chosen in itertools.islice(itertools.product(*axes.values()), MOST_IDS):
        found = name
        for axis, value in zip(axes, chosen, strict=True):
            found = found.replace(f"{{{axis}}}", str(value))
        if _HARMLESS.fullmatch(found):
            yield found
