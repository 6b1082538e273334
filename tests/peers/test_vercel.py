"""Vercel's AI SDK, as node programs use it, as a client of the sandbox's port; each purchase is counted.

It asks for ``response_format: b64_json`` whatever the server: self-hosted models take that, and OpenAI's own and the
resellers' refuse it, each in its own way (``contracts.md`` 2.2, 3.4 and 6.1), which is what the SDK has to see here.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support_cli import picture
from support_installing import from_npm
from support_port import Server

pytestmark = pytest.mark.peers

VERSION = "6.0.326"
COMPATIBLE = "@ai-sdk/openai-compatible@2.0.87"
PROGRAM = Path(__file__).with_name("vercel.mjs")
Ask = Callable[..., Any]


@pytest.fixture(scope="session")
def package() -> Path:
    """Return the folder that the SDK is installed in."""
    return from_npm("ai", VERSION, COMPATIBLE)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    """Return a sandbox that has sold nothing."""
    with Server(tmp_path / "port") as one:
        yield one


@pytest.fixture
def ask(package: Path, tmp_path: Path, server: Server) -> Ask:
    """Return ``ask(provider, **order)``: run the SDK once, and return what it says."""
    folder = tmp_path / "program"
    folder.mkdir()
    (folder / "node_modules").symlink_to(package / "node_modules")
    shutil.copy(PROGRAM, folder)

    def run(provider: str, server: Server = server, **order: Any) -> Any:
        base = server.env[f"{provider.upper()}_BASE_URL"].removesuffix("/v1") + "/v1"
        given = {"base": base, "key": server.env[f"{provider.upper()}_API_KEY"], **order}
        command = ["node", PROGRAM.name, json.dumps(given)]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=60)
        assert ran.returncode == 0, ran.stderr
        return json.loads(ran.stdout)

    return run


def sides(made: Any) -> list[tuple[str, tuple[int, int]]]:
    """Return format and size of each picture, as Pillow reads them."""
    opened = [Image.open(BytesIO(base64.b64decode(one["base64"]))) for one in made["pictures"]]
    assert [f"image/{str(one.format).lower()}" for one in opened] == [one["mediaType"] for one in made["pictures"]]
    return [(str(one.format), one.size) for one in opened]


def test_pictures(ask: Ask, server: Server) -> None:
    """The SDK gets the pictures it asked for, in its size, by one purchase."""
    made = ask("openai", model="wan2.7-image", prompt="a paper crane", n=2, size="640x480")
    assert sides(made) == [("PNG", (640, 480))] * 2
    assert server.purchases == 1


def test_an_edit(ask: Ask, server: Server) -> None:
    """Pictures in the prompt make it an edit: its multipart form is read, and one purchase counted."""
    given = [base64.b64encode(picture(64, 64)).decode()]
    made = ask("openai", model="wan2.7-image", prompt="make it blue", images=given, size="512x512")
    assert sides(made) == [("PNG", (512, 512))]
    assert server.purchases == 1


def test_a_limit(ask: Ask, tmp_path: Path) -> None:
    """The SDK sits out a 429 of the sandbox by itself; the picture is bought once."""
    with Server(tmp_path / "limited", "429:retry-after=0*1/submit") as limited:
        made = ask("openai", limited, model="wan2.7-image", prompt="a paper crane", size="512x512")
        assert sides(made) == [("PNG", (512, 512))]
        assert limited.purchases == 1


REFUSALS = [
    ("openai", {"model": "gpt-image-1"}, 400, "Unknown parameter: 'response_format'."),
    ("openai", {"model": "wan2.7-image", "key": "sk-another"}, 401, "Incorrect API key provided."),
    ("openai", {"model": "wan2.7-image", "prompt": "sandbox:moderation"}, 400, "safety system"),
    ("modelverse", {"model": "wan2.7-image"}, 400, "response_format: Extra inputs are not permitted"),
]


def test_refusals(ask: Ask, server: Server) -> None:
    """The SDK reads the message out of every envelope, repeats no refusal, and nothing was bought."""
    for provider, order, status, words in REFUSALS:
        said = ask(provider, **{"prompt": "a paper crane", "size": "1024x1024", **order})
        assert (said["name"], said["statusCode"], said["isRetryable"]) == ("AI_APICallError", status, False)
        assert words in said["message"]
    assert server.purchases == 0
