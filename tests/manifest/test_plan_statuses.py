"""What manifest, lock and disk say together: every status, and every reason."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support_render import toml

from wan_cli.errors import UsageError
from wan_cli.lock import Entry, Flight, Made
from wan_cli.manifest import Manifest, read
from wan_cli.render.holding import refuse_pointers
from wan_cli.render.plan import Plan, Wanted, content_of, plan
from wan_cli.render.sight import Sight


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def pointer(data: bytes) -> bytes:
    said = f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest(data)}\nsize {len(data)}\n"
    return said.encode()


class Project:
    """A folder with a manifest, a lock in memory, and files. ``rendered`` does what a run would."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.entries: dict[str, Entry] = {}
        self.rehearsed: dict[str, Entry] = {}
        self.rows: list[dict[str, Any]] = []
        self.defaults: dict[str, Any] = {}
        self.sight: Sight

    def write(self, name: str, data: bytes | str) -> bytes:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(raw := data.encode() if isinstance(data, str) else data)
        return raw

    @property
    def manifest(self) -> Manifest:
        tables = [("[defaults]", self.defaults), *(("[[asset]]", row) for row in self.rows)]
        text = "\n".join("\n".join([head, *(f"{k} = {toml(v)}" for k, v in row.items())]) for head, row in tables)
        self.write("assets.toml", text + "\n")
        return read(self.folder / "assets.toml")

    def plan(self, **wanted: Any) -> Plan:
        self.sight = Sight(self.folder, None, 0)
        return plan(self.manifest, self.entries, self.sight, Wanted(**wanted), rehearsed=self.rehearsed)

    def statuses(self, **wanted: Any) -> dict[str, str]:
        return {item.asset.id: item.status for item in self.plan(**wanted).items}

    def why(self, name: str = "a", **wanted: Any) -> str:
        return "; ".join(next(item.why for item in self.plan(**wanted).items if item.asset.id == name))

    def add(self, name: str = "a", **fields: Any) -> None:
        self.rows.append({"id": name, "prompt": f"p {name}", **fields})

    def rendered(self, **fields: Any) -> None:
        for item in self.plan().items:
            paths = (
                [f"{item.asset.id}.png"]
                if item.asset.count == 1
                else [f"{item.asset.id}-{number}.png" for number in range(1, item.asset.count + 1)]
            )
            made = tuple(
                Made(path=path, sha256=digest(data := self.write(path, f"picture {path}")), bytes=len(data))
                for path in paths
            )
            inputs = dict(item.inputs) | {f"@{need}": content_of(self.entries[need]) for need in item.asset.needs}
            self.entries[item.asset.id] = Entry(
                **{
                    "request": item.asset.request,
                    "stated": item.asset.stated,
                    "inputs": inputs,
                    "files": made,
                    "provider": "rivya",
                    **fields,
                }
            )


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """Return a project whose ``poster`` is made from ``hero`` and a file, beside a ``lone`` asset."""
    found = Project(tmp_path)
    found.write("logo.png", "logo")
    found.add("hero", seed=1)
    found.add("poster", images=["@hero", "logo.png"])
    found.add("lone", count=2)
    found.rendered()
    return found


def test_all_is_current(project: Project) -> None:
    """What was rendered is up to date, with one look at each file and no more."""
    assert set(project.statuses().values()) == {"current"}
    assert (project.sight.looked, project.sight.hashed) == (5, 5)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"prompt": "q"}, "prompt changed"),
        ({"seed": 2}, "seed was 1, is 2"),
        ({"size": "2K"}, "size 2K is new"),
        ({"model": "wan2.7-image"}, "model wan2.7-image is new"),
        ({"provider": "yunwu"}, "provider was rivya, is yunwu"),
        ({"param": {"a": 1}}, "param {'a': 1} is new"),
        ({"seed": None}, "seed 1 is gone"),
        ({"negative": "n"}, "negative changed"),
    ],
)
def test_a_changed_request_is_stale_and_so_is_what_uses_it(project: Project, change: dict[str, Any], why: str) -> None:
    """An asset whose request changed is stale with the reason, and so is the one made from it; the rest is not."""
    project.rows[0] = {name: value for name, value in {**project.rows[0], **change}.items() if value is not None}
    assert project.statuses() == {"hero": "stale", "lone": "current", "poster": "stale"}
    assert project.why("hero") == why
    assert project.why("poster") == "@hero changes"


def test_a_changed_reference_is_stale(project: Project) -> None:
    """Other content of a reference makes an asset stale; another time of the file does not."""
    os.utime(project.folder / "logo.png", (1, 1))
    assert project.statuses()["poster"] == "current"
    project.write("logo.png", "other")
    assert project.statuses() == {"hero": "current", "lone": "current", "poster": "stale"}
    assert project.why("poster") == "logo.png has other content"
    del project.entries["poster"]
    (project.folder / "poster.png").unlink()
    assert project.why("poster") == "never rendered"


def test_an_asset_made_from_a_set_follows_all_of_it(project: Project) -> None:
    """An asset that uses several results of another depends on each of them."""
    project.add("more", images=["@lone", "@lone"])
    project.rendered()
    assert project.statuses()["more"] == "current"
    project.entries["lone"] = replace(
        project.entries["lone"],
        files=(
            project.entries["lone"].files[0],
            Made(path="lone-2.png", sha256=digest(project.write("lone-2.png", "new")), bytes=3),
        ),
    )
    assert project.why("more") == "@lone has other content"


QUIET: list[Callable[[Project], None]] = [
    lambda project: project.rows.reverse(),
    lambda project: project.defaults.update(prompt="x", count=1, output="{id}{ext}"),
    lambda project: project.rows[0].update(provider=["yunwu", "rivya"]),
    lambda project: project.rows[0].update(count=1, verb="generate", sync=True, strict=True, convert=False),
    lambda project: project.entries.update(
        {
            name: replace(found, provider="yunwu", model="other", cost=7.0, handle="yunwu:t", pinned="yunwu")
            for name, found in project.entries.items()
        }
    ),
    lambda project: project.write("logo.png", pointer(b"logo")),
    lambda project: project.write("hero.png", pointer(b"picture hero.png")),
]


@pytest.mark.parametrize("change", QUIET)
def test_what_makes_nothing_stale(project: Project, change: Callable[[Project], None]) -> None:
    """Order, defaults, a longer list of providers, a failover, another price, LFS pointers: nothing."""
    change(project)
    assert set(project.statuses().values()) == {"current"}


def test_a_new_version_and_catalogue_make_nothing_stale(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the version of wan nor what the catalogue says of models and prices is part of a request."""
    from wan_cli import catalog

    monkeypatch.setattr("wan_cli.__version__", "99.0")
    for name in ("capabilities", "catalogue", "load"):
        monkeypatch.setattr(catalog, name, lambda *_: pytest.fail("the catalogue was asked"), raising=False)
    assert set(project.statuses().values()) == {"current"}


def test_files_that_are_gone_or_edited(project: Project) -> None:
    """A file that is gone is missing; an edited one is left alone, and what is made from it is stale."""
    (project.folder / "lone-2.png").unlink()
    project.write("hero.png", "edited")
    assert project.statuses() == {"hero": "edited", "lone": "missing", "poster": "stale"}
    assert project.why("lone") == "lone-2.png is gone"
    assert project.why("poster") == "@hero has other content"
    edited = project.plan().items[0]
    assert edited.edited == ("hero.png",)
    assert project.statuses(inputs_only=True) == {"hero": "current", "lone": "current", "poster": "current"}
    forced = project.plan(force=True, only=["hero"]).items[0]
    assert (forced.status, forced.why, list(forced.ours)) == ("stale", ("--force",), ["hero.png"])


def test_force_and_again_are_about_the_named(project: Project) -> None:
    """``--force`` and ``--again`` make what ``--only`` names anew; what those use comes along as it is."""
    assert project.statuses(only=["post*"], again=True) == {"hero": "current", "poster": "stale"}
    assert project.why("poster", only=["post*"], again=True) == "--again"
    assert project.statuses(force=True) == {"hero": "stale", "lone": "stale", "poster": "stale"}
    with pytest.raises(UsageError, match="no asset has such an id"):
        project.plan(only=["x*"])


def test_what_is_under_way_is_collected(project: Project) -> None:
    """An asset with a purchase under way is open, whatever else changed; what uses it waits for it."""
    under_way = Flight(
        state="sending",
        request="a" * 64,
        provider="rivya",
        origin="https://rivya.ai",
        model="m",
        token="t",
        at=1,
        key="k",
    )
    project.entries["hero"] = replace(project.entries["hero"], open=(under_way,))
    project.entries["lone"] = Entry(open=(under_way,))
    project.rows[0]["seed"] = 5
    assert project.statuses() == {"hero": "open", "lone": "open", "poster": "stale"}
    assert (project.why("hero"), project.why("lone")) == ("seed was 1, is 5", "never rendered")


def test_orphans(project: Project) -> None:
    """What only the lock has is an orphan; a call about some assets does not speak of them."""
    project.entries["old"] = project.entries["hero"]
    assert project.plan().orphans == ["old"]
    assert project.plan(only=["hero"]).orphans == []
    assert project.plan(shard=(1, 2)).orphans == []


# -- places


def test_a_file_of_others_is_never_overwritten(project: Project) -> None:
    """A file that the lock does not know stays where it is, also with ``--force``; another format is no hindrance."""
    project.add("new")
    project.write("new.txt", "notes")
    project.write("new.mp4", "video")
    assert project.statuses()["new"] == "missing"
    project.write("new.webp", "mine")
    for how in ({}, {"force": True}):
        item = next(item for item in project.plan(**how).items if item.asset.id == "new")
        assert (item.status, item.edited) == ("edited", ("new.webp",))
    assert "the lock does not know it" in project.why("new")
    assert project.statuses(inputs_only=True)["new"] == "missing"
    project.rows[-1]["output"] = "new.png"
    assert project.statuses()["new"] == "missing"
    (project.folder / "new.png").mkdir()
    with pytest.raises(UsageError, match="is a folder"):
        project.plan()


def test_what_uses_a_file_of_others_waits(project: Project) -> None:
    """An asset made from one whose place is taken by a file nobody recorded is left alone until it is."""
    project.add("new")
    project.add("next", images=["@new"])
    project.write("new.png", "mine")
    assert project.statuses()["next"] == "edited"
    assert project.why("next") == "@new is not recorded yet"


def test_a_renamed_asset_takes_its_place(project: Project) -> None:
    """A file that the lock knows under another id is ours, so the place may be used again; an edited one is not."""
    project.rows[2] = {"id": "alone", "prompt": "p", "output": "lone-1.png"}
    found = project.plan()
    item = next(item for item in found.items if item.asset.id == "alone")
    assert (item.status, list(item.ours), found.orphans) == ("missing", ["lone-1.png"], ["lone"])
    project.write("lone-1.png", "edited")
    assert project.statuses()["alone"] == "edited"


def test_sandbox_pictures_never_count(project: Project) -> None:
    """A picture of the sandbox in an asset's place is no edit and no file of others: the asset is missing."""
    drawn = digest(project.write("hero.png", "SANDBOX"))
    project.write("new.png", "SANDBOX")
    project.add("new")
    project.rehearsed = {"hero": Entry(request="a" * 64, files=(Made(path="hero.png", sha256=drawn, bytes=7),))}
    assert project.statuses() == {"hero": "missing", "lone": "current", "new": "missing", "poster": "stale"}
    assert project.why("hero") == "hero.png has a sandbox picture in its place"
    project.rehearsed = {}
    assert project.statuses()["hero"] == "edited"


def test_another_output_moves_files(project: Project) -> None:
    """Another output template renames: nothing is stale, and what uses the file does not change."""
    project.rows[0]["output"] = "art/{id}{ext}"
    project.rows[2]["output"] = "set/{index}{ext}"
    assert project.statuses() == {"hero": "moved", "lone": "moved", "poster": "current"}
    items = {item.asset.id: item for item in project.plan().items}
    assert items["hero"].moves == (("hero.png", "art/hero.png"),)
    assert items["lone"].moves == (("lone-1.png", "set/1.png"), ("lone-2.png", "set/2.png"))
    assert project.why("hero") == "hero.png is now art/hero.png"
    assert project.statuses(inputs_only=True)["hero"] == "moved"
    project.rows[0]["seed"] = 9
    stale = project.plan().items[0]
    assert (stale.status, stale.moves) == ("stale", (("hero.png", "art/hero.png"),))


@pytest.mark.parametrize(
    "output", ["{task}{ext}", "{date}/{id}{ext}", "{model}-{id}{ext}", "hero.jpg", "./hero.png", "hero"]
)
def test_templates_that_move_nothing(project: Project, output: str) -> None:
    """Where only buying tells the name, or the name comes out the same, nothing moves."""
    project.rows[0]["output"] = output
    assert project.statuses()["hero"] == "current"


def test_a_move_never_overwrites(project: Project) -> None:
    """A file of others at the new place leaves all as it is; the same file there is the move, done by hand."""
    project.rows[0]["output"] = "art/{id}{ext}"
    project.write("art/hero.png", "mine")
    item = project.plan().items[0]
    assert (item.status, item.edited, item.moves) == ("edited", ("art/hero.png",), ())
    (project.folder / "hero.png").replace(project.folder / "art" / "hero.png")
    assert project.plan().items[0].moves == (("hero.png", "art/hero.png"),)
    project.write("hero.png", "picture hero.png")
    assert project.plan().items[0].status == "moved"
    (project.folder / "art" / "hero.png").unlink()
    (project.folder / "hero.png").unlink()
    assert project.plan().items[0].status == "missing"


def test_assets_that_change_places(project: Project) -> None:
    """Two assets that take each other's place move, for both files are ours."""
    project.add("one")
    project.rendered()
    project.rows[0]["output"], project.rows[3]["output"] = "one.png", "hero.png"
    assert project.statuses() == {"hero": "moved", "lone": "current", "one": "moved", "poster": "current"}


# -- references


def test_references_that_cannot_be_used(project: Project, tmp_path: Path) -> None:
    """A reference that is missing, no file or outside the root is exit 2 with file, line and field."""
    poster = project.rows[1]
    (tmp_path.parent / f"{tmp_path.name}-out.png").write_bytes(b"x")
    (project.folder / "out.png").symlink_to(tmp_path.parent / f"{tmp_path.name}-out.png")
    (project.folder / "in.png").symlink_to("logo.png")
    (project.folder / "up").symlink_to(tmp_path.parent)
    (project.folder / "folder").mkdir()
    os.mkfifo(project.folder / "pipe")
    wrong = {
        "none.png": "does not exist",
        "folder": "does not exist or is no file",
        "pipe": "or is no file",
        "out.png": "leads to",
        f"up/{tmp_path.name}-out.png": "leads to",
    }
    for name, why in wrong.items():
        poster["images"] = [name]
        with pytest.raises(UsageError) as caught:
            project.plan()
        assert caught.value.message.startswith("assets.toml:6: poster: images: ")
        assert why in caught.value.message
    poster["images"] = ["in.png"]
    assert project.statuses()["poster"] == "stale"


def test_an_output_that_leads_outside_is_not_read(project: Project, tmp_path: Path) -> None:
    """A file of the lock that has become a link out of the root is exit 2; nothing outside is opened."""
    (tmp_path.parent / f"{tmp_path.name}-out.png").write_bytes(b"x")
    (project.folder / "hero.png").unlink()
    (project.folder / "hero.png").symlink_to(tmp_path.parent / f"{tmp_path.name}-out.png")
    with pytest.raises(UsageError, match=r"assets.toml:2: hero: output: hero.png cannot be read: it leads to"):
        project.plan()
    (project.folder / "hero.png").unlink()
    del project.entries["hero"]
    (project.folder / "hero.png").symlink_to(tmp_path.parent / "none")
    assert project.statuses()["hero"] == "edited"


def test_pointers_are_not_sent(project: Project) -> None:
    """A Git LFS pointer is refused as a reference of what is made, with the command that brings the picture."""
    project.write("logo.png", pointer(b"logo"))
    project.write("hero.png", pointer(b"picture hero.png"))

    def refused() -> str:
        found = project.plan()
        with pytest.raises(UsageError) as caught:
            refuse_pointers(project.manifest, {item.asset.id: item for item in found.items}, project.sight)
        assert caught.value.message.startswith("assets.toml:6: poster: images: ")
        return caught.value.hint

    refuse_pointers(project.manifest, {item.asset.id: item for item in project.plan().items}, project.sight)
    project.rows[1]["prompt"] = "other"
    assert refused() == "git lfs pull --include hero.png"
    project.write("hero.png", "picture hero.png")
    assert refused() == "git lfs pull --include logo.png"
    project.rows[1]["images"] = ["https://example.com/a.png"]
    refuse_pointers(project.manifest, {item.asset.id: item for item in project.plan().items}, project.sight)
