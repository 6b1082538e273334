"""The way to a host that an API names: where it may lead, and that nothing of the API's goes along."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any

import httpx
import pytest

from wan_cli.download import Elsewhere
from wan_cli.download.client import PINNED
from wan_cli.errors import ConfigInvalid, KeyOrigin
from wan_cli.models import LocalFile
from wan_cli.providers.bodies import form_for
from wan_cli.transport.client import AnswerLost, Api, Deadlines, NotSent

API = "https://api.example.com"
STORE = "https://store.example.com"
KEY = "sk-canary-0123456789"


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start without the proxies of the machine the tests run on."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def no_tls() -> ssl.SSLContext:
    """Fail: nothing in the test may need a certificate authority."""
    raise AssertionError


class Net(httpx.AsyncBaseTransport):
    """Stands for the network: notes what comes, and raises or answers in order."""

    def __init__(self, *steps: Any) -> None:
        self.steps = list(steps)
        self.seen: list[httpx.Request] = []
        self.bodies: list[bytes] = []
        self.closed = False

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        self.seen.append(request)
        self.bodies.append(await request.aread())
        step = self.steps.pop(0) if self.steps else 200
        if isinstance(step, Exception):
            raise step
        return httpx.Response(step)

    async def aclose(self) -> None:
        self.closed = True


def way(net: Net, *answers: Sequence[str] | OSError, api: str = API) -> Elsewhere:
    """Return the way, over ``net``, with what the look-ups of names answer."""
    left = list(answers)

    async def resolve(_host: str, _port: int) -> Sequence[str]:
        found = left.pop(0)
        if isinstance(found, OSError):
            raise found
        return found

    made = Elsewhere(api, no_tls, resolve=resolve)
    made._route = net  # type: ignore[assignment] # what sends is tested with downloads
    return made


def ask(made: Elsewhere, url: str = f"{STORE}/") -> httpx.Response:
    """Send one request."""
    return asyncio.run(made.handle_async_request(httpx.Request("POST", url, content=b"file")))


def test_it_connects_to_the_address_that_was_checked() -> None:
    """The name is resolved once; the request goes to that address under the host's name, body and all."""
    net = Net()
    assert ask(way(net, ["8.8.8.8"])).status_code == 200
    (request,) = net.seen
    assert (str(request.url), request.headers["host"], request.extensions[PINNED]) == (
        "https://8.8.8.8/", "store.example.com", "store.example.com",
    )  # fmt: skip
    assert net.bodies == [b"file"]
    assert "authorization" not in request.headers


def test_another_address_is_tried_where_one_refuses() -> None:
    """IPv6 may lead nowhere; where all refuse, the last refusal is told."""
    net = Net(httpx.ConnectError("no route"), 201)
    assert ask(way(net, ["2606:4700::1111", "1.1.1.1"])).status_code == 201
    assert [request.url.host for request in net.seen] == ["2606:4700::1111", "1.1.1.1"]
    with pytest.raises(httpx.ConnectError, match="no route"):
        ask(way(Net(httpx.ConnectError("no route")), ["1.1.1.1"]))


def test_a_certificate_that_is_not_trusted_ends_it() -> None:
    """No other address would mend that."""
    error = httpx.ConnectError("bad")
    error.__cause__ = ssl.SSLCertVerificationError("bad")
    net = Net(error)
    with pytest.raises(httpx.ConnectError):
        ask(way(net, ["8.8.8.8", "1.1.1.1"]))
    assert len(net.seen) == 1


@pytest.mark.parametrize(("url", "answers"), [
    ("http://store.example.com/", ()), ("https://127.0.0.1/", ()), ("https://localhost/", ()),
    ("https://store.example.com:8443/", ()), ("https://a@store.example.com/", ()), ("https://10.1.2.3/", ()),
    (f"{STORE}/", (["10.0.0.1"],)), (f"{STORE}/", (["8.8.8.8", "169.254.169.254"],)),
])  # fmt: skip
def test_what_is_not_public_gets_nothing(url: str, answers: tuple[Any, ...]) -> None:
    """The rules of results hold: https, port 443, public addresses only, by name and by look-up."""
    net = Net()
    with pytest.raises(ConfigInvalid, match="names for uploads"):
        ask(way(net, *answers), url)
    assert net.seen == []


def test_a_local_api_may_name_a_local_store() -> None:
    """Where the API's own origin is loopback, a store on loopback is taken as it is named."""
    net = Net()
    assert ask(way(net, api="http://127.0.0.1:8000"), "http://127.0.0.1:9000/x").status_code == 200
    assert str(net.seen[0].url) == "http://127.0.0.1:9000/x"


def test_a_name_that_does_not_resolve_is_no_connection() -> None:
    """It may do so later: an error of the network."""
    with pytest.raises(httpx.ConnectError, match="cannot be found"):
        ask(way(Net(), OSError("no such name")))


def test_behind_a_proxy_the_name_is_not_resolved_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy does that; what is private by its spelling is refused all the same."""
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    net = Net()
    ask(way(net))
    assert net.seen[0].url.host == "store.example.com"
    with pytest.raises(ConfigInvalid):
        ask(way(Net()), "https://10.0.0.1/")


def test_closing_closes_its_connections() -> None:
    """The API's client closes it with its own."""
    net = Net()
    asyncio.run(way(net).aclose())
    assert net.closed


@pytest.fixture
def form(tmp_path: Any) -> httpx.Request:
    """Return a form with a file that goes elsewhere."""
    path = tmp_path / "a.bin"
    path.write_bytes(b"abc")
    sha = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    file = LocalFile(path=str(path), sha256=sha, size=3, mime="video/mp4")
    extensions = {"form": form_for(file, {"key": "k"}), "elsewhere": True}
    return httpx.Request("POST", f"{STORE}/", extensions=extensions)


def client(net: Net | None, **parts: Any) -> Api:
    """Return the API's client with that way out."""
    way_out = None if net is None else lambda: net
    return Api(API, lambda: KEY, elsewhere=way_out, deadlines=Deadlines(connect=1, upload_total=5), **parts)


async def sent(api: Api, request: httpx.Request) -> httpx.Response:
    """Send one request, and close the client."""
    try:
        return await api.send(request)
    finally:
        await api.close()


def test_a_form_goes_elsewhere_without_the_key(form: httpx.Request) -> None:
    """Neither header nor body holds it, and the way is closed with the client."""
    net = Net()
    assert asyncio.run(sent(client(net), form)).status_code == 200
    (request,) = net.seen
    assert str(request.url) == f"{STORE}/"
    assert "authorization" not in request.headers
    assert KEY.encode() not in net.bodies[0]
    assert net.bodies[0].index(b'name="key"') < net.bodies[0].index(b'name="file"')
    assert net.closed


def test_nothing_else_goes_elsewhere(form: httpx.Request) -> None:
    """A request to another origin that is no such form is refused, and so is the form where there is no way out."""
    with pytest.raises(KeyOrigin):
        asyncio.run(sent(client(Net()), httpx.Request("POST", f"{STORE}/")))
    with pytest.raises(KeyOrigin):
        asyncio.run(sent(client(None), form))


def test_a_replaced_network_takes_forms_too(form: httpx.Request) -> None:
    """The sandbox and tests have one transport for everything."""
    net = Net()
    asyncio.run(sent(client(None, transport=net), form))
    assert "authorization" not in net.seen[0].headers


@pytest.mark.parametrize(("error", "kind"), [
    (httpx.ConnectError("refused"), NotSent), (httpx.ConnectTimeout("slow"), NotSent),
    (httpx.ReadError("reset"), NotSent),
])  # fmt: skip
def test_what_fails_elsewhere_names_that_host(form: httpx.Request, error: Exception, kind: type[Exception]) -> None:
    """Not the API is out of reach but the store."""
    with pytest.raises(kind) as caught:
        asyncio.run(sent(client(Net(error)), form))
    assert isinstance(caught.value, NotSent)
    assert STORE in caught.value.error.message


def test_a_lost_answer_of_the_store_is_told(form: httpx.Request) -> None:
    """With a transport that does not tell when a request left, it may have arrived."""
    with pytest.raises(AnswerLost):
        asyncio.run(sent(client(None, transport=Net(httpx.ReadError("reset"))), form))
