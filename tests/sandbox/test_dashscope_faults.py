"""Faults around DashScope's contract, in the process; and where the port serves it."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from PIL import Image
from support_cli import drawn
from support_dashscope import ASYNC, CLIP, ENABLED, RESOLVED, START, SYNC, UUID, VIDEO, Sandbox, media, png, refused

from wan_cli.sandbox import dashscope, modelverse
from wan_cli.sandbox.faults import parse_all
from wan_cli.sandbox.port import Port, exports
from wan_cli.sandbox.transport import InProcess
from wan_cli.sandbox.world import World

if TYPE_CHECKING:
    from pathlib import Path

HOST = "https://dashscope.aliyuncs.com/api/v1"
KEYED = {"Authorization": f"Bearer {dashscope.KEY}"}
TEXT = {"model": "wan2.7-image", "input": {"messages": [{"role": "user", "content": [{"text": "a fox"}]}]}}
SOME = {**TEXT, "parameters": {"n": 3, "size": "1024*768"}}


class Client:
    """Asks a world through the transport, with faults, as a client would."""

    def __init__(self, folder: Path) -> None:
        self.world = World(folder, clock=lambda: START, latency=0, draw=drawn, film=lambda *_, **__: b"film")

    def __call__(self, method: str, url: str, *faults: str, **parts: Any) -> httpx.Response:
        headers = parts.pop("headers", KEYED)

        async def send() -> httpx.Response:
            transport = InProcess(self.world, "dashscope", faults=parse_all(faults))
            async with httpx.AsyncClient(transport=transport) as client:
                return await client.request(method, url, headers=headers, **parts)

        return asyncio.run(send())

    def order(self, path: str, body: Any, *faults: str) -> httpx.Response:
        """Post an order with the headers its endpoint needs."""
        headers = KEYED | RESOLVED | ({} if path == SYNC else ENABLED)
        return self(
            "POST", f"{HOST}{path}", *faults, json=body, headers=headers
        )  # fmt: skip

    def task(self, response: httpx.Response) -> dict[str, Any]:
        """Return the task that an order began."""
        found: dict[str, Any] = self("GET", f"{HOST}/tasks/{response.json()['output']['task_id']}").json()
        return found

    def form(self) -> tuple[str, dict[str, Any]]:
        """Return where a file is posted to, and the whole form."""
        query = {"action": "getPolicy", "model": "wan2.7-image"}
        policy = self("GET", f"{HOST}/uploads", params=query).json()["data"]
        fields = Sandbox.form(Sandbox(self.world.folder), policy)
        files = {**{name: (None, value) for name, value in fields.items()}, "file": ("a.png", png(300, 300))}
        return policy["upload_host"], {"files": files, "headers": {}}


@pytest.fixture
def client(tmp_path: Path) -> Client:
    """Return a client of a fresh world."""
    return Client(tmp_path)


@pytest.mark.parametrize(
    ("fault", "status", "code"), [("429:retry-after=2", 429, "Throttling.RateQuota"), ("500", 500, "InternalError")]
)
def test_flat_refusals(client: Client, fault: str, status: int, code: str) -> None:
    """429 and 500 are flat here, wherever they strike; nothing is charged."""
    for path, body in ((SYNC, TEXT), (ASYNC, TEXT), (VIDEO, {"model": "wan2.7-t2v", "input": {"prompt": "p"}})):
        response = client.order(path, body, fault)
        refused(response, status, code)
        assert response.headers.get("retry-after") == ("2" if status == 429 else None)
    refused(client("GET", f"{HOST}/tasks/x", fault), status, code)
    assert client.world.purchases() == []


def test_places(client: Client) -> None:
    """A policy and its form are uploads; a task, the list and taking one back are polls."""
    query = {"action": "getPolicy", "model": "wan2.7-image"}
    assert client("GET", f"{HOST}/uploads", "500/upload", params=query).status_code == 500
    assert client("GET", f"{HOST}/uploads", "500/poll", "500/submit", params=query).status_code == 200
    url, form = client.form()
    response = client("POST", url, "429/upload", **form)
    assert (response.status_code, response.headers["content-type"]) == (429, "application/xml")
    with pytest.raises(httpx.ReadError):
        client("POST", url, "drop-after*1/upload", **form)
    assert "FileAlreadyExists" in client("POST", url, "500/download", "500/submit", **form).text
    for method_path in ("GET /tasks/x", "GET /tasks", "POST /tasks/x/cancel"):
        method, path = method_path.split()
        assert client(method, f"{HOST}{path}", "500/poll").status_code == 500
        assert client(method, f"{HOST}{path}", "500/submit", "500/upload").status_code < 500


@pytest.mark.parametrize("path", [SYNC, ASYNC])
def test_pictures_are_steered(client: Client, path: str) -> None:
    """Moderation refuses and failure fails, through the text of a message."""
    refused(client.order(path, TEXT, "moderation"), 400, "DataInspectionFailed")
    assert client.world.purchases() == []
    response = client.order(path, TEXT, "fail")
    if path == SYNC:
        refused(response, 400, "InvalidParameter")
    else:
        assert client.task(response)["output"]["task_status"] == "FAILED"


@pytest.mark.parametrize("said", [{"prompt": "p"}, {}])
def test_videos_are_steered(client: Client, said: dict[str, str]) -> None:
    """A video's prompt is replaced, and one that has none gets it."""
    order = {"model": "wan2.7-i2v", "input": {**said, "media": media(first_clip=CLIP)}}
    refused(client.order(VIDEO, order, "moderation"), 400, "DataInspectionFailed")
    assert client.task(client.order(VIDEO, order, "fail"))["output"]["code"] == "InternalError.Algo"


@pytest.mark.parametrize(
    "body", [{"input": {"messages": ["x", {"content": "x"}, {"content": ["x", {"text": 1}]}]}}, {"input": {"media": 1}}]
)
def test_malformed_orders_are_refused_as_ever(client: Client, body: dict[str, Any]) -> None:
    """What has no text to steer is left to the contract."""
    assert client.order(SYNC, {"model": "wan2.7-image", **body}, "moderation").json()["code"] == "InvalidParameter"


def test_fewer_and_smaller(client: Client) -> None:
    """Charged with one picture fewer, or with sides half as long; the receipt says what came."""
    answer = client.order(SYNC, SOME, "k-of-n").json()
    assert (len(answer["output"]["choices"]), answer["usage"]["image_count"]) == (2, 2)
    assert client.order(SYNC, SOME, "wrong-size").json()["usage"]["size"] == "512*384"
    film = {"model": "wan2.7-t2v", "input": {"prompt": "p"}, "parameters": {"resolution": "720P"}}
    task = client.task(client.order(VIDEO, film, "wrong-size"))
    assert (task["output"]["task_status"], task["usage"]["SR"]) == ("SUCCEEDED", 720)
    (clip,) = client.world.tasks("dashscope")[0].clips
    assert (clip.width, clip.height) == (640, 360)


def test_a_video_of_another_providers_size(client: Client) -> None:
    """Modelverse, too, has a receipt for a video of sides that no tier has."""
    headers, body = {"Authorization": f"Bearer {modelverse.KEY}"}, {"model": "wan2.7-t2v", "input": {"prompt": "p"}}
    order = httpx.Request("POST", "https://api.modelverse.cn/v1/tasks/submit", json=body, headers=headers)

    async def ask(request: httpx.Request, *faults: str) -> Any:
        transport = InProcess(client.world, "modelverse", faults=parse_all(faults))
        async with httpx.AsyncClient(transport=transport) as http:
            return (await asyncio.wait_for(http.send(request), 10)).json()

    task_id = asyncio.run(ask(order, "wrong-size"))["output"]["task_id"]
    url = f"https://api.modelverse.cn/v1/tasks/status?task_id={task_id}"
    usage = asyncio.run(ask(httpx.Request("GET", url, headers=headers)))["usage"]
    assert (usage["ratio"], usage["video_count"]) == ("16:9", 1)


def test_downloads(client: Client) -> None:
    """A result may be another format, gone, or a page; what an order answers is left alone by these."""
    link = client.order(SYNC, SOME, "jpeg-as-png", "expired-url").json()["output"]["choices"][0]["message"]
    url = link["content"][0]["image"]
    assert Image.open(io.BytesIO(client("GET", url).content)).size == (1024, 768)
    assert Image.open(io.BytesIO(client("GET", url, "jpeg-as-png").content)).format == "JPEG"
    assert "Request has expired" in client("GET", url, "expired-url").text
    assert client("GET", url, "html").text.startswith("<!doctype html>")
    with pytest.raises(httpx.RemoteProtocolError):
        client("GET", url, "truncate")


# -- on the port


def visit(port: Port, method: str, path: str, body: bytes = b"", **headers: str) -> httpx.Response:
    """Ask the application as a server would."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body}

    async def send(message: Any) -> None:
        sent.append(message)

    where, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "raw_path": where.encode(), "query_string": query.encode(), "client": None,
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(port(scope, receive, send))
    return httpx.Response(sent[0]["status"], headers=sent[0]["headers"], content=sent[1]["body"])


@pytest.fixture
def port(tmp_path: Path) -> Port:
    """Return the application."""
    return Port(tmp_path, "http://127.0.0.1:8484", hang_up=lambda _: None)


@pytest.mark.parametrize("base", ["/dashscope", "/alibailian", "/wan", "/dashscope/alibailian", "/dashscope/wan"])
def test_the_port_serves_it(port: Port, base: str) -> None:
    """DashScope answers below its name and below the relays' prefixes, which are described as it is."""
    answer = visit(port, "GET", f"{base}/api/v1/tasks/none", authorization=KEYED["Authorization"])
    assert answer.json()["output"] == {"task_id": "none", "task_status": "UNKNOWN"}
    assert UUID.fullmatch(answer.json()["request_id"])
    refused(visit(port, "GET", f"{base}/api/v1/tasks/none"), 401, "InvalidApiKey")
    if base.count("/") == 1:
        assert visit(port, "GET", f"{base}/openapi.json").json()["info"]["title"].startswith("DashScope")


def test_the_port_takes_forms(port: Port) -> None:
    """Files are posted where the policy says, on the host that the client used."""
    path = "/dashscope/api/v1/uploads?action=getPolicy&model=wan2.7-i2v"
    policy = visit(port, "GET", path, authorization=KEYED["Authorization"], host="sandbox:9").json()["data"]
    assert policy["upload_host"] == "http://sandbox:9/oss"
    assert b"MalformedPOSTRequest" in visit(port, "POST", "/oss", b"x", host="sandbox:9").content


def test_what_a_shell_is_told() -> None:
    """The lines for a shell name DashScope's base URL and its test key."""
    lines = exports("http://127.0.0.1:8484")
    assert "export DASHSCOPE_BASE_URL=http://127.0.0.1:8484/dashscope" in lines
    assert f"export DASHSCOPE_API_KEY={dashscope.KEY}" in lines
