"""Whether a name's format is delivered, or can be made of what is (interface.md, section 9)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.errors import UsageError
from wan_cli.media import EXTENSIONS, mime_of_extension

if TYPE_CHECKING:
    from wan_cli.cli.order import Order


def check_format(order: Order, output: str, *, convert: bool, said: str = "-o") -> None:
    """Refuse a name in a format that is not delivered, unless it is asked to be converted and can be.

    ``output`` is a file's name or template; where it leaves the format open, nothing is refused. Raises ``UsageError``.
    """
    formats, model, wanted = order.model.formats, order.model, mime_of_extension(output)
    if wanted is None or not formats or wanted in formats:
        return
    from wan_cli.convert import CONVERTIBLE

    possible = wanted in CONVERTIBLE and not CONVERTIBLE.isdisjoint(formats)
    if convert and possible:
        return
    delivers = f"{model.name} on {model.provider} delivers {' or '.join(EXTENSIONS[mime] for mime in formats)}"
    if possible:
        raise UsageError(f"{said} {output}: {delivers}", hint="add --convert")
    raise UsageError(
        f"{said} {output}: {delivers}, which cannot be converted to {EXTENSIONS[wanted]}",
        hint=f"use {said} {{id}}{EXTENSIONS[formats[0]]}",
    )
