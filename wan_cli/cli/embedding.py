"""Whether how a picture was made is written into it: the flag or an asset's field, else the configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wan_cli.errors import UsageError
from wan_cli.media import mime_of_extension, spoken

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.order import Order


def embeds(
    app: App, order: Order, *, said: bool | None, convert_to: str | None = None, asset: bool = False
) -> bool:  # fmt: skip
    """Return whether to embed. Raises ``UsageError`` where it was asked for and the result has no place for it.

    The configuration asks for it where there is a place. ``convert_to`` is the name whose format the result will have.
    """
    if said is False or (said is None and not app.config.get("embed")):
        return False
    from wan_cli.media.labels import LABELLED

    wanted = mime_of_extension(convert_to or "")
    if order.fitted.job.makes == "video":
        why = "nothing is written into videos"
    elif wanted and wanted not in LABELLED:
        why = f"{spoken(wanted)} has no place for it; PNG, JPEG and WebP have"
    else:
        return True
    if said and asset:
        raise UsageError(f"embed = true: {why}", hint="set embed = false there; sidecar = true says the same beside it")
    if said:
        raise UsageError(f"--embed: {why}", hint="leave --embed out")
    return False


def extras(app: App, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a target has of an asset's fields beside its place: convert, sidecar, poster, embed."""
    said = fields.get("embed")
    embed = app.config.get("embed") if said is None else said
    return {name: bool(fields.get(name)) for name in ("convert", "sidecar", "poster")} | {"embed": bool(embed)}
