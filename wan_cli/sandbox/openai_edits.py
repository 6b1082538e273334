"""The form of POST /v1/images/edits: `image` once, or `image[]` up to 16 times, a `mask`, and parameters [6.1].

`contracts.md` 6.1 is cited as [6.1]. `image` and `image[]` together are refused, as LiteLLM does (6.2), and so is an
image that is not a file part. A mask is a PNG with an alpha channel as large as the first image; what is transparent in
it is changed.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, NamedTuple

from wan_cli.sandbox import multipart
from wan_cli.sandbox.openai_orders import Order, read, refuse

if TYPE_CHECKING:
    import httpx

_MOST = 16  # images [6.1]
_BYTES = 50 * 1024 * 1024  # of an image, exclusive [6.1]
_FORMATS = ("PNG", "JPEG", "WEBP")  # [6.1]
_FILES = ("image", "image[]", "mask")


class Edit(NamedTuple):
    """An edit that was read: its parameters, whole image files, the mask (b"" for none) and the first image's sides."""

    order: Order
    images: list[bytes]
    mask: bytes
    shape: tuple[int, int]


def form(request: httpx.Request) -> Edit:
    """Return what a form asks for. Refuses what is wrong with it."""
    try:
        parts = multipart.parts(request)
    except multipart.MalformedError as error:
        refuse(400, "invalid_multipart", str(error))
    fields: dict[str, str] = {}
    files: dict[str, list[bytes]] = {name: [] for name in _FILES}
    for part in parts:
        if part.name in files:
            if not part.filename:
                refuse(400, "invalid_value", f"Invalid type for '{part.name}': expected a file.", param=part.name)
            files[part.name].append(part.data)
        elif part.name in fields:
            refuse(400, "duplicate_parameter", f"Duplicate parameter: '{part.name}'.", param=part.name)
        else:
            fields[part.name] = part.text
    order = read({**fields, **({"stream": False} if fields.get("stream") == "false" else {})}, edit=True)
    images = _images(order, files)
    shapes = [_shape(image, "image") for image in images]
    mask = files["mask"][0] if files["mask"] else b""
    if len(files["mask"]) > 1:
        refuse(400, "duplicate_parameter", "Duplicate parameter: 'mask'.", param="mask")
    if mask:
        _check_mask(mask, shapes[0])
    return Edit(order, images, mask, shapes[0])


def _images(order: Order, files: dict[str, list[bytes]]) -> list[bytes]:
    single, many = files["image"], files["image[]"]
    if single and many:
        refuse(400, "invalid_value", "Send either 'image' or 'image[]', not both.", param="image")
    if len(single) > 1:
        refuse(400, "duplicate_parameter", "Duplicate parameter: 'image'. Use 'image[]' for several.", param="image")
    images = single or many
    if not images:
        refuse(400, "missing_required_parameter", "Missing required parameter: 'image'.", param="image")
    most = 1 if order.family == "dall-e-2" else _MOST
    if len(images) > most:
        refuse(400, "invalid_value", f"Too many images: {order.model} takes {most}.", param="image")
    return images


def _shape(data: bytes, param: str) -> tuple[int, int]:
    """Return width and height of an image file, or refuse it."""
    from PIL import Image

    if len(data) >= _BYTES:
        refuse(400, "image_too_large", f"'{param}' has {len(data)} bytes; less than {_BYTES} are taken.", param=param)
    try:
        with Image.open(BytesIO(data), formats=_FORMATS) as image:
            image.load()
            return image.size
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError, Image.DecompressionBombWarning):
        refuse(400, "invalid_image", f"'{param}' is not a readable PNG, JPEG or WebP image.", param=param)


def _check_mask(data: bytes, shape: tuple[int, int]) -> None:
    from PIL import Image

    if not data.startswith(b"\x89PNG") or _shape(data, "mask") != shape:
        refuse(400, "invalid_mask", "The mask is a PNG as large as the first image.", param="mask")
    with Image.open(BytesIO(data)) as image:
        if not image.has_transparency_data:
            refuse(400, "invalid_mask", "The mask needs an alpha channel.", param="mask")
