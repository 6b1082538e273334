"""JUnit XML, which every CI system shows: an asset is a test case."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from wan_cli.text import safe_text
from wan_cli.ui.messages import hint_for
from wan_cli.ui.report.rows import UNSETTLED, WORDS

if TYPE_CHECKING:
    from wan_cli.ui.report.rows import Line, Report


def junit(report: Report) -> str:
    """Return the report as JUnit XML (github.com/testmoapp/junitxml): what was not begun, or is awaited, is skipped."""
    failures = sum(line.error is not None for line in report.lines)
    skipped = sum(_is_skipped(line) for line in report.lines)
    counts = {"tests": len(report.lines), "failures": failures, "errors": 0, "skipped": skipped}
    said = {name: str(count) for name, count in counts.items()}
    seconds = f"{sum(line.seconds for line in report.lines):.3f}"
    root = ET.Element("testsuites", {"name": f"wan {report.what}", **said, "time": seconds})
    suite = ET.SubElement(root, "testsuite", {"name": _clean(report.manifest), **said, "time": seconds})
    for line in report.sorted:
        _case(suite, report, line)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"


def _is_skipped(line: Line) -> bool:
    return line.error is None and line.ending in UNSETTLED


def _case(suite: ET.Element, report: Report, line: Line) -> None:
    file, _, number = line.where.rpartition(":")
    place = {"file": _clean(file or line.where or report.manifest)} | ({"line": number} if file else {})
    named = {"name": _clean(line.id), "classname": _clean(report.manifest), "time": f"{line.seconds:.3f}"}
    case = ET.SubElement(suite, "testcase", {**named, **place})
    properties = ET.SubElement(case, "properties")
    for name, value in _properties(line).items():
        ET.SubElement(properties, "property", {"name": name, "value": _clean(value)})
    if line.error:
        failure = ET.SubElement(case, "failure", {"type": line.error.code, "message": _clean(line.error.message)})
        failure.text = _clean(f"charged: {line.error.charged}\nhint: {hint_for(line.error)}")
    elif _is_skipped(line):
        word = WORDS[line.ending]
        ET.SubElement(case, "skipped", {"message": _clean(f"{word}: {line.why}" if line.why else word)})
    if line.shots:
        ET.SubElement(case, "system-out").text = _clean("\n".join(shot.path for shot in line.shots))


def _properties(line: Line) -> dict[str, str]:
    """Return what else is known of an asset; the ending always is."""
    said = {"ending": line.ending, "provider": line.provider, "model": line.model, "handle": line.handle}
    said |= {"cost": line.price, "seed": "" if line.seed is None else str(line.seed)}
    return {name: value for name, value in said.items() if value}


def _clean(text: str) -> str:
    """Return text that XML 1.0 can hold (w3.org/TR/xml, 2.2): ``safe_text`` leaves two that it cannot."""
    return safe_text(text).replace("\ufffe", "\ufffd").replace("\uffff", "\ufffd")
