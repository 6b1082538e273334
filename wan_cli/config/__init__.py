"""Settings and where each was set; keys and the one origin each may go to (interface.md, section 8)."""

from wan_cli.config.keys import Account, Key, account
from wan_cli.config.settings import USUAL_JOBS, VARIABLES, Config, Setting, config_path, load, state_folder

__all__ = [
    "USUAL_JOBS", "VARIABLES", "Account", "Config", "Key", "Setting", "account", "config_path", "load", "state_folder",
]  # fmt: skip
