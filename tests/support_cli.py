"""The harness of the command line: one call in this process, with its own streams, clock and folders."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import io
import json
import os
import re
import sqlite3
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jsonschema
from PIL import Image

from wan_cli.cli.context import App
from wan_cli.cli.main import COMMANDS, main
from wan_cli.media import check_structure, inspect
from wan_cli.ui.schema import load
from wan_cli.ui.streams import Streams

RIVYA_KEY = "rvya_sk_canary0123456789abcdef"
MODELVERSE_KEY = "mv-canary-0123456789abcdef"
CANARIES = (RIVYA_KEY, MODELVERSE_KEY)
BEGIN = 1_795_251_600.0
"""2026-11-21T09:00:00Z."""


@functools.cache
def picture(width: int = 1024, height: int = 1024, form: str = "PNG") -> bytes:
    """Return a plain picture."""
    data = io.BytesIO()
    Image.new("L", (width, height), 90).save(data, form)
    return data.getvalue()


def drawn(_prompt: str, width: int, height: int, **_details: Any) -> bytes:
    """Stand in for the sandbox's drawing, which takes its time."""
    return picture(width, height)


@functools.cache
def document_check() -> jsonschema.Draft202012Validator:
    """Return the validator of ``--json`` documents."""
    schema = load()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


@functools.cache
def line_check() -> jsonschema.Draft202012Validator:
    """Return the validator of ``--jsonl`` lines."""
    schema = load()
    return jsonschema.Draft202012Validator({"$ref": "#/$defs/event", "$defs": schema["$defs"]})


@dataclass
class Clock:
    """Time that passes only when somebody sleeps. ``slept`` are the seconds of every sleep."""

    now: float = BEGIN
    slept: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        """Let the time pass without waiting."""
        self.slept.append(seconds)
        self.now += max(0.0, seconds)
        await asyncio.sleep(0)


class Input(io.TextIOWrapper):
    """Standard input: bytes, or a terminal on which somebody typed them."""

    def __init__(self, data: bytes, *, tty: bool) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.tty = tty

    def isatty(self) -> bool:
        return self.tty


class Output(io.TextIOWrapper):
    """A stream of the process, kept in memory; ``fault`` is raised by every write."""

    def __init__(self, fault: OSError | None = None) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="\n", write_through=True)
        self.fault = fault

    def write(self, text: str) -> int:
        if self.fault:
            raise self.fault
        return super().write(text)

    def written(self) -> bytes:
        """Return all that was written."""
        self.flush()
        data = self.buffer
        assert isinstance(data, io.BytesIO)
        return data.getvalue()


@dataclass(frozen=True)
class Ran:
    """What a command left: exit code and both streams."""

    code: int
    raw: bytes
    err: str
    argv: tuple[str, ...]

    @property
    def out(self) -> str:
        """Standard output as text."""
        return self.raw.decode()

    @property
    def lines(self) -> list[str]:
        """The lines of standard output."""
        return self.out.splitlines()

    @property
    def json(self) -> Any:
        """The one document."""
        return json.loads(self.out)

    @property
    def events(self) -> list[Any]:
        """The lines of ``--jsonl``."""
        return [json.loads(line) for line in self.lines]

    @property
    def task(self) -> Any:
        """The only task of the document."""
        (only,) = self.json["tasks"]
        return only

    def said(self, name: str) -> str:
        """Return the last ``name:`` line of standard error, without its name."""
        return re.findall(rf"(?m)^{name}: (.*)$", self.err)[-1]


Run = Callable[..., Ran]
"""``wan(*args, stdin=, env=, tty=)``."""


class Cli:
    """Runs command lines one after the other over the same folders and the same clock."""

    def __init__(self, tmp_path: Path) -> None:
        self.root = tmp_path
        self.cwd = tmp_path / "work"
        self.cwd.mkdir()
        self.env: dict[str, str] = {}
        self.clock = Clock()
        self.engine: dict[str, Any] = {}
        self.world: dict[str, Any] = {}
        self.key_files: list[Path] = []
        self.provider: Any = None

    def run(
        self, *argv: object, stdin: bytes | str | None = b"", env: Mapping[str, str] | None = None,
        tty: Iterable[str] = (), stdout: Output | None = None, cwd: Path | None = None, command: bool = True,
    ) -> Ran:  # fmt: skip
        """Run ``wan argv``. ``tty`` names the streams that are terminals; ``stdin=None`` is a closed one."""
        out, err = stdout or Output(), Output()
        words = tuple(map(str, argv))
        surroundings = {**os.environ, **self.env, **(env or {})}
        app = App(
            streams=Streams(stdout=out, stderr=err, stdout_tty="stdout" in tty, stderr_tty="stderr" in tty,
                            env=surroundings),
            env=surroundings, cwd=cwd or self.cwd, now=self.clock, engine_parts=self._parts(),
            world_parts={"clock": self.clock, "draw": drawn, **self.world},
            stdin=None if stdin is None else Input(stdin.encode() if isinstance(stdin, str) else stdin,
                                                   tty="stdin" in tty),
        )  # fmt: skip
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(words, app=app)
        ran = Ran(code, out.written(), err.written().decode(), words)
        if command and stdout is None:
            _check(ran)
            if not code and "--json" in words and {"--no-wait", "--no-download", "--dry-run"}.isdisjoint(words):
                _check_files(ran, cwd or self.cwd, Path(surroundings["WAN_STATE_DIR"]))
        return ran

    def _parts(self) -> dict[str, Any]:
        clock: dict[str, Any] = {"sleep": self.clock.sleep, "rand": lambda: 0.5}
        return {
            "now": self.clock, "monotonic": self.clock, **clock, "fetcher": {**clock, "now": self.clock}, **self.engine
        }  # fmt: skip

    def write(self, name: str, data: bytes | str) -> Path:
        """Make a file in the working folder."""
        path = self.cwd / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.encode() if isinstance(data, str) else data)
        return path

    def config(self, text: str, *, mode: int = 0o600) -> Path:
        """Write the user's configuration file."""
        path = Path(os.environ["XDG_CONFIG_HOME"]) / "wan" / "config.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return path

    def key_file(self, key: str, *, mode: int = 0o600) -> Path:
        """Write a key file, which alone may hold the key."""
        path = self.root / f"key{len(self.key_files)}"
        path.write_text(key + "\n", encoding="utf-8")
        path.chmod(mode)
        self.key_files.append(path)
        return path

    def files(self) -> list[str]:
        """Return what is in the working folder."""
        return sorted(str(path.relative_to(self.cwd)) for path in self.cwd.rglob("*") if path.is_file())

    def search_for_keys(self) -> None:
        """Fail where a file made by wan holds a key."""
        for path in self.root.rglob("*"):
            if path.is_file() and path not in self.key_files:
                data = path.read_bytes()
                assert not any(key.encode() in data for key in CANARIES), path


def _check(ran: Ran) -> None:
    """Hold every run against what is true of all of them."""
    for key in CANARIES:
        assert key.encode() not in ran.raw
        assert key not in ran.err
    said = [line.partition(":")[0] for line in ran.err.splitlines()]
    words = ran.argv[: ran.argv.index("--")] if "--" in ran.argv else ran.argv
    errors = [place for place, name in enumerate(said) if name == "error"]
    for place in errors:
        assert said[place : place + 3] == ["error", "charged", "hint"], ran.err
        check_hint(ran.err.splitlines()[place + 2].removeprefix("hint: "))
    if ran.code and "status" not in words:
        assert errors, (ran.code, ran.err, ran.out)
    if not ran.code:
        assert not errors, ran.err
    if "--jsonl" in words:
        _check_lines(ran)
    elif "--json" in words:
        document_check().validate(ran.json)
        assert ran.json["exit_code"] == ran.code
        assert ran.json["ok"] is (ran.code == 0)


def _check_files(ran: Ran, cwd: Path, state: Path) -> None:
    """Hold an exit 0 against its promise: each file is there, is what it is said to be, and is in the ledger."""
    document = ran.json
    if document["command"] not in ("generate", "edit", "fuse", "sequence", "wait", "render"):
        return
    for task in document["tasks"]:
        assert task["state"] == "succeeded", task
        ledger = state / ("sandbox/ledger.db" if task["sandbox"] else "ledger.db")
        with contextlib.closing(sqlite3.connect(f"file:{ledger}?mode=ro", uri=True)) as db:
            ((kept,),) = db.execute("SELECT document FROM task WHERE id = ?", (task["id"],)).fetchall()
        for file in task["files"]:
            if file["path"] is None or "://" in file["path"]:  # it went to standard output, or to a store
                continue
            data = (cwd / file["path"]).read_bytes()
            assert (len(data), hashlib.sha256(data).hexdigest()) == (file["bytes"], file["sha256"])
            assert file["sha256"] in kept
            sniffed = inspect(io.BytesIO(data))
            assert (sniffed.mime, sniffed.width, sniffed.height) == (file["mime"], file["width"], file["height"])
            assert not check_structure(io.BytesIO(data), sniffed.mime, len(data))


def _check_lines(ran: Ran) -> None:
    for event in ran.events:
        line_check().validate(event)
    last = ran.events[-1]
    assert last["event"] == "summary"
    assert last["exit_code"] == ran.code


def check_hint(hint: str) -> None:
    """Fail where a hint is empty, has what cannot be pasted, or names a command that does not exist."""
    assert hint.strip()
    assert not re.search(r"…|\(or |   \(", hint), hint
    for name in re.findall(r"\bwan ([a-z][a-z-]*)", hint):
        assert name in COMMANDS, hint
