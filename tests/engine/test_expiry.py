"""Whether a refused address has ended: the address, the host's own clock, and only then this machine's."""

from __future__ import annotations

import pytest

from wan_cli.download import Expired
from wan_cli.engine.expiry import day, is_over, stated

URL = "https://h/1.png?Expires=1795251600&Signature=x"
BEFORE, AFTER = "Sat, 21 Nov 2026 08:59:59 GMT", "Sat, 21 Nov 2026 09:00:00 GMT"
END = 1_795_251_600.0


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
    assert is_over(url, refusal, now) is over


def test_days_are_for_people() -> None:
    """A time that no calendar has is shown as a number."""
    assert day(END) == "2026-11-21 09:00 UTC"
    assert day(1e300) == "1e+300"
