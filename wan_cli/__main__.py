"""The command ``wan``."""

import errno
import gc
import sys


def run() -> None:
    """Run the command line; ``--version`` alone is answered before anything else is imported."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from wan_cli import __version__

        try:
            if sys.stdout is None:  # closed before the start: Python would drop the line in silence
                raise OSError(errno.EBADF, "it is closed")
            print(f"wan {__version__}", flush=True)
        except OSError as error:  # a full disk, or a reader that went away: no traceback, and nothing left to flush
            sys.stdout = None
            sys.exit(_told(error))
        return
    from wan_cli import cycles

    cycles.seldom()
    # httpx imports its own command line where click and rich are installed (40 ms): None there is "not installed"
    sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]
    from wan_cli.cli.main import main

    try:
        sys.exit(main(sys.argv[1:]))
    finally:
        gc.freeze()  # else the end looks for cycles among all that was imported: an eighth of a short command's time


def _told(error: OSError) -> int:
    """Say that standard output cannot be written; return the exit code."""
    if isinstance(error, BrokenPipeError):
        return 141
    print(f"error: standard output cannot be written: {error.strerror}", file=sys.stderr)
    print("charged: no\nhint: wan --version", file=sys.stderr)
    return 1


if __name__ == "__main__":
    run()
