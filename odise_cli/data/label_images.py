"""Label maps in PNG files: one number for each pixel, or an id in three bytes.

Knows how numbers are stored; does not know what they mean or which dataset they are of.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from odise_cli.errors import MissingDataError, UsageError

_ONE_NUMBER_MODES = ("L", "P", "1", "I", "I;16", "I;16B")
_THREE_BYTES = np.int32(0xFFFFFF)


def read_label_png(path: Path) -> NDArray[np.int32]:
    """The [H, W] number of each pixel: a grey value or a place in the palette, 0..65535.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it is no picture, or one of colours.
    """
    with _opened(path) as image:
        if image.mode not in _ONE_NUMBER_MODES:
            raise UsageError(
                f"{path}: is a picture of mode {image.mode}. Expected one number a pixel: grey of "
                "8 or 16 bits, or a palette. Give the folder of the label maps."
            )
        return _pixels(image, path).astype(np.int32)


def read_id_png(path: Path) -> NDArray[np.int32]:
    """The [H, W] id of each pixel: R + 256 G + 65536 B.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it is no picture of RGB.

    Source: https://cocodataset.org/#format-data, "Panoptic Segmentation".
    """
    with _opened_rgb(path) as image:
        try:
            id_bytes = image.tobytes("raw", "RGBX")
        except (OSError, SyntaxError) as error:
            raise _unreadable(path, error) from error
        # A little-endian id is the bytes R, G, B and one that Pillow fills as it likes.
        ids = np.frombuffer(id_bytes, "<i4") & _THREE_BYTES
        return ids.reshape(image.height, image.width)


def read_rgb_png(path: Path) -> NDArray[np.uint8]:
    """The [H, W, 3] bytes of each pixel, none of which is a colour.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it is no picture of RGB.
    """
    with _opened_rgb(path) as image:
        return _pixels(image, path)


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
