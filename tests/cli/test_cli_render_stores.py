"""``wan render -o s3://…``: each asset is bought once and is one object, whatever becomes of the store."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from support_cli import Cli, Ran, picture
from support_store import SECRET, Fault, Store

from wan_cli.stores import objects

HOME = "s3://studio/game/"
MANIFEST = """
[defaults]
provider = "rivya"
output = "art/{id}{ext}"

[[asset]]
id = "hero"
prompt = "a lighthouse"

[[asset]]
id = "poster"
verb = "edit"
images = ["@hero", "refs/logo.png"]
prompt = "make it a poster"
"""
ONE = '[defaults]\nprovider = "rivya"\noutput = "art/{id}{ext}"\n[[asset]]\nid = "hero"\nprompt = "a lighthouse"\n'


@pytest.fixture
def shop(live: Cli, store: Store) -> Iterator[Cli]:
    """Return the command line in a project; no file of it may have the store's secret."""
    live.write("assets.toml", ONE)
    yield live
    for path in live.root.rglob("*"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path


def render(shop: Cli, *words: str) -> Ran:
    """Render into the store."""
    return shop.run("render", "assets.toml", "-o", HOME, *words)


def lock(shop: Cli) -> Any:
    """Return the lock's assets."""
    return json.loads((shop.cwd / "assets.lock").read_text(encoding="utf-8"))["assets"]


def bought(shop: Cli) -> int:
    """Return how many tasks were bought."""
    return len(shop.provider.orders)


def test_assets_become_objects(shop: Cli, store: Store) -> None:
    """One that uses another is made from its object; the lock says where they are, and a second run buys nothing."""
    shop.write("assets.toml", MANIFEST)
    shop.write("refs/logo.png", picture(400, 400))
    ran = render(shop)
    assert ran.code == 0, ran.err
    assert sorted(ran.lines) == [f"{HOME}art/hero.png", f"{HOME}art/poster.png"]
    assert sorted(store.objects) == ["game/art/hero.png", "game/art/poster.png"]
    (made,) = lock(shop)["hero"]["files"]
    data = store.objects["game/art/hero.png"].data
    assert made == {
        "path": "art/hero.png", "sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data), "store": HOME,
    }  # fmt: skip
    assert shop.files() == ["assets.lock", "assets.toml", "refs/logo.png"]
    asked = len(store.seen)
    ran = render(shop)
    assert (ran.code, bought(shop)) == (0, 2), ran.err
    assert len(store.puts()) == 2
    heads = [one for one in store.seen[asked:] if one.method == "HEAD"]
    assert len(heads) <= 2
    asked = len(store.seen)
    assert render(shop, "--check").code == 0
    assert [one.query.get("prefix") for one in store.seen[asked:]] == ["game/"]  # all that is asked when none changed


def test_json_and_jsonl_have_the_addresses(shop: Cli, store: Store) -> None:
    """Both forms of the result name the objects."""
    ran = render(shop, "--json")
    assert ran.code == 0, ran.err
    assert ran.task["files"][0]["path"] == f"{HOME}art/hero.png"
    ran = render(shop, "--jsonl", "--again")
    assert ran.code == 0, ran.err
    assert bought(shop) == 2
    assert len(store.objects) == 1


def test_what_is_gone_or_changed(shop: Cli, store: Store) -> None:
    """A removed object is made anew; one that somebody changed is kept and listed, and replaced by --force alone."""
    assert render(shop).code == 0
    store.objects.clear()
    assert render(shop, "--check").code == 13
    assert render(shop).code == 0
    assert bought(shop) == 2
    store.keep("game/art/hero.png", b"painted over")
    assert render(shop, "--check").code == 13
    ran = render(shop)
    assert (ran.code, bought(shop)) == (13, 2), ran.err
    assert store.objects["game/art/hero.png"].data == b"painted over"
    assert render(shop, "--force").code == 0
    assert store.objects["game/art/hero.png"].meta


def test_what_somebody_changed_is_accepted(shop: Cli, store: Store) -> None:
    """The command that a run names for an edited object records it where it is, and the next run is content."""
    assert render(shop).code == 0
    store.keep("game/art/hero.png", b"painted over")
    ran = render(shop)
    (hint,) = [line.removeprefix("hint: wan ") for line in ran.err.splitlines() if line.startswith("hint: ")]
    assert "--accept hero" in hint
    assert shop.run(*hint.split()).code == 0
    assert render(shop, "--check").code == 0
    assert (render(shop).code, bought(shop)) == (0, 1)
    assert store.objects["game/art/hero.png"].data == b"painted over"


def test_a_check_of_the_inputs_asks_no_store(shop: Cli, store: Store) -> None:
    """A job without a key to the store can tell whether the manifest was rendered."""
    assert render(shop).code == 0
    asked = len(store.seen)
    assert render(shop, "--check", "--inputs-only").code == 0
    shop.write("assets.toml", ONE.replace("lighthouse", "castle"))
    assert render(shop, "--check", "--inputs-only").code == 13
    assert len(store.seen) == asked


def test_a_changed_prompt_replaces_its_own_object(shop: Cli, store: Store) -> None:
    """What wan put there may go; what came meanwhile in its place stays, and the result is put beside it."""
    assert render(shop).code == 0
    first = store.objects["game/art/hero.png"].data
    shop.write("assets.toml", ONE.replace("lighthouse", "castle"))
    shop.provider.deliver = lambda order, index: picture(640, 640)
    assert render(shop).code == 0
    second = store.objects["game/art/hero.png"].data
    assert second != first
    shop.write("assets.toml", ONE.replace("lighthouse", "tower"))
    assert render(shop, "--no-wait").code == 0
    store.keep("game/art/hero.png", b"painted over")
    shop.provider.deliver = lambda order, index: picture(320, 320)
    render(shop)
    assert store.objects["game/art/hero.png"].data == b"painted over"
    assert bought(shop) == 3


def test_somebodys_object_in_the_way(shop: Cli, store: Store) -> None:
    """It is not ours: nothing is bought for its place."""
    store.keep("game/art/hero.png", b"somebody's")
    ran = render(shop)
    assert (ran.code, bought(shop)) == (13, 0), ran.err
    assert store.objects["game/art/hero.png"].data == b"somebody's"


@pytest.mark.parametrize("fault", [Fault("PUT", 403, "AccessDenied"), Fault("PUT", 0)], ids=["refused", "dies"])
def test_a_result_that_cannot_be_put_is_not_bought_again(shop: Cli, store: Store, fault: Fault) -> None:
    """It waits on this machine, and the next run puts it."""
    store.faults.append(fault)
    ran = render(shop)
    assert ran.code == 12, ran.err
    assert "the result waits in" in ran.err
    store.faults.clear()
    asked = len(shop.provider.seen)
    ran = render(shop)
    assert (ran.code, ran.out) == (0, f"{HOME}art/hero.png\n"), ran.err
    assert (bought(shop), len(shop.provider.seen), list(store.objects)) == (1, asked, ["game/art/hero.png"])


def test_a_lock_is_for_one_place(shop: Cli, store: Store) -> None:
    """Rendered here, there or nowhere: what is in another place is named, and never bought once more."""
    assert render(shop).code == 0
    store.buckets["other"] = {}
    for words in (("-o", "s3://other/"), ()):
        ran = shop.run("render", "assets.toml", *words)
        assert ran.code == 2
        assert f"hint: wan render assets.toml -o {HOME}" in ran.err
    assert shop.run("render", "assets.toml", "--check", "--inputs-only").code == 0  # which looks at no output
    (shop.cwd / "assets.lock").unlink()
    shop.write("mine.toml", ONE)
    assert shop.run("render", "mine.toml").code == 0
    count = bought(shop)
    ran = shop.run("render", "mine.toml", "-o", HOME)
    assert ran.code == 2
    assert "on this machine" in ran.err
    assert bought(shop) == count


def test_an_object_that_was_moved_is_followed(shop: Cli, store: Store) -> None:
    """Nothing in a store is moved by wan; what somebody moved is found where the manifest has it now."""
    assert render(shop).code == 0
    shop.write("assets.toml", ONE.replace("art/{id}", "pictures/{id}"))
    ran = render(shop)
    assert ran.code == 2
    assert "moves nothing in a store" in ran.err
    store.objects["game/pictures/hero.png"] = store.objects.pop("game/art/hero.png")
    assert render(shop).code == 0
    assert lock(shop)["hero"]["files"][0]["path"] == "pictures/hero.png"
    assert render(shop, "--check").code == 0
    assert bought(shop) == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("-o", "out/"), 2, "names a folder in a store"), (("-o", "s3://nobody/"), 2, "no such bucket"),
        (("-o", "s3://me:pw@studio/"), 2, "no user name"), (("-o", "s3://studio/{id}/"), 2, "belong into"),
        (("-o", "s3://studio/$(x)/"), 2, "letters, digits"),
        (("-o", HOME, "--prune"), 2, "--prune is about files"),
        (("-o", HOME, "--again", "-n", "2"), 2, "-n is about"), (("-o", HOME, "--report", "x.html"), 2, "--report"),
    ],
)  # fmt: skip
def test_calls_that_cannot_be(shop: Cli, store: Store, words: tuple[str, ...], code: int, said: str) -> None:
    """Each is refused with what to do, and nothing is bought."""
    ran = shop.run("render", "assets.toml", *words)
    assert ran.code == code
    assert said in ran.err
    assert bought(shop) == 0


@pytest.mark.parametrize(("fault", "code"), [(Fault("GET", 403, "AccessDenied"), 3), (Fault("GET", 0), 6)])
def test_a_store_that_cannot_be_listed(shop: Cli, store: Store, fault: Fault, code: int) -> None:
    """It is asked before anything is bought."""
    store.faults.append(fault)
    ran = render(shop)
    assert (ran.code, bought(shop)) == (code, 0), ran.err


def test_a_manifest_names_no_store(shop: Cli, store: Store) -> None:
    """Neither as a place for results nor as a reference: whoever renders it says where things are."""
    for text in (
        ONE.replace("art/{id}{ext}", "s3://studio/{id}{ext}"),
        ONE + 'verb = "edit"\nimages = ["s3://studio/secret.png"]\n',
    ):
        shop.write("assets.toml", text)
        ran = shop.run("render", "assets.toml")
        assert ran.code == 2, ran.err
    assert store.seen == []


def test_an_object_is_asked_about_when_it_changed(shop: Cli, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that fails then is told of; an object that went since the list was made is not there."""
    assert render(shop).code == 0
    for path in (shop.root / "state" / "seen").glob("*.store.json"):
        path.write_text("{}")
    store.faults.append(Fault("HEAD", 403, "AccessDenied"))
    assert render(shop, "--check").code == 3
    store.faults.clear()
    monkeypatch.setattr(objects, "digest", lambda address: None)
    assert render(shop, "--check").code == 13
    assert bought(shop) == 1


def test_fewer_results_leave_the_others_in_the_store(shop: Cli, store: Store) -> None:
    """Nothing in a store is removed by wan."""
    shop.write("assets.toml", ONE + "count = 2\n")
    assert render(shop).code == 0
    assert len(store.objects) == 2
    shop.write("assets.toml", ONE)
    render(shop)
    assert {"game/art/hero-1.png", "game/art/hero-2.png"} <= set(store.objects)


def test_a_report_tells_of_objects(shop: Cli, store: Store) -> None:
    """A job summary has their addresses."""
    assert render(shop, "--report", "out.md", "--plan").code == 0
    assert render(shop, "--report", "out.md").code == 0
    assert "hero" in (shop.cwd / "out.md").read_text(encoding="utf-8")
