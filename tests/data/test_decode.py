import struct
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from odise_cli.data.decode import decode_image
from odise_cli.data.geometry import bilinear
from odise_cli.structures import DecodedImage, ImageRecord
from tests.data.images import noise

Decode = Callable[[Path], DecodedImage]
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


def quadrants() -> NDArray[np.uint8]:
    """32 × 64: red, green above blue, yellow, in blocks that JPEG keeps."""
    top = np.concatenate([np.full((16, 32, 3), c, np.uint8) for c in (RED, GREEN)], axis=1)
    bottom = np.concatenate([np.full((16, 32, 3), c, np.uint8) for c in (BLUE, YELLOW)], axis=1)
    return np.concatenate([top, bottom])


# --- what comes out


def test_arrays_and_record(tmp_path: Path, decode: Decode) -> None:
    pixels = noise(50, 60)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    image = decode(tmp_path / "x.png")
    assert image.record.path == tmp_path / "x.png"
    assert image.size == (50, 60)
    np.testing.assert_array_equal(image.pixels_HW3, pixels)
    assert image.resized_HW3.shape == (32, 38, 3)  # 60 · 32/50 = 38.4
    assert image.decode_ms > 0
    for array in (image.pixels_HW3, image.resized_HW3):
        assert array.dtype == np.uint8
        assert array.flags.c_contiguous
        assert array.flags.writeable  # torch.from_numpy warns about arrays that are not
        assert array.flags.owndata


def test_more_rows_than_one_strip(tmp_path: Path, decode: Decode) -> None:
    pixels = noise(600, 3)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    np.testing.assert_array_equal(decode(tmp_path / "x.png").pixels_HW3, pixels)


def antialiased_bilinear(pixels_HW3: NDArray[np.uint8], size: tuple[int, int]) -> NDArray[Any]:
    """A triangle filter that is as wide as the shrinking, one axis after the other."""
    result = pixels_HW3.astype(np.float64)
    for axis, length in enumerate(size):
        scale = result.shape[axis] / length
        width = max(scale, 1.0)
        rows = []
        for i in range(length):
            centre = (i + 0.5) * scale
            distance = np.abs(np.arange(result.shape[axis]) + 0.5 - centre) / width
            weights = np.maximum(0, 1 - distance)
            rows.append(np.tensordot(weights / weights.sum(), result, axes=(0, axis)))
        result = np.stack(rows, axis=axis)
    return result


@pytest.mark.parametrize("size", [(100, 77), (20, 25), (33, 90)])
def test_resize_is_bilinear_and_antialiased(
    tmp_path: Path, decode: Decode, size: tuple[int, int]
) -> None:
    pixels = noise(*size)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    resized = decode(tmp_path / "x.png").resized_HW3
    expected = antialiased_bilinear(pixels, resized.shape[:2])
    assert np.abs(resized - expected).max() <= 1.0  # each axis is rounded to 8 bits


def test_jpeg_is_not_decoded_at_a_reduced_size(tmp_path: Path, decode: Decode) -> None:
    Image.fromarray(noise(400, 400)).save(tmp_path / "x.jpg", quality=95)
    image = decode(tmp_path / "x.jpg")
    assert image.size == (400, 400)
    expected = antialiased_bilinear(image.pixels_HW3, (32, 32))
    assert np.abs(image.resized_HW3 - expected).max() <= 1.0


@pytest.mark.parametrize(
    ("size", "resized"), [((1, 1), (32, 32)), ((1, 5000), (1, 48)), ((5000, 1), (48, 1))]
)
def test_extreme_sizes(
    tmp_path: Path, decode: Decode, size: tuple[int, int], resized: tuple[int, int]
) -> None:
    Image.fromarray(np.full((*size, 3), (1, 2, 3), np.uint8)).save(tmp_path / "x.png")
    image = decode(tmp_path / "x.png")
    assert image.size == size
    assert image.resized_HW3.shape[:2] == resized
    assert (image.resized_HW3 == (1, 2, 3)).all()


def test_108_megapixels(tmp_path: Path, decode: Decode) -> None:
    grey = Image.new("L", (12_000, 9_000), 70)
    grey.putpixel((11_999, 8_999), 200)
    grey.save(tmp_path / "x.png", compress_level=1)
    del grey
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        image = decode(tmp_path / "x.png")
    assert caught == []  # Pillow warns from 89 megapixels on
    assert image.size == (9_000, 12_000)
    assert image.pixels_HW3[-1, -1].tolist() == [200, 200, 200]
    assert image.resized_HW3.shape == (32, 43, 3)  # 12000 · 32/9000 = 42.7


# --- orientation

# Exif 2.32, tag 0x0112: which side of the picture the first row and the first column are.
SIDES = {
    1: ("top", "left"), 2: ("top", "right"), 3: ("bottom", "right"), 4: ("bottom", "left"),
    5: ("left", "top"), 6: ("right", "top"), 7: ("right", "bottom"), 8: ("left", "bottom"),
}  # fmt: skip


def stored(pixels_HW3: NDArray[np.uint8], orientation: int) -> NDArray[np.uint8]:
    first_row, first_column = SIDES[orientation]
    if first_row in ("left", "right"):
        pixels_HW3 = pixels_HW3.transpose(1, 0, 2)
    if first_row in ("bottom", "right"):
        pixels_HW3 = pixels_HW3[::-1]
    if first_column in ("bottom", "right"):
        pixels_HW3 = pixels_HW3[:, ::-1]
    return np.ascontiguousarray(pixels_HW3)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 95, "subsampling": 0}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
@pytest.mark.parametrize("orientation", SIDES)
def test_exif_orientation(
    tmp_path: Path, decode: Decode, orientation: int, kind: str, options: dict[str, Any]
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(stored(quadrants(), orientation))
    image.save(tmp_path / "x", kind, exif=exif, **options)
    result = decode(tmp_path / "x").pixels_HW3
    tolerance = 4 if kind == "JPEG" else 0
    np.testing.assert_allclose(result.astype(int), quadrants(), atol=tolerance)


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_impossible_orientation_is_ignored(
    tmp_path: Path, decode: Decode, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(quadrants()).save(tmp_path / "x.png", exif=exif)
    np.testing.assert_array_equal(decode(tmp_path / "x.png").pixels_HW3, quadrants())


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize(
    "exif",
    [
        b"nonsense",
        b"II*\0",
        b"II*\0\xff\xff\xff\xff",
        b"II*\0\x08\0\0\0\xff\xff" + b"\x12\x01\x03\0\xff\xff\xff\xff\xff\xff\xff\xff",
    ],
)
def test_broken_exif_does_not_cost_the_image(
    tmp_path: Path, decode: Decode, exif: bytes, kind: str
) -> None:
    image = Image.new("RGB", (8, 8), RED)
    image.save(tmp_path / "x", kind, exif=b"Exif\0\0" + exif)
    np.testing.assert_allclose(decode(tmp_path / "x").pixels_HW3[4, 4], RED, atol=4)


# --- modes


def decoded_row(path: Path, decode: Decode) -> list[list[int]]:
    result: list[list[int]] = decode(path).pixels_HW3[0].tolist()
    return result


def test_greyscale_and_bilevel(tmp_path: Path, decode: Decode) -> None:
    grey = Image.fromarray(np.array([[0, 100, 255]], np.uint8))
    grey.save(tmp_path / "l.png")
    grey.convert("1", dither=Image.Dither.NONE).save(tmp_path / "1.png")
    assert decoded_row(tmp_path / "l.png", decode) == [[0] * 3, [100] * 3, [255] * 3]
    assert decoded_row(tmp_path / "1.png", decode) == [[0] * 3, [0] * 3, [255] * 3]


SIXTEEN_BITS = np.array([[0, 128, 129, 257, 40_000, 65_406, 65_407, 65_535]], np.uint16)
# v / 257, rounded: 40 000 / 257 = 155.6, 65 406 / 257 = 254.498, 65 407 / 257 = 254.502
SCALED = [0, 0, 1, 1, 156, 254, 255, 255]


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_16_bit_greyscale_is_scaled_not_clipped(tmp_path: Path, decode: Decode, name: str) -> None:
    Image.fromarray(SIXTEEN_BITS).save(tmp_path / name)
    assert decoded_row(tmp_path / name, decode) == [[value] * 3 for value in SCALED]


def test_16_bit_greyscale_of_the_other_byte_order(tmp_path: Path, decode: Decode) -> None:
    image = Image.frombytes("I;16B", (8, 1), SIXTEEN_BITS.astype(">u2").tobytes())
    image.save(tmp_path / "x.tif")
    assert decoded_row(tmp_path / "x.tif", decode) == [[value] * 3 for value in SCALED]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 0.5, 1.0]], np.float32), [0, 128, 255]),
        (np.array([[0.25, 0.25, 0.25]], np.float32), [64, 64, 64]),  # nominal, not stretched
        (np.array([[-10.0, 0.0, 10.0]], np.float32), [0, 128, 255]),
        (np.array([[0.0, 1000.0, 4000.0]], np.float32), [0, 64, 255]),
        (np.array([[np.nan, np.inf, -np.inf, 0.0, 4.0]], np.float32), [0, 255, 0, 0, 255]),
        (np.array([[np.nan, np.nan]], np.float32), [0, 0]),
        (np.array([[7.0, 7.0, np.inf]], np.float32), [0, 0, 0]),
        (np.array([[-3.4e38, 0.0, 3.4e38]], np.float32), [0, 128, 255]),
        (np.array([[0, 128, 257, 65535]], np.int32), [0, 0, 1, 255]),
        (np.array([[-(2**31), 0, 2**31 - 1]], np.int32), [0, 128, 255]),
    ],
)
def test_32_bit_images(
    tmp_path: Path, decode: Decode, values: NDArray[Any], expected: list[int]
) -> None:
    Image.fromarray(values).save(tmp_path / "x.tif")
    assert decoded_row(tmp_path / "x.tif", decode) == [[value] * 3 for value in expected]


def test_transparency_is_laid_over_white(tmp_path: Path, decode: Decode) -> None:
    # Opaque, invisible and half visible: 255 + (100 - 255) · 51/255 = 224
    pixels = np.array([[(1, 2, 3, 255), (200, 0, 0, 0), (100, 100, 100, 51)]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    Image.fromarray(pixels).save(tmp_path / "rgba.webp", lossless=True, exact=True)
    expected = [[1, 2, 3], [255] * 3, [224] * 3]
    assert decoded_row(tmp_path / "rgba.png", decode) == expected
    assert decoded_row(tmp_path / "rgba.webp", decode) == expected
    Image.fromarray(np.array([[(9, 255), (9, 0)]], np.uint8)).save(tmp_path / "la.png")
    assert decoded_row(tmp_path / "la.png", decode) == [[9] * 3, [255] * 3]


def test_opaque_alpha_changes_nothing(tmp_path: Path, decode: Decode) -> None:
    pixels = noise(64, 64, 4)
    pixels[..., 3] = 255
    Image.fromarray(pixels).save(tmp_path / "x.png")
    np.testing.assert_array_equal(decode(tmp_path / "x.png").pixels_HW3, pixels[..., :3])


@pytest.mark.parametrize("transparency", [1, bytes([255, 0, 255])])
def test_palette_with_transparency(
    tmp_path: Path, decode: Decode, transparency: int | bytes
) -> None:
    image = Image.fromarray(np.array([[0, 1, 2]], np.uint8)).convert("P")
    image.putpalette([*RED, *GREEN, *BLUE])
    image.save(tmp_path / "opaque.png")
    image.save(tmp_path / "x.png", transparency=transparency)
    assert decoded_row(tmp_path / "opaque.png", decode) == [[*RED], [*GREEN], [*BLUE]]
    assert decoded_row(tmp_path / "x.png", decode) == [[*RED], [255] * 3, [*BLUE]]


def test_transparent_colour(tmp_path: Path, decode: Decode) -> None:
    image = Image.fromarray(np.array([[RED, GREEN]], np.uint8))
    image.save(tmp_path / "x.png", transparency=GREEN)
    assert decoded_row(tmp_path / "x.png", decode) == [[*RED], [255] * 3]


def test_cmyk(tmp_path: Path, decode: Decode) -> None:
    image = Image.new("CMYK", (32, 32), (0, 255, 255, 0))
    image.save(tmp_path / "x.tif")
    # A JPEG with Adobe's marker stores CMYK inverted.
    image.save(tmp_path / "x.jpg", quality=95)
    assert b"Adobe" in (tmp_path / "x.jpg").read_bytes()
    for name in ("x.tif", "x.jpg"):
        np.testing.assert_allclose(decode(tmp_path / name).pixels_HW3[9, 9], RED, atol=3)


def test_ycbcr(tmp_path: Path, decode: Decode) -> None:
    Image.fromarray(quadrants()).convert("YCbCr").save(tmp_path / "x.tif")
    result = decode(tmp_path / "x.tif").pixels_HW3
    np.testing.assert_allclose(result.astype(int), quadrants(), atol=3)


@pytest.mark.parametrize("name", ["x.gif", "x.webp", "x.png", "x.tif", "x.mpo", "x.avif"])
def test_first_picture_of_many(tmp_path: Path, decode: Decode, name: str) -> None:
    pictures = [Image.new("RGB", (64, 64), colour) for colour in (RED, GREEN, BLUE)]
    pictures[0].save(tmp_path / name, save_all=True, append_images=pictures[1:])
    np.testing.assert_allclose(decode(tmp_path / name).pixels_HW3[30, 30], RED, atol=6)


@pytest.mark.parametrize(("kind", "name"), [("PNG", "x.jpg"), ("JPEG", "x.tif"), ("GIF", "x")])
def test_misnamed_images_are_read(tmp_path: Path, decode: Decode, kind: str, name: str) -> None:
    Image.new("RGB", (8, 8), RED).save(tmp_path / name, kind)
    np.testing.assert_allclose(decode(tmp_path / name).pixels_HW3[4, 4], RED, atol=4)


def test_what_pillow_warns_about_is_kept_quiet(tmp_path: Path, decode: Decode) -> None:
    image = Image.new("P", (4, 4))
    image.save(tmp_path / "x.png", transparency=b"\0")
    # An animation that promises no frame.
    data = (tmp_path / "x.png").read_bytes()
    chunk = b"acTL" + struct.pack(">II", 0, 0)
    chunk = struct.pack(">I", 8) + chunk + struct.pack(">I", zlib.crc32(chunk))
    (tmp_path / "x.png").write_bytes(data[:33] + chunk + data[33:])
    with pytest.warns(UserWarning, match="Invalid APNG"), Image.open(tmp_path / "x.png") as opened:
        opened.load()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        decode(tmp_path / "x.png")
        warnings.warn("of others", UserWarning, stacklevel=1)
    assert [str(warning.message) for warning in caught] == ["of others"]


def test_an_image_may_be_shrunk_before_it_counts(
    tmp_path: Path, make_record: Callable[[Path], ImageRecord]
) -> None:
    pixels = noise(100, 150)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    record = make_record(tmp_path / "x.png")
    shrunk = decode_image(record, short_side=32, long_side=48, max_short_side=50)
    np.testing.assert_array_equal(shrunk.pixels_HW3, bilinear(pixels, (50, 75)))
    again = Image.fromarray(shrunk.pixels_HW3).resize((48, 32), Image.Resampling.BILINEAR)
    np.testing.assert_array_equal(shrunk.resized_HW3, np.asarray(again))
    small = decode_image(record, short_side=32, long_side=48, max_short_side=100)
    np.testing.assert_array_equal(small.pixels_HW3, pixels)
