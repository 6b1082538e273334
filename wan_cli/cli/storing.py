"""``-o s3://…`` and pictures from there: checked before anything is bought, fetched before anything is sent."""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from wan_cli import naming
from wan_cli.cli.converting import check_format
from wan_cli.dataclass import dataclass
from wan_cli.errors import FileInvalid, UsageError
from wan_cli.intake import digest_of
from wan_cli.media import EXTENSIONS, film
from wan_cli.stores import Address, StoreFault, is_address, places, read_address
from wan_cli.stores.faults import refusal

if TYPE_CHECKING:
    from wan_cli.cli.context import App
    from wan_cli.cli.options import Making
    from wan_cli.cli.order import Order

MOST_BYTES = 2 * 1024 * 1024 * 1024
"""Of a reference: no provider takes as much."""


def check_objects(
    addresses: Iterable[Address], *, overwrite: bool, skip_existing: bool, beside: Iterable[Address] = ()
) -> Literal["write", "skip"]:  # fmt: skip
    """Decide before buying whether the results can be put: ``skip`` when all are there and that was asked for.

    ``beside`` is what stands next to them. Nothing is written. Raises ``UsageError`` for an object that is there, two
    results of one name and a missing bucket; ``ConfigInvalid`` without the extra or with a key that is refused;
    ``NetworkError`` where the store cannot be asked.
    """
    wanted = list(addresses)
    _ready(wanted[0])
    for place, address in enumerate(wanted):
        if address in wanted[:place]:
            raise UsageError(f"two results would be written to {address}", hint="put {index} or {id} into -o")
    there = [address for address in wanted if _there(address)]
    if skip_existing and len(there) == len(wanted):
        return "skip"
    there += [address for address in beside if not overwrite and _there(address)]
    if there and not overwrite:
        more = f" and {len(there) - 1} more" if there[1:] else ""
        left = "; a making command leaves it with --skip-existing"
        raise UsageError(f"{there[0]} exists{more}{left}", hint="add --overwrite")
    return "write"


@dataclass(frozen=True, slots=True)
class Placed:
    """A target in a store; ``existing`` are the objects that --skip-existing keeps, when all are there."""

    plan: naming.Plan
    existing: Sequence[Address] = ()


def in_store(
    options: Making, order: Order, output: str, values: Mapping[str, object],
    makers: Sequence[Mapping[str, str]], own: frozenset[str],
) -> Placed:  # fmt: skip
    """Resolve ``-o`` in a store and check it before anything is bought; see :func:`check_objects`.

    ``makers`` fill what is only known when it is made; ``own`` is what earlier calls under this idempotency key put
    there. With ``--dry-run`` no store is asked.
    """
    total = sum(line.results for line in order.lines)
    plan = places.plan(output, values=values, count=total)
    check_format(order, output, convert=options.convert)
    if options.convert and not plan.wanted_ext:
        raise UsageError("--convert: to which format? -o names none", hint="use -o {slug}-{id}.jpg")
    ext = plan.wanted_ext or ([EXTENSIONS[mime] for mime in order.model.formats] or [".png"])[0]
    new = "id" in naming.parse_template(plan.template.partition("://")[2])
    if new and options.skip_existing:
        raise UsageError("--skip-existing: a name with {id} never exists yet", hint="use -o {slug}{ext}")
    names = {"id": secrets.token_hex(6)} if new else {}  # an id makes the name new: one is looked for, to ask at all
    found = [one for maker in makers for one in places.addresses(plan.template, total, ext, values={**names, **maker})]
    wanted = [one for one in dict.fromkeys(found) if str(one) not in own]
    if options.dry_run or not wanted:
        return Placed(plan)
    posters = [poster for one in wanted if options.poster and str(poster := _poster(one)) not in own]
    if options.sidecar and not options.overwrite:
        _check_sidecars(wanted[:1] if new else wanted)
    asked = check_objects(
        wanted[:1] if new else wanted, overwrite=options.overwrite, skip_existing=options.skip_existing,
        beside=posters[:1] if new else posters,
    )  # fmt: skip
    return Placed(plan, wanted if asked == "skip" else ())


def own_name(app: App, path: str) -> str:
    """Return a file's recorded path, or the address of one that waits on this machine to be put there."""
    staged = app.state / "staged"
    if not Path(path).is_relative_to(staged):
        return path
    return str(places.address_of(Path(path), staged / Path(path).relative_to(staged).parts[0]))


def refuse_showing(output: object) -> None:
    """Raise ``UsageError`` where ``--preview`` would have no file on this machine to show."""
    if is_address(output):
        raise UsageError("--preview shows files on this machine, and -o names a store", hint="leave --preview out")


def aimed(output: str, values: Mapping[str, object], count: int, *, overwrite: bool, alone: bool) -> str:
    """Return the template of ``wan wait -o s3://…``, checked where there is one task alone."""
    plan = places.plan(output, values=values, count=count)
    if alone:
        trial = places.addresses(plan.template, count, plan.wanted_ext or ".png")
        check_objects(trial, overwrite=overwrite, skip_existing=False)
    return plan.template


def _check_sidecars(wanted: Sequence[Address]) -> None:
    """Refuse where an object of somebody has the name of a sidecar; an older sidecar is replaced."""
    from wan_cli.engine.storing import is_sidecar

    for one in wanted:
        _ready(one)
        sidecar = one.beside(f"{one.name}.json")
        if _there(sidecar) and not is_sidecar(sidecar):
            raise UsageError(f"--sidecar: {sidecar} exists and is no sidecar", hint="add --overwrite")


def _poster(address: Address) -> Address:
    return address.beside(film.poster_path(Path(address.name)).name)


def fetched(app: App, word: str) -> str:
    """Return the local copy of an object, named like it; it stays in the state folder until ``wan status --prune``.

    Raises ``FileInvalid`` where it is not there or not to be had, ``ConfigInvalid`` without the extra or a key.
    """
    from wan_cli.stores.objects import fetch, look

    address = readable(word)
    _ready(address)
    app.private(top := app.state / "fetched")
    try:
        found = look(address)
        if found is not None and found.sha256 and digest_of(path := _copy(top, found.sha256, address)) == found.sha256:
            path.touch()
            return str(path)
        part = top / f".{secrets.token_hex(6)}.part"
        try:
            with part.open("xb") as out:
                sha256 = fetch(address, out, MOST_BYTES)
            path = _copy(top, sha256, address)
            path.parent.mkdir(mode=0o700, exist_ok=True)
            return str(part.replace(path))
        finally:
            part.unlink(missing_ok=True)
    except StoreFault as fault:
        if fault.kind == "refused":
            raise refusal(address, fault) from fault
        raise FileInvalid(f"{address} cannot be read: {fault.why}", hint="check the address") from fault
    except OSError as error:
        raise FileInvalid(f"{address} cannot be copied to {top}: {error.strerror or error}") from error


def readable(word: str) -> Address:
    """Read the address of one object. Raises ``UsageError``."""
    address = read_address(word)
    if not address.name:
        raise UsageError(f"{address} is a folder, not a file", hint="name one object")
    return address


def forget_fetched(app: App, before: float) -> None:
    """Remove the copies that were last used before a time (seconds since the epoch); one that stays harms nothing."""
    with suppress(OSError):
        top = app.state / "fetched"
        for path in [*top.glob("*/*"), *top.glob(".*.part")]:  # and what a process left that was killed
            if path.stat().st_mtime < before:
                path.unlink()
                if path.parent != top and not any(path.parent.iterdir()):
                    path.parent.rmdir()


def _copy(top: Path, sha256: str, address: Address) -> Path:
    return top / sha256[:24] / address.name


def _ready(address: Address) -> None:
    from wan_cli.stores.objects import require

    require(f"{address.scheme}://")


def _there(address: Address) -> bool:
    from wan_cli.stores.objects import look

    try:
        return look(address) is not None
    except StoreFault as fault:
        raise refusal(address, fault) from fault
