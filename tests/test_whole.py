"""Files that are there whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wan_cli.whole import whole


@pytest.mark.parametrize("name", ["fox.json", "é" * 120 + ".json", os.fsdecode(b"\xff.json")])
def test_it_takes_its_place_at_the_end(tmp_path: Path, name: str) -> None:
    """Until then the old file stands, the new one has a hidden name with the token, and nothing is left over."""
    path = tmp_path / name
    path.write_bytes(b"old")
    with whole(path, mode=0o600, token="k3f9x2-1-") as out:
        out.write(b"new")
        (part,) = [one for one in os.listdir(tmp_path) if one != name]  # noqa: PTH208 - names of any bytes
        assert path.read_bytes() == b"old"
        assert (part[0], part[-5:]) == (".", ".part")
        assert "k3f9x2-1-" in part
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("error", [OSError("full"), ValueError("bad"), KeyboardInterrupt()])
def test_nothing_changes_where_anything_is_raised(tmp_path: Path, error: BaseException) -> None:
    """The old file stays, and the new one goes."""
    path = tmp_path / "fox.json"
    path.write_bytes(b"old")
    with pytest.raises(type(error)), whole(path) as out:  # noqa: PT012 - raised when something was written
        out.write(b"new")
        raise error
    assert [one.read_bytes() for one in tmp_path.iterdir()] == [b"old"]


def test_a_link_is_replaced(tmp_path: Path) -> None:
    """What it leads to is not written."""
    (tmp_path / "mine").write_bytes(b"mine")
    (tmp_path / "fox.json").symlink_to(tmp_path / "mine")
    with whole(tmp_path / "fox.json", sync=True) as out:
        out.write(b"new")
    assert (tmp_path / "mine").read_bytes() == b"mine"
    assert not (tmp_path / "fox.json").is_symlink()
