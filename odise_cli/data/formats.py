"""Which image formats are read: everything that Pillow decodes by itself.

Knows no file; the list follows the installed Pillow.
"""

from functools import cache

from PIL import Image

NOT_DECODED = frozenset({"BUFR", "GRIB", "HDF5", "MPEG", "WMF", "EPS"})
"""Formats that Pillow only recognises, and EPS, for which it would start Ghostscript."""


@cache
def readable_formats() -> tuple[str, ...]:
    """Pillow's names of the formats that are read, in the order in which it tries them."""
    Image.init()
    return tuple(name for name in Image.ID if name not in NOT_DECODED)


@cache
def image_suffixes() -> frozenset[str]:
    """Lower-case file suffixes, with the dot, of the formats that are read."""
    # MPO (two JPEGs in one file) is opened by the JPEG plugin and has no entry of its own.
    formats = {*readable_formats(), "MPO"}
    return frozenset(
        suffix for suffix, name in Image.registered_extensions().items() if name in formats
    )
