"""The README: every command on it runs, every table on it is what the program says.

``sh`` blocks have to succeed. ``console`` blocks have to print what they show, standard output and standard error
together; there ``…`` stands for any text, and alone on a line for any lines. Each block runs in an empty folder with a
fresh state folder, in the sandbox, as the page itself promises. A block that cannot run is marked
``<!-- not run: WHY -->`` on the line before it, and :func:`test_the_exceptions_are_counted` counts them.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import httpx
import pytest
import typer
from PIL import Image
from pydantic import BaseModel
from support_store import Store, serving

from wan_cli.catalog import Capabilities
from wan_cli.cli.main import COMMANDS, LazyGroup, root
from wan_cli.cli.topics import EXIT_CODES, TOPICS
from wan_cli.config.settings import VARIABLES
from wan_cli.config.shapes import (
    Defaults,
    PriceEntry,
    Privacy,
    ProjectFile,
    ProviderTable,
    Spend,
    UserDefaults,
    UserFile,
)
from wan_cli.manifest.shape import Document
from wan_cli.models import Done, Job, Pending
from wan_cli.naming import FIELDS
from wan_cli.providers import load
from wan_cli.providers.base import Provider
from wan_cli.registry import BUILTIN, capabilities

ROOT = Path(__file__).resolve().parent.parent
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
INSTALL = "python -m pip install . && "
"""How the first command begins: wan is installed already where the tests run, so what follows it is run."""
SECONDS = 90


@dataclass(frozen=True)
class Block:
    """One fenced block: the line it begins on, its language, its text, and why it is not run (empty: it is)."""

    line: int
    language: str
    text: str
    unrun: str


def _blocks() -> list[Block]:
    found = []
    for match in re.finditer(r"(?m)^(?:<!-- not run: (.+) -->\n)?```(\w*)\n((?:.*\n)*?)```$", TEXT):
        line = TEXT.count("\n", 0, match.start(2)) + 1
        found.append(Block(line, match[2], match[3], match[1] or ""))
    return found


BLOCKS = _blocks()


def _of(*languages: str) -> list[Block]:
    return [block for block in BLOCKS if block.language in languages]


def _named(block: Block) -> str:
    return f"line {block.line}"


def _lay_manifest(block: Block, folder: Path) -> None:
    """Put the page's own manifest, and what it names, where a block uses it."""
    if "assets.toml" not in block.text:
        return
    (manifest,) = [one.text for one in _of("toml") if one.text.startswith("# assets.toml\n")]
    (folder / "assets.toml").write_text(manifest, encoding="utf-8")
    (folder / "prompts").mkdir()
    (folder / "prompts" / "poster.txt").write_text("a travel poster\n", encoding="utf-8")
    (folder / "refs").mkdir()
    Image.new("RGB", (400, 400), "white").save(folder / "refs" / "logo.png")


def _run(script: str, folder: Path, *, state: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Run a script with bash, both its streams in one, after checking that its tools are here."""
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("bash is not installed")
    for tool in ("jq", "curl"):
        if re.search(rf"(?m)(?:^|[|(] *){tool} ", script) and shutil.which(tool) is None:
            pytest.skip(f"{tool} is not installed")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    surroundings = {**os.environ, "PATH": path, "WAN_SANDBOX": "1", "WAN_STATE_DIR": str(state), **env}
    return subprocess.run(
        [bash, "-o", "pipefail", "-c", script],
        cwd=folder, env=surroundings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True, encoding="utf-8", check=False, timeout=SECONDS,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return an empty folder."""
    empty = tmp_path / "work"
    empty.mkdir()
    return empty


@pytest.mark.parametrize("block", [block for block in _of("sh") if not block.unrun], ids=_named)
def test_commands_succeed(block: Block, folder: Path, tmp_path: Path) -> None:
    """Each shell block ends well, every command of it, and leaves the files that it names with -o."""
    _lay_manifest(block, folder)
    ends = "trap 'kill $(jobs -p) 2>/dev/null || true' EXIT"
    ran = _run(f"set -e\n{ends}\n{block.text.removeprefix(INSTALL)}", folder, state=tmp_path / "state")
    assert ran.returncode == 0, ran.stdout
    for name in re.findall(r"-o ([\w/]+\.\w+)", block.text):
        assert (folder / name).stat().st_size > 0


def _told(text: str) -> list[tuple[str, list[str]]]:
    """Split a console block into its commands, each with the lines that are shown below it."""
    told: list[tuple[str, list[str]]] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            told.append((line.removeprefix("$ "), []))
        else:
            told[-1][1].append(line)
    return told


def _pattern(lines: list[str]) -> str:
    parts = [r"(?:.*\n)*?" if line == "…" else re.escape(line).replace("…", ".*?") + r"\n" for line in lines]
    return "".join(parts)


@contextmanager
def _bucket(block: Block) -> Iterator[dict[str, str]]:
    """Where a block names the bucket, serve it with the picture that is there already; give what leads to it."""
    if "s3://studio/" not in block.text:
        yield {}
        return
    picture = BytesIO()
    Image.new("RGB", (400, 400), "white").save(picture, "PNG")
    with serving(Store()) as store:
        store.keep("refs/logo.png", picture.getvalue())
        yield store.variables()


@pytest.mark.parametrize("block", _of("console"), ids=_named)
def test_commands_print_what_is_shown(block: Block, folder: Path, tmp_path: Path) -> None:
    """Each command prints the lines below it, and succeeds unless an error is shown."""
    _lay_manifest(block, folder)
    told = _told(block.text)
    after = "code=$?; printf '\\001%d\\002' $code; (exit $code)"
    script = "\n".join(f"{command}\n{after}" for command, _ in told)
    with _bucket(block) as env:
        ran = _run(script, folder, state=tmp_path / "state", **env)
    printed = re.findall(r"([^\x01]*)\x01(\d+)\x02", ran.stdout)
    assert len(printed) == len(told), ran.stdout
    for (command, shown), (output, code) in zip(told, printed, strict=True):
        seen = output.replace("sandbox: WAN_SANDBOX is set; nothing is bought\n", "")
        assert re.fullmatch(_pattern(shown), seen), f"$ {command}\n{seen}"
        assert (code == "0") is not any(line.startswith("error: ") for line in shown), f"$ {command}\n{seen}"


def test_the_workflow_runs_twice_and_buys_once(folder: Path, tmp_path: Path) -> None:
    """The script of the page's workflow succeeds, and when the job is started again it buys nothing.

    Those of ``.github/recipes`` are run by ``tests/e2e/test_recipes.py``.
    """
    (block,) = _of("yaml")
    (step,) = re.findall(r"- run: \|\n((?: {10}.*\n)+)", block.text)
    (folder / "prompts").mkdir()
    (folder / "prompts" / "hero.txt").write_text("a lighthouse at dawn, wide shot\n", encoding="utf-8")
    for _ in range(2):
        ran = _run(f"set -e\n{step}", folder, state=tmp_path / "state", CI="true", GITHUB_RUN_ID="1")
        assert ran.returncode == 0, ran.stdout
    purchases = (tmp_path / "state" / "sandbox" / "world" / "purchases.jsonl").read_text(encoding="utf-8")
    assert len(purchases.splitlines()) == 1
    assert (folder / "assets" / "hero.png").stat().st_size > 0


def test_the_exceptions_are_counted() -> None:
    """The test command itself is not run, nor what needs a database; all other blocks have a test by their language."""
    assert [block.text.splitlines()[0] for block in BLOCKS if block.unrun] == [
        "python -m pip install -e '.[test]' && python -m tests",
        "createdb wan",
    ]
    assert {block.language for block in BLOCKS} == {"sh", "console", "yaml", "toml", "python", "text"}
    assert len(_of("text")) == 1  # the diagram
    assert TEXT.count("```") == 2 * len(BLOCKS)


def test_the_first_screen_has_both_commands() -> None:
    """The command that installs and makes a picture, and the one that runs the tests, come first, after the picture."""
    first, second = _of("sh")[:2]
    assert first.text == f'{INSTALL}wan generate "a paper crane on a desk, morning light" --sandbox -o crane.png\n'
    assert second.unrun
    assert second.line < 30
    (picture,) = re.findall(r"!\[.+\]\((.+)\)", TEXT[: TEXT.index(first.text)])
    assert (ROOT / picture).stat().st_size < 200_000


def _makes(offered: Capabilities) -> str:
    """Say what a provider makes: verbs, sizes and price of each model."""
    said = []
    for model in offered.models:
        sizes = dict.fromkeys(size for offer in model.verbs.values() for size in (*offer.sizes, *offer.resolutions))
        each = model.price and f"{'an' if model.price.per[0] in 'aeiou' else 'a'} {model.price.per}"
        price = f"{model.price.amount:g} {model.price.unit} {each}" if model.price else "price unknown"
        said.append(f"`{model.name}`: {'; '.join(filter(None, [', '.join(model.verbs), ', '.join(sizes), price]))}")
    return "<br>".join(said)


def _between(mark: str) -> list[str]:
    """Return the rows of a marked table, without its head."""
    inside = TEXT.partition(f"<!-- {mark} -->\n")[2].partition(f"<!-- /{mark} -->")[0]
    return inside.splitlines()[2:]


def test_the_table_of_providers_is_the_catalogue() -> None:
    """Keys, base URLs, verbs, sizes and prices are those of the registry, in its order."""
    rows = []
    for offered in map(capabilities, BUILTIN):
        base = f"`{offered.base_url_env}` ({offered.base_url})"
        rows.append(f"| `{offered.name}` | `{offered.key_env}` | {base} | {_makes(offered)} |")
    assert _between("providers") == rows


def test_the_table_of_exit_codes_has_each_once() -> None:
    """Every exit code of ``wan help exit-codes`` stands in one row of the page's table, and no other."""
    table = TEXT.partition("| exit code |")[2].partition("\n\n")[0]
    codes = [int(code) for row in re.findall(r"(?m)^\| ([\d, ]+) \|", table) for code in row.split(",")]
    assert sorted(codes) == sorted(EXIT_CODES)


def test_every_extra_is_one() -> None:
    """The extras of the page are the package's: those for users all, and each is what a line of the page installs."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    shown = re.findall(r"(?m)^\| `\[(\w+)\]` \|", TEXT)
    assert set(shown) == {"video", "keyring", "yaml", "sandbox", "s3", "distributed"} <= extras.keys()
    for named in re.findall(r"pip install (?:-e )?'\.\[([\w,]+)\]'", TEXT):
        assert set(named.split(",")) <= extras.keys()


def test_every_command_is_shown_and_no_other() -> None:
    """Each command stands in an example or in the text, and what is called a command is one."""
    named = set(re.findall(r"(?:`|\$ |\| |\n)wan ([a-z]+)\b", TEXT))
    assert named == set(COMMANDS)
    assert set(re.findall(r"`wan help ([a-z-]+)`", TEXT)) <= set(TOPICS)


OF_OTHERS = {"--fail-with-body", "--from", "--rm", "--userns"}
"""Options of curl, uvx and podman on the page."""


def _options() -> set[str]:
    """Return every long option of wan and its commands, and of what the page shows beside it."""
    group = typer.main.get_command(root)
    assert isinstance(group, LazyGroup)
    context = typer.Context(group)
    commands = [group, *(group.get_command(context, name) for name in COMMANDS)]
    parameters = [parameter for command in commands if command for parameter in command.params]
    own = {option for parameter in parameters for option in [*parameter.opts, *parameter.secondary_opts]}
    return own | OF_OTHERS


def test_every_option_exists() -> None:
    """Each long option on the page is one of wan's."""
    named = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", TEXT))
    assert named - _options() == set()


def _fields(shape: type[BaseModel]) -> set[str]:
    return set(shape.model_fields)


def test_every_setting_is_shown() -> None:
    """The example files are valid, and with their comments name every field there is."""
    manifest, user, project = [block.text for block in _of("toml")]
    Document.model_validate(tomllib.loads(manifest))
    UserFile.model_validate(tomllib.loads(user))
    ProjectFile.model_validate(tomllib.loads(project))
    words = set(re.findall(r"\w+", user))
    for shape in (UserFile, UserDefaults, Spend, Privacy, PriceEntry, ProviderTable):
        assert _fields(shape) <= words, shape
    assert _fields(Defaults) - {"providers"} == set(tomllib.loads(project))
    for name, table in tomllib.loads(user)["providers"].items():
        quirks = table.keys() - _fields(ProviderTable)
        assert quirks <= load(table.get("contract", name)).quirk_values.keys()
    assert {*VARIABLES.values(), "WAN_CONFIG", "WAN_STATE_DIR"} <= set(re.findall(r"WAN_[A-Z_]+", TEXT))


def test_every_field_of_templates_is_shown() -> None:
    """The list of template fields is complete."""
    assert {f"`{{{name}}}`" for name in FIELDS} <= set(re.findall(r"`\{\w+\}`", TEXT))


def test_the_example_adapter_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The adapter on the page submits and polls as it stands."""
    (block,) = _of("python")
    (tmp_path / "acme_of_the_readme.py").write_text(block.text, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    adapter = importlib.import_module("acme_of_the_readme").PROVIDER
    assert isinstance(adapter, type)
    assert issubclass(adapter, Provider)
    acme = adapter("https://acme.example/v1")

    submit = acme.submit(Job(verb="generate", provider="acme", model="wan2.7-image", prompt="a kite"), token="t")
    request = next(submit)
    assert (request.method, str(request.url)) == ("POST", "https://acme.example/v1/pictures")
    assert request.headers["idempotency-key"] == "t"
    with pytest.raises(StopIteration) as accepted:
        submit.send(httpx.Response(200, json={"id": "p1"}))
    pending = accepted.value.value
    assert isinstance(pending, Pending)

    poll = acme.poll(pending)
    assert next(poll).url.path == "/v1/pictures/p1"
    with pytest.raises(StopIteration) as done:
        poll.send(httpx.Response(200, json={"status": "done", "urls": ["https://acme.example/1.png"]}))
    assert isinstance(done.value.value, Done)


def test_links_and_files_exist() -> None:
    """Every file and folder that the page links to or names is there."""
    for name in re.findall(r"\]\((?!https?:)([^)#]+)\)", TEXT):
        assert (ROOT / name).is_file(), name
    for name in re.findall(r"`((?:wan_cli|tests)/[\w./]+)`", TEXT):
        assert "NAME" in name or (ROOT / name).exists(), name


def test_what_is_written_by_hand_is_there() -> None:
    """Every link and folder of ``tests/README.md`` exists, and so does each file that stands for a library."""
    page = (ROOT / "tests" / "README.md").read_text(encoding="utf-8")
    for name in re.findall(r"\]\((?!https?:)([^)#]+)\)", page):
        assert (ROOT / "tests" / name).is_file(), name
    for name in re.findall(r"(?m)^\| (`[a-z0-9_]+/`[^|]*) \|", page):
        assert all((ROOT / "tests" / folder).is_dir() for folder in re.findall(r"`([a-z0-9_]+/)`", name)), name
    rows = re.findall(r"(?m)^\| (.+?) \|", page.partition("## Written by hand")[2])[1:]
    assert len(rows) > 15
    for row in rows:
        names = re.findall(r"`([\w./]+)`", row)
        places = (ROOT, ROOT / "wan_cli", (ROOT / "wan_cli" / names[0]).parent)
        assert all(any((place / name).exists() for place in places) for name in names), row


def test_nothing_names_the_machine_it_was_written_on() -> None:
    """Neither this page nor the changelog nor the scripts name a folder of anybody's machine."""
    names = ("README.md", "CHANGELOG.md", "pyproject.toml", ".ci/run", "tests/README.md")
    texts = [*(ROOT / name for name in names), *(ROOT / ".github" / "recipes").iterdir()]
    for path in [*texts, *(path for path in (ROOT / "completions").rglob("*") if path.is_file())]:
        # /tmp/wan is a container's own, in a recipe
        assert not re.search(r"/(?:work|root|home)/|/tmp/(?!wan\n)\w", path.read_text(encoding="utf-8")), path
