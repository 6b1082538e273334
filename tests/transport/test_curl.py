"""``--dry-run``'s curl command, run by a shell against a server on loopback."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes
from email.policy import HTTP
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from support_adapter import adapter, job

from wan_cli.cli.curl import as_curl, as_data
from wan_cli.models import LocalFile, Media, Pending

PROMPT = 'say "hi" it\'s $HOME `id` \\n $(id) @x 猫\nWAN\n<data:image/png;sha256=0> \\\\ ! %41 {a,b}[1-2]'
KEY = "canary-key-0123456789"


@dataclass
class Heard:
    """What the server was sent."""

    url: str
    method: str = ""
    path: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""


@pytest.fixture
def heard() -> Iterator[Heard]:
    """Return what one request brings."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            found.method, found.path = self.command, self.path
            found.headers = {name.lower(): value for name, value in self.headers.items()}
            found.body = self.rfile.read(int(self.headers.get("content-length", 0)))
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.005,), daemon=True)
    thread.start()
    found = Heard(f"http://127.0.0.1:{server.server_address[1]}")
    yield found
    server.shutdown()
    server.server_close()
    thread.join()


def run(command: str, name: str) -> None:
    """Run the command as a user would, with the key in the environment."""
    if shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    environment = {"PATH": "/usr/bin:/bin", "HOME": "/nowhere", name: KEY}
    done = subprocess.run(["sh", "-c", command], env=environment, capture_output=True, timeout=20, check=False)
    assert done.returncode == 0, done.stderr


def stored(path: Path, size: int) -> LocalFile:
    path.write_bytes(hashlib.shake_128(b"x").digest(size))
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    return LocalFile(path=str(path), sha256=sha256, size=size, mime="image/png")


def test_a_plain_request_arrives_as_it_would_be_sent(heard: Heard) -> None:
    """Quotes, dollars, backticks and line ends of a prompt reach the provider untouched; the key is the variable's."""
    request = next(adapter("rivya", heard.url).submit(job(prompt=PROMPT, params={"x": "@f"}), token="t-1"))
    command = as_curl(request, "RIVYA_API_KEY")
    assert KEY not in command
    run(command, "RIVYA_API_KEY")
    assert (heard.method, heard.path) == ("POST", "/api/v1/generations")
    assert heard.body == request.content
    assert heard.headers["authorization"] == f"Bearer {KEY}"
    assert heard.headers["content-type"] == "application/json"
    assert heard.headers["idempotency-key"] == "t-1"


def test_a_poll_is_a_get(heard: Heard) -> None:
    """A request without a body is sent without one."""
    request = next(adapter("modelverse", heard.url).poll(Pending(task_id="a b&c")))
    run(as_curl(request, "MODELVERSE_API_KEY"), "MODELVERSE_API_KEY")
    assert (heard.method, heard.path, heard.body) == ("GET", "/v1/tasks/status?task_id=a+b%26c", b"")


@pytest.mark.parametrize("raw", [False, True])
def test_pictures_are_encoded_by_the_shell(heard: Heard, tmp_path: Path, raw: bool) -> None:
    """The body of the command is the body that wan would send, picture and all; a prompt stays a prompt."""
    file, other = stored(tmp_path / "it's a $fox.png", 200_000), stored(tmp_path / "owl.png", 4)
    media = tuple(Media(role="reference", kind="image", file=item) for item in (file, other, file))
    made = adapter("modelverse", heard.url, image_encoding="raw" if raw else "data-uri")
    mark = made._embedded(media[0]).placeholder  # type: ignore[attr-defined]
    request = next(made.submit(job("modelverse", verb="fuse", prompt=f"{PROMPT} {mark} x", media=media), token="t"))
    run(as_curl(request, "MODELVERSE_API_KEY"), "MODELVERSE_API_KEY")
    head = "" if raw else "data:image/png;base64,"
    texts = [head + base64.b64encode(Path(item.path).read_bytes()).decode() for item in (file, other, file)]
    assert json.loads(heard.body)["input"] == {"prompt": f"{PROMPT} {mark} x", "images": texts}


@pytest.mark.parametrize("name", ["fox.png", "a;b,c.png", 'q"uo\\te.png', "it's.png"])
def test_an_upload_is_a_form(heard: Heard, tmp_path: Path, name: str) -> None:
    """Fields and file arrive whatever the file is called, and no value is taken for a file's name."""
    file = stored(tmp_path / name, 1000)
    request = next(adapter("rivya", heard.url).upload(file, model="@/etc/hostname", trace="<x"))
    run(as_curl(request, "RIVYA_API_KEY"), "RIVYA_API_KEY")
    head = f"Content-Type: {heard.headers['content-type']}\r\n\r\n".encode()
    kind, model, trace, sent = message_from_bytes(head + heard.body, policy=HTTP).iter_parts()
    values = [part.get_payload(decode=True) for part in (kind, model, trace)]
    assert values == [b"image", b"@/etc/hostname", b"<x"]
    assert sent.get_content_type() == "image/png"
    assert sent.get_payload(decode=True) == Path(file.path).read_bytes()


def test_the_same_request_as_data(tmp_path: Path) -> None:
    """``--json`` has method, address, headers and body, with the variable for the key and marks for files."""
    request = next(adapter("rivya").submit(job(), token="t"))
    data = as_data(request, "rivya", "RIVYA_API_KEY")
    assert data["headers"] == {"Authorization": "Bearer $RIVYA_API_KEY", "Accept": "application/json",
                               "Content-Type": "application/json", "Idempotency-Key": "t"}  # fmt: skip
    assert (data["provider"], data["method"], data["url"]) == ("rivya", "POST", "https://rivya.ai/api/v1/generations")
    assert data["body"]["prompt"] == "a fox"
    assert data["curl"].startswith("curl ")
    upload = next(adapter("rivya").upload(stored(tmp_path / "a.png", 3), model="m", trace="t"))
    assert as_data(upload, "rivya", "K")["body"]["file"] == f"<file:{tmp_path / 'a.png'}>"
    poll = next(adapter("rivya").poll(Pending(task_id="x")))
    assert as_data(poll, "rivya", "K")["body"] is None
