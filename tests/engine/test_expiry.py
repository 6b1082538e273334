"""Whether a refused address has ended: the address, the host's own clock, and only then this machine's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from wan_cli.download import Expired
from wan_cli.engine.expiry import day, end_of, is_over, stated, until
from wan_cli.models import Done, Job, Output, Target, Task

URL = "https://h/1.png?Expires=1795251600&Signature=x"
BEFORE, AFTER = "Sat, 21 Nov 2026 08:59:59 GMT", "Sat, 21 Nov 2026 09:00:00 GMT"
END = 1_795_251_600.0
TASK: dict[str, Any] = {
    "id": "aaaaaa", "provider": "modelverse", "origin": "https://api.modelverse.cn", "provider_model": "m",
    "token": "t", "target": Target(template="/x{ext}"), "created_at": 1.0, "state": Done(outputs=(Output(url="u"),)),
    "job": Job(verb="generate", provider="modelverse", model="m", prompt="a fox"),
}  # fmt: skip


@pytest.mark.parametrize(
    ("url", "ends"),
    [(URL, END), ("https://h/1.png?a=b&Expires=1795251600", END), ("https://h/1.png?Expires=soon", None),
     ("https://h/1.png?MyExpires=1795251600", None), (None, None)],
)  # fmt: skip
def test_an_address_states_its_end(url: str | None, ends: float | None) -> None:
    """Only a plain ``Expires`` in seconds counts."""
    assert stated(url) == ends


@pytest.mark.parametrize(
    ("url", "refusal", "now", "over"),
    [
        (URL, Expired(403, "no", BEFORE), END + 1, False), (URL, Expired(403, "no", AFTER), END - 1, True),
        (URL, Expired(403, "no"), END - 1, False), (URL, Expired(403, "no"), END, True),
        (URL, Expired(404, "no", "yesterday"), END - 1, False), (URL, Expired(404, "no", "yesterday"), END, True),
        (URL, Expired(403, "Request has Expired.", BEFORE), END - 1, True),
        (URL, Expired(410, "no", BEFORE), END - 1, True), ("https://h/1.png", Expired(403, "no"), 0.0, True),
        (None, Expired(404, "no"), 0.0, True),
    ],
)  # fmt: skip
def test_t09_d01_the_hosts_clock_decides(url: str | None, refusal: Expired, now: float, over: bool) -> None:
    """Its ``Date`` goes before this machine's time; 410 and the word itself go before both."""
    assert is_over(stated(url), refusal, now) is over


def test_d02_an_answer_that_was_all_is_good_for_its_documented_life() -> None:
    """Its addresses are the only ones there will be; of a task the provider can be asked again."""
    plain, task = "https://h/1.png", Task(**TASK, expires_at=END)
    assert end_of(task, plain) == END
    assert end_of(replace(task, task_id="t-1"), plain) is None
    assert end_of(replace(task, task_id="t-1"), URL) == END
    assert not is_over(end_of(task, plain), Expired(404, "no"), END - 1)


def test_days_are_for_people() -> None:
    """A time that no calendar has is shown as a number."""
    assert day(END) == "2026-11-21 09:00 UTC"
    assert day(1e300) == "1e+300"


@pytest.mark.parametrize(
    ("ends", "says"),
    [(None, ""), (END - 1, "; the address was good until 2026-11-21 08:59 UTC"),
     (END, "; the address was good until 2026-11-21 09:00 UTC"),
     (END + 60, "; the address should be good until 2026-11-21 09:01 UTC")],
)  # fmt: skip
def test_a_message_says_until_when_an_address_is_good(ends: float | None, says: str) -> None:
    """In the very second of its end it was; before, it should be; unknown, nothing is said."""
    assert until(ends, END) == says
