"""One loop: look at the state, take one step, save it to the ledger, tell the reporter."""

from wan_cli.engine.loop import Engine, Service

__all__ = ["Engine", "Service"]
