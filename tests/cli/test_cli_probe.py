"""``wan doctor --probe``: what is learnt of a gateway is told, kept, used, shown, forgotten; nothing is bought."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support_cli import MODELVERSE_KEY, Cli, Ran, picture
from support_provider import FakeProvider, Order, Say, Seen

from wan_cli.cli.doctor import gateway
from wan_cli.config import gateways


class Studio(FakeProvider):
    """A gateway that takes ``image`` and ``b64_json`` only, tells of all faults at once, and sells what is valid."""

    def answer(self, seen: Seen) -> Say:
        """Answer one request."""
        with self._lock:
            self.seen.append(seen)
            if scripted := self.always.get(seen.path) or self.always.get(seen.method):
                return scripted
            return self._judged(seen)

    def _judged(self, seen: Seen) -> Say:
        if seen.method == "GET":
            return Say(200, {"data": [{"id": "studio-image"}]}) if seen.path == "/v1/models" else Say(404, {})
        if seen.path == "/v1/images/wan-probe":
            return Say(404, {"detail": "Not Found"})
        text = seen.body.decode("latin-1")
        form = "form-data" in text
        told = dict(re.findall(r'name="([^"]+)"[^\r]*(?:\r\nContent-Type[^\r]*)?\r\n\r\n([^\r]*)', text))
        said = told if form else seen.json if isinstance(seen.json, dict) else {}
        missing = [name for name in ("prompt", *(("image",) if form else ())) if name not in said]
        faults = [{"loc": ["body", name], "msg": "Field required"} for name in missing]
        if said.get("response_format") != "b64_json":
            faults.append({"loc": ["body", "response_format"], "msg": "Input should be 'b64_json'"})
        if not re.fullmatch(r"\d+x\d+", said.get("size", "1x1")):
            faults.append({"loc": ["body", "size"], "msg": "WxH"})
        if faults:
            return Say(422, {"detail": faults})
        self.orders.append(Order("", "openai", 1, (1024, 1024), said))
        return Say(200, {"data": [{"b64_json": base64.b64encode(picture()).decode()}]})


@pytest.fixture
def studio(cli: Cli) -> Iterator[Cli]:
    """Return the harness with the gateway configured as ``studio``."""
    with Studio() as server:
        configured(cli, server)
        cli.provider = server
        cli.write("a.png", picture(64, 64))
        cli.write("b.png", picture(64, 64))
        cli.env["STUDIO_API_KEY"] = MODELVERSE_KEY
        yield cli


def configured(cli: Cli, server: FakeProvider, more: str = "") -> Path:
    return cli.config(f'[providers.studio]\ncontract = "openai"\nbase_url = "{server.url}/v1"\n{more}')


def told(ran: Ran, level: str | None = None) -> list[str]:
    """Return what the doctor says of gateways."""
    rows = [row for row in ran.json["doctor"] if row["check"] == "gateway"]
    return [row["finding"] for row in rows if level in (None, row["level"])]


def probe(cli: Cli, *words: str) -> Ran:
    return cli.run("doctor", "--probe", *words, "--json")


def test_what_is_learnt_is_used(studio: Cli) -> None:
    """A purchase that a gateway refuses succeeds after the probe, which bought nothing and named what it found."""
    edit = ("edit", "a.png", "b.png", "side by side", "-p", "studio", "-m", "x", "--size", "64x64", "-o", "out/")
    assert studio.run(*edit).code == 4
    ran = probe(studio)
    assert ran.code == 0, ran.err
    assert studio.provider.purchases == 0
    assert told(ran, "ok") == [
        "models: studio-image (GET /v1/models)", "edits: yes (it holds edits against its rules)",
        "response_format: b64_json (what it says of response_format)",
        "image_field: image (which one it does not miss)",
        "size_separator: x (what it says of size)",
    ]  # fmt: skip
    assert {seen.headers["authorization"] for seen in studio.provider.seen} == {f"Bearer {MODELVERSE_KEY}"}
    assert studio.run(*edit).code == 0
    (order,) = studio.provider.orders
    assert (order.body["response_format"], "image" in order.body) == ("b64_json", True)
    ran = studio.run("generate", "a fox", "-p", "studio", "--dry-run", "-q")
    assert '"response_format": "b64_json"' in ran.out


def test_what_is_learnt_is_shown_kept_and_forgotten(studio: Cli) -> None:
    """``config show`` has it with its date, the doctor remembers it, the file is private, and --forget removes it."""
    probe(studio, "-p", "studio")
    shown = {row["setting"]: row for row in studio.run("config", "show", "--json").json["config"]}
    source = "learnt by wan doctor --probe on 2026-11-21"
    assert shown["providers.studio.response_format"]["value"] == "b64_json"
    assert shown["providers.studio.response_format"]["source"] == source
    assert shown["learnt.studio.edits"]["value"] == ["yes"]
    assert shown["learnt.studio.edits"]["source"].startswith(source)
    (path,) = (studio.root / "state" / "gateways").iterdir()
    assert path.stat().st_mode & 0o077 == 0
    asked = len(studio.provider.seen)
    assert told(studio.run("doctor", "--offline", "--json")) == [
        "learnt on 2026-11-21: edits: yes; response_format: b64_json; image_field: image; size_separator: x"
    ]
    assert told(studio.run("doctor", "--offline", "--forget", "-p", "studio", "--json")) == [
        "what was learnt is forgotten"
    ]
    assert told(studio.run("doctor", "--offline", "--forget", "--json")) == ["nothing was learnt"] * 2
    assert told(studio.run("doctor", "--offline", "--json")) == []
    assert "learnt." not in studio.run("config", "show").out
    assert len(studio.provider.seen) == asked
    assert list(path.parent.iterdir()) == []


def test_the_configuration_stands_before_it(studio: Cli) -> None:
    """A switch of the user's file wins over what was learnt; that the gateway refuses it is a warning."""
    path = configured(studio, studio.provider, 'response_format = "url"\n')
    ran = probe(studio)
    assert told(ran, "warning") == ["response_format: b64_json; the configuration says url"]
    assert f"edit {path}" in [row["fix"] for row in ran.json["doctor"] if row["check"] == "gateway"]
    assert '"response_format": "url"' in studio.run("generate", "a fox", "-p", "studio", "--dry-run", "-q").out
    shown = [
        row for row in studio.run("config", "show", "--json").json["config"] if "response_format" in row["setting"]
    ]
    assert [(row["setting"], row["value"]) for row in shown] == [
        ("providers.studio.response_format", "url"), ("learnt.studio.response_format", ["b64_json"]),
    ]  # fmt: skip


def test_it_belongs_to_one_address(studio: Cli) -> None:
    """What was learnt of one base URL is not used for another, however the same one is written."""
    probe(studio)
    dry = ("generate", "a fox", "-p", "studio", "--dry-run", "-q")
    same = {"STUDIO_BASE_URL": f"{studio.provider.url}/v1/images/generations"}
    assert "b64_json" in studio.run(*dry, env=same).out
    assert "b64_json" not in studio.run(*dry, env={"STUDIO_BASE_URL": f"{studio.provider.url}/other/v1"}).out
    assert "learnt." not in studio.run("config", "show", env={"STUDIO_BASE_URL": "ftp://x"}).out


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"facts": 5, "how": []}', '{"facts": {"response_format": ["carrot"]}}']
)
def test_a_file_that_is_damaged(studio: Cli, text: str) -> None:
    """What cannot be read, or names a value that there is not, is as if nothing had been learnt."""
    probe(studio)
    (path,) = (studio.root / "state" / "gateways").iterdir()
    kept = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps(kept | json.loads(text)) if text.startswith('{"') else text, encoding="utf-8")
    ran = studio.run("generate", "a fox", "-p", "studio", "--dry-run", "-q")
    assert (ran.code, "response_format" in ran.out) == (0, False)
    assert studio.run("config", "show").code == 0


def test_a_gateway_that_sells_anything(studio: Cli) -> None:
    """A server that answers what cannot be right with a picture is asked once, and that is a warning."""
    studio.provider.always["POST"] = Say(200, {"data": []})
    ran = probe(studio)
    (said,) = told(ran, "warning")
    assert "cannot be right with HTTP 200" in said
    assert sum(seen.method == "POST" for seen in studio.provider.seen) == 1
    assert "response_format: it cannot be known without buying, which is left to you" in told(ran, "skipped")
    fixes = [row["fix"] for row in ran.json["doctor"] if row["level"] == "skipped" and row["check"] == "gateway"]
    assert '[providers.studio] response_format = "b64_json"' in fixes
    assert "wan edit PICTURE PROMPT -p studio" in fixes


def test_a_gateway_without_edits(studio: Cli) -> None:
    """Where there are no edits, nothing is said about the field of their pictures."""
    studio.provider.always["/v1/images/edits"] = Say(404, {"detail": "Not Found"})
    ran = probe(studio)
    assert "edits: no (it has no such path)" in told(ran, "ok")
    assert not [said for said in told(ran) if said.startswith("image_field")]


def test_a_key_that_is_refused(studio: Cli) -> None:
    """A refused key is an error, and nothing is kept."""
    studio.provider.always |= {"GET": Say(401, {}), "/": Say(200, {})}
    ran = probe(studio)
    assert (ran.code, ran.json["error"]["code"]) == (3, "key_rejected")
    assert not (studio.root / "state" / "gateways").exists()


@pytest.mark.parametrize(
    ("say", "said"), [(Say(drop=True), "no answer: the connection broke"), (Say(429, {}), "slow down")]
)
def test_an_asking_that_breaks_off(studio: Cli, say: Say, said: str) -> None:
    """What was learnt before a connection broke, or a limit came, is kept."""
    studio.provider.always["POST"] = say
    ran = probe(studio)
    assert said in told(ran, "warning")[0]
    assert "models: studio-image (GET /v1/models)" in told(ran, "ok")
    assert len(list((studio.root / "state" / "gateways").iterdir())) == 1


def test_a_gateway_that_never_answers(studio: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """An answer that does not come in time ends the asking, and so does a server that is not there."""
    monkeypatch.setattr(gateway, "ANSWER_S", 0.0)
    assert told(probe(studio), "warning") == ["the asking stopped: no answer within 0 s"]
    monkeypatch.setattr(gateway, "ANSWER_S", 15.0)
    with Studio() as gone:
        configured(studio, gone)
    assert "not reached" in told(probe(studio), "warning")[0]


def test_a_place_that_takes_nothing(studio: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be kept is told all the same, with a warning; what cannot be removed is an error."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    probe(studio)
    monkeypatch.setattr(gateways, "write_private", refuse)
    ran = probe(studio)
    assert "cannot be kept" in told(ran, "warning")[0]
    monkeypatch.setattr(Path, "unlink", refuse)
    ran = studio.run("doctor", "--forget", "--offline", "-p", "studio", "--json")
    assert (ran.code, told(ran)) == (3, ["what was learnt cannot be removed: Permission denied"])


def test_nobody_to_ask(cli: Cli) -> None:
    """Without a key nothing is asked, and the next command is named; a base URL that is none has its own finding."""
    ran = probe(cli)
    assert told(ran) == ["not asked: there is no key for it"]
    assert probe(cli, "-p", "openai").json["doctor"]
    env = {"OPENAI_BASE_URL": "ftp://x", "RIVYA_API_KEY": "rivya-key-0123456789"}
    assert told(cli.run("doctor", "--offline", "--json", env=env)) == []
    ran = cli.run("doctor", "--offline", "--forget", "--json", env=env)
    assert "nothing is forgotten" in told(ran)[0]


def test_a_bad_switch_is_told(studio: Cli) -> None:
    """A switch that the adapter does not know is an error of the configuration, and nothing is asked."""
    configured(studio, studio.provider, 'response_format = "carrot"\n')
    ran = probe(studio)
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")
    assert studio.provider.asked("submit") == []


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("-p", "openai"), "wan doctor --probe"), (("--probe", "-p", "rivya"), "wan auth list"),
        (("--probe", "-p", "nobody"), "wan auth list"), (("--forget", "-p", "rivya"), "wan auth list"),
        (("--probe", "--offline"), "wan doctor --probe"),
    ],
)  # fmt: skip
def test_a_call_without_sense(cli: Cli, words: tuple[str, ...], hint: str) -> None:
    """Flags that do not go together, and a provider that is no such gateway, are usage errors."""
    ran = cli.run("doctor", *words)
    assert (ran.code, ran.said("hint")) == (2, hint)


def test_the_sandbox_is_asked_in_this_process(cli: Cli) -> None:
    """With --sandbox the sandbox is the gateway, and what it says is kept in its own folder."""
    ran = probe(cli, "--sandbox")
    assert ran.code == 0, ran.err
    assert "edits: yes (it holds edits against its rules)" in told(ran, "ok")
    assert len(list((cli.root / "state" / "sandbox" / "gateways").iterdir())) == 1
    assert not (cli.root / "state" / "sandbox" / "ledger.db").exists()


def test_a_user_without_a_home(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A dry run needs no state folder, so one that cannot be found stands in no way."""

    def homeless(*_: object, **__: object) -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr("platformdirs.user_state_path", homeless)
    ran = cli.run("generate", "a fox", "-p", "openai", "--dry-run", "-q", env={"WAN_STATE_DIR": ""})
    assert ran.code == 0, ran.err


def test_only_what_gateways_say_is_asked(studio: Cli) -> None:
    """Every request of a probe goes to the gateway's own origin and lacks what a purchase needs."""
    probe(studio)
    posts = [seen for seen in studio.provider.seen if seen.method == "POST"]
    assert posts
    for seen in posts:
        assert b"prompt" not in seen.body
        assert b"wan-probe" in seen.body
        assert httpx.URL(seen.path).path.startswith("/v1/images/")
