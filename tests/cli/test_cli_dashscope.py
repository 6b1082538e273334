"""DashScope on the command line, behind a relay's prefix on loopback: purchases, uploads, cancelling, the list."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from support_cli import Cli, picture
from support_provider import Say
from support_relay import KEY, PREFIX, FakeDashScope, Store

DS = ("-p", "dashscope")
MOVIE = b"\0\0\0\x14ftypqt  \0\0\0\0qt  " + b"\0\0\0\x08moov"
WAVE = b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0\x44\xac\0\0\x88\x58\x01\0\x02\0\x10\0data\0\0\0\0"


@pytest.fixture
def store() -> Iterator[Store]:
    """Return the file store."""
    with Store() as server:
        yield server


@pytest.fixture
def api(store: Store) -> Iterator[FakeDashScope]:
    """Return the API."""
    with FakeDashScope(store) as server:
        yield server


@pytest.fixture
def ds(cli: Cli, api: FakeDashScope) -> Iterator[Cli]:
    """Return the harness with the base URL and the key set; neither the key nor the policy is left anywhere."""
    cli.env |= {"DASHSCOPE_BASE_URL": f"{api.url}{PREFIX}/api/v1", "DASHSCOPE_API_KEY": KEY}
    yield cli
    for path in cli.root.rglob("*"):
        data = path.read_bytes() if path.is_file() else b""
        assert KEY.encode() not in data, path
        assert b"c2VjcmV0LXNpZ25hdHVyZQ" not in data, path


def movie(cli: Cli, name: str = "clip.mov") -> Path:
    """Write a small video."""
    return cli.write(name, MOVIE)


@pytest.mark.parametrize("route", ["--async", "--sync", None])
def test_a_picture_is_bought_both_ways(ds: Cli, api: FakeDashScope, route: str | None) -> None:
    """The file is on disk, the usage in the document, and a count was said."""
    ran = ds.run("generate", *DS, "a fox", "-o", "fox.png", "--json", *([route] if route else []))
    assert ran.code == 0, ran.err
    assert (ran.task["usage"], ran.task["charged"], ds.files()) == ({"image_count": 1}, "yes", ["fox.png"])
    (order,) = [seen for seen in api.seen if seen.method == "POST"]
    assert order.json["parameters"] == {"n": 1}
    assert ("multimodal" in order.path) is (route == "--sync")


def test_a_local_picture_goes_inside_the_request(ds: Cli, store: Store) -> None:
    """Nothing is uploaded for it."""
    ds.write("a.png", picture(512, 512))
    assert ds.run("edit", *DS, "a.png", "make it blue", "-o", "b.png").code == 0
    assert store.files == {}


def test_videos_and_sound_are_left_at_the_store(ds: Cli, api: FakeDashScope, store: Store) -> None:
    """Each is uploaded once for the model that uses it, and again for another model, for which it is of no use."""
    movie(ds)
    ds.write("a.wav", WAVE)
    ds.write("a.png", picture(512, 512))
    more = ("-m", "wan2.7-video", "--no-wait")
    assert ds.run("generate", *DS, "go on", "--first-clip", "clip.mov", *more).code == 0
    assert [key.rpartition("/")[0].rpartition("/")[2] for key in store.files] == ["wan2.7-i2v"]
    assert ds.run("generate", *DS, "and on", "--first-clip", "clip.mov", *more).code == 0
    assert len([seen for seen in api.seen if "/uploads" in seen.path]) == 1
    ran = ds.run("edit", *DS, "clip.mov", "in red", *more, "--json")
    assert (ran.code, ran.task["model"], ran.task["provider_model"]) == (0, "wan2.7-video", "wan2.7-videoedit")
    assert ds.run("generate", *DS, "sing", "--first-frame", "a.png", "--audio", "a.wav", *more).code == 0
    assert [key.rpartition(".")[2] for key in store.files] == ["mov", "mov", "wav"]
    media = next(iter(api.tasks.values()))["body"]["input"]["media"]
    assert media[0]["url"].startswith("data:image/png;base64,")
    assert media[1]["url"].startswith("oss://")


def test_uploads_are_printed_and_can_be_used(ds: Cli, api: FakeDashScope, store: Store) -> None:
    """``wan upload`` gives an address that the same model takes; ``-m`` says which."""
    movie(ds)
    (address,) = ds.run("upload", *DS, "clip.mov", "-m", "wan2.7-videoedit").lines
    assert address.removeprefix("oss://") in store.files
    ran = ds.run("edit", *DS, address, "in red", "-m", "wan2.7-video", "--no-wait")
    assert ran.code == 0, ran.err
    assert api.tasks["task-1"]["body"]["input"]["media"] == [{"type": "video", "url": address}]
    assert ds.run("edit", "-p", "modelverse", address, "in red", "-m", "wan2.7-video", "--dry-run").code == 2
    ran = ds.run("upload", *DS, "clip.mov")
    assert "/wan2.7-i2v/" in ran.out
    assert "-m names that" in ran.err


def test_pictures_may_be_stored_too(ds: Cli, store: Store) -> None:
    """``image_transport = "upload"`` in the configuration sends pictures the same way."""
    ds.config('[providers.dashscope]\nimage_transport = "upload"\n')
    ds.write("a.png", picture(512, 512))
    assert ds.run("edit", *DS, "a.png", "make it blue", "-o", "b.png").code == 0
    assert len(store.files) == 1


def test_a_store_that_refuses_buys_nothing(ds: Cli, api: FakeDashScope, store: Store) -> None:
    """Its words are told, its refusal is not the key's, and no order was sent."""
    movie(ds)
    xml = b"<Error><Code>EntityTooLarge</Code><Message>too large</Message></Error>"
    store.refuse = Say(400, xml, {"Content-Type": "application/xml"})
    ran = ds.run("edit", *DS, "clip.mov", "in red", "-m", "wan2.7-video", "--json")
    assert (ran.code, ran.task["error"]["code"], ran.task["charged"]) == (4, "request_rejected", "no")
    assert "too large" in ran.task["error"]["message"]
    assert api.tasks == {}


@pytest.mark.parametrize(("host", "words"), [
    ("http://files.example.com", "is not https"), ("https://10.0.0.1", "not a public address"),
    ("https://user@files.example.com", "user name"),
])  # fmt: skip
def test_files_go_to_no_strange_place(ds: Cli, api: FakeDashScope, host: str, words: str) -> None:
    """A host that results may not come from gets no file either: exit 3, nothing sent, nothing bought."""
    movie(ds)
    api.upload_host = host
    ran = ds.run("edit", *DS, "clip.mov", "in red", "-m", "wan2.7-video", "--json")
    assert (ran.code, ran.task["error"]["code"]) == (3, "config_invalid")
    assert words in ran.task["error"]["message"]
    assert api.tasks == {}


def test_verbose_shows_neither_key_nor_permission(ds: Cli) -> None:
    """What -v prints of the policy has no signature and no access key in it."""
    movie(ds)
    ran = ds.run("upload", *DS, "clip.mov", "-v")
    assert "getPolicy" in ran.err
    for secret in (KEY, "c2VjcmV0LXNpZ25hdHVyZQ", "LTAI5t-canary"):
        assert secret not in ran.err


def test_a_dry_run_shows_the_permission_and_the_order(ds: Cli, api: FakeDashScope) -> None:
    """Both requests are there, the file as what it will be; nothing is sent."""
    movie(ds)
    ran = ds.run("edit", *DS, "clip.mov", "in red", "-m", "wan2.7-video", "--dry-run", "--json")
    policy, order = ran.json["requests"]
    assert policy["url"].endswith("/uploads?action=getPolicy&model=wan2.7-videoedit")
    assert order["body"]["input"]["media"] == [{"type": "video", "url": "<upload:clip.mov>"}]
    assert order["headers"]["X-DashScope-OssResourceResolve"] == "enable"
    assert order["headers"]["X-DashScope-Async"] == "enable"
    assert api.seen == []


def test_only_a_waiting_task_is_cancelled(ds: Cli, api: FakeDashScope) -> None:
    """A queued one ends, here and there; one that runs goes on: exit 8, with the provider's words."""
    (first,) = ds.run("generate", *DS, "a fox", "--no-wait").lines
    ran = ds.run("cancel", first, "--json")
    assert (ran.code, ran.task["state"], api.tasks["task-1"]["status"]) == (0, "cancelled", "CANCELED")
    (second,) = ds.run("generate", *DS, "a fox", "--no-wait").lines
    api.tasks["task-2"]["status"] = "RUNNING"
    ran = ds.run("cancel", second)
    assert (ran.code, ran.said("charged")) == (8, "yes")
    assert "confirm if the task is in PENDING" in ran.said("error")
    assert ds.run("status", second, "--json").task["state"] == "pending"


def test_a_task_that_is_too_old_is_lost(ds: Cli, api: FakeDashScope) -> None:
    """Its id answers UNKNOWN after a day: asked again for a while, and then exit 10, bought and gone."""
    (handle,) = ds.run("generate", *DS, "a fox", "--no-wait").lines
    api.tasks.clear()
    ds.clock.now += 25 * 3600
    ran = ds.run("wait", handle, "--json")
    assert (ran.code, ran.task["state"], ran.task["error"]["code"]) == (10, "lost", "task_vanished")


def test_the_list_is_the_providers(ds: Cli, api: FakeDashScope) -> None:
    """Own tasks have their id and prompt, those made elsewhere a handle to wait for; nothing is kept or bought."""
    ds.run("generate", *DS, "a fox", "--no-wait")
    for number in range(12):
        api.tasks[f"other-{number}"] = {"status": "SUCCEEDED", "model": "wan2.7-i2v"}
    api.tasks["other-12"] = {"status": "FAILED", "model": "qwen-image"}
    before = len(api.tasks)
    ran = ds.run("status", *DS, "--remote", "--json")
    assert ran.code == 0
    tasks = ran.json["tasks"]
    assert [len(tasks), tasks[0]["prompt"], tasks[0]["state"]] == [14, "a fox", "pending"]
    assert tasks[0]["id"]
    last, failed = tasks[-2:]
    assert (last["id"], last["handle"], last["state"], last["model"], last["provider_model"], last["charged"]) == (
        None, "dashscope:other-11", "succeeded", "wan2.7-i2v", "wan2.7-i2v", "yes",
    )  # fmt: skip
    assert (failed["state"], failed["charged"], failed["created_at"]) == ("failed", "unknown", "2026-11-21T08:59:50Z")
    rows = ds.run("status", "--remote", "--limit", "3").lines
    assert [row.split("\t")[0] for row in rows] == ["dashscope:task-1", "dashscope:other-0", "dashscope:other-1"]
    assert len(ds.run("status", "--json").json["tasks"]) == 1
    assert len(api.tasks) == before
    assert ds.run("wait", "dashscope:other-11", "-o", "x.png").code == 0


def test_what_is_here_already_stays_as_it_is(ds: Cli, api: FakeDashScope) -> None:
    """A saved task is not turned back by the list, and one that ended there shows so."""
    ds.run("generate", *DS, "a fox", "-o", "fox.png")
    ds.run("generate", *DS, "an owl", "--no-wait")
    api.tasks["task-2"]["status"] = "CANCELED"
    second, first = ds.run("status", *DS, "--remote", "--json").json["tasks"]
    assert [first["state"], first["files"][0]["path"]] == ["succeeded", "fox.png"]
    assert second["state"] == "cancelled"
    api.tasks.clear()
    ran = ds.run("status", *DS, "--remote")
    assert (ran.code, ran.out, "dashscope lists no tasks" in ran.err) == (0, "", True)


@pytest.mark.parametrize(("argv", "words"), [
    (("-p", "dashscope"), "--provider needs --remote"), (("--remote", "-p", "rivya"), "documents no list"),
    (("--remote", "-p", "dashscope", "abc"), "takes no TASK"), (("--remote", "-p", "nobody"), "not a provider"),
    (("--remote", "-p", "dashscope", "--wait"), "--remote and --wait"),
    (("--remote", "-p", "dashscope", "--prune", "3d"), "--remote and --prune"),
    (("--remote", "-p", "dashscope", "--exit-status"), "--remote and --exit-status"),
    (("--remote", "-p", "dashscope", "-o", "x.png"), "--remote and --output"),
])  # fmt: skip
def test_what_the_list_cannot_do_is_refused(ds: Cli, api: FakeDashScope, argv: tuple[str, ...], words: str) -> None:
    """Exit 2 before anything is sent."""
    ran = ds.run("status", *argv)
    assert ran.code == 2
    assert words in ran.said("error")
    assert api.seen == []


def test_a_list_needs_a_provider(ds: Cli) -> None:
    """Where nobody says whose, it is the only one with a key; without any it is asked for."""
    assert ds.run("status", "--remote").code == 0
    ran = ds.run("status", "--remote", env={"DASHSCOPE_API_KEY": ""})
    assert (ran.code, ran.said("hint")) == (2, "wan status -p dashscope --remote")


@pytest.mark.parametrize(("say", "code", "ours"), [
    (Say(401, {"code": "InvalidApiKey", "message": "Invalid API-key provided."}), 3, "key_rejected"),
    (Say(429, {"code": "Throttling.RateQuota", "message": "slow"}), 6, "rate_limited"),
    (Say(500, {"code": "InternalError", "message": "no"}), 6, "network"), (Say(200, b"<html>"), 6, "network"),
    (Say(drop=True), 6, "network"),
])  # fmt: skip
def test_a_list_that_does_not_come_is_an_error(ds: Cli, api: FakeDashScope, say: Say, code: int, ours: str) -> None:
    """Refusals keep their class, everything else is the network's: nothing was bought."""
    api.say = [say]
    ran = ds.run("status", *DS, "--remote", "--json")
    assert (ran.code, ran.json["error"]["code"], ran.json["error"]["charged"]) == (code, ours, "no")


def test_a_list_that_cannot_be_asked_for_is_an_error(ds: Cli) -> None:
    """Nobody listens at the address: exit 6."""
    assert ds.run("status", *DS, "--remote", env={"DASHSCOPE_BASE_URL": "http://127.0.0.1:9"}).code == 6


def test_a_relay_is_a_provider_of_ones_own(ds: Cli, api: FakeDashScope) -> None:
    """``contract = "dashscope"`` with a base URL that has a prefix: bought, listed, at a price that nobody knows."""
    ds.config(f'[providers.yw]\ncontract = "dashscope"\nbase_url = "{api.url}{PREFIX}"\n')
    own = {"YW_API_KEY": KEY}
    ran = ds.run("generate", "-p", "yw", "a fox", "-o", "fox.png", "--json", env=own)
    assert (ran.code, ran.task["handle"], ran.task["cost"]["estimated"]) == (0, "yw:task-1", None)
    assert ds.run("status", "-p", "yw", "--remote", env=own).lines[0].startswith("yw:task-1\tsucceeded\twan2.7-image")


@pytest.mark.parametrize(("base", "argv", "amount"), [
    ("", ("generate", "a fox", "-n", "3"), 0.6), ("", ("generate", "a fox", "-m", "wan2.7-image-pro"), 0.5),
    ("https://dashscope-intl.aliyuncs.com", ("generate", "a fox"), 0.220177),
    ("https://ws1.ap-southeast-1.maas.aliyuncs.com/api/v1", ("generate", "a fox"), 0.220177),
    ("https://dashscope-us.aliyuncs.com", ("generate", "a fox"), None), ("https://x.example", ("generate", "x"), None),
    ("", ("generate", "a fox", "-m", "wan2.7-video"), 5), ("", ("generate", "a fox", "-d", "4"), 4),
    ("", ("generate", "a fox", "-d", "4", "--resolution", "720p"), 2.4),
    ("", ("edit", "https://x.example.com/a.mp4", "red", "-m", "wan2.7-video"), 20),
    ("", ("edit", "https://x.example.com/a.mp4", "red", "-m", "wan2.7-videoedit", "-d", "4"), 14),
    ("", ("fuse", "https://x.example.com/a.mp4", "red", "-m", "wan2.7-video", "-d", "4"), 9),
    ("", ("fuse", "https://x.example.com/a.png", "red", "-m", "wan2.7-r2v", "-d", "4"), 4),
    ("", ("generate", "a fox", "--first-clip", "https://x.example.com/a.mp4", "-d", "4"), 4),
])  # fmt: skip
def test_prices_are_those_of_the_place(cli: Cli, base: str, argv: tuple[str, ...], amount: float | None) -> None:
    """By region and resolution; footage that is looked at is charged too, at its dearest; elsewhere nobody knows."""
    env = {"DASHSCOPE_BASE_URL": base} if base else {}
    ran = cli.run(*argv, *DS, "--dry-run", "--json", env=env)
    assert ran.code == 0, ran.err
    (found,) = ran.json["estimate"]
    assert (found["amount"], found["unit"]) == (amount, None if amount is None else "CNY")


def test_a_price_of_a_broken_setting_is_unknown(cli: Cli) -> None:
    """The catalogue is shown all the same; what is wrong is said where it is used."""
    env = {"DASHSCOPE_BASE_URL": "nonsense"}
    rows = cli.run("models", "--json", env=env).json["models"]
    assert {row["price"] for row in rows if row["provider"] == "dashscope"} == {"unknown"}
    assert cli.run("generate", *DS, "x", "--dry-run", env=env).code == 3


def test_it_is_listed_wherever_providers_are(cli: Cli) -> None:
    """Models, keys and the doctor know it, with its regions' and resolutions' prices."""
    rows = cli.run("models", "dashscope", "--json").json["models"]
    assert {row["model"] for row in rows} == {"wan2.7-image", "wan2.7-image-pro", "wan2.7-video"}
    assert "1 CNY per second (720p: 0.6 CNY)" in {row["price"] for row in rows}
    listed = cli.run("auth", "list", "--json", env={"DASHSCOPE_API_KEY": "sk-x1234567"}).json["auth"]
    (own,) = [row for row in listed if row["provider"] == "dashscope"]
    assert "DASHSCOPE_API_KEY" in str(own)


def test_the_doctor_looks_at_it(ds: Cli, api: FakeDashScope) -> None:
    """Its list of tasks tells whether the key is taken; nothing is bought."""
    rows = ds.run("doctor", "--json").json["doctor"]
    own = {row["check"]: row["level"] for row in rows if row["subject"] == "dashscope"}
    assert (own["key"], own["network"]) == ("ok", "ok")
    api.say = [Say(401, {"code": "InvalidApiKey", "message": "Invalid API-key provided."})]
    ran = ds.run("doctor", "--json")
    assert ran.code == 3
    assert any("the key is refused" in row["finding"] for row in ran.json["doctor"])
