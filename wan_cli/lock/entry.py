"""One asset's block in the lock, and the purchases of it that are under way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, ConfigDict, Field, StringConstraints, TypeAdapter
from pydantic.dataclasses import dataclass

from wan_cli.pattern import pattern

MOST_PATH = 1024
_ODD = pattern(r"[\x00-\x1f\\:]")

Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
TaskId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._:-]*[A-Za-z0-9_:-][A-Za-z0-9._:-]*$", max_length=200)]
"""A provider's task id; anything else never becomes part of an address (reliability.md R08)."""


def _is_below(path: str) -> str:
    parts = path.split("/")
    if not 0 < len(path) <= MOST_PATH or any(part in ("", ".", "..") for part in parts) or _ODD.search(path):
        msg = "a path below the root, with /"
        raise ValueError(msg)
    return path


Below = Annotated[str, AfterValidator(_is_below)]
"""A path below the root, with ``/``: a lock is untrusted input."""
Word = Annotated[str, StringConstraints(pattern=r"^[^\x00-\x1f]{1,300}$")]
Provider = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Handle = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}:[A-Za-z0-9._:-]{1,200}$")]
"""``PROVIDER:TASK_ID``: it stands in commands that people copy."""


_STRICT = ConfigDict(extra="forbid", hide_input_in_errors=True, allow_inf_nan=False)
"""Checked whoever makes one. They have slots and no dictionary, for a run holds ten thousand of them."""


@dataclass(config=_STRICT, frozen=True, slots=True, kw_only=True)
class Made:
    """One file: its path below the root, its content, its size in bytes.

    ``store`` is the folder in an object store that stands for the root, where it is there. It is only ever compared
    with what the call names: a lock sends nobody anywhere.
    """

    path: Below
    sha256: Sha256
    bytes: Annotated[int, Field(ge=0)]
    store: Annotated[str, StringConstraints(pattern=r"^(?:(?:s3|gs|az)://[\w./=+-]+/)?$", max_length=1100)] = ""


@dataclass(config=_STRICT, frozen=True, slots=True, kw_only=True)
class Flight:
    """A purchase under way: enough to take it up again on any machine that has the key.

    ``token`` is its idempotency key, ``at`` when it was first sent (seconds since the epoch), ``key`` a print of the
    account's key; ``inputs`` the content of its references as it was sent. ``item`` of ``of`` tasks makes the asset
    where a provider has no count, ``count`` results each.
    """

    state: Literal["sending", "pending", "unknown"]
    request: Sha256
    inputs: Mapping[str, Sha256] = Field(default_factory=dict)
    provider: Provider
    origin: Word
    model: Word
    token: Word
    at: float
    key: Word
    take: int = 1
    item: int = 1
    of: int = 1
    count: int = 1
    task: TaskId | None = None
    id: Word | None = None
    """The task's own id, on the machine that has it in its ledger."""
    cost: float | None = None
    unit: Word | None = None

    @property
    def handle(self) -> str | None:
        """``PROVIDER:TASK_ID``, once there is one."""
        return f"{self.provider}:{self.task}" if self.task else None


@dataclass(config=_STRICT, frozen=True, slots=True, kw_only=True)
class Entry:
    """One asset: what was asked for, what it was made from, who made it, what it cost, and its files.

    ``request`` hashes ``stated``; ``inputs`` has the content's sha256 of each reference as it was then. An asset that
    was never finished has no ``request``, only purchases under way.
    """

    request: Sha256 | None = None
    stated: Mapping[str, Any] = Field(default_factory=dict)
    inputs: Mapping[str, Sha256] = Field(default_factory=dict)
    provider: Provider | None = None
    model: Word | None = None
    handle: Handle | None = None
    handles: tuple[Handle, ...] = ()
    seed: int | None = None
    take: int = 1
    tried: int = 0
    """The newest take that was accepted and brought nothing: its idempotency key is used up."""
    cost: float | None = None
    unit: Word | None = None
    accepted: bool = False
    files: tuple[Made, ...] = ()
    pinned: Provider | None = None
    """Who makes it from now on, where the manifest names nobody: another machine's keys change nothing."""
    open: tuple[Flight, ...] = ()

    def block(self) -> dict[str, Any]:
        """Return it as the lock has it: what says nothing is left out."""
        found: dict[str, Any] = ENTRY.dump_python(self, mode="json", exclude_defaults=True)
        return found


ENTRY = TypeAdapter(Entry)
