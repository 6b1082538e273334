"""``wan sandbox``: the offline provider on a port. Prints what points clients at it, then serves until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wan_cli.cli.commands.sandbox import Serving
    from wan_cli.cli.context import App


def serve(app: App, options: Serving) -> int:
    """Serve; Ctrl-C and SIGTERM are how a server ends, so they are 0. Raises ``WanError``."""
    from wan_cli.sandbox import serve as server
    from wan_cli.sandbox.port import exports

    app.use(sandbox=True, play=options)
    folder = app.state / "port" if options.state is None else app.cwd / options.state
    if options.state is None:
        app.private(app.state)  # making it with the folder below would leave it open to others
    server.make(folder)
    bound = server.bind(options.host, options.port)
    for line in exports(bound.url):
        app.streams.out(line)
    if not bound.loopback:
        app.streams.say(f"warning: other machines can reach this server ({options.host})")
    app.streams.say(f"the sandbox listens on {bound.url}; Ctrl-C ends it")
    server.serve(bound, folder, faults=app.faults, **app.world_parts)
    return 0
