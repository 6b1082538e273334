"""Claims about what a render leaves for people who were not there: contact sheet, job summary, JUnit."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree as ET

import pytest
from support_sheet import HOSTILE, full, hostile, line, report, shot

from wan_cli.ui.report import Report, Shot
from wan_cli.ui.report.contact import CURRENT_CARDS, MOST_CARDS, cards, contact_sheet
from wan_cli.ui.report.junit import junit
from wan_cli.ui.report.markdown import markdown
from wan_cli.ui.report.wordwise import compared

QUIET_TAGS = {
    "html", "head", "meta", "link", "title", "style", "body", "header", "main", "section", "article", "div", "h1", "h2",
    "h3", "h4", "p", "ul", "li", "b", "span", "figure", "figcaption", "img", "dl", "dt", "dd", "del", "ins", "details",
    "summary", "code", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip
QUIET_ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "rel", "href", "class", "id", "alt", "decoding", "loading",
    "src",
}  # fmt: skip


class Page(HTMLParser):
    """What a page is made of: its tags with their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._said: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self._said.append(data)

    @property
    def text(self) -> str:
        """What a person reads."""
        return "".join(self._said)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        """Return the attributes of each such tag."""
        return [attributes for name, attributes in self.tags if name == tag]


def page_of(made: Report) -> tuple[str, Page]:
    """Return a contact sheet, as text and taken apart."""
    text = "".join(contact_sheet(made))
    return text, Page(text)


def test_the_sheet_shows_failures_first() -> None:
    """What failed stands first, then what needs a look, then what was made, and last what was up to date."""
    _, page = page_of(full())
    names = [str(about["id"]).removeprefix("asset-") for about in page.of("article")]
    assert names == ["poster", "banner", "next", "logo", "later", "hero", "clip", "story", "old", "bg"]
    assert [about["id"] for about in page.of("section") if "id" in about] == ["look", "made", "current"]
    for said in ("the model failed", "charged: no", "wan render assets.toml", "12 credits", "seed7", "rivya:task_1",
                 "size2K", "seed 0 is no seed", "@bg changes", "gone", "2048x1536 · 1.0 MB"):  # fmt: skip
        assert said in page.text, said


def test_the_sheet_shows_before_and_now_side_by_side() -> None:
    """Where the last lock had a picture, both stand beside each other, with each word and option that changed."""
    text, _ = page_of(full())
    hero = text[text.index('id="asset-hero"') : text.index('id="asset-clip"')]
    assert hero.count("<img ") == 2
    assert [part for part in ("before", "now") if f"<h4>{part}</h4>" in hero] == ["before", "now"]
    assert "<del>night</del><ins>dawn, wide shot</ins>" in hero
    assert "seed <del>3</del> → <ins>7</ins>" in hero
    assert "negative <ins>people</ins>" in hero
    assert "prompt changed" not in hero, "it is shown, so it is not told as well"
    assert '<h4>as it was</h4><div class="shots"><figure><img alt="assets/poster.png"' in text


def test_the_sheet_needs_nothing_from_outside() -> None:
    """The policy allows pictures inside the file and this one style; nothing else is referred to."""
    text, page = page_of(full())
    (policy,) = [str(tag["content"]) for tag in page.of("meta") if tag.get("http-equiv")]
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert policy == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert all(str(tag["src"]).startswith("data:image/jpeg;base64,") for tag in page.of("img"))
    assert [tag["href"] for tag in page.of("link")] == ["data:,"]
    assert not re.search(r"https?:|@import|url\(|javascript", text)
    assert all(tag["decoding"] == "async" and tag["loading"] == "lazy" for tag in page.of("img"))


def test_no_text_becomes_markup_in_the_sheet() -> None:
    """Whatever prompts, messages, ids, paths and units hold, the page has its own tags and attributes alone."""
    text, page = page_of(hostile())
    assert {name for name, _ in page.tags} <= QUIET_TAGS
    assert {name for _, attributes in page.tags for name in attributes} <= QUIET_ATTRIBUTES
    assert len(page.of("style")) == 1
    assert "alert(1)" in page.text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", text)
    text.encode()  # no lone surrogate is left


def test_ten_thousand_assets_stay_usable() -> None:
    """Of many, what was made has a card up to a bound, what was up to date a row, and the page stays small."""
    lines = [
        line(f"a{n}", "made" if n % 100 == 0 else "current", shots=[Shot(path=f"a{n}.png")]) for n in range(10_000)
    ]
    lines[5] = replace(lines[5], ending="failed")
    assert [each.id for each in cards(lines)][:2] == ["a5", "a0"]
    assert len(cards(lines)) == 101
    text, page = page_of(report(lines))
    assert len(page.of("article")) == 101
    assert len(page.of("tr")) == 1 + 9_899
    assert len(text) < 4_000_000
    assert len(cards([line(f"a{n}") for n in range(3000)])) == MOST_CARDS
    assert len(cards([line(f"a{n}", "current") for n in range(CURRENT_CARDS)])) == CURRENT_CARDS
    assert not cards([line(f"a{n}", "current") for n in range(CURRENT_CARDS + 1)])


def test_the_sandbox_and_a_plan_are_named() -> None:
    """A sandbox sheet says that nothing was bought; a plan's says no amount spent."""
    _, page = page_of(report([line("a")], sandbox=True, spent="12 credits"))
    assert "nothing here was bought" in page.text
    assert "Spent" not in page.text
    _, page = page_of(report([line("a", "missing", why="never rendered")], what="plan"))
    assert "plan of 2026" in page.text
    assert "Spent" not in page.text
    assert "no picture" in page.text
    _, page = page_of(report([]))
    assert "assets.toml: no assets" in page.text


def test_words_are_compared() -> None:
    """A change is shown word by word, and whole where the texts are too long to compare."""
    assert list(compared("a red fox", "a blue fox runs")) == [
        ("same", "a "), ("gone", "red"), ("new", "blue"), ("same", " fox"), ("new", " runs"),
    ]  # fmt: skip
    assert list(compared("a fox", "a")) == [("same", "a"), ("gone", " fox")]
    assert list(compared("一只狐狸", "一只熊")) == [("gone", "一只狐狸"), ("new", "一只熊")]
    assert list(compared("at night, wide", "in a storm, wide")) == [
        ("gone", "at night"), ("new", "in a storm"), ("same", ", wide"),
    ]  # fmt: skip
    assert "".join(text for kind, text in compared("a b c d ", "a x y d ") if kind != "gone") == "a x y d "
    assert "".join(text for kind, text in compared("a b c d ", "a x y d ") if kind != "new") == "a b c d "
    assert [kind for kind, _ in compared("word " * 400, "b")] == ["gone", "new"]


MARKDOWN = """\
## assets.toml: 2 failed, 1 not begun, 1 made, 1 up to date

Spent: 12 credits

- **poster** (assets.toml:12): the model failed
  - charged: no · wan help errors
- **banner**: 429, retries used up
  - charged: no · wan render assets.toml

| asset | | made by | seed | cost | file |
|---|---|---|---|---|---|
| poster | failed | rivya wan2.7\\-image |  |  |  |
| banner | failed | rivya wan2.7\\-image |  |  |  |
| next | skipped: \\@poster is not there | rivya wan2.7\\-image |  |  |  |
| hero | made: seed was 3; \\@bg changes | rivya wan2.7\\-image | 7 | 12 credits | assets/hero.png |
| bg | current | rivya wan2.7\\-image |  | 12 credits | assets/bg.png |
"""


def test_the_summary_is_short_and_says_what_to_do() -> None:
    """A job's summary has the headline, the money, each failure with its next command, and a table."""
    names = {"poster", "banner", "next", "hero", "bg"}
    made = full()
    short = {"hero": "seed was 3; @bg changes", "next": "@poster is not there"}
    lines = [replace(each, why=short.get(each.id, "")) for each in made.lines if each.id in names]
    told = markdown(replace(made, lines=lines))
    assert told == MARKDOWN


def test_no_text_becomes_markup_in_the_summary() -> None:
    """Every character that Markdown or HTML would obey is escaped, and no cell or line is broken open."""
    told = markdown(hostile())
    assert not re.search(r"(?<!\\)[<>`*\[\]!@$]", re.sub(r"(?m)^- \*\*|\*\*(?= \()", "", told))
    assert "://" not in told
    rows = [row for row in told.splitlines() if row.startswith("|")]
    assert len(rows) == 2 + len(HOSTILE)
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {7}
    assert not any(row.lstrip().startswith(("::", "##[")) for row in told.splitlines())
    assert "www&#46;" in markdown(report([line("a", prompt="x", why="see www.evil.example")]))


def test_a_large_summary_is_cut_with_a_note() -> None:
    """A summary stays below what GitHub takes; what was up to date among many is counted and not listed."""
    lines = [line(f"asset-{n}", why="x" * 250) for n in range(5000)]
    told = markdown(report(lines))
    assert len(told.encode()) < 1024 * 1024
    assert re.search(r"… and [1-4],\d{3} more\n$", told)
    assert markdown(report(lines), 0).endswith("|---|---|---|---|---|---|\n\n… and 5,000 more\n")
    many = markdown(report([line(f"a{n}", "current") for n in range(100)]))
    assert many == "## assets.toml: 100 up to date\n\nSpent: nothing\n\n"
    assert "| a1 |" in markdown(report([line(f"a{n}", "current") for n in range(3)]))
    assert "nothing was bought" in markdown(report([line("a")], sandbox=True))
    assert "Spent" not in markdown(report([line("a")], what="check"))


CASES = {
    "poster": "failure", "banner": "failure", "next": "skipped", "logo": "skipped", "later": "skipped",
    "hero": None, "clip": None, "story": None, "old": None, "bg": None,
}  # fmt: skip


def hold_to_the_schema(root: ET.Element) -> list[ET.Element]:
    """Hold a document against the structure that CI systems share (github.com/testmoapp/junitxml); return its cases."""
    assert root.tag == "testsuites"
    (suite,) = root
    assert suite.tag == "testsuite"
    cases = list(suite)
    for each in (root, suite):
        assert set(each.attrib) == {"name", "tests", "failures", "errors", "skipped", "time"}
        assert int(each.attrib["tests"]) == len(cases)
        for kind, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert int(each.attrib[kind]) == len(suite.findall(f"./testcase/{tag}"))
        float(each.attrib["time"])
    for case in cases:
        assert case.tag == "testcase"
        assert set(case.attrib) <= {"name", "classname", "time", "file", "line"}
        assert {"name", "classname", "time"} <= set(case.attrib)
        tags = [child.tag for child in case]
        assert tags == [tag for tag in ("properties", "failure", "skipped", "system-out") if tag in tags]
        for held in case.findall("./properties/property"):
            assert set(held.attrib) == {"name", "value"}
    return cases


def test_junit_has_a_case_an_asset() -> None:
    """An asset is a test case with its place; a failure says what to do, what is awaited or not begun is skipped."""
    cases = hold_to_the_schema(ET.fromstring(junit(full())))  # noqa: S314 - our own
    ends = {case.attrib["name"]: next((c.tag for c in case if c.tag in ("failure", "skipped")), None) for case in cases}
    assert ends == CASES
    poster, banner = cases[0], cases[1]
    assert (poster.attrib["file"], poster.attrib["line"]) == ("assets.toml", "12")
    assert banner.attrib["file"] == "assets.toml"
    assert "line" not in banner.attrib
    failure = poster.find("failure")
    assert failure is not None
    assert (failure.attrib, failure.text) == (
        {"type": "task_failed", "message": "the model failed"}, "charged: no\nhint: wan help errors",
    )  # fmt: skip
    hero = next(case for case in cases if case.attrib["name"] == "hero")
    said = {held.attrib["name"]: held.attrib["value"] for held in hero.findall("./properties/property")}
    assert said == {"ending": "made", "provider": "rivya", "model": "wan2.7-image", "handle": "rivya:task_1",
                    "cost": "12 credits", "seed": "7"}  # fmt: skip
    assert hero.attrib["time"] == "14.500"
    assert hero.findtext("system-out") == "assets/hero.png"


def test_no_text_breaks_junit() -> None:
    """Whatever the texts hold, the document is well-formed, and each text is where it belongs."""
    cases = hold_to_the_schema(ET.fromstring(junit(hostile())))  # noqa: S314 - our own
    assert len(cases) == len(HOSTILE)
    assert any(HOSTILE[0] in case.attrib["name"] for case in cases)


def test_the_runner_obeys_no_report(monkeypatch: pytest.MonkeyPatch) -> None:
    """In GitHub's and Azure's logs no line of a report is a command."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    for text in ("".join(contact_sheet(hostile())), markdown(hostile()), junit(hostile())):
        assert not re.search(r"(?m)^\s*::|##(?:vso)?\[", text)


def test_a_shot_without_facts_is_still_named() -> None:
    """A file of which nothing is known has its path and no numbers."""
    _, page = page_of(report([line("a", shots=[Shot(path="a.png"), shot("b")])]))
    assert "no preview" in page.text
    assert "a.png" in page.text
