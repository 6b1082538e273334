"""Two servers on real sockets, an API and a host of results: nothing secret of the first ever reaches the second.

Threats S1, S2 and S3 of reliability.md, for every provider that is built in; the sandbox's contracts answer as the API.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support_cli import Cli, drawn
from support_leaks import COOKIE, PROVIDERS, WORDS, Both, Came, Listening, clip

from wan_cli.config import account, load
from wan_cli.providers import load as adapter_of
from wan_cli.sandbox.transport import CONTRACTS
from wan_cli.sandbox.world import World

REDIRECTS = [301, 302, 303, 307, 308]


@pytest.fixture(params=PROVIDERS)
def both(request: pytest.FixtureRequest, cli: Cli, tmp_path: Path) -> Iterator[Both]:
    """Return both servers of a provider."""
    with Listening() as api, Listening() as host:
        world = World(
            tmp_path / "world", latency=0.0, public_url=f"http://localhost:{host.port}", draw=drawn, film=clip
        )
        made = Both(cli, api, host, world, request.param)
        api.answer, host.answer = made.api_answer, made.host_answer
        yield made


def test_threat_s1_nothing_secret_reaches_the_host_of_results(both: Both) -> None:
    """The second server, of another name and port, gets no key, cookie, idempotency key or client id."""
    ran = both.run("--json")
    assert ran.code == 0, ran.err
    assert both.world.purchases()
    assert len(both.host.came) == 1
    assert any(came.header("authorization") == f"Bearer {CONTRACTS[both.provider].KEY}" for came in both.api.came)
    for came in both.host.came:
        names = {name.lower() for name, _ in came.headers}
        assert names == {"host", "user-agent", "accept", "accept-encoding"}
        assert not any(secret in came.text for secret in both.secrets)


def test_threat_s1_no_cookie_goes_back_to_anybody(both: Both) -> None:
    """A cookie that the API or the host of results sets is never sent again, in the same run or the next."""
    assert both.run().code == 0
    assert both.run("--seed", "3").code in (0, 2)
    assert not any(came.header("cookie") for came in [*both.api.came, *both.host.came])


@pytest.mark.parametrize("status", REDIRECTS)
def test_threat_s2_n17_a_redirected_purchase_is_not_followed(both: Both, status: int) -> None:
    """Whatever the redirect, one POST was sent, nobody else was asked, nothing counts as bought: exit 3."""
    away = f"http://localhost:{both.host.port}/v1/images/generations"
    both.script["POST"] = [httpx.Response(status, headers={"Location": away, "Set-Cookie": COOKIE})]
    ran = both.run("--json")
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (3, "config_invalid", "no")
    assert "redirect" in ran.json["error"]["message"]
    assert [came.method for came in both.api.came] == ["POST"]
    assert not both.host.came
    assert not both.world.purchases()


@pytest.mark.parametrize(
    "location",
    [b"https:1.png", b"http://[", b"\x1b[2J", b"http://h:99999/", b"\xff\xfe", b"//", b"data:x", b"http://a b/"],
)
def test_threat_s2_n17_a_redirect_to_nowhere_is_one_purchase_too(cli: Cli, location: bytes) -> None:
    """A target that cannot be read is not taken for a request that was never sent: it is not sent again."""
    with Listening() as api:
        api.answer = lambda _: httpx.Response(302, headers=[(b"Location", location)])
        for provider in PROVIDERS:
            api.came.clear()
            name, suffix = provider.upper(), "/v1" if provider == "openai" else ""
            env = {
                f"{name}_BASE_URL": f"http://127.0.0.1:{api.port}{suffix}",
                f"{name}_API_KEY": CONTRACTS[provider].KEY,
            }
            ran = cli.run(*WORDS[provider], "--json", env=env)
            assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid"), ran.err
            assert len(api.came) == 1


def test_threat_s2_a_redirected_poll_is_not_followed(both: Both) -> None:
    """A poll that is sent elsewhere takes no key along; what was bought is still there to be collected."""
    away = {"Location": f"http://localhost:{both.host.port}/steal"}
    both.script["GET"] = [httpx.Response(302, headers=away)] * 200
    ran = both.run("--json", "--timeout", "5s")
    asked = [came for came in both.api.came if came.method == "GET"]
    if not asked:  # the provider answers a purchase with its result
        assert ran.code == 0
        return
    assert (ran.code, ran.json["error"]["charged"]) == (8, "yes")
    assert not both.host.came
    assert len([came for came in both.api.came if came.method == "POST"]) == 1


def test_threat_s2_a_redirect_of_a_result_carries_nothing(both: Both) -> None:
    """A result may move, and the third address gets no more than the second did."""
    moved: list[str] = []

    def answer(came: Came) -> httpx.Response:
        if not came.path.startswith("/moved"):
            moved.append(came.path)
            there = {"Location": f"http://127.0.0.1:{both.host.port}/moved{came.path}", "Set-Cookie": COOKIE}
            return httpx.Response(307, headers=there)
        came.path = came.path.removeprefix("/moved")
        return both.host_answer(came)

    both.host.answer = answer
    assert both.run().code == 0
    assert moved
    assert len(both.host.came) == 2
    assert not any(secret in came.text for came in both.host.came for secret in both.secrets)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_threat_s3_c04_a_project_cannot_move_a_key(cli: Cli, provider: str) -> None:
    """A checked-out project that names base URLs, keys or headers is refused before anything is sent."""
    with Listening() as thief:
        for line in (
            f'base_url = "http://127.0.0.1:{thief.port}"', f'[providers.{provider}]\nbase_url = "http://x"',
            f'[defaults]\nbase_url = "http://127.0.0.1:{thief.port}"', 'headers = { x = "y" }', 'key_env = "HOME"',
            'key_command = "touch stolen"', f'[providers.{provider}]\nkey_command = "touch stolen"',
            "allow_http = true",
            'proxy = "http://x"', 'ca_bundle = "x.pem"', 'state = "x"', "timeout = '1s'", '[prices."a/b"]\namount = 0',
            "[spend]\nask_above = '1CNY'", "[privacy]\nstore_prompts = true",
        ):  # fmt: skip
            cli.write("wan.toml", line + "\n")
            ran = cli.run(*WORDS[provider], "--json", env={f"{provider.upper()}_API_KEY": "canary-0123456789-canary"})
            assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid"), line
            assert "wan.toml" in ran.json["error"]["message"]
        assert not thief.came
    assert cli.files() == ["wan.toml"]


@pytest.mark.parametrize("name", [".env", ".netrc", "_netrc"])
def test_c13_c14_files_that_lie_around_are_not_read(cli: Cli, name: str) -> None:
    """Neither a ``.env`` nor a netrc, here or at home, brings a key, an address or a setting."""
    with Listening() as thief:
        text = (
            f"RIVYA_API_KEY=from-file-0123456789\nRIVYA_BASE_URL=http://127.0.0.1:{thief.port}\n"
            if name == ".env" else "machine 127.0.0.1 login u password netrc-canary-012345\n"
        )  # fmt: skip
        home = Path(cli.root / "home")
        home.mkdir(exist_ok=True)
        for folder in (cli.cwd, home):
            (folder / name).write_text(text)
            (folder / name).chmod(0o600)
        assert cli.run("generate", "x", "-p", "rivya").code == 3  # there is no key
        env = {"RIVYA_BASE_URL": f"http://127.0.0.1:{thief.port}", "RIVYA_API_KEY": "own-key-0123456789"}
        cli.run("generate", "x", "-p", "rivya", env=env)
        assert {came.header("authorization") for came in thief.came} == {"Bearer own-key-0123456789"}


SPELLINGS = [
    ("https://Relay.Example", "https://relay.example"), ("https://relay.example:443/", "https://relay.example"),
    ("HTTPS://relay.example:443/v1", "https://relay.example"), ("https://relay.example:", "https://relay.example"),
    ("https://relay.example:8443", "https://relay.example:8443"), ("http://127.0.0.1:80", "http://127.0.0.1"),
    ("https://[2606:4700::1]:443/relay", "https://[2606:4700::1]"),
    ("https://xn--bcher-kva.example", "https://xn--bcher-kva.example"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "origin"), SPELLINGS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_threat_s3_an_origin_has_one_spelling(tmp_path: Path, base: str, origin: str, provider: str) -> None:
    """However a base URL is written, key, adapter and request name its origin letter for letter alike."""
    key = f"{provider.upper()}_API_KEY"
    config = load({f"{provider.upper()}_BASE_URL": base, key: "canary-0123456789"}, tmp_path)
    found = account(provider, config)
    assert found.key is not None
    assert found.origin == found.key.origin == origin
    adapter = adapter_of(provider)(found.base_url, {})
    request = adapter.request("GET", "/x")
    assert adapter.origin == origin == f"{request.url.scheme}://{request.url.netloc.decode()}"
    assert found.secret() == "canary-0123456789"


@pytest.mark.parametrize(
    "base",
    ["https://u:p@h", "https://:p@h", "https://@h", "https://h\\@evil", "https://h\\.evil", "https://h\t.evil",
     "https://h?x",
     "https://h#x", "https://h/a b", "https://h:0", "https://h:65536", "https://h:-1", "https://h:x", "https://[::1",
     "https://[v1.x]", "https://[::1%25eth0]", "https://::1", "https://", "https:/h", "https:h", "//h", "h", "ftp://h",
     "https://a..b", "https://.a", "https://-a", "https://a-", "https://a;b", "https://xn--", "https://xn--a",
     "https://b\u00fccher.example",
     "https://\uff11\uff12\uff17.0.0.1", "https://h\u2028x", "https://" + "a" * 64, "https://" + "a." * 127 + "aa",
     "http://relay.example"],
)  # fmt: skip
def test_threat_s3_c05_a_base_url_that_parsers_read_differently_is_refused(cli: Cli, base: str) -> None:
    """A user name, a backslash, a bad port or host, another alphabet, plain http: 3 before anything is sent."""
    ran = cli.run("generate", "x", "-p", "rivya", env={"RIVYA_BASE_URL": base, "RIVYA_API_KEY": "canary-0123456789"})
    assert (ran.code, ran.said("charged")) == (3, "no")
    assert ran.said("error").startswith("the base URL from RIVYA_BASE_URL is")
    cli.config(f"[providers.rivya]\nbase_url = {json.dumps(base)}\nkey_env = 'MINE'\n")
    for command in (("generate", "x", "-p", "rivya"), ("auth", "list")):  # a bad one that is not used harms nobody
        ran = cli.run(*command, env={"MINE": "canary-0123456789"})
        assert ran.code == (0 if command[0] == "auth" else 3), ran.err
        assert "canary" not in ran.out + ran.err
    ran = cli.run(
        "generate", "x", "-p", "rivya", env={"MINE": "canary-0123456789", "RIVYA_BASE_URL": "https://other.example"}
    )
    assert ran.code == 3
