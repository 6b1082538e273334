"""Tests of the task's JSON document."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, get_args

import pytest

from wan_cli import models
from wan_cli.models import (
    Cancelled,
    Cost,
    Done,
    Facts,
    Failed,
    File,
    Job,
    LocalFile,
    Lost,
    Media,
    New,
    Output,
    Pending,
    Saved,
    Sending,
    State,
    Target,
    Task,
    Unknown,
)
from wan_cli.record import forget_prompt, from_document, to_document

CANARY = 'a "canary" in a\ncoal mine, émigré'

FACTS = Facts(
    charged_amount=12.5, reserved_amount=13, request_id="r-1", revised_prompt="a better canary",
    usage={"tokens": 3, "nested": {"list": [1, None, True]}}, finished_at=1_000.25, retry_after_s=2.0,
)  # fmt: skip

STATES: tuple[State, ...] = (
    New(),
    Sending(at=1_000.5, attempts=2),
    Pending(task_id="t-1", ref={"poll": "/x", "deep": [{"a": 1}]}, progress=40, note="running", facts=FACTS),
    Done(outputs=(Output(url="https://cdn.example/a.png", mime="image/png"), Output(b64="QUJD")), facts=FACTS),
    Saved(files=(File(index=1, path="out/a.png", bytes=5, sha256="ab", mime="image/png", width=8, height=9),)),
    Failed(code="moderation", message="no", hint="wan help", charged="no", http_status=400, facts=FACTS),
    Cancelled(facts=FACTS),
    Unknown(reason="the answer was lost", raw="{", http_status=502),
    Lost(code="result_expired", message="gone"),
)


def a_task(state: State, **changes: Any) -> Task:
    """Return a task with every field set to something that is not its default."""
    local = LocalFile(path="/in/a.png", sha256="cd" * 32, size=10, mime="image/png", width=3, height=4)
    job = Job(
        verb="edit", provider="rivya", model="wan2.7-image", prompt=CANARY,
        media=(
            Media(role="edit_source", kind="image", file=local, url="https://u.example/1", duration_token="d"),
            Media(role="voice", kind="audio", url="https://u.example/2"),
        ),
        size="2K", aspect="16:9", n=2, seed=0, duration=5, resolution="720p", watermark=False, thinking=True,
        negative="no people here", audio_setting="auto", route="async", params={"style": {"deep": [1, "x", None]}},
    )  # fmt: skip
    task = Task(
        id="k3f9x2", provider="rivya", origin="https://rivya.ai", job=job, provider_model="wan-2-7-image",
        token="wan-abc", target=Target(template="/out/{slug}{ext}", overwrite=True, sidecar=True), created_at=5,
        state=state, sandbox=True, user_key="build-7", fingerprint="ff", batch="b", item=3, key_print="0a1b2c3d",
        task_id="t-1", cost=Cost(estimated=12, actual=12.5, unit="credits"), charged="yes", charge_basis="provider",
        submitted_at=6.5, finished_at=7.0, expires_at=8.0, request_id="r-1", revised_prompt="a better canary",
        usage={"images": 2}, warnings=("first", "second"), trouble=Failed(code="network", message="down"),
    )  # fmt: skip
    return dataclasses.replace(task, **changes)


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.kind)
def test_a_task_survives_json(state: State) -> None:
    """A task in any state is the same after a trip through JSON text."""
    task = a_task(state)

    assert from_document(json.loads(json.dumps(to_document(task)))) == task


def test_every_kind_of_state_is_tested() -> None:
    """The list above has an example of each State there is."""
    assert {type(state) for state in STATES} == set(get_args(models.State))


def test_lone_surrogates_survive() -> None:
    """A prompt that was not UTF-8 on the command line is kept as it came, and can be hashed."""
    task = a_task(New(), revised_prompt="\udcff")

    assert from_document(json.loads(json.dumps(to_document(task)))) == task
    assert "sha256" in forget_prompt(to_document(task))["revised_prompt"]


def test_a_document_without_the_optional_fields_gets_their_defaults() -> None:
    """A field that has a default may be missing: older documents have fewer."""
    doc = to_document(a_task(New()))
    del doc["trouble"], doc["warnings"], doc["state"]

    assert from_document(doc) == a_task(New(), trouble=None, warnings=())


def change(doc: dict[str, Any], path: str, value: object) -> dict[str, Any]:
    """Set what is at the dotted ``path`` of ``doc``."""
    *parents, last = path.split(".")
    inner: Any = doc
    for name in parents:
        inner = inner[int(name)] if isinstance(inner, list) else inner[name]
    inner[last] = value
    return doc


@pytest.mark.parametrize(
    ("path", "value", "complaint"),
    [
        ("colour", "red", "task: unknown field 'colour'"),
        ("job.colour", "red", "task.job: unknown field 'colour'"),
        ("job.media.0.colour", 1, r"task.job.media\[0\]: unknown field"),
        ("state.colour", 1, "task.state: unknown field"),
        ("state.kind", "melted", "unknown kind 'melted'"),
        ("state", "pending", "unknown kind None"),
        ("job", [], "task.job: is not an object"),
        ("job.media", {}, "task.job.media: is not a list"),
        ("job.n", "2", "'2' is not of type int"),
        ("job.n", True, "True is not of type int"),
        ("job.watermark", 1, "1 is not of type bool"),
        ("created_at", None, "None is not of type float"),
        ("job.params", [], "is not of type Mapping"),
        ("job.prompt", {"sha256": "x", "md5": "y"}, "is not of type str"),
        ("charged", "perhaps", "'perhaps' is none of no, yes, unknown"),
        ("state.outputs.0.b64", "QUJD", "exactly one of url and b64"),
    ],
)
def test_what_is_not_exactly_a_task_is_refused(path: str, value: object, complaint: str) -> None:
    """Unknown fields and wrong types anywhere are a ValueError that says where."""
    doc = to_document(a_task(STATES[3]))

    with pytest.raises(ValueError, match=complaint):
        from_document(change(doc, path, value))


def test_a_missing_field_is_refused() -> None:
    """A field without a default must be there."""
    doc = to_document(a_task(New()))
    del doc["token"]

    with pytest.raises(ValueError, match="no field 'token'"):
        from_document(doc)


def test_what_json_cannot_hold_is_refused() -> None:
    """Bytes in an adapter's reference are refused at once, not written as something else."""
    with pytest.raises(ValueError, match="a bytes cannot be kept"):
        to_document(a_task(Pending(task_id="t", ref={"raw": b"x"})))


@pytest.mark.parametrize("state", STATES, ids=lambda state: state.kind)
def test_forgotten_prompts_read_back_as_hashes(state: State) -> None:
    """Without prompts the document still reads back, and the texts are ``sha256:HEX``."""
    doc = forget_prompt(to_document(a_task(state)))

    task = from_document(json.loads(json.dumps(doc)))

    assert doc["job"]["prompt"].keys() == {"sha256"}
    assert all(
        text is not None and text.startswith("sha256:")
        for text in (task.job.prompt, task.job.negative, task.revised_prompt)
    )
    assert "canary" not in json.dumps(doc)
    assert "no people" not in json.dumps(doc)


def test_forgetting_twice_changes_nothing() -> None:
    """The hash of a hash is not taken: a task read without its prompt is saved as it was."""
    once = forget_prompt(to_document(a_task(STATES[2])))

    assert forget_prompt(once) == once
    assert forget_prompt(to_document(from_document(once))) == once


def test_an_absent_text_stays_absent() -> None:
    """No negative prompt and an empty one stay what they are."""
    job = dataclasses.replace(a_task(New()).job, prompt="", negative=None)

    doc = forget_prompt(to_document(a_task(New(), job=job, revised_prompt=None)))

    assert (doc["job"]["prompt"], doc["job"]["negative"], doc["revised_prompt"]) == ("", None, None)


def test_prompts_in_parameters_are_forgotten() -> None:
    """A text parameter with "prompt" in its name becomes the plain mark, wherever it is; others stay."""
    job = dataclasses.replace(
        a_task(New()).job, params={"x": [{"extra_prompt": "secret"}], "prompt": "s", "style": "y"}
    )

    params = forget_prompt(to_document(a_task(New(), job=job)))["job"]["params"]

    assert params["x"][0]["extra_prompt"].startswith("sha256:")
    assert params["prompt"].startswith("sha256:")
    assert params["style"] == "y"


def test_quotes_of_the_prompt_are_forgotten() -> None:
    """Where a message, a warning or a raw answer quotes the prompt, plain or JSON-escaped, the quote goes too."""
    raw = json.dumps({"error": f"bad: {CANARY}", "revised_prompt": "quite another canary", "id": "t-9"})
    task = a_task(
        Unknown(reason=f"about {CANARY}", raw=raw), warnings=(f"it says {CANARY}!",),
        trouble=Failed(code="moderation", message=f"'{CANARY}' is refused"),
    )  # fmt: skip

    doc = forget_prompt(to_document(task))

    assert "canary" not in json.dumps(doc)
    assert json.loads(doc["state"]["raw"])["id"] == "t-9"


def test_a_one_word_prompt_leaves_addresses_alone() -> None:
    """The prompt "id" or "fox" destroys neither a result's address nor the names of fields in a raw answer."""
    raw = '{"fox": 1, "url": "https://cdn.example/fox.png?x=fox", "says": "a fox!"}'
    job = dataclasses.replace(a_task(New()).job, prompt="fox")

    kept = forget_prompt(to_document(a_task(Unknown(reason="lost", raw=raw), job=job)))["state"]["raw"]

    assert json.loads(kept)["url"] == "https://cdn.example/fox.png?x=fox"
    assert json.loads(kept)["fox"] == 1
    assert "fox" not in json.loads(kept)["says"]
