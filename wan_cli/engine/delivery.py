"""Results to disk: fetched side by side, checked, named, compared with what was asked for.

A file's sha256 is in the ledger before the file gets its name, so a process that ends in between leaves a result that
the next one recognises (reliability.md P05). Nothing here ever buys.
"""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from functools import partial
from pathlib import Path

from wan_cli import naming
from wan_cli.dataclass import dataclass, replace
from wan_cli.download import Expired
from wan_cli.engine import storing
from wan_cli.engine.again import is_whole
from wan_cli.engine.aside import aside
from wan_cli.engine.compare import alike, differences
from wan_cli.engine.expiry import end_of, is_over, until
from wan_cli.engine.finish import Finished, finished
from wan_cli.engine.loop import Engine, Service, model_of
from wan_cli.engine.poster import with_poster
from wan_cli.engine.sidecar import sidecar_path, stranger, write_sidecar
from wan_cli.errors import DownloadFailed, WanError, WriteFailed
from wan_cli.media import EXTENSIONS
from wan_cli.media.film import with_film_facts
from wan_cli.models import Done, File, Lost, Output, Pending, Saved, Task, TaskChanged, Transfer
from wan_cli.publish import Part
from wan_cli.record import from_document
from wan_cli.stores import is_address
from wan_cli.targets import may_replace

CAPS = {"image": 100 * 1024 * 1024, "video": 2 * 1024 * 1024 * 1024}
"""The most bytes of one result (reliability.md section 5)."""
SECOND_LOOK_S = 2.0
"""Before an address that is refused as expired is looked at once more: the refusal may be a passing one."""


@dataclass(frozen=True, slots=True)
class _Fetched:
    """One result: the file it became, or why it did not."""

    index: int
    file: File | None = None
    error: WanError | None = None
    expired: bool = False
    """The address was refused: only a fresh one, or a later look, can help."""
    over: bool = False
    """And nothing says that it is still good."""
    notes: tuple[str, ...] = ()


async def deliver(engine: Engine, task: Task) -> Task:
    """From ``Done``: bring every result to disk. One that fails never takes another with it (reliability.md D19)."""
    if isinstance(task.state, Done) and not task.state.outputs:  # an answer that was all, and is empty (R11)
        return await engine.save(replace(task, state=Lost(code="task_vanished", message="the answer names no result")))
    again = task.task_id is not None and task.id in engine.missed
    results, task = await _round(engine, task)
    refused = any(result.expired for result in results)
    failed = next((result.error for result in results if isinstance(result.error, DownloadFailed)), None)
    if failed and (refused or again):
        await engine.pause(SECOND_LOOK_S)
        before, why = task.state, "the result's address expired" if refused else failed.message
        task = await _fresh(engine, task, why)
        if task.trouble or not isinstance(task.state, Done):
            return task
        if refused or not isinstance(before, Done) or task.state.outputs != before.outputs:
            results, task = await _round(engine, task)
    broken = [result for result in results if result.error]
    if not broken:
        return await _saved(engine, task)
    error = broken[0].error
    assert error is not None  # noqa: S101 - filtered above
    if all(result.over for result in broken) and len(broken) == len(results):
        return await engine.save(replace(task, state=Lost(code="result_expired", message=error.message), trouble=None))
    return await engine.trouble(task, error.code, error.message)


async def _round(engine: Engine, task: Task) -> tuple[list[_Fetched], Task]:
    """Fetch what is not here yet; what arrives is saved to the ledger as it comes."""
    state = task.state
    assert isinstance(state, Done)  # noqa: S101 - the loop dispatches on the state's kind
    service = engine.service(task.provider)
    desk = _Desk(engine, service, task)
    gate = asyncio.Semaphore(engine.downloads)

    async def one(index: int, output: Output) -> _Fetched:
        async with gate:
            return await desk.bring(index, output)

    engine.tell(TaskChanged(task=task))
    work = [one(index, output) for index, output in enumerate(state.outputs, start=1)]
    results = await engine.unless(engine.stop, asyncio.gather(*work))
    task = desk.task
    for note in (note for result in results for note in result.notes):
        task = await engine.warn(task, note)
    return results, task


async def _fresh(engine: Engine, task: Task, reason: str) -> Task:
    """Ask the provider for fresh addresses, once (reliability.md D01). An answer that was all has no others."""
    from wan_cli.engine.collect import ask

    before = task.state
    assert isinstance(before, Done)  # noqa: S101
    if task.task_id is None:
        return task
    service = engine.service(task.provider)
    asked = await ask(engine, replace(task, state=service.provider.adopt(task.task_id)), service)
    if isinstance(asked.state, Done):
        return await engine.save(replace(asked, state=replace(asked.state, files=before.files)))
    if isinstance(asked.state, Pending):  # it could not be asked: what was known stays, and nothing counts as gone
        why = asked.trouble.message if asked.trouble else "the provider could not be asked for a fresh one"
        return await engine.trouble(replace(asked, state=before), "download_failed", f"{reason}; {why}")
    return asked


class _Desk:
    """Brings the results of one task in, and keeps its record as they come."""

    def __init__(self, engine: Engine, service: Service, task: Task) -> None:
        self.engine = engine
        self.service = service
        self.task = task
        self._paths: dict[tuple[int, str], Path] = {}
        """Where a result goes, by its number and extension."""

    async def bring(self, index: int, output: Output) -> _Fetched:
        """Bring one result in. Everything that goes wrong is in the answer."""
        known = self._known(index)
        here = storing.waiting(self.engine, self.task, known)
        try:
            if known and here is None and await self._in_place(known):
                return await self._posted(_Fetched(index, known))
            return await self._bring(index, output, here)
        except Expired as gone:
            return self._refused(index, output, gone)
        except WanError as error:
            return _Fetched(index, error=error)
        except UnicodeError as error:
            # a name that was planned in another locale (reliability.md O06), or a host's name that is none
            if isinstance(error, UnicodeEncodeError) and error.encoding != "idna":
                what = f"result {index} has a name that cannot be written in this locale"
                return _Fetched(index, error=WriteFailed(f"{what}; it is still at the provider"))
            return _Fetched(index, error=DownloadFailed(f"result {index} has an address that cannot be used: {error}"))

    def _refused(self, index: int, output: Output, gone: Expired) -> _Fetched:
        """Say of an address that is refused whether it has ended, or is good for longer by its own account (D01)."""
        ends, now = end_of(self.task, output.url), self.engine.now()
        over = is_over(ends, gone, now)
        what = "can no longer be fetched" if over else "cannot be fetched for now"
        error = DownloadFailed(f"result {index} {what}: {gone}{until(ends, now)}")
        return _Fetched(index, error=error, expired=True, over=over)

    async def _in_place(self, known: File) -> bool:
        if not (known.path and is_address(known.path)):
            if not (is_whole(known) and self._described(known)):
                return False
            if known.path:  # a process that ended between the two names of its file left the first
                self.engine.leftovers.sweep(Path(known.path).parent, self.task.id, known.index)
            return True
        from wan_cli.stores.objects import asked

        return await asked(partial(is_whole, known))

    async def _bring(self, index: int, output: Output, here: Path | None) -> _Fetched:
        task = self.task
        kind = task.job.makes if task.job.model else "video"  # an adopted task may be either: the wider limits
        aim = self._aim(index)
        self.engine.leftovers.sweep(aim.parent, task.id, index)
        token = lambda: f"{task.id}-{index}-{secrets.token_hex(3)}"  # noqa: E731 - the part's name tells whose it is
        expected = "video" if task.job.makes == "video" else "picture"

        def progress(done: int, total: int | None) -> None:
            self.engine.tell(Transfer(task=self.task, name=aim.name, done=done, total=total))

        with Part(aim, cap=CAPS.get(kind, CAPS["image"]), expected=expected, token=token) as part:
            if here is None:
                sniffed = await self.service.fetcher.fetch(output, part, kind=kind, progress=progress)
            else:
                sniffed, task = storing.taken_over(here, part), replace(task, target=replace(task.target, embed=False))
            with part.reading() as source:
                sniffed = with_film_facts(sniffed, source)
            with finished(task, part, sniffed, self._public()) as made:
                if task.target.stdout:
                    return await self._handed_over(index, made)
                return await self._published(index, made)

    def _public(self) -> Task:
        """Return the task as it may be told: without the user's texts where those are not stored."""
        target = self.task.target
        plain = not (target.embed or target.sidecar)
        return self.task if plain else from_document(self.engine.ledger.document(self.task))

    async def _handed_over(self, index: int, made: Finished) -> _Fetched:
        """``-o -``: the bytes go to standard output, and no file stays."""
        if self.engine.deliver is None:
            raise WriteFailed("there is no standard output to write the result to")
        with made.part.reading() as source:
            self.engine.deliver(source.read())
        return _Fetched(index, await self._record(index, made, None), notes=tuple(made.notes))

    async def _published(self, index: int, made: Finished) -> _Fetched:
        final = self._path(index, EXTENSIONS[made.sniffed.mime])
        file = await self._record(index, made, final)  # the hash is durable before the name exists
        real = final
        if not is_whole(file):  # else it is in place, and another file of the task was missed
            real = await self._placed(made.part, final)
        if real != final:
            file = await self._record(index, made, real)
            made.notes.append(f"{final.name} was taken meanwhile, so the result is {real.name}")
        target = self.task.target
        if target.sidecar and not (target.overwrite and target.replaces is None) and stranger(real):
            made.notes.append(f"{sidecar_path(real).name} is no sidecar and was left as it is, so the file has none")
        elif target.sidecar:
            write_sidecar(self._public(), file, real)
        return await self._posted(_Fetched(index, file, notes=tuple(made.notes)))

    async def _placed(self, part: Part, final: Path) -> Path:
        """Publish a part; its two syncs hold nobody up where other tasks are in hand."""
        publish = partial(part.publish, final, overwrite=may_replace(self.task.target, final))
        return await aside(publish) if self.engine.hands > 1 else publish()

    async def _posted(self, result: _Fetched) -> _Fetched:
        """Put the poster beside a video where it is wanted and missing, and what goes to a store there."""
        if (file := result.file) is None or (file.path and is_address(file.path)):
            return result
        if made := with_poster(self.task.target, file):
            result = replace(result, file=await self._noted(made.file), notes=(*result.notes, *made.notes))
            file = made.file
        if not storing.in_store(self.task):
            return result
        wanted = self._path(result.index, EXTENSIONS[file.mime])
        file, notes = await storing.put_away(self.engine, self.task, self._public(), file, wanted)
        return replace(result, file=await self._noted(file), notes=(*result.notes, *notes))

    async def _record(self, index: int, made: Finished, path: Path | None) -> File:
        part, sniffed = made.part, made.sniffed
        file = File(
            index=index, path=str(path) if path else None, bytes=part.size, sha256=part.sha256, mime=sniffed.mime,
            width=sniffed.width, height=sniffed.height, duration_s=sniffed.duration_s, fps=sniffed.fps,
            video_codec=sniffed.video_codec, audio_codec=sniffed.audio_codec,
        )  # fmt: skip
        return await self._noted(file)

    async def _noted(self, file: File) -> File:
        state = self.task.state
        assert isinstance(state, Done)  # noqa: S101
        files = tuple(sorted((*(f for f in state.files if f.index != file.index), file), key=lambda f: f.index))
        # Before it is durable, for another result may be recorded meanwhile, and has to have this one too.
        self.task = replace(self.task, state=replace(state, files=files))
        await self.engine.note(self.task)
        return file

    def _known(self, index: int) -> File | None:
        state = self.task.state
        return next((file for file in state.files if file.index == index), None) if isinstance(state, Done) else None

    def _described(self, file: File) -> bool:
        return not self.task.target.sidecar or Path(f"{file.path}.json").exists()

    def _aim(self, index: int) -> Path:
        """The path a result would have if it is what the catalogue says; the part file stands beside it."""
        if self.task.target.template is None:
            with suppress(OSError):  # the part says what is wrong; it would make the folder as the umask has it
                self.engine.scratch.mkdir(mode=0o700, exist_ok=True)
            return self.engine.scratch / f"{self.task.id}-{index}"
        formats = model_of(self.task).formats
        return self._path(index, EXTENSIONS[formats[0]] if formats else ".png")

    def _path(self, index: int, ext: str) -> Path:
        if (index, ext) not in self._paths:
            task, state = self.task, self.task.state
            delivered = len(state.outputs) if isinstance(state, Done) else 1
            first, total = naming_numbers(task, delivered)
            (self._paths[index, ext],) = naming.final_paths(
                storing.template_here(self.engine, task), 1, ext, first=first + index - 1, total=total,
                values={"id": task.id, "task": task.id, "provider": task.provider, "model": task.job.model},
            )  # fmt: skip
        return self._paths[index, ext]


def naming_numbers(task: Task, delivered: int) -> tuple[int, int]:
    """Return the number of the task's first result and how many there are in all, over the tasks of one ``-n``."""
    total = max(task.siblings * task.job.n, delivered)
    return (task.item - 1) * task.job.n + 1, total


async def _saved(engine: Engine, task: Task) -> Task:
    """From ``Done`` with every file in place to ``Saved``, compared with what was asked for."""
    state = task.state
    assert isinstance(state, Done)  # noqa: S101
    found = tuple(differences(task, state.files))
    for noted in (*found, *alike(state.files)):
        task = await engine.warn(task, noted)
    storing.tidied(engine, task)
    return await engine.save(replace(task, state=Saved(files=state.files), trouble=None, differences=found))
