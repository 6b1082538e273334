"""Wan 2.7 pictures on DashScope: the body that both endpoints take, and the pictures that it orders.

Source: `contracts.md` 5.2, cited as [5.2]; the page's own words: one message, exactly one text in it, up to nine
pictures. Without an `n` four pictures come, and twelve with `enable_sequential`: that is Alibaba's default, and each
of them is paid for. The official SDK adds `is_async` to the parameters of a task, so it is taken.
"""

from __future__ import annotations

import re
import secrets
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from wan_cli.sandbox import canvas
from wan_cli.sandbox.dashscope_envelope import checked, refuse_input, refuse_steered
from wan_cli.sandbox.dashscope_media import Showing
from wan_cli.sandbox.records import Picture
from wan_cli.sandbox.strict import Strict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from wan_cli.sandbox.dashscope_media import Shown
    from wan_cli.sandbox.world import Task, World

PRO = "wan2.7-image-pro"
MODELS = ("wan2.7-image", PRO)
_COUNT, _SEQUENCE, _INPUTS = 4, 12, 9
_PROMPT = 5000  # characters, the rest is cut off
_SEEDS = 2147483647
_BOXES = 2  # a picture
_PERCENT = re.compile(r"[0-9]{1,3}\.[0-9]{2}%")
_WHOLE = Decimal("100.00")
_TOKENS = 18790, 2  # of the page's example: they count nothing that is paid for

_Count = Annotated[int, Field(ge=1, le=_SEQUENCE)]
_Box = Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=4, max_length=4)]


class _Content(Strict):
    text: str | None = None
    image: str | None = None


class _Message(Strict):
    role: Literal["user"]
    content: Annotated[list[_Content], Field(min_length=1)]


class _Input(Strict):
    messages: Annotated[list[_Message], Field(min_length=1, max_length=1)]


class _Colour(Strict):
    hex: Annotated[str, Field(pattern=r"^#[0-9A-Fa-f]{6}$")]
    ratio: str


class _Parameters(Strict):
    size: Annotated[str, Field(pattern=r"^(?:[124]K|[1-9][0-9]*\*[1-9][0-9]*)$", max_length=64)] = "2K"
    n: _Count | None = None
    enable_sequential: bool = False
    thinking_mode: bool = True
    seed: Annotated[int, Field(ge=0, le=_SEEDS)] = -1
    watermark: bool = False
    color_palette: Annotated[list[_Colour], Field(min_length=3, max_length=10)] | None = None
    bbox_list: list[Annotated[list[_Box], Field(max_length=_BOXES)]] | None = None
    is_async: bool = True


class _Create(Strict):
    model: Literal["wan2.7-image", "wan2.7-image-pro"]
    input: _Input
    parameters: _Parameters = _Parameters()


def pictures(sent: dict[str, Any], headers: Mapping[str, str], world: World) -> tuple[Picture, ...]:
    """Return what is to be drawn, or refuse the request."""
    order = checked(_Create, sent)
    prompt, links = _contents(order.input.messages[0].content)
    refuse_steered(prompt)
    given = order.parameters
    showing = Showing(world, order.model, headers)
    shown = [showing.picture(link, f"input.messages.0.content: image {n}") for n, link in enumerate(links, 1)]
    _check(order, given, shown)
    most = _SEQUENCE if given.enable_sequential else _COUNT
    width, height = canvas.pixels(given.size, shown[-1].sides if shown else (1, 1))
    verb = "sequence" if given.enable_sequential else ("generate", "edit", "fuse")[min(len(shown), 2)]
    seed = given.seed if given.seed >= 0 else secrets.randbelow(_SEEDS + 1)
    inputs, mark = tuple(picture.sha256 for picture in shown), given.watermark
    first = Picture(prompt=prompt, width=width, height=height, seed=seed, verb=verb, inputs=inputs, watermark=mark)
    return tuple(first.model_copy(update={"index": n}) for n in range(1, (given.n or most) + 1))


def _contents(contents: list[_Content]) -> tuple[str, list[str]]:
    """Return the one text, cut where the service cuts it, and the pictures, in order."""
    for item in contents:
        if (item.text is None) == (item.image is None):
            refuse_input("input.messages.0.content: an item has either text or image")
    texts = [item.text for item in contents if item.text is not None]
    links = [item.image for item in contents if item.image is not None]
    if len(texts) != 1 or not texts[0]:
        refuse_input("input.messages.0.content: exactly one text is required")
    if len(links) > _INPUTS:
        refuse_input(f"input.messages.0.content: at most {_INPUTS} images")
    return texts[0][:_PROMPT], links


def _check(order: _Create, given: _Parameters, shown: Sequence[Shown]) -> None:
    """Refuse what no single field shows."""
    if given.n is not None and given.n > _COUNT and not given.enable_sequential:
        refuse_input(f"parameters.n: at most {_COUNT}; up to {_SEQUENCE} with enable_sequential")
    large = order.model == PRO and not shown and not given.enable_sequential  # [5.2]
    if given.size not in canvas.TIERS:
        wrong = canvas.fault(given.size, "4K" if large else "2K")
        if wrong:
            refuse_input(f"parameters.size: {wrong}")
    elif given.size == "4K" and not large:
        refuse_input(f"parameters.size: 4K needs {PRO}, no input picture and no enable_sequential")
    if given.color_palette is not None:
        _check_palette(given)
    if given.bbox_list is not None:
        _check_boxes(given, shown)


def _check_palette(given: _Parameters) -> None:
    if given.enable_sequential:
        refuse_input("parameters.color_palette: not with enable_sequential")
    ratios = [colour.ratio for colour in given.color_palette or ()]
    if not all(_PERCENT.fullmatch(ratio) for ratio in ratios):
        refuse_input('parameters.color_palette: a ratio has two decimals and a percent sign, like "25.00%"')
    if sum(Decimal(ratio[:-1]) for ratio in ratios) != _WHOLE:
        refuse_input("parameters.color_palette: the ratios must sum to 100.00%")


def _check_boxes(given: _Parameters, shown: Sequence[Shown]) -> None:
    boxes = given.bbox_list or []
    if len(boxes) != len(shown):
        refuse_input(f"parameters.bbox_list: {len(boxes)} lists for {len(shown)} images, one each is required")
    if given.size not in canvas.TIERS:
        refuse_input("parameters.size: 1K or 2K with bbox_list")
    for picture, within in zip(shown, boxes, strict=True):
        for left, top, right, bottom in within:
            width, height = picture.sides
            if left >= right or top >= bottom or not (picture.stands_in or (right <= width and bottom <= height)):
                refuse_input("parameters.bbox_list: a box is [x1,y1,x2,y2] in pixels of its image")


def output(task: Task, world: World) -> dict[str, Any]:
    """Return what a finished order brings: one choice a picture."""
    choices = [
        {"finish_reason": "stop", "message": {"role": "assistant", "content": [{"image": url, "type": "image"}]}}
        for url in world.urls(task)
    ]
    return {"choices": choices, "finished": True}


def usage(task: Task) -> dict[str, Any]:
    """Return the receipt; what counts is `image_count`."""
    first, (read, written) = task.pictures[0], _TOKENS
    tokens = {"input_tokens": read, "output_tokens": written, "total_tokens": read + written}
    return {"image_count": len(task.pictures), "size": f"{first.width}*{first.height}", **tokens}
