"""The doctor's findings for people: what is wrong in lines of the terminal's width, what mends it whole, to copy."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from wan_cli.cli.doctor.finding import COLUMNS, Finding
from wan_cli.ui.tables import cell, table

if TYPE_CHECKING:
    from wan_cli.ui.streams import Streams

MARGIN = 9
"""Columns that the level takes, with the blank after it: ``skipped`` is the longest."""
NARROWEST = 40


def show(findings: Sequence[Finding], streams: Streams) -> None:
    """Write the findings to stdout: tab-separated rows without a terminal, a few lines each with one."""
    if not streams.stdout_tty:
        table([finding.row() for finding in findings], COLUMNS, streams)
        return
    width = max(streams.width(streams.stdout) - 1, NARROWEST)
    for finding in findings:
        said = cell(f"{finding.check} {finding.subject}: {finding.finding}")
        margin = " " * MARGIN
        first = f"{finding.level:<{MARGIN}}"
        lines = textwrap.wrap(said, width, initial_indent=first, subsequent_indent=margin, break_on_hyphens=False)
        for line in lines:
            streams.out(line)
        if finding.fix:  # a command is never broken
            streams.out(f"{margin}{cell(finding.fix)}")
