"""The lock file of a manifest: what was rendered from what, committed beside it (interface.md, section 6)."""

from wan_cli.lock.entry import Entry, Flight, Made
from wan_cli.lock.file import Lock
from wan_cli.lock.merge import merge
from wan_cli.lock.shard import Shard
from wan_cli.lock.text import dumps, loads

__all__ = ["Entry", "Flight", "Lock", "Made", "Shard", "dumps", "loads", "merge"]
