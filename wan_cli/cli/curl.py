"""A request as a curl command that can be run, with the key as its environment variable (``--dry-run``)."""

from __future__ import annotations

import json
import shlex
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

_SKIPPED = frozenset({"host", "content-length", "accept-encoding", "connection", "user-agent"})


def as_data(request: httpx.Request, provider: str, key_env: str) -> dict[str, Any]:
    """Return the request as data: method, url, headers, and the body with placeholders for pictures.

    ``key_env`` names the key's variable; it is empty where the server asks for no key.
    """
    form = request.extensions.get("form")
    body: Any = json.loads(request.content) if request.content else None
    if form is not None:
        files: dict[str, list[str]] = {}
        for name, file in form.files:
            files.setdefault(name, []).append(f"<file:{file.path}>")
        body = {**form.fields, **{name: one if len(one) > 1 else one[0] for name, one in files.items()}}
    return {
        "provider": provider,
        "method": request.method,
        "url": str(request.url),
        "headers": {**({"Authorization": f"Bearer ${key_env}"} if key_env else {}), **_headers(request)},
        "body": body,
        "curl": as_curl(request, key_env),
    }


def as_curl(request: httpx.Request, key_env: str) -> str:
    """Return the command. Pictures inside a JSON body are encoded by the shell that runs it."""
    words = [f"curl --fail-with-body -X {request.method} {shlex.quote(str(request.url))}"]
    if key_env:
        words.append(f'-H "Authorization: Bearer ${key_env}"')
    words += [f"-H {shlex.quote(f'{name}: {value}')}" for name, value in _headers(request).items()]
    form, embedded = request.extensions.get("form"), request.extensions.get("embedded", ())
    after = ""
    if form is not None:
        words += [f"--form-string {shlex.quote(f'{name}={value}')}" for name, value in form.fields.items()]
        words += [f"-F {shlex.quote(f'{name}=@{_quoted(file.path)};type={file.mime}')}" for name, file in form.files]
    elif embedded:
        words.append("--data-binary @- <<WAN")
        after = "\n" + _here(_printable(request.content.decode()), embedded) + "\nWAN"
    elif request.content:
        words.append(f"--data-binary {shlex.quote(_printable(request.content.decode()))}")
    return " \\\n  ".join(words) + after


def _printable(body: str) -> str:
    """Spell what no eye sees, and what a CI runner would obey, as JSON may: it means the same to the server."""
    text = "".join(char if char.isprintable() else json.dumps(char)[1:-1] for char in body)
    return text.replace("##", "#\\u0023")


def _headers(request: httpx.Request) -> dict[str, str]:
    named = {
        "content-type": "Content-Type", "accept": "Accept", "idempotency-key": "Idempotency-Key",
        "x-dashscope-async": "X-DashScope-Async", "x-dashscope-ossresourceresolve": "X-DashScope-OssResourceResolve",
    }  # fmt: skip
    return {named.get(k, k): v for k, v in request.headers.items() if k not in _SKIPPED}


def _quoted(path: str) -> str:
    """Quote a path for ``-F``, where a comma or a semicolon would end it."""
    return '"' + path.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _here(text: str, embedded: Any) -> str:
    """Quote a body for a here-document: a picture may be larger than an argument is allowed to be."""
    for char in "\\$`":
        text = text.replace(char, "\\" + char)
    for item in embedded:
        head = "" if item.raw else f"data:{item.file.mime};base64,"
        encoded = f"{head}$(base64 < {shlex.quote(item.file.path)} | tr -d '\\n')"
        text = text.replace(f'"{item.placeholder}"', f'"{encoded}"')
    return text
