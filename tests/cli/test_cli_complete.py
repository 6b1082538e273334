"""What is offered at TAB, asked of the functions that the options name."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from support_cli import Cli

from wan_cli.cli import complete
from wan_cli.cli.main import main
from wan_cli.cli.shells import SCRIPTS
from wan_cli.ledger.offered import offered
from wan_cli.registry import BUILTIN, capabilities
from wan_cli.sandbox.faults import parse_all


def said(verb: str = "generate", **params: Any) -> Any:
    """Return a context in which these options were said before."""
    return SimpleNamespace(info_name=verb, params=params)


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Give the process an empty folder to be in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_values_are_those_of_the_provider_and_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sizes, shapes, resolutions and durations follow -p and -m, and WAN_PROVIDER where -p is not said."""
    assert complete.sizes(said(provider="rivya"), "") == ["1K", "2K"]
    assert complete.sizes(said(provider="yunwu"), "4") == ["4K"]
    assert complete.sizes(said(provider="modelverse", model="wan2.7-image"), "4") == []
    assert complete.sizes(said(provider="modelverse", model="WAN2.7-IMAGE-PRO"), "4") == ["4K"]
    assert complete.sizes(said(provider="rivya,modelverse"), "4") == ["4K"]
    assert complete.aspects(said(provider="rivya"), "16") == ["16:9"]
    assert complete.aspects(said(provider="openai"), "21") == ["21:9"]
    assert complete.resolutions(said(provider="rivya"), "7") == ["720p"]
    offers = [model.verbs["generate"].durations for model in capabilities("toapis").models]
    expected = sorted({str(length) for durations in offers for length in durations}, key=int)
    assert complete.durations(said(provider="toapis"), "") == expected
    assert complete.audio_settings("o") == ["origin"]
    assert "4K" in complete.sizes(said(), "")
    monkeypatch.setenv("WAN_PROVIDER", "rivya")
    assert complete.sizes(said(), "") == ["1K", "2K"]


def test_providers_are_a_list_too(cli: Cli) -> None:
    """After a comma the next one is offered, none twice; the user's own are offered, and have their contract's values.

    A configuration that is damaged offers nothing of its own.
    """
    assert [name for name, _ in complete.providers("")] == list(BUILTIN)
    assert [name for name, _ in complete.providers("modelverse,r")] == ["modelverse,rivya"]
    assert not complete.providers("rivya,r")
    cli.config('[providers.relay]\ncontract = "rivya"\nbase_url = "https://relay.example"\n')
    assert complete.providers("rel") == [("relay", "speaks like rivya")]
    assert complete.sizes(said(provider="relay"), "") == ["1K", "2K"]
    assert complete.sizes(said(provider="nobody"), "4") == ["4K"]
    cli.config("[providers")
    assert not complete.providers("rel")


def test_a_user_without_a_home_is_offered_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no configuration and no state folder can be, nothing of theirs is offered and nothing fails."""
    monkeypatch.setenv("WAN_CONFIG", "~nobody-of-that-name/config.toml")
    monkeypatch.setenv("WAN_STATE_DIR", "~nobody-of-that-name/state")
    assert [name for name, _ in complete.providers("rel")] == []
    assert complete.every_task(said("status"), "") == []


def test_faults_are_faults() -> None:
    """Every fault that is offered is one."""
    assert len(parse_all(complete.FAULTS)) == len(complete.FAULTS)
    assert complete.faults("drop") == ["drop-before", "drop-after"]


def test_assets_of_the_manifest(here: Path) -> None:
    """The ids of the manifest that is named are offered, matrix and all, but for what no command line should hold."""
    (here / "assets.toml").write_text(
        '[[asset]]\nid = "hero"\n[[asset]]\nid = "icon-{a}"\nmatrix = { a = ["fox", "owl", "x;y"], b = 1 }\n'
        '[[asset]]\nid = 7\n[[asset]]\nid = "$(ls)"\n',
        encoding="utf-8",
    )
    assert complete.assets(said("render"), "") == ["hero", "icon-fox", "icon-owl"]
    assert complete.assets(said("keep", into="assets.toml"), "icon-o") == ["icon-owl"]
    assert complete.assets(said("render", manifest="other.toml"), "") == []
    (here / "rows.toml").write_text("asset = 1\n", encoding="utf-8")
    assert complete.assets(said("render", manifest="rows.toml"), "") == []


def test_tasks_by_id_and_handle(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    """Open tasks are offered for wait, unknown ones for recover, all for status; each by id and handle, once."""
    words = ["-p", "rivya", "--sandbox", "--no-wait", "--latency", "3600", "--json"]
    task = cli.run("generate", "a fox", *words).task
    found = complete.open_tasks(said("wait", sandbox=True), "")
    assert [name for name, _ in found] == [task["id"], task["handle"]]
    assert found[0][1] == "pending, rivya: a fox"
    monkeypatch.setenv("WAN_SANDBOX", "1")
    assert [name for name, _ in complete.every_task(said("status"), "rivya:")] == [task["handle"]]
    assert complete.every_task(said("status", tasks=[task["id"]]), task["id"]) == []
    assert complete.unknown_tasks(said("recover"), "") == []


def test_a_ledger_that_cannot_be_read_offers_nothing(tmp_path: Path) -> None:
    """A missing, foreign or locked ledger offers nothing, is left as it is, and holds nobody up."""
    assert offered(tmp_path / "nowhere", begins="") == []
    (tmp_path / "ledger.db").write_bytes(b"SQLite format 3\0" + bytes(200))
    assert offered(tmp_path, begins="") == []
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.db"]


def test_tasks_are_read_while_another_process_writes(cli: Cli) -> None:
    """What is in the write-ahead log of a process that is at work is seen too."""
    cli.run("generate", "a fox", "-p", "rivya", "--sandbox", "--no-wait", "--latency", "3600")
    folder = Path(os.environ["WAN_STATE_DIR"]) / "sandbox"
    db = sqlite3.connect(folder / "ledger.db", isolation_level=None)
    try:
        db.execute("UPDATE task SET task_id = 'task_new'")
        assert ("rivya:task_new", "pending, rivya: a fox") in offered(folder, begins="rivya:")
        db.execute("BEGIN IMMEDIATE")
        assert offered(folder, begins="rivya:", kinds=("pending",))
    finally:
        db.close()


@pytest.mark.parametrize("shell", SCRIPTS)
def test_what_typer_shows_is_ours(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], shell: str
) -> None:
    """``--show-completion`` prints the same script as ``wan completion``."""
    monkeypatch.setattr("shellingham.detect_shell", lambda *_: (shell, shell))
    with pytest.raises(SystemExit) as end:
        main(["--show-completion"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == SCRIPTS[shell].strip()
