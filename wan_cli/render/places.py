"""Where each asset's files go: below the root, named for every system, no two of them in one place."""

from __future__ import annotations

import os
import re
import string
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from wan_cli import naming
from wan_cli.errors import UsageError
from wan_cli.manifest import Asset, Manifest
from wan_cli.manifest.jail import Folders, inside
from wan_cli.manifest.source import at
from wan_cli.pattern import pattern
from wan_cli.text import one_line

FIELDS = (*naming.FIELDS, "task")
EXTENSIONS = tuple(dict.fromkeys(naming.TRUE_EXTENSIONS.values()))
VIDEO = frozenset({".mp4", ".mov", ".webm"})
_LATE = frozenset({"provider", "model", "date", "task"})
"""Fields of a template whose value is known when the asset is bought."""
_FIELD = pattern(r"\{(?!\{)[^{}]*\}")
_SEPARATOR = pattern(re.escape(os.sep))
_PLAIN_ID = pattern(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,58}[A-Za-z0-9_-])?")
"""Ids that are a piece of a name as they are (:func:`wan_cli.naming.fault`), but for the names of devices."""


def template_of(manifest: Manifest, asset: Asset, *, total: int) -> naming.Plan:
    """Return where an asset's ``total`` results go. Raises ``UsageError`` with the place in the manifest."""
    return Places(manifest).plan(asset, total=total)


class Places:
    """Where the results of a manifest's assets go: templates that :func:`wan_cli.naming.final_paths` fills."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.folders = Folders(manifest.root)
        self._shapes: dict[tuple[str, int], naming.Plan | None] = {}
        self._base = str(manifest.root).replace("{", "{{").replace("}", "}}") + os.sep
        self._length = len(os.path.join(str(manifest.root), ""))  # noqa: PTH118 - keeps a root's own separator
        self._templates: dict[str, str] = {}

    def all(self) -> dict[str, str]:
        """Return the template of every asset by its id. Raises ``UsageError``, also where two have one place."""
        for asset in self.manifest.assets.values():
            self.template(asset)
        counts = {asset.id: asset.count for asset in self.manifest.assets.values()}
        check_apart(self.manifest, self._templates, counts)
        return dict(self._templates)

    def template(self, asset: Asset) -> str:
        """Return the template of an asset, worked out once."""
        if asset.id not in self._templates:
            self._templates[asset.id] = self.plan(asset, total=asset.count).template
        return self._templates[asset.id]

    def plan(self, asset: Asset, *, total: int) -> naming.Plan:
        """Return where an asset's ``total`` results go. Raises ``UsageError`` with the place in the manifest."""

        def refuse(why: str) -> UsageError:
            return at(self.manifest.path, asset.line, f"{asset.id}: output: {why}")

        output = asset.output.replace("\\", "/")
        shape = self._quick(output, total) if _PLAIN_ID.fullmatch(asset.id) else None
        if shape is not None:
            found = naming.Plan(template=shape.template.replace("{id}", asset.id), wanted_ext=shape.wanted_ext)
            parts = _SEPARATOR.split(found.template.removeprefix(self._base))
            if not any(naming.fault(_sample(part)) for part in parts):
                self._hold(found.template, output, refuse)
                return found
        values: dict[str, object] = {"id": asset.id, "verb": asset.verb, "seed": asset.fields.get("seed")}
        if "{slug" in output:
            values["slug"] = naming.slug(asset.prompt)
        try:
            cwd, typed = str(self.manifest.root), self._typed(output)
            _refuse_id(typed, asset.id)
            found = naming.plan(typed, cwd=cwd, values=values, count=total, fields=FIELDS)
        except UsageError as error:
            raise refuse(error.message) from error
        self._hold(found.template, output, refuse)
        return found

    def _quick(self, output: str, total: int) -> naming.Plan | None:
        """Return the plan of an output in which only the id differs from asset to asset, if it is such a one."""
        key = output, total
        if key not in self._shapes:
            self._shapes[key] = None
            try:
                names = {name for _, name, spec, _ in string.Formatter().parse(output) if name is not None}
                if names <= {"id", "ext", "index"} and "{{" not in output and "}}" not in output:
                    cwd = str(self.manifest.root)
                    self._shapes[key] = naming.plan(self._typed(output), cwd=cwd, values={}, count=total, fields=FIELDS)
            except (UsageError, ValueError):
                pass  # the asset's own plan says what is wrong
        return self._shapes[key]

    def _typed(self, output: str) -> str:
        """Return an output as a template of a file. Raises ``UsageError`` for what is wrong whatever the asset is.

        What a folder of that name would make of it elsewhere must not depend on whether it is there.
        """
        fieldless = _FIELD.sub("x", output.replace("{{", "x").replace("}}", "x"))
        inside(self.manifest.root, fieldless, UsageError)
        for part in output.split("/"):
            if part not in ("", ".") and "{" not in part and (why := naming.fault(part)):
                raise UsageError(f"{one_line(part)}: {why}")
        if output.endswith("/"):
            output += "{id}{ext}"
        typed = os.path.splitext(output)[1].lower() in naming.TRUE_EXTENSIONS or output.endswith("{ext}")  # noqa: PTH122
        if not typed:
            output += "{ext}"
        if (self.manifest.root / output).is_dir():
            raise UsageError(f"{one_line(output)} is a folder")
        return output

    def _hold(self, template: str, output: str, refuse: Callable[[str], UsageError]) -> None:
        folder = os.path.dirname(template).replace("{{", "{").replace("}}", "}")  # noqa: PTH120 - ten thousand of them
        below_root = folder[len(str(self.manifest.root)) :].strip(os.sep).replace(os.sep, "/")
        if not self.folders.holds(real := self.folders.real(below_root)):
            raise refuse(f"{one_line(output)} leads to {one_line(real)}, which is not below {self.manifest.root}")

    # -- what is there already

    def expected(self, asset: Asset, paths: Sequence[str]) -> list[str] | None:
        """Return where the files of an asset that are at ``paths`` would go today; ``None`` where only buying tells.

        Paths are below the root, with ``/``; each keeps its extension.
        """
        template = self.template(asset)
        if self.late(template):
            return None
        found = []
        for number, path in enumerate(paths, start=1):
            suffix = path[path.rfind(".") :].lower()
            ext = naming.TRUE_EXTENSIONS.get(suffix)
            if ext is None:
                return None
            found.append(self._final(template, ext, number, len(paths)))
        return found

    def _final(self, template: str, ext: str, number: int, total: int) -> str:
        if total == 1 and template.endswith("{ext}") and "{" not in template[:-5]:
            full = template[:-5] + ext
        elif total == 1 and "{" not in template and naming.TRUE_EXTENSIONS.get(template[-4:].lower()) == ext:
            full = template
        else:
            full = ""
        if not full or naming.fault(full[full.rfind(os.sep) + 1 :]):
            (path,) = naming.final_paths(template, 1, ext, first=number, total=total)
            full = str(path)
        return self._below(full)

    def _below(self, full: str) -> str:
        return full[self._length :].replace(os.sep, "/")

    @staticmethod
    def late(template: str) -> bool:
        """Tell whether a template has fields that are known when the asset is bought."""
        return any(f"{{{name}" in template for name in _LATE)

    def candidates(self, asset: Asset, near: Callable[[str], bool] = bool) -> list[str]:
        """Return the paths that a result of the asset may get, below the root; none where only buying tells.

        ``near`` tells whether there is anything of a name, whatever its extension; without it all are returned.
        """
        template = self.template(asset)
        if self.late(template):
            return []
        stems = _stems(template, asset.count)
        numbers = [number for number, stem in enumerate(stems, start=1) if near(self._below(stem))]
        if not numbers:
            return []
        suffix = os.path.splitext(template)[1].lower()  # noqa: PTH122 - ten thousand of them
        if suffix in naming.TRUE_EXTENSIONS:
            extensions: Sequence[str] = (naming.TRUE_EXTENSIONS[suffix],)
        else:
            video = _makes_video(asset)
            extensions = [ext for ext in EXTENSIONS if (ext in VIDEO) == video]
        return [self._final(template, ext, number, asset.count) for ext in extensions for number in numbers]


def _refuse_id(output: str, name: str) -> None:
    """Refuse an id that makes a name which Windows cannot hold, as if it were typed. Raises ``UsageError``."""
    for part in output.split("/"):
        said = part.replace("{id}", name)
        if said != part and "{" not in _sample(said) and (why := naming.fault(_sample(said))):
            raise UsageError(f"{one_line(said.removesuffix('{ext}'))}: {why}")


def _sample(part: str) -> str:
    return part.replace("{ext}", ".webm").replace("{index}", "1")


def _makes_video(asset: Asset) -> bool:
    only = ("duration", "resolution", "first_frame", "last_frame", "first_clip", "audio", "voice")
    said = {*asset.fields, *asset.references}
    return "video" in str(asset.fields.get("model", "")) or not said.isdisjoint(only)


def check_apart(manifest: Manifest, templates: Mapping[str, str], counts: Mapping[str, int]) -> None:
    """Refuse two assets with one place, also where only some systems take them for one (case, Unicode form).

    A picture may stand beside a video of the same name, and, converted, beside a picture in another format.
    """
    folders = Folders(manifest.root)
    taken: dict[str, dict[str, str]] = {}
    for name, template in templates.items():
        if "{task}" in template:
            continue  # another name for each task
        asset, total = manifest.assets[name], counts.get(name, 1)
        suffix = os.path.splitext(template)[1].lower()  # noqa: PTH122 - ten thousand of them
        kind = naming.TRUE_EXTENSIONS.get(suffix, "")
        if kind and not asset.fields.get("convert"):
            kind = "video" if kind in VIDEO else "picture"
        for place in _stems(template, total):
            folder, _, stem = place.rpartition(os.sep)
            below_root = folder[len(str(manifest.root)) :].strip(os.sep).replace(os.sep, "/")
            key = f"{folders.real(below_root)}/{stem}".casefold()
            others = taken.setdefault(key if key.isascii() else unicodedata.normalize("NFC", key), {})
            other = next((others[known] for known in others if _alike(kind, known)), name)
            if other != name:
                raise at(manifest.path, asset.line, f"{name}: output: {other} has the same place")
            others[kind] = name


def _alike(kind: str, other: str) -> bool:
    """Tell whether two kinds of extension may turn out to be the same; one that is not typed may be any."""
    if not kind or not other or kind == other:
        return True
    return {kind, other} != {"picture", "video"} and "picture" in (kind, other) and not ({kind, other} & VIDEO)


def _stems(template: str, total: int) -> list[str]:
    """Return the places of the results without their extensions."""
    if total == 1 and "{" not in template[:-5]:
        stem = template[:-5] if template.endswith("{ext}") else os.path.splitext(template)[0]  # noqa: PTH122
        if not naming.fault(f"{stem[stem.rfind(os.sep) + 1 :]}.webm"):
            return [stem]
    plain = re.sub(r"\{(?:provider|model|date)[^{}]*\}", "\0", template)
    return [str(path.with_suffix("")) for path in naming.final_paths(plain, total, ".png")]


def below(root: Path, paths: Sequence[str]) -> list[str]:
    """Return absolute paths as the lock has them: below the root, with ``/``."""
    return [Path(os.path.relpath(path, root)).as_posix() for path in paths]
