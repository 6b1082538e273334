"""Foreign text made harmless: the one choke point before anything from outside reaches a terminal or a log.

Threats S14 and S15 of reliability.md: escape sequences, bidi overrides, CI workflow commands.
"""

from __future__ import annotations

import os
import re

from wan_cli.pattern import pattern

MAX_FOREIGN = 2_000
"""Characters of foreign text that are shown (reliability.md S14)."""

_BIDI = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff")
_LINE_COMMAND = pattern(r"^[^\S\n]*:(?=:)|^(?=##)", re.MULTILINE)
_ANYWHERE_COMMAND = pattern(r"##(?=(?:vso)?\[)")


def _spell(char: str) -> str:
    if char in "\n\t":
        return char
    if char < " ":
        return "^" + chr(ord(char) + 0x40)
    if char == "\x7f":
        return "^?"
    if "\x80" <= char < "\xa0":
        return f"\\x{ord(char):02x}"
    if char in _BIDI:
        return f"<U+{ord(char):04X}>"
    if "\ud800" <= char <= "\udfff":
        return f"\\u{ord(char):04x}"
    return char


def _disarm(text: str) -> str:
    """Break what a CI runner would obey.

    GitHub's runner skips blanks before ``::``, and both runners look for ``##[`` and ``##vso[`` anywhere in a line
    (actions/runner, ActionCommand.cs), so the leading space of reliability.md S15 alone would not stop them: the
    tokens themselves are split too.
    """
    text = _LINE_COMMAND.sub(lambda match: " : " if match[0] else " ", text)
    return _ANYWHERE_COMMAND.sub("# #", text)


def safe_text(text: str, limit: int = MAX_FOREIGN) -> str:
    """Return ``text`` with control, escape and bidi characters spelled out, at most ``limit`` characters of it.

    Newlines and tabs stay. Lines that GitHub or Azure would read as a command get a leading space there, and the
    command's token is split.
    """
    shown = text[:limit]
    if not shown.isprintable():  # what is printable holds nothing of what is spelled out
        shown = "".join(map(_spell, shown))
    if len(text) > limit:
        shown += f"… ({len(text) - limit:,} more characters)"
    if ("::" in shown or "##" in shown) and (os.environ.get("GITHUB_ACTIONS") or os.environ.get("TF_BUILD")):
        shown = _disarm(shown)
    return shown


def one_line(text: str, limit: int = 200) -> str:
    """Return ``text`` made safe and folded onto one line of at most ``limit`` characters (an ellipsis marks a cut)."""
    folded = " ".join(safe_text(text).split())
    return folded if len(folded) <= limit else folded[: max(limit - 1, 0)] + "…"[:limit]


def one_word(address: str) -> str:
    """Return a foreign address on a line of its own: what no address holds (blanks, line ends, escapes) as ``%1B``.

    A script reads it as one result a line, and a CI runner looks for commands there; an address that is one stays.
    """
    spelled = "".join(char if char.isprintable() and char != " " else _percent(char) for char in address)
    spelled = spelled.replace("##", "#%23")
    return f"%3A{spelled[1:]}" if spelled.startswith("::") else spelled


def _percent(char: str) -> str:
    return "".join(f"%{byte:02X}" for byte in char.encode("utf-8", "replace"))
