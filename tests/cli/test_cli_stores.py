"""``-o s3://…`` and pictures from there: one purchase, one object, whatever the store does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support_cli import Cli, picture
from support_provider import Say
from support_store import SECRET, Fault, Store

from wan_cli.cli.storing import check_objects
from wan_cli.engine.storing import taken_over
from wan_cli.errors import UsageError, WriteFailed
from wan_cli.stores import objects, read_address

CALL = ("generate", "a fox", "-p", "rivya", "-o", "s3://studio/out/fox.png")


@pytest.fixture
def shop(live: Cli, store: Store) -> Iterator[Cli]:
    """Return the command line, in front of a provider and a store; no file of it may have the store's secret."""
    yield live
    assert live.files() == []
    for path in live.root.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def purchases(shop: Cli) -> int:
    """Return how many tasks were bought."""
    return len(shop.provider.orders)


def staged(shop: Cli) -> list[Path]:
    """Return the results that wait on this machine."""
    return [path for path in (shop.root / "state" / "staged").rglob("*") if path.is_file()]


def whole(store: Store, *keys: str) -> None:
    """Hold that these are the objects, each with the sha256 that its metadata tell."""
    assert sorted(store.objects) == sorted(keys)
    for key in keys:
        kept = store.objects[key]
        assert kept.meta["wansha256"] == hashlib.sha256(kept.data).hexdigest()


# -- where it goes


def test_a_picture_is_put_into_a_store(shop: Cli, store: Store) -> None:
    """The path that is told is the address; nothing stays on this machine."""
    ran = shop.run(*CALL, "--json")
    assert ran.code == 0, ran.err
    (file,) = ran.task["files"]
    assert file["path"] == "s3://studio/out/fox.png"
    whole(store, "out/fox.png")
    kept = store.objects["out/fox.png"]
    assert (len(kept.data), hashlib.sha256(kept.data).hexdigest()) == (file["bytes"], file["sha256"])
    assert kept.mime == file["mime"] == "image/png"
    assert staged(shop) == []
    assert not (shop.root / "state" / "staged" / ran.task["id"]).exists()


def test_in_text_the_address_is_the_data(shop: Cli, store: Store) -> None:
    """A folder ends in a slash, and the default name is made for it."""
    ran = shop.run("generate", "a fox", "-p", "rivya", "-o", "s3://studio/out/")
    assert ran.code == 0
    (key,) = store.objects
    assert ran.out == f"s3://studio/{key}\n"
    assert key.startswith("out/a-fox-")


def test_several_results_have_several_names(shop: Cli, store: Store) -> None:
    """Numbers go before the extension, as on a disk."""
    ran = shop.run(*CALL, "-n", "2", "--json")
    assert ran.code == 0, ran.err
    whole(store, "out/fox-1.png", "out/fox-2.png")


def test_a_sidecar_goes_with_it(shop: Cli, store: Store) -> None:
    """It says how the object was made, under the object's name; an older one is replaced."""
    store.keep("out/fox.png.json", b'{"wan": 1}')
    assert shop.run(*CALL, "--sidecar").code == 0
    said = json.loads(store.objects["out/fox.png.json"].data)
    assert (said["file"], said["prompt"]) == ("fox.png", "a fox")
    whole(store, "out/fox.png", "out/fox.png.json")


def test_converted_and_labelled_before_it_is_put(shop: Cli, store: Store) -> None:
    """What is done to a file on its way to a disk is done on its way to a store."""
    ran = shop.run("generate", "a fox", "-p", "rivya", "-o", "s3://studio/fox.jpg", "--convert", "--embed", "--json")
    assert ran.code == 0, ran.err
    assert store.objects["fox.jpg"].data.startswith(b"\xff\xd8")
    assert b"a fox" in store.objects["fox.jpg"].data
    assert store.objects["fox.jpg"].mime == "image/jpeg"


def test_wait_takes_it_to_a_store(shop: Cli, store: Store) -> None:
    """``-o`` of ``wan wait`` may name one too, and one for several tasks."""
    handles = [shop.run("generate", f"fox {n}", "-p", "rivya", "--no-wait").out.strip() for n in range(2)]
    ran = shop.run("wait", *handles, "-o", "s3://studio")
    assert ran.code == 0, ran.err
    assert len(store.objects) == 2
    assert sorted(ran.lines) == sorted(f"s3://studio/{key}" for key in store.objects)


def test_the_target_is_kept_with_the_task(shop: Cli, store: Store) -> None:
    """Submitted here, collected later: the address is the one that was said at submit."""
    handle = shop.run(*CALL, "--no-wait").out.strip()
    assert store.objects == {}
    assert shop.run("wait", handle).out == "s3://studio/out/fox.png\n"
    whole(store, "out/fox.png")


# -- asked before anything is bought


def test_an_object_that_is_there_is_refused_before_buying(shop: Cli, store: Store) -> None:
    """Nothing is overwritten unasked; --skip-existing leaves it, and --overwrite replaces it."""
    store.keep("out/fox.png", b"somebody's")
    ran = shop.run(*CALL)
    assert ran.code == 2
    assert "s3://studio/out/fox.png exists" in ran.err
    ran = shop.run(*CALL, "--skip-existing")
    assert (ran.code, ran.out) == (0, "s3://studio/out/fox.png\n")
    assert purchases(shop) == 0
    assert store.objects["out/fox.png"].data == b"somebody's"
    assert shop.run(*CALL, "--overwrite").code == 0
    whole(store, "out/fox.png")


@pytest.mark.parametrize(
    ("faults", "output", "code", "said"),
    [
        ([], "s3://nobody/fox.png", 2, "there is no such bucket"),
        ([Fault("HEAD", 403, "AccessDenied")], "s3://studio/fox.png", 3, "refuses the key"),
        ([Fault("HEAD", 403, "AccessDenied")], "s3://studio/", 3, "refuses the key"),
        ([Fault("HEAD", 0)], "s3://studio/fox.png", 6, "could not be reached"),
        ([], "s3://me:pw@studio/fox.png", 2, "no user name"),
        ([], "s3://studio/../fox.png", 2, "empty, . or .."),
        ([], "s3://studio/{nose}.png", 2, "unknown field"),
        ([], "s3://studio/fox.webp", 2, "--convert"),
    ],
)  # fmt: skip
def test_a_store_that_cannot_be_used_costs_nothing(
    shop: Cli, store: Store, faults: list[Fault], output: str, code: int, said: str
) -> None:
    """The exit code says whether the call, the set-up or the time was wrong."""
    store.faults += faults
    ran = shop.run("generate", "a fox", "-p", "rivya", "-o", output)
    assert ran.code == code, ran.err
    assert said in ran.err
    assert "charged: no" in ran.err
    assert purchases(shop) == 0
    assert store.puts() == []


def test_two_results_of_one_name_are_refused(shop: Cli, store: Store) -> None:
    """A template that gives every result one name is refused, as on a disk."""
    ran = shop.run(*CALL[:-1], "s3://studio/fox.png", "-n", "2", "--convert", "--skip-existing", "--preview")
    assert ran.code == 2
    assert "--preview shows files on this machine" in ran.err


def test_without_the_extra_nothing_is_bought(shop: Cli, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing extra is exit 3 with the command that installs it."""
    monkeypatch.setattr(objects, "find_spec", lambda name: None)
    ran = shop.run(*CALL)
    assert ran.code == 3
    assert "hint: python -m pip install 'obstore>=0.6'" in ran.err
    assert purchases(shop) == 0


def test_a_dry_run_asks_no_store(shop: Cli, store: Store) -> None:
    """It needs no key and sends nothing, to nobody."""
    assert shop.run(*CALL, "--dry-run").code == 0
    assert store.seen == []


def test_a_projects_file_names_no_store(shop: Cli) -> None:
    """What a repository brings along must not send results away."""
    shop.write("wan.toml", 'output = "s3://studio/"\n')
    ran = shop.run("generate", "a fox", "-p", "rivya")
    (shop.cwd / "wan.toml").unlink()
    assert ran.code == 3
    assert purchases(shop) == 0


# -- a store that fails afterwards


@pytest.mark.parametrize(
    "fault",
    [Fault("PUT", 403, "AccessDenied"), Fault("PUT", 503), Fault("PUT", 0)],
    ids=["refused", "down", "dies"],
)  # fmt: skip
def test_a_result_that_cannot_be_put_waits_here(shop: Cli, store: Store, fault: Fault) -> None:
    """Exit 12 names where it waits; ``wan wait`` puts it, without asking the provider for anything."""
    store.faults.append(fault)
    ran = shop.run(*CALL)
    assert (ran.code, ran.out) == (12, ""), ran.err
    (waits,) = staged(shop)
    assert str(waits) in ran.err
    assert "charged: yes" in ran.err
    assert store.objects == {}
    store.faults.clear()
    asked = len(shop.provider.seen)
    (again,) = [line.removeprefix("hint: wan ") for line in ran.err.splitlines() if line.startswith("hint: wan wait")]
    ran = shop.run(*again.split())
    assert (ran.code, ran.out) == (0, "s3://studio/out/fox.png\n"), ran.err
    whole(store, "out/fox.png")
    assert (purchases(shop), len(shop.provider.seen), staged(shop)) == (1, asked, [])


def test_a_result_that_waits_can_go_elsewhere(shop: Cli, store: Store) -> None:
    """Whose store stays closed takes it home with ``-o``, or to another store, from where it waits."""
    store.buckets["other"] = {}
    for output, found in (("./", None), ("s3://other/", "other")):
        store.faults.append(Fault("PUT", 403, "AccessDenied"))
        handle = json.loads(shop.run(*CALL, "--json").out)["tasks"][0]["handle"]
        store.faults.clear()
        asked = len(shop.provider.seen)
        ran = shop.run("wait", handle, "-o", output, "--json")
        assert ran.code == 0, ran.err
        assert len(shop.provider.seen) == asked
        assert staged(shop) == []
        path = ran.task["files"][0]["path"]
        if found:
            assert list(store.buckets["other"]) == [path.removeprefix("s3://other/")]
        else:
            (shop.cwd / path).unlink()
    assert store.objects == {}


def test_what_waits_is_converted_where_that_is_said_now(shop: Cli, store: Store) -> None:
    """``wan wait --convert`` holds for a result that was made without it; what --embed comes too late for is told."""
    for output, said, key, head in (
        ("s3://studio/owl.jpg", "--convert", "owl.jpg", b"\xff\xd8"),
        ("s3://studio/elk.png", "--embed", "elk.png", b"\x89PNG"),
    ):
        store.faults.append(Fault("PUT", 403, "AccessDenied"))
        handle = json.loads(shop.run(*CALL, "--json").out)["tasks"][0]["handle"]
        store.faults.clear()
        asked = len(shop.provider.seen)
        ran = shop.run("wait", handle, "-o", output, said)
        assert (ran.code, ran.out) == (0, f"{output}\n"), ran.err
        assert ("stays as it is" in ran.err) is (said == "--embed")
        assert store.objects[key].data.startswith(head)
        assert (len(shop.provider.seen), staged(shop)) == (asked, [])
    whole(store, "elk.png", "owl.jpg")


def test_a_name_that_is_taken_meanwhile(shop: Cli, store: Store) -> None:
    """Somebody's object stays, and the result has the next free name, with its sidecar."""
    handle = shop.run(*CALL, "--no-wait", "--sidecar").out.strip()
    store.keep("out/fox.png", b"somebody's")
    store.keep("out/fox.png.json", b"notes")
    ran = shop.run("wait", handle, "--json")
    assert ran.code == 0, ran.err
    assert ran.task["files"][0]["path"] == "s3://studio/out/fox-2.png"
    assert "was taken meanwhile" in ran.err
    assert store.objects["out/fox.png"].data == b"somebody's"
    assert json.loads(store.objects["out/fox-2.png.json"].data)["file"] == "fox-2.png"


def test_a_strangers_sidecar_stays(shop: Cli, store: Store) -> None:
    """It is refused before buying, and left as it is where it came meanwhile."""
    store.keep("out/fox.png.json", b"notes")
    ran = shop.run(*CALL, "--sidecar")
    assert ran.code == 2
    assert "is no sidecar" in ran.err
    store.objects.clear()
    handle = shop.run(*CALL, "--no-wait", "--sidecar").out.strip()
    store.keep("out/fox.png.json", b"notes")
    ran = shop.run("wait", handle)
    assert ran.code == 0
    assert "is no sidecar and was left as it is" in ran.err
    assert store.objects["out/fox.png.json"].data == b"notes"


def test_a_poster_goes_with_a_video(shop: Cli, store: Store) -> None:
    """It stands beside the video; an object that has its name is refused before, and left where it came meanwhile."""
    film = ("generate", "a fox", "-m", "wan2.7-video", "-d", "2", "--resolution", "720p", "--sandbox", "--poster")
    ran = shop.run(*film, "-p", "dashscope", "-o", "s3://studio/clip.mp4", "--json")
    assert ran.code == 0, ran.err
    (file,) = ran.task["files"]
    assert (file["path"], file["poster"]) == ("s3://studio/clip.mp4", "s3://studio/clip.poster.jpg")
    whole(store, "clip.mp4", "clip.poster.jpg")
    assert store.objects["clip.poster.jpg"].mime == "image/jpeg"
    del store.objects["clip.mp4"]
    ran = shop.run(*film, "-p", "dashscope", "-o", "s3://studio/clip.mp4")
    assert ran.code == 2
    assert "clip.poster.jpg exists" in ran.err
    store.objects.clear()
    handle = shop.run(*film, "-p", "dashscope", "-o", "s3://studio/clip.mp4", "--no-wait").out.strip()
    store.keep("clip.poster.jpg", b"somebody's")
    ran = shop.run("wait", handle, "--sandbox", "--json")
    assert ran.code == 0, ran.err
    assert "poster" not in ran.task["files"][0]
    assert "clip.poster.jpg exists and was left as it is" in ran.err
    assert store.objects["clip.poster.jpg"].data == b"somebody's"


def test_a_resubmitted_purchase_needs_its_name(shop: Cli, store: Store) -> None:
    """Before ``wan recover --resubmit`` buys once more, the object's name is asked for."""
    shop.provider.script["submit"] = [Say(drop=True, accept=True)] * 3
    ran = shop.run("generate", "a fox", "-p", "modelverse", "-o", "s3://studio/fox.png", "--json")
    assert ran.code == 9
    shop.provider.script["submit"] = []
    store.keep("fox.png", b"somebody's")
    again = shop.run("recover", ran.task["id"], "--resubmit", "--yes")
    assert again.code == 2
    assert "s3://studio/fox.png exists" in again.err
    store.objects.clear()
    assert shop.run("recover", ran.task["id"], "--resubmit", "--yes").code == 0
    whole(store, "fox.png")


def test_wait_checks_the_name_that_it_is_given(shop: Cli, store: Store) -> None:
    """``-o`` of one task alone is refused where something is; so is --preview, which has no file to show."""
    store.keep("fox.png", b"somebody's")
    handle = shop.run("generate", "a fox", "-p", "rivya", "-o", "x.png", "--no-wait").out.strip()
    assert shop.run("wait", handle, "-o", "s3://studio/fox.png").code == 2
    assert shop.run("wait", handle, "-o", "s3://studio/", "--preview").code == 2
    assert shop.run("wait", handle, "-o", "s3://studio/owl.png").out == "s3://studio/owl.png\n"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("s3://studio/fox", "--convert"), "to which format"),
        (("s3://studio/{id}.png", "--skip-existing"), "never exists yet"),
    ],
)  # fmt: skip
def test_calls_that_are_wrong_on_a_disk_are_wrong_here(
    shop: Cli, store: Store, words: tuple[str, ...], said: str
) -> None:
    """The rules of ``-o`` are one."""
    ran = shop.run("generate", "a fox", "-p", "rivya", "-o", *words)
    assert ran.code == 2
    assert said in ran.err
    assert store.seen == []


# -- afterwards


def test_wait_asks_whether_it_is_still_there(shop: Cli, store: Store) -> None:
    """An object that is gone is collected once more; where the store cannot be asked, nothing is said to be there."""
    handle = shop.run(*CALL, "--json").task["handle"]
    assert shop.run("wait", handle).code == 0
    store.objects.clear()
    assert shop.run("status", handle).code == 0
    assert shop.run("wait", handle).code == 0
    whole(store, "out/fox.png")
    assert purchases(shop) == 1
    store.faults.append(Fault("HEAD", 503))
    ran = shop.run("wait", handle)
    assert ran.code == 12
    assert "is not known" in ran.err
    assert f"hint: wan wait {handle}\n" in ran.err  # --all leaves out what was saved once


def test_an_idempotency_key_finds_its_object(shop: Cli, store: Store) -> None:
    """A step that is run again meets its own object: no second purchase, and no refusal."""
    call = (*CALL, "--idempotency-key", "night-1")
    assert shop.run(*call).code == 0
    ran = shop.run(*call)
    assert (ran.code, ran.out) == (0, "s3://studio/out/fox.png\n"), ran.err
    assert purchases(shop) == 1


def test_every_free_name_is_tried_and_then_no_more(shop: Cli, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where even NAME-100 is taken the result waits on this machine."""
    monkeypatch.setattr("wan_cli.engine.storing._NAME_TRIES", 2)
    handle = shop.run(*CALL, "--no-wait").out.strip()
    store.keep("out/fox.png", b"one")
    store.keep("out/fox-2.png", b"two")
    ran = shop.run("wait", handle)
    assert ran.code == 12
    assert "every name for it is taken" in ran.err
    assert len(staged(shop)) == 1


def test_two_addresses_of_one_object_are_refused(store: Store) -> None:
    """Two results never share a name."""
    twice = [read_address("s3://studio/fox.png")] * 2
    with pytest.raises(UsageError, match="two results"):
        check_objects(twice, overwrite=True, skip_existing=False)


def test_a_copy_that_cannot_be_kept(shop: Cli, store: Store) -> None:
    """A state folder that takes no copy is told of, and nothing is sent."""
    store.keep("logo.png", picture(400, 400))
    blocked = shop.root / "state" / "fetched"
    digest = hashlib.sha256(store.objects["logo.png"].data).hexdigest()
    blocked.mkdir(parents=True)
    (blocked / digest[:24]).write_text("in the way")
    ran = shop.run("edit", "s3://studio/logo.png", "make it red", "-p", "modelverse", "-o", "s3://studio/")
    assert ran.code == 2
    assert "cannot be copied" in ran.err


def test_what_waits_and_cannot_be_read(tmp_path: Path) -> None:
    """A staged file that went between two looks is an error of writing: the result is still at the provider."""
    with pytest.raises(WriteFailed, match="cannot be read"):
        taken_over(tmp_path / "none.png", None)  # type: ignore[arg-type]


def test_who_made_an_object_is_known(shop: Cli, store: Store) -> None:
    """``wan inspect`` and --like take an address; ``wan keep`` is about files here, and says so."""
    task = shop.run(*CALL, "--json").task["id"]
    ran = shop.run("inspect", "s3://studio/out/fox.png")
    assert ran.code == 0, ran.err
    assert ran.out.startswith("s3://studio/out/fox.png\tledger\t"), ran.out
    ran = shop.run("generate", "--like", "s3://studio/out/fox.png", "-o", "s3://studio/owl.png")
    assert ran.code == 0, ran.err
    whole(store, "out/fox.png", "owl.png")
    for what in (task, "s3://studio/out/fox.png"):
        ran = shop.run("keep", what, "--as", "fox")
        assert ran.code == 2
        assert "is in a store" in ran.err


# -- pictures from there


def test_a_reference_is_read_from_a_store(shop: Cli, store: Store) -> None:
    """It is fetched, checked and uploaded like a file; the next call finds the copy; --prune removes it."""
    data = picture(400, 400)
    store.keep("refs/logo.png", data, wansha256=hashlib.sha256(data).hexdigest())
    call = (
        "edit",
        "s3://studio/refs/logo.png",
        "make it red",
        "-p",
        "modelverse",
        "-o",
        "s3://studio/{id}.png",
        "--json",
    )
    ran = shop.run(*call)
    assert ran.code == 0, ran.err
    assert ran.task["request"]["references"] == ["logo.png"]
    copies = list((shop.root / "state" / "fetched").glob("*/*"))
    assert [path.read_bytes() for path in copies] == [data]
    reads = [one for one in store.seen if one.method == "GET" and one.path.endswith("logo.png")]
    assert shop.run(*call).code == 0
    assert [one for one in store.seen if one.method == "GET" and one.path.endswith("logo.png")] == reads
    (shop.root / "state" / "fetched" / ".0123456789ab.part").write_bytes(data)  # of a process that was killed
    shop.clock.now += 100 * 86_400 + 10 * 365 * 86_400
    assert shop.run("status", "--prune", "1d").code == 0
    assert list((shop.root / "state" / "fetched").iterdir()) == []


@pytest.mark.parametrize(
    ("word", "code", "said"),
    [
        ("s3://studio/none.png", 2, "it is not there"), ("s3://studio/refs/", 2, "is a folder"),
        ("s3://me:pw@studio/x.png", 2, "no user name"), ("s3://studio/text.png", 2, "taken"),
    ],
)  # fmt: skip
def test_a_reference_that_cannot_be_used(shop: Cli, store: Store, word: str, code: int, said: str) -> None:
    """Nothing is sent."""
    store.keep("text.png", b"no picture")
    ran = shop.run("edit", word, "make it red", "-p", "modelverse", "-o", "s3://studio/")
    assert ran.code == code, ran.err
    assert said in ran.err
    assert purchases(shop) == 0


def test_a_reference_behind_a_key_that_is_refused(shop: Cli, store: Store) -> None:
    """That is a matter of the set-up: exit 3."""
    store.faults.append(Fault("HEAD", 403, "AccessDenied"))
    ran: Any = shop.run("edit", "s3://studio/x.png", "make it red", "-p", "modelverse")
    assert ran.code == 3
    assert purchases(shop) == 0
