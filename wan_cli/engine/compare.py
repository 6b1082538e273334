"""What was delivered, held against what was asked for (interface.md, section 9)."""

from __future__ import annotations

from wan_cli import geometry
from wan_cli.media import mime_of_extension
from wan_cli.models import Facts, File, Task

TIER_AREA = (0.5, 1.1)
"""A tier's picture has about the side squared: models round to their grid, never to half."""


def differences(task: Task, files: tuple[File, ...]) -> list[str]:
    """Compare count, pixel size, shape and format with the request (interface.md, section 9)."""
    job, found = task.job, list[str]()
    if not job.model:  # adopted by its handle: nobody here knows what was asked for
        return found
    if len(files) != job.n:
        found.append(f"{job.n} results were asked for, {len(files)} delivered")
    wanted = mime_of_extension(task.target.template or "")
    for file in files:
        if wanted and file.mime != wanted and not task.target.convert:
            found.append(f"result {file.index} is {file.mime}, not {wanted}")
        if job.duration and file.duration_s and abs(file.duration_s - job.duration) > 1:
            found.append(f"result {file.index} lasts {file.duration_s:g} s, not {job.duration}")
        if file.width and file.height:
            found += _size_differences(task, file.index, (file.width, file.height))
    return found


def odd_amount(facts: Facts | None) -> str | None:
    """Return what is odd about the amount a provider reports; it counts as reported all the same (R16)."""
    amount, reserved = (facts.charged_amount, facts.reserved_amount) if facts else (None, None)
    if amount is not None and amount < 0:
        return f"the provider reports a charge below zero: {amount:g}"
    if amount is not None and reserved is not None and amount > reserved:
        return f"the provider reports a charge of {amount:g}, more than the {reserved:g} it had reserved"
    return None


def alike(files: tuple[File, ...]) -> list[str]:
    """Return which results have the same bytes: a seed or a cache of the provider's, and no fault of ours (D20)."""
    by_hash: dict[str, list[int]] = {}
    for file in files:
        by_hash.setdefault(file.sha256, []).append(file.index)
    same = (" and ".join(map(str, indices)) for indices in by_hash.values() if len(indices) > 1)
    return [f"results {indices} are the same, byte for byte" for indices in same]


def _size_differences(task: Task, index: int, pixels: tuple[int, int]) -> list[str]:
    job = task.job
    shown, exact = f"result {index} is {pixels[0]}x{pixels[1]}", geometry.parse_pixels(job.size or "")
    if exact:
        return [] if pixels == exact else [f"{shown}, not {exact[0]}x{exact[1]}"]
    aspect = geometry.parse_aspect(job.aspect or "")
    found = [] if aspect is None or geometry.same_shape(pixels, aspect) else [f"{shown}, not {job.aspect}"]
    side = geometry.TIERS.get(job.size or "")
    if side and not TIER_AREA[0] <= pixels[0] * pixels[1] / side**2 <= TIER_AREA[1]:
        found.append(f"{shown}, not {job.size}")
    return found
