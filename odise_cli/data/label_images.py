"""Label maps in PNG files: one number for each pixel, or an id in three bytes.

Knows how numbers are stored; does not know what they mean or which dataset they are of.

Plain PNGs are decoded by kornia-rs in a third to a sixth of Pillow's time, which is most of an
evaluation's; Pillow reads the others, and says what is wrong with a file that cannot be read.
"""

import struct
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from kornia_rs import io as kornia_io
from numpy.typing import NDArray
from PIL import Image

from odise_cli.errors import MissingDataError, UsageError
from odise_cli.structures import LabelRuns

_ONE_NUMBER_MODES = ("L", "P", "1", "I", "I;16", "I;16B")
_THREE_BYTES = np.int32(0xFFFFFF)
_PNG_HEADER = struct.Struct(">8s4x4sIIBB")
"""Signature, name of the first chunk, width, height, bits of a channel, kind of colour."""
_GREY, _RGB = 0, 2
_DECODERS = {
    (8, _GREY): (kornia_io.decode_image_png_u8, "mono"),
    (16, _GREY): (kornia_io.decode_image_png_u16, "mono"),
    (8, _RGB): (kornia_io.decode_image_png_u8, "rgb"),
}
"""By bits and kind of colour."""


def read_label_png(path: Path) -> NDArray[np.int32]:
    """The [H, W] number of each pixel: a grey value or a place in the palette, 0..65535.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it is no picture, or one of colours.
    """
    pixels_HWC = _decoded(path, (_GREY,))
    if pixels_HWC is not None:
        return pixels_HWC[..., 0].astype(np.int32)
    with _opened(path) as image:
        if image.mode not in _ONE_NUMBER_MODES:
            raise UsageError(
                f"{path}: is a picture of mode {image.mode}. Expected one number a pixel: grey of "
                "8 or 16 bits, or a palette. Give the folder of the label maps."
            )
        return _pixels(image, path).astype(np.int32)


def read_label_runs(path: Path) -> LabelRuns:
    """The same as runs of int32, without a map of them where the file is plain."""
    pixels_HWC = _decoded(path, (_GREY,))
    if pixels_HWC is None:
        return LabelRuns.of_map(read_label_png(path))
    runs = LabelRuns.of_map(pixels_HWC[..., 0])
    return replace(runs, values=runs.values.astype(np.int32))


def read_id_png(path: Path) -> NDArray[np.int32]:
    """The [H, W] id of each pixel: R + 256 G + 65536 B.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it is no picture of RGB.
    """
    ids_HW: NDArray[np.int32] = read_id_runs(path).to_map()
    return ids_HW


def read_id_runs(path: Path) -> LabelRuns:
    """The id of each pixel, R + 256 G + 65536 B, as runs of int32; computed once for each.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it is no picture of RGB.

    Source: https://cocodataset.org/#format-data, "Panoptic Segmentation".
    """
    pixels_HWC = _decoded(path, (_RGB,))
    if pixels_HWC is not None:
        return LabelRuns.of_bytes(pixels_HWC)
    with _opened_rgb(path) as image:
        try:
            id_bytes = image.tobytes("raw", "RGBX")
        except (OSError, SyntaxError) as error:
            raise _unreadable(path, error) from error
        # A little-endian id is the bytes R, G, B and one that Pillow fills as it likes.
        ids = np.frombuffer(id_bytes, "<i4") & _THREE_BYTES
        return LabelRuns.of_map(ids.reshape(image.height, image.width))


def read_rgb_png(path: Path) -> NDArray[np.uint8]:
    """The [H, W, 3] bytes of each pixel, none of which is a colour.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it is no picture of RGB.
    """
    pixels_HWC = _decoded(path, (_RGB,))
    if pixels_HWC is not None:
        return pixels_HWC
    with _opened_rgb(path) as image:
        return _pixels(image, path)


def _decoded(path: Path, kinds: Collection[int]) -> NDArray[Any] | None:
    """The [H, W, C] pixels of a plain PNG of one of some kinds; None for what Pillow is to read."""
    try:
        data = path.read_bytes()
        signature, chunk, width, height, bits, kind = _PNG_HEADER.unpack_from(data)
    except (OSError, struct.error):
        return None
    is_png = (signature, chunk) == (b"\x89PNG\r\n\x1a\n", b"IHDR")
    is_bomb = Image.MAX_IMAGE_PIXELS is not None and width * height > Image.MAX_IMAGE_PIXELS
    if not is_png or is_bomb or kind not in kinds or (bits, kind) not in _DECODERS:
        return None
    decode, mode = _DECODERS[bits, kind]
    try:
        pixels_HWC: NDArray[Any] = decode(data, (height, width), mode)
    except Exception:  # kornia-rs raises nothing narrower; Pillow says what it is.
        return None
    return pixels_HWC


def _opened(path: Path) -> Image.Image:
    try:
        return Image.open(path)
    except FileNotFoundError as error:
        raise MissingDataError(
            f"{path}: is not there. Expected a label map. Complete the folder."
        ) from error
    except (OSError, Image.DecompressionBombError) as error:
        raise _unreadable(path, error) from error


def _opened_rgb(path: Path) -> Image.Image:
    image = _opened(path)
    if image.mode != "RGB":
        image.close()
        raise UsageError(
            f"{path}: is a picture of mode {image.mode}. Expected RGB, whose three bytes are "
            "numbers. Give the folder of the original label maps."
        )
    return image


def _pixels(image: Image.Image, path: Path) -> NDArray[np.uint8]:
    try:
        return np.asarray(image)
    except (OSError, SyntaxError) as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: Exception) -> UsageError:
    return UsageError(
        f"{path}: cannot be read: {error}. Expected a whole PNG file. Copy or download it again."
    )
