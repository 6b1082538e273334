"""What a failed submit means, and what may follow: the one place where sending again is decided.

Source: reliability.md section 4.5 (classes) and 5 (numbers); RFC 9110 section 9.2.2: a request that is not idempotent
is repeated only where it was certainly not applied, or where the provider documents a key for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wan_cli import errors
from wan_cli.dataclass import dataclass, field
from wan_cli.retry_after import retry_after
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.providers.base import Fault, Provider

RETRIES = 3
"""Repeats of a request that was not sent or asked to come later: four attempts in all."""
KEYED_ATTEMPTS = 3
"""Attempts under one idempotency key after an unclear answer."""
KEYED_WINDOW_S = 600.0
"""How long after the first attempt a key is trusted to be remembered."""
BACKOFF_CAP_S = 20.0
RETRY_AFTER_CAP_S = 120.0
"""The longest a ``Retry-After`` is obeyed; beyond it the command stops and says when to come back."""
BUDGET, RETRY_COST, SLOW_COST = 500, 5, 10
"""Tokens for the repeats of one process, what one takes, and what one after a time-out does (botocore's quota)."""

_BY_STATUS: Mapping[int, type[errors.WanError]] = {
    401: errors.KeyRejected,
    402: errors.InsufficientCredits,
    403: errors.KeyRejected,
    404: errors.ModelUnknown,
    405: errors.ModelUnknown,
    429: errors.RateLimited,
}
_UNCLEAR_STATUS = frozenset({408, 425})
"""4xx that do not say the request was refused: Modelverse's 408 is the model's time-out (contracts.md 2.6)."""
_GENERAL = "invalid_request_error"
"""A type that stands in for a code; OpenAI has it on a 401 too, so that the status says more (contracts.md 6.1)."""


@dataclass(frozen=True, slots=True)
class Refused:
    """Certainly not accepted, or never sent; trying again would not help."""

    error: errors.WanError


@dataclass(frozen=True, slots=True)
class Later:
    """Certainly not accepted, or never sent; it may be tried again, after ``wait`` seconds where somebody says so."""

    error: errors.WanError
    wait: float | None = None
    slow: bool = False
    """A deadline ended it."""


@dataclass(frozen=True, slots=True)
class Unclear:
    """It may have been accepted. ``raw`` is what came back."""

    reason: str
    status: int | None = None
    raw: bytes = b""
    slow: bool = False
    """A deadline ended it."""


Verdict = Refused | Later | Unclear


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after ``wait`` seconds."""

    wait: float
    reason: str


@dataclass(slots=True, kw_only=True)
class Repeats:
    """How often and how long is tried again, and what all repeats of a process may take together.

    Thousands of tasks that meet a provider in trouble must not each try it four times: a repeat takes tokens, and
    without any left the first failure is the last. A success gives back what its own repeats took, at least one, so
    that a provider that merely slows a batch down never empties it (botocore's ``RetryQuotaChecker``).
    """

    retries: int = RETRIES
    keyed_attempts: int = KEYED_ATTEMPTS
    keyed_window_s: float = KEYED_WINDOW_S
    backoff_cap_s: float = BACKOFF_CAP_S
    retry_after_cap_s: float = RETRY_AFTER_CAP_S
    tokens: int = BUDGET
    most: int = BUDGET

    def take(self, tokens: int) -> bool:
        """Take tokens; ``False`` where there are too few, and then none is taken."""
        if tokens > self.tokens:
            return False
        self.tokens -= tokens
        return True

    def give(self, tokens: int) -> None:
        """Give tokens back, up to the most there can be."""
        self.tokens = min(self.most, self.tokens + tokens)


@dataclass(slots=True)
class Purchase:
    """The attempts of one purchase, and what may follow each: pure, so that every order of events can be tested.

    ``keyed``: does the provider honour an idempotency key? ``begun`` is when the first unclear attempt was sent
    (seconds since the epoch); ``doubt`` that attempt's outcome, once there is one. ``repeats`` is shared
    with others.
    """

    keyed: bool
    begun: float
    doubt: Unclear | None = None
    unclear: int = 0
    polite: int = 0
    waited: float = 0.0
    repeats: Repeats = field(default_factory=Repeats)
    taken: int = 0

    def after(self, verdict: Verdict, now: float, rand: float) -> Again | Refused | Unclear:
        """Say what follows: another attempt, the end with nothing bought, or the end in doubt."""
        match verdict:
            case Unclear():
                self.doubt = self.doubt or verdict
                self.unclear += 1
                wait = max(1.0, backoff(self.unclear + 1, rand, self.repeats.backoff_cap_s))
                allowed = self.keyed and self.unclear < self.repeats.keyed_attempts and self._remembered(now, wait)
                if allowed and self._affordable(verdict):
                    return Again(wait, f"no clear answer ({verdict.reason}); asking again under the same key")
                return self.doubt
            case Later(error, asked):
                self.polite += 1
                own = backoff(self.polite, rand, self.repeats.backoff_cap_s)
                wait = own if asked is None else asked * (1 + 0.2 * rand)
                self.waited += wait
                patient = self.polite <= self.repeats.retries and self.waited <= self.repeats.retry_after_cap_s * 1.2
                remembered = self.doubt is None or self._remembered(now, wait)
                if patient and remembered and self._affordable(verdict):
                    return Again(wait, error.message)
        # what an earlier attempt did stays unknown, whatever is said to a later one (Comfy SDK #130)
        return self.doubt or Refused(verdict.error)

    def _remembered(self, now: float, wait: float) -> bool:
        """Tell whether the key may still be trusted after ``wait`` seconds; a clock set back is no reason to trust."""
        return now >= self.begun and now + wait - self.begun <= self.repeats.keyed_window_s

    def _affordable(self, verdict: Later | Unclear) -> bool:
        cost = SLOW_COST if verdict.slow else RETRY_COST
        affordable = self.repeats.take(cost)
        self.taken += cost if affordable else 0
        return affordable

    def succeeded(self) -> None:
        """Give back what the repeats took, at least one token."""
        self.repeats.give(max(1, self.taken))


def backoff(attempt: int, rand: float, cap: float = BACKOFF_CAP_S) -> float:
    """Return seconds before the next attempt: full jitter on 1, 2, 4, ... s, at most ``cap``; ``rand`` is 0..1."""
    return rand * min(cap, 2.0 ** (attempt - 1))


def judge(
    provider: Provider, fault: Fault, *, repeated: bool = False, date: str | None = None,
    patience: float = RETRY_AFTER_CAP_S,
) -> Verdict:  # fmt: skip
    """Say what a refused submit means. The provider's code decides before the HTTP status does.

    A ``Retry-After`` beyond ``patience`` seconds is left to the user.
    """
    conflict = fault.status == 409  # noqa: PLR2004 - HTTP 409 Conflict
    if conflict and repeated:
        return Unclear(f"HTTP 409 on a repeat: {fault.message}", 409)
    known = provider.refusal(fault)
    if known and fault.code == _GENERAL:
        known = _BY_STATUS.get(fault.status, known)
    if known is None and (fault.status >= 500 or fault.status in _UNCLEAR_STATUS or fault.status < 300):  # noqa: PLR2004
        return Unclear(
            f"HTTP {fault.status}: {fault.message}" if fault.message else f"HTTP {fault.status}", fault.status
        )
    kind = known or _BY_STATUS.get(fault.status, errors.ConfigInvalid if fault.status < 400 else errors.RequestRejected)  # noqa: PLR2004
    error = as_error(provider, fault, kind)
    if isinstance(error, errors.RateLimited):
        wait = retry_after(fault.retry_after, date)
        error.retry_after_s = wait
        if wait is None or wait <= patience:
            return Later(error, wait)
        error.hint = f"wait {wait:,.0f} s, then run the command again"
    return Refused(error)


def _where(location: str | None) -> str:
    """Return the origin that a redirect leads to: its path may hold what is nobody's business."""
    try:
        parts = urlsplit(location or "")
        place = f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
    except ValueError:
        return ""
    return f" to {one_line(place, 100)}" if parts.hostname else ""


_HINTS: Mapping[type[errors.WanError], str] = {
    errors.KeyRejected: "wan auth list",
    errors.InsufficientCredits: "top up the account at {docs}, then run the command again",
    errors.RateLimited: "wait, then run the command again",
    errors.ProviderUnavailable: "run the command again",
    errors.Moderation: "reword the prompt, or choose other pictures",
    errors.ModelUnknown: "wan models {name}",
    errors.ConfigInvalid: "export {base_url_env}={base_url}",
}


def as_error(provider: Provider, fault: Fault, kind: type[errors.WanError]) -> errors.WanError:
    """Turn a refusal into our error, in the provider's words and with the next command."""
    offered = provider.capabilities
    code = f" ({one_line(fault.code, 60)})" if fault.code else ""
    said = one_line(fault.message, 500) or "no reason given"
    request = f", request {one_line(fault.request_id, 80)}" if fault.request_id else ""
    if fault.status < 400 and fault.status >= 300:  # noqa: PLR2004 - a redirect (reliability.md N17)
        said = f"the API answered with a redirect{_where(fault.location)}, which is never followed with a key"
    special = (text for words, text in provider.hints.items() if words in fault.message.casefold())
    general = (text for cls, text in _HINTS.items() if issubclass(kind, cls))
    hint = next(special, None) or next(general, "wan models {name}")
    setting = f"; the key's setting: {offered.key_env}" if issubclass(kind, errors.KeyRejected) else ""
    return kind(
        f"{provider.name} refused: {said}{code} [HTTP {fault.status}{request}]{setting}",
        hint=hint.format(
            name=provider.name, key_env=offered.key_env, docs=offered.docs,
            base_url=offered.base_url, base_url_env=offered.base_url_env,
        ),
        http_status=fault.status, provider_code=fault.code, request_id=fault.request_id,
    )  # fmt: skip
