"""``wan upload``: local files become addresses that the provider accepts. Free of charge."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wan_cli.catalog import Inputs
from wan_cli.cli.choose import known
from wan_cli.cli.prompt import asset_path
from wan_cli.cli.run import Session
from wan_cli.engine.submit import upload
from wan_cli.errors import KeyMissing, UnsupportedOption
from wan_cli.media import local_file
from wan_cli.registry import ORDER, capabilities

if TYPE_CHECKING:
    from wan_cli.cli.commands.upload import Uploading
    from wan_cli.cli.context import App
    from wan_cli.engine import Engine
    from wan_cli.models import Task, Upload


def bring(app: App, words: list[str], options: Uploading) -> int:
    """Check every file, then upload them, and print one address a line."""
    from wan_cli.providers import load

    app.use(sandbox=options.sandbox, quiet=options.quiet, play=options)
    named = options.provider or app.config.get("provider")
    takers = [name for name in ORDER if load(name).uploads]
    if named and not load(known(named)).uploads:
        raise UnsupportedOption(
            f"{named} takes no uploads: pictures go inside the request; {' and '.join(takers)} does",
            hint=f"use -p {takers[0]}",
        )
    name = named or next((name for name in takers if app.sandbox or app.has_key(name)), None)
    if name is None:
        variables = ", ".join(capabilities(taker).key_env for taker in takers)
        raise KeyMissing(f"no key is set: {variables}", hint="set one of them, or try it offline with --sandbox")
    offered = capabilities(name)
    model = options.model or offered.models[0].name
    entry = offered.find(model) or offered.unlisted(model)
    inputs = next((offer.inputs for offer in entry.verbs.values() if offer.inputs), Inputs(count=(1, 9)))
    files = [local_file(asset_path(app, word, app.state / "scratch"), inputs, label="picture") for word in words]
    found: list[Upload] = []

    async def work(engine: Engine) -> list[Task]:
        print_ = app.key_print(name)
        service = engine.service(name)
        for file in files:
            trace = f"upload-{file.sha256[:16]}"
            found.append(await upload(engine, service, file, model=model, trace=trace, key_print=print_))
        return []

    Session(app=app, quiet=options.quiet, verbose=options.verbose).run(work)
    if app.say_json == "json":
        rows = [
            {
                "path": word, "url": place.url, "id": place.file_id, "duration_token": place.duration_token,
                "sha256": file.sha256,
            }
            for word, file, place in zip(words, files, found, strict=True)
        ]  # fmt: skip
        return app.emit([], None, 0, files=rows)
    for place in found:
        app.streams.out(place.url)
    return 0
