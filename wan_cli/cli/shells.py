"""What bash, zsh and fish run at TAB, and how the answers are written for each.

typer asks the commands. Its own scripts for the shells lose what follows a colon (``16:9``, ``rivya:task_…``) or an
equals sign in bash, and its answers for zsh and fish load rich; so both are written here. Its protocol is kept: a
script of its own that somebody has installed goes on working in bash and zsh.
"""

from __future__ import annotations

import re
import shlex
from typing import TYPE_CHECKING

from typer import _completion_shared
from typer._click.shell_completion import add_completion_class
from typer._completion_classes import FishComplete, ZshComplete

if TYPE_CHECKING:
    from typer._click.shell_completion import CompletionItem

SCRIPTS = {
    "bash": """\
_wan_completion() {
    local line=${COMP_LINE:0:COMP_POINT} found word before
    case $line in *[[:space:]]) line="$line''" ;; esac
    word=${line##*[[:space:]]}
    # bash itself ends a word at these, and only replaces what comes after them
    before=
    [[ $word == *:* && $COMP_WORDBREAKS == *:* ]] && before=${word%"${word##*:}"}
    COMPREPLY=()
    while IFS= read -r found; do
        [[ -n $found ]] && COMPREPLY+=("${found#"$before"}")
    done < <(COMP_WORDS=$line COMP_CWORD=-1 _WAN_COMPLETE=complete_bash "$1" 2>/dev/null)
    return 0
}

complete -o default -F _wan_completion wan
""",
    "zsh": """\
#compdef wan

_wan_completion() {
  local answer="$(_TYPER_COMPLETE_ARGS="${words[1,$CURRENT]}" _WAN_COMPLETE=complete_zsh "${words[1]}" 2>/dev/null)"
  [[ ${words[CURRENT]} == --*=* ]] && compset -P '*='
  eval "$answer"
}

# called by the first TAB where this file is a function of the fpath, else sourced
if [[ ${funcstack[1]} == _wan ]]; then
  _wan_completion "$@"
else
  compdef _wan_completion wan
fi
""",
    "fish": """\
function __wan_complete
    set -l words (commandline -cp | string collect)
    set -l found (env _WAN_COMPLETE=complete_fish _TYPER_COMPLETE_ARGS="$words" wan 2>/dev/null)
    if set -q found[1]; and test -n "$found[1]"
        printf '%s\\n' $found
    else
        __fish_complete_path (commandline -ct)
    end
end

complete --command wan --no-files --arguments '(__wan_complete)'
""",
}
"""The files of ``completions/``: what a shell sources."""


class _Zsh(ZshComplete):
    """Answers as code that zsh evaluates: every value and its help quoted."""

    def complete(self) -> str:
        """Return a call of ``_describe`` with all that fits, or of ``_files`` where nothing does."""
        items = self.get_completions(*self.get_completion_args())
        if not items:
            return "_files"
        return f"local -a found; found=({' '.join(map(self.format_completion, items))}); _describe value found"

    def format_completion(self, item: CompletionItem) -> str:
        """Write ``value:help``; a colon or backslash of the value is escaped (zshcompsys, ``_describe``)."""
        value = str(item.value).replace("\\", "\\\\").replace(":", "\\:")
        return shlex.quote(f"{value}:{_line(item.help)}" if item.help else value)


class _Fish(FishComplete):
    """Answers as lines: value, tab, help."""

    def complete(self) -> str:
        """Return all that fits; fish wants whole words, so ``--size=2`` is answered with ``--size=2K``."""
        args, incomplete = self.get_completion_args()
        name, equals, _ = incomplete.partition("=") if incomplete.startswith("--") else ("", "", "")
        before = name + equals if equals else ""
        return "\n".join(before + self.format_completion(item) for item in self.get_completions(args, incomplete))

    def format_completion(self, item: CompletionItem) -> str:
        """Write one line."""
        return f"{item.value}\t{_line(item.help)}" if item.help else str(item.value)


def _line(text: str | None) -> str:
    return re.sub(r"\s+", " ", text or "").strip()


def register() -> None:
    """Have typer answer in these words, and ``--install-completion`` and ``--show-completion`` give these scripts."""
    add_completion_class(_Zsh, "zsh")
    add_completion_class(_Fish, "fish")
    for shell, script in SCRIPTS.items():
        _completion_shared._completion_scripts[shell] = script.replace("%", "%%")  # noqa: SLF001 - no other way
