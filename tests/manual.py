"""The manual pages of ``completions/man/``, made from the command tree: ``python tests/manual.py`` writes them.

``tests/test_manual.py`` holds what is there against what this makes, and against mandoc's checks. The pages are written
in mdoc(7), which man-db, mandoc and groff read alike.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import typer

FOLDER = Path(__file__).resolve().parent.parent / "completions" / "man"
DATE = "November 21, 2026"
"""When the pages were last looked over."""
WIDTH = 78
"""Bytes of a line of running text: more is bad style to mandoc."""
EXAMPLES: Mapping[str, tuple[str, ...]] = {
    "wan": (
        'wan generate "a paper crane on a desk" --sandbox -o crane.png',
        "wan wait --all",
        "wan render assets.toml --plan",
    ),
    "generate": (
        'wan generate "a fox in the snow" -p rivya --aspect 16:9 --seed 7 -o fox.png',
        'wan generate "a red kite" -n 4 --max-cost 20credits -o kites/',
        "echo 'a heron at dawn' | wan generate - -o heron.png",
    ),
    "edit": ('wan edit fox.png "make it night, with stars" -o night.png',),
    "fuse": ('wan fuse fox.png lighthouse.png "the fox sits in front of the lighthouse" -o both.png',),
    "sequence": ("""wan sequence "a fox crosses a river" -n 3 -o 'story/{index}{ext}'""",),
    "upload": ("wan upload fox.png",),
    "status": ("wan status", "wan status rivya:TASK_ID --json", "wan status --prune 30d"),
    "wait": ("wan wait --all", "wan wait rivya:TASK_ID -o fox.png"),
    "cancel": ("wan cancel rivya:TASK_ID",),
    "recover": ("wan recover", "wan recover ID --same-key"),
    "render": ("wan render assets.toml --plan", "wan render assets.toml --max-cost 20credits", "wan render --schema"),
    "keep": ("wan keep fox.png --as hero",),
    "inspect": ("wan inspect fox.png", "wan inspect assets/*.png --json"),
    "models": ("wan models rivya",),
    "auth": ("wan auth set rivya", "wan auth list"),
    "config": ("wan config show",),
    "doctor": ("wan doctor --offline", "wan doctor --probe -p openai"),
    "worker": (
        "wan worker --queue postgresql://db.example/wan --jobs 200",
        "wan worker --queue postgresql://db.example/wan --until-empty --jsonl",
    ),
    "sandbox": ("wan sandbox --port 8484",),
    "completion": ("wan completion bash > wan.bash",),
    "help": ("wan help exit-codes",),
}
"""Command lines for each page; a test looks whether each names options that exist."""
OF_EACH = {
    "generate": "templates", "edit": "templates", "fuse": "templates", "sequence": "templates", "render": "render",
    "sandbox": "sandbox",
}  # fmt: skip
"""The topic that a command's page has in full."""


def pages() -> dict[str, str]:
    """Return each page by its file's name."""
    from wan_cli.cli.main import COMMANDS, root

    group: Any = typer.main.get_command(root)
    context = typer.Context(group, info_name="wan")
    found = {"wan.1": "\n".join(_root_page(group.get_params(context))) + "\n"}
    for name, line in COMMANDS.items():
        command = group.get_command(context, name)
        own = typer.Context(command, info_name=name, parent=context)
        found[f"wan-{name}.1"] = "\n".join(_command_page(name, line, command.get_params(own))) + "\n"
    return found


def _head(title: str, line: str) -> Iterator[str]:
    yield from ('.\\" Made by tests/manual.py; do not edit.', f".Dd {DATE}", f".Dt {title.upper()} 1", ".Os")
    yield from (".Sh NAME", f".Nm {title}", f".Nd {_text(line[0].lower() + line[1:].rstrip('.'))}")


def _root_page(params: list[Any]) -> Iterator[str]:
    from wan_cli.cli.main import COMMANDS

    yield from _head("wan", "pictures and videos with Wan 2.7, through whichever provider you have a key for")
    yield from (".Sh SYNOPSIS", ".Nm", ".Op Fl \\-version", ".Op Fl \\-help", ".Ar command", ".Op Ar argument ...")
    yield from (".Sh DESCRIPTION", ".Nm")
    yield from _paragraph(
        "makes pictures and videos with Alibaba's Wan 2.7 models. A purchase is written down before it is sent, and "
        "nothing that may have been bought is sent again by itself. Results go to standard output, everything else to "
        "standard error."
    )
    yield from _paragraph("The commands, each with a page of its own:")
    yield ".Bl -tag -width Ds"
    for name, line in COMMANDS.items():
        yield from (f".It {_page(f'wan-{name}')}", _text(line))
    yield ".El"
    yield from _options(params)
    yield from (".Sh ENVIRONMENT", *_shown("environment"))
    yield from (".Sh FILES", ".Bl -tag -width Ds")
    for path, what in (
        ("~/.config/wan/config.toml", "Settings, prices and providers of one's own."),
        ("~/.local/state/wan/", "The ledger: every task, with an append-only journal."),
        ("wan.toml", "Settings of a project, looked for upwards to the repository's root."),
        ("assets.toml", "A project's assets; assets.lock beside it says what was made from what."),
    ):
        yield from (f".It Pa {path}", _text(what))
    yield ".El"
    yield from (".Sh EXIT STATUS", *_shown("exit-codes"))
    yield from _examples("wan")
    yield from (".Sh SEE ALSO", *_see([f"wan-{name}" for name in COMMANDS]))


def _command_page(name: str, line: str, params: list[Any]) -> Iterator[str]:
    yield from _head(f"wan-{name}", line)
    yield from (".Sh SYNOPSIS", f".Nm wan {name}")
    if any(param.param_type_name == "option" for param in params):
        yield ".Op Ar option ..."
    arguments = [param for param in params if param.param_type_name == "argument"]
    for param in arguments:
        words = str(param.metavar or param.name).split()
        yield from (f".{_argument(word)}" for word in words)
    yield from (".Sh DESCRIPTION", _text(line))
    told = [(str(param.metavar or param.name), param.help) for param in arguments if getattr(param, "help", None)]
    if told:
        yield ".Bl -tag -width Ds"
        for shown, what in told:
            yield from (f".It {'Ar ' + _macro(shown) if ' ' in shown else _argument(shown)}", _text(what))
        yield ".El"
    yield from _options(params)
    if topic := OF_EACH.get(name):
        yield f".Sh {'OUTPUT' if topic == 'templates' else 'DETAILS'}"
        yield from _shown(topic)
    yield ".Sh EXIT STATUS"
    yield from ("The codes and what they mean for money are in", f".{_page('wan')} .")
    yield from _examples(name)
    yield from (".Sh SEE ALSO", f".{_page('wan')}")


def _argument(word: str) -> str:
    """Return an argument as mdoc has it: ``[TASK...]`` may be left out, ``FILE...`` may be repeated."""
    inner = word.strip("[]")
    more = " ..." if inner.endswith("...") else ""
    shown = f"Ar {_macro(inner.removesuffix('...'))}{more}"
    return f"Op {shown}" if word.startswith("[") else shown


def _options(params: list[Any]) -> Iterator[str]:
    options = [param for param in params if param.param_type_name == "option" and not param.hidden]
    yield from (".Sh OPTIONS", ".Bl -tag -width Ds")
    for param in options:
        names = sorted([*param.opts, *param.secondary_opts], key=lambda name: (name.startswith("--"), name))
        flags = " , ".join(f"Fl {_macro(name[1:])}" for name in names)
        value = "" if param.is_flag else f" Ar {_macro(str(param.metavar or 'N'))}"
        yield from (f".It {flags}{value}", _text(param.help or ""))
        if not param.is_flag and param.default not in (None, ""):
            yield _text(f"The default is {param.default}.")
        if param.multiple:
            yield "It may be given several times."
    yield ".El"


def _examples(name: str) -> Iterator[str]:
    yield from (".Sh EXAMPLES", ".Bd -literal -offset indent", *map(_verbatim, EXAMPLES[name]), ".Ed")


def _shown(topic: str) -> Iterator[str]:
    """Show a topic of ``wan help`` as it is."""
    from wan_cli.cli.topics import TOPICS as KNOWN

    lines = KNOWN[topic]().rstrip("\n").splitlines()
    yield from (".Bd -literal", *map(_verbatim, lines), ".Ed")


def _see(names: list[str]) -> Iterator[str]:
    *most, last = sorted(names)
    yield from (f".{_page(name)} ," for name in most)
    yield f".{_page(last)}"


def _page(name: str) -> str:
    """Return another page's name. ``Xr`` would be right, but mandoc would miss each page that is not installed."""
    return f"Sy {_escaped(name)} Ns (1)"


def _paragraph(text: str) -> Iterator[str]:
    """Yield a paragraph, each sentence on a line of its own, as mdoc wants it."""
    yield from ([] if text[0].islower() else [".Pp"])
    yield from _text(text).splitlines()


def _escaped(text: str) -> str:
    """Escape what roff reads as its own: backslash, and the hyphen that would become a dash."""
    return text.replace("\\", "\\e").replace("-", "\\-")


def _text(text: str) -> str:
    """Return running text: one sentence a line, none beginning as a request would."""
    sentences = re.split(r"(?<=[.!?:]) (?=[A-Z{])", text.strip())
    lines = [line for each in map(_escaped, sentences) for line in textwrap.wrap(each, WIDTH, break_on_hyphens=False)]
    return "\n".join(f"\\&{line}" if line[:1] in ".'" else line for line in lines)


_SPELLED = str.maketrans({"'": r"\(aq", "`": r"\(ga", "^": r"\(ha", "~": r"\(ti"})
"""What roff would set as another character (mandoc_char(7))."""


def _verbatim(line: str) -> str:
    shown = _escaped(line.rstrip()).translate(_SPELLED)
    return f"\\&{shown}" if shown.startswith((".", "\\(aq")) else shown


def _macro(word: str) -> str:
    """Return a word as a macro's argument: quoted where it has blanks, marks at its end kept from standing apart."""
    shown = _escaped(word).replace('"', "\\(dq")
    return f'"{shown}"' if " " in shown or shown in {"|", ".", ",", ":", ";", "(", ")", "[", "]", "?", "!"} else shown


def write(folder: Path = FOLDER) -> None:
    """Write every page, and take away what is no page any more."""
    folder.mkdir(exist_ok=True)
    made = pages()
    for name, text in made.items():
        (folder / name).write_text(text, encoding="utf-8", newline="\n")
    for path in folder.iterdir():
        if path.name not in made:
            path.unlink()


if __name__ == "__main__":
    sys.path.insert(0, str(FOLDER.parent.parent))
    write()
