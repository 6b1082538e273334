"""Secrets taken out of what is logged (reliability.md S18)."""

from __future__ import annotations

import pytest

from wan_cli.transport.redact import redact

KEY = "canary-0123456789"


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {KEY}", f"authorization: Basic {KEY}", f'"authorization": "Bearer {KEY}"',
        f"proxy-authorization={KEY}", f"Cookie: a={KEY}; b={KEY}", f"set-cookie: session={KEY}; Path=/",
        f"X-Api-Key: {KEY}", f"x-oss-security-token: {KEY}", f"X-DashScope-WorkSpace: {KEY}",
        f"https://h/1.png?Expires=1&Signature={KEY}", f"https://h/1.png?OSSAccessKeyId={KEY}&x=1",
        f"https://h/?security-token={KEY}", f"https://h/?X-Amz-Credential={KEY}", f"https://h/?x=1&api_key={KEY}",
        f"https://h/?a=1;policy={KEY}", f"https://h/?PASSWORD={KEY}", f"https://h/?sig={KEY}#f",
        f"rvya_sk_{KEY}", f"key sk-{KEY}.", f"whsec_{KEY}", f"http://user:{KEY}@proxy:3128/",
        f"socks5://{KEY}@proxy", f"told: {KEY}",
    ],
)  # fmt: skip
def test_a_secret_does_not_stay(text: str) -> None:
    """Keys, cookies, signatures, user names in addresses and the given values are masked, wherever they stand."""
    shown = redact(text, [KEY] if text.startswith("told") else [])
    assert KEY not in shown
    assert "***" in shown


def test_the_rest_stays() -> None:
    """What is no secret can still be read."""
    text = "GET https://h/a/1.png?Expires=1&Signature=x&n=2\nContent-Type: image/png\nrisk-free ask- sk-1"
    shown = redact(text, ["", "absent"])
    assert shown == text.replace("Signature=x", "Signature=***")


def test_redacting_twice_changes_nothing() -> None:
    """A text that was redacted is left as it is."""
    once = redact(f"Authorization: Bearer rvya_sk_{KEY} https://u:{KEY}@h/?token={KEY}", [KEY])
    assert redact(once, [KEY]) == once
