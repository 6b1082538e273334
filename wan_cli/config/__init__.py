"""Settings and where each was set; keys and the one origin each may go to (interface.md, section 8)."""

from wan_cli.config.keys import Account, Key, account
from wan_cli.config.settings import VARIABLES, Config, Setting, config_path, load, state_folder

__all__ = ["VARIABLES", "Account", "Config", "Key", "Setting", "account", "config_path", "load", "state_folder"]
