"""What a review found between the words of a call and its purchase: keys, caps, configuration, files, streams."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import pytest
from support_cli import RIVYA_KEY, Cli, Run, picture
from support_provider import Say

RV = ("generate", "a fox", "-p", "rivya")
ANY = ("generate", "a fox")
NO_CREDITS = Say(402, {"error": {"code": "insufficient_credits", "message": "0 left"}})
KEYED = ("--idempotency-key", "k", "--json")
MANY = ("-n", "21", "--no-wait")


def movie() -> bytes:
    """Return the boxes of an MP4 of five seconds, 1280x720."""

    def box(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", 8 + len(body)) + kind + body

    head = box(b"mvhd", struct.pack(">IIIII", 0, 0, 0, 1000, 5000) + bytes(80))
    track = box(b"trak", box(b"tkhd", bytes(76) + struct.pack(">II", 1280 << 16, 720 << 16)))
    return box(b"ftyp", b"isom\0\0\2\0isomiso2") + box(b"moov", head + track) + box(b"mdat", b"\0" * 64)


def only(name: str) -> dict[str, str]:
    """Return the environment that makes a provider the configured one."""
    return {"WAN_PROVIDER": name}


# Idempotency keys.


def test_every_earlier_task_is_continued(live: Cli) -> None:
    """Three tasks of one provider are all continued where the next provider would have made one of them."""
    assert live.run(*ANY, "-n", "3", *KEYED, "--no-wait", env=only("rivya")).code == 0
    again = live.run(*ANY, "-n", "3", *KEYED, env=only("modelverse"))
    assert again.code == 0, again.err
    assert [task["provider"] for task in again.json["tasks"]] == ["rivya"] * 3
    assert live.provider.purchases == 3


def test_what_certainly_bought_nothing_is_replaced(live: Cli) -> None:
    """Three refused tasks become the one task of the next provider, with its cost; afterwards the key has only that."""
    live.provider.always["submit"] = NO_CREDITS
    assert live.run(*ANY, "-n", "3", *KEYED, env=only("rivya")).code == 5
    live.provider.always.clear()
    for _ in range(2):
        ran = live.run(*ANY, "-n", "3", *KEYED, env=only("modelverse"))
        assert ran.code == 0, ran.err
        assert (ran.task["provider"], ran.task["request"]["n"]) == ("modelverse", 3)
        assert ran.task["cost"]["estimated"] is None
        assert live.provider.purchases == 1


def test_one_refused_task_becomes_several(live: Cli) -> None:
    """The other way round all the new tasks are made, and a repeat buys none again."""
    live.provider.script["submit"] = [NO_CREDITS]
    assert live.run(*ANY, "-n", "2", *KEYED, env=only("modelverse")).code == 5
    for _ in range(2):
        ran = live.run(*ANY, "-n", "2", *KEYED, env=only("rivya"))
        assert ran.code == 0, ran.err
        assert [task["cost"]["estimated"] for task in ran.json["tasks"]] == [5, 5]
        assert live.provider.purchases == 2


@pytest.mark.parametrize(("name", "code", "bought"), [("rivya", 0, 2), ("modelverse", 11, 1)])
def test_what_was_refused_beside_a_purchase(live: Cli, name: str, code: int, bought: int) -> None:
    """Beside something bought a refused task is tried again where it was asked for, and nowhere else."""
    live.provider.script["submit"] = [NO_CREDITS]
    assert live.run(*ANY, "-n", "2", *KEYED, env=only("rivya")).code == 11
    assert live.run(*ANY, "-n", "2", *KEYED, env=only(name)).code == code
    assert live.provider.purchases == bought


# Caps.


def test_only_a_cap_of_this_call_is_a_consent(live: Cli) -> None:
    """A cap of a file does not stand for the yes to many results; one of a flag or of WAN_MAX_COST does."""
    live.write("wan.toml", 'max_cost = "200credits"\n')
    assert live.run(*RV, *MANY).code == 5
    live.config('[defaults]\nmax_cost = "200credits"\n')
    assert live.run(*RV, *MANY).code == 5
    assert live.run(*RV, *MANY, env={"WAN_MAX_COST": "200credits"}).code == 0
    assert live.run(*RV, *MANY, "--max-cost", "200credits").code == 0


def test_a_projects_cap_only_lowers(live: Cli) -> None:
    """A project's cap neither covers a unit that the user's caps leave out, nor raises one."""
    live.write("wan.toml", 'max_cost = "200credits"\n')
    assert live.run(*RV, "--max-cost", "5CNY").code == 5
    assert live.run(*RV, "--max-cost", "4credits").code == 5
    live.write("wan.toml", 'max_cost = "4credits"\n')
    assert live.run(*RV, "--max-cost", "200credits").code == 5


def test_a_bare_cap_for_two_units(live: Cli) -> None:
    """Over a list whose prices have two units a bare number says nothing."""
    live.config('[prices."modelverse/wan2.7-image"]\namount = 0.2\nunit = "CNY"\n')
    ran = live.run(*ANY, "-p", "rivya,modelverse", "--max-cost", "20")
    assert ran.code == 2
    assert "which unit? credits, CNY" in ran.said("error")


# Configuration.


def test_a_file_may_set_what_a_video_has(live: Cli) -> None:
    """Duration, resolution and negative of a file hold for videos, are left out of pictures, and choose no video."""
    live.write("wan.toml", 'duration = 10\nresolution = "1080p"\nnegative = "text"\n')
    asked = live.run(*RV, "-m", "wan2.7-video", "--dry-run", "--json").task["request"]
    assert (asked["duration"], asked["resolution"], asked["negative"]) == (10, "1080p", "text")
    ran = live.run(*RV, "--json")
    assert ran.code == 0, ran.err
    assert ran.task["model"] == "wan2.7-image"
    assert not {"duration", "resolution", "negative"} & ran.task["request"].keys()


def test_the_environments_key_is_before_the_files(live: Cli) -> None:
    """Where the environment's key belongs to the base URL, it is taken; else the key of the file is."""
    path = live.key_file("rvya_sk_another0123456789")
    live.config(f'[providers.rivya]\nbase_url = "{live.provider.url}"\nkey_file = "{path}"\n')
    assert live.run(*RV).code == 0
    assert live.provider.seen[0].headers["authorization"] == f"Bearer {RIVYA_KEY}"
    assert live.run(*RV, env={"RIVYA_BASE_URL": ""}).code == 3
    assert live.provider.seen[-1].headers["authorization"] == "Bearer rvya_sk_another0123456789"


@pytest.mark.parametrize(
    ("variable", "user", "project", "said"),
    [
        ("WAN_TIMEOUT", "", "", "WAN_TIMEOUT=abc"),
        ("WAN_MAX_COST", "", "", "WAN_MAX_COST=abc"),
        ("", '[defaults]\ntimeout = "abc"', "", "config.toml: timeout"),
        ("", '[defaults]\nmax_cost = "abc"', "", "config.toml: max_cost"),
        ("", '[spend]\nask_above = ["5CNY", "abc"]', "", "config.toml: spend.ask_above"),
        ("", "", 'max_cost = ["1CNY", "abc"]', "wan.toml: max_cost"),
    ],
)
def test_bad_values_are_found_when_they_are_loaded(
    cli: Cli, variable: str, user: str, project: str, said: str
) -> None:  # fmt: skip
    """A time or an amount that is none is exit 3 for every command, with the variable or the file."""
    if user:
        cli.config(user)
    if project:
        cli.write("wan.toml", project)
    ran = cli.run("config", "show", "--json", env={variable: "abc"} if variable else {})
    assert (ran.code, ran.json["error"]["code"]) == (3, "config_invalid")
    assert said in ran.json["error"]["message"]


# Files.


def test_standard_input_is_read_once(live: Cli) -> None:
    """Every provider of a list is given the same piped picture; the copy is for the user alone."""
    words = ("edit", "-", "blue", "-p", "rivya,modelverse", "-o", "x.png")
    live.provider.script["submit"] = [NO_CREDITS]
    ran = live.run(*words, stdin=picture(640, 480))
    assert ran.code == 0, ran.err
    (copy,) = (live.root / "state" / "scratch").glob("stdin-*")
    assert copy.stat().st_mode & 0o777 == 0o600


def test_standard_input_is_not_cut(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is larger than the limit is refused."""
    monkeypatch.setattr("wan_cli.cli.prompt.STDIN_PICTURE_BYTES", 100)
    ran = live.run("edit", "-", "blue", "-p", "rivya", stdin=picture(640, 480))
    assert ran.code == 2
    assert "more than 100 bytes" in ran.said("error")


def test_a_file_that_a_later_provider_refuses(live: Cli) -> None:
    """A picture too small for Modelverse passes it over with a warning; first in the list it is refused."""
    live.write("small.png", picture(100, 100))
    ran = live.run("edit", "small.png", "blue", "-p", "rivya,modelverse", "-o", "x.png")
    assert ran.code == 0, ran.err
    assert "modelverse was passed over" in ran.err
    assert live.run("edit", "small.png", "blue", "-p", "modelverse,rivya").code == 2


@pytest.mark.parametrize("name", ["rivya", "toapis"])
def test_pictures_and_videos_are_uploaded(cli: Cli, name: str) -> None:
    """The limits of an upload are those of what the file is, whatever it is called."""
    cli.write("plain", movie())
    cli.write("a.png", picture(640, 480))
    ran = cli.run("upload", "plain", "a.png", "-p", name, "--sandbox", "--json")
    assert ran.code == 0, ran.err
    assert [row["path"] for row in ran.json["files"]] == ["plain", "a.png"]
    if name == "rivya":
        assert ran.json["files"][0]["duration_token"]


def test_files_that_are_not_uploaded(cli: Cli) -> None:
    """Sound, a folder and a missing file are refused; who takes uploads is named in the plural."""
    cli.write("song", b"ID3\x03\0\0\0\0\0\0" + bytes(64))
    for name in ("song", ".", "missing"):
        assert cli.run("upload", name, "-p", "toapis", "--sandbox").code == 2
    assert cli.run("upload", "a.png", "-p", "modelverse", "--sandbox").said("error").endswith(" do")


# Streams and flags.


def test_a_dry_run_as_lines(live: Cli) -> None:
    """--jsonl --dry-run prints each request before the summary."""
    *requests, last = live.run(*RV, "--dry-run", "--jsonl").events
    assert [event["event"] for event in requests] == ["request"]
    assert requests[0]["request"]["provider"] == "rivya"
    assert last["event"] == "summary"


@pytest.mark.parametrize("words", [("--latency", "nan"), ("--latency", "inf")])
def test_a_latency_is_a_number(wan: Run, words: Sequence[str]) -> None:
    """What passes for a number and is none is a usage error."""
    ran = wan("generate", "a fox", "--sandbox", *words)
    assert (ran.code, "no number of seconds" in ran.said("error")) == (2, True)


def test_an_empty_name_is_said(live: Cli) -> None:
    """A list that ends in a comma is a usage error that says so."""
    assert "an empty name" in live.run(*ANY, "-p", "rivya,").said("error")
