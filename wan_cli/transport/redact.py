"""Secrets taken out of every line that is logged.

Threat S18 of reliability.md: keys and signed addresses in logs, errors and crash files.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

MASK = "***"

# patterns, which re compiles and keeps when something is logged
_HEADER = (
    r"(?i)\b(authorization|proxy-authorization|cookie|set-cookie|x-api-key|x-dashscope-workspace|x-oss-[a-z-]+)"
    r"([\"']?\s*[:=]\s*[\"']?)([^\r\n\"']+)"
)
_QUERY = (
    r"(?i)((?:[?&;]|\\u0026|%26|%3f)(?:[a-z0-9_.-]*(?:signature|sig|token|credential|secret|accesskeyid|api[_-]?key|policy|password)"
    r"[a-z0-9_.-]*)(?:=|\\u003d|%3d))([^&\s\"'<>\\]+)"
)
"""Go writes ``&`` in JSON as ``\\u0026``; an address inside an address has it as ``%26``."""

_FIELD = r"(?i)(\"(?:signature|policy|[a-z_]*access_?key_?id|[a-z_]*security_?token)\"\s*:\s*\")([^\"]+)"
"""What DashScope answers about where to leave a file (contracts.md 5.5)."""

_KEY = r"\b(rvya_sk_|sk-|whsec_)([A-Za-z0-9_-]{4,})"
_USERINFO = r"(?i)\b([a-z][a-z0-9+.-]*://)[^/\s@\"']+@"


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return ``text`` without secrets: the given values, and whatever looks like a key or a signature."""
    for secret in secrets:
        if secret:
            text = text.replace(secret, MASK)
    text = re.sub(_HEADER, rf"\1\2{MASK}", text)
    text = re.sub(_QUERY, rf"\1{MASK}", text)
    text = re.sub(_FIELD, rf"\1{MASK}", text)
    text = re.sub(_KEY, rf"\1{MASK}", text)
    return re.sub(_USERINFO, rf"\1{MASK}@", text)
