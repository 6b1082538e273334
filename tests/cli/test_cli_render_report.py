"""Claims about what ``wan render`` says: plan, findings, progress, documents, annotations and reports."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pytest
from PIL import Image
from support_cli import Ran, picture

from wan_cli.cli.rendering.telling import marks, reports

MANIFEST = """\
[defaults]
provider = "rivya"
model = "wan2.7-image"
output = "art/{id}{ext}"

[[asset]]
id = "hero"
prompt = "a lighthouse at dawn"
seed = 7

[[asset]]
id = "icon-{animal}"
prompt = "a {animal}"
matrix = { animal = ["fox", "owl"] }
"""

EVIL = "</p><script>alert(1)</script> ::error::x ##[error] | [a](https://evil.example) \\u202e ]]>"


class Desk:
    """A project folder in which ``wan render assets.toml --sandbox`` is run."""

    def __init__(self, cli: Any) -> None:
        self.cli = cli
        self.say(MANIFEST)

    def say(self, text: str) -> None:
        """Write the manifest."""
        self.cli.write("assets.toml", text)

    def change(self, old: str, new: str) -> None:
        """Edit the manifest."""
        text = (self.cli.cwd / "assets.toml").read_text()
        assert old in text
        self.say(text.replace(old, new))

    def render(self, *argv: str, real: bool = False, **how: Any) -> Ran:
        """Run it."""
        ran: Ran = self.cli.run("render", "assets.toml", *argv, *([] if real else ["--sandbox"]), **how)
        return ran

    def text(self, name: str) -> str:
        """Return what a file holds."""
        return str((self.cli.cwd / name).read_text(encoding="utf-8"))

    @property
    def bought(self) -> bool:
        """Whether anything was ever bought."""
        return (self.cli.cwd / "assets.sandbox.lock").exists()


@pytest.fixture
def desk(cli: Any) -> Desk:
    """Return a project with three assets."""
    return Desk(cli)


# -- the plan


def test_the_plan_names_what_would_be_made_and_its_price(desk: Desk) -> None:
    """--plan lists what is missing with why and price, sums it up, and sends nothing."""
    ran = desk.render("--plan")
    assert ran.code == 0
    assert ran.lines[0].split("\t") == ["hero", "missing", "never rendered", "rivya", "wan2.7-image", "5 credits"]
    assert [row.split("\t")[0] for row in ran.lines] == ["hero", "icon-fox", "icon-owl"]
    assert "assets.toml: 3 to render for 15 credits\n" in ran.err
    assert not desk.bought


def test_the_plan_as_a_document(desk: Desk) -> None:
    """--plan --json has a row an asset, also those that are up to date, the orphans and the estimate in each unit."""
    desk.render()
    desk.change('"fox", "owl"', '"owl", "bear"')
    desk.change("seed = 7", "seed = 8")
    told = desk.render("--plan", "--json").json
    assert [(row["id"], row["status"], row["cost"]["amount"]) for row in told["plan"]] == [
        ("hero", "stale", 5), ("icon-owl", "current", 0), ("icon-bear", "missing", 5),
    ]  # fmt: skip
    assert told["plan"][0]["why"] == ["seed was 7, is 8"]
    assert told["orphans"] == ["icon-fox"]
    assert told["estimate"] == [{"amount": 10, "unit": "credits"}]
    ran = desk.render("--plan")
    assert [row.split("\t")[:3] for row in ran.lines] == [
        ["hero", "stale", "seed was 7, is 8"], ["icon-bear", "missing", "never rendered"],
    ]  # fmt: skip
    assert "2 to render for 10 credits; 1 up to date" in ran.err
    assert "icon-fox: no longer in the manifest" in ran.err


def test_the_plan_as_lines(desk: Desk) -> None:
    """--plan --jsonl has an event an asset, and the estimate in the summary."""
    *rows, summary = desk.render("--plan", "--jsonl").events
    assert [(row["event"], row["plan"]["id"]) for row in rows] == [
        ("plan", "hero"), ("plan", "icon-fox"), ("plan", "icon-owl"),
    ]  # fmt: skip
    assert summary["estimate"] == [{"amount": 15, "unit": "credits"}]


def test_an_unknown_price_stays_unknown_in_the_plan(desk: Desk) -> None:
    """What nobody published a price for is unknown in the table, null in the document, never 0."""
    desk.change("rivya", "modelverse")
    ran = desk.render("--plan")
    assert all(row.endswith("\tunknown") for row in ran.lines)
    assert "3 to render for unknown" in ran.err
    told = desk.render("--plan", "--json").json
    assert told["estimate"] == [{"amount": None, "unit": None}]
    assert told["plan"][0]["cost"]["amount"] is None


def test_nothing_to_do_is_said(desk: Desk) -> None:
    """With all up to date the plan is empty and says so; so does the run, whose standard output is empty."""
    desk.render()
    ran = desk.render("--plan")
    assert (ran.out, ran.code) == ("", 0)
    assert "assets.toml: nothing to render; 3 up to date" in ran.err
    ran = desk.render()
    assert (ran.out, ran.code) == ("", 0)
    assert "assets.toml: 3 up to date" in ran.err


def test_a_plan_can_be_reviewed(desk: Desk) -> None:
    """--plan --report draws what would change, word by word, beside the picture as it is now."""
    desk.render()
    desk.change("at dawn", "at night")
    assert desk.render("--plan", "--report", "plan.html").code == 0
    page = desk.text("plan.html")
    assert "<del>dawn</del><ins>night</ins>" in page
    assert page.count("<img ") == 3
    assert "plan of " in page


def test_a_hint_speaks_of_fields(desk: Desk) -> None:
    """What a verb would say as an option is said as a field of the manifest: render has no -p."""
    desk.change('model = "wan2.7-image"', 'model = "wan2.7-image-pro"\nsize = "4K"')
    ran = desk.render("--plan")
    assert ran.code == 2
    assert ran.said("hint") == 'provider = "modelverse" in assets.toml'


# -- the check


def test_the_check_has_one_line_a_finding(desk: Desk) -> None:
    """--check needs neither key nor network, prints place, id and reason, and exits 13 with the command that mends."""
    ran = desk.render("--check", real=True)
    assert ran.code == 13
    assert re.fullmatch(r"assets\.toml:\d+: hero: missing: never rendered", ran.lines[0])
    assert len(ran.lines) == 3
    assert ran.said("error") == "assets.toml: 3 of 3 assets are not up to date"
    assert ran.said("hint") == "wan render assets.toml"
    desk.render()
    ran = desk.render("--check")
    assert (ran.code, ran.out) == (0, "")


def test_the_check_as_documents(desk: Desk) -> None:
    """--check has its findings in --json and --jsonl as well, with the exit code."""
    desk.render()
    desk.change("a {animal}", "one {animal}")
    told = desk.render("--check", "--json")
    assert told.code == 13
    assert [(row["id"], row["status"], row["why"]) for row in told.json["findings"]] == [
        ("icon-fox", "stale", "prompt changed"), ("icon-owl", "stale", "prompt changed"),
    ]  # fmt: skip
    assert told.json["error"]["hint"] == "wan render assets.toml --sandbox"
    *rows, summary = desk.render("--check", "--jsonl").events
    assert [row["finding"]["id"] for row in rows] == ["icon-fox", "icon-owl"]
    assert summary["error"]["code"] == "stale"


def test_the_check_tells_edited_files_with_the_way_to_accept_them(desk: Desk) -> None:
    """A file that somebody changed is a finding; when only such are left, the hint is how to accept them."""
    desk.render()
    desk.cli.write("art/hero.png", picture(64, 64))
    ran = desk.render("--check")
    assert ran.code == 13
    assert "hero: edited: art/hero.png was changed" in ran.out
    assert ran.said("hint") == "wan render assets.toml --sandbox --accept hero"


def test_a_sandbox_picture_never_counts_as_the_real_one(desk: Desk) -> None:
    """A sandbox picture in the place of a real one is found by its own mark, also after somebody accepted it."""
    from wan_cli.sandbox.draw import picture as drawn  # marked as the sandbox marks

    desk.cli.write("art/hero.png", drawn("a lighthouse", 64, 64, seed=1))
    (found, *_) = desk.render("--check", "--json", real=True).json["findings"]
    assert (found["status"], found["why"].rpartition("; ")[2]) == ("edited", "a sandbox picture is in its place")
    assert desk.render("--accept", "hero", real=True).code == 0
    (found, *_) = desk.render("--check", "--json", real=True).json["findings"]
    assert (found["id"], found["status"], found["why"]) == ("hero", "sandbox", "a sandbox picture is in its place")
    desk.cli.write("art/hero.png", picture(64, 64))
    desk.render("--accept", "hero", real=True)
    rows = desk.render("--check", "--json", real=True).json["findings"]
    assert [row["id"] for row in rows] == ["icon-fox", "icon-owl"]


def test_a_check_can_be_reported(desk: Desk) -> None:
    """--check writes reports too: each finding is a failure in JUnit, and in the summary of a fork's pull request."""
    desk.render()
    desk.change("seed = 7", "seed = 8")
    summary = desk.cli.root / "summary.md"
    env = {"GITHUB_STEP_SUMMARY": str(summary)}
    assert desk.render("--check", "--report", "c.xml", "--report", "c.md", env=env).code == 13
    suite = ET.fromstring(desk.text("c.xml"))  # noqa: S314 - our own
    assert (suite.attrib["name"], suite.attrib["failures"], suite.attrib["tests"]) == ("wan check", "1", "3")
    assert summary.read_text() == desk.text("c.md")
    assert "1 stale, 2 up to date" in summary.read_text()


# -- the runner


def test_findings_and_failures_are_marked_on_their_lines(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """On GitHub's runner each failure stands at its line of the manifest, as the repository names the file."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    monkeypatch.setenv("GITHUB_WORKSPACE", str(desk.cli.root))
    ran = desk.render("--check")
    (first, *_) = [line for line in ran.err.splitlines() if line.startswith("::")]
    assert re.fullmatch(r"::error file=work/assets\.toml,line=\d+::hero: missing: never rendered", first)
    ran = desk.render("--fault", "fail*1")
    marked = [line for line in ran.err.splitlines() if line.startswith("::")]
    assert len(marked) == 1
    assert re.match(r"::error file=work/assets\.toml,line=\d+::\S+: ", marked[0])
    assert desk.render("--check", env={"GITHUB_ACTIONS": "false"}).err.count("::error") == 0
    desk.change('"fox", "owl"', ", ".join(f'"a{number}"' for number in range(60)))
    assert desk.render("--check").err.count("::error") == marks.MOST_MARKS


def test_no_text_is_a_command_to_the_runner(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts and messages cannot speak to the runner, whatever they hold."""
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    desk.change("a lighthouse at dawn", EVIL)
    ran = desk.render("--fault", "moderation", "--report", "r.md", "--report", "r.html", "--report", "r.xml")
    assert ran.code == 4
    own = re.compile(r"::error file=assets\.toml,line=\d+::")
    for line in (ran.out + ran.err).splitlines():
        assert own.match(line) or not line.lstrip().startswith("::")
        assert "##[" not in line
    for name in ("r.md", "r.html", "r.xml"):
        assert not re.search(r"(?m)^\s*::|##\[", desk.text(name))


# -- takes


def test_takes_are_shown_beside_what_is_there(desk: Desk) -> None:
    """--again -n with a report is a sheet to choose from: the asset as it is, and every take with its file's name."""
    desk.render()
    assert desk.render("--again", "-n", "3", "--only", "hero", "--report", "takes.html").code == 0
    page = desk.text("takes.html")
    assert page.count("<article") == 1
    assert page.count("<img ") == 4
    assert page.index("as it is") < page.index("art/hero.png") < page.index("takes to choose from")
    assert [f"art/hero.take-{number}.png" in page for number in (1, 2, 3)] == [True] * 3
    ran = desk.render("--again", "-n", "2", "--only", "hero", "--report", "t.xml", "--fault", "fail*1")
    assert ran.code == 11
    assert ET.fromstring(desk.text("t.xml")).attrib["failures"] == "1"  # noqa: S314 - our own


# -- the run


def test_ci_gets_one_line_an_asset(desk: Desk) -> None:
    """Without a terminal each asset has one line with the count, model, price, time and file; the last one sums up."""
    ran = desk.render("--jobs", "1")
    lines = [line for line in ran.err.splitlines() if line.startswith("[")]
    assert re.fullmatch(
        r"\[1/3\] hero  made  rivya wan2\.7-image  \d+ credits \(sandbox\)  \d+s  art/hero\.png", lines[0]
    )
    assert [line.split()[0] for line in lines] == ["[1/3]", "[2/3]", "[3/3]"]
    assert ran.lines == ["art/hero.png", "art/icon-fox.png", "art/icon-owl.png"]
    assert "assets.toml: 3 made" in ran.err


def test_quiet_leaves_paths_and_errors(desk: Desk) -> None:
    """-q prints the paths alone."""
    ran = desk.render("-q")
    assert ran.lines == ["art/hero.png", "art/icon-fox.png", "art/icon-owl.png"]
    assert ran.err == ""


def test_the_run_as_a_document(desk: Desk) -> None:
    """--json has every asset with its ending, its tasks by id, its files and its error, and the task objects."""
    desk.render("--only", "hero")
    told = desk.render("--json", "--jobs", "1", "--fault", "fail*1").json
    assert [(row["id"], row["ending"], row["files"]) for row in told["assets"]] == [
        ("hero", "current", ["art/hero.png"]), ("icon-fox", "failed", []), ("icon-owl", "made", ["art/icon-owl.png"]),
    ]  # fmt: skip
    assert [row["tasks"] for row in told["assets"]] == [[], *([task["id"]] for task in told["tasks"])]
    assert told["assets"][1]["error"]["code"] == "task_failed"
    assert told["exit_code"] == 11


def test_the_run_as_lines(desk: Desk) -> None:
    """--jsonl has the events of every command, one for each asset, and how many ended how in the summary."""
    desk.render("--only", "hero")
    events = desk.render("--jsonl").events
    ends = {event["asset"]["id"]: event["asset"]["ending"] for event in events if event["event"] == "asset"}
    assert ends == {"hero": "current", "icon-fox": "made", "icon-owl": "made"}
    assert {"task", "transfer", "asset", "summary"} <= {event["event"] for event in events}
    assert events[-1]["assets"] == {"current": 1, "made": 2}


def test_no_wait_prints_handles(desk: Desk) -> None:
    """--no-wait has a handle a line, and a later run the paths."""
    ran = desk.render("--no-wait", "--only", "hero")
    assert re.fullmatch(r"rivya:\S+\n", ran.out)
    assert "1 pending" in ran.err
    assert desk.render("--only", "hero").lines == ["art/hero.png"]


def test_many_failures_are_not_all_told(desk: Desk) -> None:
    """The first twenty errors are told in full; for the others there is a line that says where they are."""
    names = ", ".join(f'"a{number}"' for number in range(25))
    desk.say(MANIFEST.replace('"fox", "owl"', names))
    ran = desk.render("--fault", "fail", "--yes")
    assert ran.code == 7
    assert ran.err.count("\nerror: ") in (20, 21)
    assert "… and 6 more errors" in ran.err


# -- reports


def test_several_reports_are_written_at_once(desk: Desk) -> None:
    """Each --report is written, also into a folder that is not there yet; the same one twice is one."""
    ran = desk.render("--report", "out/r.html", "--report", "r.md", "--report", "r.xml", "--report", "r.md")
    assert ran.code == 0
    assert desk.text("out/r.html").startswith("<!doctype html>")
    assert desk.text("r.md").startswith("## assets.toml: 3 made\n")
    assert ET.fromstring(desk.text("r.xml")).attrib["tests"] == "3"  # noqa: S314 - our own
    assert not [name for name in desk.cli.files() if name.endswith(".part")]
    assert desk.text("out/r.html").count("<img ") == 3


def test_before_and_now_stand_side_by_side(desk: Desk) -> None:
    """What a run replaced is in the sheet beside what it made."""
    desk.render()
    shades = iter([10, 250])

    def draw(_prompt: str, width: int, height: int, **_details: Any) -> bytes:
        data = io.BytesIO()
        Image.new("L", (width, height), next(shades)).save(data, "PNG")
        return data.getvalue()

    desk.cli.world = {"draw": draw}
    desk.change("at dawn", "at night")
    desk.render("--report", "r.html")
    page = desk.text("r.html")
    hero = page[page.index('id="asset-hero"') :]
    assert hero.index("<h4>before</h4>") < hero.index("<h4>now</h4>") < hero.index("<del>dawn</del><ins>night</ins>")
    assert hero.count("<img ", 0, hero.index("</article>")) == 2


@pytest.mark.parametrize(
    ("name", "why"),
    [("r.pdf", "ends in .html, .md or .xml"), ("report", "ends in"), ("-", "ends in"), ("sub.html", "is a folder"),
     ("assets.toml/r.html", "cannot be written")],
)  # fmt: skip
def test_a_report_that_cannot_be_is_refused_before_buying(desk: Desk, name: str, why: str) -> None:
    """An unknown kind, a folder and a place where nothing can be written are usage errors, and nothing is bought."""
    (desk.cli.cwd / "sub.html").mkdir()
    ran = desk.render("--report", "fine.md", "--report", name)
    assert ran.code == 2
    assert why in ran.said("error")
    assert not desk.bought


def test_a_report_of_nothing_is_refused(desk: Desk) -> None:
    """--accept and --prune make nothing that a report could show, so a report with them is a usage error."""
    for words in (["--accept", "hero"], ["--prune"]):
        assert desk.render(*words, "--report", "r.md").code == 2


def test_a_video_shows_its_first_frame(desk: Desk) -> None:
    """A film in the sheet has a picture, its sides, its seconds and its size."""
    desk.say("""[[asset]]\nid = "clip"\nprompt = "waves"\nprovider = "modelverse"\nmodel = "wan2.7-video"\nduration = 2
resolution = "720p"\noutput = "{id}.mp4"\n""")
    ran = desk.render("--report", "r.html")
    assert ran.lines == ["clip.mp4"], ran.err
    page = desk.text("r.html")
    assert page.count("<img ") == 1
    assert re.search(r"clip\.mp4</span> \d+x\d+ · 2 s · ", page)


def test_a_report_that_fails_at_the_end_is_a_warning(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """A disk that fills up meanwhile costs the report, not the exit code of work that is done."""

    def full(path: Path, _text: Any) -> None:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(reports, "_write", full)
    ran = desk.render("--report", "r.html")
    assert ran.code == 0
    assert "warning: r.html could not be written: No space left on device" in ran.err


def test_the_job_summary_is_appended_to(desk: Desk) -> None:
    """An .md report is appended to the job's summary, once; without one, or where it cannot be, nothing breaks."""
    summary = desk.cli.root / "summary.md"
    summary.write_text("before\n")
    env = {"GITHUB_STEP_SUMMARY": str(summary)}
    desk.render("--report", "r.xml", env=env)
    assert summary.read_text() == "before\n"
    desk.render("--report", "r.md", "--report", "s.md", env=env)
    assert summary.read_text() == "before\n" + desk.text("r.md")
    ran = desk.render("--report", "r.md", env={"GITHUB_STEP_SUMMARY": str(desk.cli.root / "no" / "summary.md")})
    assert ran.code == 0
    assert "warning: the job's summary could not be written" in ran.err


def test_a_failure_is_in_every_report(desk: Desk) -> None:
    """What failed is the first card, the first line and a failed test case, and its old picture is still shown."""
    desk.render()
    desk.change("seed = 7", "seed = 8")
    ran = desk.render("--fault", "fail*1", "--report", "r.html", "--report", "r.md", "--report", "r.xml")
    assert ran.code in (7, 11)
    page = desk.text("r.html")
    assert page.index('id="asset-hero"') < page.index('id="asset-icon-fox"')
    assert "as it was" in page
    assert "- **hero** (assets.toml:" in desk.text("r.md")
    suite = ET.fromstring(desk.text("r.xml"))  # noqa: S314 - our own
    assert [case.attrib["name"] for case in suite.iter("testcase") if case.find("failure") is not None] == ["hero"]


def test_real_money_is_in_the_report(live: Any) -> None:
    """What a real run bought is summed up on standard error, in the sheet and in the summary."""
    desk = Desk(live)
    ran = desk.render("--only", "hero", "--report", "r.md", "--report", "r.html", real=True)
    assert ran.code == 0, ran.err
    assert re.search(r"assets\.toml: 1 made; spent \d+ credits", ran.err)
    assert re.search(r"Spent: \d+ credits", desk.text("r.md"))
    assert re.search(r"Spent <b>\d+ credits</b>", desk.text("r.html"))
    ran = desk.render("--only", "hero", "--json", real=True)
    assert json.loads(ran.out)["assets"][0]["ending"] == "current"
