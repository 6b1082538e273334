"""The shape of an asset's row and of ``[defaults]``; anything else is refused with its place (reliability.md C08)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StrictBool,
    StringConstraints,
    model_validator,
)

MOST_IMAGES = 32
"""More references than any provider takes; fewer than would make a file of one asset slow to read."""
MOST_VALUES = 1000
"""Values of one axis of a matrix."""
ID = r"^[^\W_][\w.-]{0,99}$"
"""Letters and digits of any script, ``.``, ``_`` and ``-``, once the matrix names in braces are replaced."""

Text = Annotated[str, StringConstraints(min_length=1, max_length=4096)]
Scalar = Annotated[str, StringConstraints(max_length=4096)] | StrictBool | int | float


def _no_flag(value: Any) -> Any:
    """Refuse ``true`` where a number belongs: it would count as 1."""
    if isinstance(value, bool):
        msg = "a number belongs here"
        raise ValueError(msg)  # noqa: TRY004 - pydantic takes a ValueError for an answer
    return value


class _Named(BaseModel):
    """``{ asset = "hero" }``: the output of another asset; ``"@hero"`` is short for it."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)

    asset: Text


def _listed(value: Any) -> Any:
    """Take ``"a, b"`` as a list, as ``--provider`` does."""
    return [part.strip() for part in value.split(",")] if isinstance(value, str) else value


Medium = Text | _Named
Providers = Text | Annotated[list[Text], Field(min_length=1, max_length=16)]


class Fields(BaseModel):
    """What ``[defaults]`` and every asset may say: the verbs' long options.

    overwrite, skip_existing, no_download and idempotency_key are no fields, for a render decides about them itself;
    watermark = false is what --no-watermark says.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    verb: Literal["generate", "edit", "fuse", "sequence"] | None = None
    provider: (
        Annotated[
            list[Text], Field(min_length=1, max_length=16), BeforeValidator(_listed, json_schema_input_type=Providers)
        ]
        | None
    ) = None
    model: Text | None = None
    count: Annotated[int, Field(ge=1, le=100), BeforeValidator(_no_flag)] | None = None
    size: Text | None = None
    aspect: Text | None = None
    seed: Annotated[int, BeforeValidator(_no_flag)] | None = None
    watermark: bool | None = None
    thinking: bool | None = None
    negative: Annotated[str, StringConstraints(min_length=1, max_length=65_536)] | None = None
    mask: Medium | None = None
    duration: Annotated[int, Field(ge=1), BeforeValidator(_no_flag)] | None = None
    resolution: Text | None = None
    shrink_references: bool | None = None
    first_frame: Medium | None = None
    last_frame: Medium | None = None
    first_clip: Medium | None = None
    audio: Medium | None = None
    voice: Medium | None = None
    audio_setting: Text | None = None
    param: dict[str, Any] | None = None
    route: Literal["sync", "async"] | None = None
    """What ``sync`` and ``async`` say, as a job has it."""
    sync: bool | None = None
    async_: bool | None = Field(default=None, alias="async")
    output: Text | None = None
    convert: bool | None = None
    sidecar: bool | None = None
    poster: bool | None = None
    embed: bool | None = None
    strict: bool | None = None
    prompt: Annotated[str, StringConstraints(min_length=1, max_length=65_536)] | None = None
    prompt_file: Text | None = None
    images: Annotated[list[Medium], Field(max_length=MOST_IMAGES)] | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> Fields:
        for one, other in (("prompt", "prompt_file"), ("sync", "async_"), ("route", "sync"), ("route", "async_")):
            if getattr(self, one) is not None and getattr(self, other) is not None:
                msg = f"{one} and {other.strip('_')} exclude each other"
                raise ValueError(msg)
        return self


class Axes(BaseModel):
    """What an asset is multiplied by: names, and the values that each takes."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    matrix: dict[
        Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,31}$")],
        Annotated[list[Scalar], Field(min_length=1, max_length=MOST_VALUES)],
    ] | None = None  # fmt: skip


class Row(Axes, Fields):
    """One asset: what ``[defaults]`` may say, its id, and the matrix it stands for."""

    id: Text


class Document(BaseModel):
    """A whole manifest, as TOML and YAML have it."""

    model_config = ConfigDict(extra="forbid", frozen=True, title="A manifest of wan render")

    defaults: Fields = Fields()
    asset: list[Row] = Field(default_factory=list)


NO_FIELDS = {
    "overwrite": "what wan made is replaced, and what it did not make stays; --force renders an edited file again",
    "skip_existing": "what is up to date is never rendered again",
    "no_download": "the files are what a render is for; --no-wait buys now, and a later run collects",
    "idempotency_key": "each purchase has a key of its own, made of the asset, its request and the take",
}
"""Options of the verbs that a render decides about itself, with why."""


def meant(name: str) -> str:
    """Return what is wrong with an unknown field, and which one was probably meant."""
    import difflib

    if name in Row.model_fields:
        return "it is an asset's own, and [defaults] cannot say it"
    if why := NO_FIELDS.get(name):
        return f"not a field of an asset: {why}"
    plain = name.removeprefix("no_")
    switches = ("watermark", "thinking", "convert", "sidecar", "poster", "embed", "strict", "shrink_references")
    if plain != name and plain in switches:
        return f"not a field of an asset; say {plain} = false"
    near = difflib.get_close_matches(name, [*Row.model_fields], n=1)
    return "not a field of an asset" + (f"; did you mean {near[0].strip('_')}?" if near else "")


def schema() -> dict[str, Any]:
    """Return the JSON Schema of a manifest (``wan render --schema``), for editors and checks.

    Names may be written with ``-`` as on the command line, and where a number or a switch belongs, the name of a matrix
    in braces may stand.
    """
    found = Document.model_json_schema()
    for shape in ("Fields", "Row"):
        fields = found["$defs"][shape]["properties"]
        for name, said in list(fields.items()):
            kinds = said.get("anyOf", ())
            if any(kind.get("type") in ("integer", "boolean") for kind in kinds):
                said["anyOf"] = [*kinds, {"type": "string", "pattern": r"\{[A-Za-z_][A-Za-z0-9_]{0,31}\}"}]
            if "_" in name:
                fields[name.replace("_", "-")] = said
    for kind in found["$defs"]["Row"]["properties"]["matrix"]["anyOf"]:
        if "patternProperties" in kind:
            kind["additionalProperties"] = False
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **found}
