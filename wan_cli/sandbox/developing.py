"""From a record to a file: what was ordered is drawn, masked and encoded, once, when it is first asked for."""

from __future__ import annotations

from importlib.util import find_spec
from io import BytesIO
from typing import TYPE_CHECKING

from wan_cli.extras import install
from wan_cli.sandbox.records import NeedsExtraError

if TYPE_CHECKING:
    from collections.abc import Callable

    from PIL import Image

    from wan_cli.sandbox.records import Clip, Picture

_NOT_FOR_DRAWING = {"prompt", "width", "height", "inputs", "mask", "format", "quality", "cutout"}
_CORNER = 0.12  # of the shorter side: how round a cut-out picture's corners are


def require_video() -> None:
    """Raise NeedsExtraError unless videos can be drawn here, that is, unless PyAV is installed."""
    if find_spec("av") is None:
        message = f"PyAV (the extra [video]) is missing; {install('video')}"
        raise NeedsExtraError(message)


def developed_picture(ordered: Picture, blob: Callable[[str], bytes], draw: Callable[..., bytes] | None) -> bytes:
    """Return the picture's file. `blob` answers an input's bytes, `draw` replaces `wan_cli.sandbox.draw.picture`."""
    if draw is None:
        from wan_cli.sandbox.draw import picture

        draw = picture
    inputs = [blob(sha256) for sha256 in ordered.inputs]
    details = ordered.model_dump(exclude=_NOT_FOR_DRAWING)
    png = draw(ordered.prompt, ordered.width, ordered.height, inputs=inputs, **details)
    if ordered.format == "png" and not ordered.mask and not ordered.cutout:
        return png  # with the marks that the drawing left in it
    return _encoded(ordered, _masked(ordered, png, inputs, blob))


def developed_clip(ordered: Clip, blob: Callable[[str], bytes], film: Callable[..., bytes] | None) -> bytes:
    """Return the clip's MP4; `film` replaces `wan_cli.sandbox.draw.video.clip`. Raises NeedsExtraError."""
    if film is None:
        require_video()
        from wan_cli.sandbox.draw.video import clip

        film = clip
    details = ordered.model_dump(exclude=_NOT_FOR_DRAWING)
    return film(ordered.prompt, ordered.width, ordered.height, inputs=[blob(s) for s in ordered.inputs], **details)


def _masked(ordered: Picture, png: bytes, inputs: list[bytes], blob: Callable[[str], bytes]) -> Image.Image:
    """Return the drawn picture with the first input where the mask is opaque (contracts.md 6.1: transparent = edit)."""
    from PIL import Image, ImageOps

    image = Image.open(BytesIO(png)).convert("RGB")
    if not ordered.mask:
        return image
    with Image.open(BytesIO(inputs[0])) as first, Image.open(BytesIO(blob(ordered.mask))) as mask:
        kept = ImageOps.fit(first.convert("RGB"), image.size)
        return Image.composite(kept, image, ImageOps.fit(mask.convert("RGBA").getchannel("A"), image.size))


def _encoded(ordered: Picture, image: Image.Image) -> bytes:
    from PIL import Image, ImageDraw

    if ordered.cutout:
        clear = Image.new("L", image.size, 0)
        radius = round(min(image.size) * _CORNER)
        ImageDraw.Draw(clear).rounded_rectangle((0, 0, image.width - 1, image.height - 1), radius, fill=255)
        image.putalpha(clear)
    buffer = BytesIO()
    if ordered.format == "png":
        image.save(buffer, "PNG", compress_level=1)
    else:
        image.save(buffer, ordered.format.upper(), quality=ordered.quality)
    return buffer.getvalue()
