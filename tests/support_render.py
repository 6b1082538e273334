"""Manifests and locks of ``wan render``, for tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from support_cli import Cli
from support_provider import Order, Say, Seen


def toml(value: Any) -> str:
    """Write a value as TOML has it."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {toml(inner)}" for name, inner in value.items()) + " }"
    return json.dumps(value)


def assets(cli: Cli, *rows: dict[str, Any], defaults: dict[str, Any] | None = None, name: str = "assets.toml") -> Path:
    """Write a manifest."""
    tables = [("[defaults]", defaults)] if defaults else []
    tables += [("[[asset]]", row) for row in rows]
    text = "\n".join(
        "\n".join([head, *(f"{field} = {toml(value)}" for field, value in row.items())]) for head, row in tables if row
    )
    return cli.write(name, f"{text}\n")


def one(name: str, **fields: Any) -> dict[str, Any]:
    """Return the row of an asset; its prompt names it."""
    return {"id": name, "prompt": f"a picture of {name}", **fields}


def block(cli: Cli, name: str | None = None, lock: str = "assets.lock") -> Any:
    """Return what the lock says of one asset, or all of it; what an asset is not in is ``None``."""
    path = cli.cwd / lock
    entries = json.loads(path.read_text(encoding="utf-8"))["assets"] if path.exists() else {}
    return entries if name is None else entries.get(name)


def prompts(cli: Cli) -> list[str]:
    """Return the prompts of the purchases that were taken, in their order."""
    return [prompt_of(order) for order in cli.provider.orders]


def prompt_of(order: Order) -> str:
    """Return the prompt of a purchase."""
    return asked_for(order.body)


def asked_for(body: Any) -> str:
    """Return the prompt in the body of a purchase, whatever the provider."""
    text = json.dumps(body)
    start = text.index("a picture of ") + len("a picture of ")
    return text[start:].partition('"')[0]


def sent(cli: Cli) -> list[str]:
    """Return the prompts of all purchases that were sent, taken or not."""
    return [asked_for(seen.json) for seen in cli.provider.asked("submit")]


def refusal(status: int, code: str = "", message: str = "no") -> Say:
    """Return a refusal in the form that the providers share."""
    return Say(status, {"error": {"code": code, "message": message}})


def answering(cli: Cli, answers: dict[str, Say]) -> None:
    """Let purchases be answered by what they ask for; those that are not named as usual."""
    usual = cli.provider._usual

    def answer(step: str, seen: Seen) -> Say:
        if step == "submit" and (said := answers.get(asked_for(seen.json))):
            if said.accept:
                usual(step, seen)
            return said
        found: Say = usual(step, seen)
        return found

    cli.provider._usual = answer


def elsewhere(cli: Cli, name: str = "other") -> None:
    """Go on as another machine: the same project, and nothing else."""
    cli.env["WAN_STATE_DIR"] = str(cli.root / f"state-{name}")
