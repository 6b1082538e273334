"""The edges of bringing results to disk: second looks, what is kept and swept, and what is said of each."""

from __future__ import annotations

import hashlib
import os
import re
import stat
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support_cli import picture
from support_engine import SMALL, URL, Stage, lost, running, succeeded

from wan_cli.download import Expired
from wan_cli.engine import delivery
from wan_cli.engine.again import reopened, sought
from wan_cli.engine.delivery import naming_numbers
from wan_cli.errors import DownloadFailed, StateUnusable, WriteFailed
from wan_cli.models import Done, Failed, File, Lost, Output, Pending, Saved, Target, Task, Transfer

SHA = hashlib.sha256(SMALL).hexdigest()
GONE = Expired(403, "Request has expired")
FAILED = Failed(code="download_failed", message="it broke", charged="yes")


def done(stage: Stage, count: int = 1, provider: str = "rivya", **said: Any) -> Task:
    """Make a task whose results can be fetched."""
    urls = said.pop("urls", [URL.format(number) for number in range(1, count + 1)])
    task_id = said.pop("task_id", "task_1")
    state = Done(outputs=tuple(Output(url=url) for url in urls), task_id=task_id, files=said.pop("files", ()))
    return stage.task(provider, **{"state": state, "task_id": task_id, "charged": "yes", "n": len(urls), **said})


def into(stage: Stage, name: str, **more: Any) -> Target:
    """Aim at a name in the output folder."""
    return Target(template=str(stage.out / name), **more)


def small(stage: Stage, name: str = "fox.png", *, index: int = 1) -> File:
    """Put a result on disk and return its record."""
    stage.out.mkdir(exist_ok=True)
    (stage.out / name).write_bytes(SMALL)
    return File(
        index=index, path=str(stage.out / name), bytes=len(SMALL), sha256=SHA, mime="image/png", width=64, height=64
    )


# -- a second look


def test_d01_a_refused_address_is_looked_at_once_more_after_two_seconds(stage: Stage) -> None:
    """The refusal may pass: with a rest of two seconds, and one question."""
    stage.fetcher.script[URL.format(1)] = [GONE]
    stage.script("rivya", succeeded())
    assert stage.run(done(stage)).state.kind == "saved"
    assert (delivery.SECOND_LOOK_S, stage.clock.slept) == (2.0, [2.0])


def test_a_first_failure_asks_nobody(stage: Stage) -> None:
    """What merely broke is tried by the next call: there is no rest, no question, and the trouble is the reason."""
    stage.fetcher.script[URL.format(1)] = [DownloadFailed("the body ended")]
    task = stage.run(done(stage))
    assert (task.state.kind, stage.clock.slept, stage.apis["rivya"].sent) == ("done", [], [])
    assert task.trouble
    assert (task.trouble.code, task.trouble.message) == ("download_failed", "the body ended")


@pytest.mark.parametrize(("moved", "fetches", "kind"), [(True, 2, "saved"), (False, 1, "done")])
def test_what_failed_in_an_earlier_call_is_asked_about(stage: Stage, moved: bool, fetches: int, kind: str) -> None:
    """The host may have moved meanwhile: another address is fetched, and the same one is not tried twice a call."""
    task = done(stage, urls=["https://old.example/1.png" if moved else URL.format(1)], trouble=FAILED)
    stage.fetcher.script[task.state.outputs[0].url] = [DownloadFailed("no such host")]  # type: ignore[union-attr]
    stage.script("rivya", succeeded())
    ended = stage.run(task)
    assert (ended.state.kind, len(stage.fetcher.asked), len(stage.apis["rivya"].sent)) == (kind, fetches, 1)


@pytest.mark.parametrize(
    ("said", "asked"),
    [({"trouble": replace(FAILED, code="write_failed")}, 0), ({"trouble": None}, 0),
     ({"trouble": FAILED, "task_id": None, "provider": "modelverse", "route": "sync"}, 0), ({"trouble": FAILED}, 1)],
)  # fmt: skip
def test_only_an_earlier_failed_download_is_asked_about(stage: Stage, said: dict[str, Any], asked: int) -> None:
    """Another trouble, none, or an answer that was all has no fresh address to ask for."""
    provider = said.pop("provider", "rivya")
    task = done(stage, provider=provider, **said)
    stage.fetcher.script[URL.format(1)] = [DownloadFailed("no")]
    stage.script(provider, succeeded())
    assert stage.run(task).state.kind == "done"
    assert len(stage.apis[provider].sent) == asked


@pytest.mark.parametrize(
    ("fault", "earlier", "says"),
    [(GONE, None, "the result's address expired; "), (DownloadFailed("no such host"), FAILED, "no such host; ")],
)
@pytest.mark.parametrize("answer", [running(), lost("cut")])
def test_why_no_fresh_address_was_had(
    stage: Stage, fault: Exception, earlier: Failed | None, says: str, answer: Any
) -> None:
    """The trouble says what was wrong with the address and what with the question; the results stay known."""
    stage.fetcher.script[URL.format(1)] = [fault]
    stage.script("rivya", answer)
    task = done(stage, trouble=earlier)
    ended = stage.run(task)
    assert ended.state == task.state
    assert ended.trouble
    assert ended.trouble.message == f"{says}the provider could not be asked for a fresh one"


def test_a_question_that_has_its_own_trouble_says_so(stage: Stage) -> None:
    """A key that is refused is why there is no fresh address."""
    from support_engine import error

    stage.fetcher.script[URL.format(1)] = [GONE]
    stage.script("rivya", error(401, "api_key_revoked", "revoked"))
    ended = stage.run(done(stage))
    assert ended.trouble
    assert ended.trouble.code == "download_failed"
    assert ended.trouble.message.startswith("the result's address expired; rivya refused: revoked")


@pytest.mark.parametrize(
    ("expires", "kind", "says"),
    [(-60, "lost", "can no longer be fetched"), (3600, "done", "cannot be fetched for now")],
)
def test_d01_an_address_that_is_good_for_longer_is_not_gone(stage: Stage, expires: int, kind: str, says: str) -> None:
    """Refused twice, a result is lost where its address has ended, and stays to be collected where it has not."""
    url = f"https://cdn.example/1.png?Expires={int(stage.clock.now) + expires}&Signature=x"
    refusal = Expired(403, "forbidden")
    stage.fetcher.script[url] = [refusal, refusal]
    stage.script("rivya", succeeded(result={"urls": [url]}))
    ended = stage.run(done(stage, urls=[url]))
    assert ended.state.kind == kind
    told = ended.state if isinstance(ended.state, Lost) else ended.trouble
    assert told
    assert told.message.startswith(f"result 1 {says}: ")
    assert "; the address " in told.message
    assert told.code == ("result_expired" if kind == "lost" else "download_failed")
    assert (ended.trouble is None) is (kind == "lost")


def test_one_that_is_gone_does_not_lose_the_others(stage: Stage) -> None:
    """Of two results one is gone for good and one merely broke: neither is given up."""
    stage.fetcher.script = {URL.format(1): [GONE, GONE], URL.format(2): [DownloadFailed("no"), DownloadFailed("no")]}
    stage.script("rivya", succeeded(count=2))
    assert stage.run(done(stage, 2)).state.kind == "done"


def test_an_empty_answer_that_was_all_is_lost(stage: Stage) -> None:
    """It names no result, and there is nobody to ask."""
    ended = stage.run(done(stage, urls=[], task_id=None))
    assert ended.state == Lost(code="task_vanished", message="the answer names no result")


# -- what is here already


def test_a_result_that_is_here_is_swept_after(stage: Stage) -> None:
    """The second name of a file that is in place goes; so it does of one that is fetched."""
    file = small(stage)
    task = done(stage, 2, files=(file,), target=into(stage, "fox{ext}"))
    for index in (1, 2):
        (stage.out / f".fox.{task.id}-{index}-abcdef.part").write_bytes(b"half")
    assert stage.run(task).state.kind == "saved"
    assert stage.files() == ["fox-2.png", "fox.png"]
    assert stage.fetcher.asked == [URL.format(2)]


def test_a_missing_description_is_made_up_for(stage: Stage) -> None:
    """With --sidecar a result without its JSON file is not finished; without, it is."""
    file = small(stage)
    plain = done(stage, files=(file,), target=into(stage, "fox{ext}"))
    assert stage.run(plain).state.kind == "saved"
    assert stage.fetcher.asked == []
    told = done(stage, files=(file,), target=into(stage, "fox{ext}", sidecar=True))
    assert stage.run(told).state == Saved(files=(file,))
    assert stage.files() == ["fox.png", "fox.png.json"]


def test_every_result_keeps_its_place(stage: Stage) -> None:
    """What is fetched last may be the first: the record is in order, each result once."""
    file = small(stage, "fox-2.png", index=2)
    task = done(
        stage,
        3,
        files=(file, replace(file, index=1, path=str(stage.out / "fox-1.png"))),
        target=into(stage, "fox{ext}"),
    )
    ended = stage.run(task)
    assert isinstance(ended.state, Saved)
    assert [found.index for found in ended.state.files] == [1, 2, 3]
    assert stage.files() == ["fox-1.png", "fox-2.png", "fox-3.png"]
    assert sorted(stage.fetcher.asked) == [URL.format(1), URL.format(3)]


def test_results_with_the_same_bytes_are_noted(stage: Stage) -> None:
    """Two pictures that are one are told, and no difference of the delivery."""
    ended = stage.run(done(stage, 2))
    assert ended.warnings == ("results 1 and 2 are the same, byte for byte",)
    assert ended.differences == ()


def test_a_saved_task_has_no_trouble_left(stage: Stage) -> None:
    """What stopped an earlier call is over."""
    ended = stage.play(delivery.deliver(stage.engine, done(stage, trouble=FAILED)))
    assert (ended.state.kind, ended.trouble) == ("saved", None)
    assert stage.stored(ended) == ended


# -- on the way


def test_a_part_tells_whose_it_is_and_how_much_it_may_be(stage: Stage) -> None:
    """Its hidden name has task, result and chance; its cap is that of a picture."""
    seen: list[Any] = []

    async def look(part: Any) -> bytes:
        seen.append((part.path.name, part.cap, part.expected))
        return SMALL

    stage.fetcher.script[URL.format(1)] = [look]
    task = done(stage, target=into(stage, "fox{ext}"))
    stage.run(task)
    ((name, cap, expected),) = seen
    assert re.fullmatch(rf"\.fox\.{task.id}-1-[0-9a-f]{{6}}\.part", name)
    assert (cap, expected) == (104_857_600, "picture")
    told = [event for event in stage.events if isinstance(event, Transfer)]
    assert [(event.name, event.done, event.total) for event in told] == [("fox.png", len(SMALL), len(SMALL))]


@pytest.mark.parametrize(
    ("said", "kind", "cap"),
    [({"model": ""}, "video", 2 << 30), ({"makes": "video", "model": "wan2.7-video"}, "video", 2 << 30),
     ({}, "image", 100 << 20), ({"makes": "audio"}, "audio", 100 << 20)],
)  # fmt: skip
def test_how_much_is_taken_goes_by_what_it_may_be(stage: Stage, said: dict[str, Any], kind: str, cap: int) -> None:
    """Of a task that was adopted by its handle nobody knows: it has a video's limits; what is neither, a picture's."""
    seen: list[Any] = []
    fetch = stage.fetcher.fetch

    async def look(output: Output, part: Any, *, kind: str, progress: Any) -> Any:
        seen.append((kind, part.cap))
        return await fetch(output, part, kind=kind, progress=progress)

    stage.fetcher.fetch = look  # type: ignore[method-assign, assignment]
    stage.run(done(stage, **said), limit=60)
    assert seen == [(kind, cap)]


def test_what_is_fetched_is_told_before_it_is(stage: Stage) -> None:
    """Whoever shows the progress knows the task and its state before the first bytes."""
    stage.run(done(stage))
    begun, *rest = stage.events
    assert (type(begun).__name__, begun.task.state.kind) == ("TaskChanged", "done")  # type: ignore[union-attr]
    assert isinstance(rest[0], Transfer)


def test_every_field_of_a_name_is_filled_in(stage: Stage) -> None:
    """What was not known when the name was planned is known with the result."""
    task = done(stage, target=into(stage, "{provider}/{model}/{task}-{id}-{index}{ext}"))
    stage.run(task)
    assert (stage.out / f"rivya/wan2.7-image/{task.id}-{task.id}-1.png").exists()


def test_the_name_that_is_told_has_the_models_extension(stage: Stage) -> None:
    """Before the bytes tell, a result is called what its model makes; of a model nobody lists, a PNG."""
    for model, name in (("wan2.7-video", "fox.mp4"), ("nobody-lists-this", "fox.png")):
        stage.events.clear()
        stage.run(done(stage, model=model, target=into(stage, "fox{ext}")))
        assert next(event.name for event in stage.events if isinstance(event, Transfer)) == name


def test_standard_output_has_a_private_folder(stage: Stage) -> None:
    """What is on its way there is nobody else's to read, and the folder may be there already."""
    got: list[bytes] = []
    stage.engine.deliver = got.append
    old = os.umask(0)
    try:
        for _ in range(2):
            assert stage.run(done(stage, target=Target(template=None, stdout=True))).state.kind == "saved"
    finally:
        os.umask(old)
    assert got == [SMALL, SMALL]
    assert stat.S_IMODE((stage.folder / "scratch").stat().st_mode) == 0o700


def test_what_went_to_standard_output_before_goes_there_once_more(stage: Stage) -> None:
    """A process that ended between two results left no file of the first: this call has to bring both."""
    got: list[bytes] = []
    stage.engine.deliver = got.append
    first = File(index=1, path=None, bytes=len(SMALL), sha256=SHA, mime="image/png")
    ended = stage.run(done(stage, 2, files=(first,), target=Target(template=None, stdout=True)))
    assert (ended.state.kind, got) == ("saved", [SMALL, SMALL])


def test_without_standard_output_nothing_is_written_to_it(stage: Stage) -> None:
    """The reason is told, and the result stays."""
    ended = stage.run(done(stage, target=Target(template=None, stdout=True)))
    assert ended.trouble
    assert ended.trouble.message == "there is no standard output to write the result to"


def test_o06_a_name_that_cannot_be_written_is_told_by_its_number(stage: Stage) -> None:
    """The second of two results has such a name: the first is here, the second stays at the provider."""
    stage.fetcher.script[URL.format(2)] = [UnicodeEncodeError("ascii", "f\u00fc.png", 1, 2, "ordinal not in range")]
    ended = stage.run(done(stage, 2))
    assert ended.trouble
    assert ended.trouble.message.startswith("result 2 has a name that cannot be written in this locale")
    assert len(ended.state.files) == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("fault", [WriteFailed("the disk is full"), StateUnusable("no ledger")])
def test_a_fault_that_is_no_download_keeps_its_code(stage: Stage, fault: Any) -> None:
    """The trouble is the first result's, by its own name."""
    stage.fetcher.script = {URL.format(1): [fault], URL.format(2): [DownloadFailed("later")]}
    ended = stage.run(done(stage, 2))
    assert ended.trouble
    assert (ended.trouble.code, ended.trouble.message) == (fault.code, fault.message)


def test_a_format_that_is_not_the_named_one_is_told_unless_it_is_made(stage: Stage) -> None:
    """The record has what is on disk: converted, or as it came, with the true extension."""
    stage.fetcher.script[URL.format(1)] = [picture(64, 64, "JPEG")] * 2
    plain = stage.run(done(stage, target=into(stage, "a.png")))
    assert plain.warnings[0] == "the provider delivered image/jpeg, so the name ends in .jpg"
    assert plain.state.files[0].mime == "image/jpeg"  # type: ignore[union-attr]
    made = stage.run(done(stage, target=into(stage, "b.png", convert=True)))
    assert (made.warnings, made.state.files[0].mime) == ((), "image/png")  # type: ignore[union-attr]
    assert stage.files() == ["a.jpg", "b.png"]


# -- once more


def test_a_saved_task_is_collected_anew_where_that_is_asked(stage: Stage) -> None:
    """``anew`` wants what is here already, or went to standard output; without it what is here is enough."""
    file = small(stage)
    task = done(stage, state=Saved(files=(file, replace(file, index=2, path=None))), finished_at=7.0)
    assert reopened(task) is task
    again = reopened(task, anew=True)
    assert again.state == Pending(task_id="task_1", ref={"task_id": "task_1"}, note="asked again")
    assert again.finished_at == 7.0
    assert reopened(replace(task, finished_at=None), anew=True).finished_at == task.created_at
    assert reopened(replace(task, task_id=None), anew=True).state == task.state
    assert reopened(replace(task, state=Lost(code="x", message="y")), anew=True).state.kind == "lost"


def test_a_file_that_cannot_be_read_is_missed(stage: Stage) -> None:
    """A folder in its place, or a name that this system cannot spell, is not the file."""
    file = small(stage)
    for path in (str(stage.out), str(stage.out / "gone.png"), str(stage.out / "\udcff\ud800.png")):
        task = done(stage, state=Saved(files=(replace(file, path=path),)))
        assert reopened(task).state.kind == "pending"


def test_only_a_lost_task_with_a_handle_is_sought(stage: Stage) -> None:
    """There has to be something to ask about, and something to look for."""
    gone = done(stage, state=Lost(code="task_vanished", message="gone"))
    assert sought(gone).state == Pending(task_id="task_1", ref={"task_id": "task_1"}, note="asked again")
    for other in (replace(gone, task_id=None), done(stage)):
        assert sought(other) is other


def test_numbers_count_what_came_where_it_is_more(stage: Stage) -> None:
    """The whole call's results, or as many as were delivered."""
    task = stage.task(add=False, n=2, item=2, siblings=3)
    assert naming_numbers(task, 2) == (3, 6)
    assert naming_numbers(task, 9) == (3, 9)


@pytest.mark.parametrize(("overwrite", "replaces"), [(False, None), (True, ()), (True, None)])
def test_a_file_of_somebody_in_the_place_of_a_description(
    stage: Stage, overwrite: bool, replaces: tuple[str, ...] | None
) -> None:
    """It is left as it is, with a warning, and the result counts as complete; only --overwrite says that it may go."""
    stage.out.mkdir()
    (stage.out / "fox.png.json").write_text("mine", encoding="utf-8")
    target = replace(into(stage, "fox.png", sidecar=True), overwrite=overwrite, replaces=replaces)
    ended = stage.run(done(stage, target=target))
    left = not overwrite or replaces is not None
    assert ended.state.kind == "saved"
    assert ((stage.out / "fox.png.json").read_text(encoding="utf-8") == "mine") is left
    assert ("fox.png.json is no sidecar and was left as it is, so the file has none" in ended.warnings) is left


def test_a_name_taken_meanwhile_is_told_and_recorded(stage: Stage) -> None:
    """The record has the name that the result got, and its description stands beside that."""
    stage.out.mkdir()
    (stage.out / "fox.png").write_bytes(b"mine")
    ended = stage.run(done(stage, target=into(stage, "fox.png", sidecar=True)))
    assert ended.warnings == ("fox.png was taken meanwhile, so the result is fox-2.png",)
    assert [Path(str(file.path)).name for file in ended.state.files] == ["fox-2.png"]  # type: ignore[union-attr]
    assert stage.files() == ["fox-2.png", "fox-2.png.json", "fox.png"]
