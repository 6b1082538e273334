"""The catalogue of faults and threats, and where each is proven: ``python tests/faults/catalogue.py`` writes README.md.

A test proves a row by having its id in its name: ``test_n08_...``, ``test_h05_h07_...``; a threat's test is called
``test_threat_s5_...``. Rows and their numbers are those of the project's reliability notes.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping
from pathlib import Path

HERE = Path(__file__).resolve().parent
TESTS = HERE.parent
README = HERE / "README.md"

_ID = re.compile(r"_([nhrtdpsico]\d\d)(?=_|$)")
_THREAT = re.compile(r"_threat((?:_s\d{1,2})+)(?=_|$)")

FAULTS: Mapping[str, Mapping[str, str]] = {
    "Network": {
        "N01": "a purchase meets a closed port",
        "N02": "the host's name cannot be resolved",
        "N03": "connecting gets no answer at all",
        "N04": "the certificate is expired, self-signed, or for another host",
        "N05": "plain HTTP answers where TLS is expected",
        "N06": "the proxy is dead, wants a password, or needs an extra",
        "N07": "the connection is reset before the server reads",
        "N08": "the connection ends after the whole request, no key to repeat it under",
        "N09": "the same, with an idempotency key",
        "N10": "an asynchronous purchase gets no answer in time",
        "N11": "a synchronous purchase gets no answer in time, or a gateway's 524",
        "N12": "a kept connection is stale when a purchase would use it",
        "N13": "the connection is reset in the middle of a good answer",
        "N14": "an answer drips in byte by byte",
        "N15": "the peer does not read an upload",
        "N16": "no network for twenty minutes while polling",
        "N17": "the API answers a purchase with a redirect",
        "N18": "a captive portal answers everything with a page",
        "N19": "the first address of a host is dead, the second works",
        "N20": "large packets vanish on the way up",
    },
    "HTTP": {
        "H01": "429 with Retry-After in seconds",
        "H02": "429 with Retry-After as a date",
        "H03": "429 with a Retry-After that means nothing, or too much",
        "H04": "429 without Retry-After",
        "H05": "500 or 502 on a purchase",
        "H06": "503 on a purchase, final or not",
        "H07": "504, 520-524 or 408 on a purchase",
        "H08": "409 on a first attempt",
        "H09": "409 on a repeat under the same key",
        "H10": "401 or 403 on a purchase",
        "H11": "402, or too few credits",
        "H12": "400 or 422: validation and moderation",
        "H13": "404 or 405: this endpoint does not serve the model",
        "H14": "413 or 431: too large",
        "H15": "200 with an error inside and no id",
        "H16": "2xx with nothing inside",
        "H17": "informational answers before the real one",
        "H18": "Retry-After on a poll that succeeded",
    },
    "Answers": {
        "R01": "the answer to a purchase is no JSON",
        "R02": "the answer to a purchase is a page",
        "R03": "good JSON under another media type",
        "R04": "byte order mark, broken UTF-8, lone surrogates",
        "R05": "nesting, huge numbers, NaN, repeated names",
        "R06": "an answer without end",
        "R07": "a task id that is missing, null or a number",
        "R08": "a task id that is a path, a query or a header",
        "R09": "a poll reports a status that nobody documented",
        "R10": "a status in another spelling",
        "R11": "success without a result",
        "R12": "fewer results than asked for",
        "R13": "the same address twice, or more results than asked for",
        "R14": "Base64 of every manner",
        "R15": "escape sequences, markup and workflow commands in a message",
        "R16": "credits that are missing, negative or more than reserved",
        "R17": "two ids in one answer",
    },
    "Tasks": {
        "T01": "the provider says that the task failed",
        "T02": "a task that was known is not found any more",
        "T03": "a task is not found just after it was bought",
        "T04": "a task never ends",
        "T05": "a status goes backwards",
        "T06": "the task was cancelled, or has expired",
        "T07": "polls fail",
        "T08": "the key is refused in the middle",
        "T09": "the clock jumps",
        "T10": "a task is taken up a day later",
        "T11": "a task is taken up with another account's key",
        "T12": "hours of maintenance",
    },
    "Downloads": {
        "D01": "a signed address answers 403",
        "D02": "an address answers 404 or 410",
        "D03": "the body ends before its length",
        "D04": "half a file without a length",
        "D05": "the body stops coming",
        "D06": "the body drips",
        "D07": "a continuation that is none",
        "D08": "a page instead of a picture",
        "D09": "another type than was asked for",
        "D10": "larger than the cap, or a length that lies",
        "D11": "a compressed body that would explode",
        "D12": "a picture with too many pixels",
        "D13": "a redirect to somewhere it must not lead",
        "D14": "an address that is none of ours to fetch",
        "D15": "two results want one name, or it is taken",
        "D16": "an empty body",
        "D17": "bytes after the end of the picture",
        "D18": "the host of results is down",
        "D19": "one of several results fails",
        "D20": "two results with the same bytes",
    },
    "Process": {
        "P01": "killed before the record of sending is durable",
        "P02": "killed between the request and its answer",
        "P03": "killed after the answer, before it is durable",
        "P04": "killed while polling",
        "P05": "killed while downloading, or between name and record",
        "P06": "Ctrl-C while a purchase is under way",
        "P07": "Ctrl-C while polling",
        "P08": "SIGTERM",
        "P09": "SIGHUP",
        "P10": "the reader of standard output goes away",
        "P11": "standard output is on a full disk",
        "P12": "killed for want of memory",
        "P13": "suspended and resumed",
        "P14": "the power fails",
        "P15": "a bug after the request was sent",
    },
    "Storage and concurrency": {
        "S01": "the ledger cannot be written before a purchase",
        "S02": "the ledger cannot be written after the answer",
        "S03": "the disk is full in the middle of a download",
        "S04": "the target folder is read-only, missing or a file",
        "S05": "input/output error, quota or file size limit in the middle",
        "S06": "the target exists",
        "S07": "several processes, one ledger",
        "S08": "two machines, two ledgers, one request",
        "S09": "the ledger is locked for long",
        "S10": "the ledger is damaged",
        "S11": "the ledger is of a newer version",
        "S12": "state or configuration belongs to others, or is a link",
        "S13": "a temporary name is taken by a planted link",
        "S14": "temporary file and target are on different file systems",
        "S15": "names that some system cannot take",
        "S16": "no home, and a read-only root",
        "S17": "the clock says 1970",
        "S18": "the target folder is removed in the middle",
    },
    "Inputs": {
        "I01": "prompts in every script",
        "I02": "prompts that are too long",
        "I03": "control characters, and bytes that are no text",
        "I04": "seeds outside their range, and zero",
        "I05": "counts, sizes and shapes outside their range",
        "I06": "too many references",
        "I07": "files that are too large",
        "I08": "files that are not what their name says",
        "I09": "animated pictures",
        "I10": "CMYK, 16 bits, palettes",
        "I11": "orientation and places in the metadata",
        "I12": "half a picture",
        "I13": "a picture with too many pixels",
        "I14": "folders, pipes, devices, and files that change",
        "I15": "references by addresses that no provider can or should fetch",
        "I16": "the upload worked and the purchase did not",
        "I17": "an empty prompt",
        "I18": "the same file twice",
        "I19": "no standard input",
    },
    "Configuration": {
        "C01": "a key on the command line",
        "C02": "a key file that others can read",
        "C03": "a key with quotes, line ends, or letters that no header takes",
        "C04": "a base URL of another origin than the key's",
        "C05": "plain HTTP to somewhere else",
        "C06": "a manifest that reaches outside its folder",
        "C07": "variables and commands in a text",
        "C08": "a file that wants to choose origins, headers or targets",
        "C09": "a manifest that explodes",
        "C10": "an asset that was changed after it was bought",
        "C11": "keys in the debug log",
        "C12": "a crash with a key in its frames",
        "C13": "an entry in .netrc",
        "C14": "a .env file",
        "C15": "an estimate over the cap, or unknown",
        "C16": "a batch whose purchases are refused one after the other",
        "C17": "a finished batch without its ledger",
        "C18": "a question where nobody can answer",
    },
    "Output": {
        "O01": "escape sequences in foreign text",
        "O02": "carriage returns and bidirectional marks in foreign text",
        "O03": "markup in foreign text",
        "O04": "workflow commands in foreign text",
        "O05": "terminals that are none, dumb or narrow",
        "O06": "encodings that cannot spell what is said",
        "O07": "one document on standard output",
        "O08": "a signal, and still one valid document",
    },
}

THREATS: Mapping[str, str] = {
    "S1": "the key goes to the host of results",
    "S2": "the key follows a redirect",
    "S3": "the key goes to an origin that somebody else chose",
    "S4": "variables of the environment are drawn into requests",
    "S5": "a local file is read through a reference",
    "S6": "a server chooses where a file is written",
    "S7": "names that Windows or another normal form understands differently",
    "S8": "links and temporary files that were planted",
    "S9": "a result's address leads into the inner network",
    "S10": "compressed answers explode",
    "S11": "answers and headers without end",
    "S12": "pictures explode, and decoders have bugs",
    "S13": "an error page is saved as a picture",
    "S14": "foreign text steers the terminal",
    "S15": "foreign text steers the CI runner",
    "S16": "foreign text breaks the message that quotes it",
    "S17": "the key is in the process list or the shell's history",
    "S18": "the key is in logs, traces, documents or the ledger",
    "S19": "others can read state and configuration",
    "S20": "netrc and proxies of the environment surprise",
    "S21": "checks of certificates are turned off",
    "S22": "manifests explode",
    "S23": "spending runs away",
    "S24": "somebody edits the ledger",
    "S25": "more is uploaded than was meant",
    "S26": "the supply chain",
    "S27": "the HTTP library goes stale",
}

ABSENT: Mapping[str, str] = {}
"""Rows that cannot apply, each with the reason."""


def proofs() -> dict[str, list[str]]:
    """Return the tests of this repository by the ids in their names, as ``file::test``."""
    found: dict[str, list[str]] = {}
    for file in sorted(TESTS.rglob("test_*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_"):
                for row in ids_of(node.name):
                    found.setdefault(row, []).append(f"{file.relative_to(TESTS).as_posix()}::{node.name}")
    return found


def ids_of(name: str) -> set[str]:
    """Return the rows that a test's name claims: ``N08`` for a fault, ``threat S5`` for a threat."""
    if threats := _THREAT.search(name):
        rest = name.replace(threats[0], "", 1)
        return {f"threat {one.upper()}" for one in threats[1].split("_") if one} | ids_of(rest)
    return {one.upper() for one in _ID.findall(name)}


def _table(rows: Iterable[tuple[str, str, str]], proven: Mapping[str, list[str]]) -> list[str]:
    lines = ["| ID | fault | proven by |", "|---|---|---|"]
    for name, key, what in rows:
        tests = proven.get(key, [])
        said = "<br>".join(f"`{test}`" for test in tests) if tests else f"does not apply: {ABSENT.get(key, '?')}"
        lines.append(f"| {name} | {what} | {said} |")
    return lines


def text() -> str:
    """Return the README of this folder."""
    proven = proofs()
    lines = [
        "# Faults and threats, and what proves that they do no harm",
        "",
        "Written by `python tests/faults/catalogue.py`; a test fails where it is stale, where a row has no test",
        "and no reason, and where a test claims a row that is not here. The paths are those below `tests/`.",
        "",
        "By default the sweeps run a bounded selection. By hand, on Linux:",
        "",
        "    WAN_TEST_SWEEP=full python -m pytest -s tests/faults/test_faults_crash_sweep.py",
        "    WAN_TEST_SWEEP=full python -m pytest -s tests/faults/test_faults_errno.py",
        "    WAN_TEST_MACHINE=full python -m pytest tests/faults/test_faults_machine.py --hypothesis-show-statistics",
        "    python tests/mutation.py spend transport ledger engine --most 100 --seed 7",
    ]
    for title, rows in FAULTS.items():
        lines += ["", f"## {title}", "", *_table(((row, row, what) for row, what in rows.items()), proven)]
    threats = ((name, f"threat {name}", what) for name, what in THREATS.items())
    lines += ["", "## Threats", "", *_table(threats, proven)]
    return "\n".join(lines) + "\n"


def rows() -> set[str]:
    """Return every id."""
    return {row for part in FAULTS.values() for row in part} | {f"threat {name}" for name in THREATS}


if __name__ == "__main__":
    README.write_text(text(), encoding="utf-8")
