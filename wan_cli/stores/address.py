"""The address of an object or a folder in a store: ``s3://BUCKET/KEY``, ``gs://BUCKET/KEY``, ``az://CONTAINER/KEY``."""

from __future__ import annotations

import re

from wan_cli.dataclass import dataclass, replace
from wan_cli.errors import UsageError
from wan_cli.pattern import pattern
from wan_cli.text import one_line

SCHEMES = ("s3", "gs", "az")
_HINT = "such as s3://bucket/folder/ or s3://bucket/folder/fox.png"
_BUCKET = pattern(r"[A-Za-z0-9][A-Za-z0-9._-]{0,221}", re.ASCII)
KEY_BYTES = 1024
"""Of UTF-8: the limit of S3, Google and Azure alike."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """An object, or with a ``key`` that is empty or ends in ``/`` a folder."""

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        """Return it as the user types it."""
        return f"{self.scheme}://{self.bucket}/{self.key}"

    @property
    def name(self) -> str:
        """The last part of the key."""
        return self.key.rpartition("/")[2]

    def beside(self, name: str) -> Address:
        """Return the address of another object in the same folder."""
        folder, slash, _ = self.key.rpartition("/")
        return replace(self, key=f"{folder}{slash}{name}")


def is_address(text: object) -> bool:
    """Tell whether a path, as it was typed or recorded, is an address in a store."""
    scheme, mark, _ = text.partition("://") if isinstance(text, str) else ("", "", "")
    return bool(mark) and scheme.lower() in SCHEMES


def read_address(text: str) -> Address:
    """Read an address that :func:`is_address` knows. Raises ``UsageError`` for one that cannot be used.

    A user name, a password, a port or a signature has no place in it: keys come from the environment alone, so that
    they stand in no command line, ledger or message.
    """
    scheme, _, rest = text.partition("://")
    scheme, (bucket, _, key) = scheme.lower(), rest.partition("/")
    if "@" in bucket:
        raise UsageError(
            f"{scheme}://…@{one_line(bucket.rpartition('@')[2])}: an address has no user name and no password in it",
            hint="set the store's key in the environment: wan help templates",
        )
    if not _BUCKET.fullmatch(bucket):
        raise UsageError(f"{one_line(text)}: {one_line(bucket) or 'nothing'!r} is no name of a bucket", hint=_HINT)
    parts = key.removesuffix("/").split("/") if key else []
    if any(part in ("", ".", "..") for part in parts):
        raise UsageError(f"{one_line(text)}: a part of it is empty, . or ..", hint=_HINT)
    if not key.isprintable() or "\\" in key or len(key.encode("utf-8", "replace")) > KEY_BYTES:
        raise UsageError(f"{one_line(text)}: a key is at most {KEY_BYTES} bytes of plain characters", hint=_HINT)
    return Address(scheme=scheme, bucket=bucket, key=key)
