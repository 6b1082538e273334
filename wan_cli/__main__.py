"""The command ``wan``."""

import sys


def run() -> None:
    """Run the command line; ``--version`` alone is answered before anything else is imported."""
    if sys.argv[1:] in (["--version"], ["-V"]):
        from wan_cli import __version__

        print(f"wan {__version__}")
        return
    from wan_cli.cli.main import main

    sys.exit(main(sys.argv[1:]))


if __name__ == "__main__":
    run()
