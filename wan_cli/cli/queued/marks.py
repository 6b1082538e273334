"""What a manifest is called in a queue: a mark in a file beside it, so that no two of them are taken for one another.

A path is no name: every container has a ``/src/assets.toml``, and one folder is mounted in several places. Workers
look for the same file before they do anything in a folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.errors import StateUnusable, UsageError

if TYPE_CHECKING:
    from wan_cli.ledger.postgres.roster import Place
    from wan_cli.manifest import Manifest

LARGEST = 4096
"""Bytes of such a file that are read."""


def mark_file(manifest: Path) -> Path:
    """Return where the mark of a manifest is: ``.assets.queue`` beside ``assets.toml``."""
    return manifest.with_name(f".{manifest.stem}.queue")


def identify(manifest: Manifest, *, make: bool) -> Place | None:
    """Return what a manifest is called in queues, by its file; one is made where there is none and ``make`` says so.

    Raises ``UsageError`` for a file that came with a copy of another folder, ``StateUnusable`` for one that cannot be
    read or written.
    """
    path = mark_file(manifest.path)
    with _readable(path):
        if not path.exists():
            return _made(path, manifest) if make else None
        said, inode = _said(path)
    here = _place(manifest, said["mark"], inode)
    if inode != said["inode"] and (here.root, here.host) != (said["root"], said["host"]):
        raise UsageError(
            f"{path} came with the folder {said['root']} of {said['host']}: this is a copy of it, or another way to it",
            hint=f"if it is a copy: rm {path}, and render again; else render it where it was",
        )
    return here


def mark_at(manifest: Path) -> tuple[str, str]:
    """Return mark and inode of the manifest at a path; empty where there is none, or nothing can be read."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        said, inode = _said(mark_file(manifest))
        return str(said["mark"]), inode
    return "", ""


def _said(path: Path) -> tuple[dict[str, str], str]:
    with path.open("rb") as file:
        said = json.loads(file.read(LARGEST))
        inode = str(os.fstat(file.fileno()).st_ino)
    return {name: str(said[name]) for name in ("mark", "root", "host", "inode")}, inode


def _made(path: Path, manifest: Manifest) -> Place:
    mark = secrets.token_hex(6)
    with path.open("x", encoding="utf-8") as file:
        place = _place(manifest, mark, str(os.fstat(file.fileno()).st_ino))
        json.dump({"mark": mark, "root": place.root, "host": place.host, "inode": place.inode}, file)
        file.write("\n")
        file.flush()
        os.fsync(file.fileno())
    return place


def _place(manifest: Manifest, mark: str, inode: str) -> Place:
    from wan_cli.ledger.postgres.roster import Place

    name = os.path.relpath(os.path.realpath(manifest.path.parent), os.path.realpath(manifest.root))
    return Place(
        mark, str(manifest.root), (Path(name) / manifest.path.name).as_posix(), socket.gethostname(), inode
    )  # fmt: skip


@contextlib.contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StateUnusable(f"{path} cannot be read or written: {error.strerror}", hint="check its folder") from error
    except (ValueError, KeyError, TypeError) as error:
        hint = f"rm {path} when nothing of it is queued any more: wan status --queue"
        raise StateUnusable(f"{path} is damaged", hint=hint) from error
