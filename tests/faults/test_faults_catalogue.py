"""No row of the catalogue is without a proof, and the table in README.md is the truth."""

from __future__ import annotations

import re

import catalogue
import pytest

NOTES = catalogue.TESTS.parent.parent / "shared" / "reliability.md"


def test_every_row_is_proven_or_says_why_not() -> None:
    """Each fault and each threat has a test with its id in the name, or a reason; none has both."""
    proven = set(catalogue.proofs())
    assert catalogue.rows() - proven == set(catalogue.ABSENT)
    assert not proven & set(catalogue.ABSENT)


def test_no_test_claims_a_row_that_is_not_there() -> None:
    """An id in a test's name is one of the catalogue."""
    assert set(catalogue.proofs()) <= catalogue.rows()


def test_the_table_is_up_to_date() -> None:
    """README.md is what ``python tests/faults/catalogue.py`` writes."""
    assert catalogue.README.read_text(encoding="utf-8") == catalogue.text()


@pytest.mark.skipif(not NOTES.exists(), reason="the notes are not beside this checkout")
def test_the_catalogue_is_that_of_the_notes() -> None:
    """No row of the notes' tables is missing here."""
    notes = NOTES.read_text(encoding="utf-8")
    faults = set(re.findall(r"(?m)^\| ([NHRTDPSICO]\d\d)(?:-O\d\d)? \|", notes.partition("## 3. Fault catalogue")[2]))
    threats = re.findall(r"(?m)^\| (S\d{1,2}) \|", notes.partition("## 3. Fault catalogue")[0])
    faults |= {"O02", "O03", "O04"}  # one line there
    assert faults | {f"threat {name}" for name in threats} == catalogue.rows()


@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("test_n08_something", {"N08"}),
        ("test_h05_h07_something", {"H05", "H07"}),
        ("test_threat_s5_s13_something", {"threat S5", "threat S13"}),
        ("test_threat_s5_d13_something", {"threat S5", "D13"}),
        ("test_threat_s12", {"threat S12"}),
        ("test_s12_something", {"S12"}),
        ("test_x509_something", set()),
    ],
)
def test_ids_are_read_from_names(name: str, rows: set[str]) -> None:
    """Faults have two digits, threats say that they are threats."""
    assert catalogue.ids_of(name) == rows
