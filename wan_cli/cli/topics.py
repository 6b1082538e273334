"""The texts of ``wan help TOPIC``; what can be read from the code is read from it."""

from __future__ import annotations

from wan_cli.errors import UsageError
from wan_cli.text import one_line

EXIT_CODES = {
    0: "every file asked for is on disk and verified (--no-wait: every task accepted)",
    1: "a bug in wan; or what a command that buys nothing prints could not be written",
    2: "usage: flags, files, manifest, unsupported option, existing or unwritable target; nothing sent",
    3: "key or configuration missing, refused or unsafe; state folder or ledger unusable; nothing bought",
    4: "the provider rejected the request (validation, moderation, unknown model); nothing bought",
    5: "spend: no credits or quota, over a cap, consent missing or declined; nothing bought",
    6: "temporary: network, rate limit, provider down, retries used up; nothing bought",
    7: "the provider accepted the task, and it failed or was cancelled; see charged",
    8: "still running when waiting stopped; bought: wan wait HANDLE",
    9: "unknown: it may have been bought and the answer was lost; a person decides: wan recover ID",
    10: "a bought result is gone (expired, vanished)",
    11: "partial: fewer results than asked, or some tasks or assets failed",
    12: "the result could not be fetched or written; it is still at the provider: wan wait HANDLE",
    13: "render: assets are stale, missing, changed or of the sandbox; nothing bought",
    14: "--strict: the delivery differs from the request; the files are kept",
    129: "hang-up: state saved, the command that continues is printed",
    130: "Ctrl-C: state saved, the command that continues is printed",
    141: "standard output was closed early; files are saved",
    143: "SIGTERM: state saved, the command that continues is printed",
}

TEMPLATES = """\
-o/--output says where results go.

  -o fox.png                 this file; with several results fox-1.png, fox-2.png, ...
  -o out/                    into this folder, as {slug}-{id}{ext}
  -o 'out/{slug}-{index:02}{ext}'
  -o -                       the bytes of one result to standard output
  -o s3://bucket/folder/     into an object store; gs:// and az:// too (the extra [s3])

  {slug}      the prompt's letters and digits, at most 60 bytes
  {id}        the task's local id; in wan render the asset's
  {task}      in wan render: the task's local id
  {index}     1, 2, ...; {index:02} with leading zeros
  {ext}       .png, .jpg, .mp4, ...: what the bytes are
  {verb}      generate, edit, fuse or sequence
  {provider}  who made it      {model}  by its canonical name
  {seed}      as given         {date}   2026-11-21, when it was asked for

{{ and }} are literal braces. With several results and no {index}, -1, -2, ... goes before
the extension. The extension follows the bytes; --convert makes the one you named.
Existing files are never replaced without --overwrite. Missing folders are made. Names that
Windows cannot have (con, a:b, a dot at the end) are refused on every system.

A store's key comes from the environment alone: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY
and AWS_REGION; GOOGLE_APPLICATION_CREDENTIALS; AZURE_STORAGE_ACCOUNT_NAME and _KEY; or
the machine's own identity. AWS_ENDPOINT_URL leads to another server than Amazon's. What
cannot be put there waits in the state folder for wan wait.
"""

MONEY = """\
Before anything is bought, wan adds up what the catalogue says it costs, holds it
against your caps, and asks above 20 results.

  --max-cost 24credits       refuse above this (repeatable, one for each unit)
  --max-results 4            refuse more results than this
  --allow-unknown-cost       with --max-cost: buy at prices nobody knows
  --yes                      consent without a question
  [spend] ask_above = "100credits"      in the configuration: ask from there on
  [prices."modelverse/wan2.7-image"]    your own price: amount, unit, per

Every document and every error says what was charged: no, yes or unknown. A cost that
is not known is null, never 0. What may have been bought is never sent again by itself: wan recover.
"""


RENDER = """\
wan render assets.toml makes what is missing, stale or changed, nothing else.

  --plan                     what would be made, why, and for how much
  --check                    exit 13 unless all is up to date; no key or network
  --only GLOB --shard I/N    some of it
  --force  --again -n 4      anew; other takes, to choose from with wan keep
  --accept GLOB  --prune     files as they are; what the manifest no longer has
  --no-wait                  submit; the next run collects, on any machine
  --report FILE              .html contact sheet, .md job summary, .xml JUnit
  -o s3://bucket/folder/     into a store (gs:// az:// too); the lock stays here

A manifest has [defaults] and [[asset]]: the verbs' long options, and

  id                         names the asset, and {id} in its output
  verb                       generate, edit, fuse or sequence
  images                     files, https:// addresses, "@id" of another asset
  prompt_file                instead of prompt
  matrix = { a = ["x"] }     one asset for each value; {a} in any text

wan render --schema prints its JSON Schema; JSONL, CSV and YAML carry the same.

assets.lock says what was made from what. Commit it, and tell git how to merge:

  git config merge.wan.driver "wan render --merge %O %A %B"
  echo "assets.lock text eol=lf merge=wan" >> .gitattributes
  echo "assets.lock.journal text eol=lf merge=union" >> .gitattributes
  printf '*.sandbox.lock\\n*.lock.journal\\n*.part\\n' >> .gitignore

The git config is for each clone; with Git LFS: assets/** filter=lfs diff=lfs
merge=lfs -text. The lock also has what is under way. The journal beside it
holds the newest lines of a run; after a crash it stays, and the next run folds
it in. Do not delete it.

  stale      the request or a reference changed   it is rendered
  missing    no file, or never rendered           it is rendered
  open       bought, not here yet                 it is collected
  edited     changed by hand                      left alone; --accept, --force

A new wan, catalogue or provider makes nothing stale. A change of output renames
what is there; convert, sidecar, poster and embed take effect when the asset is
rendered next, and a warning says so. What wan made is replaced, what it did not
make stays, so overwrite and skip_existing are no fields; nor are no_download
and idempotency_key: each purchase has a key of its own. What is switched off is
said so: watermark = false. Only names of the matrix are replaced in texts;
other braces and every $ stay.

Who made an asset is in the lock, and makes it from then on where the manifest
names nobody. Where a render fails in part (11), the same command buys what is
still missing. After 10 (a bought result cannot be fetched any more) the
purchase stays in the lock, and later runs ask for it again; --force --only ID
buys another. A set that came with fewer results than asked stays as it is until
--force. Where two branches bought the same asset, the second result is put
beside the first. -n 4 of --again makes ID.take-1.png and so on.
"""


SEVERAL = """
Several tasks: 9, 10 or 12 if any has it; else their common code; else 11 if any failed; else 8.
wan status TASK exits by the task's state, the list with 0 (--exit-status: by the worst).
wan doctor is 0 or 3. --dry-run over a cap is 5. 9 is never sent again by itself: wan recover.
"""


def _exit_codes() -> str:
    return "Exit codes:\n\n" + "".join(f"  {code:>3}  {text}\n" for code, text in EXIT_CODES.items()) + SEVERAL


def _errors() -> str:
    from wan_cli import errors

    tree = (errors.__doc__ or "").split("::\n", 1)[1]
    return (
        "Every error prints three lines on standard error: error, charged, hint. The JSON document has the\n"
        f"same as an object. Its code is one of:\n{tree}\nWhat each means:\n\n{_meanings()}\n"
        "retry_safe is true where the same call may be repeated without paying twice, and repeating can help;\n"
        "retry_after_s says when, where the provider does.\n"
    )


def _meanings() -> str:
    """Return a line for each code, from the class that carries it."""
    import textwrap

    from wan_cli import errors

    found: dict[str, str] = {}
    for cls in errors._leaves(errors.WanError)[1:]:  # noqa: SLF001 - of the same package
        found[cls.code] = (cls.__doc__ or "").splitlines()[0].replace("``", "")
    lines = (f"  {code:<21} {meaning}" for code, meaning in found.items())
    return "".join(textwrap.fill(line, 100, subsequent_indent=" " * 24) + "\n" for line in lines)


ENVIRONMENT = """
A key of the environment goes with the environment's (or the default) base URL only. One that
wan auth set keeps goes to the origin it was set for, and is used where neither the environment
nor the configuration has one. key_command in the configuration is run without a shell (for a pipe:
["sh", "-c", "..."]), may take 30 seconds, and its first line is the key.

Settings (a flag wins; then these, the project's file, yours):

  WAN_PROVIDER WAN_MODEL WAN_OUTPUT WAN_TIMEOUT WAN_JOBS
                        as --provider, --model, --output, --timeout, --jobs
  WAN_MAX_COST          as --max-cost, which has to hold as well
  WAN_SANDBOX=1         play everything offline
  WAN_SANDBOX_FAULTS    what goes wrong there: wan help sandbox
  WAN_QUEUE             as --queue of render and worker; PGPASSWORD and ~/.pgpass have its password
  WAN_CONFIG            the configuration file
  WAN_STATE_DIR         the folder of the ledger
  WAN_PREVIEW           what --preview uses: auto, kitty, iterm2, sixel, blocks or none

Network:

  HTTPS_PROXY HTTP_PROXY ALL_PROXY NO_PROXY
                        proxies, in capitals or small letters
  SSL_CERT_FILE SSL_CERT_DIR
                        certificates to trust

Terminal:

  NO_COLOR FORCE_COLOR  no colours; colours without a terminal
  TERM=dumb CI          plain lines instead of a live board; with CI no questions either
  TERM COLORTERM TERM_PROGRAM LC_TERMINAL TMUX STY SSH_TTY SSH_CONNECTION
                        which terminal it is: what --preview may use, and how long an answer may take
  COLUMNS               the width, where it is not the terminal's
  COLORTERM TERM_PROGRAM LC_TERMINAL TMUX STY SSH_TTY SSH_CONNECTION
                        what --preview knows of the terminal before it asks it

The system's:

  HOME USERPROFILE XDG_CONFIG_HOME XDG_STATE_HOME XDG_DATA_HOME LOCALAPPDATA
                        where configuration, ledger and kept keys are, and where a project's file ends to be looked for
  TMPDIR                where a task is kept when nothing else can be written
  PWD                   the folder to work in, where the system does not tell
  WINDIR                fonts for the sandbox's captions
  GITHUB_ACTIONS GITHUB_STEP_SUMMARY GITHUB_WORKSPACE TF_BUILD
                        set by CI runners: marks on lines, a job summary, their commands disarmed

Beside these, key_env in the configuration names a variable of your own for a key.
"""


def _environment() -> str:
    from wan_cli.registry import BUILTIN, capabilities

    lines = ["Keys and base URLs:", ""]
    for name in BUILTIN:
        offered = capabilities(name)
        lines.append(f"  {offered.key_env:<20} key of {offered.title}; {offered.key_env}_FILE names a file (0600)")
        lines.append(f"  {offered.base_url_env:<20} default {offered.base_url}")
    return "\n".join([*lines, ENVIRONMENT])


SANDBOX = """\
--sandbox plays a command offline: no key, no network, no cost. wan sandbox serves the same on a port.

--fault SPEC (repeatable) and WAN_SANDBOX_FAULTS (spaces or commas between) make things go wrong, for your own tests:

  429:retry-after=2  rate limit            500          server error: what was bought is unknown
  drop-before        no answer, no order   drop-after   no answer, but the order was taken
  stall=5            an answer 5 s late    truncate     half an answer
  html               a web page instead    expired-url  a result's address that is past its time
  k-of-n             one result fewer      wrong-size   sides half as long
  jpeg-as-png        JPEG named .png       fail         the task fails
  moderation         the provider refuses the content

@RATE (0 to 1) strikes at a share of the requests, *TIMES at the first so many; /submit /poll /upload /download names
where. Without them it is every time, everywhere it applies: 500*1/submit, 429:retry-after=1@0.5, truncate/download.
A *TIMES of --fault counts from its command on, one of WAN_SANDBOX_FAULTS across commands (in the state folder).
--latency S is how long a task takes.

wan sandbox prints a key and a base URL for each provider, to be set as variables; /PROVIDER/openapi.json on its port
describes each contract. DashScope's own SDK takes one line more:
dashscope.base_http_api_url = os.environ["DASHSCOPE_BASE_URL"] + "/api/v1". As relays pass DashScope on, it is below
/alibailian and /wan instead of /dashscope.
"""


def _schema() -> str:
    import json

    from wan_cli.ui.schema import load

    return json.dumps(load(), indent=2)


def _agents() -> str:
    import pkgutil

    return (pkgutil.get_data("wan_cli", "SKILL.md") or b"").decode().replace("\r\n", "\n")


TOPICS = {
    "exit-codes": _exit_codes,
    "errors": _errors,
    "environment": _environment,
    "templates": lambda: TEMPLATES,
    "money": lambda: MONEY,
    "render": lambda: RENDER,
    "sandbox": lambda: SANDBOX,
    "schema": _schema,
    "agents": _agents,
}


def topic(name: str | None) -> str:
    """Return one topic's text, or the list of topics. Raises ``UsageError`` for an unknown one."""
    if name is None:
        return "wan help TOPIC\n\nTopics: " + ", ".join(TOPICS) + "\n\nwan COMMAND --help explains a command."
    if name not in TOPICS:
        raise UsageError(f"{one_line(name)} is not a topic; there are {', '.join(TOPICS)}", hint="wan help")
    return TOPICS[name]()
