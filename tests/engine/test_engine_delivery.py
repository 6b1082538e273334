"""Results to disk: whole, checked, named, recorded first, and compared with what was asked for."""

from __future__ import annotations

import asyncio
import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image
from support_cli import picture
from support_engine import SMALL, URL, Stage, error, lost, moved, refused_connection, running, succeeded

from wan_cli.download import Expired, Fetcher
from wan_cli.engine.again import reopened
from wan_cli.engine.compare import differences
from wan_cli.engine.delivery import naming_numbers
from wan_cli.errors import DownloadFailed, StateUnusable, WriteFailed
from wan_cli.models import Done, File, LocalFile, Lost, Media, Output, Pending, Saved, Target, Task

SHA = hashlib.sha256(SMALL).hexdigest()
GONE = Expired(403, "Request has expired")


def done(stage: Stage, count: int = 1, provider: str = "rivya", **said: Any) -> Task:
    """Make a task whose results can be fetched."""
    outputs = tuple(Output(url=URL.format(number)) for number in range(1, count + 1))
    task_id = said.pop("task_id", "task_1")
    files = said.pop("files", ())
    state = Done(outputs=outputs, task_id=task_id, files=files)
    return stage.task(provider, **{"state": state, "task_id": task_id, "charged": "yes", "n": count, **said})


def delivered(stage: Stage, task: Task) -> Task:
    """Fetch, and hold what comes back against the ledger and the disk."""
    ended: Task = stage.run(task)
    assert stage.stored(task) == ended
    if isinstance(ended.state, Saved):
        for file in ended.state.files:
            if file.path is not None:
                data = Path(file.path).read_bytes()
                assert (len(data), hashlib.sha256(data).hexdigest()) == (file.bytes, file.sha256)
    assert not [name for name in stage.files() if name.endswith(".part")]
    assert not any(api.of("POST") for api in stage.apis.values()), "fetching never buys"
    return ended


def into(stage: Stage, name: str, **more: Any) -> Target:
    """Aim at a name in the output folder."""
    return Target(template=str(stage.out / name), **more)


# -- several results


def test_results_are_fetched_side_by_side(stage: Stage) -> None:
    """Four results are fetched at once, numbered in order, and no more than four at a time."""
    busy = most = 0

    async def slow(part: Any) -> bytes:
        nonlocal busy, most
        busy, most = busy + 1, max(most, busy + 1)
        for _ in range(5):
            await asyncio.sleep(0)
        busy -= 1
        return SMALL

    for number in range(1, 8):
        stage.fetcher.script[URL.format(number)] = [slow]
    task = delivered(stage, done(stage, 7, target=into(stage, "fox{ext}")))
    assert most == 4
    assert stage.files() == [f"fox-{number}.png" for number in range(1, 8)]
    assert isinstance(task.state, Saved)
    assert [file.index for file in task.state.files] == list(range(1, 8))


@pytest.mark.parametrize(
    ("template", "names"),
    [("fox{ext}", ["fox-5.png", "fox-6.png"]), ("{index:03}{ext}", ["005.png", "006.png"]),
     ("{id}/a.PNG", ["a-5.PNG", "a-6.PNG"])],
)  # fmt: skip
def test_numbers_count_over_the_tasks_of_one_call(stage: Stage, template: str, names: list[str]) -> None:
    """The third of four tasks with two results each has the numbers five and six."""
    task = delivered(stage, done(stage, 2, item=3, siblings=4, target=into(stage, template)))
    assert [name for name in stage.files() if name != task.id] == names
    assert naming_numbers(task, 2) == (5, 8)


def test_more_results_than_asked_for_are_saved_too(stage: Stage) -> None:
    """R13: an extra result is saved under its own number, and noted."""
    task = delivered(stage, done(stage, 3, n=2, target=into(stage, "fox{ext}")))
    assert len(stage.files()) == 3
    assert task.differences == ("2 results were asked for, 3 delivered",)


def test_r12_fewer_results_than_asked_for(stage: Stage) -> None:
    """Three of four results are saved and the difference is told."""
    task = delivered(stage, done(stage, 3, n=4))
    assert task.state.kind == "saved"
    assert task.differences == ("4 results were asked for, 3 delivered",)
    assert task.warnings[0] == task.differences[0]


@pytest.mark.parametrize("fault", [DownloadFailed("the body ended"), WriteFailed("the disk is full"), GONE])
def test_d19_one_that_fails_takes_no_other_with_it(stage: Stage, fault: Exception) -> None:
    """When one of four results cannot be had, three are on disk and recorded, and the task stays to be collected."""
    stage.fetcher.script[URL.format(2)] = [fault, fault] if fault is GONE else [fault]
    stage.script("rivya", succeeded(count=4))
    task = delivered(stage, done(stage, 4, target=into(stage, "fox{ext}")))
    assert isinstance(task.state, Done)
    assert [file.index for file in task.state.files] == [1, 3, 4]
    assert stage.files() == ["fox-1.png", "fox-3.png", "fox-4.png"]
    assert task.trouble
    assert task.trouble.code == ("write_failed" if isinstance(fault, WriteFailed) else "download_failed")
    assert task.trouble.charged == "yes"
    asked = len(stage.fetcher.asked)
    again = delivered(stage, task)
    assert again.state.kind == "saved"
    assert stage.fetcher.asked[asked:] == [URL.format(2)]


def test_a_failure_is_told_with_what_continues(stage: Stage) -> None:
    """A result that cannot be fetched stays at the provider, and the hint collects it."""
    stage.fetcher.script[URL.format(1)] = [DownloadFailed("no")]
    task = delivered(stage, done(stage))
    assert task.trouble
    assert (task.trouble.message, task.trouble.hint) == ("no", "wan wait rivya:task_1")


# -- expired addresses


def test_d01_fresh_addresses_are_asked_for_once(stage: Stage) -> None:
    """An address that has expired is replaced by the provider's fresh one."""
    stage.fetcher.script[URL.format(1)] = [GONE]
    stage.script("rivya", succeeded())
    assert delivered(stage, done(stage)).state.kind == "saved"
    assert len(stage.apis["rivya"].sent) == 1
    assert len(stage.fetcher.asked) == 2


def test_d01_what_was_fetched_before_is_kept(stage: Stage) -> None:
    """Asking for fresh addresses forgets no result that is here already."""
    stage.fetcher.script[URL.format(2)] = [GONE]
    stage.script("rivya", succeeded(count=2))
    task = delivered(stage, done(stage, 2))
    assert task.state.kind == "saved"
    assert stage.fetcher.asked.count(URL.format(1)) == 1


def test_d02_an_address_that_stays_gone_is_a_lost_result(stage: Stage) -> None:
    """When the fresh address has expired too, the result is lost, and charged."""
    stage.fetcher.script[URL.format(1)] = [GONE, GONE]
    stage.script("rivya", succeeded())
    task = delivered(stage, done(stage))
    assert isinstance(task.state, Lost)
    assert (task.state.code, task.charged) == ("result_expired", "yes")
    assert len(stage.apis["rivya"].sent) == 1


@pytest.mark.parametrize(
    "fault", [lost(), refused_connection(), error(500), error(401), error(404), running(), running(status="odd")]
)
def test_d01_while_the_provider_cannot_say_nothing_is_given_up(stage: Stage, fault: Any) -> None:
    """When no fresh address can be asked for, the result stays to be collected, however its address answers."""
    stage.fetcher.script[URL.format(1)] = [GONE]
    stage.script("rivya", fault)
    task = delivered(stage, done(stage))
    assert task.state.kind == "done"
    assert task.trouble
    assert task.trouble.code == "download_failed"
    stage.fetcher.script[URL.format(1)] = [GONE]
    stage.script("rivya", succeeded())
    assert delivered(stage, task).state.kind == "saved"


def test_d01_the_provider_may_say_that_it_is_over(stage: Stage) -> None:
    """When asking for a fresh address says "failed", that is how the task ended."""
    stage.fetcher.script[URL.format(1)] = [GONE]
    stage.script("modelverse", running("modelverse", "Expired"))
    assert delivered(stage, done(stage, provider="modelverse")).state.kind == "failed"


def test_d01_a_synchronous_answer_is_gone_with_its_address(stage: Stage) -> None:
    """Where the answer was all there was, an address that stays expired is a lost result, without a question."""
    stage.fetcher.script[URL.format(1)] = [GONE, GONE]
    task = delivered(stage, done(stage, provider="modelverse", task_id=None, route="sync"))
    assert isinstance(task.state, Lost)
    assert task.state.code == "result_expired"
    assert not stage.apis["modelverse"].sent


def test_d01_of_a_synchronous_answer_what_came_is_kept(stage: Stage) -> None:
    """Where one of two addresses without a task has expired, the other result stays recorded."""
    stage.fetcher.script[URL.format(2)] = [GONE, GONE]
    task = delivered(stage, done(stage, 2, provider="modelverse", task_id=None, route="sync"))
    assert isinstance(task.state, Done)
    assert len(task.state.files) == 1
    assert task.trouble


# -- a process that ended in between


def test_p05_the_hash_is_durable_before_the_name(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a file gets its name, its hash is in the ledger already."""
    from wan_cli.publish import Part

    task, publish = done(stage), Part.publish

    def watched(part: Part, final: Path, *, overwrite: bool) -> Path:
        state = stage.stored(task).state
        assert isinstance(state, Done)
        assert [(file.path, file.sha256) for file in state.files] == [(str(final), SHA)]
        return publish(part, final, overwrite=overwrite)

    monkeypatch.setattr(Part, "publish", watched)
    assert delivered(stage, task).state.kind == "saved"


def test_p05_a_file_that_is_there_is_not_fetched_again(stage: Stage) -> None:
    """A crash after the rename leaves a file that the next process recognises by its hash: no new request."""
    path = stage.out / "fox.png"
    path.parent.mkdir()
    path.write_bytes(SMALL)
    file = File(index=1, path=str(path), bytes=len(SMALL), sha256=SHA, mime="image/png", width=64, height=64)
    task = delivered(stage, done(stage, files=(file,), target=into(stage, "fox{ext}")))
    assert task.state == Saved(files=(file,))
    assert not stage.fetcher.asked


@pytest.mark.parametrize("content", [None, b"another picture"])
def test_p05_a_file_that_is_not_there_is_fetched(stage: Stage, content: bytes | None) -> None:
    """A crash before the rename, or a stranger's file under the name, means fetching; nothing is overwritten."""
    path = stage.out / "fox.png"
    path.parent.mkdir()
    if content:
        path.write_bytes(content)
    file = File(index=1, path=str(path), bytes=len(SMALL), sha256=SHA, mime="image/png")
    task = delivered(stage, done(stage, files=(file,), target=into(stage, "fox{ext}")))
    assert task.state.kind == "saved"
    assert len(stage.fetcher.asked) == 1
    assert stage.files() == (["fox-2.png", "fox.png"] if content else ["fox.png"])
    assert not content or path.read_bytes() == content


def test_parts_of_an_earlier_process_are_swept(stage: Stage) -> None:
    """The part that a killed process left of this result goes; others' stay."""
    stage.out.mkdir()
    task = done(stage, target=into(stage, "fox{ext}"))
    mine, other = f".fox.{task.id}-1-abcdef.part", ".fox.zzzzzz-1-abcdef.part"
    for name in (mine, other):
        (stage.out / name).write_bytes(b"half")
    stage.run(task)
    assert stage.files() == [other, "fox.png"]


def test_p07_a_signal_while_fetching_keeps_what_is_here(stage: Stage) -> None:
    """Ctrl-C in a download removes the part, keeps the results that are complete, and the state."""

    async def hang(part: Any) -> bytes:
        part.write(SMALL[:100])
        for _ in range(20):  # the other result comes in meanwhile
            await asyncio.sleep(0)
        stage.engine.interrupt(grace=60)
        await asyncio.Event().wait()
        raise AssertionError

    task = done(stage, 2, target=into(stage, "fox{ext}"))
    stage.fetcher.script[URL.format(2)] = [hang]
    ended = delivered(stage, task)
    assert isinstance(ended.state, Done)
    assert [file.index for file in ended.state.files] == [1]
    assert stage.files() == ["fox-1.png"]


def test_s02_results_come_in_though_the_ledger_fails(stage: Stage) -> None:
    """A ledger that cannot be written while fetching costs no result."""
    stage.failing.broken["save"] = lambda _: StateUnusable("no space left on device")
    task = stage.run(done(stage, 2))
    assert task.state.kind == "saved"
    names = f"{task.id}-1.png", f"{task.id}-2.png", f"wan-recovery-{task.id}.json"
    assert stage.files() == sorted(names)


def test_s02_a_free_result_comes_in_though_the_ledger_fails(stage: Stage) -> None:
    """That nothing was charged is no reason to lose a result."""
    stage.failing.broken["save"] = lambda _: StateUnusable("no space left on device")
    assert stage.run(done(stage, charged="no")).state.kind == "saved"


# -- names


def test_d15_a_taken_name_is_left_alone(stage: Stage) -> None:
    """A file that appeared meanwhile is kept, and the result gets the next name, with a warning."""
    stage.out.mkdir()
    (stage.out / "fox.png").write_bytes(b"mine")
    task = delivered(stage, done(stage, target=into(stage, "fox.png")))
    assert stage.files() == ["fox-2.png", "fox.png"]
    assert "fox.png was taken meanwhile" in task.warnings[0]
    assert isinstance(task.state, Saved)
    assert task.state.files[0].path == str(stage.out / "fox-2.png")


@pytest.mark.parametrize(
    ("there", "names"), [(b"known", ["fox.png"]), (b"edited", ["fox-2.png", "fox.png"]), (None, ["fox.png"])]
)
def test_what_may_be_replaced(stage: Stage, there: bytes | None, names: list[str]) -> None:
    """Where only certain files may be replaced, one that was edited while the result was made stays as it is."""
    stage.out.mkdir()
    if there is not None:
        (stage.out / "fox.png").write_bytes(there)
    known = (hashlib.sha256(b"known").hexdigest(),)
    task = delivered(stage, done(stage, target=into(stage, "fox.png", overwrite=True, replaces=known)))
    assert stage.files() == names
    assert bool(task.warnings) == (len(names) > 1)
    assert (there == b"edited") == ((stage.out / "fox.png").read_bytes() == there)


def test_overwriting_replaces_the_file(stage: Stage) -> None:
    """--overwrite puts the result in the place of the old file."""
    stage.out.mkdir()
    (stage.out / "fox.png").write_bytes(b"old")
    delivered(stage, done(stage, target=into(stage, "fox.png", overwrite=True)))
    assert stage.files() == ["fox.png"]
    assert (stage.out / "fox.png").read_bytes() == SMALL


def test_d09_the_extension_follows_the_bytes(stage: Stage) -> None:
    """A JPEG that was to be a PNG gets its true extension, a warning, and counts as a difference."""
    stage.fetcher.script[URL.format(1)] = [picture(64, 64, "JPEG")]
    task = delivered(stage, done(stage, target=into(stage, "fox.png")))
    assert stage.files() == ["fox.jpg"]
    assert "the name ends in .jpg" in task.warnings[0]
    assert task.differences == ("result 1 is image/jpeg, not image/png",)


def test_notes_of_a_first_round_are_not_lost(stage: Stage) -> None:
    """What is to say of a result is said also when another had to be fetched from a fresh address."""
    stage.fetcher.script = {URL.format(1): [picture(64, 64, "JPEG")], URL.format(2): [GONE]}
    stage.script("rivya", succeeded(count=2))
    task = delivered(stage, done(stage, 2, target=into(stage, "fox.png")))
    assert any("the name ends in .jpg" in warning for warning in task.warnings)


def test_a_model_nobody_lists_delivers_what_it_wants(stage: Stage) -> None:
    """For an unlisted model no format is expected."""
    task = delivered(stage, done(stage, model="wan9-image", target=into(stage, "fox{ext}")))
    assert (stage.files(), task.warnings) == (["fox.png"], ())


def test_s18_a_missing_folder_is_made(stage: Stage) -> None:
    """Folders of the target are made when the result comes."""
    delivered(stage, done(stage, target=into(stage, "a/b/fox{ext}")))
    assert (stage.out / "a/b/fox.png").exists()


def test_s04_a_folder_that_is_a_file_keeps_the_result_at_the_provider(stage: Stage) -> None:
    """Where nothing can be written, the task stays to be collected, with the reason."""
    stage.out.write_bytes(b"a file")
    task = stage.run(done(stage))
    assert task.state.kind == "done"
    assert task.trouble
    assert task.trouble.code == "write_failed"


def test_o06_a_name_that_cannot_be_spelled_here_keeps_the_result(stage: Stage) -> None:
    """A name that this process cannot write leaves the result at the provider, with the reason."""
    stage.fetcher.script[URL.format(1)] = [UnicodeEncodeError("ascii", "f\u00fc.png", 1, 2, "ordinal not in range")]
    task = delivered(stage, done(stage))
    assert task.state.kind == "done"
    assert task.trouble
    assert (task.trouble.code, "locale" in task.trouble.message) == ("write_failed", True)


IDNA = UnicodeEncodeError("idna", "a..b", 1, 2, "label empty")


@pytest.mark.parametrize("error", [UnicodeError("label empty or too long"), IDNA], ids=["3.11", "3.13"])
def test_a_host_that_is_none_costs_the_other_results_nothing(stage: Stage, error: UnicodeError) -> None:
    """A name that Python cannot encode is one result's matter: the other one comes, and so do other tasks'."""
    stage.fetcher.script[URL.format(1)] = [error]
    both = [done(stage, 2), done(stage, task_id="task_2")]
    ended = stage.play(stage.engine.run_all(both))
    assert [task.state.kind for task in ended] == ["done", "saved"]
    assert (ended[0].trouble.code, len(stage.files())) == ("download_failed", 2)
    assert ended[0].trouble.message.startswith("result 1 has an address that cannot be used: ")


# -- convert, sidecar, standard output


def test_convert_makes_the_named_format(stage: Stage) -> None:
    """--convert re-encodes what came, and the hash is that of the file."""
    task = delivered(stage, done(stage, target=into(stage, "fox.webp", convert=True)))
    assert stage.files() == ["fox.webp"]
    assert isinstance(task.state, Saved)
    assert (task.state.files[0].mime, task.differences, task.warnings) == ("image/webp", (), ())
    with Image.open(stage.out / "fox.webp") as image:
        assert image.format == "WEBP"


def test_convert_leaves_what_is_right_already(stage: Stage) -> None:
    """--convert to the format that came alters no byte."""
    delivered(stage, done(stage, target=into(stage, "fox.png", convert=True)))
    assert (stage.out / "fox.png").read_bytes() == SMALL


def test_what_cannot_be_converted_is_saved_as_it_came(stage: Stage) -> None:
    """A result that cannot be re-encoded is paid for: it is saved under its true name, with a warning."""
    task = delivered(stage, done(stage, target=into(stage, "fox.mp4", convert=True)))
    assert stage.files() == ["fox.png"]
    assert "cannot be converted" in task.warnings[0]


def test_the_sidecar_says_how_it_was_made(stage: Stage) -> None:
    """FILE.json tells request, cost and hash; no key and no signed address."""
    file = LocalFile(path="/home/me/cat.png", sha256="ab" * 32, size=3, mime="image/png")
    media = (Media(role="edit_source", kind="image", url="https://cdn.example/c.png?Signature=secret", file=file),)
    task = delivered(stage, done(stage, media=media, seed=7, target=into(stage, "fox{ext}", sidecar=True)))
    said = json.loads((stage.out / "fox.png.json").read_text(encoding="utf-8"))
    assert (said["wan"], said["file"], said["sha256"], said["seed"]) == (1, "fox.png", SHA, 7)
    assert said["references"] == [{"name": "cat.png", "sha256": "ab" * 32}]
    assert "secret" not in json.dumps(said)
    assert task.token not in json.dumps(said)


def test_a_sidecar_that_cannot_be_written_is_made_up_for(stage: Stage) -> None:
    """When the sidecar fails, the picture is safe and recorded, and the next try writes the sidecar only."""
    (stage.out / "fox.png.json").mkdir(parents=True)
    task = done(stage, target=into(stage, "fox{ext}", sidecar=True))
    first = delivered(stage, task)
    assert first.trouble
    assert first.trouble.code == "write_failed"
    assert stage.files() == ["fox.png", "fox.png.json"]
    (stage.out / "fox.png.json").rmdir()
    assert delivered(stage, first).state.kind == "saved"
    assert stage.files() == ["fox.png", "fox.png.json"]


def test_standard_output_gets_the_bytes(stage: Stage) -> None:
    """-o - hands the bytes over and leaves no file."""
    got: list[bytes] = []
    stage.engine.deliver = got.append
    task = delivered(stage, done(stage, target=Target(template=None, stdout=True)))
    assert got == [SMALL]
    assert isinstance(task.state, Saved)
    assert (task.state.files[0].path, task.state.files[0].sha256) == (None, SHA)
    assert not list((stage.folder / "scratch").iterdir())


@pytest.mark.parametrize("broken", [True, False])
def test_p10_what_standard_output_did_not_take_stays_to_be_collected(stage: Stage, broken: bool) -> None:
    """When nobody reads, or there is no standard output, the result stays at the provider and a file can be made."""

    def refuse(data: bytes) -> None:
        raise WriteFailed("standard output took no whole result")

    stage.engine.deliver = refuse if broken else None
    task = delivered(stage, done(stage, target=Target(template=None, stdout=True)))
    assert task.state.kind == "done"
    assert task.trouble
    assert task.trouble.code == "write_failed"
    assert delivered(stage, moved(task, target=into(stage, "fox{ext}"))).state.kind == "saved"


# -- what was delivered against what was asked for


def picture_file(width: int | None, height: int | None, mime: str = "image/png") -> File:
    """Make a result of these sides."""
    return File(index=1, path="/x", bytes=1, sha256="0", mime=mime, width=width, height=height)


@pytest.mark.parametrize(
    ("said", "sides", "found"),
    [
        ({"size": "1024x768"}, (1024, 768), []),
        ({"size": "1024*768"}, (1024, 768), []),
        ({"size": "1024x768"}, (768, 1024), ["result 1 is 768x1024, not 1024x768"]),
        ({"size": "2K"}, (2048, 2048), []),
        ({"size": "2K"}, (2720, 1530), []),
        ({"size": "2K"}, (1024, 1024), ["result 1 is 1024x1024, not 2K"]),
        ({"size": "1K"}, (2048, 2048), ["result 1 is 2048x2048, not 1K"]),
        ({"aspect": "16:9"}, (1920, 1080), []),
        ({"aspect": "16:9"}, (1912, 1080), []),
        ({"aspect": "16:9"}, (1024, 1024), ["result 1 is 1024x1024, not 16:9"]),
        (
            {"size": "2K", "aspect": "9:16"},
            (640, 640),
            ["result 1 is 640x640, not 9:16", "result 1 is 640x640, not 2K"],
        ),
        ({"size": "odd"}, (640, 640), []),
        ({"size": "2K"}, (None, None), []),
    ],
)
def test_sides_are_compared(
    stage: Stage, said: dict[str, str], sides: tuple[int | None, int | None], found: list[str]
) -> None:
    """Pixels have to be exact; a tier is held by its area and a shape within two hundredths."""
    assert differences(stage.task(**said), (picture_file(*sides),)) == found


def test_the_format_is_compared_unless_converted(stage: Stage) -> None:
    """Another format than the name says is a difference, unless --convert was asked."""
    target = into(stage, "fox.jpg")
    task = stage.task(target=target)
    assert differences(task, (picture_file(64, 64),)) == ["result 1 is image/png, not image/jpeg"]
    assert differences(moved(task, target=replace(target, convert=True)), (picture_file(64, 64),)) == []
    assert differences(moved(task, target=Target(template=None)), (picture_file(64, 64),)) == []


# -- collected again


def test_files_that_are_gone_are_collected_again(stage: Stage) -> None:
    """When one of two saved files was deleted, the same task brings it back, and the other stays as it is."""
    task = delivered(stage, done(stage, 2, target=into(stage, "fox{ext}")))
    assert reopened(task) == task
    (stage.out / "fox-2.png").unlink()
    again = reopened(task)
    assert isinstance(again.state, Pending)
    stage.script("rivya", succeeded(count=2))
    ended = delivered(stage, again)
    assert ended.state == task.state
    assert stage.files() == ["fox-1.png", "fox-2.png"]


def test_a_changed_file_is_never_overwritten(stage: Stage) -> None:
    """A saved file that somebody edited stays, and the result comes back beside it."""
    task = delivered(stage, done(stage, target=into(stage, "fox{ext}")))
    (stage.out / "fox.png").write_bytes(b"edited")
    stage.script("rivya", succeeded())
    delivered(stage, reopened(task))
    assert stage.files() == ["fox-2.png", "fox.png"]
    assert (stage.out / "fox.png").read_bytes() == b"edited"


@pytest.mark.parametrize("why", ["pending", "no task", "standard output"])
def test_what_cannot_be_collected_again_stays_as_it_is(stage: Stage, why: str) -> None:
    """Without a task at the provider, or a file to look for, a saved task stays saved."""
    file = replace(picture_file(1, 1), path=None if why == "standard output" else "/nowhere")
    task = done(stage)
    if why != "pending":
        task = moved(task, state=Saved(files=(file,)), task_id=None if why == "no task" else "task_1")
    assert reopened(task) is task


# -- with the real fetcher


def test_the_real_fetcher_fits_in(stage: Stage) -> None:
    """Over HTTP a result comes in whole with its progress told, and a cut one is fetched again."""
    answers = [httpx.Response(200, content=SMALL[:80], headers={"Content-Length": "80"}), httpx.Response(403)]

    def serve(request: httpx.Request) -> httpx.Response:
        assert "authorization" not in request.headers
        if request.url.path.endswith("2.png") and answers:
            return answers.pop(0)
        return httpx.Response(200, content=SMALL, headers={"Content-Type": "image/png"})

    client = httpx.AsyncClient(transport=httpx.MockTransport(serve))
    stage.fetchers["rivya"] = Fetcher(
        api_origin="https://rivya.ai", client=lambda: client, with_key=None, check_addresses=False,
        sleep=stage.clock.sleep, now=stage.clock, rand=lambda: 0.5,
    )  # fmt: skip
    stage.script("rivya", succeeded(count=2))
    task = delivered(stage, done(stage, 2, target=into(stage, "fox{ext}")))
    assert task.state.kind == "saved"
    assert stage.files() == ["fox-1.png", "fox-2.png"]
    assert len(stage.apis["rivya"].sent) == 1
    assert any(type(event).__name__ == "Transfer" for event in stage.events)
