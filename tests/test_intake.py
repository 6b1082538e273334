"""Files of others are read only where they are files, and only up to a size."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from wan_cli.intake import TooLarge, digest_of, read_regular


@pytest.mark.parametrize("size", [0, 1, 9, 10])
def test_up_to_the_limit(tmp_path: Path, size: int) -> None:
    """A file of at most that size is read whole."""
    (tmp_path / "file").write_bytes(b"x" * size)
    assert read_regular(tmp_path / "file", 10) == b"x" * size


def test_beyond_the_limit(tmp_path: Path) -> None:
    """A larger one is refused with both figures told."""
    (tmp_path / "file").write_bytes(b"x" * 11)
    with pytest.raises(TooLarge, match="larger than 10 bytes"):
        read_regular(tmp_path / "file", 10)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="files that do not know their size are Linux's")
def test_a_file_that_does_not_know_its_size() -> None:
    """Where the file system says 0 bytes, what is there is read all the same."""
    assert read_regular(Path("/proc/self/status"), 1 << 20).startswith(b"Name:")


def test_digest(tmp_path: Path) -> None:
    """The digest is that of the content; of what is no file, is missing, or cannot be named, there is none."""
    (tmp_path / "file").write_bytes(b"content")
    assert digest_of(tmp_path / "file") == hashlib.sha256(b"content").hexdigest()
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "missing", "a\0b", "\udcff\ud800", "."):
        assert digest_of(str(tmp_path / name)) is None
