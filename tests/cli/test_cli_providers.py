"""Providers by configuration against a server on this machine, and what Yunwu takes and refuses."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from support_cli import MODELVERSE_KEY, Cli, picture
from support_provider import FakeProvider, Order, Say, Seen

TASK = "img-1"


class Relay(FakeProvider):
    """A server with OpenAI's images API. ``answers`` is what an order gets: ``b64``, ``url``, ``path`` or ``task``."""

    answers = "b64"

    def _usual(self, step: str, seen: Seen) -> Say:
        if step == "download":
            return Say(200, picture(), {"Content-Type": "image/png"})
        assert seen.path.startswith("/v1/images/"), seen.path
        if step == "poll":
            known = seen.path.endswith(f"/{TASK}")
            done = {"status": "completed", "result": {"data": [{"url": f"{self.url}/results/{TASK}/1.png"}]}}
            return Say(200, done) if known else Say(404, {"error": {"message": "no such task"}})
        self.orders.append(Order(TASK, "openai", 1, (1024, 1024), seen.body))
        if self.answers == "task":
            return Say(200, {"id": TASK, "status": "queued"})
        item = {
            "b64": {"b64_json": base64.b64encode(picture()).decode(), "url": ""},
            "url": {"url": f"{self.url}/results/{TASK}/1.png", "b64_json": None},
            "path": {"url": f"/results/{TASK}/1.png"},
        }[self.answers]
        return Say(200, {"created": "now", "data": [item | {"revised_prompt": "a red fox"}]})


@pytest.fixture
def relay() -> Iterator[Relay]:
    """Return a server with OpenAI's images API on loopback."""
    with Relay() as server:
        yield server


@pytest.fixture
def local(cli: Cli, relay: Relay) -> Cli:
    """Return the harness with the server configured as ``local``, which asks for no key."""
    cli.config(f'[providers.local]\ncontract = "openai"\nbase_url = "{relay.url}"\nauth = "none"\n')
    cli.write("fox.png", picture(512, 512))
    cli.write("mask.png", picture(512, 512))
    cli.provider = relay
    return cli


# A provider of one's own.


@pytest.mark.parametrize("answers", ["b64", "url", "path"])
def test_a_server_on_this_machine(local: Cli, answers: str) -> None:
    """A whole run: the answer's bytes or its loopback address become the file, and no key was sent anywhere."""
    local.provider.answers = answers
    ran = local.run("generate", "a fox", "-p", "local", "-o", "fox-1.png", "--json")
    assert ran.code == 0, ran.err
    task = ran.task
    assert (task["provider"], task["origin"], task["model"]) == ("local", local.provider.url, "gpt-image-1")
    assert task["cost"] == {"estimated": None, "actual": None, "unit": None}
    assert task["revised_prompt"] == "a red fox"
    assert (task["files"][0]["path"], task["files"][0]["width"]) == ("fox-1.png", 1024)
    assert len(local.provider.seen) == (1 if answers == "b64" else 2)
    assert not [seen for seen in local.provider.seen if "authorization" in seen.headers]
    assert local.provider.seen[0].json == {"model": "gpt-image-1", "prompt": "a fox"}


@pytest.mark.parametrize("base", ["", "/", "/v1", "/v1/", "/v1/images/generations"])
def test_any_form_of_the_base_url(cli: Cli, relay: Relay, base: str) -> None:
    """The origin, its version prefix or the whole endpoint: all of them work."""
    cli.config(f'[providers.local]\ncontract = "openai"\nbase_url = "{relay.url}{base}"\nauth = "none"\n')
    assert cli.run("generate", "a fox", "-p", "local").code == 0


def test_a_model_of_ones_own(local: Cli) -> None:
    """A model that nobody listed goes as it is, with whatever --param adds."""
    words = ("-m", "flux.1-schnell", "-s", "768x512", "-n", "2", "--param", "steps=4")
    assert local.run("generate", "a fox", "-p", "local", *words, "--json").code == 11  # the server made one of two
    assert local.provider.seen[0].json == {
        "model": "flux.1-schnell", "prompt": "a fox", "n": 2, "size": "768x512", "steps": 4
    }  # fmt: skip


def test_an_edit_is_multipart(local: Cli) -> None:
    """An edit sends the picture and its mask as files of a form."""
    ran = local.run("edit", "fox.png", "snow", "--mask", "mask.png", "-p", "local")
    assert ran.code == 0, ran.err
    (seen,) = local.provider.seen
    assert seen.path == "/v1/images/edits"
    assert seen.headers["content-type"].startswith("multipart/form-data")
    assert "authorization" not in seen.headers
    for field in (b'name="image"', b'name="mask"', b'name="prompt"', b'name="model"'):
        assert seen.body.count(field) == 1


def test_fuse_sends_every_picture(local: Cli) -> None:
    """Several pictures go as image[], and the dry run shows all of them without a key."""
    ran = local.run("fuse", "fox.png", "mask.png", "one", "-p", "local", "--dry-run", "--json")
    (entry,) = ran.json["requests"]
    assert [file.rpartition("/")[2] for file in entry["body"]["image[]"]] == ["fox.png>", "mask.png>"]
    assert "Authorization" not in entry["headers"]
    assert "Authorization" not in entry["curl"]
    assert local.run("fuse", "fox.png", "mask.png", "one", "-p", "local").code == 0
    assert local.provider.seen[0].body.count(b'name="image[]"') == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("edit", "https://example.com/a.png", "snow"), "local file"),
        (("generate", "a fox", "--seed", "7"), "--param seed=N"),
        (("generate", "a fox", "--negative", "rain"), "--negative"),
        (("generate", "a fox", "--mask", "mask.png"), "--mask"),
        (("generate", "a fox", "-n", "11"), "1 to 10"),
        (("generate", "a fox", "-d", "5"), "local makes no videos"),
        (("sequence", "a fox", "-n", "3"), "cannot sequence"),
    ],
)
def test_what_the_contract_has_not(local: Cli, words: Sequence[str], said: str) -> None:
    """What OpenAI's API does not have is refused before anything is sent."""
    ran = local.run(*words, "-p", "local")
    assert ran.code == 2, ran.err
    assert said in f"{ran.said('error')} {ran.said('hint')}"
    assert not local.provider.seen


def test_switches_widen_the_offer(cli: Cli, relay: Relay) -> None:
    """A switch of the configuration lets through what this server has and OpenAI has not."""
    cli.config(
        f'[providers.local]\ncontract = "openai"\nbase_url = "{relay.url}"\nauth = "none"\nseed = true\n'
        'negative = true\nresponse_format = "b64_json"\nsize_separator = "*"\n'
    )
    words = ("--seed", "7", "--negative", "rain", "-s", "512x512")
    assert cli.run("generate", "a fox", "-p", "local", *words).code == 0
    assert relay.seen[0].json == {
        "model": "gpt-image-1", "prompt": "a fox", "seed": 7, "negative_prompt": "rain", "size": "512*512",
        "response_format": "b64_json",
    }  # fmt: skip


def test_a_relay_that_answers_with_a_task(local: Cli) -> None:
    """A task in the answer is followed; its handle works for status and wait, also where it was made elsewhere."""
    local.provider.answers = "task"
    ran = local.run("generate", "a fox", "-p", "local", "--no-wait")
    assert ran.lines == [f"local:{TASK}"]
    assert local.run("status", f"local:{TASK}").code == 8
    assert local.run("wait", f"local:{TASK}", "-o", "fox-1.png").lines == ["fox-1.png"]
    assert local.run("status", f"local:{TASK}").code == 0
    elsewhere = {"WAN_STATE_DIR": str(local.root / "elsewhere")}
    assert local.run("wait", f"local:{TASK}", "-o", "fox-2.png", env=elsewhere).lines == ["fox-2.png"]
    assert local.provider.purchases == 1
    assert not [seen for seen in local.provider.seen if "authorization" in seen.headers]


def test_a_task_nobody_knows(local: Cli) -> None:
    """A handle that the server does not know ends in an error, and a name that is no provider in another."""
    assert local.run("status", "local:img-9").code == 2
    assert local.run("status", "locale:img-9").code == 2


def test_it_is_listed(local: Cli) -> None:
    """``wan models`` and ``wan auth list`` know it by its name."""
    (row, *_) = local.run("models", "local", "--json").json["models"]
    assert (row["provider"], row["model"]) == ("local", "gpt-image-1")
    assert any(line.startswith("local\tnone needed\t") for line in local.run("auth", "list").lines)


def test_it_is_played_offline(local: Cli) -> None:
    """With --sandbox its contract is played, and the server sees nothing."""
    ran = local.run("generate", "a fox", "-p", "local", "-m", "gpt-image-1", "--sandbox", "--json")
    assert ran.code == 0, ran.err
    assert (ran.task["provider"], ran.task["sandbox"]) == ("local", True)
    assert not local.provider.seen


def test_it_is_never_chosen_unless_named(local: Cli) -> None:
    """Without -p nobody goes there, though it is the only one that could; in a setting it is named."""
    ran = local.run("generate", "a fox")
    assert (ran.code, local.provider.seen) == (3, [])
    assert local.run("generate", "a fox", env={"WAN_PROVIDER": "local"}).code == 0
    assert local.run("generate", "a fox", env={"OPENAI_API_KEY": MODELVERSE_KEY}).code == 3


def test_a_key_of_its_own(cli: Cli, relay: Relay) -> None:
    """Without auth = "none" its key comes from NAME_API_KEY, bound to its base URL, or from what the table names."""
    table = f'[providers.my-box]\ncontract = "openai"\nbase_url = "{relay.url}"\n'
    cli.config(table)
    ran = cli.run("generate", "a fox", "-p", "my-box")
    assert (ran.code, relay.seen) == (3, [])
    assert "MY_BOX_API_KEY" in ran.err
    assert cli.run("generate", "a fox", "-p", "my-box", env={"MY_BOX_API_KEY": MODELVERSE_KEY}).code == 0
    assert relay.seen[-1].headers["authorization"] == f"Bearer {MODELVERSE_KEY}"
    elsewhere = {"MY_BOX_API_KEY": MODELVERSE_KEY, "MY_BOX_BASE_URL": "http://localhost:9"}
    assert cli.run("generate", "a fox", "-p", "my-box", env=elsewhere).code == 6
    cli.config(f'{table}key_env = "OTHER"\n')
    assert cli.run("generate", "a fox", "-p", "my-box", env={"OTHER": MODELVERSE_KEY}).code == 0


def test_plain_http_needs_a_word(cli: Cli) -> None:
    """Plain http beyond this machine is refused (3) without allow_http, and dry-run works with it."""
    table = '[providers.box]\ncontract = "openai"\nbase_url = "http://192.168.0.9:8000"\nauth = "none"\n'
    cli.config(table)
    ran = cli.run("generate", "a fox", "-p", "box", "--dry-run")
    assert (ran.code, "allow_http" in ran.said("hint")) == (3, True)
    cli.config(f"{table}allow_http = true\n")
    ran = cli.run("generate", "a fox", "-p", "box", "--dry-run")
    assert ran.code == 0, ran.err
    assert "http://192.168.0.9:8000/v1/images/generations" in ran.out


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ('[providers.x]\ncontract = "soap"\nbase_url = "https://x.example.com"', "contract is to be one of rivya"),
        ('[providers.x]\nbase_url = "https://x.example.com"', "contract is to be one of rivya"),
        ('[providers.x]\ncontract = "openai"', "base_url is missing"),
        ('[providers."X Y"]\ncontract = "openai"\nbase_url = "https://x.example.com"', "name has small letters"),
        ('[providers.rivya]\ncontract = "openai"\nbase_url = "https://x.example.com"', "has its own contract"),
        ('[providers.x]\ncontract = "openai"\nbase_url = "ftp://x"', "not an address"),
        ('[providers.x]\ncontract = "openai"\nbase_url = "https://x.example.com"\nauth = "maybe"', "auth"),
        ('[providers.x]\ncontract = "openai"\nbase_url = "https://x.example.com"\nsizes = 4', "not a setting"),
        ('[providers.x]\ncontract = "openai"\nbase_url = "https://x.example.com"\nseed = "no"', "seed = 'no'"),
        ('[providers.x]\ncontract = "openai"\nbase_url = "https://x.example.com"\nregion = "cn"', "region"),
    ],
)
def test_a_bad_table(cli: Cli, table: str, said: str) -> None:
    """A table that nobody could speak to is told with its place (3), and nothing is sent."""
    cli.config(table)
    ran = cli.run("generate", "a fox", "-p", "x", "--dry-run")
    assert ran.code == 3, ran.err
    assert said in ran.said("error")


def test_a_provider_on_anothers_contract(live: Cli) -> None:
    """A relay of Modelverse by another name is asked as Modelverse is, under its own name."""
    live.config(
        f'[providers.mirror]\ncontract = "modelverse"\nbase_url = "{live.provider.url}"\n'
        'key_env = "MODELVERSE_API_KEY"\n'
    )
    ran = live.run("generate", "a fox", "-p", "mirror", "--json")
    assert ran.code == 0, ran.err
    assert (ran.task["handle"], ran.task["model"]) == ("mirror:mv-1", "wan2.7-image")


# Yunwu.


@pytest.fixture
def yunwu(live: Cli) -> Cli:
    """Return the harness with the loopback server as Yunwu."""
    live.env |= {"YUNWU_BASE_URL": live.provider.url, "YUNWU_API_KEY": MODELVERSE_KEY}
    live.write("fox.png", picture(512, 512))
    return live


def test_yunwu_gets_its_six_fields(yunwu: Cli) -> None:
    """Only what was said is sent, and never response_format."""
    words = ("-s", "4K", "-n", "2", "--seed", "7", "--no-watermark")
    ran = yunwu.run("generate", "a fox", "-p", "yunwu", *words, "--json")
    assert ran.code == 0, ran.err
    assert len(ran.task["files"]) == 2
    assert yunwu.provider.asked("submit")[0].json == {
        "model": "wan2.7-image-pro", "prompt": "a fox", "size": "4K", "n": 2, "seed": 7, "watermark": False
    }  # fmt: skip
    assert ran.task["handle"] is None
    assert yunwu.run("generate", "a fox", "-p", "yunwu").code == 0
    assert yunwu.provider.asked("submit")[1].json == {"model": "wan2.7-image-pro", "prompt": "a fox"}


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("edit", "fox.png", "snow"), ["cannot edit", "rivya and modelverse", "-p rivya"]),
        (("fuse", "fox.png", "fox.png", "one"), ["cannot fuse", "rivya and modelverse"]),
        (("sequence", "a fox", "-n", "3"), ["cannot sequence", "modelverse", "-p modelverse"]),
        (("generate", "a fox", "--thinking"), ["--thinking", "and dashscope can", "-p modelverse"]),
        (("generate", "a fox", "--negative", "rain"), ["--negative"]),
        (("generate", "a fox", "-n", "5"), ["1 to 4"]),
        (("generate", "a fox", "-n", "0"), ["at least 1"]),
        (("generate", "a fox", "-s", "512x512"), ["262,144 pixels", "589,824"]),
        (("generate", "a fox", "-s", "8192x4096"), ["pixels", "16,777,216"]),
        (("generate", "a fox", "-s", "9000x1000"), ["1:8 to 8:1"]),
        (("generate", "a fox", "-s", "huge"), ["1K, 2K, 4K"]),
        (("generate", "a fox", "-s", "2K", "-a", "9:1"), ["1:8 to 8:1"]),
        (("generate", "a fox", "--seed", "-1"), ["--seed -1"]),
        (("generate", "a fox", "--sync"), ["one interface only", "modelverse has both"]),
        (("generate", "a fox", "--param", "n=3"), ["--count"]),
    ],
)
def test_what_yunwu_cannot(yunwu: Cli, words: Sequence[str], said: Sequence[str]) -> None:
    """Text to image only, within the seed's bounds; the message says who can, with the command."""
    ran = yunwu.run(*words, "-p", "yunwu")
    assert ran.code == 2, ran.err
    for word in said:
        assert word in f"{ran.said('error')} {ran.said('hint')}"
    assert not yunwu.provider.seen


@pytest.mark.parametrize(
    ("size", "sent"), [("2048x1024", "2048x1024"), ("2048*1024", "2048x1024"), ("1k", "1K"), ("4K", "4K")]
)
def test_sizes_of_yunwu(yunwu: Cli, size: str, sent: str) -> None:
    """A tier or pixels, in either spelling."""
    ran = yunwu.run("generate", "a fox", "-p", "yunwu", "-s", size, "--dry-run", "--json")
    assert ran.json["requests"][0]["body"]["size"] in (sent, sent.replace("x", "*"))


@pytest.mark.parametrize(
    ("status", "code", "exit_code", "name", "provider_code"),
    [
        (400, "invalid_request", 4, "request_rejected", "invalid_request"),
        (403, "insufficient_user_quota", 5, "insufficient_credits", "insufficient_user_quota"),
        (503, "model_not_found", 4, "model_unknown", "model_not_found"),
        (400, 1301, 4, "request_rejected", "1301"),
        (401, None, 3, "key_rejected", "new_api_error"),
        (400, "", 4, "request_rejected", "new_api_error"),
        (400, "sensitive_words_detected", 4, "moderation", "sensitive_words_detected"),
        (500, "get_channel_failed", 6, "provider_unavailable", "get_channel_failed"),
        (500, None, 9, "outcome_unknown", None),
    ],
)
def test_errors_of_yunwu(
    yunwu: Cli, status: int, code: Any, exit_code: int, name: str, provider_code: str | None
) -> None:
    """A code may be a text, a number or null (then the type is told); the request's id comes out of the message."""
    message = "it went wrong (request id: 20261121090000123456789abcdEFGH)"
    body = {"error": {"message": message, "type": "new_api_error", "param": "", "code": code}}
    yunwu.provider.always["submit"] = Say(status, body)
    ran = yunwu.run("generate", "a fox", "-p", "yunwu", "--json")
    assert ran.code == exit_code, ran.err
    error = ran.json["error"]
    assert (error["code"], error["provider_code"], error["http_status"]) == (name, provider_code, status)
    assert "it went wrong" in error["message"]
    assert "20261121090000123456789abcdEFGH" in error["message"]
    assert error["charged"] == ("unknown" if exit_code == 9 else "no")
    if exit_code != 9:
        assert ran.task["request_id"] == "20261121090000123456789abcdEFGH"
    assert yunwu.provider.purchases == 0


def test_yunwu_in_the_sandbox(cli: Cli) -> None:
    """Offline: its strict schema takes what is sent."""
    ran = cli.run("generate", "a fox", "-p", "yunwu", "-s", "1K", "-n", "2", "--sandbox", "--json")
    assert ran.code == 0, ran.err
    assert [file["width"] for file in ran.task["files"]] == [1024, 1024]
