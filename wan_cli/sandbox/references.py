"""What the URLs in a request stand for: an upload of this sandbox, a result of it, or something on the web."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wan_cli.sandbox.world import StoredFile, World

_WEB = re.compile(r"https?://[^\s/?#]+[^\s]*")


class NoSuchUploadError(Exception):
    """A URL looks like one of the sandbox's uploads and is none of this provider."""


def file_url(file: StoredFile, world: World) -> str:
    """Return where an upload can be fetched."""
    return f"{world.public_url}/files/{file.id}.{file.mime.partition('/')[2]}"


def upload(url: str, provider: str, world: World) -> StoredFile | None:
    """Return the upload a URL names; None for a URL elsewhere. Raises NoSuchUploadError."""
    start = f"{world.public_url}/files/"
    if not url.startswith(start):
        return None
    file = world.file(url.removeprefix(start).partition(".")[0])
    if file is None or file.provider != provider or url != file_url(file, world):
        raise NoSuchUploadError
    return file


def on_the_web(url: str) -> bool:
    """Tell whether a URL is one that a provider would fetch: https with a host, and nothing odd in it."""
    return url.startswith("https://") and _WEB.fullmatch(url) is not None
