import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from odise_cli.writers.png import encode_png


def test_a_file_by_hand():
    png = encode_png(np.array([[[1], [2]], [[1], [9]]], np.uint8))
    # Filter 2, then 1 and 2; filter 2, then what is more than above: 1 - 1 and 9 - 2.
    packed = zlib.compress(bytes([2, 1, 2, 2, 0, 7]))
    header = struct.pack(">IIBBBBB", 2, 2, 8, 0, 0, 0, 0)
    expected = b"\x89PNG\r\n\x1a\n"
    for kind, data in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b"")):
        expected += struct.pack(">I", len(data)) + kind + data
        expected += struct.pack(">I", zlib.crc32(kind + data))
    assert png == expected


@pytest.mark.parametrize(
    ("dtype", "channels", "mode"),
    [(np.uint8, 1, "L"), (np.uint16, 1, "I;16"), (np.uint8, 3, "RGB")],
)
@given(data=st.data())
def test_pillow_reads_the_same_pixels(dtype, channels, mode, data):
    sizes = st.tuples(st.integers(1, 8), st.integers(1, 8), st.just(channels))
    pixels = data.draw(arrays.arrays(dtype, sizes))
    image = Image.open(io.BytesIO(encode_png(pixels)))
    assert (image.format, image.mode) == ("PNG", mode)
    np.testing.assert_array_equal(np.asarray(image).reshape(pixels.shape), pixels)


def test_a_label_map_is_no_larger_than_pillow_s():
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:240, :320] + rng.normal(0, 0.3, (2, 240, 320))
    centres = rng.random((12, 2)) * (240, 320)
    distances = [(rows - y) ** 2 + (columns - x) ** 2 for y, x in centres]
    labels = np.argmin(distances, axis=0).astype(np.uint8)
    pixels = np.stack([labels, labels // 2, labels * 9], axis=2)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    assert len(encode_png(pixels)) <= len(buffer.getvalue())
