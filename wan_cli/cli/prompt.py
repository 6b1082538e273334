"""The words of a call: prompt and pictures, wherever they stand."""

from __future__ import annotations

import codecs
import os
from typing import TYPE_CHECKING, overload

from wan_cli.errors import FileInvalid, UsageError
from wan_cli.media import looks_like_media_name
from wan_cli.stores import is_address
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App

STDIN_BYTES = 64 * 1024
"""The most that is read of a prompt (reliability.md I02); pictures from standard input may be larger."""

STDIN_PICTURE_BYTES = 64 * 1024 * 1024
"""The most that is read of a picture or video: above what any provider takes (50 MiB, contracts.md)."""


_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_prompt(app: App, word: str | None, text: str | None, file: str | None) -> str:
    """Return the prompt from PROMPT, ``--prompt`` or ``--prompt-file``. Never waits for a terminal.

    Raises ``UsageError`` or ``FileInvalid``.
    """
    given = [
        name for name, value in (("PROMPT", word), ("--prompt", text), ("--prompt-file", file)) if value is not None
    ]
    if len(given) > 1:
        raise UsageError(f"{' and '.join(given)} were given; one of them is the prompt")
    if text is not None:
        return _said(text)
    if file is not None:
        return _said(_from_file(app, file))
    if word is None:
        raise UsageError("the prompt is missing", hint=f"wan {app.command} --help")
    if word == "-":
        return _said(_from_stdin(app))
    if word.startswith("@@"):
        return _said(word[1:])
    if word.startswith("@"):
        return _said(_from_file(app, word[1:]))
    if looks_like_media_name(word) or os.path.isfile(app.cwd / word):  # noqa: PTH113 - false for what no file can be called
        raise UsageError(
            f"the prompt {one_line(word)!r} is a file's name; was the prompt forgotten?",
            hint="wan edit PICTURE PROMPT",
        )
    return _said(word)


def _said(text: str) -> str:
    prompt = as_utf8(text).strip().removeprefix("\ufeff")
    if not prompt:
        raise UsageError("the prompt is empty", hint="give a text, @FILE or - for standard input")
    return prompt


def _from_file(app: App, name: str) -> str:
    path = app.cwd / name
    try:
        data = path.read_bytes() if path.is_file() and path.stat().st_size <= STDIN_BYTES else None
    except OSError as error:
        raise FileInvalid(f"the prompt file {name} cannot be read: {error.strerror}") from error
    if data is None:
        why = f"is larger than {STDIN_BYTES:,} bytes" if path.is_file() else "does not exist or is no file"
        raise FileInvalid(f"the prompt file {name} {why}")
    return _decode(data, name)


def _from_stdin(app: App) -> str:
    data = _stdin_bytes(app, STDIN_BYTES + 1)
    if len(data) > STDIN_BYTES:
        raise UsageError(f"standard input has more than {STDIN_BYTES:,} bytes; a prompt has at most 5,000 characters")
    return _decode(data, "standard input")


def _stdin_bytes(app: App, limit: int) -> bytes:
    if app.stdin is None or app.stdin.closed:
        return b""
    if app.stdin.isatty():
        raise UsageError("nothing is piped into standard input", hint='echo "a paper crane" | wan generate -')
    try:
        return bytes(app.stdin.buffer.read(limit))
    except (OSError, ValueError):
        return b""


def _decode(data: bytes, name: str) -> str:
    try:  # PowerShell's ">" writes UTF-16 with its mark
        return data.decode("utf-16" if data.startswith(_UTF16) else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"the prompt in {name} is not UTF-8: byte {error.start + 1} cannot be read") from error


@overload
def as_utf8(text: str) -> str: ...
@overload
def as_utf8(text: None) -> None: ...
def as_utf8(text: str | None) -> str | None:
    """Return a word of the command line as UTF-8, where the locale made Python take it for something else (PEP 383)."""
    try:
        return os.fsencode(text).decode() if text and not text.isprintable() else text
    except UnicodeError:
        return text


def split_words(words: list[str], *, has_prompt: bool) -> tuple[list[str], str | None]:
    """Split ``ASSET... PROMPT``: the last word is the prompt, unless an option says it."""
    if has_prompt or not words:
        return words, None
    *assets, last = words
    if assets.count("-") + (last == "-") > 1:
        raise UsageError("standard input can be one thing: the prompt or one picture")
    return assets, last


def asset_path(app: App, word: str) -> str:
    """Return the local path of an ASSET; ``-`` and what is in a store are copied into the state folder first."""
    if is_address(word):
        from wan_cli.cli.storing import fetched

        return fetched(app, word)
    if word != "-":
        return str(app.cwd / word)
    from wan_cli.media import sniff

    data = _stdin_bytes(app, STDIN_PICTURE_BYTES + 1)
    if len(data) > STDIN_PICTURE_BYTES:
        raise FileInvalid(f"standard input has more than {STDIN_PICTURE_BYTES:,} bytes", hint="give a smaller file")
    if not data:
        raise FileInvalid("standard input is empty; a picture was expected", hint="wan edit PICTURE PROMPT")
    import hashlib

    digest = hashlib.sha256(data).hexdigest()
    end = (sniff(data[:512]) or "application/octet-stream").rpartition("/")[2]
    app.private(scratch := app.state / "scratch")
    path = scratch / f"stdin-{digest[:16]}.{end}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        file.write(data)
    return str(path)
