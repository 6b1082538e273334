"""``in_flight`` and ``per_minute`` of a provider's table: whose limits they are, alone and with other machines."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from wan_cli.cli.gates import gates_of
from wan_cli.config.settings import load
from wan_cli.engine.pace import Pace
from wan_cli.engine.shared_pace import SharedPace
from wan_cli.engine.signals import Signal
from wan_cli.errors import ConfigInvalid


def gate(folder: Path, table: str, *, limits: object = None, submits: int = 4) -> Any:
    """Return the gate of Rivya under a configuration."""
    path = folder / "config.toml"
    path.write_text(f"[providers.rivya]\n{table}", encoding="utf-8")
    path.chmod(0o600)
    app: Any = SimpleNamespace(config=load({"WAN_CONFIG": str(path), "HOME": str(folder)}, folder))
    engine: Any = SimpleNamespace(
        ledger=SimpleNamespace(limits=limits), submits=submits, monotonic=lambda: 1.0, stop=Signal()
    )
    return gates_of(app)(engine, "rivya")


@pytest.mark.parametrize(
    ("table", "most", "per_minute"),
    [
        ("", 4, None), ("in_flight = 2", 2, None), ("in_flight = 90", 4, None),
        ("per_minute = 30", 4, 30.0), ("in_flight = 3\nper_minute = 0.5", 3, 0.5),
    ],
)  # fmt: skip
def test_a_process_alone_keeps_to_both(tmp_path: Path, table: str, most: int, per_minute: float | None) -> None:
    """The smaller of what may be under way and ``--jobs``; and no more a minute than is said."""
    found = gate(tmp_path, table)
    assert isinstance(found, Pace)
    assert (found.most, found.per_minute, found.now()) == (most, per_minute, 1.0)


@pytest.mark.parametrize(
    ("table", "submits", "most"), [("", 4, 64), ("", 200, 200), ("in_flight = 7", 200, 7), ("in_flight = 900", 4, 900)]
)
def test_with_other_machines_they_are_of_all_workers(tmp_path: Path, table: str, submits: int, most: int) -> None:
    """What may be under way is said for all; each worker has its own ``--jobs`` beside it."""
    found = gate(tmp_path, f"{table}\nper_minute = 5", limits=object(), submits=submits)
    assert isinstance(found, SharedPace)
    assert (found.own, found.most, found.per_minute) == (submits, most, 5.0)


@pytest.mark.parametrize("table", ["in_flight = 0", "in_flight = 1.5", "per_minute = 0", "per_minute = inf"])
def test_a_limit_that_is_none_is_refused(tmp_path: Path, table: str) -> None:
    """Nothing could be bought under it, or nobody knows what is meant."""
    with pytest.raises(ConfigInvalid, match=r"providers\.rivya\."):
        gate(tmp_path, table)
