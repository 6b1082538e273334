"""What a refused or lost submit means, and what may follow (reliability.md 4.5, 5, H01-H16)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support_adapter import DATE, adapter, fault, outcome, verdict

from wan_cli import errors
from wan_cli.retry_after import retry_after
from wan_cli.transport.retry import (
    BACKOFF_CAP_S,
    KEYED_ATTEMPTS,
    KEYED_WINDOW_S,
    RETRIES,
    RETRY_AFTER_CAP_S,
    Again,
    Later,
    Purchase,
    Refused,
    Repeats,
    Unclear,
    Verdict,
    backoff,
    judge,
)

LATER = Later(errors.RateLimited("slow down"))
NO = Refused(errors.RequestRejected("no"))


@pytest.mark.parametrize(
    ("header", "date", "seconds"),
    [
        ("3", None, 3), (" 120 ", None, 120), ("0", None, 0), ("999999999", None, 999999999),
        ("-5", None, None), ("1e9", None, None), ("99999999999999999999", None, None), ("inf", None, None),
        ("nan", None, None), ("soon", None, None), ("", None, None), (None, None, None), ("٣", None, None),
        ("3, 4", None, None), ("2.5", None, None), ("0x3", None, None), ("+3", None, None),
        ("Sat, 21 Nov 2026 09:00:30 GMT", DATE, 30), ("Sat, 21 Nov 2026 08:00:00 GMT", DATE, 0),
        ("Sat, 21 Nov 2026 09:00:30 GMT", None, None), ("Sat, 21 Nov 2026 09:00:30 GMT", "yesterday", None),
        ("Sat, 41 Nov 2026 09:00:30 GMT", DATE, None), ("Sat, 21 Nov 2026 09:00:30", DATE, None),
    ],
)  # fmt: skip
def test_retry_after_is_read_strictly(header: str | None, date: str | None, seconds: float | None) -> None:
    """Whole ASCII seconds, or a date held against the answer's own Date; anything else says nothing (H01-H04)."""
    assert retry_after(header, date) == seconds


@pytest.mark.parametrize(
    ("status", "ours", "exit_code", "charged"),
    [
        (301, "config_invalid", 3, "no"), (307, "config_invalid", 3, "no"), (400, "request_rejected", 4, "no"),
        (401, "key_rejected", 3, "no"), (402, "insufficient_credits", 5, "no"), (403, "key_rejected", 3, "no"),
        (404, "model_unknown", 4, "no"), (405, "model_unknown", 4, "no"), (409, "request_rejected", 4, "no"),
        (413, "request_rejected", 4, "no"), (414, "request_rejected", 4, "no"), (415, "request_rejected", 4, "no"),
        (422, "request_rejected", 4, "no"), (429, "rate_limited", 6, "no"), (431, "request_rejected", 4, "no"),
        (408, "outcome_unknown", 9, "unknown"), (425, "outcome_unknown", 9, "unknown"),
        (500, "outcome_unknown", 9, "unknown"), (502, "outcome_unknown", 9, "unknown"),
        (503, "outcome_unknown", 9, "unknown"), (504, "outcome_unknown", 9, "unknown"),
        (520, "outcome_unknown", 9, "unknown"), (524, "outcome_unknown", 9, "unknown"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("provider", ["rivya", "modelverse"])
def test_a_status_without_a_code_has_its_class(
    provider: str, status: int, ours: str, exit_code: int, charged: str
) -> None:
    """The table of reliability.md 4.5 holds for every provider alike, whatever the body is."""
    assert outcome(verdict(adapter(provider), status, b"<html>no")) == (ours, exit_code, charged)


def test_an_error_in_a_200_is_definite_only_with_a_known_code() -> None:
    """A 200 that holds an error may have been bought, unless its code says otherwise (H15)."""
    known = {"error": {"code": "insufficient_credits", "message": "no"}}
    other = {"error": {"code": "strange", "message": "no"}}
    assert outcome(verdict(adapter("rivya"), 200, known)) == ("insufficient_credits", 5, "no")
    assert outcome(verdict(adapter("rivya"), 200, other)) == ("outcome_unknown", 9, "unknown")


def test_a_conflict_on_a_repeat_leaves_the_outcome_open() -> None:
    """409 on a first attempt is a refusal; on a repeat the first attempt may be in flight (H08, H09)."""
    body = {"error": {"code": "idempotency_conflict", "message": "in use"}}
    made = adapter("rivya")
    assert outcome(verdict(made, 409, body)) == ("request_rejected", 4, "no")
    repeated = judge(made, fault(made, 409, body), repeated=True)
    assert repeated == Unclear("HTTP 409 on a repeat: in use", 409)


def test_an_empty_answer_is_named_by_its_status() -> None:
    """A 5xx without a word still gives a reason."""
    found = verdict(adapter("rivya"), 599, b"")
    assert isinstance(found, Unclear)
    assert found.reason == "HTTP 599"


@pytest.mark.parametrize(("header", "wait"), [("3", 3), ("120", 120), ("soon", None), ("-5", None)])
def test_a_rate_limit_may_be_tried_again(header: str, wait: float | None) -> None:
    """429 comes back after what the header says, or by our own backoff where it says nothing usable."""
    found = verdict(adapter("rivya"), 429, b"", retry_after=header)
    assert isinstance(found, Later)
    assert (found.wait, found.error.retry_after_s) == (wait, wait)


@pytest.mark.parametrize("header", ["121", "999999999", "Sat, 21 Nov 2026 10:00:00 GMT"])
def test_a_long_wait_is_not_waited(header: str) -> None:
    """Beyond 120 s the command stops and says when to come back (H03)."""
    found = verdict(adapter("rivya"), 429, b"", retry_after=header, date=DATE)
    assert isinstance(found, Refused)
    assert found.error.retry_after_s is not None
    assert found.error.retry_after_s > RETRY_AFTER_CAP_S


def test_a_refusal_says_who_what_and_what_to_do_next() -> None:
    """The message has provider, words, code, status and request; the hint is a command or a setting."""
    body = {"error": {"code": "api_key_expired", "message": "expired\nkey", "requestId": "req_1"}}
    error = verdict(adapter("rivya"), 401, body).error  # type: ignore[union-attr]
    assert (
        error.message
        == "rivya refused: expired key (api_key_expired) [HTTP 401, request req_1]; the key's setting: RIVYA_API_KEY"
    )
    assert error.hint == "wan auth list"
    redirect = verdict(adapter("rivya"), 302, b"").error  # type: ignore[union-attr]
    assert "never followed" in redirect.message
    assert "RIVYA_BASE_URL" in redirect.hint
    assert verdict(adapter("rivya"), 400, b"").error.hint == "wan models rivya"  # type: ignore[union-attr]


@pytest.mark.parametrize(("attempt", "most"), [(1, 1), (2, 2), (3, 4), (4, 8), (5, 16), (6, BACKOFF_CAP_S), (60, 20)])
def test_backoff_is_full_jitter_on_a_doubling_wait(attempt: int, most: float) -> None:
    """1, 2, 4, ... seconds times a number from 0 to 1, at most 20 s."""
    assert backoff(attempt, 1.0) == most
    assert backoff(attempt, 0.0) == 0


def test_a_polite_wait_has_up_to_a_fifth_more() -> None:
    """``Retry-After: 3`` is waited 3 to 3.6 s, at most four attempts in all (H01)."""
    purchase = Purchase(keyed=False, begun=0)
    waits = [purchase.after(Later(LATER.error, 3), 0, 1.0) for _ in range(RETRIES)]
    assert waits == [Again(pytest.approx(3.6), "slow down")] * RETRIES
    assert purchase.after(Later(LATER.error, 3), 0, 1.0) == Refused(LATER.error)


def test_polite_waits_do_not_add_up_without_end() -> None:
    """Waits of 100 s are not made twice: the total is held to the cap."""
    purchase = Purchase(keyed=False, begun=0)
    assert isinstance(purchase.after(Later(LATER.error, 100), 0, 0.0), Again)
    assert purchase.after(Later(LATER.error, 100), 100, 0.0) == Refused(LATER.error)


def test_what_the_first_attempt_did_stays_unknown() -> None:
    """A refusal of a repeat says nothing of the attempt before it, whose failure is the one reported (Comfy #130)."""
    purchase, first = Purchase(keyed=True, begun=0), Unclear("reset", 200, b"half")
    assert isinstance(purchase.after(first, 1, 0.5), Again)
    assert purchase.after(NO, 2, 0.5) is first


@pytest.mark.parametrize("now", [KEYED_WINDOW_S, KEYED_WINDOW_S + 1, -1])
def test_an_old_key_is_not_trusted(now: float) -> None:
    """Ten minutes after the first attempt, or with a clock set back, the key is not used by itself any more."""
    first = Unclear("reset")
    assert Purchase(keyed=True, begun=0).after(first, now, 0.5) is first
    doubtful = Purchase(keyed=True, begun=0, doubt=first, unclear=1)
    assert doubtful.after(LATER, now, 0.5) is first


@dataclass(frozen=True)
class Step:
    """One attempt: how long it took, what came of it, and the dice."""

    took: float
    verdict: Verdict
    rand: float


steps = st.lists(
    st.builds(
        Step,
        took=st.floats(0, 700),
        verdict=st.one_of(
            st.builds(Unclear, st.just("lost"), st.sampled_from([None, 200, 500]), st.binary(max_size=3)),
            st.builds(Later, st.just(LATER.error), st.none() | st.floats(0, RETRY_AFTER_CAP_S)),
            st.just(NO),
        ),
        rand=st.floats(0, 1),
    ),
    min_size=1,
    max_size=12,
)


def replay(purchase: Purchase, plan: list[Step]) -> tuple[list[tuple[float, Verdict]], Any]:
    """Send as long as it is allowed; return when each attempt was sent and what came of it, and the last word."""
    sent: list[tuple[float, Verdict]] = []
    now = purchase.begun
    for step in plan:
        if purchase.doubt is None:
            purchase.begun = now  # as the engine does: the window counts from the first attempt in doubt
        sent.append((now, step.verdict))
        now += step.took
        after = purchase.after(step.verdict, now, step.rand)
        if not isinstance(after, Again):
            return sent, after
        assert after.wait >= 0
        now += after.wait
    return sent, None


@given(steps)
def test_without_a_key_nothing_follows_an_unclear_outcome(plan: list[Step]) -> None:
    """No order of verdicts ever sends again after an unclear one where no key is honoured."""
    sent, end = replay(Purchase(keyed=False, begun=1000.0), plan)
    doubts = [place for place, (_, verdict) in enumerate(sent) if isinstance(verdict, Unclear)]
    assert doubts in ([], [len(sent) - 1])
    if doubts:
        assert end == sent[-1][1]
    assert len(sent) <= RETRIES + 1


@given(steps, st.booleans())
def test_with_a_key_few_repeats_follow_and_none_late(plan: list[Step], resumed: bool) -> None:
    """Under a key there are at most three unclear attempts, none past the window, and the first doubt is the end."""
    first = Unclear("ended") if resumed else None
    sent, end = replay(Purchase(keyed=True, begun=1000.0, doubt=first, unclear=int(resumed)), plan)
    unclear = [(at, verdict) for at, verdict in sent if isinstance(verdict, Unclear)]
    assert len(unclear) + resumed <= KEYED_ATTEMPTS
    assert len(sent) <= RETRIES + KEYED_ATTEMPTS + 1
    begun = 1000.0 if resumed else unclear[0][0] if unclear else None
    if begun is not None:
        repeats = [at for at, _ in sent if at > begun]
        assert all(at - begun <= KEYED_WINDOW_S + 1e-6 for at in repeats)
    doubt = first or (unclear[0][1] if unclear else None)
    if doubt and end is not None:
        assert end is doubt


def test_the_budget_of_a_process_is_botocores() -> None:
    """500 tokens; a repeat takes 5, one after a time-out 10; a success gives back what its own took, at least one."""
    repeats = Repeats()
    assert (repeats.tokens, repeats.most) == (500, 500)
    first = Purchase(keyed=False, begun=0, repeats=repeats)
    assert isinstance(first.after(LATER, 0, 0.5), Again)
    assert repeats.tokens == 495
    assert isinstance(first.after(Later(LATER.error, slow=True), 0, 0.5), Again)
    assert repeats.tokens == 485
    second = Purchase(keyed=True, begun=0, repeats=repeats)
    assert isinstance(second.after(Unclear("late", slow=True), 0, 0.5), Again)
    assert repeats.tokens == 475
    first.succeeded()
    assert repeats.tokens == 490
    Purchase(keyed=False, begun=0, repeats=repeats).succeeded()
    assert repeats.tokens == 491
    for _ in range(20):
        second.succeeded()
    assert repeats.tokens == 500


def test_without_tokens_the_first_failure_is_the_last() -> None:
    """An empty budget takes no repeat, says the failure as it is, and is not overdrawn."""
    repeats = Repeats(tokens=4)
    assert Purchase(keyed=False, begun=0, repeats=repeats).after(LATER, 0, 0.5) == Refused(LATER.error)
    doubt = Unclear("reset")
    assert Purchase(keyed=True, begun=0, repeats=repeats).after(doubt, 0, 0.5) is doubt
    assert repeats.tokens == 4


def test_every_limit_can_be_given() -> None:
    """Retries, attempts under a key, its window and both caps come in from outside."""
    patient = Repeats(retries=9, keyed_attempts=1, keyed_window_s=1.0, backoff_cap_s=0.5, retry_after_cap_s=1000)
    purchase = Purchase(keyed=True, begun=0, repeats=patient)
    assert [purchase.after(LATER, 0, 1.0) for _ in range(9)] == [Again(0.5, "slow down")] * 9
    assert purchase.after(LATER, 0, 1.0) == Refused(LATER.error)
    doubt = Unclear("reset")
    assert Purchase(keyed=True, begun=0, repeats=patient).after(doubt, 0, 0.5) is doubt
    made = adapter("rivya")
    long = fault(made, 429, b"", retry_after="600")
    assert isinstance(judge(made, long), Refused)
    assert isinstance(judge(made, long, patience=1000), Later)


@pytest.mark.parametrize(
    ("location", "shown"),
    [("https://evil.example/a?sig=1", " to https://evil.example,"), ("//evil.example:8443/a", " to ://evil.example:8443,"),
     ("/login", "redirect,"), (None, "redirect,"), ("https://[::1", "redirect,"), ("https://a:99999/", "redirect,"),
     ("https://user:pass@evil.example/", " to https://evil.example,")],
)  # fmt: skip
def test_a_redirect_is_told_by_its_origin(location: str | None, shown: str) -> None:
    """The origin of a redirect is named, and nothing else of it (N17)."""
    headers = {} if location is None else {"location": location}
    said = verdict(adapter("rivya"), 302, b"", **headers).error.message  # type: ignore[union-attr]
    assert shown in said
    assert "pass" not in said
    assert "sig" not in said


@pytest.mark.parametrize(("status", "ours"), [(401, "key_rejected"), (403, "key_rejected"), (400, "request_rejected")])
def test_a_general_code_does_not_hide_the_status(status: int, ours: str) -> None:
    """OpenAI's "invalid_request_error" stands beside 401 too, where the key is meant (H10)."""
    body = {"error": {"message": "no key", "type": "invalid_request_error", "code": None}}
    assert outcome(verdict(adapter("openai"), status, body))[0] == ours
