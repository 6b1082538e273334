"""Threats of reliability.md 2.4 that need a hostile project, file, server or neighbour."""

from __future__ import annotations

import ast
import asyncio
import gzip
import json
import os
import ssl
import stat
import struct
import time
import zlib
from pathlib import Path
from typing import Any

import httpx
import pytest
from support_cli import Cli, picture
from support_leaks import Listening
from support_provider import Order, Say

import wan_cli
from wan_cli.download import Fetcher
from wan_cli.download.address import Hop, Rules, connectable
from wan_cli.errors import DownloadFailed
from wan_cli.models import Output
from wan_cli.publish import Part
from wan_cli.transport.client import tls_context

RV, MV = ("generate", "a fox", "-p", "rivya"), ("generate", "a fox", "-p", "modelverse")
PACKAGE = Path(wan_cli.__file__).parent


# -- a hostile project ---------------------------------------------------------------------------------------------


def test_threat_s4_c07_nothing_is_expanded(live: Cli) -> None:
    """Variables, commands and templates of a project file or a prompt reach the provider letter for letter."""
    text = "${RIVYA_API_KEY} $RIVYA_API_KEY $(id) `id` {{env.HOME}} %RIVYA_API_KEY% ~ ~root !ls \\x41 ${{ secrets.X }}"
    live.write("wan.toml", f'model = {json.dumps(text)}\nprovider = "rivya"\n')
    assert live.run("generate", text, "--param", f"note={text}", "-o", "fox.png", "--allow-unknown-cost").code == 0
    (sent,) = live.provider.asked("submit")
    assert (sent.json["prompt"], sent.json["model"], sent.json["params"]["note"]) == (text, text, text)


@pytest.mark.parametrize("name", ["$HOME", "~", "~root", "$(id)"])
def test_threat_s4_a_name_is_not_expanded_either(live: Cli, name: str) -> None:
    """A folder of a project's output is the one that is written there, below the project."""
    live.write("wan.toml", f'output = "./{name}/x/fox.png"\n')
    assert live.run(*RV).code == 0
    assert set(live.files()) == {f"{name}/x/fox.png", "wan.toml"}


@pytest.mark.parametrize("target", ["out/fox.png", "out/{id}{ext}", "out/deep/{slug}{ext}", "out/{model}/{id}{ext}"])
def test_threat_s5_s6_a_projects_links_lead_nowhere(live: Cli, tmp_path: Path, target: str) -> None:
    """A link in a checked-out project does not carry a result out of it; ``-o`` may go where the user wants."""
    outside = tmp_path / "outside"
    outside.mkdir()
    if "{model}" in target:
        (live.cwd / "out").mkdir()
        (live.cwd / "out" / "wan2.7-image").symlink_to(outside)
    else:
        (live.cwd / "out").symlink_to(outside)
    live.write("wan.toml", f'output = "{target}"\n')
    ran = live.run(*RV, "--json")
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (3, "config_invalid", "no")
    assert live.provider.purchases == 0
    assert list(outside.iterdir()) == []
    assert live.run(*RV, "-o", "out/mine.png" if "{model}" not in target else "mine.png").code == 0


@pytest.mark.parametrize(
    "output", ["../x.png", "/tmp/x.png", "a/../../x.png", "~/x.png", "C:/x.png", "..\\x.png", "\\\\h\\x"]
)
def test_threat_s5_s6_a_projects_output_stays_below_it(live: Cli, output: str) -> None:
    """What leaves the project's folder by its words is refused before anything is sent."""
    live.write("wan.toml", f"output = {json.dumps(output)}\n")
    assert live.run(*RV).code == 3
    assert live.provider.purchases == 0


@pytest.mark.parametrize("kind", ["fifo", "device", "folder", "dangling", "password", "svg", "loop", "socketless"])
def test_threat_s5_only_a_picture_is_read_as_one(live: Cli, kind: str) -> None:
    """A pipe, a device, a folder, a link to nothing or a text called a picture is never sent, nor waited for."""
    path = live.cwd / "ref.png"
    match kind:
        case "fifo":
            os.mkfifo(path)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "dangling":
            path.symlink_to("/nowhere/x.png")
        case "password":
            path.symlink_to("/etc/passwd")
        case "svg":
            path.write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
        case "loop":
            path.symlink_to(path)
        case _:
            path.write_bytes(b"")
    for provider in ("rivya", "modelverse"):
        ran = live.run("edit", "ref.png", "make it blue", "-p", provider, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (2, "file_invalid")
    assert live.provider.seen == []


def test_threat_s22_a_project_file_cannot_hold_wan_up(live: Cli) -> None:
    """Nesting without end, a number without end, a huge file, names given twice: refused at once, as configuration."""
    began = time.monotonic()
    for text in (
        "a = " + "[" * 100_000, "a = " + "{x = " * 50_000, "model = 'x'\nmodel = 'y'\n", "# " + "x" * 2_000_000,
        "jobs = " + "9" * 10_000, "jobs = nan\n", "jobs = inf\n", "jobs = -1\n", "jobs = 65\n", "[[asset]]\nid = 'x'\n",
    ):  # fmt: skip
        live.write("wan.toml", text)
        ran = live.run(*RV, "--json")
        assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid"), text[:40]
    assert time.monotonic() - began < 10
    assert live.provider.seen == []


# -- hostile names and neighbours ----------------------------------------------------------------------------------


def test_threat_s6_no_server_names_a_file(live: Cli) -> None:
    """Neither an address nor ``Content-Disposition`` nor a media type gives a name, a folder or an extension."""
    order_urls = "/results/task_1/1.png?x=..%2F..%2F.bashrc#/etc/cron.d/x.sh"
    poll = {
        "id": "task_1",
        "status": "succeeded",
        "final_credits": 5,
        "result": {"urls": [live.provider.url + order_urls]},
    }
    live.provider.always["poll"] = Say(200, poll)
    live.provider.always["download"] = Say(200, picture(), {
        "Content-Disposition": 'attachment; filename="../../evil.desktop"; filename*=UTF-8\'\'%2Fetc%2Fpasswd',
        "Content-Type": "application/x-desktop", "Content-Location": "/evil.sh",
    })  # fmt: skip
    assert live.run(*RV).code == 0
    (name,) = live.files()
    assert name.startswith("a-fox-")
    assert name.endswith(".png")
    assert not list(live.root.rglob("*evil*"))


@pytest.mark.parametrize(
    "name",
    ["CON.png", "con.png.png", "AUX .png", "COM\u00b9.png", "LPT1/fox.png", "fox.png:stream", "fox?.png", "a*.png",
     "a\tb.png",
     "end. /fox.png", "nul", "a<b>.png", "a|b.png", 'a"b.png', "a\u202egpj.png", "x" * 300 + ".png", "conin$.png"],
)  # fmt: skip
def test_threat_s7_windows_rules_hold_everywhere(live: Cli, name: str) -> None:
    """What one system takes for a device, a stream or another name is refused on all, before anything is bought."""
    ran = live.run(*RV, "-o", name)
    assert (ran.code, ran.said("charged")) == (2, "no")
    assert live.provider.purchases == 0


@pytest.mark.parametrize(
    "prompt", ["con", "AUX", "com1", "../../etc/passwd", "a:b", "-rf", "...", "nul.txt", "\u202egpj.exe", "x" * 900]
)
def test_threat_s7_a_prompt_makes_a_harmless_name(live: Cli, prompt: str) -> None:
    """A name that comes from a prompt is changed instead, and stays in the folder."""
    ran = live.run("generate", "--prompt", prompt, "-p", "rivya", "-o", "{slug}{ext}")
    assert ran.code == 0, ran.err
    (name,) = live.files()
    assert "/" not in name
    assert not name.startswith(("-", "."))
    assert name.partition(".")[0].casefold() not in ("con", "aux", "nul", "com1")
    assert len(name.encode()) <= 64


@pytest.mark.parametrize("flags", [(), ("--overwrite",)], ids=str)
def test_threat_s8_a_link_that_appears_meanwhile_is_not_written_through(live: Cli, flags: tuple[str, ...]) -> None:
    """Links under the names of a result and of its sidecar, made while it is on its way, lose: the target stays."""
    victim, other = live.write("victim", "mine"), live.write("other", "mine")
    deliver = live.provider.deliver

    def race(order: Order, number: int) -> bytes:
        (live.cwd / "out" / "fox.png").symlink_to(victim)
        (live.cwd / "out" / "fox.png.json").symlink_to(other)
        return deliver(order, number)

    live.provider.deliver = race
    ran = live.run(*RV, "-o", "out/fox.png", "--sidecar", *flags)
    assert ran.code == 0, ran.err
    assert (victim.read_text(), other.read_text()) == ("mine", "mine")
    saved = live.cwd / ran.lines[0]
    assert not saved.is_symlink()
    assert saved.name == ("fox.png" if flags else "fox-2.png")
    assert not list(live.cwd.rglob("*.part"))


def test_threat_s8_a_temporary_name_that_is_taken_is_not_used(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A link that waits under a temporary file's name, guessed right, is passed over."""
    victim, names = live.write("victim", "mine"), iter(["guessed", "guessed", *(f"{n:08x}" for n in range(99))])
    monkeypatch.setattr("wan_cli.publish._token", lambda: next(names))
    monkeypatch.setattr(
        Part.__init__, "__kwdefaults__", {**(Part.__init__.__kwdefaults__ or {}), "token": lambda: next(names)}
    )
    (live.cwd / ".fox.guessed.part").symlink_to(victim)
    assert live.run(*RV, "-o", "fox.png").code == 0
    assert victim.read_text() == "mine"
    assert (live.cwd / ".fox.guessed.part").is_symlink()


# -- hostile addresses ---------------------------------------------------------------------------------------------

INSIDE = [
    "http://example.com/1.png", "https://127.0.0.1/1.png", "https://localhost/1.png", "https://LOCALHOST./1.png",
    "https://a.localhost/1.png", "https://0.0.0.0/1.png", "https://0/1.png", "https://2130706433/1.png",
    "https://0x7f000001/1.png", "https://0177.0.0.1/1.png", "https://127.1/1.png", "https://0x7f.1/1.png",
    "https://127.0.0.1./1.png", "https://127.0.0.1../1.png", "https://[::1]/1.png", "https://[::]/1.png",
    "https://[::ffff:127.0.0.1]/1.png", "https://[::ffff:7f00:1]/1.png", "https://[::127.0.0.1]/1.png",
    "https://[64:ff9b::7f00:1]/1.png", "https://[64:ff9b:1::1]/1.png", "https://192.0.0.8/1.png",
    "https://[2002:7f00:1::]/1.png", "https://[fe80::1%25eth0]/1.png", "https://[fec0::1]/1.png",
    "https://[fd00::1]/1.png",
    "https://10.0.0.1/1.png", "https://172.16.0.1/1.png", "https://192.168.1.1/1.png", "https://169.254.169.254/latest",
    "https://100.64.0.1/1.png", "https://224.0.0.1/1.png", "https://255.255.255.255/1.png", "https://198.18.0.1/1.png",
    "https://user@example.com/1.png", "https://user:pw@example.com/1.png", "https://:pw@example.com/1.png",
    "https://example.com\\@127.0.0.1/1.png", "https://example.com\\.evil/1.png", "https:\\\\127.0.0.1/1.png",
    "https:///1.png", "https:1.png", "//127.0.0.1/1.png", "///etc/passwd", "file:///etc/passwd",
    "ftp://example.com/1.png",
    "gopher://127.0.0.1:6379/_x", "data:text/html,x", "javascript:alert(1)", "https://example.com:8443/1.png",
    "https://example.com:0/1.png", "https://example.com:99999/1.png", "https://exa mple.com/1.png",
    "https://example.com\r\nX: y/1.png", "https://\u2460\u2461\u2466.0.0.1/1.png",
    "https://\uff11\uff12\uff17.0.0.1/1.png",
    "https://127\u30020\u30020\u30021/1.png", "https://\uff4c\uff4f\uff43\uff41\uff4c\uff48\uff4f\uff53\uff54/1.png",
    "https://./1.png",
    "\thttps://example.com/1.png", "HTTPS://127.0.0.1/1.png",
]  # fmt: skip


@pytest.mark.parametrize("first", [True, False], ids=["result", "redirect"])
def test_threat_s9_no_result_leads_inside(tmp_path: Path, first: bool) -> None:
    """Of a public API, no address of this machine or its network is connected to, at the first hop or any other."""
    connected: list[str] = []

    async def resolve(host: str, port: int) -> list[str]:
        assert port == 443
        return {"example.com": ["93.184.216.34"]}.get(host, ["127.0.0.1"])

    async def fetch(address: str) -> None:
        moved = httpx.Response(302, headers=[(b"Location", address.encode())])
        answers = [moved] if not first else []

        def answer(request: httpx.Request) -> httpx.Response:
            connected.append(request.url.host)
            return answers.pop() if answers else httpx.Response(302, headers=moved.headers)

        client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        fetcher = Fetcher(
            api_origin="https://rivya.ai", client=lambda: client, with_key=None, resolve=resolve, sleep=no_sleep
        )  # fmt: skip
        with Part(tmp_path / "x.png", cap=1000) as part:
            given = Output(url=address if first else "https://example.com/1.png")
            await fetcher.fetch(given, part, kind="image", progress=lambda *_: None)

    async def no_sleep(seconds: float) -> None:
        assert seconds >= 0

    for address in INSIDE:
        connected.clear()
        with pytest.raises(DownloadFailed):
            asyncio.run(asyncio.wait_for(fetch(address), 10))
        assert set(connected) <= ({"93.184.216.34"} if not first else set()), address


def test_threat_s9_a_fragment_hides_no_host() -> None:
    """What stands behind a fragment's mark is no host and no port."""
    hop = Rules("https://rivya.ai").result("https://example.com#@127.0.0.1:22/")
    assert (hop.url.host, hop.url.port) == ("example.com", None)


def test_threat_s9_a_name_that_changes_its_mind_is_not_asked_again(tmp_path: Path) -> None:
    """Rebinding: the address that was checked is the one that is connected to; there is no second look-up."""
    answers = iter([["93.184.216.34"], ["127.0.0.1"]])
    connected: list[tuple[str, str]] = []

    async def resolve(host: str, port: int) -> list[str]:
        return next(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        connected.append((request.url.host, request.extensions["sni_hostname"]))
        return httpx.Response(200, content=picture(64, 64))

    async def fetch() -> None:
        client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        fetcher = Fetcher(api_origin="https://rivya.ai", client=lambda: client, with_key=None, resolve=resolve)
        with Part(tmp_path / "x.png", cap=100_000) as part:
            await fetcher.fetch(Output(url="https://cdn.example/1.png"), part, kind="image", progress=lambda *_: None)

    asyncio.run(fetch())
    assert connected == [("93.184.216.34", "cdn.example")]
    assert next(answers) == ["127.0.0.1"]  # nobody asked a second time


@pytest.mark.parametrize(
    "answers", [["93.184.216.34", "10.0.0.1"], ["::ffff:10.0.0.1"], ["64:ff9b::a00:1"], ["fe80::1%2"], [""]]
)
def test_threat_s9_every_address_of_a_name_has_to_be_public(answers: list[str]) -> None:
    """One private address among public ones refuses the name, in whatever order they come."""

    async def resolve(host: str, port: int) -> list[str]:
        return answers

    for order in (answers, answers[::-1]):
        answers[:] = order
        with pytest.raises(DownloadFailed):
            asyncio.run(connectable(Hop(httpx.URL("https://cdn.example/1.png"), "public"), resolve))


# -- hostile answers -----------------------------------------------------------------------------------------------


def test_threat_s10_a_bomb_in_an_answer_is_cut(live: Cli) -> None:
    """60 MB of nothing in 60 KB: the answer to a purchase is lost, not the memory; it may have been bought."""
    bomb = gzip.compress(bytes(60_000_000), 9, mtime=0)
    assert len(bomb) < 100_000
    live.provider.always["submit"] = Say(200, bomb, {"Content-Encoding": "gzip"})
    ran = live.run(*MV, "--json")
    assert (ran.code, ran.json["error"]["charged"]) == (9, "unknown")
    assert "8,388,608" in ran.json["error"]["message"]
    assert sum(path.stat().st_size for path in (live.root / "state").rglob("*")) < 30_000_000


@pytest.mark.parametrize("coding", ["gzip", "deflate", "br", "gzip, gzip, gzip", "zstd", "x-unknown"])
def test_threat_s10_a_compressed_result_is_refused(live: Cli, coding: str) -> None:
    """A result comes as it is or not at all; nothing is left under its name."""
    live.provider.always["download"] = Say(200, zlib.compress(picture()), {"Content-Encoding": coding})
    ran = live.run(*RV, "-o", "fox.png")
    assert (ran.code, ran.said("charged")) == (12, "yes")
    assert live.files() == []


def test_threat_s11_a_result_without_end_is_not_taken(live: Cli) -> None:
    """A length above the cap is refused before its first byte."""
    live.provider.always["download"] = Say(200, b"\x89PNG", {"Content-Length": str(10**15)})
    ran = live.run(*RV, "-o", "fox.png")
    assert (ran.code, ran.said("charged"), live.files()) == (12, "yes", [])


@pytest.mark.parametrize("words", [RV, MV], ids=["rivya", "modelverse"])
def test_threat_s11_r04_a_header_of_any_alphabet_costs_no_answer(live: Cli, words: tuple[str, ...]) -> None:
    """A header that is not ASCII stands beside an answer that was paid for, and does not lose it."""
    odd = {"X-Message": "\u00e9\u00ff\u0080", "X-Other": "\x00\x1b[2J"}
    body = {"id": "task_1", "status": "queued"} if words is RV else {"output": {"task_id": "mv-1"}}
    live.provider.always["submit"] = Say(200, body, odd, accept=True)
    ran = live.run(*words)
    assert (ran.code, live.provider.purchases) == (0, 1) or (ran.code, ran.said("charged")) == (9, "unknown"), ran.err
    live.provider.always["submit"] = Say(200, body, {"X-Message": odd["X-Message"]}, accept=True)
    assert live.run(*words).code == 0
    assert live.provider.purchases == 2


def test_threat_s11_a_flood_of_headers_is_no_answer(live: Cli) -> None:
    """Megabytes of headers end the answer; what they answered may have been bought."""
    live.provider.always["submit"] = Say(
        200, {"x": 1}, {f"X-{n}": "y" * 1000 for n in range(90)} | {"X-Big": "y" * 200_000}
    )
    ran = live.run(*MV, "--json")
    assert (ran.code, ran.json["error"]["charged"]) == (9, "unknown")


def _png(width: int, height: int, data: bytes) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_threat_s12_a_pixel_bomb_is_never_decoded(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A picture that declares 1.6 thousand million pixels is kept aside unopened, even with --convert; 12, bought."""
    monkeypatch.setattr("PIL.Image.open", lambda *_, **__: pytest.fail("a picture was opened"))
    live.provider.deliver = lambda *_: _png(40_000, 40_000, zlib.compress(b"\0"))
    ran = live.run(*RV, "-o", "fox.png", "--json")
    assert (ran.code, ran.json["error"]["charged"]) == (12, "yes")
    assert live.files() == ["fox.png.suspect"]


@pytest.mark.parametrize(
    "body",
    [b"<!DOCTYPE html><html>", b'{"error": "x"}', b"<?xml version='1.0'?><Error/>", b"MZ\x90\0", b"#!/bin/sh\n",
     b"\x7fELF", b"PK\x03\x04", b"%!PS-Adobe", b"%PDF-1.7", b"<svg/>", b"\0" * 64],
)  # fmt: skip
def test_threat_s13_only_media_are_saved(live: Cli, body: bytes) -> None:
    """A page, a program, an archive or a script that comes as a picture is not saved under any name."""
    live.provider.always["download"] = Say(200, body, {"Content-Type": "image/png"})
    ran = live.run(*RV, "-o", "fox.png")
    assert (ran.code, ran.said("charged"), live.files()) == (12, "yes", [])


# -- the way there -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY"])
@pytest.mark.parametrize(
    "proxy",
    ["http://u:hunter2hunter2@127.0.0.1:99999", "http://u:hunter2hunter2@[::1", "ftp://u:hunter2hunter2@h",
     "u:hunter2hunter2@127.0.0.1:99999"],
)  # fmt: skip
def test_threat_s20_a_proxy_that_is_none_is_told_without_its_password(
    live: Cli, monkeypatch: pytest.MonkeyPatch, variable: str, proxy: str
) -> None:
    """Settings that cannot be used are 3 before anything is sent, also a port that no machine has."""
    monkeypatch.setenv(variable, proxy)
    ran = live.run(*RV, "-v")
    assert (ran.code, ran.said("charged")) == (3, "no"), ran.err
    assert "hunter2" not in ran.err
    assert live.provider.seen == []


def test_threat_s20_a_proxy_gets_no_more_than_its_request(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy's own password goes to the proxy only, and is in no line that is shown."""
    with Listening() as proxy:
        proxy.answer = lambda _: httpx.Response(407, headers={"Proxy-Authenticate": "Basic realm=x"})
        monkeypatch.setenv("HTTP_PROXY", f"http://user:hunter2hunter2@127.0.0.1:{proxy.port}")
        ran = live.run(*RV, "-v")
    assert proxy.came
    assert "hunter2" not in ran.err + ran.out
    assert live.provider.seen == []


def test_threat_s21_certificates_are_always_checked(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable that other tools heed, and no setting, turns the check of certificates off."""
    for name in ("PYTHONHTTPSVERIFY", "NODE_TLS_REJECT_UNAUTHORIZED", "GIT_SSL_NO_VERIFY", "CURL_INSECURE"):
        monkeypatch.setenv(name, "0" if "SSL" not in name else "1")
    context = tls_context()
    assert (context.verify_mode, context.check_hostname) == (ssl.CERT_REQUIRED, True)
    for key in ("verify", "insecure", "ssl_verify"):
        cli.config(f"[providers.rivya]\n{key} = false\n")
        assert cli.run(*RV, env={"RIVYA_API_KEY": "canary-0123456789-canary"}).code == 3


# -- money ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [(("-n", "21"), "consent_missing"), (("-n", "100", "--max-cost", "100credits"), "over_budget"),
     (("--max-cost", "4credits"), "over_budget"), (("-n", "3", "--max-results", "2"), "over_budget"),
     (("--max-cost", "4credits", "--yes"), "over_budget"),
     (("-m", "unlisted-model", "--max-cost", "9credits"), "over_budget")],
)  # fmt: skip
def test_threat_s23_c15_nothing_is_bought_over_a_cap(live: Cli, words: tuple[str, ...], code: str) -> None:
    """A cap, a limit or a price that nobody knows stops before the first purchase: 5, and nothing was charged."""
    ran = live.run(*RV, *words, "--json")
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (5, code, "no")
    assert live.provider.seen == []


def test_threat_s23_a_projects_cap_only_lowers(live: Cli) -> None:
    """A project cannot raise what the user allows, nor give the consent that is asked for."""
    live.config('[defaults]\nmax_cost = "4credits"\n')
    live.write("wan.toml", 'max_cost = "9999credits"\n')
    assert live.run(*RV).code == 5
    live.config("")
    assert live.run(*RV, "-n", "21").code == 5
    live.write("wan.toml", 'max_cost = "4credits"\n')
    assert live.run(*RV, "--max-cost", "9999credits").code == 5
    assert live.provider.purchases == 0


@pytest.mark.parametrize("ci", ["true", "1"])
def test_c18_nobody_is_asked_in_ci(live: Cli, ci: str) -> None:
    """With ``CI`` set, or without a terminal, a question is never asked: the default is taken, and it is no."""
    for how in ({"env": {"CI": ci}, "tty": ("stdin", "stderr")}, {"tty": ()}, {"tty": ("stdin",)}):
        ran = live.run(*RV, "-n", "21", stdin="y\n", command=False, **how)
        assert ran.code == 5
        assert "[y/N]" not in ran.err
    assert live.provider.purchases == 0


# -- the package ---------------------------------------------------------------------------------------------------


def test_threat_s27_the_http_client_is_behind_few_modules() -> None:
    """Another HTTP library can take httpx's place in five folders; nothing above them knows its name at run time."""
    users = set()
    for path in PACKAGE.rglob("*.py"):
        if "httpx" not in (text := path.read_text()):
            continue
        tree = ast.parse(text)
        blocks = [
            node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
        ]
        guarded = {id(inner) for block in blocks for inner in ast.walk(block)}
        for node in ast.walk(tree):
            names = (
                [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else [node.module]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            if id(node) not in guarded and any((name or "").split(".")[0] == "httpx" for name in names):
                users.add(path.relative_to(PACKAGE).parts[0])
    assert users <= {"providers", "transport", "download", "sandbox", "wire"}


def test_threat_s25_a_reference_goes_as_it_is(live: Cli) -> None:
    """What is uploaded is the user's file byte for byte: nothing is stripped or re-encoded unasked."""
    data = picture(600, 600, "JPEG")
    live.write("ref.jpg", data)
    assert live.run("edit", "ref.jpg", "make it blue", "-p", "rivya").code == 0
    (sent,) = live.provider.asked("upload")
    assert data in sent.body


def test_threat_s19_s24_the_ledger_is_the_users_alone(live: Cli) -> None:
    """A ledger that others can write is refused before anything is bought; one they can read is closed to them."""
    assert live.run(*RV).code == 0
    ledger: Any = live.root / "state" / "ledger.db"
    ledger.chmod(0o644)
    assert live.run(*RV).code == 0
    assert stat.S_IMODE(ledger.stat().st_mode) == 0o600
    ledger.chmod(0o666)
    ran = live.run(*RV, "--json")
    assert (ran.code, ran.json["error"]["code"]) == (3, "state_unusable")
    assert live.provider.purchases == 2
