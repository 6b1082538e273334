"""``--preview``: results shown on the terminal, in the finest way that the terminal says it knows."""

from wan_cli.ui.preview.showing import preview

__all__ = ["preview"]
