"""What is on disk and in the lock besides purchases: edits, files of others, moves, orphans, unreadable locks."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from support_cli import Cli, picture
from support_render import assets, block, one

from wan_cli.lock import Lock, dumps

RENDER = ("render", "assets.toml")
CHECK = (*RENDER, "--check")


def rendered(live: Cli, *rows: dict[str, Any], **how: Any) -> None:
    assets(live, *rows, **how)
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err


def found(live: Cli, *words: str) -> dict[str, str]:
    """Return the findings of ``--check`` by id."""
    ran = live.run(*CHECK, *words)
    assert ran.code == (13 if ran.lines else 0)
    return dict(line.split(": ")[1:3] for line in ran.lines)  # type: ignore[misc] # pairs


def test_a_hand_edited_file_is_kept(live: Cli) -> None:
    """An edited file is listed with exit 13 and kept; ``--accept`` records it, and it may then be rendered over."""
    rendered(live, one("fox"), one("owl"))
    live.write("fox.png", b"edited")
    assert found(live) == {"fox": "edited"}
    assert live.run(*RENDER).code == 13
    assets(live, one("fox", seed=5), one("owl", seed=6))
    ran = live.run(*RENDER)
    assert (ran.code, ran.lines) == (13, ["owl.png"])
    assert (live.cwd / "fox.png").read_bytes() == b"edited"
    accepted = live.run(*RENDER, "--accept", "f*", "--json")
    assert (accepted.code, accepted.json["accepted"]) == (0, ["fox"])
    assert found(live) == {}
    assert block(live, "fox")["accepted"] is True
    bought = live.provider.purchases
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == bought
    assets(live, one("fox", seed=7), one("owl", seed=6))
    assert live.run(*RENDER).lines == ["fox.png"]
    assert "accepted" not in block(live, "fox")


def test_accept_by_file_and_in_order(live: Cli) -> None:
    """``--accept`` takes a file's path too, and what is made from an accepted file is accepted with its new content."""
    rendered(live, one("hero"), one("poster", verb="edit", images=["@hero"]), defaults={"output": "art/{id}{ext}"})
    live.write("art/hero.png", picture(512, 512))
    assert found(live) == {"hero": "edited", "poster": "stale"}
    assert live.run(*RENDER, "--accept", "art/*.png").code == 0
    assert found(live) == {}
    live.write("art/hero.png", picture(256, 256))
    assert live.run(*RENDER, "--accept", "hero").code == 0
    assert found(live) == {"poster": "stale"}
    none = live.run(*RENDER, "--accept", "nothing*")
    assert (none.code, "no asset has such an id or file" in none.err) == (2, True)
    (live.cwd / "art/hero.png").unlink()
    gone = live.run(*RENDER, "--accept", "hero")
    assert "hero: has no file to record" in gone.err


def test_a_file_of_others_is_never_overwritten(live: Cli) -> None:
    """A file in an asset's place that the lock does not know stays until ``--accept`` records it; nothing is bought."""
    live.write("fox.png", b"mine")
    assets(live, one("fox"))
    for words in ((), ("--force",), ("--again",)):
        assert live.run(*RENDER, *words).code == 13
    assert live.provider.purchases == 0
    assert (live.cwd / "fox.png").read_bytes() == b"mine"
    assert found(live) == {"fox": "edited"}
    assert live.run(*RENDER, "--accept", "fox").code == 0
    assert found(live) == {}
    assert block(live, "fox")["files"][0]["path"] == "fox.png"


def test_without_the_lock_nothing_is_overwritten(live: Cli) -> None:
    """Where the lock was deleted, the files that are there are kept, and nothing is bought."""
    rendered(live, one("fox"))
    (live.cwd / "assets.lock").unlink()
    before, bought = (live.cwd / "fox.png").read_bytes(), live.provider.purchases
    live.env["WAN_STATE_DIR"] = str(live.root / "elsewhere")
    assert live.run(*RENDER).code == 13
    assert live.provider.purchases == bought
    assert (live.cwd / "fox.png").read_bytes() == before


def test_another_output_renames(live: Cli) -> None:
    """Another output template renames file and sidecar without buying, and the check says so before."""
    rendered(live, one("fox", sidecar=True), one("owl"))
    bought = live.provider.purchases
    assets(live, one("fox", sidecar=True, output="art/{id}{ext}"), one("owl", output="fox.png"))
    assert found(live) == {"fox": "moved", "owl": "moved"}
    ran = live.run(*RENDER)
    assert ran.code == 0, ran.err
    assert live.provider.purchases == bought
    assert live.files() == ["art/fox.png", "art/fox.png.json", "assets.lock", "assets.toml", "fox.png"]
    assert block(live, "fox")["files"][0]["path"] == "art/fox.png"
    assert found(live) == {}


def test_a_stale_asset_with_another_output_leaves_no_old_file(live: Cli) -> None:
    """Request and output changed together: the old file moves, and the new one takes its place."""
    rendered(live, one("fox"))
    assets(live, one("fox", seed=3, output="art/{id}{ext}"))
    live.provider.deliver = lambda order, _: picture(512, 1024)
    assert live.run(*RENDER).code == 0
    assert live.files() == ["art/fox.png", "assets.lock", "assets.toml"]
    assert (live.cwd / "art/fox.png").read_bytes() == picture(512, 1024)


def test_prune(live: Cli) -> None:
    """``--prune`` removes orphans with files and sidecars, and keeps what was edited, is used or is under way."""
    rendered(live, *(one(name, sidecar=True) for name in ("keep", "gone", "edited", "used", "odd")))
    live.write("edited.png", b"edited")
    live.write("odd.png.json", "{}")
    assets(live, one("keep", sidecar=True), one("more", images=["used.png"], verb="edit"))
    ran = live.run(*RENDER, "--plan")
    assert "gone: no longer in the manifest; --prune removes it" in ran.err
    with Lock(live.cwd / "assets.lock") as lock:
        entry = lock.entries["keep"]
    data = json.loads((live.cwd / "assets.lock").read_text(encoding="utf-8"))
    data["assets"]["flying"] = {
        "open": [
            {
                "state": "pending",
                "request": "a" * 64,
                "provider": "rivya",
                "origin": "https://rivya.ai",
                "model": "m",
                "token": "t",
                "at": 1,
                "key": "k",
                "task": "task_1",
            }
        ]
    }
    live.write("assets.lock", json.dumps(data))
    ran = live.run(*RENDER, "--prune", "--json")
    assert ran.json["pruned"] == ["edited", "gone", "odd", "used"]
    assert "edited.png: kept" in ran.err
    assert "used.png: kept" in ran.err
    assert "flying: kept, for a purchase of it is under way" in ran.err
    left = {
        "assets.lock",
        "assets.toml",
        "edited.png",
        "edited.png.json",
        "keep.png",
        "keep.png.json",
        "odd.png.json",
        "used.png",
        "used.png.json",
    }
    assert set(live.files()) == left
    assert Lock(live.cwd / "assets.lock").entries.keys() == {"keep", "flying"}
    assert Lock(live.cwd / "assets.lock").entries["keep"] == entry


def test_threat_s8_prune_removes_nothing_outside(live: Cli) -> None:
    """A folder that has become a link out of the root is not followed when orphans are removed."""
    rendered(live, one("fox", output="art/{id}{ext}"))
    outside = live.root / "outside"
    outside.mkdir()
    (live.cwd / "art" / "fox.png").rename(outside / "fox.png")
    (live.cwd / "art").rmdir()
    (live.cwd / "art").symlink_to(outside)
    assets(live, one("owl", output="owl.png"))
    ran = live.run(*RENDER, "--prune")
    assert "kept: it leads to" in ran.err
    assert (outside / "fox.png").exists()


LOCKS = {
    "newer": ('{"wan_lock": 2, "assets": {}}', "newer wan"),
    "markers": ("{\n<<<<<<< HEAD\n}\n=======\n>>>>>>> x\n", "assets.lock:2: merge conflict markers"),
    "torn": ('{"wan_lock": 1, "ass', "assets.lock:1: not a lock"),
    "path": (
        json.dumps({"wan_lock": 1, "assets": {"fox": {"files": [{"path": "../x", "sha256": "a" * 64, "bytes": 1}]}}}),
        "assets.fox.files.0.path: a path below the root",
    ),
    "task": (json.dumps({"wan_lock": 1, "assets": {"fox": {"open": [{"task": "../../keys"}]}}}), "assets.fox.open.0."),
    "url": (
        json.dumps({"wan_lock": 1, "assets": {"fox": {"base_url": "https://evil.example"}}}),
        "assets.fox.base_url: not known",
    ),
}


@pytest.mark.parametrize("case", LOCKS)
def test_c08_a_lock_that_cannot_be_used(live: Cli, case: str) -> None:
    """A lock that is newer, torn, in conflict or tampered with is exit 2 with the place; nothing is bought."""
    text, said = LOCKS[case]
    assets(live, one("fox"))
    live.write("assets.lock", text)
    for words in ((), ("--check",), ("--plan",), ("--prune",), ("--accept", "*")):
        ran = live.run(*RENDER, *words)
        assert ran.code == 2
        assert said in ran.said("error")
        assert ran.said("charged") == "no"
    assert live.provider.seen == []
    assert (live.cwd / "assets.lock").read_text(encoding="utf-8") == text


def test_c08_a_lock_chooses_no_origin(live: Cli) -> None:
    """A lock whose purchase names another origin, or a provider that is none, gets no request and no key."""
    for field, value in (("origin", "http://127.0.0.1:9"), ("provider", "evil")):
        flying = {
            "state": "pending",
            "request": "a" * 64,
            "provider": "rivya",
            "origin": live.provider.url,
            "model": "wan2.7-image",
            "token": "t",
            "at": 1,
            "key": "none",
            "task": "task_1",
            field: value,
        }
        live.write("assets.lock", json.dumps({"wan_lock": 1, "assets": {"fox": {"open": [flying]}}}))
        assets(live, one("fox"))
        live.env["WAN_STATE_DIR"] = str(live.root / f"state-{field}")
        ran = live.run(*RENDER)
        assert ran.code != 0
    assert live.provider.seen == []


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"images": ["../../.ssh/id_rsa"]}, "images"),
        ({"images": ["@/etc/passwd"]}, "images"),
        ({"images": ["link-out.png"]}, "images"),
        ({"prompt_file": "../secret", "prompt": None}, "prompt_file"),
        ({"output": "../x.png"}, "output"),
        ({"mask": "/etc/passwd"}, "mask"),
        ({"base_url": "https://evil.example"}, "base_url"),
        ({"headers": {"a": "b"}}, "headers"),
        ({"api_key": "x"}, "api_key"),
        ({"output": "up/{id}.png"}, "output"),
        ({"first_frame": "C:\\x.png"}, "first_frame"),
    ],
)
def test_c06_c08_a_manifest_reaches_nothing_outside(live: Cli, fields: dict[str, Any], field: str) -> None:
    """Files and targets outside, keys, headers and addresses in a manifest are exit 2 with file, line and field."""
    (live.cwd / "link-out.png").symlink_to("/etc/passwd")
    (live.cwd / "up").symlink_to(live.root)
    row = {name: value for name, value in {**one("fox"), **fields}.items() if value is not None}
    assets(live, row)
    ran = live.run(*RENDER)
    assert ran.code == 2
    assert ran.said("error").startswith("assets.toml:")
    assert f"fox: {field}: " in ran.said("error")
    assert live.provider.seen == []


def test_a_manifest_names_the_place_of_what_no_provider_can(live: Cli) -> None:
    """What a verb would refuse is refused with the asset's place before anything of the manifest is bought."""
    assets(live, one("fox"), one("owl", size="4K", provider="rivya"))
    ran = live.run(*RENDER)
    assert ran.code == 2
    assert ran.said("error").startswith("assets.toml:4: owl: ") or ran.said("error").startswith("assets.toml:3: owl: ")
    assert live.provider.purchases == 0


def test_sandbox_and_real_keep_apart(live: Cli) -> None:
    """A sandbox run leaves real pictures alone, and a real run replaces the sandbox's and counts none of them."""
    assets(live, one("fox"))
    assert live.run(*RENDER, "--sandbox").code == 0
    drawn = (live.cwd / "fox.png").read_bytes()
    assert found(live) == {"fox": "missing"}
    live.provider.deliver = lambda order, _: picture(512, 1024)
    assert live.run(*RENDER).code == 0
    assert live.provider.purchases == 1
    real = (live.cwd / "fox.png").read_bytes()
    assert real != drawn
    assert found(live) == {}
    (live.cwd / "assets.sandbox.lock").unlink()
    live.env["WAN_STATE_DIR"] = str(live.root / "other")
    assert live.run(*RENDER, "--sandbox").code == 13
    assert (live.cwd / "fox.png").read_bytes() == real


def test_root(live: Cli) -> None:
    """With ``--root`` references, outputs and the lock's paths are below it; the lock stays beside the manifest."""
    (live.cwd / "project").mkdir()
    live.write("project/logo.png", picture(512, 512))
    assets(live, one("fox", verb="edit", images=["logo.png"]), name="plans/assets.toml")
    assert live.run("render", "plans/assets.toml").code == 2
    ran = live.run("render", "plans/assets.toml", "--root", "project")
    assert (ran.code, ran.lines) == (0, ["project/fox.png"]), ran.err
    assert block(live, "fox", lock="plans/assets.lock")["files"][0]["path"] == "fox.png"
    assert live.run("render", "plans/assets.toml", "--root", "none").code == 2


def test_the_merge_driver_by_hand(live: Cli) -> None:
    """``--merge`` writes the merged lock into OURS, and is 2 for what cannot be read."""
    rendered(live, one("fox"))
    whole = Lock(live.cwd / "assets.lock").entries
    for name, entries in {"base": {}, "ours": whole, "theirs": {"owl": whole["fox"]}}.items():
        live.write(name, dumps(entries))
    assert live.run("render", "--merge", "base", "ours", "theirs").code == 0
    assert Lock(live.cwd / "ours").entries.keys() == {"fox", "owl"}
    assert live.run("render", "--merge", "base", "ours", "none").code == 2
    os.chmod(live.cwd / "ours", 0o400)  # noqa: PTH101 - root may write all the same
    live.write("folder/x", "")
    assert live.run("render", "--merge", "base", "folder", "theirs").code == 2


def test_the_schema_is_printed(live: Cli) -> None:
    """``--schema`` needs no manifest and prints a JSON Schema."""
    ran = live.run("render", "--schema", command=False)
    assert ran.code == 0
    assert json.loads(ran.out)["$schema"].endswith("2020-12/schema")


def test_line_ends_of_a_checkout(live: Cli) -> None:
    """A manifest, a prompt file and a lock that were checked out with other line ends make nothing stale."""
    path = assets(live, {"id": "fox", "prompt_file": "p.txt"}, one("owl"))
    live.write("p.txt", "a picture of fox\nat night\n")
    assert live.run(*RENDER).code == 0
    for file in (path, live.cwd / "p.txt", live.cwd / "assets.lock"):
        file.write_bytes(Path(file).read_bytes().replace(b"\n", b"\r\n"))
    assert found(live) == {}


def test_a_file_edited_during_the_run_is_kept(live: Cli) -> None:
    """A file that somebody edits after the plan was made is not overwritten: the new result is put beside it."""
    rendered(live, one("fox"), one("owl", images=["@fox"], verb="edit"))
    assets(live, one("fox", seed=1), one("owl", images=["@fox"], verb="edit"))

    def deliver(order: Any, _: int) -> bytes:
        live.write("owl.png", b"edited meanwhile")
        return picture(512, 1024)

    live.provider.deliver = deliver
    live.run(*RENDER)
    assert (live.cwd / "owl.png").read_bytes() == b"edited meanwhile"


def test_strict_is_a_field(live: Cli) -> None:
    """An asset that says ``strict`` ends with exit 14 where the delivery differs; its files are kept and recorded."""
    live.provider.deliver = lambda order, _: picture(300, 200)
    assets(live, one("fox", size="1K"), one("owl", size="1K", strict=True))
    ran = live.run(*RENDER)
    assert ran.code in {11, 14}
    assert found(live) == {}
    assert live.provider.purchases == 2


def test_one_run_at_a_time(live: Cli) -> None:
    """While another process holds the lock, a run is refused with exit 3 and buys nothing; a plan is still told."""
    assets(live, one("fox"))
    with Lock(live.cwd / "assets.lock"):
        ran = live.run(*RENDER)
        assert (ran.code, "another wan render is at work" in ran.err) == (3, True)
        assert live.run(*RENDER, "--plan").code == 0
        assert live.run(*RENDER, "--check").code == 13
    assert live.provider.purchases == 0
    assert live.run(*RENDER).code == 0


def test_a_second_run_hashes_nothing(live: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """A run over what was rendered looks once at each file, and hashes none that has not changed."""
    import hashlib

    from wan_cli.render.sight import Sight

    rendered(live, *(one(f"a{number}") for number in range(5)))
    sights: list[Sight] = []
    real = Sight.__init__

    def counting(self: Sight, *args: Any) -> None:
        real(self, *args)
        sights.append(self)

    monkeypatch.setattr(Sight, "__init__", counting)
    live.clock.now += 10**9
    assert live.run(*RENDER).code == 0
    assert live.run(*RENDER).code == 0
    assert (sights[-1].looked, sights[-1].hashed) == (5, 0)
    live.write("a1.png", (live.cwd / "a1.png").read_bytes())
    assert live.run(*CHECK).code == 0
    assert (sights[-1].looked, sights[-1].hashed) == (5, 1)
    assert hashlib.sha256((live.cwd / "a1.png").read_bytes()).hexdigest() == block(live, "a1")["files"][0]["sha256"]


def test_accept_leaves_purchases_alone(live: Cli) -> None:
    """An asset whose purchase is under way is not accepted, and what is removed or recorded is told as text."""
    assets(live, one("fox"), one("owl"))
    assert live.run(*RENDER, "--no-wait", "--only", "fox").code == 0
    live.write("owl.png", b"mine")
    assets(live, one("fox"), one("owl"), one("cat"))
    ran = live.run(*RENDER, "--accept", "*")
    assert "fox: left as it is, for a purchase of it is under way" in ran.err
    assert "owl: recorded as it is" in ran.err
    assert block(live, "fox")["open"]
    assets(live, one("fox"))
    ran = live.run(*RENDER, "--prune")
    assert "owl: removed" in ran.err
    assert not (live.cwd / "owl.png").exists()


def test_prune_leaves_a_sidecar_that_is_none(live: Cli) -> None:
    """A JSON file beside an orphan that cannot be read as its sidecar stays."""
    rendered(live, one("fox"), one("owl"))
    live.write("fox.png.json", "no JSON")
    (live.cwd / "owl.png").unlink()
    assets(live, one("cat"))
    assert live.run(*RENDER, "--prune").code == 0
    assert live.files() == ["assets.lock", "assets.toml", "fox.png.json"]


def test_fewer_results_leave_nothing_behind(live: Cli) -> None:
    """Files under names that an asset no longer has are removed when it is made anew, unless edited or dated."""
    rendered(live, one("fox", count=3, provider="rivya"), one("owl", output="{task}{ext}"))
    dated = block(live, "owl")["files"][0]["path"]
    live.write("fox-2.png", b"edited")
    assert live.run(*RENDER).code == 13
    live.provider.deliver = lambda order, _: picture(512, 1024)
    assets(live, one("fox", provider="rivya"), one("owl", output="{task}{ext}", seed=2))
    assert live.run(*RENDER, "--force", "--only", "*").code == 0
    kept = {"assets.lock", "assets.toml", "fox.png", "fox-2.png", dated, block(live, "owl")["files"][0]["path"]}
    assert set(live.files()) == kept
    assert len(kept) == 6
    live.write("fox-2.png", b"edited")
    assets(live, one("fox", count=3, provider="rivya"))
    assert live.run(*RENDER).code == 13


LATER = [
    ({"convert": True, "output": "{id}.jpg"}, 'output = "{id}.jpg" with convert = true, for the result is fox.png'),
    ({"output": "k.jpg"}, "needs convert = true beside it, for the result is fox.png"),
    ({"sidecar": True}, "sidecar = true, and there is none"),
]


@pytest.mark.parametrize(("fields", "said"), LATER)
def test_what_waits_for_the_next_result(live: Cli, fields: dict[str, Any], said: str) -> None:
    """A change of convert, sidecar or the output's format makes nothing stale, and is told of with the command."""
    rendered(live, one("fox", provider="rivya"), one("owl", provider="rivya"))
    assets(live, one("fox", provider="rivya", **fields), one("owl", provider="rivya"))
    for words in (("--plan",), ("--check",), ()):
        ran = live.run(*RENDER, *words)
        told = [line for line in ran.err.splitlines() if line.startswith("warning: ")]
        assert len(told) == 1, ran.err
        assert told[0].startswith("warning: assets.toml:1: fox: ")
        assert said in told[0]
        assert told[0].endswith(": wan render assets.toml --force --only fox")
    assert live.provider.purchases == 2


def test_what_has_taken_effect(live: Cli) -> None:
    """Once the asset is rendered with them there is no warning any more."""
    rendered(live, one("fox", provider="rivya", output="fox.jpg", convert=True, sidecar=True))
    assert "warning" not in live.run(*CHECK).err
    assert live.files() == ["assets.lock", "assets.toml", "fox.jpg", "fox.jpg.json"]


def test_a_pointer_is_named_before_it_is_opened(live: Cli) -> None:
    """A Git LFS pointer as a reference is refused with the command that brings it, with --plan too."""
    live.write("logo.png", f"version https://git-lfs.github.com/spec/v1\noid sha256:{'ab' * 32}\nsize 12345\n")
    assets(live, one("card", provider="modelverse", verb="edit", images=["logo.png"]))
    for words in ((), ("--plan",)):
        ran = live.run(*RENDER, *words)
        assert (ran.code, ran.said("hint")) == (2, "git lfs pull --include logo.png"), ran.err


@pytest.mark.parametrize(
    ("words", "better"),
    [
        (("--json", "--jsonl"), "--json"), (("--plan", "--check"), "--plan"), (("--force", "--again"), "--force"),
        (("--prune", "--plan"), "--plan"), (("--prune", "--force"), "--prune"), (("--check", "--again"), "--check"),
        (("--accept", "x", "--report", "x.md"), "--accept x"), (("--prune", "--shard", "1/2"), "--prune"),
        (("--check", "--no-wait"), "--check"), (("--inputs-only",), "--inputs-only --check"),
        (("--count", "2"), "--count 2 --again"),
    ],
)  # fmt: skip
def test_options_that_do_not_go_together(live: Cli, words: tuple[str, ...], better: str) -> None:
    """An option that would be dropped is refused, and the hint is the command without it, or with what it needs."""
    assets(live, one("fox"))
    ran = live.run(*RENDER, *words, command=False)
    assert (ran.code, ran.said("hint")) == (2, f"wan render assets.toml {better}"), ran.err
    assert live.files() == ["assets.toml"]
