"""What a store refused or could not do, said without its addresses: a signed one (Azure's) is a key."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

from wan_cli.errors import ConfigInvalid, NetworkError, UsageError, WanError
from wan_cli.pattern import pattern
from wan_cli.stores.address import Address
from wan_cli.text import one_line

Kind = Literal["absent", "taken", "no_bucket", "refused", "unreachable", "failed"]
_STATUS = pattern(r"status code: (\d{3})")
_CODE = pattern(r"<Code>([A-Za-z0-9_.-]{1,80})</Code>")
_SAID = pattern(r"<Message>([^<]{1,200})|\"message\": ?\"([^\"]{1,200})")
_NO_BUCKET = pattern(r"NoSuchBucket|ContainerNotFound|bucket does not exist|\"notFound\".{0,80}bucket", re.IGNORECASE)
_LINK = pattern(r"\b\w+://\S+")
_REFUSED = {"400", "401", "403"}
_NO_KEY = pattern(r"Missing ?\w*Key|Account must be specified|169\.254\.|metadata\.google|token request|credentials")
"""Nothing was set, or the machine's own identity was asked for and there is none."""
_QUOTED = 160
KEYS = {
    "s3": "export AWS_ACCESS_KEY_ID=YOUR_ID AWS_SECRET_ACCESS_KEY=YOUR_KEY AWS_REGION=us-east-1",
    "gs": "export GOOGLE_APPLICATION_CREDENTIALS=key.json",
    "az": "export AZURE_STORAGE_ACCOUNT_NAME=YOUR_ACCOUNT AZURE_STORAGE_ACCOUNT_KEY=YOUR_KEY",
}
"""What each store's key is set by; obstore knows more ways."""


class StoreFault(Exception):
    """Why a store did not do what it was asked; ``kind`` tells what can be done about it, ``why`` is for people."""

    def __init__(self, kind: Kind, why: str) -> None:
        super().__init__(why)
        self.kind = kind
        self.why = why


@contextmanager
def translated() -> Iterator[None]:
    """Translate what obstore raises. Of its text only a status, the store's code and its message are passed on."""
    try:
        yield
    except StoreFault:
        raise
    except BaseException as error:
        name = type(error).__name__
        if name == "PanicException":  # which pyo3 makes of a bug in obstore, and which is no Exception
            raise StoreFault("failed", "obstore broke off") from None
        if not type(error).__module__.startswith("obstore") and not isinstance(error, OSError | ValueError):
            raise
        raise fault_of(name, str(error)) from None


def fault_of(name: str, text: str) -> StoreFault:
    """Return what an exception of obstore, by its name and text, means."""
    status, code = _STATUS.search(text), _CODE.search(text)
    said = f"HTTP {status[1]}" + (f" {code[1]}" if code else "") if status else ""
    head = text.partition("\n\n")[0]  # what follows is for who wrote obstore
    if _NO_KEY.search(head):
        return StoreFault("refused", "no key for the store was found in the environment")
    if _NO_BUCKET.search(head):
        return StoreFault("no_bucket", "there is no such bucket")
    if name in ("FileNotFoundError", "NotFoundError"):
        return StoreFault("absent", "it is not there")
    if name in ("AlreadyExistsError", "PreconditionError"):
        return StoreFault("taken", "it exists")
    if name in ("PermissionDeniedError", "UnauthenticatedError") or (status and status[1] in _REFUSED):
        message = _SAID.search(text)
        quote = f": {one_line(_LINK.sub('…', message[1] or message[2]), _QUOTED)}" if message else ""
        what = "request" if status and status[1] == "400" else "key"
        return StoreFault("refused", f"the store refuses the {what} ({said or 'no access'}){quote}")
    if status:
        return StoreFault("failed" if status[1][0] == "4" else "unreachable", f"the store answered {said}")
    first = one_line(_LINK.sub("…", text.partition("\n")[0]).rpartition(" - ")[2], _QUOTED)
    return StoreFault("unreachable", f"the store could not be reached ({first})")


def refusal(address: Address, fault: StoreFault) -> WanError:
    """Return what to say of a store that cannot be used, before anything was bought."""
    message = f"{address.scheme}://{address.bucket}: {one_line(fault.why)}"
    match fault.kind:
        case "no_bucket":
            return UsageError(message, hint="make the bucket, or give another place with -o")
        case "refused":
            return ConfigInvalid(message, hint=KEYS[address.scheme])
        case _:
            return NetworkError(message, hint="run the command again, or give another place with -o")
