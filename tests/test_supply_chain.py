"""What is installed, and what runs where a release is made: locked, pinned, and with no more rights than it needs.

The workflows are read as lines, since no YAML reader is among the tests' requirements; zizmor reads them as YAML.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).resolve().parent.parent
CI = ROOT / ".ci"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
pytestmark = pytest.mark.skipif(not CI.is_dir(), reason="this is an sdist: it has neither .ci nor workflows")

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCKED = {
    "requirements.lock": PROJECT["project"]["dependencies"] + PROJECT["project"]["optional-dependencies"]["test"],
    "container.lock": [
        *PROJECT["project"]["dependencies"],
        *PROJECT["project"]["optional-dependencies"]["sandbox"],
        *PROJECT["project"]["optional-dependencies"]["yaml"],
        *PROJECT["project"]["optional-dependencies"]["distributed"],
    ],
    "release.lock": PROJECT["dependency-groups"]["release"],
    "audit.lock": PROJECT["dependency-groups"]["audit"],
}
"""Each lock file, and the requirements it was made from."""


@dataclass(frozen=True)
class Pin:
    """One version in a lock file: where it applies, its hashes, and the line that says who asked for it."""

    name: str
    version: Version
    marker: Marker | None
    hashes: frozenset[str]
    direct: bool


def _pins(text: str) -> list[Pin]:
    found = []
    for block in re.split(r"(?m)^(?=[a-z0-9])", text)[1:]:
        head, _, rest = block.partition(" \\\n")
        requirement = Requirement(head)
        (exact,) = requirement.specifier
        assert exact.operator == "==", head
        hashes = frozenset(re.findall(r"(?m)^    --hash=sha256:([0-9a-f]{64})(?: \\)?$", rest))
        direct = re.search(r"# +(?:via )?wan-cli[ :(]", rest) is not None
        name = canonicalize_name(requirement.name)
        found.append(Pin(name, Version(exact.version), requirement.marker, hashes, direct))
    return found


def _stale(text: str, requirements: list[str]) -> list[str]:
    """Say in words where a lock file is not one of these requirements; nothing where it is."""
    pins, wrong = _pins(text), []
    wanted = {canonicalize_name(wish.name): wish for wish in map(Requirement, requirements)}
    wrong += [f"{name} is required and not locked" for name in wanted.keys() - {pin.name for pin in pins}]
    wrong += [f"{pin.name} is locked for us and not required" for pin in pins if pin.direct and pin.name not in wanted]
    wrong += [f"{pin.name} {pin.version} has no hash" for pin in pins if not pin.hashes]
    for pin in pins:
        wish = wanted.get(pin.name)
        if wish is not None and pin.version not in wish.specifier:
            wrong.append(f"{pin.name} {pin.version} is locked, and {wish} required")
    return wrong


@pytest.mark.parametrize("name", LOCKED)
def test_threat_s26_the_lock_is_of_what_is_required(name: str) -> None:
    """Every requirement is locked by version and hash, in a version that it allows; nothing else is locked for us."""
    assert _stale((CI / name).read_text(encoding="utf-8"), LOCKED[name]) == [], "run .ci/lock"


@pytest.mark.parametrize(
    ("found", "instead", "said"),
    [
        (r"(?m)^httpx==[\d.]+", "httpx==0.27.0", "httpx 0.27.0 is locked, and httpx<0.29,>=0.28 required"),
        (r"(?ms)^pyte==.*?\n(?=[a-z])", "", "pyte is required and not locked"),
        (r"(?ms)^rich==\S+ \\\n.*?\n    #", "rich==99 \\\\\n    #", "rich 99 has no hash"),
        (r"# via typer", "# via wan-cli (pyproject.toml)", "annotated-doc is locked for us and not required"),
    ],
)
def test_a_stale_lock_is_seen(found: str, instead: str, said: str) -> None:
    """A version too old, a missing package, a missing hash and a forgotten package each fail the test above."""
    text = (CI / "requirements.lock").read_text(encoding="utf-8")
    changed, count = re.subn(found, instead, text, count=1)
    assert count == 1
    (wrong,) = _stale(changed, LOCKED["requirements.lock"])
    assert wrong.startswith(said)


@pytest.mark.parametrize("name", LOCKED)
def test_threat_s26_a_lock_names_no_place(name: str) -> None:
    """A lock says by which command it was made, the one of ``.ci/lock``, and names no index, address or folder."""
    lines = (CI / name).read_text(encoding="utf-8").splitlines()
    made = (CI / "lock").read_text(encoding="utf-8")
    how = re.search(rf"(?m)^uv pip compile (.*) \"\${{how\[@\]}}\" \"\$@\" -o \.ci/{name}$", made)
    flags = re.search(r"(?m)^how=\(--quiet (.*)\)$", made)
    assert how is not None
    assert flags is not None
    assert lines[1] == f"#    uv pip compile {how[1]} {flags[1]} -o .ci/{name}"
    assert [line for line in lines if re.search(r"://|^-|file:| /", line)] == []


def test_threat_s26_nothing_is_installed_unseen() -> None:
    """Every pip of ``.ci`` demands hashes and wheels, or may ask no index, and the README's command is given none."""
    said = [
        (path.name, line)
        for path in sorted(CI.iterdir())
        if path.suffix != ".lock" and path.name != "lower"  # which is run by hand, to see versions that are not locked
        for line in path.read_text(encoding="utf-8").splitlines()
        if re.search(r"\bpip\b.* (install|download) ", line) and not line.startswith("#")
    ]
    assert {name for name, _ in said} == {"audit", "release", "run"}
    for name, line in said:
        assert "--require-hashes --only-binary :all: -r .ci/" in line or "--no-index" in line, (name, line)
    run = (CI / "run").read_text(encoding="utf-8")
    assert 'PIP_NO_INDEX=1 PIP_FIND_LINKS="$folder/wheels" bash -euo pipefail -c "$command"' in run


def test_threat_s26_importing_reaches_nothing() -> None:
    """Importing every module of the package opens no socket, looks up no name and starts no program."""
    script = """
import importlib, pkgutil, sys
def hook(event, args):
    if event.startswith(("socket.", "subprocess.", "os.system", "os.exec", "os.posix_spawn", "urllib.")):
        raise SystemExit(f"{event} {args}")
import wan_cli
names = [found.name for found in pkgutil.walk_packages(wan_cli.__path__, "wan_cli.")]
sys.addaudithook(hook)
for name in names:
    if not name.endswith("__main__"):
        importlib.import_module(name)
print(len(names))
"""
    ran = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert int(ran.stdout) > 50


# The workflows.


def _jobs(text: str) -> dict[str, str]:
    """Return each job's lines by its name."""
    parts = re.split(r"(?m)^  ([a-z]+):\n", text.partition("\njobs:\n")[2])
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _permissions(job: str) -> dict[str, str]:
    """Return what a job may do; it has to state that, each right with its reason."""
    block = re.search(r"(?m)^    permissions:\n((?:      .*\n)+)", job)
    assert block is not None, job
    lines = [re.fullmatch(r"      ([a-z-]+): (read|write) # \S.*", line) for line in block[1].splitlines()]
    assert None not in lines, block[1]
    return {line[1]: line[2] for line in lines if line}


def test_the_workflows_are_these() -> None:
    """Tests at every push, an audit every week, a release at a tag."""
    assert [path.name for path in WORKFLOWS] == ["audit.yml", "ci.yml", "release.yml"]


def test_threat_s26_every_action_is_pinned() -> None:
    """Every action is named by a full commit with its version beside it, and by one commit everywhere."""
    lines = [line for path in WORKFLOWS for line in path.read_text(encoding="utf-8").splitlines() if "uses:" in line]
    pinned = [re.fullmatch(r" +(?:- )?uses: ([\w/-]+)@([0-9a-f]{40}) # (v\d+\.\d+\.\d+)", line) for line in lines]
    assert None not in pinned, lines
    assert len({match.groups() for match in pinned if match}) == len({match[1] for match in pinned if match})


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_threat_s26_no_workflow_has_more_rights_than_it_needs(path: Path) -> None:
    """Each job states its own rights with their reasons, no pull request runs with more, and no secret is stored."""
    text = path.read_text(encoding="utf-8")
    assert "\npermissions: {}\n" in text
    assert not re.search(r"pull_request_target|workflow_run|write-all|secrets\.|self-hosted", text)
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")
    for job in _jobs(text).values():
        _permissions(job)
        assert "\n    timeout-minutes: " in job
    runs = re.findall(r"(?m)^ +(?:- )?run: (.*)$", text)
    assert all(re.match(r"\.ci/\w+( |$)|gh release create ", run) and "${{" not in run for run in runs), runs


def test_threat_s26_who_builds_cannot_publish() -> None:
    """The release is built without cache or right to write; the job that may publish runs nothing but two actions."""
    text = next(path for path in WORKFLOWS if path.stem == "release").read_text(encoding="utf-8")
    jobs = _jobs(text)
    assert {name: _permissions(job) for name, job in jobs.items()} == {
        "build": {"contents": "read"},
        "attest": {"attestations": "write", "id-token": "write"},
        "publish": {"id-token": "write"},
        "announce": {"contents": "write"},
    }
    assert not re.search(r"(?i)\bcache\b", re.sub(r"#.*", "", text))
    publish = jobs["publish"]
    assert "run:" not in publish
    assert "checkout" not in publish
    assert "environment:\n      name: pypi\n" in publish
    assert "attestations: true" in publish
    assert "password" not in publish


def test_threat_s26_zizmor_finds_nothing() -> None:
    """zizmor, which knows how workflows have been broken into, has nothing to say, even as an auditor."""
    zizmor = Path(sys.executable).with_name("zizmor")
    command = [str(zizmor), "--offline", "--no-config", "--persona", "auditor", "--no-progress", *map(str, WORKFLOWS)]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stdout + ran.stderr
