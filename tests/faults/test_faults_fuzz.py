"""Foreign bytes of any shape meet documented errors only: no crash, no hang, no state that cannot be kept.

Foreign are providers' answers and their headers, results, input files, configuration, the command line, recovery files,
and the ledger's own content. Every property is bounded in time by pytest's limit and in size by what is generated.
"""

from __future__ import annotations

import contextlib
import copy
import io
import json
import math
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support_cli import Cli, picture
from test_goldens import ANSWERS, adapter, flow_of

from wan_cli import geometry, naming, spend
from wan_cli.cli.order import _params
from wan_cli.cli.run import seconds
from wan_cli.config.settings import load
from wan_cli.convert import CONVERTIBLE
from wan_cli.download.address import Rules
from wan_cli.download.answer import content_length, content_range, unsatisfied_total
from wan_cli.download.body import inline_bytes
from wan_cli.errors import ConfigInvalid, DownloadFailed, UsageError, WanError
from wan_cli.ledger import Ledger, damaged_lines, rebuild
from wan_cli.media import check_structure, formats, inspect, sniff
from wan_cli.media.notices import notices
from wan_cli.models import Cost, Job, LocalFile, New, Output, Pending, Target, Task, Upload
from wan_cli.providers.base import Provider, Unreadable
from wan_cli.record import from_document, to_document
from wan_cli.registry import names
from wan_cli.retry_after import retry_after
from wan_cli.sandbox.faults import parse_all
from wan_cli.transport.retry import Later, Refused, Unclear, judge

QUICK = settings(deadline=None, max_examples=60, database=None, derandomize=True,
                 suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])  # fmt: skip
NASTY = ("", "\0", "\x1b[2J", "\ud800", "\u202e", "../../etc", "[/b]", "::error::x", "x" * 5000, "null", "1e999", "NaN")
TEXTS = st.sampled_from(NASTY) | st.text(st.characters(codec=None, exclude_categories=()), max_size=30)
NUMBERS = st.integers() | st.floats() | st.sampled_from((10**400, -(10**400), 2**63, -1, 0, 1e308))
LEAVES = st.none() | st.booleans() | NUMBERS | TEXTS
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=10
)
DEEP = (b"[" * 100_000, b'{"a":' * 100_000, b"[" * 90 + b"]" * 90, b"1" * 6000, b'{"id":' + b"9" * 6000 + b"}")
ODD = (
    *DEEP,
    b"",
    b"\xef\xbb\xbf{}",
    b"\xff\xfe{}",
    b'{"id":"\xff"}',
    b'{"id":NaN}',
    b'{"id":1,"id":"a"}',
    b"<html>",
    b"null",
)
SAMPLE = Task(
    id="abc123", provider="rivya", origin="https://rivya.ai", provider_model="wan-2-7-image", token="wan-1",
    job=Job(verb="generate", provider="rivya", model="wan2.7-image", prompt="a fox"), target=Target(template="/o/{id}"),
    created_at=1.0, cost=Cost(estimated=5, unit="credits"),
)  # fmt: skip


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the way to every value in a JSON document."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [here, *(place for name, item in inner for place in places(item, (*here, name)))]


@st.composite
def damaged(draw: st.DrawFn, document: Any) -> Any:
    """Return a good document with one to three values replaced, left out, or nested in something else."""
    document = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from([place for place in places(document) if place] or [(None,)]))
        if last is None:
            return draw(VALUES)
        parent = document
        for step in way:
            parent = parent[step]
        how = draw(st.sampled_from(("replace", "replace", "remove", "wrap", "add")))
        if how == "remove":
            del parent[last]
        else:
            parent[last] = {"wrap": [parent[last]], "add": {"x": parent[last]}}.get(how) or draw(VALUES)
    return document


def encoded(value: Any) -> bytes:
    """Return a value as JSON; lone surrogates and NaN as servers do send them."""
    return json.dumps(value).encode()


def answer_of(made: Provider, flow: Any, body: bytes, status: int = 200, **headers: str) -> Any:
    """Give one answer to a flow as the transport does; ``None`` for a refusal or what cannot be read."""
    request = next(flow)
    response = httpx.Response(status, content=body, headers=headers, request=request)
    if fault := made.fault(response):
        assert isinstance(fault.message, str)
        assert fault.code is None or isinstance(fault.code, str)
        assert isinstance(judge(made, fault, repeated=True), Refused | Later | Unclear)
        made.vanished(fault)
        return None
    try:
        flow.send(response)
    except StopIteration as stop:
        return stop.value
    except Unreadable as error:
        return None if error.reason else ""
    return None


def kept(state: Any) -> None:
    """Hold an answer to what the ledger needs: it can be written, and reads back as it was."""
    assert state.kind in {"pending", "done", "failed", "cancelled"}
    if isinstance(state, Pending):
        assert 1 <= len(state.task_id) <= 200
        assert not set(state.task_id) & set("/?#\\ \r\n")
    task = Task(**{name: getattr(SAMPLE, name) for name in SAMPLE.__dataclass_fields__} | {"state": state})
    text = json.dumps(to_document(task), separators=(",", ":"))
    again = from_document(json.loads(text))
    assert to_document(again) == json.loads(text) or "NaN" in text


@pytest.mark.parametrize("name", ANSWERS)
@settings(QUICK, max_examples=40)
@given(data=st.data())
def test_r05_r07_an_answer_with_any_field_damaged_is_read_or_refused(name: str, data: st.DataObject) -> None:
    """Each documented answer, with values of it replaced, left out or wrapped, is a state to keep or is unreadable."""
    provider, golden = ANSWERS[name]
    made = adapter(provider)
    state = answer_of(made, flow_of(made, golden), encoded(data.draw(damaged(golden["response"]))))
    if state is not None:
        kept(state)


def flows(made: Provider) -> list[Any]:
    """Return everything that an adapter asks."""
    file = LocalFile(path="a.png", sha256="0" * 64, size=1, mime="image/png")
    pending = Pending(task_id="task_1", ref={"task_id": "task_1"})
    found = [
        made.submit(Job(verb="generate", provider=made.name, model="wan2.7-image", prompt="a fox"), token="wan-1"),
        made.balance(),
    ]
    if made.uploads:
        found.append(made.upload(file, model="wan2.7-image", trace="t"))
    return found if made.synchronous else [*found, made.poll(pending)]


@pytest.mark.parametrize("provider", names())
@settings(QUICK, max_examples=80)
@given(
    body=VALUES.map(encoded) | st.binary(max_size=60) | st.sampled_from(ODD),
    status=st.sampled_from((200, 201, 400, 429, 500)),
    late=TEXTS.filter(lambda text: text.isascii() and text.isprintable()),
)  # fmt: skip
def test_r01_r06_any_answer_to_any_question_is_survived(provider: str, body: bytes, status: int, late: str) -> None:
    """JSON of any shape and what is none, 100,000 deep or 6,000 digits long, to every question an adapter asks."""
    made = adapter(provider)
    for flow in flows(made):
        try:
            found = answer_of(made, flow, body, status, **{"retry-after": late, "x-request-id": late})
        except (Unreadable, StopIteration):
            continue  # a provider without that question
        assert found is None or isinstance(found, str | Upload) or hasattr(found, "kind")
        if hasattr(found, "kind"):
            kept(found)


# -- results and input files


WHOLE = {form: picture(40, 30, form) for form in ("PNG", "JPEG", "WEBP", "GIF", "BMP")}


def mp4() -> bytes:
    """Return the boxes of a small movie."""

    def box(kind: bytes, body: bytes) -> bytes:
        return (8 + len(body)).to_bytes(4, "big") + kind + body

    head = bytes(12) + (1000).to_bytes(4, "big") + (5000).to_bytes(4, "big") + bytes(80)
    track = bytes(76) + (640 << 16).to_bytes(4, "big") + (360 << 16).to_bytes(4, "big")
    return box(b"ftyp", b"isom\0\0\0\0") + box(b"moov", box(b"mvhd", head) + box(b"trak", box(b"tkhd", track)))


WHOLE["MP4"] = mp4()


class Counted(io.BytesIO):
    """A file that notes how many bytes were read, and how often."""

    taken = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.taken += len(data) + 1
        return data


@settings(QUICK, max_examples=150)
@given(data=st.data(), name=st.sampled_from(sorted(WHOLE)))
def test_d04_d12_i12_damaged_media_are_described_in_few_reads(data: st.DataObject, name: str) -> None:
    """Bytes changed, cut, put in or doubled anywhere: facts, faults and notices come back, and reading is bounded."""
    raw = bytearray(WHOLE[name])
    for _ in range(data.draw(st.integers(1, 5))):
        at = data.draw(st.integers(0, len(raw)))
        how = data.draw(st.sampled_from(("set", "cut", "insert", "double")))
        piece = data.draw(st.binary(min_size=1, max_size=8))
        if how == "set":
            raw[at : at + len(piece)] = piece
        elif how == "cut":
            del raw[at : at + data.draw(st.integers(1, 200))]
        elif how == "insert":
            raw[at:at] = piece
        else:
            raw += raw[at:]
    described(bytes(raw))


@settings(QUICK, max_examples=150)
@given(head=st.sampled_from([whole[:16] for whole in WHOLE.values()] + [b"", b"<?xml", b"%PDF-", b"\x1aE\xdf\xa3"]),
       rest=st.binary(max_size=300))  # fmt: skip
def test_d08_any_bytes_have_a_kind_or_none(head: bytes, rest: bytes) -> None:
    """Random bytes behind every magic number."""
    described(head + rest)


def described(raw: bytes) -> None:
    """Read what a file is, whether it is whole, and what is to be said of it."""
    file = Counted(raw)
    sniff(raw[:512])
    found = inspect(file)
    assert found.width is None or found.width >= 0
    assert found.duration_s is None or math.isfinite(found.duration_s)
    for mime in {found.mime, *CONVERTIBLE, "video/mp4"} if len(raw) < 400 else {found.mime}:
        why = check_structure(file, mime, len(raw))
        assert why is None or why.startswith("it ")
        assert all(text.split()[0] in {"is", "has", "says"} for text in notices(file, mime))
    assert file.taken < 400 * (len(raw) + 1000)


EMPTY_PARTS = {
    "png": (b"\x89PNG\r\n\x1a\n", b"\0\0\0\0aaaa\0\0\0\0", b""),
    "webp": (b"RIFF\xff\xff\xff\x00WEBP", b"aaaa\0\0\0\0", b""),
    "gif": (b"GIF89a" + bytes(7), b"\x21\xfe\0", b""),
    "gif-sub": (b"GIF89a" + bytes(7) + b"\x21\xfe\x01x", b"\x01x", b""),
    "jpeg": (b"\xff\xd8", b"\xff\xe0\0\2", b""),
    "mp4": (b"\0\0\0\x10ftypisom\0\0\0\0", b"\0\0\0\x08free", b""),
    "mp4-deep": (b"\0\0\0\x10ftypisom\0\0\0\0" + (2**24).to_bytes(4, "big") + b"moov", b"\0\0\0\x08trak", bytes(2**24)),
}


@pytest.mark.parametrize("name", EMPTY_PARTS)
def test_threat_s12_empty_parts_without_end_are_given_up(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of nothing but empty chunks, segments, blocks or boxes is left after the most that a real one has."""
    monkeypatch.setattr(formats, "MOST_PARTS", 500)
    monkeypatch.setattr("wan_cli.media.movie.MOST_PARTS", 500)
    head, part, tail = EMPTY_PARTS[name]
    file = Counted(head + part * 40_000 + tail)
    found = inspect(file)
    check_structure(file, found.mime, len(file.getvalue()))
    notices(file, found.mime)
    assert file.taken < 700_000


@settings(QUICK)
@given(text=TEXTS | st.text("ABC=-_+/ \n,;:data", max_size=40), cap=st.integers(0, 40))
def test_r14_inline_results_are_bytes_or_refused(text: str, cap: int) -> None:
    """Text that should be Base64 gives at most the capped bytes, or a failed download."""
    try:
        data = inline_bytes(Output(b64=text), cap)
    except DownloadFailed:
        return
    assert data is not None
    assert len(data) <= cap


# -- headers and addresses


@settings(QUICK, max_examples=150)
@given(
    value=st.none() | TEXTS | st.from_regex(r"(bytes )?[0-9٣*-]{0,30}/?[0-9*]{0,30}") | st.integers().map(str)
    | st.from_regex(r"[A-Z][a-z]{2}, [0-9]{2} [A-Z][a-z]{2} [0-9]{1,5} [0-9:]{8} (GMT|[+-][0-9]{4,9})"),
    date=st.none() | TEXTS | st.just("Sat, 21 Nov 2026 09:00:00 GMT"),
)  # fmt: skip
def test_h03_d07_headers_are_numbers_in_range_or_nothing(value: str | None, date: str | None) -> None:
    """``Retry-After``, ``Content-Range`` and ``Content-Length``: finite and not negative, or absent."""
    wait = retry_after(value, date)
    assert wait is None or (math.isfinite(wait) and wait >= 0)
    span = content_range(value)
    assert span is None or all(number is None or number >= 0 for number in vars_of(span))
    total = unsatisfied_total(value)
    assert total is None or total >= 0
    if value is not None and value.isascii() and value.isprintable():
        length = content_length(httpx.Headers({"content-length": value}))
        assert length is None or length >= 0


def vars_of(span: Any) -> list[Any]:
    """Return the fields of a span."""
    return [getattr(span, name) for name in span.__dataclass_fields__]


@settings(QUICK, max_examples=150)
@given(
    raw=TEXTS | st.builds("".join, st.lists(st.sampled_from(
        ("https://", "http:", "//", "cdn.example.com", "127.0.0.1", "[::1]", "@", ":", "8443", "/", "\\", "?",
         "#", "%00", "data:", "file:", ".", "..", " ", "\t", "\u3002", "xn--", "\uff11\uff12\uff17", "0x7f",
         "a" * 300)), max_size=7)),
    origin=st.sampled_from(("https://rivya.ai", "http://127.0.0.1:8484", "https://10.0.0.5")),
)  # fmt: skip
def test_d13_d14_any_address_is_a_checked_hop_or_refused(raw: str, origin: str) -> None:
    """What a provider calls an address leads by http(s) to somewhere checked, and with the key only to the API."""
    rules = Rules(origin)
    for ask in (lambda: rules.result(raw), lambda: rules.redirect(httpx.URL("https://cdn.example.com/a"), raw)):
        try:
            hop = ask()
        except DownloadFailed:
            continue
        assert hop.url.scheme in {"http", "https"}
        assert hop.url.scheme == "https" or hop.scope != "public"
        if hop.keyed:
            assert f"{hop.url.scheme}://{hop.url.netloc.decode()}" == origin


# -- what is on this disk


@settings(QUICK, max_examples=200)
@given(data=st.data())
def test_threat_s24_a_ledger_document_is_exactly_a_task_or_refused(data: st.DataObject) -> None:
    """A damaged document of the ledger raises ``ValueError`` and nothing else, or is a task that can be kept again."""
    document = data.draw(damaged(to_document(SAMPLE)))
    try:
        task = from_document(document)
    except ValueError:
        return
    assert to_document(task)["id"] == document["id"]


@settings(QUICK, max_examples=60)
@given(lines=st.lists(
    st.binary(max_size=40) | VALUES.map(encoded) | st.sampled_from(ODD)
    | damaged({"at": 1.0, "task": to_document(SAMPLE)}).map(encoded)
    | damaged({"at": 1.0, "forget": ["abc123"]}).map(encoded),
    max_size=5,
))  # fmt: skip
def test_s10_journal_lines_are_entries_or_stepped_over(tmp_path: Path, lines: list[bytes]) -> None:
    """A journal of foreign lines gives the tasks it can, and names the lines it cannot read."""
    good = json.dumps({"at": 1.0, "task": to_document(SAMPLE)}).encode()
    path = tmp_path / "journal.jsonl"
    path.write_bytes(b"\n".join([*lines, b"", good]) + b"\n")
    assert SAMPLE.id in {task.id for task in rebuild(path)}
    assert all(number >= 1 for number in damaged_lines(path))


@pytest.mark.parametrize("document", [b"[" * 100_000, b"null", b"{}", b"\xff", b'{"id":' + b"9" * 6000 + b"}"])
def test_s10_threat_s24_a_foreign_document_in_the_database_is_reported(tmp_path: Path, document: bytes) -> None:
    """A row that holds no task, however deep or long, makes the ledger damaged: an error of ours, nothing bought."""
    import sqlite3

    with Ledger.open(tmp_path / "state") as ledger:
        ledger.add([SAMPLE])
    with sqlite3.connect(tmp_path / "state" / "ledger.db") as db:
        db.execute("UPDATE task SET document = ?", (document.decode("latin-1"),))
    db.close()
    with Ledger.open(tmp_path / "state") as ledger, pytest.raises(WanError, match="damaged"):
        ledger.get(SAMPLE.id)


TOML = b"""[defaults]
provider = "rivya"
size = "2K"
max_cost = ["5CNY"]
[spend]
ask_above = "24credits"
[privacy]
store_prompts = true
[providers.mine]
contract = "openai"
base_url = "https://mine.example/v1"
[prices."rivya/wan2.7-image"]
amount = 5
unit = "credits"
per = "task"
"""


@pytest.fixture
def home(tmp_path: Path) -> dict[str, str]:
    """Return an environment whose configuration is in the test's folder."""
    return {"WAN_CONFIG": str(tmp_path / "config.toml"), "HOME": str(tmp_path)}


@settings(QUICK, max_examples=100)
@given(at=st.integers(0, len(TOML)), gone=st.integers(0, 12),
       piece=st.binary(max_size=8)
       | st.sampled_from((b"[" * 60_000, b"a." * 5000, b"=", b'"', b"nan", b"1979-05-27", b"[[x]]")))  # fmt: skip
def test_any_configuration_is_read_or_refused(home: dict[str, str], at: int, gone: int, piece: bytes) -> None:
    """A configuration file changed anywhere is read, or refused with its name."""
    path = Path(home["WAN_CONFIG"])
    path.write_bytes(TOML[:at] + piece + TOML[at + gone :])
    try:
        load(home, path.parent)
    except ConfigInvalid as error:
        said = error.message
    else:
        return
    assert str(path) in said


# -- the command line


WORDS = TEXTS | st.from_regex(r"[0-9]{0,6}[xX*:][0-9]{0,6}") | st.from_regex(r"[0-9.]{0,400}[a-zA-Z]{0,3}")


@settings(QUICK, max_examples=200)
@given(text=WORDS, tier=st.sampled_from(sorted(geometry.TIERS)))
def test_i04_i05_numbers_and_shapes_are_read_or_refused(text: str, tier: str) -> None:
    """Sizes, shapes, caps, times, parameters and the sandbox's faults: a value, or a usage error."""
    pixels = geometry.parse_pixels(text)
    assert pixels is None or min(pixels) > 0
    if aspect := geometry.parse_aspect(text):
        with contextlib.suppress(UsageError):
            assert min(geometry.tier_pixels(tier, aspect)) > 0
    for read in (spend.parse_cap, seconds, lambda word: _params([f"x={word}", word]), lambda word: parse_all([word])):
        with contextlib.suppress(UsageError):
            read(text)


@settings(QUICK, max_examples=150)
@given(output=TEXTS | st.builds("".join, st.lists(st.sampled_from(
           ("{id}", "{slug}", "{index:03}", "{", "}", "{x}", "{id!r}", "{id.real}", "/", "..", ".png", "con", "~", "a",
            "\0")),
           max_size=6)), prompt=TEXTS)  # fmt: skip
def test_s15_threat_s6_s7_a_name_is_planned_or_refused(tmp_path: Path, output: str, prompt: str) -> None:
    """Any ``-o`` and any prompt give names that every system takes, or a usage error."""
    values = {"slug": naming.slug(prompt), "model": prompt, "verb": "generate", "provider": "rivya", "seed": None,
              "date": "2026-11-21"}  # fmt: skip
    try:
        plan = naming.plan(output, cwd=str(tmp_path), values=values, count=2)
        paths = naming.final_paths(plan.template, 2, ".png", values={"id": "abc123"})
    except UsageError:
        return
    assert len(set(paths)) == 2
    assert all(naming.fault(path.name) is None for path in paths)


@settings(QUICK, max_examples=60)
@given(name=WORDS | TEXTS.map(lambda text: f"rivya:{text}") | TEXTS.map(lambda text: f"https://rivya.ai/x?task={text}"),
       command=st.sampled_from(("status", "wait", "recover", "cancel")))  # fmt: skip
def test_any_handle_is_a_task_or_no_task(cli: Cli, name: str, command: str) -> None:
    """Whatever stands where a task is named ends with an exit code of the table, and never as a bug."""
    ran = cli.run(command, "--sandbox", "--", name, command=False)
    assert ran.code in {0, 2, 3, 7, 8, 10}, ran.err


@settings(QUICK, max_examples=60)
@given(body=VALUES.map(encoded) | st.sampled_from(ODD)
       | damaged({"wan_recovery": 1, "version": "0", "task": to_document(SAMPLE)}).map(encoded))  # fmt: skip
def test_s02_a_recovery_file_is_read_or_refused(cli: Cli, body: bytes) -> None:
    """A recovery file of any content is taken, or refused as what it is; nothing is sent and nothing crashes."""
    ran = cli.run("recover", "--import", cli.write("wan-recovery-x.json", body), command=False)
    assert ran.code in {0, 2, 3, 7, 8, 9, 10}, ran.err


def test_new_is_the_state_of_the_sample() -> None:
    """The sample that the others damage is itself a task of the ledger."""
    assert isinstance(from_document(to_document(SAMPLE)).state, New)


@pytest.mark.parametrize("document", [b"[" * 100_000, b"null", b'{"id":' + b"9" * 6000 + b"}"])
def test_s10_threat_s24_the_doctor_survives_what_it_finds(cli: Cli, document: bytes) -> None:
    """A foreign document in the ledger and a foreign line in its journal are findings of ``wan doctor``, no crash."""
    import sqlite3

    state = Path(cli.root) / "state"
    with Ledger.open(state) as ledger:
        ledger.add([SAMPLE])
    with sqlite3.connect(state / "ledger.db") as db:
        db.execute("UPDATE task SET document = ?", (document.decode("latin-1"),))
    db.close()
    with (state / "journal.jsonl").open("ab") as journal:
        journal.write(document + b"\n")
    assert cli.run("doctor", "--offline", command=False).code in {0, 3}
    assert cli.run("doctor", "--offline", "--repair", command=False).code in {0, 3}
    assert cli.run("status", command=False).code in {0, 3}
