"""Object stores as places for files: S3, Google Cloud Storage and Azure, through obstore (the extra [s3])."""

from wan_cli.stores.address import Address, is_address, read_address
from wan_cli.stores.faults import StoreFault

__all__ = ["Address", "StoreFault", "is_address", "read_address"]
