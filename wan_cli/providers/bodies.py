"""What the bodies of requests are made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, urlsplit

from wan_cli.dataclass import dataclass
from wan_cli.models import LocalFile, Media


@dataclass(frozen=True, slots=True)
class Embedded:
    """A local picture inside a JSON body: ``placeholder`` stands for it until the transport encodes the file."""

    file: LocalFile
    raw: bool = False

    @property
    def placeholder(self) -> str:
        """The text that the ledger keeps in place of the picture."""
        return f"<{'base64' if self.raw else 'data'}:{self.file.mime};sha256={self.file.sha256}>"


@dataclass(frozen=True, slots=True)
class Form:
    """A multipart body: text fields and files by field name, read by the transport while it sends."""

    fields: Mapping[str, str]
    files: Sequence[tuple[str, LocalFile]]


def form_for(file: LocalFile, fields: Mapping[str, str]) -> Form:
    """Return the multipart body of an upload: ``fields``, then the file as ``file``."""
    return Form(fields, [("file", file)])


def reference_name(media: Media) -> str:
    """Return the name a reference goes by: the file's, or the last part of its address."""
    if media.file:
        return media.file.name.encode("utf-8", "replace").decode()  # a name may be any bytes, JSON is UTF-8
    return urlsplit(media.url or "").path.rsplit("/", 1)[-1] or "reference"


def path_part(task_id: str) -> str:
    """Quote an id for use as one part of a path (reliability.md R08)."""
    return quote(task_id, safe="")


def without_unsaid(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what the user did not say: unset options leave no key in the body (rule 1)."""
    return {name: value for name, value in fields.items() if value is not None}
