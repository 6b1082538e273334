"""From a result as the provider gives it to a verified part file: addresses, attempts, caps."""

from wan_cli import lean as _lean  # noqa: F401 - before anything imports httpx
from wan_cli.download.address import Resolver, is_public
from wan_cli.download.body import Limits
from wan_cli.download.client import result_client
from wan_cli.download.elsewhere import Elsewhere
from wan_cli.download.fetch import Expired, Fetcher

__all__ = ["Elsewhere", "Expired", "Fetcher", "Limits", "Resolver", "is_public", "result_client"]
