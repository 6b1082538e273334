"""Learning what a server with OpenAI's image API takes, without buying anything.

Servers differ in what they take and publish nothing about it (contracts.md 6.2, 9). What they list and describe costs
nothing to read. Beyond that there are only requests that have to be refused, and what the refusal says: each lacks the
prompt *and* asks for ``wan-probe`` pictures, so that a server which overlooked one fault still meets the other. The
first is no order at all but a bare text. A success to any of them ends the asking: that server tells nothing.

Where a refusal does not tell, it cannot be known without buying, and nothing is bought.
"""

from __future__ import annotations

import json
import re
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import httpx

from wan_cli.dataclass import dataclass, field
from wan_cli.models import Flow
from wan_cli.pattern import pattern
from wan_cli.providers.openai import EDITS, GENERATIONS, OpenAI
from wan_cli.providers.openai_complaints import Complaints
from wan_cli.providers.openai_described import FORMATS, IMAGE_FIELDS, MOST, described, separators

MARK = "wan-probe"
"""What every request of this module says, for whoever reads the server's log."""
FACTS = ("models", "edits", "response_format", "image_field", "mask_field", "size_separator", "sizes")
"""What can be learnt; those that are switches of the adapter have its names."""
NOWHERE = f"/v1/images/{MARK}"
_MODELS = "/v1/models"
_LISTED = pattern(r"(?<![\d.])\d{2,5}[x*]\d{2,5}(?![\d.])")
_PICTURES = pattern(r"image|wan|dall|flux|diffusion|draw", re.IGNORECASE)
_BOUNDARY = "wan-probe-1f0c7a5e"
_JSON = "application/json"
_VALIDATED = (400, 413, 415, 422)
_ABSENT = (404, 405, 501)

_Asking = Generator[httpx.Request, httpx.Response, httpx.Response]


@dataclass(slots=True)
class Learnt:
    """What was learnt: the values of each fact, and how each is known. What is not in it cannot be known for nothing.

    ``stopped`` says why the asking ended early.
    """

    facts: dict[str, tuple[str, ...]] = field(default_factory=dict)
    how: dict[str, str] = field(default_factory=dict)
    stopped: str = ""
    refused: bool = False
    """The server does not take the key."""

    def take(self, facts: Mapping[str, tuple[str, ...]], how: str) -> None:
        """Add what is not known yet."""
        for name in facts.keys() - self.facts.keys():
            self.facts[name], self.how[name] = facts[name], how


class _Enough(Exception):
    """No more is asked, for the reason given."""


def probe(provider: OpenAI, learnt: Learnt, model: str | None = None) -> Flow[None]:
    """Ask what the server takes, and put it into ``learnt`` at once: a connection may break.

    ``model`` is the one to name in requests; by default one that the server lists.
    """
    try:
        named = yield from _models(provider, learnt)
        yield from _description(provider, learnt)
        yield from _refusals(provider, learnt, model or named or provider.capabilities.models[0].id)
    except _Enough as enough:
        learnt.stopped = str(enough)


def _asked(learnt: Learnt, request: httpx.Request) -> _Asking:
    """Send one request; end the asking where the answer says that going on makes no sense, or may cost something."""
    response = yield request
    if response.status_code == httpx.codes.UNAUTHORIZED:
        learnt.refused = True
        raise _Enough("the key is refused (HTTP 401)")
    if response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        raise _Enough("the server asks to slow down (HTTP 429)")
    if request.method == "POST" and response.status_code < httpx.codes.MULTIPLE_CHOICES:
        raise _Enough(
            f"it answered a request that cannot be right with HTTP {response.status_code}, so nothing more was asked; "
            "if that answer cost anything, the server's own pages say so"
        )
    return response


def _document(response: httpx.Response) -> Any:
    try:
        return json.loads(response.content) if response.is_success else None
    except (ValueError, RecursionError):
        return None


def _models(provider: OpenAI, learnt: Learnt) -> Generator[httpx.Request, httpx.Response, str | None]:
    """Take the list of models; return one that looks as if it drew pictures."""
    told = _document((yield from _asked(learnt, provider.request("GET", _MODELS))))
    listed = told.get("data") if isinstance(told, dict) else None
    if not isinstance(listed, list):
        return None
    names = [item["id"] for item in listed if isinstance(item, dict) and isinstance(item.get("id"), str)]
    chosen: list[str] = [name for name in names if _PICTURES.search(name)] or names
    learnt.take({"models": tuple(chosen[:MOST])}, f"GET {_MODELS}")
    return chosen[0] if chosen else None


def _description(provider: OpenAI, learnt: Learnt) -> Generator[httpx.Request, httpx.Response, None]:
    told = _document((yield from _asked(learnt, provider.request("GET", "/openapi.json"))))
    learnt.take(described(told), "its own openapi.json")


def _refusals(provider: OpenAI, learnt: Learnt, model: str) -> Generator[httpx.Request, httpx.Response, None]:
    """Ask what has to be refused, for what is not known yet."""
    yield from _asked(learnt, _post(provider, GENERATIONS, json.dumps(MARK).encode(), _JSON))
    absent = yield from _asked(learnt, _order(provider, NOWHERE, {"n": MARK}))
    base: dict[str, Any] = {"model": model, "n": MARK}
    if "response_format" not in learnt.facts:
        yield from _format(provider, learnt, base)
    if "size_separator" not in learnt.facts:
        yield from _sizes(provider, learnt, base)
    if learnt.facts.get("edits") != ("no",) and not learnt.facts.keys() >= {"edits", "image_field"}:
        yield from _edits(provider, learnt, base, absent)


def _format(
    provider: OpenAI, learnt: Learnt, base: Mapping[str, Any]
) -> Generator[httpx.Request, httpx.Response, None]:
    name = "response_format"
    bad = Complaints((yield from _asked(learnt, _order(provider, GENERATIONS, {**base, name: MARK}))))
    if bad.strange(name):
        learnt.take({name: ()}, f"it refuses {name}")
    elif bad.of(name):
        taken = yield from _taken(provider, learnt, base, name, FORMATS)
        learnt.take({name: taken}, f"what it says of {name}")


def _sizes(provider: OpenAI, learnt: Learnt, base: Mapping[str, Any]) -> Generator[httpx.Request, httpx.Response, None]:
    bad = Complaints((yield from _asked(learnt, _order(provider, GENERATIONS, {**base, "size": MARK}))))
    said = bad.of("size")
    if not said or bad.strange("size"):
        return
    listed = list(dict.fromkeys(_LISTED.findall(said)))[:MOST]
    if listed:
        learnt.take({"sizes": tuple(listed), "size_separator": separators(listed)}, "what it says of size")
        return
    taken = yield from _taken(provider, learnt, base, "size", ("1024x1024", "1024*1024"))
    if taken:
        learnt.take({"size_separator": separators(list(taken))}, "what it says of size")


def _taken(
    provider: OpenAI, learnt: Learnt, base: Mapping[str, Any], name: str, values: Sequence[str]
) -> Generator[httpx.Request, httpx.Response, tuple[str, ...]]:
    """Return the values that a server which complains about a bad one does not complain about."""
    taken = []
    for value in values:
        answer = yield from _asked(learnt, _order(provider, GENERATIONS, {**base, name: value}))
        if answer.status_code in _VALIDATED and not Complaints(answer).of(name):
            taken.append(value)
    return tuple(taken)


def _edits(
    provider: OpenAI, learnt: Learnt, base: Mapping[str, Any], absent: httpx.Response
) -> Generator[httpx.Request, httpx.Response, None]:
    """Tell whether there are edits, by holding a bad one against a path that nobody has; then the pictures' field."""
    bare = yield from _asked(learnt, _form(provider, base))
    same = bare.status_code == absent.status_code and _code(bare) == _code(absent)
    if same and bare.status_code in _ABSENT:
        learnt.take({"edits": ("no",)}, "it has no such path")
        return
    if not same and bare.status_code in _VALIDATED:
        learnt.take({"edits": ("yes",)}, "it holds edits against its rules")
    if "image_field" in learnt.facts or not Complaints(bare).missing(*IMAGE_FIELDS):
        return
    taken = []
    for name in IMAGE_FIELDS:
        answer = yield from _asked(learnt, _form(provider, base, picture=name))
        complaints = Complaints(answer)
        if answer.status_code in _VALIDATED and not (complaints.missing(*IMAGE_FIELDS) or complaints.strange(name)):
            taken.append(name)
    if taken:
        learnt.take({"image_field": tuple(taken)}, "which one it does not miss")


def _code(response: httpx.Response) -> str:
    """Return a refusal's code: a path that is there may be 404, too, for a model that is not."""
    try:
        told = json.loads(response.content)
    except (ValueError, RecursionError):
        return ""
    error = told.get("error") if isinstance(told, dict) else None
    return str(error.get("code")) if isinstance(error, dict) else ""


def _order(provider: OpenAI, path: str, body: Mapping[str, Any]) -> httpx.Request:
    return provider.request("POST", path, body=body)


def _post(provider: OpenAI, path: str, content: bytes, kind: str) -> httpx.Request:
    headers = {"Accept": _JSON, "Content-Type": kind}
    return httpx.Request("POST", provider.base + path, headers=headers, content=content)


def _form(provider: OpenAI, fields: Mapping[str, Any], *, picture: str = "") -> httpx.Request:
    """Return an edit without a prompt; ``picture`` is a field for a file that holds no picture."""
    parts = [f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}' for name, value in fields.items()]
    if picture:
        named = f'name="{picture}"; filename="{MARK}.png"'
        parts.append(f"Content-Disposition: form-data; {named}\r\nContent-Type: image/png\r\n\r\n{MARK}")
    body = "".join(f"--{_BOUNDARY}\r\n{part}\r\n" for part in parts) + f"--{_BOUNDARY}--\r\n"
    return _post(provider, EDITS, body.encode(), f"multipart/form-data; boundary={_BOUNDARY}")
