"""The pictures, videos and sounds of a call, each with its role; and whether a picture or a video is wanted."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from wan_cli.catalog import Inputs, Offer
from wan_cli.cli.frames import check_address
from wan_cli.cli.storing import readable
from wan_cli.dataclass import replace
from wan_cli.errors import FileInvalid, UsageError
from wan_cli.media import local_file, mime_of_extension, sniff
from wan_cli.models import Kind, Media, Role, Verb
from wan_cli.pattern import pattern
from wan_cli.registry import capabilities, each_name
from wan_cli.stores import is_address
from wan_cli.text import one_line

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.options import Making

ROLES: Mapping[str, Role] = {
    "mask": "mask", "first_frame": "first_frame", "first_clip": "first_clip", "last_frame": "last_frame",
    "audio": "driving_audio", "voice": "voice",
}  # fmt: skip
"""Which option brings a medium of which role."""

NATURAL: Mapping[Role, Kind] = {"first_clip": "video", "driving_audio": "audio", "voice": "audio"}
"""The kind of what an option brings, where it is no picture."""

INTERNAL = frozenset({"localhost", "local", "internal", "intranet", "private", "corp", "home", "lan"})
"""Top levels of names that mean nothing outside (RFC 6761, RFC 6762 appendix G, ICANN's .internal)."""

OBJECT_STORE = "oss"
"""The scheme of what ``wan upload`` prints for DashScope; who takes such an address is known later (fit_video)."""

_NUMBER = pattern(r"0x[0-9a-f]*|\d+", re.ASCII)
"""A last label by which "127.1" and "0x7f.1" are addresses to most resolvers."""

VIDEO_ONLY = ("duration", "resolution", "first_frame", "last_frame", "first_clip", "audio", "voice", "audio_setting")
"""Options that only a video has: one of them chooses a video model (interface.md, section 1)."""


def wanted_kind(app: App, options: Making) -> Kind:
    """Return what is wanted: a video by the model, a video-only option or an output named so; else a picture.

    Raises ``UsageError`` where a picture's model is given a video's option.
    """
    named = options.model or app.config.get("model")
    asked = each_name() if named else ()
    offers = map(capabilities, asked)
    known = next((entry for one in offers if (entry := one.find(named or "") or one.kin(named or ""))), None)
    said = next((name for name in VIDEO_ONLY if getattr(options, name) is not None), None)
    mime = mime_of_extension(options.output or "")
    if known is None:
        return "video" if said or (mime or "").startswith("video/") else "image"
    if said and known.makes != "video":
        raise UsageError(
            f"--{said.replace('_', '-')}: {known.name} makes pictures", hint="use -m wan2.7-video"
        )  # fmt: skip
    return known.makes


def read_media(
    app: App, verb: Verb, assets: Sequence[str], options: Making, makes: Kind
) -> dict[tuple[str, str], Media]:
    """Return the media in order, by role and word: what stands before the prompt first, then what options name.

    Files are not opened yet: what they may be is known when the provider is. Raises ``UsageError``.
    """
    drafts: dict[tuple[str, str], Media] = {}
    for place, asset in enumerate(assets):
        kind = _kind(app, asset) if makes == "video" else "image"
        role: Role = "reference"
        if verb == "edit" and (makes == "image" or kind == "video"):
            role = "edit_source"
        drafts[f"{place}:{role}", asset] = _draft(asset, role, kind)
    for option, role in ROLES.items():
        if (asset := getattr(options, option)) is not None:
            drafts[role, asset] = _draft(asset, role, NATURAL.get(role, "image"))
            check_address(drafts[role, asset], asset)
    return drafts


def _kind(app: App, asset: str) -> Kind:
    """Tell a video from a picture: by the name, else by the first bytes; addresses without a name are pictures."""
    mime = mime_of_extension(asset.partition("?")[0] if "://" in asset else asset)
    if mime is None and "://" not in asset and asset != "-":
        path = app.cwd / asset
        try:
            if path.is_file():  # opening a pipe without a writer would block for ever (reliability.md I14)
                with path.open("rb") as file:
                    mime = sniff(file.read(512))
        except (OSError, ValueError):
            mime = None
    return "video" if (mime or "").startswith("video/") else "audio" if (mime or "").startswith("audio/") else "image"


def _draft(asset: str, role: Role, kind: Kind) -> Media:
    if is_address(asset):
        readable(asset)
    if "://" not in asset or is_address(asset):
        return Media(role=role, kind=kind)
    try:
        parts = urlsplit(asset)
        host, _ = (parts.hostname or "").rstrip("."), parts.port
    except ValueError as error:
        raise UsageError(f"{one_line(asset)} is no address: {error}", hint="give a file instead") from error
    if parts.scheme not in ("https", OBJECT_STORE) or not host or "@" in parts.netloc:
        why = "an address must be https://, without a user name"
        raise UsageError(f"{one_line(asset)}: {why}", hint="give a file instead")
    if not asset.isprintable() or " " in asset or "\\" in asset:
        raise UsageError(f"{one_line(asset)}: an address has no blanks, control characters or backslashes")
    if parts.scheme != OBJECT_STORE and _is_internal(host):
        raise UsageError(
            f"{one_line(asset)} is not on the public internet, so no provider can fetch it", hint="give the file itself"
        )
    return Media(role=role, kind=kind, url=asset)


def _is_internal(host: str) -> bool:
    """Tell whether a host can only be one of this network: it would be of no use, and tell its name to a provider."""
    from wan_cli.download.address import as_ip, is_public

    if address := as_ip(host):
        return not is_public(address)
    name, dot, last = host.rpartition(".")
    if not dot or last in INTERNAL or _NUMBER.fullmatch(last):
        return True
    return f"{name.rpartition('.')[2]}.{last}" == "home.arpa"


def checked(
    medium: Media, offer: Offer, asset: str, path: str, notice: Callable[[str], object], *, copies: Path | None = None
) -> Media:  # fmt: skip
    """Open and check a local file against the limits of its role. Raises ``FileInvalid``; nothing was sent.

    ``asset`` is what the user typed, ``path`` where it is; ``notice`` is given what the user should know of the file.
    With ``copies``, a folder of ours, a picture that is too large is replaced by a smaller copy.
    """
    if medium.url:
        return medium
    inputs = inputs_for(medium, offer, asset)
    label = "picture" if medium.kind == "image" else medium.kind
    if copies is not None and medium.kind == "image":
        from wan_cli.media.shrinking import shrink

        return replace(medium, file=shrink(path, inputs, copies, notice, label=label))
    return replace(medium, file=local_file(path, inputs, kind=medium.kind, label=label, notice=notice))


def inputs_for(medium: Media, offer: Offer, asset: str) -> Inputs:
    """Return the limits of a medium's role. Raises ``FileInvalid`` where its kind has no place."""
    inputs = offer.roles.get(medium.role) or offer.inputs or Inputs(count=(0, 0))
    if not inputs.kinds or medium.kind not in inputs.kinds:
        raise FileInvalid(f"{asset} is a {medium.kind}, which cannot stand here")
    return inputs.of(medium.kind)
