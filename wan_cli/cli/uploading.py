"""``wan upload``: local files become addresses that the provider accepts. Free of charge."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from wan_cli.catalog import Capabilities
from wan_cli.cli.choose import known
from wan_cli.cli.prompt import asset_path
from wan_cli.cli.run import Session
from wan_cli.engine.uploads import upload
from wan_cli.errors import FileInvalid, KeyMissing, UnsupportedOption
from wan_cli.media import local_file, sniff
from wan_cli.registry import ORDER, capabilities
from wan_cli.text import one_line, one_word

if TYPE_CHECKING:
    from wan_cli.cli.commands.upload import Uploading
    from wan_cli.cli.context import App
    from wan_cli.engine import Engine
    from wan_cli.models import Kind, LocalFile, Task, Upload


def bring(app: App, words: list[str], options: Uploading) -> int:
    """Check every file, then upload them, and print one address a line."""
    from wan_cli.providers import load

    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    named = options.provider or app.config.get("provider")
    takers = [name for name in ORDER if load(name).uploads]
    if named and not load(known(named)).uploads:
        raise UnsupportedOption(
            f"{named} takes no uploads: pictures go inside the request; {', '.join(takers[:-1])} and {takers[-1]} do",
            hint=f"use -p {takers[0]}",
        )
    name = named or next((name for name in takers if app.sandbox or app.has_key(name)), None)
    if name is None:
        variables = ", ".join(capabilities(taker).key_env for taker in takers)
        raise KeyMissing(f"no key is set: {variables}", hint=f"export {capabilities(takers[0]).key_env}=YOUR_KEY")
    offered = capabilities(name)
    notices: dict[str, None] = {}
    copies = None
    if options.shrink_references:
        app.private(copies := app.state / "copies")
    files = [_taken(asset_path(app, word), offered, options.model, notices.setdefault, copies) for word in words]
    for text in notices:
        app.talk(f"warning: {one_line(text)}")
    found: list[Upload] = []

    async def work(engine: Engine) -> list[Task]:
        print_ = app.key_print(name)
        service = engine.service(name)
        for file, model in files:
            trace = f"upload-{file.sha256[:16]}"
            found.append(await upload(engine, service, file, model=model, trace=trace, key_print=print_))
        return []

    Session(app=app, quiet=options.quiet, verbose=options.verbose).run(work)
    if options.model is None and load(name).upload_is_for_one_model:
        app.talk(f"{name} takes an uploaded file with the model alone that it was uploaded for: -m names that")
    if app.say_json == "json":
        rows = [
            {
                "path": word, "url": place.url, "id": place.file_id, "duration_token": place.duration_token,
                "sha256": (file.original or file).sha256,
            }
            for word, (file, _), place in zip(words, files, found, strict=True)
        ]  # fmt: skip
        return app.emit([], None, 0, files=rows)
    for place in found:
        app.streams.out(one_word(place.url))
    return 0


def _taken(
    path: str, offered: Capabilities, named: str | None, notice: Callable[[str], object], copies: Path | None
) -> tuple[LocalFile, str]:  # fmt: skip
    """Return a checked file and a model that takes its kind with any verb, in any role. Raises ``FileInvalid``."""
    models = [offered.find(named) or offered.unlisted(named)] if named else offered.models
    places = [
        (model.name, inputs) for model in models for offer in model.verbs.values()
        for inputs in (offer.inputs, *offer.roles.values()) if inputs
    ]  # fmt: skip
    kind = _kind(path)
    if not any(kind in inputs.kinds for _, inputs in places):
        kind = "image"  # the message then says what it is instead
    refused: FileInvalid | None = None
    for model, inputs in places:
        if kind in inputs.kinds:
            try:
                label = "picture" if kind == "image" else kind
                if copies is not None and kind == "image":
                    from wan_cli.media.shrinking import shrink

                    return shrink(path, inputs, copies, notice, label=label), model
                return local_file(path, inputs.of(kind), kind=kind, label=label, notice=notice), model
            except FileInvalid as error:
                refused = refused or error
    raise refused or FileInvalid(f"{path}: {offered.name} takes no files", hint="wan models")


def _kind(path: str) -> Kind:
    """Tell by the first bytes; what is no file here is refused when it is opened."""
    # Opening a pipe without a writer would block for ever (reliability.md I14).
    if not os.path.isfile(path):  # noqa: PTH113 - false for odd names
        return "image"
    try:
        with Path(path).open("rb") as file:
            mime = sniff(file.read(512)) or ""
    except OSError:
        return "image"
    return "video" if mime.startswith("video/") else "audio" if mime.startswith("audio/") else "image"
