"""Names in a store from a template: as on a disk (:mod:`wan_cli.naming`), with an address in front.

A template in a store reads ``s3://bucket/folder/{slug}-{id}{ext}``. Windows' rules for names hold for keys too: what is
put there is fetched to some disk one day.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping, Sequence
from pathlib import Path

from wan_cli import naming
from wan_cli.stores.address import Address, read_address


def plan(
    output: str, *, values: Mapping[str, object], count: int = 1, fields: Sequence[str] = naming.FIELDS
) -> naming.Plan:  # fmt: skip
    """Resolve an ``-o`` that is an address, as :func:`wan_cli.naming.plan` does it. Raises ``UsageError``.

    A folder ends in ``/``, or is the bucket alone: what is there already makes no difference.
    """
    address = read_address(output)
    root = _nowhere()
    found = naming.plan(address.key or None, cwd=str(root), values=values, count=count, fields=fields)
    key = Path(found.template).relative_to(root).as_posix()
    return naming.Plan(template=f"{address.scheme}://{address.bucket}/{key}", wanted_ext=found.wanted_ext)


def local_template(template: str, root: Path) -> str:
    """Return the template of the same files in a folder of this machine, where they wait for the store."""
    scheme, _, rest = template.partition("://")
    base = str(root).replace("{", "{{").replace("}", "}}")
    return str(Path(base, scheme, *rest.split("/")))


def address_of(path: Path, root: Path) -> Address:
    """Return where a file that waits below ``root`` goes."""
    scheme, bucket, *key = path.relative_to(root).parts
    return Address(scheme=scheme, bucket=bucket, key="/".join(key))


def addresses(
    template: str, count: int, ext: str, *, first: int = 1, total: int | None = None,
    values: Mapping[str, object] | None = None,
) -> list[Address]:  # fmt: skip
    """Return the addresses of ``count`` results; see :func:`wan_cli.naming.final_paths`."""
    root = _nowhere()
    paths = naming.final_paths(
        local_template(template, root), count, ext, first=first, total=total, values=values
    )  # fmt: skip
    return [address_of(path, root) for path in paths]


def _nowhere() -> Path:
    """Return an absolute folder that does not exist: no name is looked for on this machine's disk."""
    return Path(os.path.abspath(os.sep), f".wan-{secrets.token_hex(8)}")  # noqa: PTH100 - with the drive on Windows
