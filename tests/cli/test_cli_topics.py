"""The topics of ``wan help``: complete and true, held against the code they tell of."""

from __future__ import annotations

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from support_cli import Cli, Run

import wan_cli
from wan_cli import errors
from wan_cli.cli.topics import EXIT_CODES, TOPICS
from wan_cli.config.settings import VARIABLES
from wan_cli.registry import BUILTIN, capabilities
from wan_cli.render.places import FIELDS

PACKAGE = Path(wan_cli.__file__).parent
SKILL = (PACKAGE / "SKILL.md").read_text(encoding="utf-8")
OF_COMPLETION = {"_WAN_COMPLETE"}
"""What only the completion scripts set."""


def _read(tree: ast.AST) -> Iterator[str]:
    """Yield the names that are looked up in an environment: ``env.get("X")``, ``env["X"]``, ``os.getenv("X")``."""
    for node in ast.walk(tree):
        where: ast.expr | None = None
        name: ast.expr | None = None
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.args:
            where, name = node.func.value, node.args[0]
            if node.func.attr not in ("get", "getenv", "pop"):
                continue
        elif isinstance(node, ast.Subscript):
            where, name = node.value, node.slice
        if where is None or not isinstance(name, ast.Constant) or not isinstance(name.value, str):
            continue
        if re.search(r"\b(env|environ|_env|surroundings|os)\Z", ast.unparse(where)):
            yield name.value


def _variables() -> set[str]:
    """Return every variable that the package reads, or names as its own."""
    found: set[str] = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        found.update(_read(tree))
        texts = {
            node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)
        }
        found.update(text for text in texts if re.fullmatch(r"WAN_[A-Z_]+|[A-Z]+_PROXY", text))
    return found - OF_COMPLETION


def test_the_search_for_variables_finds_some() -> None:
    """The test below looks at something: it finds variables that are known to be read."""
    assert {
        "WAN_CONFIG",
        "WAN_STATE_DIR",
        "NO_COLOR",
        "CI",
        "COLUMNS",
        "GITHUB_ACTIONS",
        "HOME",
        "TMPDIR",
    } <= _variables()


def test_every_variable_is_explained(wan: Run) -> None:
    """Each variable that the code reads stands in ``wan help environment``."""
    text = wan("help", "environment").out
    told = set(re.findall(r"\b[A-Z][A-Z_]+\b", text))
    names = {f"{offered.key_env}{end}" for offered in map(capabilities, BUILTIN) for end in ("", "_FILE")}
    assert (_variables() | {*VARIABLES.values()} | names) - told == set()


def test_every_field_of_templates_is_explained(wan: Run) -> None:
    """Each field of a template has its words in ``wan help templates``, and no other is named there."""
    text = wan("help", "templates").out
    assert set(re.findall(r"(?m)(?:^  | {4,})\{(\w+)\}  +\S", text)) == set(FIELDS)


def test_every_code_is_explained(wan: Run) -> None:
    """Each stable code that an error can carry has its meaning in ``wan help errors``."""
    text = wan("help", "errors").out
    codes = {cls.code for cls in errors._leaves(errors.WanError)}
    meant = text.partition("What each means:")[2]
    assert set(re.findall(r"(?m)^  (\w+)  +[A-Z]", meant)) == codes


def test_exit_codes_say_what_several_tasks_are(wan: Run) -> None:
    """Beside the codes the topic says how those of several tasks become one."""
    text = wan("help", "exit-codes").out
    assert "Several tasks: 9, 10 or 12 if any has it" in text
    assert set(map(int, re.findall(r"(?m)^ +(\d+)  ", text))) == set(EXIT_CODES)


def test_agents_read_the_page_of_the_package(wan: Run) -> None:
    """``wan help agents`` prints SKILL.md, whose head is one that agents know: a name and a description."""
    assert wan("help", "agents").out == SKILL
    head = re.match(r"---\nname: ([a-z0-9-]{1,64})\ndescription: (.{50,1024})\n---\n", SKILL)
    assert head
    assert head[1] == "wan"
    assert len(SKILL.splitlines()) < 130


def test_agents_are_told_what_to_do_at_each_exit_code() -> None:
    """Each exit code stands in the page once."""
    rows = re.findall(r"(?m)^\| ([\d, ]+) \| (.+) \|$", SKILL)
    codes = [int(code) for row, _ in rows for code in row.split(",")]
    assert sorted(codes) == sorted(EXIT_CODES)


def _lines() -> list[str]:
    """Return the commands of the page, in order, each on one line."""
    blocks = re.findall(r"(?m)^```sh\n((?:.*\n)*?)```$", SKILL)
    return "".join(blocks).replace("\\\n", "").splitlines()


def test_the_commands_of_the_page_run(cli: Cli) -> None:
    """Each command of the page succeeds as it stands, one after the other, in the sandbox."""
    (manifest,) = re.findall(r"(?m)^```toml\n((?:.*\n)*?)```$", SKILL)
    cli.write("assets.toml", manifest)
    for line in _lines():
        name, *words = shlex.split(line.partition(" > ")[0])
        assert name == "wan"
        ran = cli.run(*words, env={"WAN_SANDBOX": "1"})
        assert ran.code == 0, f"{line}\n{ran.err}"
        assert ran.json
    assert {"crane.png", "night.png", "hero.png", "assets/hero.png", "assets/icon-owl.png"} <= set(cli.files())


def test_the_page_names_what_there_is() -> None:
    """Each topic that the page names is one."""
    listed = SKILL.partition("## 5.")[2].partition(";")[0]
    assert set(re.findall(r"`(?:wan help )?([a-z-]+)`", listed)) == set(TOPICS) - {"agents"}


@pytest.mark.parametrize("name", TOPICS)
def test_topics_fit_a_terminal(wan: Run, name: str) -> None:
    """A topic is plain text: no escapes, no tabs, and no line that a wide terminal breaks."""
    if name in ("schema", "agents"):
        return
    for line in wan("help", name).lines:
        assert line.isprintable()
        assert len(line) <= 120, line
