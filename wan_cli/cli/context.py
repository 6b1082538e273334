"""The composition root: everything a command needs is made here, once, and only when it is asked for."""

from __future__ import annotations

import functools
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wan_cli import errors
from wan_cli.dataclass import dataclass, field
from wan_cli.errors import ConfigInvalid, UsageError, WanError
from wan_cli.ui.streams import Streams

if TYPE_CHECKING:
    import httpx

    from wan_cli.catalog import Model, Price
    from wan_cli.cli.options import Faults
    from wan_cli.config import Account, Config
    from wan_cli.engine import Service
    from wan_cli.ledger import Ledger
    from wan_cli.models import Task
    from wan_cli.sandbox.faults import Fault
    from wan_cli.sandbox.world import World


@dataclass(kw_only=True)
class App:
    """One run of the command line. Streams, environment, folder and clock come in from outside."""

    streams: Streams
    env: Mapping[str, str]
    cwd: Path
    now: Callable[[], float] = time.time
    engine_parts: dict[str, Any] = field(default_factory=dict)
    """Clock, sleep and randomness for the engine, where a test replaces them."""
    world_parts: dict[str, Any] = field(default_factory=dict)
    stdin: Any = None
    sandbox: bool = False
    faults: tuple[Fault, ...] = ()
    """What goes wrong in the sandbox, in the order in which it was asked for."""
    quiet: bool = False
    command: str = ""
    words: tuple[str, ...] = ()
    """The command line."""
    ended: Sequence[Task] = ()
    """The tasks that the command is about, once it is through with them."""
    say_json: str = ""
    buying: bool = False
    """A purchase may be under way: what Ctrl-C ends from here on may have cost something."""
    queue: str | None = None
    """The address of the ledger that several machines share, where the command is about that one."""
    _ledger: Ledger | None = None
    keys: dict[str, str] = field(default_factory=dict)
    """The keys that this run knows, by provider."""

    @classmethod
    def standard(cls) -> App:
        """Build it from the process."""
        try:
            cwd = Path.cwd()
        except OSError:
            cwd = Path(os.environ.get("PWD", "/"))
        return cls(streams=Streams.standard(), env=os.environ, cwd=cwd, stdin=sys.stdin)

    @functools.cached_property
    def config(self) -> Config:
        """The effective settings. Raises ``ConfigInvalid``."""
        from wan_cli.config import load
        from wan_cli.registry import forget_added

        config = load(self.env, self.cwd)
        forget_added()
        if config.tables:
            from wan_cli.config.providers import register

            register(config)
        return config

    def use(self, *, sandbox: bool, quiet: bool = False, play: Faults | None = None) -> None:
        """Take the flags; what the environment adds is announced on every run (interface.md, section 7).

        Raises ``UsageError`` for a fault that is none, and for ``--fault`` and ``--latency`` without the sandbox.
        """
        self.quiet = quiet
        self.sandbox = self.config.sandbox or sandbox  # read in any case: it brings providers of its own
        if self.sandbox and not sandbox:
            self.streams.say("sandbox: WAN_SANDBOX is set; nothing is bought")
        asked = [] if play is None else play.fault or []
        latency = None if play is None else play.latency
        if not self.sandbox:
            if asked or latency is not None:
                raise UsageError("--fault and --latency are for the sandbox", hint="add --sandbox")
            return
        if latency is not None:
            self.world_parts = {**self.world_parts, "latency": latency}
        self._take_faults(asked)

    def _take_faults(self, asked: list[str]) -> None:
        """Read the faults of the flags and of the environment; the ``*TIMES`` of a flag count from this command on."""
        everywhere = self.env.get("WAN_SANDBOX_FAULTS", "")
        if not (asked or everywhere):
            return
        from wan_cli.sandbox.faults import Tally, parse_all

        own = parse_all(asked)
        self.faults = own + parse_all([everywhere])
        if everywhere.strip():
            told = " ".join(map(str, self.faults[len(own) :]))
            self.streams.say(f"sandbox: WAN_SANDBOX_FAULTS is set: {told}")
        if own:
            Tally(self._world_folder).start_over(own)

    @property
    def _world_folder(self) -> Path:
        return self.state / "world"

    def talk(self, line: str) -> None:
        """Say something that ``--quiet`` leaves out."""
        if not self.quiet:
            self.streams.say(line)

    @property
    def state(self) -> Path:
        """The state folder; the sandbox has one of its own inside."""
        from wan_cli.config import state_folder

        folder = state_folder(self.env)
        return folder / "sandbox" if self.sandbox else folder

    @property
    def ledger(self) -> Ledger:
        """The ledger of the state folder, or that of the queue. Raises ``StateUnusable``."""
        if self._ledger is None:
            from wan_cli.ledger import Ledger

            if self.sandbox:
                self.private(self.state.parent)
            how: Any = {"store_prompts": self.config.store_prompts, "clock": self.now}
            self._ledger = Ledger.open_url(self.queue, **how) if self.queue else Ledger.open(self.state, **how)
        return self._ledger

    def private(self, folder: Path) -> None:
        """Make a folder of the state, and the state folder above it, for this user alone whatever the umask."""
        from wan_cli.config import state_folder
        from wan_cli.ledger.folder import aside

        top = state_folder(self.env)
        try:
            for place in (top, *(each for each in (*reversed(folder.parents), folder) if top in each.parents)):
                place.mkdir(mode=0o700, parents=True, exist_ok=True)  # a mode is for the last folder only
        except OSError as error:
            message = f"the state folder {folder} cannot be made: {error.strerror}"
            raise errors.StateUnusable(message, hint=aside(folder)) from error

    @functools.cached_property
    def world(self) -> World:
        """The sandbox's tasks and files."""
        from wan_cli.sandbox.world import World

        return World(self._world_folder, **self.world_parts)

    def account(self, provider: str) -> Account:
        """Return base URL and key of a provider; the sandbox has its own key and needs none of the user's."""
        from wan_cli.config import Account, Key, account

        if not self.sandbox:
            return account(provider, self.config)
        from wan_cli.config.keys import origin_of
        from wan_cli.registry import ORDER, capabilities
        from wan_cli.sandbox.transport import CONTRACTS

        offered, table = capabilities(provider), self.config.tables.get(provider)
        if offered.contract not in CONTRACTS:
            raise UsageError(f"the sandbox does not play {provider}", hint=f"use -p {ORDER[0]}")
        key = Key("the sandbox", origin_of(offered.base_url), lambda: CONTRACTS[offered.contract].KEY)
        quirks = table.quirks if table else {}
        return Account(provider=provider, base_url=offered.base_url, base_source="the sandbox", key=key, quirks=quirks)

    def has_key(self, provider: str) -> bool:
        """Tell whether there is a key for the provider."""
        account = self.account(provider)
        return account.key is not None or account.open

    def secret(self, provider: str) -> str:
        """Return the provider's key, read once."""
        if provider not in self.keys:
            self.keys[provider] = self.account(provider).secret()
        return self.keys[provider]

    @property
    def keys_read(self) -> frozenset[str]:
        """The keys that this run has read, for what must not show them."""
        return frozenset(self.keys.values())

    def key_print(self, provider: str) -> str:
        """Return a fingerprint of the key, so that a task of another account is noticed (reliability.md T11)."""
        import hmac

        return hmac.digest(b"wan key print", self.secret(provider).encode(), "sha256").hex()[:8]

    def price(self, model: Model) -> Price | None:
        """Return what a model costs where it would be bought; ``None`` is unknown."""
        from wan_cli.cli.pricing import price_of

        return price_of(self, model)

    def provider(self, name: str) -> Any:
        """Build a provider's adapter. Raises ``ConfigInvalid`` for a quirk it does not know."""
        from wan_cli.cli.gateways import with_learnt
        from wan_cli.providers import load

        account, adapter = self.account(name), load(name)
        if wrong := adapter.quirk_fault(account.quirks):
            raise ConfigInvalid(f"[providers.{name}] {wrong}", hint=f"edit {self.config.user_file}")
        return adapter(account.base_url, with_learnt(self, account, adapter))

    def service(self, name: str) -> Service:
        """Build a provider's adapter with the clients bound to its origin."""
        from wan_cli.download import Elsewhere, Fetcher, result_client
        from wan_cli.engine import Service
        from wan_cli.transport.client import Api, tls_context

        provider = self.provider(name)
        api = Api(
            provider.origin, lambda: self.secret(name), transport=self._wire(name),
            elsewhere=lambda: Elsewhere(provider.origin, tls_context),
            **self.engine_parts.get("api", {}),
        )  # fmt: skip
        wire = self._wire("results")
        results = functools.cache(lambda: result_client(tls_context, transport=wire))

        async def close() -> None:
            await api.close()
            if results.cache_info().currsize:
                await results().aclose()

        fetcher = Fetcher(
            api_origin=provider.origin, client=results, with_key=api.fetch, check_addresses=wire is None,
            **self.engine_parts.get("fetcher", {}),
        )  # fmt: skip
        return Service(provider, api, fetcher, close)

    def _wire(self, contract: str) -> httpx.AsyncBaseTransport | None:
        if not self.sandbox:
            return None
        from wan_cli.registry import capabilities
        from wan_cli.sandbox.transport import InProcess

        waits = {name: part for name, part in self.engine_parts.items() if name == "sleep"}
        own = contract if contract == "results" else capabilities(contract).contract
        return InProcess(self.world, own, faults=self.faults, **waits)

    def emit(self, tasks: list[dict[str, Any]], error: WanError | None, code: int, **extra: Any) -> int:
        """Print the one JSON document."""
        from wan_cli.ui.document import document, dumps

        self.streams.out(dumps(document(self.command, tasks, error, code, ok=code == 0, extra=extra)))
        return code

    def summary(self, tasks: Sequence[Task], error: WanError | None, code: int, **extra: Any) -> int:
        """Print the last line of the event stream."""
        from wan_cli.ui.document import jsonl_line
        from wan_cli.ui.jsonl import summary_event

        self.streams.out(jsonl_line(summary_event(self.command, tasks, error, code, ok=code == 0, **extra)))
        return code

    def fail(self, error: WanError) -> int:
        """Print an error that ended the command before, or beside, its tasks; return the exit code."""
        from wan_cli.cli.hints import onward
        from wan_cli.ui.messages import say_error

        error.hint = onward(error, sandbox=self.sandbox, queue=self.queue)
        if self.say_json == "json":
            self.emit([], error, error.exit_code)
        elif self.say_json == "jsonl":
            self.summary([], error, error.exit_code)
        say_error(self.streams, error)
        return self.finish(error.exit_code)

    def finish(self, code: int) -> int:
        """Close what was opened. A reader of standard output that went away is 141."""
        if self._ledger is not None:
            self._ledger.close()
            self._ledger = None
        if self.streams.stdout_broken:
            return 141
        if self.streams.stdout_error is not None and code == 0:
            from wan_cli.cli.unwritten import unwritten

            return self.fail(unwritten(self))
        return code
