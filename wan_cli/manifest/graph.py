"""Which asset comes before which: ``@id`` references as a graph."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter

from wan_cli.manifest.assets import Asset, Manifest
from wan_cli.manifest.source import at


def order(manifest: Manifest) -> list[Asset]:
    """Return the assets so that each comes after those it uses. Raises ``UsageError`` for a circle."""
    sorter = TopologicalSorter({asset.id: asset.needs for asset in manifest.assets.values()})
    try:
        return [manifest.assets[name] for name in sorter.static_order()]
    except CycleError as error:
        circle = [str(name) for name in error.args[1]]
        first = manifest.assets[circle[0]]
        shown = " -> ".join(f"@{name}" for name in reversed(circle))
        raise at(manifest.path, first.line, f"{first.id}: the references go round in a circle: {shown}") from error


def chains(assets: Iterable[Asset]) -> dict[str, str]:
    """Return, for each id, the name of the chain it belongs to: assets that use each other share one.

    The name is the least id of the chain, so it depends on nothing but the chain itself.
    """
    leader: dict[str, str] = {}

    def lead(name: str) -> str:
        while leader.setdefault(name, name) != name:
            leader[name] = leader[leader[name]]
            name = leader[name]
        return name

    for asset in assets:
        lead(asset.id)
        for need in asset.needs:
            one, other = sorted((lead(asset.id), lead(need)))
            leader[other] = one
    return {name: lead(name) for name in leader}
