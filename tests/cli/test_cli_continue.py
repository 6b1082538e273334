"""What a command prints so that the next one can go on, and what it says of the delivery (sections 3 and 9)."""

from __future__ import annotations

from support_cli import Cli


def test_a_hint_of_the_sandbox_leads_back_there(cli: Cli) -> None:
    """The command that continues a sandbox task says --sandbox, and works as it is printed."""
    ran = cli.run("generate", "a fox", "-p", "rivya", "--sandbox", "--timeout", "0s", "-o", "fox.png")
    assert ran.code == 8
    hint = ran.said("hint")
    assert hint.startswith("wan wait rivya:")
    assert hint.endswith(" --sandbox")
    assert cli.run(*hint.split()[1:]).lines == ["fox.png"]


def test_a_provider_that_answers_at_once_has_a_name_to_wait_for(cli: Cli) -> None:
    """With --no-wait a bought result is never without a name: the local id stands in for the handle."""
    ran = cli.run("generate", "a fox", "-p", "yunwu", "--sandbox", "--no-wait", "-o", "fox.png")
    assert ran.code == 0
    (name,) = ran.lines
    assert cli.run("wait", name, "--sandbox").lines == ["fox.png"]


def test_a_delivery_that_differs_is_said_in_text_too(cli: Cli) -> None:
    """A picture of another size than asked for is a warning on standard error."""
    ran = cli.run("generate", "a fox", "-s", "1K", "--sandbox", "-p", "rivya", "--fault", "wrong-size", "-o", "fox.png")
    assert ran.code == 0
    assert "warning: " in ran.err
    assert "512x512, not 1K" in ran.err
