"""A provider from a package of its own: installed, it is one more provider, and passes the suite untouched."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
SAMPLE = TESTS / "sample_provider"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Install the sample into a folder, from a copy of its own folder and without a network."""
    root = tmp_path_factory.mktemp("sample")
    source, target = root / "source", root / "site"
    shutil.copytree(SAMPLE, source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--no-compile", "--disable-pip-version-check", "-q"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert list(target.glob("wan_sample-1.0.dist-info/entry_points.txt"))
    return target


def python(site: Path, *words: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run Python in a process that has the sample installed."""
    path = os.pathsep.join(map(str, (site, TESTS.parent, TESTS, TESTS / "providers")))
    env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, check=False, env=env, cwd=cwd, timeout=120
    )


def test_an_installed_provider_is_one_more(site: Path, tmp_path: Path) -> None:
    """``wan models``, ``--dry-run`` and the list of names have it; the sandbox says that it does not play it."""
    listed = python(site, "-m", "wan_cli", "models", "sample", cwd=tmp_path)
    assert (listed.returncode, listed.stderr) == (0, "")
    assert "sample-1" in listed.stdout
    planned = python(site, "-m", "wan_cli", "generate", "-p", "sample", "--dry-run", "a fox", cwd=tmp_path)
    assert planned.returncode == 0, planned.stderr
    assert "https://sample.example/pictures" in planned.stdout
    assert "SAMPLE_API_KEY" in planned.stdout
    unknown = python(site, "-m", "wan_cli", "generate", "-p", "nobody", "a fox", cwd=tmp_path)
    assert unknown.returncode == 2
    assert "sample" in unknown.stderr
    played = python(site, "-m", "wan_cli", "generate", "-p", "sample", "--sandbox", "a fox", cwd=tmp_path)
    assert played.returncode == 2
    assert "the sandbox does not play sample" in played.stderr


def test_it_may_be_the_contract_of_another(site: Path, tmp_path: Path) -> None:
    """``[providers.mine] contract = "sample"`` speaks the installed contract somewhere else."""
    config = tmp_path / "config.toml"
    config.write_text('[providers.mine]\ncontract = "sample"\nbase_url = "https://mine.example"\n', encoding="utf-8")
    config.chmod(0o600)
    code = (
        f"import os, sys; os.environ['WAN_CONFIG'] = {str(config)!r};"
        "sys.argv = ['wan', 'generate', '-p', 'mine', '--dry-run', 'a fox'];"
        "from wan_cli.__main__ import run; run()"
    )
    planned = python(site, "-c", code, cwd=tmp_path)
    assert "https://mine.example/pictures" in planned.stdout, planned.stderr


def test_without_the_package_it_is_unknown(tmp_path: Path) -> None:
    """Where it is not installed, the name is nobody's."""
    done = python(tmp_path / "nothing", "-m", "wan_cli", "models", "sample", cwd=tmp_path)
    assert done.returncode == 2


def test_it_passes_the_suite(site: Path, tmp_path: Path) -> None:
    """The conformance suite passes over the installed package, untouched."""
    checks = tmp_path / "check_sample.py"
    shutil.copy(SAMPLE / "check_sample.py", checks)
    options = ["-q", "-p", "no:cacheprovider", "--confcutdir", str(tmp_path), "--rootdir", str(tmp_path)]
    done = python(site, "-m", "pytest", *options, str(checks), cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout
    assert "skipped" not in done.stdout
