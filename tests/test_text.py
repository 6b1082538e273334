"""Foreign text is harmless (reliability.md S14, S15)."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wan_cli.text import MAX_FOREIGN, one_line, safe_text

BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\ufeff"
ANY_TEXT = st.text(st.characters(exclude_categories=()))
"""Lone surrogates too."""


def obeyed(text: str) -> bool:
    """Tell whether a runner would see a command, as actions/runner's ActionCommand.cs reads lines."""
    return any(line.lstrip().startswith("::") or re.search(r"##(vso)?\[", line) for line in text.split("\n"))


@pytest.fixture(autouse=True)
def _no_runner(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GITHUB_ACTIONS", "TF_BUILD"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("code", range(0xA0))
def test_threat_s14_every_control_character_is_spelled_out(code: int) -> None:
    """U+0000 to U+009F: newline, tab and printable ASCII stay, everything else is shown as text."""
    char = chr(code)
    if char in "\n\t" or 0x20 <= code < 0x7F:
        expected = char
    elif code < 0x20:
        expected = "^" + "@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_"[code]
    else:
        expected = "^?" if code == 0x7F else f"\\x{code:02x}"

    assert safe_text(f"a{char}b") == f"a{expected}b"


@pytest.mark.parametrize("char", BIDI)
def test_threat_s14_bidi_and_line_separators_are_named(char: str) -> None:
    """What turns text around, or breaks a line unseen, is shown by its code point."""
    assert safe_text(f"a{char}b") == f"a<U+{ord(char):04X}>b"


@pytest.mark.parametrize("code", [0xD800, 0xDBFF, 0xDC00, 0xDCFF, 0xDFFF])
def test_threat_s14_lone_surrogates_become_ascii(code: int) -> None:
    """Half a character, which no stream could encode, is spelled out."""
    assert safe_text(chr(code)) == f"\\u{code:04x}"


@settings(deadline=None)
@given(ANY_TEXT)
def test_threat_s14_safe_text_can_always_be_shown(text: str) -> None:
    """Nothing that comes out moves a cursor, turns text, or fails to encode."""
    shown = safe_text(text)

    shown.encode()
    assert not re.search(f"[\x00-\x08\x0b-\x1f\x7f-\x9f{BIDI}]", shown)


def test_harmless_text_stays() -> None:
    """Emoji with joiners, right-to-left letters and markup are shown as they are."""
    text = "👩\u200d🚀 שלום [bold] [/x] ::not at the start"

    assert safe_text(text) == text


def test_threat_s14_long_text_is_cut_with_its_length() -> None:
    """At most two thousand characters are shown, and the reader learns how many are not."""
    assert safe_text("x" * (MAX_FOREIGN + 1_234)) == "x" * MAX_FOREIGN + "… (1,234 more characters)"
    assert safe_text("x" * MAX_FOREIGN) == "x" * MAX_FOREIGN


COMMANDS = [
    "::add-mask::x",
    "  ::error file=a::x",
    "\n\n::stop-commands::t",
    "\u3000::debug::x",
    ":::error::",
    "##vso[task.setvariable]x",
    "see ##vso[task.complete] here",
    "##[error]x",
    "x ###[add-path]y",
    "a\n##[group]b",
]


@pytest.mark.parametrize("variable", ["GITHUB_ACTIONS", "TF_BUILD"])
@pytest.mark.parametrize("text", COMMANDS)
def test_threat_s15_a_runner_obeys_nothing(text: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Commands are broken wherever a runner looks for them, also once folded onto one line."""
    monkeypatch.setenv(variable, "true")

    assert obeyed(text) or text.startswith(":::")
    assert not obeyed(safe_text(text))
    assert not obeyed(one_line(text))


@settings(deadline=None)
@given(st.text(st.sampled_from(":# \n[]vso\t\u3000e"), max_size=30))
def test_threat_s15_no_arrangement_of_tokens_survives(text: str) -> None:
    """Taking a command apart never puts another one together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GITHUB_ACTIONS", "true")
        assert not obeyed(safe_text(text))
        assert not obeyed(one_line(text))


def test_threat_s15_lines_get_a_leading_space(monkeypatch: pytest.MonkeyPatch) -> None:
    """Lines that begin with `::` or `##` begin with a space; elsewhere nothing changes, nor without a runner."""
    text = "a\n::x\n## title\nb ::"
    assert safe_text(text) == text

    monkeypatch.setenv("GITHUB_ACTIONS", "true")

    assert safe_text(text) == "a\n : :x\n ## title\nb ::"


@pytest.mark.parametrize(
    ("text", "limit", "expected"),
    [
        ("a\n b\t c ", 200, "a b c"),
        ("abcdef", 4, "abc…"),
        ("abcd", 4, "abcd"),
        ("ab", 1, "…"),
        ("ab", 0, ""),
        ("", 9, ""),
    ],
)
def test_one_line_folds_and_cuts(text: str, limit: int, expected: str) -> None:
    """Blanks fold into one, and a cut is marked within the limit."""
    assert one_line(text, limit) == expected


@settings(deadline=None)
@given(ANY_TEXT, st.integers(0, 300))
def test_one_line_is_one_line(text: str, limit: int) -> None:
    """Whatever comes in, one line of at most the limit comes out."""
    line = one_line(text, limit)

    assert len(line) <= limit
    assert len(line.splitlines()) <= 1
