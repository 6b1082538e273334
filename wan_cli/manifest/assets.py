"""What a manifest says, once it is read: assets with their requests, and where each stands in the file."""

from __future__ import annotations

import hashlib
import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from wan_cli.dataclass import dataclass, field
from wan_cli.models import Verb

MEDIA = ("images", "mask", "first_frame", "last_frame", "first_clip", "audio", "voice")
"""Fields that hold references; ``images`` holds several."""
_TARGET = {"output", "convert", "sidecar", "poster", "embed"}
WHERE = frozenset({*_TARGET, "strict", "route", "shrink_references"})
"""Fields that say where a result goes and how it is asked for, not what it is: changing one makes nothing stale."""
_APART = WHERE | {"provider", *MEDIA}
NOTHING: Mapping[str, Any] = MappingProxyType({})
"""What most assets have of most things: one for all of them, and nothing can be put into it."""


@dataclass(frozen=True, slots=True)
class Reference:
    """One input of an asset: another asset's output, a file below the root, or an address."""

    kind: Literal["asset", "file", "url"]
    value: str

    def __str__(self) -> str:
        """Return it as it is written in a manifest."""
        return f"@{self.value}" if self.kind == "asset" else self.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Asset:
    """One asset with defaults and matrix applied. ``line`` counts from 1; ``fields`` is what the manifest states.

    ``fields`` has neither ``id``, ``matrix``, ``prompt_file`` (its text is ``prompt``) nor what nobody said. It has
    slots, for a run holds ten thousand of them; ``needs`` are the ids of the assets whose outputs this one uses, each
    once, in order.
    """

    id: str
    verb: Verb
    fields: Mapping[str, Any]
    references: Mapping[str, tuple[Reference, ...]] = field(default_factory=lambda: NOTHING)
    line: int = 0
    needs: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _request: str = field(default="", init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Work out once what is asked for again and again."""
        named = (one.value for found in self.references.values() for one in found if one.kind == "asset")
        object.__setattr__(self, "needs", tuple(dict.fromkeys(named)))

    @property
    def prompt(self) -> str:
        """The prompt, line ends normalised."""
        return str(self.fields["prompt"])

    @property
    def output(self) -> str:
        """The output template as stated, or the default: the id beside the manifest."""
        return str(self.fields.get("output") or "{id}{ext}")

    @property
    def stated(self) -> dict[str, Any]:
        """The request as the manifest states it: what has to change for the asset to be stale.

        References stand there as they are written; the content of each is hashed apart. Who makes it is apart too: a
        further name in a list of providers changes nothing that was made (:attr:`providers`). One result is what
        nobody needs to say.
        """
        said = {name: value for name, value in self.fields.items() if name not in _APART}
        if said.get("count") == 1:
            del said["count"]
        for name, found in self.references.items():
            said[name] = [str(one) for one in found]
        return {"verb": self.verb, **dict(sorted(said.items()))}

    @property
    def request(self) -> str:
        """The sha256 of :attr:`stated`, in hex, worked out once."""
        if not self._request:
            text = json.dumps(self.stated, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
            object.__setattr__(self, "_request", hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest())
        return self._request

    @property
    def providers(self) -> tuple[str, ...]:
        """Who may make it, in order of preference; nobody where the manifest names none."""
        return tuple(self.fields.get("provider") or ())

    @property
    def count(self) -> int:
        """How many results are asked for."""
        return int(self.fields.get("count") or 1)


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """A manifest's file, its root (nothing outside is read or written), and its assets by id, in the file's order."""

    path: Path
    root: Path
    assets: Mapping[str, Asset]
    typed: tuple[str, ...] = ()
    """How the call named it: the file as a person would type it here, and options that belong to it (``--root``)."""
    part: tuple[str, ...] = ()
    """What of it the call is about (``--only``, ``--shard``), and what that may cost."""
    home: str = ""
    """The folder in a store that the outputs are below, where they are not below the root."""

    def place(self, name: str) -> str:
        """Return where an output is whose name below the root, with ``/``, this is."""
        return self.home + name if self.home else str(self.root / name)

    def where(self, asset: Asset) -> str:
        """Return ``assets.toml:12``, for a message about an asset."""
        return f"{self.path.name}:{asset.line}" if asset.line else self.path.name

    def command(self, *words: str, whole: bool = False) -> str:
        """Return the command line that renders it, to paste: what the call is about, or with ``whole`` all of it."""
        part = () if whole else self.part
        return shlex.join(["wan", "render", *(self.typed or (str(self.path),)), *part, *words])
