"""What the shell offers at TAB, read from the catalogue: that is imported only where a value is asked for.

Every command's options name these functions, so ``--help`` and the completion of an option's name import this module.
"""

from __future__ import annotations

import typer


def providers(incomplete: str) -> list[tuple[str, str]]:
    """Offer provider names with their titles."""
    from wan_cli import registry

    known = [name for name in registry.BUILTIN if name.startswith(incomplete)]
    return [(name, str(registry.document(name)["title"])) for name in known]


def _chosen(ctx: typer.Context) -> tuple[str, ...]:
    from wan_cli import registry

    named = ctx.params.get("provider")
    return (named,) if named in registry.BUILTIN else registry.BUILTIN


def models(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the canonical models of the provider named before, or of all."""
    from wan_cli import registry

    names = dict.fromkeys(model.name for model in registry.every_model(_chosen(ctx)))
    return [name for name in names if name.startswith(incomplete)]


def sizes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the tiers of the provider and verb."""
    return _values(ctx, "sizes", incomplete)


def aspects(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the shapes of the provider and verb; common ones where any shape is made."""
    common = ["1:1", "16:9", "9:16", "4:3", "3:4", "21:9"]
    return _values(ctx, "aspects", incomplete) or [shape for shape in common if shape.startswith(incomplete)]


def resolutions(ctx: typer.Context, incomplete: str) -> list[str]:
    """Offer the resolutions of videos of the provider and verb."""
    return _values(ctx, "resolutions", incomplete)


def _values(ctx: typer.Context, what: str, incomplete: str) -> list[str]:
    from wan_cli import registry

    verb = ctx.info_name or "generate"
    found: dict[str, None] = {}
    for model in registry.every_model(_chosen(ctx)):
        if offer := model.verbs.get(verb):
            found.update(dict.fromkeys(getattr(offer, what)))
    return [value for value in found if value.casefold().startswith(incomplete.casefold())]


def names(incomplete: str) -> list[str]:
    """Offer providers and canonical models, for ``wan models``."""
    from wan_cli import registry

    every = [*registry.BUILTIN, *dict.fromkeys(model.name for model in registry.every_model(registry.BUILTIN))]
    return [name for name in every if name.startswith(incomplete)]
