"""What DashScope's refusals stand for, as data (contracts.md 5.6), and those of the object store behind its uploads."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING

from wan_cli import errors
from wan_cli.errors import WanError
from wan_cli.pattern import pattern
from wan_cli.providers.base import Fault

if TYPE_CHECKING:
    import httpx

CODES: Mapping[str, type[WanError]] = MappingProxyType({
    "InvalidParameter": errors.RequestRejected,
    "InvalidParameter.DataInspection": errors.RequestRejected,  # it could not download or read a medium
    "DataInspectionFailed": errors.Moderation,
    "IPInfringementSuspect": errors.Moderation,
    "InvalidURL": errors.RequestRejected,
    "BadRequest": errors.RequestRejected,
    "UnsupportedOperation": errors.RequestRejected,
    "Arrearage": errors.InsufficientCredits,
    "InvalidApiKey": errors.KeyRejected,
    "AccessDenied": errors.KeyRejected,
    "AccessDenied.Unpurchased": errors.KeyRejected,
    "Model.AccessDenied": errors.ModelUnknown,
    "Workspace.AccessDenied": errors.KeyRejected,
    "AllocationQuota": errors.InsufficientCredits,
    "AllocationQuota.FreeTierOnly": errors.InsufficientCredits,
    "ModelNotFound": errors.ModelUnknown,
    "WorkSpaceNotFound": errors.KeyRejected,
    "NotFound": errors.ModelUnknown,
    "Throttling": errors.RateLimited,
    "Throttling.RateQuota": errors.RateLimited,
    "Throttling.AllocationQuota": errors.RateLimited,
    "Throttling.BurstRate": errors.RateLimited,
    "PrepaidBillOverdue": errors.InsufficientCredits,
    "PostpaidBillOverdue": errors.InsufficientCredits,
    "CommodityNotPurchased": errors.InsufficientCredits,
})  # fmt: skip
"""The codes for "not accepted". Those of 500 and 503 are not here: the model may have run."""

HINTS: Mapping[str, str] = MappingProxyType({
    "does not support synchronous": "add --async",
    "does not support asynchronous": "add --sync",
    "api-key": "a key is good for its own region: check it, and {base_url_env} or region in your configuration",
})  # fmt: skip

_MONEY = ("BillOverdue", "CommodityNotPurchased")
_STORE = "ObjectStore."
_XML = pattern(rb"<(Code|Message|RequestId)>([^<]*)</\1>")


def meaning(fault: Fault) -> type[WanError] | None:
    """Return what a refusal's code stands for: its own entry, else its family's; ``None`` for what is not documented.

    An unknown model comes as InvalidParameter too, and a wrong interface as AccessDenied: only the message tells.
    """
    code, said = fault.code or "", fault.message.casefold()
    if code.startswith(_STORE):
        return errors.RequestRejected if fault.status < 500 else None  # noqa: PLR2004 - HTTP 5xx
    if "model not exist" in said:
        return errors.ModelUnknown
    if "does not support synchronous" in said or "does not support asynchronous" in said:
        return errors.RequestRejected
    if code.endswith(_MONEY):
        return errors.InsufficientCredits
    return CODES.get(code) or CODES.get(code.partition(".")[0])


def store_fault(response: httpx.Response) -> Fault | None:
    """Read a refusal of the object store, which is XML; what is there already under its hash is no refusal."""
    if response.is_success:
        return None
    said = {name.decode(): text.decode("utf-8", "replace") for name, text in _XML.findall(response.content)}
    code = said.get("Code") or f"HTTP{response.status_code}"
    if code == "FileAlreadyExists":
        return None
    return Fault(
        status=response.status_code, code=_STORE + code,
        message=f"the file store: {said.get('Message') or response.reason_phrase}",
        request_id=said.get("RequestId"), retry_after=response.headers.get("retry-after"),
    )  # fmt: skip
