"""Help, topics, completion, the catalogue: generated text is tested, not trusted (section 1)."""

from __future__ import annotations

import inspect
import re
from importlib import import_module
from pathlib import Path

import pytest
from support_cli import Cli, Ran, Run
from support_provider import Say

import wan_cli.cli.commands
from wan_cli import __version__, errors
from wan_cli.cli.commands.completion import SHELLS
from wan_cli.cli.main import COMMANDS
from wan_cli.cli.topics import EXIT_CODES, TOPICS
from wan_cli.registry import BUILTIN, capabilities, every_model

MAKING = ("generate", "edit", "fuse", "sequence")
NOT_BUILT = (
    "--mask", "--duration", "--resolution", "--first-frame", "--last-frame", "--first-clip", "--audio", "--voice",
    "--audio-setting", "--negative", "--preview",
)  # fmt: skip


def options_of(ran: Ran) -> set[str]:
    """Return the long and short options that a help text lists."""
    return set(re.findall(r"(?<![\w-])--?[a-z][a-z-]*", ran.out))


def test_every_command_is_a_module() -> None:
    """The table names just the modules that are there, each with its own docstring's first line."""
    folder = Path(wan_cli.cli.commands.__file__).parent
    assert {path.stem for path in folder.glob("*.py")} - {"__init__"} == set(COMMANDS)
    for name, line in COMMANDS.items():
        command = import_module(f"wan_cli.cli.commands.{name}").command
        assert inspect.getdoc(command).splitlines()[0] == line


@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_the_root_lists_every_command(wan: Run, flag: str) -> None:
    """``wan --help`` has each command with its line, on stdout."""
    ran = wan(flag)
    assert ran.code == 0
    for name, line in COMMANDS.items():
        assert re.search(rf"(?m)^ *{name} +{re.escape(line[:20])}", ran.out), name


def test_no_arguments(wan: Run) -> None:
    """``wan`` alone prints the help and is exit 2."""
    ran = wan(command=False)
    assert ran.code == 2
    assert "Commands" in ran.out


def test_version(wan: Run) -> None:
    """``wan --version`` prints name and version."""
    for flag in ("--version", "-V"):
        assert wan(flag).out == f"wan {__version__}\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command(wan: Run, name: str) -> None:
    """Each command explains itself, and every option that it lists is one that it takes."""
    ran = wan(name, "--help")
    assert ran.code == 0
    assert COMMANDS[name] in ran.out
    assert f"wan {name}" in ran.out
    for option in options_of(ran) - {"-", "--"}:
        if option.startswith("--"):
            taken = wan(name, "--help", option, command=False)
            assert "No such option" not in taken.err, option


def built() -> set[str]:
    """Return which of the options are built by now, as the options' classes say."""
    from wan_cli.cli.options import Making

    fields = {name.replace("_", "-") for name in Making.__dataclass_fields__}
    return {option for option in NOT_BUILT if option.removeprefix("--") in fields}


@pytest.mark.parametrize("name", MAKING)
def test_no_option_that_is_not_built(wan: Run, name: str) -> None:
    """An option that is not built is neither listed nor taken."""
    listed = options_of(wan(name, "--help"))
    for option in set(NOT_BUILT) - built():
        assert option not in listed
        assert wan(name, option, "x", command=False).code == 2


@pytest.mark.parametrize("name", MAKING)
def test_the_options_of_the_making_verbs(wan: Run, name: str) -> None:
    """The four verbs take the same options, those of the interface."""
    promised = {
        "--provider", "--model", "--count", "--size", "--aspect", "--seed", "--watermark", "--no-watermark",
        "--thinking", "--no-thinking", "--param", "--output", "--overwrite", "--skip-existing", "--convert",
        "--no-download", "--wait", "--no-wait", "--timeout", "--max-cost", "--max-results", "--yes",
        "--idempotency-key", "--dry-run", "--json", "--jsonl", "--quiet", "--verbose", "--strict", "--sidecar",
        "--poster", "--preview",
        "--sandbox", "--sync", "--async", "--prompt", "--prompt-file", "--allow-unknown-cost",
        "-p", "-m", "-n", "-s", "-a", "-o", "-q", "-v",
    }  # fmt: skip
    assert promised <= options_of(wan(name, "--help"))


def test_an_unknown_command(wan: Run) -> None:
    """An unknown command is exit 2 with its three lines."""
    ran = wan("paint", "x")
    assert ran.code == 2
    assert "paint" in ran.said("error")


def test_topics(wan: Run) -> None:
    """``wan help`` lists the topics; each prints a text; an unknown one is exit 2."""
    listed = wan("help")
    assert listed.code == 0
    for name in TOPICS:
        assert name in listed.out
        assert len(wan("help", name).lines) > 5
    assert wan("help", "nothing").code == 2
    assert {"exit-codes", "errors", "environment", "templates", "money"} <= set(TOPICS)


def test_exit_codes_of_the_topic_are_those_of_the_errors(wan: Run) -> None:
    """Every exit code that an error class has is explained."""
    classes = errors._leaves(errors.WanError)
    assert {cls.default_exit for cls in classes} <= set(EXIT_CODES)
    text = wan("help", "exit-codes").out
    for code in EXIT_CODES:
        assert re.search(rf"(?m)^ +{code}  ", text)


def test_error_codes_of_the_topic(wan: Run) -> None:
    """Every error code is in ``wan help errors``, with its exit code."""
    text = wan("help", "errors").out
    for cls in errors._leaves(errors.WanError)[1:]:
        if "code" in cls.__dict__ and not cls.__subclasses__():
            assert re.search(rf"{cls.__name__} +{cls.code} +{cls.default_exit}", text), cls


def test_environment_topic(wan: Run) -> None:
    """Every provider's variables and every WAN_ variable are explained."""
    from wan_cli.config.settings import VARIABLES

    text = wan("help", "environment").out
    for name in BUILTIN:
        assert capabilities(name).key_env in text
        assert capabilities(name).base_url_env in text
    for variable in (*VARIABLES.values(), "WAN_CONFIG", "WAN_STATE_DIR"):
        assert variable in text


def test_schema_topic(wan: Run) -> None:
    """The published schema can be printed and is valid JSON."""
    import json

    assert json.loads(wan("help", "schema").out)["$id"] == "urn:wan:output:1"


@pytest.mark.parametrize("text", ["templates", "money"])
def test_options_that_topics_name_exist(wan: Run, text: str) -> None:
    """A topic names no option that ``generate`` does not take."""
    known = options_of(wan("generate", "--help"))
    for option in re.findall(r"(?<![\w-])--[a-z][a-z-]+", wan("help", text).out):
        assert option in known, option


@pytest.mark.parametrize("shell", SHELLS)
def test_completion(wan: Run, shell: str) -> None:
    """Each shell gets a script that asks wan itself."""
    ran = wan("completion", shell)
    assert ran.code == 0
    assert "_WAN_COMPLETE" in ran.out
    assert ran.err == ""


def test_completion_of_another_shell(wan: Run) -> None:
    """An unknown shell is exit 2 and names the known ones."""
    ran = wan("completion", "tcsh")
    assert ran.code == 2
    assert "bash, zsh, fish" in ran.said("error")


def test_models(wan: Run) -> None:
    """The catalogue has a row a provider, model and group of verbs, tab-separated without a terminal."""
    ran = wan("models")
    assert ran.code == 0
    assert ran.err == ""
    for model in every_model():
        assert any({model.provider, model.name} <= set(line.split("\t")) for line in ran.lines)
    rows = wan("models", "--json").json["models"]
    assert {(row["provider"], row["model"]) for row in rows} == {(m.provider, m.name) for m in every_model()}
    for row in rows:
        assert (row["amount"] is None) == (row["price"] == "unknown")
        if row["amount"] is not None:
            assert row["date"]
            assert row["source"].startswith("https://")


@pytest.mark.parametrize("name", ["rivya", "RIVYA"])
def test_models_of_a_provider(wan: Run, name: str) -> None:
    """A provider's name gives its models."""
    assert {row["provider"] for row in wan("models", name, "--json").json["models"]} == {"rivya"}


@pytest.mark.parametrize("name", ["wan2.7-image-pro", "wan-2-7-image-pro"])
def test_models_by_name(wan: Run, name: str) -> None:
    """A model's canonical name gives it at every provider, a provider's spelling there."""
    rows = wan("models", name, "--json").json["models"]
    assert {row["model"] for row in rows} == {"wan2.7-image-pro"}


def test_models_of_nobody(wan: Run) -> None:
    """An unknown name is exit 2."""
    assert wan("models", "dall-e").code == 2


def test_models_says_what_is_left(live: Cli) -> None:
    """Where a key is set the provider is asked for the balance; a refusal is a warning, never an error."""
    assert "988 credits left" in live.run("models", "rivya").err
    assert live.run("models", "rivya", "--json").json["balance"] == {"rivya": "988 credits"}
    assert not live.provider.asked("submit")
    live.provider.always["credits"] = Say(500, "down")
    ran = live.run("models", "rivya")
    assert ran.code == 0
    assert "warning:" in ran.err
    live.provider.always["credits"] = Say(401, {"error": {"code": "api_key_invalid", "message": "no"}})
    assert live.run("models", "rivya", "--json").code == 0


def test_models_with_a_users_price(wan: Run, cli: Cli) -> None:
    """A price of the user's file is shown in place of the catalogue's."""
    cli.config('[prices."modelverse/wan2.7-image"]\namount = 0.2\nunit = "CNY"\nper = "image"\n')
    rows = wan("models", "modelverse", "--json").json["models"]
    assert {row["amount"] for row in rows if row["model"] == "wan2.7-image"} == {0.2}


def test_a_table_on_a_terminal(wan: Run) -> None:
    """On a terminal the same is a table, without tabs."""
    ran = wan("models", "rivya", tty=["stdout"], env={"COLUMNS": "200"})
    assert "\t" not in ran.out
    assert "wan2.7-image-pro" in ran.out
