"""Claims about the JSON documents and their schema."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import jsonschema
import pytest

from wan_cli import errors
from wan_cli.models import (
    Cancelled,
    Cost,
    Done,
    File,
    LocalFile,
    Lost,
    Media,
    Output,
    Pending,
    Saved,
    Sending,
    Task,
    TaskChanged,
    Transfer,
    Unknown,
    Warned,
)  # fmt: skip
from wan_cli.registry import every_model
from wan_cli.ui import schema
from wan_cli.ui.document import (
    document,
    dumps,
    error_document,
    error_object,
    jsonl_line,
    listing,
    task_document,
    task_error,
    timestamp,
    totals,
)  # fmt: skip
from wan_cli.ui.jsonl import summary_event, task_event, transfer_event, warning_event
from wan_cli.ui.messages import hint_for
from wan_cli.ui.rows import model_rows

Make = Callable[..., Any]
"""A fixture that builds what it is named after."""

KEYS = [
    "id",
    "handle",
    "provider",
    "origin",
    "sandbox",
    "verb",
    "model",
    "provider_model",
    "state",
    "progress",
    "charged",
    "charge_basis",
    "prompt",
    "revised_prompt",
    "request",
    "cost",
    "created_at",
    "submitted_at",
    "finished_at",
    "expires_at",
    "request_id",
    "files",
    "warnings",
    "error",
    "usage",
]

OUTPUTS = (Output(url="https://cdn.example/1.png?sig=a"), Output(b64="aGk="))


def check(doc: Any, pointer: str = "") -> None:
    """Validate a document, or an event, as its reader would: after a round trip through text."""
    whole = schema.load()
    target = {**whole, "$ref": pointer} if pointer else whole
    if pointer:
        target.pop("anyOf")
    jsonschema.Draft202012Validator(target).validate(json.loads(dumps(doc)))


def one(task: Task, **more: Any) -> dict[str, Any]:
    """Wrap a task into a whole document and validate it."""
    built = task_document(task, cwd="/srv", **more)
    check(document("generate", [built], None, 0, ok=True))
    return built


def test_the_schema_is_a_schema_and_strict() -> None:
    """The published schema is valid, and no object in it takes unknown names, but for foreign values."""
    loaded = schema.load()
    jsonschema.Draft202012Validator.check_schema(loaded)
    assert loaded["$defs"]["task"]["additionalProperties"] is False
    with pytest.raises(jsonschema.ValidationError):
        check({**document("generate", [], None, 0, ok=True), "surprise": 1})


def test_the_schema_knows_every_error_code_and_exit_code() -> None:
    """Each error class of the program is in the schema's enumerations."""
    defs = schema.load()["$defs"]
    pending, classes = [errors.WanError], []
    while pending:
        classes.append(pending.pop())
        pending += classes[-1].__subclasses__()
    assert {cls.code for cls in classes} | {"stale"} == set(defs["error_code"]["enum"])
    assert {cls.default_exit for cls in classes} <= set(defs["exit_code"]["enum"])


def test_a_task_document_is_the_contracts_example(tale: list[Task]) -> None:
    """Keys, their order and their values are those of interface.md, section 3."""
    built = one(replace(tale[3], job=replace(tale[3].job, aspect="16:9"), charge_basis="provider"))
    assert list(built) == KEYS
    assert built["handle"] == "rivya:task_1"
    assert (built["state"], built["progress"], built["charged"]) == ("succeeded", None, "yes")
    assert built["request"] == {"size": "2K", "aspect": "16:9", "n": 1, "seed": 7}
    assert list(built["request"]) == ["size", "aspect", "n", "seed"]
    assert json.dumps(built["cost"]) == '{"estimated": 12, "actual": 12, "unit": "credits"}'
    assert built["created_at"] == "2026-11-21T09:00:00Z"
    assert list(built["files"][0]) == ["index", "path", "url", "bytes", "sha256", "mime", "width", "height"]
    assert built["files"][0]["path"] == "out/fox.png"


def test_the_document_has_the_contracts_top(tale: list[Task]) -> None:
    """The top level has six keys in the contract's order, and a command's own come before the error."""
    built = document("status", [task_document(tale[1], cwd="/srv")], None, 8, ok=False)
    assert list(built) == ["wan", "command", "ok", "exit_code", "tasks", "error"]
    assert list(document("models", [], None, 0, ok=True, extra={"models": []}))[-2:] == ["models", "error"]
    assert built["wan"] == 1
    check(built)


def test_everything_that_was_asked_for_is_in_the_request(task: Make) -> None:
    """Each option that was set is shown, references by name or address, and what was not said is absent."""
    picture = LocalFile(path="refs/a.png", sha256="ab" * 32, size=3, mime="image/png")
    job = {
        "media": (Media(role="reference", kind="image", file=picture, url="https://signed.example/x"),
                  Media(role="reference", kind="image", url="https://example/b.png")),
        "n": 4, "watermark": False, "thinking": True, "negative": "blur", "duration": 5, "resolution": "720p",
        "audio_setting": "origin", "params": MappingProxyType({"x": (1, math.nan)}), "size": None, "seed": 0,
    }  # fmt: skip
    request = json.loads(dumps(one(task(job=job))))["request"]
    assert request == {
        "n": 4, "seed": 0, "watermark": False, "thinking": True, "negative": "blur", "duration": 5,
        "resolution": "720p", "audio_setting": "origin", "params": {"x": [1, None]},
        "references": ["a.png", "https://example/b.png"],
    }  # fmt: skip


def test_files_are_where_they_are(task: Make, file: Make) -> None:
    """A saved file has a path as typed from here, or none; a finished task has addresses, or none for inline bytes."""
    away = one(task(state=Saved(files=(file(1, "/elsewhere/a.png"), file(2, None)))))
    assert [f["path"] for f in away["files"]] == ["/elsewhere/a.png", None]
    done = one(task(state=Done(outputs=OUTPUTS)))
    assert [f["url"] for f in done["files"]] == ["https://cdn.example/1.png?sig=a", None]
    assert [f["index"] for f in done["files"]] == [1, 2]
    assert {v for f in done["files"] for k, v in f.items() if k not in ("index", "url")} == {None}
    odd = File(index=1, path="x.bin", bytes=0, sha256="0" * 64, mime="video/mp4")
    assert one(task(state=Saved(files=(odd,))))["files"][0]["width"] is None


def test_progress_and_usage_are_kept(task: Make) -> None:
    """What the provider reports of progress and usage is in the document as it is."""
    built = one(task(state=Pending(task_id="t", progress=40), usage={"image_count": 1}, expires_at=5.0))
    assert (built["progress"], built["usage"], built["expires_at"]) == (40, {"image_count": 1}, "1970-01-01T00:00:05Z")


def test_a_date_beyond_all_calendars_is_null() -> None:
    """A provider's nonsense date costs no bought result."""
    assert timestamp(1e300) is None
    assert timestamp(math.inf) is None
    assert timestamp(math.nan) is None
    assert timestamp(None) is None


@pytest.mark.parametrize(
    ("changes", "code", "exit_code", "charged", "hint"),
    [
        ({"state": "failed"}, "task_failed", 7, "no", "wan help errors"),
        ({"state": Cancelled(), "charged": "no"}, "cancelled", 7, "no", "run the command that made it again"),
        ({"state": Unknown(reason="reset", http_status=502)}, "outcome_unknown", 9, "unknown", "wan recover k3f9x2"),
        ({"state": Lost(code="task_vanished", message="404"), "task_id": "t"}, "task_vanished", 10, "yes",
         "wan wait rivya:t"),
        ({"state": Lost(code="task_vanished", message="404")}, "task_vanished", 10, "yes",
         "run the command that made it again"),
        ({"state": Done(outputs=OUTPUTS), "task_id": "t", "trouble": "write_failed"}, "write_failed", 12, "yes",
         "wan wait rivya:t"),
        ({"state": Done(outputs=OUTPUTS), "trouble": "network"}, "download_failed", 12, "yes", "wan wait k3f9x2"),
        ({"state": Done(outputs=OUTPUTS), "trouble": "key_rejected"}, "key_rejected", 8, "yes", "wan wait k3f9x2"),
        ({"state": Pending(task_id="t"), "trouble": "network"}, "timeout_waiting", 8, "yes", "wan wait k3f9x2"),
        ({"state": Pending(task_id="t"), "trouble": "timeout_waiting"}, "timeout_waiting", 8, "yes", "wan wait k3f9x2"),
    ],
)  # fmt: skip
def test_a_state_means_an_error(
    task: Make, fake: Make, changes: dict[str, Any], code: str, exit_code: int, charged: str, hint: str
) -> None:
    """Every bad end has its code, exit code, charge and next command, in the task's document and as an exception."""
    changes = dict(changes)
    if changes["state"] == "failed":
        changes["state"] = fake(provider_code="E1", http_status=200)
    if "trouble" in changes:
        changes["trouble"] = fake(code=changes["trouble"], provider_code="E1")
    built = task(**changes)
    error = task_error(built)
    assert (error.code, error.exit_code, error.charged) == (code, exit_code, charged)
    shown = one(built)["error"]
    assert (shown["code"], shown["exit_code"], shown["charged"], shown["hint"]) == (code, exit_code, charged, hint)


def test_nothing_bought_is_ever_called_safe_to_buy_again(task: Make, fake: Make) -> None:
    """A network error while collecting never tells a script that nothing was bought."""
    for state in (Pending(task_id="t"), Done(outputs=OUTPUTS)):
        for code in ("network", "rate_limited", "key_rejected", "request_rejected", "nonsense"):
            assert task_error(task(state=state, trouble=fake(code=code))).charged == "yes"


def test_good_states_mean_no_error(task: Make, tale: list[Task]) -> None:
    """New, sending, pending, finished and saved are no errors; the caller may know better."""
    assert [task_error(t) for t in [task(), *tale]] == [None] * 5
    late = errors.StillRunning("10 minutes are over", hint="wan wait rivya:task_1")
    assert one(tale[1], error=late)["error"]["code"] == "timeout_waiting"
    assert task_error(task(state=Sending(at=1.0), trouble=None)) is None


def test_an_error_has_the_same_hint_in_text_and_json() -> None:
    """The error object never lacks the next command."""
    built = error_document("generate", errors.KeyMissing("no key"))
    assert built["error"]["hint"] == hint_for(errors.KeyMissing("no key"))
    assert (built["ok"], built["exit_code"], built["tasks"]) == (False, 3, [])
    assert error_object(None) is None
    check(built)


def test_listings_validate() -> None:
    """Models, uploads, keys and findings have documents of their own, flat objects under the command's noun."""
    models = listing("models", model_rows(every_model()))
    check(models)
    assert models["models"][0]["verbs"] == ["generate"]
    uploaded = {"path": "a.png", "url": "https://x", "id": None, "duration_token": None, "sha256": "ab" * 32}
    check(document("upload", [], None, 0, ok=True, extra={"files": [uploaded]}))
    check(listing("auth list", [{"provider": "rivya", "source": "RIVYA_API_KEY"}]))
    check(listing("doctor", [{"check": "clock", "ok": False, "fix": None}], exit_code=3))
    check(document("models", [], None, 0, ok=True, extra={"models": [], "balance": {"rivya": "90 credits"}}))
    check(document("generate", [], None, 0, ok=True, extra={"skipped": ["out/fox.png"]}))
    check(document("status", [], None, 0, ok=True, extra={"forgotten": 3}))
    request = {
        "provider": "rivya", "method": "POST", "url": "https://rivya.ai/api/v1/generations", "headers": {},
        "body": {"a": 1}, "curl": "curl -X POST https://rivya.ai/api/v1/generations",
    }  # fmt: skip
    planned = {"requests": [request], "estimate": [{"amount": 12, "unit": "credits"}, {"amount": None, "unit": None}]}
    check(document("generate", [], None, 0, ok=True, extra=planned))
    assert listing("config show", [])["config"] == []
    assert listing("doctor", [], exit_code=3)["ok"] is False


def test_every_event_validates(task: Make, tale: list[Task], fake: Make) -> None:
    """Each line of --jsonl is an event of the schema."""
    bad = errors.TaskFailed("x")
    events = [task_event(TaskChanged(task=t), cwd="/srv") for t in [*tale, task(state=fake()), task(state=Cancelled())]]
    events += [transfer_event(Transfer(task=tale[2], name="1.png", done=1, total=None))]
    events += [warning_event(Warned(message="x")), warning_event(Warned(message="x", task=tale[0]))]
    events += [summary_event("generate", tale, None, 0, ok=True), summary_event("wait", [], bad, 7, ok=False)]
    for event in events:
        check(event, "#/$defs/event")
    assert events[2]["task"]["state"] == "downloading"


def test_totals_never_make_the_unknown_cheap(task: Make) -> None:
    """Sums are per unit; one unknown part makes a sum unknown; sandbox tasks are left out."""

    def part(estimated: float | None, actual: float | None, unit: str | None = "credits", **more: Any) -> Task:
        return task(cost=Cost(estimated=estimated, actual=actual, unit=unit), charged="yes", **more)

    assert totals([]) == []
    assert totals([part(12, 12), part(5, 5)]) == [{"unit": "credits", "estimated": 17, "actual": 17}]
    assert totals([part(12, None), part(None, 5)]) == [{"unit": "credits", "estimated": None, "actual": None}]
    assert totals([part(1, 1, sandbox=True)]) == []
    assert totals([part(0.1, 0.1, "CNY"), part(0.2, 0.2, "CNY"), part(1, 1)])[0]["actual"] == 0.3
    assert totals([task(), part(12, 7)])[0] == {"unit": "credits", "estimated": 24, "actual": 7}


def test_text_is_ascii_and_json_whatever_is_in_it() -> None:
    """Foreign values of any type, depth and spelling become valid ASCII JSON."""
    deep = value = {}
    for _ in range(500):
        value["x"] = {}
        value = value["x"]
    text = dumps({"a": math.inf, "b": "\x7f\x1b\u202e🦊\ud800", "c": MappingProxyType({1: {2}}), "d": deep, "e": b"x"})
    assert text.isascii()
    assert all(char.isprintable() or char == "\n" for char in text)
    loaded = json.loads(text)
    assert (loaded["a"], loaded["b"], loaded["c"]) == (None, "\x7f\x1b\u202e🦊\ud800", {"1": [2]})
    assert loaded["e"] == "b'x'"
    assert "\n" not in jsonl_line({"a": "x\ny"})
