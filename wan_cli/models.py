"""The nouns: Job, Upload, Output, State, Task and the events that tell of them.

All are frozen, and plain dataclasses: every command that touches the ledger needs them, and pydantic would cost it a
tenth of a second. What comes from outside is parsed by shapes beside its reader: answers by wan_cli.providers.reply,
files by pydantic models.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from wan_cli.dataclass import dataclass, field
from wan_cli.errors import Charged

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
Flow: TypeAlias = "Generator[httpx.Request, httpx.Response, T]"
"""What an adapter's method returns: it yields requests, is sent responses, and returns a ``T``."""

Verb = Literal["generate", "edit", "fuse", "sequence"]
Kind = Literal["image", "video", "audio"]
Role = Literal["reference", "edit_source", "mask", "first_frame", "last_frame", "first_clip", "driving_audio", "voice"]
ChargeBasis = Literal["provider", "contract", "assumed"]


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalFile:
    """A checked file here: bytes, sha256 in hex, sides in pixels; ``original`` is what it is a smaller copy of."""

    path: str
    sha256: str
    size: int
    mime: str
    width: int | None = None
    height: int | None = None
    original: LocalFile | None = None

    @property
    def name(self) -> str:
        """The last part of the path."""
        return self.path.replace("\\", "/").rsplit("/", 1)[-1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Media:
    """One input of a job: a local file, an address the provider can fetch, or both once it is uploaded."""

    role: Role
    kind: Kind
    url: str | None = None
    file: LocalFile | None = None
    duration_token: str | None = None

    @property
    def identity(self) -> str:
        """What the medium is, whatever address it has today: the content's hash, else the address."""
        return f"sha256:{(self.file.original or self.file).sha256}" if self.file else f"url:{self.url}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What the user asked for. ``None`` means "not said", and then nothing is sent.

    ``size`` is a tier (``1K``, ``2K``, ``4K``) or pixels as typed (``1920x1080``, ``1920*1080``); ``aspect`` is
    ``W:H``; ``duration`` is in seconds. ``n_said`` tells that the user typed the count, even if it is the default.
    ``params`` are sent as given. ``route`` forces one interface where a provider has both.
    """

    verb: Verb
    provider: str
    model: str
    prompt: str
    makes: Kind = "image"
    media: tuple[Media, ...] = ()
    size: str | None = None
    aspect: str | None = None
    n: int = 1
    n_said: bool = False
    seed: int | None = None
    duration: int | None = None
    resolution: str | None = None
    watermark: bool | None = None
    thinking: bool | None = None
    negative: str | None = None
    audio_setting: str | None = None
    route: Literal["sync", "async"] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)

    @property
    def stated_n(self) -> int | None:
        """The count where it was said, or is not the one that every provider takes for granted."""
        return self.n if self.n_said or self.n != 1 else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """Where a provider keeps an uploaded file. ``expires_at`` is seconds since the epoch where known."""

    url: str
    file_id: str | None = None
    duration_token: str | None = None
    expires_at: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """One result as the provider gives it: exactly one of ``url`` and ``b64``."""

    url: str | None = None
    b64: str | None = None
    mime: str | None = None

    def __post_init__(self) -> None:
        """Refuse an output that has both addresses, or none."""
        if (self.url is None) == (self.b64 is None):
            raise ValueError("an output has exactly one of url and b64")


@dataclass(frozen=True, slots=True, kw_only=True)
class File:
    """One result on disk, complete and checked: sides in pixels, codecs by FFmpeg's names, its poster's path."""

    index: int
    path: str | None
    bytes: int
    sha256: str
    mime: str
    width: int | None = None
    height: int | None = None
    duration_s: float | None = None
    fps: float | None = None
    video_codec: str | None = None
    audio_codec: str | None = None
    poster: str | None = None


@dataclass(frozen=True, slots=True)
class New:
    """Planned; nothing was sent."""

    kind: Literal["new"] = "new"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sending:
    """Durable before the first byte of a paid request leaves. ``at`` is when the first attempt began (epoch s)."""

    at: float
    attempts: int = 1
    kind: Literal["sending"] = "sending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """Accepted. ``ref`` is the adapter's own, opaque and JSON-able; ``progress`` is 0..100."""

    task_id: str
    ref: Mapping[str, Any] = field(default_factory=dict)
    progress: int | None = None
    note: str = "queued"
    facts: Facts | None = None
    kind: Literal["pending"] = "pending"


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The provider has finished: the results can be fetched.

    ``files`` are on disk already, or were about to be renamed when the process ended; their sha256 tells which.
    """

    outputs: tuple[Output, ...]
    task_id: str | None = None
    facts: Facts | None = None
    files: tuple[File, ...] = ()
    kind: Literal["done"] = "done"


@dataclass(frozen=True, slots=True, kw_only=True)
class Saved:
    """Every result is on disk, verified."""

    files: tuple[File, ...]
    kind: Literal["saved"] = "saved"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """Refused at submit (no ``task_id``), or failed as a task; ``code`` is one of :mod:`wan_cli.errors`."""

    code: str
    message: str
    hint: str = ""
    charged: Charged = "unknown"
    provider_code: str | None = None
    http_status: int | None = None
    retry_after_s: float | None = None
    task_id: str | None = None
    facts: Facts | None = None
    kind: Literal["failed"] = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancelled:
    """Cancelled at the provider."""

    message: str = "the task was cancelled at the provider"
    task_id: str | None = None
    facts: Facts | None = None
    kind: Literal["cancelled"] = "cancelled"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """It may have been bought: the answer was lost. ``raw`` is what came back, as text, if anything did."""

    reason: str
    raw: str | None = None
    http_status: int | None = None
    kind: Literal["unknown"] = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost:
    """A bought result that no longer exists; ``code`` is ``result_expired`` or ``task_vanished``."""

    code: str
    message: str
    kind: Literal["lost"] = "lost"


State: TypeAlias = New | Sending | Pending | Done | Saved | Failed | Cancelled | Unknown | Lost
Answer: TypeAlias = Pending | Done | Failed | Cancelled
"""What a provider can say of a task."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What an answer says beside its state. Amounts are in the provider's unit; times are seconds since the epoch."""

    charged_amount: float | None = None
    reserved_amount: float | None = None
    request_id: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    finished_at: float | None = None
    retry_after_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Money in one unit (``credits``, ``CNY``, ...); ``None`` is unknown, never zero."""

    estimated: float | None = None
    actual: float | None = None
    unit: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """Where the results go, resolved at submit and kept with the task.

    ``template`` is an absolute path whose name may hold fields, or ``None`` (``-o -``). ``replaces`` is the sha256 of
    each file that ``overwrite`` is about; ``None``: of any.
    """

    template: str | None
    overwrite: bool = False
    replaces: tuple[str, ...] | None = None
    convert: bool = False
    sidecar: bool = False
    poster: bool = False
    embed: bool = False
    stdout: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A job plus the state it has reached. Times are seconds since the epoch.

    ``token`` is the idempotency key of every submit of this task; ``user_key`` the one the user gave, shared by the
    tasks of one ``-n``; ``item`` counts those from 1, ``siblings`` is how many they are.
    """

    id: str
    provider: str
    origin: str
    job: Job
    provider_model: str
    token: str
    target: Target
    created_at: float
    state: State = New()
    sandbox: bool = False
    user_key: str | None = None
    fingerprint: str = ""
    batch: str = ""
    item: int = 1
    siblings: int = 1
    key_print: str = ""
    task_id: str | None = None
    cost: Cost = Cost()
    charged: Charged = "no"
    charge_basis: ChargeBasis = "contract"
    submitted_at: float | None = None
    finished_at: float | None = None
    expires_at: float | None = None
    request_id: str | None = None
    revised_prompt: str | None = None
    usage: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    differences: tuple[str, ...] = ()
    """Where the delivery differs from the request; ``--strict`` makes them exit 14."""
    trouble: Failed | None = None
    """Why the last attempt to collect a bought result stopped; the state itself stays what it is."""

    @property
    def handle(self) -> str | None:
        """``PROVIDER:TASK_ID``, which works on any machine with the key; none before there is one."""
        return f"{self.provider}:{self.task_id}" if self.task_id else None

    @property
    def name(self) -> str:
        """The handle where there is one, else the local id: what hints tell the user to type."""
        return self.handle or self.id

    @property
    def unbought(self) -> bool:
        """Whether it ended before anything was bought, so that the same call may try it again."""
        return self.state.kind == "failed" and self.charged == "no" and self.task_id is None

    def command(self, verb: str) -> str:
        """Return the command that goes on with this task: ``wan VERB NAME``, in the sandbox if it lives there."""
        return f"wan {verb} {self.name}{' --sandbox' if self.sandbox else ''}"


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskChanged:
    """A task reached a state, or there is something to say of it while it waits: ``left()`` are probable seconds."""

    task: Task
    note: str = ""
    left: Callable[[], float] | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """Bytes of one result: ``done`` of ``total`` (unknown: ``None``)."""

    task: Task
    name: str
    done: int
    total: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Warned:
    """Something the user should know that stops nothing."""

    message: str
    task: Task | None = None


Event: TypeAlias = TaskChanged | Transfer | Warned
Reporter: TypeAlias = Callable[[Event], None]
