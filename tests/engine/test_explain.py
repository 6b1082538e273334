"""What a refusal leaves out and we know: which reference is the largest, and what the account has."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from support_engine import Reply, Stage, Step, error, lost, refused_connection

from wan_cli.catalog import Inputs
from wan_cli.engine import explain
from wan_cli.engine.explain import oversize
from wan_cli.errors import KeyMissing, RequestRejected
from wan_cli.models import Cost, LocalFile
from wan_cli.transport.retry import Later, Refused, Unclear, Verdict


def file(name: str, size: int, mime: str = "image/png") -> LocalFile:
    """Make a reference of that many bytes."""
    return LocalFile(path=f"/home/me/{name}", sha256="0" * 64, size=size, mime=mime)


def refused(status: int) -> Refused:
    """Make a refusal with its HTTP status."""
    return Refused(RequestRejected("rivya refused: no", hint="wan models rivya", http_status=status))


SMALL, LARGE = file("small.png", 900_000), file("large.png", 31_050_001)
CLIP = file("clip.mp4", 60_000_000, "video/mp4")


@pytest.mark.parametrize("status", [413, 431])
@pytest.mark.parametrize("files", [[SMALL, LARGE], [LARGE, SMALL]])
def test_h14_too_large_names_the_largest(status: int, files: list[LocalFile]) -> None:
    """Body or header too large: the largest file is named with its megabytes, the catalogue's limit beside it."""
    verdict = refused(status)
    assert oversize(verdict, "rivya", "wan2.7-image", files) is verdict
    assert verdict.error.message == (
        "rivya refused: no; the largest reference is large.png with 31.1 MB, and rivya takes up to 21.0 MB"
    )
    assert verdict.error.hint == "use a smaller picture, or fewer"


@pytest.mark.parametrize(
    ("model", "reference", "limit"),
    [
        ("wan2.7-video", CLIP, "60.0 MB, and rivya takes up to 52.4 MB"),
        ("wan2.7-video", LARGE, "31.1 MB, and rivya takes up to 21.0 MB"),
        ("nobody-lists-this", LARGE, "31.1 MB, and rivya takes up to 21.0 MB"),
        ("wan2.7-image", CLIP, "60.0 MB"),
    ],
)
def test_h14_the_limit_is_that_of_the_model_and_kind(model: str, reference: LocalFile, limit: str) -> None:
    """A clip has another limit than a picture, the least one counts, and where none is known none is told."""
    verdict = refused(413)
    oversize(verdict, "rivya", model, [reference])
    assert verdict.error.message.endswith(f" with {limit}")


@pytest.mark.parametrize(
    ("verdict", "files"),
    [(refused(400), [LARGE]), (refused(414), [LARGE]), (refused(432), [LARGE]), (refused(413), []),
     (Later(RequestRejected("rivya refused: no", http_status=413)), [LARGE]), (Unclear("cut", 413), [LARGE])],
)  # fmt: skip
def test_another_refusal_is_left_as_it_is(verdict: Verdict, files: list[LocalFile]) -> None:
    """Only a final refusal for size, of a request with files, is about a file."""
    assert oversize(verdict, "rivya", "wan2.7-image", files) is verdict
    assert isinstance(verdict, Unclear) or verdict.error.message == "rivya refused: no"


def test_h14_a_limit_of_the_users_own_is_told_in_megabytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """A megabyte is a million bytes, for a limit as for a file."""
    offered = explain.capabilities("rivya")
    model = offered.find("wan2.7-image")
    assert model
    edit = replace(model.verbs["edit"], inputs=Inputs(count=(1, 9), max_bytes=1_050_001))
    mine = replace(offered, models=(replace(model, verbs={"edit": edit}),))
    monkeypatch.setattr(explain, "capabilities", lambda _: mine)
    verdict = refused(413)
    oversize(verdict, "rivya", "wan2.7-image", [file("a.png", 1_150_001)])
    assert verdict.error.message.endswith(" with 1.2 MB, and rivya takes up to 1.1 MB")


def bought(stage: Stage, refusal: Step, *asked: Step, **said: Any) -> str:
    """Buy, be refused, and return what is told of it."""
    stage.script("rivya", refusal, *asked)
    task = stage.run(stage.task(**said))
    assert (task.state.kind, task.charged) == ("failed", "no")
    assert stage.stored(task) == task
    message = task.state.message
    assert isinstance(message, str)
    return message


CREDITS = Reply(200, {"current_credits": 3})


@pytest.mark.parametrize(
    ("cost", "says"),
    [(Cost(estimated=5, unit="credits"), "; this takes about 5 credits; the account has 3 credits"),
     (Cost(estimated=2.5), "; this takes about 2.5; the account has 3 credits"),
     (Cost(estimated=0, unit="credits"), "; this takes about 0 credits; the account has 3 credits"),
     (Cost(), "no (insufficient_credits) [HTTP 402]; the account has 3 credits")],
)  # fmt: skip
def test_h11_what_it_takes_and_what_there_is(stage: Stage, cost: Cost, says: str) -> None:
    """The price is told where it is known, in its unit where it has one, and the balance after it."""
    assert bought(stage, error(402, "insufficient_credits"), CREDITS, cost=cost).endswith(says)


@pytest.mark.parametrize("answer", [error(500), lost(), refused_connection(), KeyMissing("no key")])
def test_h11_a_balance_that_cannot_be_asked_is_not_told(stage: Stage, answer: Step) -> None:
    """The refusal stands without it, and is asked about once."""
    assert bought(stage, error(402), answer).endswith("; this takes about 5 credits")
    assert len(stage.apis["rivya"].of("GET")) == 1


def test_h11_a_provider_that_tells_no_balance_has_none_to_show(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """An empty answer is no balance."""
    from wan_cli.providers import load

    def silent(self: Any) -> Any:
        yield self.request("GET", "/credits")
        return ""

    monkeypatch.setattr(load("rivya"), "balance", silent)
    assert bought(stage, error(402), CREDITS).endswith("; this takes about 5 credits")


def test_only_want_of_credits_is_a_reason_to_look(stage: Stage) -> None:
    """Another refusal asks nothing and tells nothing of money."""
    assert "takes about" not in bought(stage, error(400, "validation_failed"))
    assert stage.apis["rivya"].of("GET") == []


def test_a_signal_while_the_balance_is_asked_keeps_the_refusal(stage: Stage) -> None:
    """Ctrl-C there ends the question alone: the task is refused, and not bought."""

    def stop(request: Any) -> Reply:
        stage.engine.interrupt(grace=60)
        return error(500)

    assert bought(stage, error(402), stop).endswith("; this takes about 5 credits")
