"""The seam between wan and a provider.

An adapter is *sans-IO*: each method is a generator that yields ``httpx.Request`` objects and is sent ``httpx.Response``
objects (2xx, body read), and returns what they mean. It never sleeps, polls, reads a file, holds a key or owns a
client; the engine does the waiting and the transport the sending, for every adapter alike. So
``next(provider.submit(job, token=t))`` *is* the request.
"""

from __future__ import annotations

import codecs
import functools
import json
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import httpx

from wan_cli.catalog import Capabilities
from wan_cli.dataclass import dataclass
from wan_cli.errors import WanError
from wan_cli.media import sniff
from wan_cli.models import Answer, ChargeBasis, Flow, Job, LocalFile, Output, Pending, Upload
from wan_cli.providers import reply
from wan_cli.providers.bodies import Embedded, Form, form_for, path_part, reference_name, without_unsaid
from wan_cli.providers.envelopes import read_error
from wan_cli.providers.reply import Aside, Reply, ReplyT, TaskId
from wan_cli.providers.scalars import Odd
from wan_cli.registry import capabilities

if TYPE_CHECKING:
    from wan_cli.providers.listed import Listed

__all__ = [
    "Aside", "Embedded", "Fault", "Form", "Provider", "Reply", "TaskId", "Unreadable", "form_for", "lists_tasks",
    "outputs", "path_part", "reference_name", "without_unsaid",
]  # fmt: skip

_HEAD_BYTES = 512
"""Enough of an answer to tell a page from JSON."""


class Unreadable(Exception):
    """An accepted request's answer that does not mean anything; ``reason`` says in what way."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A refusal in the provider's own words. ``status`` is the HTTP status, ``retry_after`` the raw header."""

    status: int
    code: str | None = None
    message: str = ""
    request_id: str | None = None
    retry_after: str | None = None
    location: str | None = None
    """Where a redirect would lead."""


class Provider(ABC):
    """One provider's contract, from the client's side.

    ``base`` is the base URL without its version prefix; ``quirks`` are the switches of the user's configuration for
    what the documents leave open.
    """

    name: ClassVar[str]
    endpoints: ClassVar[tuple[str, ...]]
    """Full paths and version prefixes that a user may have pasted as part of the base URL."""
    idempotent: ClassVar[bool] = False
    """Does the provider document a key under which a submit may be repeated?"""
    accepted_basis: ClassVar[ChargeBasis] = "assumed"
    """How we know that an accepted task is charged."""
    synchronous: ClassVar[bool] = False
    """Does every submit wait for the result?"""
    hints: ClassVar[Mapping[str, str]] = MappingProxyType({})
    """Words of the provider's messages, each with what to do about them."""
    uploads: ClassVar[bool] = False
    """Do local files have to be uploaded before they can be used?"""
    upload_is_for_one_model: ClassVar[bool] = False
    """Can an uploaded file be used with that model only which it was uploaded for?"""
    errors: ClassVar[Mapping[str, type[WanError]]] = MappingProxyType({})
    """The provider's stable codes for "not accepted", as our errors. A code decides before the HTTP status does."""
    quirk_values: ClassVar[Mapping[str, tuple[Any, ...]]] = MappingProxyType({})
    """The switches this adapter knows, each with the values it takes, its default first."""

    def __init__(self, base_url: str, quirks: Mapping[str, Any] | None = None) -> None:
        self.base = self.strip_endpoint(base_url)
        self.quirks = {name: values[0] for name, values in self.quirk_values.items()} | dict(quirks or {})

    @property
    def capabilities(self) -> Capabilities:
        """What this provider offers, from its catalogue file."""
        return capabilities(self.name)

    @property
    def origin(self) -> str:
        """Scheme, host and port that the key belongs to."""
        parts = urlsplit(self.base)
        return f"{parts.scheme}://{parts.netloc}"

    @classmethod
    def strip_endpoint(cls, base_url: str) -> str:
        """Return ``base_url`` without trailing slash, endpoint path and version prefix, whichever were given."""
        base = base_url.rstrip("/")
        for suffix in sorted(cls.endpoints, key=len, reverse=True):
            if base.endswith(suffix):
                return base.removesuffix(suffix)
        return base

    @classmethod
    def quirk_fault(cls, quirks: Mapping[str, Any]) -> str | None:
        """Return what is wrong with the switches of a configuration, or ``None``."""
        for name, value in quirks.items():
            allowed = cls.quirk_values.get(name, ())
            if not any(type(value) is type(one) and value == one for one in allowed):
                known = ", ".join(
                    f"{key} ({' or '.join(map(str, values))})" for key, values in cls.quirk_values.items()
                )
                return f"{name} = {value!r} is not a setting of {cls.name}; it has: {known or 'none'}"
        return None

    def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        embedded: Sequence[Embedded] = (),
        form: Form | None = None,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> httpx.Request:
        """Build a request to this provider, without its key.

        ``request.content`` is the JSON body with placeholders; ``request.extensions`` has the ``embedded`` files and
        the ``form`` for the transport.
        """
        content = None if body is None else json.dumps(body, ensure_ascii=False).encode()
        kind = {} if body is None else {"Content-Type": "application/json"}
        extensions: dict[str, Any] = {"embedded": tuple(embedded), "form": form}
        return httpx.Request(
            method,
            _address(self.base + path, tuple((query or {}).items())),
            headers={"Accept": "application/json", **kind, **(headers or {})},
            content=content,
            extensions=extensions,
        )

    def model_id(self, name: str) -> str:
        """Return the provider's own spelling of a model; one that is not in the catalogue goes as it is."""
        known = self.capabilities.find(name)
        return known.id if known else name

    @abstractmethod
    def submit(self, job: Job, *, token: str) -> Flow[Answer]:
        """Ask for ``job``. ``token`` is the idempotency key of this purchase. Every request in here may cost money."""

    def poll(self, pending: Pending) -> Flow[Answer]:
        """Ask how the task is. A provider that answers at once has nothing to poll."""
        raise Unreadable("this provider has no task to ask about: " + pending.task_id)
        yield  # makes this a generator, as every flow is

    def uploads_file(self, file: LocalFile) -> bool:
        """Tell whether this file is uploaded before it is used; another goes inside the request."""
        del file
        return self.uploads

    def model_for(self, job: Job) -> str:
        """Return the provider's own spelling of the model that makes ``job``."""
        return self.model_id(job.model)

    def elsewhere(self, url: str, form: Form) -> httpx.Request:
        """Build a form's request to an address that an answer named: it is sent without the key."""
        return httpx.Request("POST", url, extensions={"embedded": (), "form": form, "elsewhere": True})

    def upload(self, file: LocalFile, *, model: str, trace: str) -> Flow[Upload]:
        """Bring a local file to the provider. Free of charge, and may be repeated."""
        raise Unreadable(f"{self.name} takes no uploads ({file.name}, {model}, {trace})")
        yield

    def cancel(self, pending: Pending) -> Flow[Answer]:
        """Ask to end a task, and return what became of it. An adapter has this where the provider documents it."""
        raise Unreadable(f"{self.name} documents no way to cancel {pending.task_id}")
        yield

    def tasks(self, limit: int) -> Flow[tuple[Listed, ...]]:
        """Ask for the account's latest tasks, at most ``limit``. An adapter has this where the provider lists them."""
        raise Unreadable(f"{self.name} documents no list of its tasks (the last {limit})")
        yield

    def balance(self) -> Flow[str]:
        """Ask what is left on the account, as text for people; an empty text where the provider cannot say."""
        return ""
        yield

    def adopt(self, task_id: str) -> Pending:
        """Make the state of a task that was submitted elsewhere, from its id alone."""
        return Pending(task_id=task_id, ref={"task_id": task_id})

    def fault(self, response: httpx.Response) -> Fault | None:
        """Read a refusal out of ``response``; ``None`` where it is none.

        Tolerant, in the order of contracts.md 6.3 rule 5, since relays wrap each other's envelopes; a 200 may hold
        an error too (rule 4).
        """
        try:
            data = json.loads(response.content)
        except (ValueError, RecursionError):
            data = None
        found = read_error(data) if isinstance(data, dict) else None
        if response.is_success and (found is None or self.is_answer(data)):
            return None
        code, message, request_id = found or (None, response.text[:500], None)
        return Fault(
            status=response.status_code,
            code=code,
            message=message or response.reason_phrase,
            request_id=request_id or response.headers.get("x-request-id"),
            retry_after=response.headers.get("retry-after"),
            location=response.headers.get("location"),
        )

    def refusal(self, fault: Fault) -> type[WanError] | None:
        """Return what a refusal's code stands for, ``None`` for a code that the provider does not document."""
        return self.errors.get(fault.code or "")

    def is_answer(self, data: Mapping[str, Any]) -> bool:
        """Tell whether a 2xx body that mentions an error is a task's answer all the same."""
        return bool(data.get("id") or data.get("task_id") or data.get("output") or data.get("data"))

    def vanished(self, fault: Fault) -> bool:
        """Tell whether a poll's refusal means that the provider does not know the task."""
        return fault.status == httpx.codes.NOT_FOUND

    def parse(self, response: httpx.Response, shape: type[ReplyT]) -> ReplyT:
        """Read a 2xx answer, with or without a byte order mark. Raises :class:`Unreadable` for another shape."""
        content = response.content.removeprefix(codecs.BOM_UTF8)
        try:
            return reply.parse(shape, content)
        except Odd as odd:
            if sniff(content[:_HEAD_BYTES]) == "text/html":
                raise Unreadable("it is an HTML page, which looks like a login or proxy page") from odd
            raise Unreadable(str(odd)) from odd


@functools.lru_cache(maxsize=512)
def _address(link: str, query: tuple[tuple[str, str], ...]) -> httpx.URL:
    """Return an address: a task is asked about again and again, and taking one apart is half of making a request."""
    return httpx.URL(link, params=query) if query else httpx.URL(link)


def lists_tasks(adapter: type[Provider]) -> bool:
    """Tell whether a provider's adapter can list the account's tasks."""
    return adapter.tasks is not Provider.tasks


def outputs(urls: Sequence[str | None]) -> tuple[Output, ...]:
    """Return one output per distinct, non-empty address, in order (reliability.md R13)."""
    return tuple(Output(url=url) for url in dict.fromkeys(url for url in urls if url))
