"""Tests of the task's JSON document."""

from __future__ import annotations

import dataclasses
import hashlib
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
from wan_cli.record import forget_prompt, from_document, hide, private_texts, texts_in_answer, to_document

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


def digest(text: str) -> str:
    """Return the mark that stands for ``text``."""
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


@pytest.mark.parametrize(
    ("secret", "text"),
    [
        ('a "red" fox', 'says {}, and "a \\"red\\" fox"!'), ("un renard\ntimide é", 'says "un renard\\ntimide é"!'),
        ("un renard é", 'says "un renard \\u00e9"!'), ("fox", "a {}? yes."),
    ],
)  # fmt: skip
def test_a_quote_is_replaced_and_nothing_else(secret: str, text: str) -> None:
    """Plain, or escaped as JSON with or without its other letters: exactly the quote gives way to the mark."""
    spellings = (json.dumps(secret)[1:-1], json.dumps(secret, ensure_ascii=False)[1:-1])
    wanted = text.replace("{}", digest(secret))
    for spelling in spellings:
        wanted = wanted.replace(spelling, digest(secret))
    assert secret not in wanted
    assert hide(text.replace("{}", secret), [secret]) == wanted


@pytest.mark.parametrize("text", ["cdn/fox", "fox%20", "a=fox", "fox-1", "-fox", "foxes", '"fox" : 1', "fox+", "x.fox"])
def test_one_word_stays_where_it_may_be_an_address(text: str) -> None:
    """Inside an address, base64 or another word, and as a field's name, a one-word prompt says nothing."""
    assert hide(text, ["fox"]) == text
    assert hide(text, ["a fox"]) == text


def test_a_text_with_a_space_goes_wherever_it_is() -> None:
    """Two words are no accident: they are replaced inside an address and as a field's name as well."""
    assert hide('x/a fox-y "a fox": 1', ["a fox"]) == f'x/{digest("a fox")}-y "{digest("a fox")}": 1'


def test_longer_texts_are_hidden_first() -> None:
    """Where one private text contains another, the longer has its own mark; a mark is no private text."""
    doc = {"prompt": "a fox", "negative": "a fox at night", "x_PROMPT": "b fox", "revised_prompt": digest("a fox")}
    assert private_texts(doc) == ("a fox at night", "a fox", "b fox")
    assert private_texts({"prompt": "sha256:12", "style": "y", "negative": ""}) == ("sha256:12",)


def test_texts_in_an_answer() -> None:
    """What a provider's answer calls a prompt is found however deep, also in an answer within it; no JSON, no text."""
    inner = json.dumps({"negative": "no birds"})
    answer = json.dumps([{"input": {"prompt": ["a fox"]}, "raw": inner, "id": "t-1"}])
    assert sorted(texts_in_answer(answer)) == ["a fox", "no birds"]
    assert texts_in_answer("a fox") == texts_in_answer("[" * 99_999) == ()


@pytest.mark.parametrize("field", ["message", "hint"])
def test_every_free_text_of_a_failure_is_searched(field: str) -> None:
    """Message and hint of an error, of the task and of its trouble, lose their quotes of the prompt."""
    words: dict[str, Any] = {"code": "moderation", "message": "no", field: f"on {CANARY}."}
    doc = forget_prompt(to_document(a_task(Failed(**words), trouble=Failed(**words))))
    wanted = f"on {digest(CANARY)}."
    assert (doc["state"][field], doc["trouble"][field]) == (wanted, wanted)


def test_what_is_not_ours_keeps_its_shape() -> None:
    """In parameters, usage and references a mark is the plain string, which is what is read back; ours is an object."""
    inner = {"prompt": "secret words", "deep": [{"my_prompt": "other words"}]}
    want = {"prompt": digest("secret words"), "deep": [{"my_prompt": digest("other words")}]}
    job = dataclasses.replace(a_task(New()).job, params=inner)
    facts = Facts(usage=inner, revised_prompt="third words")
    task = a_task(Pending(task_id="t", ref=inner, facts=facts), job=job, usage=inner)
    doc = forget_prompt(to_document(task))
    found = (doc["job"]["params"], doc["usage"], doc["state"]["ref"], doc["state"]["facts"]["usage"])
    assert found == (want, want, want, want)
    assert doc["job"]["prompt"] == {"sha256": hashlib.sha256(CANARY.encode()).hexdigest()}
    assert doc["state"]["facts"]["revised_prompt"] == {"sha256": digest("third words")[7:]}
    assert from_document(json.loads(json.dumps(doc))).usage == want


def test_texts_that_are_not_the_users_stay() -> None:
    """A quote elsewhere (a file's path, say) is not searched: forgetting changes nothing that work depends on."""
    words = dataclasses.replace(a_task(New()).job, prompt="a.png")
    task = a_task(Saved(files=STATES[4].files), job=words)  # type: ignore[union-attr]
    doc = forget_prompt(to_document(task), also=("rivya", "first"))
    assert doc["state"] == to_document(task)["state"]
    assert (doc["provider"], doc["warnings"]) == ("rivya", [digest("first"), "second"])


def test_a_mark_is_read_only_where_a_text_of_the_user_was() -> None:
    """Prompt, negative and revised prompt may be marks; anywhere else an object is of the wrong type."""
    for path in ("job.prompt", "job.negative", "revised_prompt"):
        task = from_document(change(to_document(a_task(New())), path, {"sha256": "ab"}))
        assert "sha256:ab" in (task.job.prompt, task.job.negative, task.revised_prompt)
    for path in ("token", "job.model", "job.size"):
        with pytest.raises(ValueError, match="is not of type str"):
            from_document(change(to_document(a_task(New())), path, {"sha256": "ab"}))
