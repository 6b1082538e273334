"""What a file really is: its kind, sides and wholeness, read from its bytes and never from its name.

Own small parsers instead of Pillow: nothing from outside is decoded (reliability.md S12), and a check costs a few reads
instead of a library.
"""

from wan_cli.media.formats import Sniffed
from wan_cli.media.local import local_file
from wan_cli.media.sniffing import (
    EXTENSIONS,
    MAX_PIXELS,
    UNKNOWN,
    looks_like_media_name,
    mime_of_extension,
    sniff,
    spoken,
)
from wan_cli.media.structure import check_structure, decode_b64, inspect

__all__ = [
    "EXTENSIONS", "MAX_PIXELS", "UNKNOWN", "Sniffed", "check_structure", "decode_b64", "inspect", "local_file",
    "looks_like_media_name", "mime_of_extension", "sniff", "spoken",
]  # fmt: skip
