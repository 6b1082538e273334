"""wan: pictures and videos with Wan 2.7, through whichever provider you have a key for."""

__version__ = "0.1.0"
