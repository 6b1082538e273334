"""LiteLLM between wan and the sandbox: its proxy, which is a server to wan and a client to the sandbox, and its SDK.

It takes minutes to install and half a gigabyte, so it is asked with ``WAN_PEERS=all`` only.
"""

from __future__ import annotations

import base64
import json
import subprocess
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support_installing import from_pypi_unlocked, large, program
from support_peers import Customer, Peer, free_port
from support_port import Server

pytestmark = [pytest.mark.peers, large("LiteLLM"), pytest.mark.timeout(900)]

VERSION = "1.106.2"
MASTER = "sk-peer-canary-0123456789abcdef"  # the one that a Customer has
QUIET = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "LITELLM_TELEMETRY": "False"}
START_S = 90.0
ORDER = '"POST /v1/images/generations HTTP'
PROGRAM = Path(__file__).with_name("litellm_program.py")


@pytest.fixture(scope="session")
def environment() -> Path:
    """Return the environment that LiteLLM is installed in."""
    return from_pypi_unlocked("litellm", f"litellm[proxy]=={VERSION}")


@pytest.fixture(scope="module")
def port() -> int:
    """Return the port at which the proxy looks for the sandbox."""
    return free_port()


@pytest.fixture(scope="module")
def proxy(environment: Path, port: int, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Peer]:
    """Return the proxy in front of that port; the model ``link`` it answers alone, with a link to nothing."""
    folder = tmp_path_factory.mktemp("litellm")
    upstream = {"api_base": f"http://127.0.0.1:{port}/openai/v1", "api_key": "sk-sandbox-openai"}
    models = [{"model_name": name, "litellm_params": {"model": f"openai/{name}", **upstream}} for name in MODELS]
    link = {"model": "openai/gpt-image-1", "api_key": "sk-none", "mock_response": f"http://127.0.0.1:{port}/none.png"}
    config = {
        "model_list": [*models, {"model_name": "link", "litellm_params": link}],
        "general_settings": {"master_key": MASTER},
        "litellm_settings": {"num_retries": 0, "telemetry": False},
        "router_settings": {"num_retries": 0},
    }
    (folder / "config.yaml").write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    words = ("--config", "config.yaml", "--port", "{port}", "--host", "127.0.0.1")
    with Peer((program(environment, "litellm"), *words), folder, start_s=START_S, **QUIET) as peer:
        yield peer


MODELS = ("gpt-image-1", "wan2.7-image")


@pytest.fixture
def wan(proxy: Peer, customer: Callable[[Peer], Customer]) -> Customer:
    """Return ``wan(*argv)``, a customer of the proxy."""
    return customer(proxy)


# The sandbox's fault, the model, wan's exit and error, and how many orders are charged in the end. LiteLLM leaves out
# the Retry-After of a 429, and turns a connection that broke after the order was sold into a 500. Before that it orders
# twice more by itself, by openai-python on which it stands, and no setting of 1.106.2 stops that for pictures: three
# charges for the one order that wan made.
ORDERS = [
    ((), "gpt-image-1", 0, "", 1),
    ((), "wan2.7-image", 0, "", 1),
    (("429:retry-after=1*1/submit",), "gpt-image-1", 0, "", 1),
    (("429/submit",), "gpt-image-1", 6, "rate_limited", 0),
    (("drop-after/submit",), "gpt-image-1", 9, "outcome_unknown", 3),
    (("500/submit",), "gpt-image-1", 9, "outcome_unknown", 0),
    (("moderation",), "gpt-image-1", 4, "request_rejected", 0),
    ((), "link", 10, "result_expired", 0),
    ((), "none", 4, "request_rejected", 0),
]


@pytest.mark.parametrize(("faults", "model", "code", "name", "sold"), ORDERS)
def test_orders_through_the_proxy(
    wan: Customer, port: int, tmp_path: Path, faults: tuple[str, ...], model: str, code: int, name: str, sold: int
) -> None:
    """What LiteLLM makes of a fault is read as what it is, and what may have been bought is asked for once."""
    before = wan.peer.said.count(ORDER)
    with Server(tmp_path / "port", *faults, port=port) as server:
        ran = wan("generate", "a paper crane", "-m", model, "-o", "crane.png")
        assert (ran.code, server.purchases) == (code, sold), ran
    assert (ran.json["error"] or {"code": ""})["code"] == name
    assert wan.machine.files() == (["crane.png"] if code == 0 else [])
    asked = wan.peer.said.count(ORDER) - before
    assert asked == 1 or name in {"", "rate_limited"}


def test_a_key_that_the_proxy_does_not_know(wan: Customer) -> None:
    """Without a database LiteLLM answers an unknown key with 400 ("No connected db."); nothing was bought."""
    ran = wan("generate", "a paper crane", "-o", "crane.png", OPENAI_API_KEY="sk-another")
    assert (ran.code, ran.json["error"]["charged"]) == (4, "no"), ran
    assert "No connected db." in ran.json["error"]["message"]


def sdk(environment: Path, server: Server, model: str, *, key: str, folder: Path) -> Any:
    """Run the SDK once and return what it says."""
    base = server.env["OPENAI_BASE_URL"]
    command = [program(environment, "python"), str(PROGRAM), base, key, model, "1024x1024", "a paper crane"]
    env = {"HOME": str(folder), **QUIET}
    ran = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout.splitlines()[-1])


def test_the_sdk(environment: Path, tmp_path: Path) -> None:
    """LiteLLM's image_generation takes the sandbox for OpenAI: one purchase; a wrong key is known as one."""
    with Server(tmp_path / "port") as server:
        made = sdk(environment, server, "gpt-image-1", key=server.env["OPENAI_API_KEY"], folder=tmp_path)
        said = sdk(environment, server, "gpt-image-1", key="sk-another", folder=tmp_path)
        assert server.purchases == 1
    assert [Image.open(BytesIO(base64.b64decode(one))).size for one in made["pictures"]] == [(1024, 1024)]
    assert (said["name"], said["status"]) == ("AuthenticationError", 401)
