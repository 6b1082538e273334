"""What the sandbox keeps on disk, as records: orders with their pictures and clips, uploads; and what may go wrong."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class KeyReusedError(Exception):
    """An idempotency key came back with another body."""


class TooFewCreditsError(Exception):
    """The order costs more than the account has left."""


class NeedsExtraError(Exception):
    """A video cannot be drawn, since PyAV is not installed; `args` is one sentence naming the extra."""


class LinkRefusedError(Exception):
    """A result link is forged or past its time; `args` are Alibaba OSS's code and message."""


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Picture(_Record):
    """One picture to be drawn: pixels, seed, 1-based `index` in its set, and the sha256 of each input picture.

    `mask` is the sha256 of a mask (what is transparent there is changed, the rest stays the first input's), `format`
    how the result is encoded, with `quality` 0 to 100 where the format is lossy; `cutout` asks for clear surroundings.
    """

    prompt: str
    width: int
    height: int
    seed: int
    index: int = 1
    verb: str = "generate"
    inputs: tuple[str, ...] = ()
    watermark: bool = False
    mask: str = ""
    format: Literal["png", "jpeg", "webp"] = "png"
    quality: int = 90
    cutout: bool = False

    @property
    def suffix(self) -> str:
        """The end of its file's name, without the dot."""
        return self.format


class Clip(_Record):
    """One video to be drawn: pixels, `seconds`, and the sha256 of each input, pictures and videos in drawing order."""

    prompt: str
    width: int
    height: int
    seed: int
    seconds: int
    verb: str = "generate"
    inputs: tuple[str, ...] = ()
    watermark: bool = False

    @property
    def suffix(self) -> str:
        """The end of its file's name, without the dot."""
        return "mp4"


class Task(_Record):
    """A valid order for pictures or clips. `credits` is its price (None: the provider has none), `fails` how it ends.

    `note` is the contract's own: what it has to say again when it is asked for the task.
    The last four fields are the World's: Unix seconds of acceptance, seconds from there to the result, the body's
    digest, and what signs the links.
    """

    id: str
    provider: str
    model: str
    pictures: tuple[Picture, ...] = ()
    clips: tuple[Clip, ...] = ()
    note: str = ""
    credits: int | None = None
    idempotency_key: str | None = None
    fails: bool = False
    created: float = 0
    latency: float | None = None
    body_sha256: str = ""
    secret: str = ""

    @property
    def results(self) -> tuple[Picture | Clip, ...]:
        """What is to be delivered, in order."""
        return (*self.pictures, *self.clips)


class StoredFile(_Record):
    """An uploaded file: `mime` as sniffed, `size` in bytes, `name` as the client gave it, the bytes under `sha256`."""

    id: str
    provider: str
    created: float
    kind: str
    mime: str
    name: str
    size: int
    sha256: str
