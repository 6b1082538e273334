"""DashScope's temporary uploads: the policy, and the form that a file is posted with to the object store.

Sources: `contracts.md` 5.5, Alibaba's page on temporary URLs, and OSS's on PostObject. A policy holds for 300 seconds
and one folder; a file for 48 hours, one account and one model, which the second part of its key stands for. `file` is
the form's last field; the others have no order. The store never sees the API key: a form that brings one is refused.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import secrets
import uuid
from datetime import datetime
from typing import TYPE_CHECKING, Any

import httpx

from wan_cli.sandbox import multipart
from wan_cli.sandbox.dashscope_envelope import KEY, NAME, ZONE, refuse_input, utc
from wan_cli.sandbox.records import StoredFile
from wan_cli.sandbox.refusals import oss_refusal

if TYPE_CHECKING:
    from wan_cli.sandbox.world import World

PLACE = "/oss"  # of the file host
_SECONDS = 300  # of a policy
_LIFETIME = 48 * 3600  # seconds of a file
_MOST_MB = 100  # the page's own example; every input that a Wan 2.7 model takes fits
_ACCESS = "LTAI5sandbox"
_SECRET = b"sandbox"  # signs policies: what it protects is this sandbox's own folder
_GIVEN = ("OSSAccessKeyId", "Signature", "policy", "key", "x-oss-object-acl", "x-oss-forbid-overwrite")
_ALSO = re.compile(r"success_action_status|x-oss-content-type|content-type|cache-control|x-oss-meta-[a-z0-9-]+")
_KEY_MOST = 1023  # bytes of an object's name


class _FormRefusedError(Exception):
    """A refusal of the store: `args` are the HTTP status, the code and the message."""


def policy(request: httpx.Request, world: World, models: tuple[str, ...]) -> dict[str, Any]:
    """Answer GET /api/v1/uploads?action=getPolicy&model=..."""
    query = request.url.params
    if query.get("action") != "getPolicy":
        refuse_input("action: getPolicy is the one there is")
    model = query.get("model", "")
    if model not in models:
        refuse_input("Model not exist." if model else "model: missing")
    now = world.clock()
    folder = f"dashscope-instant/{_binding(model)}/{datetime.fromtimestamp(now, ZONE):%Y-%m-%d}/{uuid.uuid4()}"
    conditions = [
        ["content-length-range", 0, _MOST_MB << 20],
        ["starts-with", "$key", folder],
        {"x-oss-object-acl": "private"},
        {"x-oss-forbid-overwrite": "true"},
    ]
    stated = json.dumps({"expiration": utc(now + _SECONDS), "conditions": conditions}, separators=(",", ":"))
    encoded = base64.b64encode(stated.encode()).decode()
    return {
        "policy": encoded,
        "signature": _signature(encoded),
        "upload_dir": folder,
        "upload_host": f"{world.public_url}{PLACE}",
        "expire_in_seconds": _SECONDS,
        "max_file_size_mb": _MOST_MB,
        "capacity_limit_mb": 999999999,
        "oss_access_key_id": _ACCESS,
        "x_oss_object_acl": "private",
        "x_oss_forbid_overwrite": "true",
    }


def receive(request: httpx.Request, world: World) -> httpx.Response:
    """Answer the form POST: 200 or 204 without a body, as `success_action_status` asks; refusals are OSS's XML."""
    try:
        return _received(request, world)
    except _FormRefusedError as refused:
        return oss_refusal(*refused.args)


def stored(url: str, model: str, world: World) -> bytes | None:
    """Return what `oss://KEY` stands for in a call to `model`; None for another model's, an old or an unknown one."""
    key = url.removeprefix("oss://")
    file = world.file(_id(key))
    if file is None or file.provider != NAME or key.split("/")[1] != _binding(model):
        return None
    return None if world.clock() - file.created > _LIFETIME else world.blob(file.sha256)


def _received(request: httpx.Request, world: World) -> httpx.Response:
    if request.method != "POST":
        raise _FormRefusedError(405, "MethodNotAllowed", "The specified method is not allowed against this resource.")
    if "authorization" in request.headers:
        message = "The form carries its own signature; the API key must never be sent to the object store."
        raise _FormRefusedError(400, "InvalidArgument", message)
    fields, data = _form(request)
    _check_policy(fields, world)
    if len(data) > _MOST_MB << 20:
        raise _FormRefusedError(400, "EntityTooLarge", "Your proposed upload exceeds the maximum allowed size.")
    key, now = fields["key"], world.clock()
    earlier = world.file(_id(key))
    if earlier is not None and now - earlier.created <= _LIFETIME:
        message = "The object you specified already exists and can not be overwritten."
        raise _FormRefusedError(409, "FileAlreadyExists", message)
    sha256, name = world.keep(data), key.rpartition("/")[2]
    world.add_file(
        StoredFile(
            id=_id(key), provider=NAME, created=now, kind="temporary", mime="application/octet-stream", name=name,
            size=len(data), sha256=sha256,
        )
    )  # fmt: skip
    etag = hashlib.md5(data, usedforsecurity=False).hexdigest().upper()
    headers = {"ETag": f'"{etag}"', "x-oss-request-id": secrets.token_hex(12).upper()}
    return httpx.Response(200 if fields.get("success_action_status") == "200" else 204, headers=headers)


def _form(request: httpx.Request) -> tuple[dict[str, str], bytes]:
    """Return the fields and the file of a form that has all it must have, nothing else, and the file at its end."""
    try:
        parts = multipart.parts(request)
    except multipart.MalformedError as error:
        raise _FormRefusedError(400, "MalformedPOSTRequest", str(error)) from error
    if [part.name for part in parts].count("file") != 1 or parts[-1].name != "file":
        message = "The body of your POST request is not well-formed: one field `file`, the last of the form."
        raise _FormRefusedError(400, "MalformedPOSTRequest", message)
    fields: dict[str, str] = {}
    for part in parts[:-1]:
        if part.name in fields or not (part.name in _GIVEN or _ALSO.fullmatch(part.name.lower())):
            raise _FormRefusedError(400, "InvalidArgument", f"{part.name}: given twice, or no field of this form.")
        fields[part.name] = part.text
    missing = next((name for name in _GIVEN if name not in fields), None)
    if missing is not None:
        raise _FormRefusedError(400, "InvalidArgument", f"{missing}: the form must have it.")
    return fields, parts[-1].data


def _check_policy(fields: dict[str, str], world: World) -> None:
    if fields["OSSAccessKeyId"] != _ACCESS:
        message = "The OSS Access Key Id you provided does not exist in our records."
        raise _FormRefusedError(403, "InvalidAccessKeyId", message)
    if not hmac.compare_digest(_signature(fields["policy"]).encode(), fields["Signature"].encode()):
        message = "The request signature we calculated does not match the signature you provided."
        raise _FormRefusedError(403, "SignatureDoesNotMatch", message)
    stated = json.loads(base64.b64decode(fields["policy"]))  # signed here, so it is what `policy` made
    if utc(world.clock()) > stated["expiration"]:
        raise _FormRefusedError(403, "AccessDenied", "Invalid according to Policy: Policy expired.")
    folder = stated["conditions"][1][2]
    within = fields["key"].startswith(f"{folder}/") and fields["key"] != f"{folder}/"
    if not within or len(fields["key"].encode()) > _KEY_MOST:
        raise _FormRefusedError(403, "AccessDenied", _failed(["starts-with", "$key", folder]))
    for condition in stated["conditions"][2:]:
        ((name, value),) = condition.items()
        if fields[name] != value:
            raise _FormRefusedError(403, "AccessDenied", _failed(["eq", f"${name}", value]))


def _failed(condition: list[str]) -> str:
    return f"Invalid according to Policy: Policy Condition failed: {json.dumps(condition)}"


def _binding(model: str) -> str:
    """Return what stands in a key for the account and the model that its file is for."""
    return hashlib.sha256(f"{KEY}\n{model}".encode()).hexdigest()[:32]


def _id(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _signature(encoded: str) -> str:
    return base64.b64encode(hmac.digest(_SECRET, encoded.encode(), "sha1")).decode()
