"""What OpenAI's images API takes, model by model, and its error envelope (`contracts.md` 6.1, cited as [6.1]).

A parameter that the endpoint or the model does not have is `unknown_parameter`, as the real service has it. A model id
that is none of OpenAI's stands for a self-hosted server (6.2): it takes every parameter, and `seed` and
`negative_prompt` besides.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, NoReturn

from pydantic import BaseModel, ConfigDict, Field, ValidationError

Family = Literal["gpt", "dall-e-2", "dall-e-3", "other"]

_THREE = ("1024x1024", "1536x1024", "1024x1536")
SIZES: dict[str, tuple[str, ...]] = {  # closed lists by the start of a model's name; the longest start wins
    "gpt-image": _THREE,
    "dall-e-3": ("1024x1024", "1792x1024", "1024x1792"),
    "dall-e-2": ("256x256", "512x512", "1024x1024"),
}
_FREE = "gpt-image-2"  # arbitrary sizes: sides divisible by 16, 1:3 to 3:1, at most 3840x2160 [6.1]
_STEP, _LONGEST, _AREA, _SLIMMEST = 16, 3840, 3840 * 2160, 3
_OTHER = range(64, 4097)  # sides of a self-hosted model (not documented)
_SEEDS = 2**63 - 1  # of a self-hosted model (not documented)
_MISSPELT = {"missing": "missing_required_parameter", "extra_forbidden": "unknown_parameter"}


class RefusedError(Exception):
    """A refusal: `args` are the HTTP status and the error object."""


def refuse(
    status: int, code: str | None, message: str, *, param: str | None = None, kind: str = "invalid_request_error"
) -> NoReturn:
    """Raise RefusedError with the envelope's message, type, param and code [6.1]."""
    raise RefusedError(status, {"message": message, "type": kind, "param": param, "code": code})


class Order(BaseModel):
    """Every parameter there is; which of them a request may hold depends on its model and endpoint."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    prompt: str = Field(min_length=1, max_length=32000)
    model: str = Field(default="dall-e-2", min_length=1, max_length=128)
    n: Annotated[int, Field(ge=1, le=10)] = 1
    size: str = "auto"
    user: str = ""
    quality: Literal["auto", "low", "medium", "high", "standard", "hd"] = "auto"
    background: Literal["auto", "transparent", "opaque"] = "auto"
    moderation: Literal["auto", "low"] = "auto"
    output_format: Literal["png", "jpeg", "webp"] = "png"
    output_compression: Annotated[int, Field(ge=0, le=100)] = 100
    style: Literal["vivid", "natural"] = "vivid"
    response_format: Literal["url", "b64_json"] = "url"
    input_fidelity: Literal["high", "low"] = "low"
    stream: Literal[False] = False  # the sandbox does not stream
    partial_images: Annotated[int, Field(ge=0, le=3)] = 0
    seed: Annotated[int, Field(ge=0, le=_SEEDS)] = -1
    negative_prompt: str = ""

    @property
    def family(self) -> Family:
        """Which rules hold for the model."""
        if self.model.startswith(("gpt-image", "chatgpt-image")):
            return "gpt"
        return "dall-e-2" if self.model == "dall-e-2" else "dall-e-3" if self.model == "dall-e-3" else "other"


_ALWAYS = frozenset({"prompt", "model", "n", "size", "user"})
_GPT = _ALWAYS | {"quality", "background", "output_format", "output_compression", "stream", "partial_images"}
_TAKEN: dict[tuple[Family, bool], frozenset[str]] = {  # (family, is it an edit) -> parameters [6.1]
    ("gpt", False): _GPT | {"moderation"},
    ("gpt", True): _GPT | {"input_fidelity"},
    ("dall-e-2", False): _ALWAYS | {"quality", "response_format"},
    ("dall-e-2", True): _ALWAYS | {"response_format"},
    ("dall-e-3", False): _ALWAYS | {"quality", "style", "response_format"},
    ("dall-e-3", True): frozenset(),
    ("other", False): frozenset(Order.model_fields) - {"input_fidelity"},
    ("other", True): frozenset(Order.model_fields) - {"moderation", "style"},
}
_QUALITIES: dict[Family, tuple[str, ...]] = {
    "gpt": ("auto", "low", "medium", "high"),
    "dall-e-2": ("auto", "standard"),
    "dall-e-3": ("auto", "standard", "hd"),
    "other": ("auto", "low", "medium", "high", "standard", "hd"),
}


def read(sent: Any, *, edit: bool) -> Order:
    """Return an order out of JSON, or for an edit out of form fields, whose numbers are text. Refuses what is wrong."""
    try:
        order = Order.model_validate(sent, strict=not edit)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        param = ".".join(map(str, first["loc"])) or None
        code = _MISSPELT.get(first["type"], "invalid_value")
        said = {"missing": "Missing required parameter", "extra_forbidden": "Unknown parameter"}.get(first["type"])
        message = f"{said}: '{param}'." if said else f"Invalid value for '{param}': {first['msg']}"
        refuse(400, code, message, param=param)
    if edit and order.family == "dall-e-3":
        refuse(400, "invalid_value", f"Invalid value: '{order.model}' cannot edit images.", param="model")
    for param in order.model_fields_set - _TAKEN[order.family, edit]:
        refuse(400, "unknown_parameter", f"Unknown parameter: '{param}'.", param=param)
    if order.quality not in _QUALITIES[order.family]:
        refuse(400, "invalid_value", f"Invalid value: '{order.quality}'.", param="quality")
    if order.family == "dall-e-3" and order.n > 1:
        refuse(400, "invalid_value", f"Invalid 'n': {order.model} makes one image.", param="n")
    if order.background == "transparent" and order.output_format == "jpeg":
        refuse(400, "invalid_value", "Transparent background needs output_format png or webp.", param="background")
    _steer(order)
    return order


def _steer(order: Order) -> None:
    """Refuse as the words in the prompt ask."""
    if "sandbox:moderation" in order.prompt:
        old = order.family.startswith("dall-e")
        code = "content_policy_violation" if old else "moderation_blocked"
        kind = "invalid_request_error" if old else "image_generation_user_error"
        refuse(400, code, "Your request was rejected as a result of our safety system.", kind=kind)
    if "sandbox:quota" in order.prompt:
        message = "You exceeded your current quota, please check your plan and billing details."
        refuse(429, "insufficient_quota", message, kind="insufficient_quota")


def pixels(order: Order, shape: tuple[int, int] = (1, 1)) -> tuple[int, int]:
    """Return the sides of the result; "auto" is the one of three sizes that is nearest to `shape`. May refuse."""
    listed = next((SIZES[start] for start in SIZES if order.model.startswith(start)), None)
    if order.model.startswith("chatgpt-image"):
        listed = _THREE
    if order.size == "auto":
        return min(map(_sides, _THREE if order.family in {"gpt", "other"} else ("1024x1024",)), key=_distance(shape))
    if re.fullmatch(r"[1-9][0-9]{0,4}x[1-9][0-9]{0,4}", order.size) is None:
        _refuse_size(order, "WxH or auto")
    width, height = _sides(order.size)
    if order.model.startswith(_FREE):
        slim = max(width, height) > _SLIMMEST * min(width, height)
        if width % _STEP or height % _STEP or slim or max(width, height) > _LONGEST or width * height > _AREA:
            _refuse_size(order, "sides divisible by 16, 1:3 to 3:1, at most 3840x2160")
    elif listed is not None and order.size not in listed:
        _refuse_size(order, ", ".join(listed))
    elif listed is None and (width not in _OTHER or height not in _OTHER):
        _refuse_size(order, "sides of 64 to 4096")
    return width, height


def _refuse_size(order: Order, legal: str) -> NoReturn:
    message = f"Invalid value: '{order.size[:40]}'. Supported values are: {legal}."
    refuse(400, "invalid_value", message, param="size")


def _sides(size: str) -> tuple[int, int]:
    width, _, height = size.partition("x")
    return int(width), int(height)


def _distance(shape: tuple[int, int]) -> Any:
    def distance(sides: tuple[int, int]) -> float:
        one, other = sides[0] * shape[1], sides[1] * shape[0]
        return max(one, other) / min(one, other)

    return distance
