"""The prompt of a call (interface.md, section 1)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from support_cli import Cli, Run


def test_text_is_the_prompt(wan: Run, cli: Cli) -> None:
    """A word that is no file's name is the prompt, and the result's name comes from it."""
    ran = wan("generate", "a paper crane", "--sandbox", "--json")
    assert ran.code == 0
    assert ran.task["prompt"] == "a paper crane"
    assert cli.files() == [f"a-paper-crane-{ran.task['id']}.png"]


@pytest.mark.parametrize(
    ("words", "stdin", "prompt"),
    [
        (["-"], "a heron\n", "a heron"),
        (["-"], "\ufeffa heron", "a heron"),
        (["@prompt.txt"], "", "from a file"),
        (["@@home"], "", "@home"),
        (["--prompt", "@literal.png"], "", "@literal.png"),
        (["--prompt-file", "prompt.txt"], "", "from a file"),
        (["--", "-dash"], "", "-dash"),
        (["水彩のきつね 🦊"], "", "水彩のきつね 🦊"),
    ],
)
def test_every_way_to_say_it(wan: Run, cli: Cli, words: Sequence[str], stdin: bytes | str, prompt: str) -> None:
    """Text, standard input, a file, a literal @ and both options give the same kind of prompt."""
    cli.write("prompt.txt", "from a file\r\n")
    ran = wan("generate", "--sandbox", "--json", "--dry-run", "-p", "rivya", *words, stdin=stdin)
    assert ran.code == 0, ran.err
    assert ran.task["prompt"] == prompt


@pytest.mark.parametrize(
    ("words", "stdin", "message"),
    [
        ([], "", "the prompt is missing"),
        (["fox.png"], "", "was the prompt forgotten"),
        (["notes"], "", "was the prompt forgotten"),
        ([""], "", "the prompt is empty"),
        (["  \n"], "", "the prompt is empty"),
        (["-"], "", "the prompt is empty"),
        (["@"], "", "does not exist or is no file"),
        (["@missing.txt"], "", "does not exist or is no file"),
        (["--prompt-file", "missing.txt"], "", "does not exist or is no file"),
        (["--prompt-file", "latin.txt"], "", "not UTF-8"),
        (["@big.txt"], "", "larger than 65,536 bytes"),
        (["-"], b"caf\xe9", "not UTF-8"),
        (["-"], b"x" * 70_000, "more than 65,536 bytes"),
        (["x" * 5001], "", "5,001 characters"),
        (["🦊" * 2501], "", "5,002 UTF-16 units"),
        (["a\x1b[31mfox"], "", "control character (U+001B) at position 2"),
        (["a\x00b"], "", "control character"),
        (["a\ud800b"], "", "control character (U+D800)"),
        (["a", "b"], "", "generate takes one PROMPT"),
        (["a", "--prompt", "b"], "", "PROMPT and --prompt were given"),
        (["--prompt", "a", "--prompt-file", "notes"], "", "--prompt and --prompt-file were given"),
    ],
)
def test_what_is_no_prompt(wan: Run, cli: Cli, words: Sequence[str], stdin: bytes | str, message: str) -> None:
    """A prompt that is missing, a file's name, empty, too long or not text is a usage error before anything is sent."""
    cli.write("notes", "words")
    cli.write("latin.txt", b"caf\xe9")
    cli.write("big.txt", b"x" * 70_000)
    ran = wan("generate", "--sandbox", *words, stdin=stdin)
    assert (ran.code, ran.out) == (2, "")
    assert message in ran.said("error")
    assert ran.said("charged") == "no"
    assert cli.files() == ["big.txt", "latin.txt", "notes"]


def test_a_terminal_is_never_waited_for(wan: Run) -> None:
    """``-`` with a terminal as standard input says what to type instead of hanging."""
    ran = wan("generate", "-", "--sandbox", tty=["stdin"])
    assert ran.code == 2
    assert "nothing is piped" in ran.said("error")


def test_closed_stdin_is_empty(wan: Run) -> None:
    """``-`` with standard input closed (``<&-``) reads as an empty prompt."""
    assert "the prompt is empty" in wan("generate", "-", "--sandbox", stdin=None).said("error")


@pytest.mark.parametrize("verb", ["edit", "fuse", "sequence"])
def test_options_replace_the_prompt_in_every_verb(wan: Run, cli: Cli, verb: str) -> None:
    """With ``--prompt`` every word is an ASSET."""
    cli.write("a.png", _png())
    cli.write("b.png", _png())
    ran = wan(verb, "a.png", "b.png", "--prompt", "in blue", "-n", 1, "--dry-run", "--json", "-p", "modelverse")
    assert ran.code == 0, ran.err
    assert ran.task["prompt"] == "in blue"
    assert ran.task["request"]["references"] == ["a.png", "b.png"]


def test_a_dash_in_options_takes_the_rest_as_words(wan: Run, cli: Cli) -> None:
    """After ``--`` a word that starts with a dash is a word, also ``--json``."""
    ran = wan("generate", "--sandbox", "--dry-run", "--", "--json")
    assert ran.code == 0
    assert ran.out.startswith("curl ")


def _png() -> bytes:
    from support_cli import picture

    return picture(512, 512)
