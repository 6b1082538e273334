"""What a failed submit means, and what may follow: the one place where sending again is decided.

Source: reliability.md section 4.5 (classes) and 5 (numbers); RFC 9110 section 9.2.2: a request that is not idempotent
is repeated only where it was certainly not applied, or where the provider documents a key for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from wan_cli import errors
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


@dataclass(frozen=True, slots=True)
class Refused:
    """Certainly not accepted, or never sent; trying again would not help."""

    error: errors.WanError


@dataclass(frozen=True, slots=True)
class Later:
    """Certainly not accepted, or never sent; it may be tried again, after ``wait`` seconds where somebody says so."""

    error: errors.WanError
    wait: float | None = None


@dataclass(frozen=True, slots=True)
class Unclear:
    """It may have been accepted. ``raw`` is what came back."""

    reason: str
    status: int | None = None
    raw: bytes = b""


Verdict = Refused | Later | Unclear


@dataclass(frozen=True, slots=True)
class Again:
    """Try again after ``wait`` seconds."""

    wait: float
    reason: str


@dataclass(slots=True)
class Purchase:
    """The attempts of one purchase, and what may follow each: pure, so that every order of events can be tested.

    ``keyed``: does the provider honour an idempotency key? ``begun`` is when the first unclear attempt was sent
    (seconds since the epoch); ``doubt`` that attempt's outcome, once there is one.
    """

    keyed: bool
    begun: float
    doubt: Unclear | None = None
    unclear: int = 0
    polite: int = 0
    waited: float = 0.0

    def after(self, verdict: Verdict, now: float, rand: float) -> Again | Refused | Unclear:
        """Say what follows: another attempt, the end with nothing bought, or the end in doubt."""
        match verdict:
            case Unclear():
                self.doubt = self.doubt or verdict
                self.unclear += 1
                wait = max(1.0, backoff(self.unclear + 1, rand))
                if self.keyed and self.unclear < KEYED_ATTEMPTS and self._remembered(now, wait):
                    return Again(wait, f"no clear answer ({verdict.reason}); asking again under the same key")
                return self.doubt
            case Later(error, asked):
                self.polite += 1
                wait = backoff(self.polite, rand) if asked is None else asked * (1 + 0.2 * rand)
                self.waited += wait
                patient = self.polite <= RETRIES and self.waited <= RETRY_AFTER_CAP_S * 1.2
                if patient and (self.doubt is None or self._remembered(now, wait)):
                    return Again(wait, error.message)
        # what an earlier attempt did stays unknown, whatever is said to a later one (Comfy SDK #130)
        return self.doubt or Refused(verdict.error)

    def _remembered(self, now: float, wait: float) -> bool:
        """Tell whether the key may still be trusted after ``wait`` seconds; a clock set back is no reason to trust."""
        return now >= self.begun and now + wait - self.begun <= KEYED_WINDOW_S


def backoff(attempt: int, rand: float) -> float:
    """Return seconds before the next attempt: full jitter on 1, 2, 4, ... s, at most 20 s; ``rand`` is 0..1."""
    return rand * min(BACKOFF_CAP_S, 2.0 ** (attempt - 1))


def judge(provider: Provider, fault: Fault, *, repeated: bool = False, date: str | None = None) -> Verdict:
    """Say what a refused submit means. The provider's code decides before the HTTP status does."""
    conflict = fault.status == 409  # noqa: PLR2004 - HTTP 409 Conflict
    if conflict and repeated:
        return Unclear(f"HTTP 409 on a repeat: {fault.message}", 409)
    known = provider.errors.get(fault.code or "")
    if known is None and (fault.status >= 500 or fault.status in _UNCLEAR_STATUS or fault.status < 300):  # noqa: PLR2004
        return Unclear(
            f"HTTP {fault.status}: {fault.message}" if fault.message else f"HTTP {fault.status}", fault.status
        )
    kind = known or _BY_STATUS.get(fault.status, errors.ConfigInvalid if fault.status < 400 else errors.RequestRejected)  # noqa: PLR2004
    error = as_error(provider, fault, kind)
    if isinstance(error, errors.RateLimited):
        wait = retry_after(fault.retry_after, date)
        error.retry_after_s = wait
        if wait is None or wait <= RETRY_AFTER_CAP_S:
            return Later(error, wait)
    return Refused(error)


_HINTS: Mapping[type[errors.WanError], str] = {
    errors.KeyRejected: "check the key in {key_env}; wan help environment",
    errors.InsufficientCredits: "top up the account at {docs}, then run the command again",
    errors.RateLimited: "wait, then run the command again",
    errors.ProviderUnavailable: "try again later; wan status shows what is open",
    errors.ModelUnknown: "wan models {name}",
    errors.ConfigInvalid: "check {base_url_env}; the default is {base_url}",
}


def as_error(provider: Provider, fault: Fault, kind: type[errors.WanError]) -> errors.WanError:
    """Turn a refusal into our error, in the provider's words and with the next command."""
    offered = provider.capabilities
    code = f" ({one_line(fault.code, 60)})" if fault.code else ""
    said = one_line(fault.message, 500) or "no reason given"
    request = f", request {one_line(fault.request_id, 80)}" if fault.request_id else ""
    if fault.status < 400 and fault.status >= 300:  # noqa: PLR2004 - a redirect (reliability.md N17)
        said = "the API answered with a redirect, which is never followed with a key"
    special = (text for words, text in provider.hints.items() if words in fault.message.casefold())
    general = (text for cls, text in _HINTS.items() if issubclass(kind, cls))
    hint = next(special, None) or next(general, "change the request; wan models {name}")
    return kind(
        f"{provider.name} refused: {said}{code} [HTTP {fault.status}{request}]",
        hint=hint.format(
            name=provider.name, key_env=offered.key_env, docs=offered.docs,
            base_url=offered.base_url, base_url_env=offered.base_url_env,
        ),
        http_status=fault.status, provider_code=fault.code, request_id=fault.request_id,
    )  # fmt: skip
