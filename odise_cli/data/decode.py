"""One image file into 8-bit RGB, at its own size and at the model's.

Knows files and Pillow; knows neither batches nor why the image is wanted.

What a person would see in a viewer is what the model gets, as 8-bit RGB without colour
management (the field's convention):

* EXIF orientation is applied. Of an animation or a multi-page file, the first picture is taken.
* Transparent pixels are laid over white: what they hide is arbitrary, and differs between two
  files that look the same. Opaque images are unaffected.
* 16-bit greyscale is scaled by its full range, 0..65535 → 0..255, and so are 32-bit integers in
  that range. Floats in 0..1 become 0..255. Other 32-bit images have no nominal range: their
  smallest value becomes 0, their largest 255.
* Nothing is decoded at a reduced size, because that changes pixels.
"""

import io
import re
import stat
import struct
import time
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from odise_cli.data.formats import readable_formats
from odise_cli.data.geometry import bilinear, fitted_size, resized_size, shrunk_size
from odise_cli.data.names import printable
from odise_cli.errors import ImageError
from odise_cli.storage import Location, Url, read_bytes
from odise_cli.structures import DecodedImage, ImageRecord

BROKEN_FILE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    RuntimeError,
    struct.error,
    zlib.error,
)
"""What Pillow's plugins raise for files that are not what they seem.

The list is as wide as Pillow's own habits; only calls of Pillow stand where it is caught.
"""

_ORIENTATION_TAG = 0x0112
_TRANSPOSITIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What turns the stored pixels upright, by orientation; 1 is upright (Exif 2.32, tag 0x0112)."""

_STRIP_HEIGHT = 256
_TO_8_BIT = ((np.arange(65536) * 255 + 32767) // 65535).astype(np.uint8)
"""[65536] uint8: 16-bit values by full range, rounded."""
_PILLOW_WARNINGS = ("ignore", None, Warning, re.compile(r"PIL\."), 0)
"""An entry of `warnings.filters`."""


def decode_image(
    record: ImageRecord,
    *,
    short_side: int,
    long_side: int,
    max_short_side: int | None = None,
    canvases: Sequence[tuple[int, int]] = (),
) -> DecodedImage:
    """Read one image and resize it for the model (bilinear, antialiased when shrinking).

    Args:
        record: The image.
        short_side: What the resized image's shorter side becomes, see `resized_size`.
        long_side: What its longer side must not exceed.
        max_short_side: An image with a longer shorter side is first shrunk to it, without
            antialiasing, and then counts as the original; None shrinks none.
        canvases: Sizes of which one has to hold it, see `fitted_size`; none is any.

    Raises:
        ImageError: The file is missing, unreadable, broken, no image, or has more than
            178,956,970 pixels (Pillow's limit against decompression bombs); or memory ran out.
    """
    start = time.perf_counter()
    where = printable(str(record.path))
    _ignore_pillow_warnings()
    try:
        image = _read_rgb(record.path)
        pixels_HW3 = _to_array(image)
        if max_short_side is not None and max_short_side < min(image.size):
            pixels_HW3 = bilinear(pixels_HW3, shrunk_size(pixels_HW3.shape[:2], max_short_side))
            image = Image.fromarray(pixels_HW3)
        size = (image.height, image.width)
        wanted = resized_size(size, short_side=short_side, long_side=long_side)
        height, width = fitted_size(wanted, canvases)
        resized_HW3 = _to_array(image.resize((width, height), Image.Resampling.BILINEAR))
    except MemoryError as error:
        raise ImageError(
            f"{where}: there is not enough memory to decode it. Expected enough for the image at "
            "its own size. Free memory, or scale the image down."
        ) from error
    return DecodedImage(
        record=record,
        pixels_HW3=pixels_HW3,
        resized_HW3=resized_HW3,
        decode_ms=(time.perf_counter() - start) * 1000,
    )


def read_image(path: Path) -> NDArray[np.uint8]:
    """The [H, W, 3] RGB pixels of an image file at its own size, upright.

    Raises:
        ImageError: The file is missing, unreadable, broken, no image, or has more than
            178,956,970 pixels.
    """
    _ignore_pillow_warnings()
    return _to_array(_read_rgb(path))


def _read_rgb(path: Location) -> Image.Image:
    where = printable(str(path))
    with _opened(path, where) as file:
        try:
            return _decode(file)
        except Image.DecompressionBombError as error:
            raise ImageError(
                f"{where}: is a decompression bomb, or simply too large ({error}). "
                "Expected at most 178,956,970 pixels. Scale the image down."
            ) from error
        except UnidentifiedImageError as error:
            raise ImageError(
                f"{where}: is no image, or of a kind that Pillow does not read. "
                "Expected JPEG, PNG, TIFF, WebP or the like. Convert it or remove it."
            ) from error
        except BROKEN_FILE_ERRORS as error:
            what = printable(str(error)) or type(error).__name__
            raise ImageError(
                f"{where}: is broken ({what}). Expected a complete image. "
                "Fetch it again, or convert it to JPEG or PNG."
            ) from error


def _opened(path: Location, where: str) -> BinaryIO:
    if isinstance(path, Url):
        return io.BytesIO(_fetched(path, where))
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            kind = "a folder" if stat.S_ISDIR(status.st_mode) else "not a regular file"
            raise ImageError(
                f"{where}: is {kind}. Expected an image file. "
                "Remove it from the sources; if it is a folder of images, make it readable."
            )
        if status.st_size == 0:
            raise ImageError(f"{where}: is empty (0 bytes). Expected an image. Fetch it again.")
        return path.open("rb")
    except OSError as error:
        raise ImageError(
            f"{where}: cannot be opened ({error.strerror}). Expected an image file. "
            "Check the path and its permissions."
        ) from error


def _fetched(url: Url, where: str) -> bytes:
    """A whole file, which is one request; decoders would make many of it."""
    try:
        data = read_bytes(url)
    except Exception as error:
        raise ImageError(
            f"{where}: cannot be fetched ({type(error).__name__}: {printable(str(error))}). "
            "Expected an image file. Check the URL and the credentials."
        ) from error
    if not data:
        raise ImageError(f"{where}: is empty (0 bytes). Expected an image. Fetch it again.")
    return data


def _decode(file: BinaryIO) -> Image.Image:
    """The first picture of a file as upright RGB."""
    with Image.open(file, formats=readable_formats()) as image:
        image.load()
        rgb = _to_rgb(image)
        # Only now: loading a TIFF turns it upright and takes the tag away.
        transposition = _transposition(image)
    return rgb if transposition is None else rgb.transpose(transposition)


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        image = Image.fromarray(_TO_8_BIT[np.asarray(image)])
    elif image.mode in ("I", "F"):
        image = Image.fromarray(_stretched(np.asarray(image)))
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba)
    # `convert` would copy an image that is RGB already.
    return image if image.mode == "RGB" else image.convert("RGB")


def _stretched(values_HW: NDArray[np.int32] | NDArray[np.float32]) -> NDArray[np.uint8]:
    """32-bit grey values as 0..255; not-a-number and constant images become 0."""
    finite = values_HW[np.isfinite(values_HW)]
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    nominal_high = 65535.0 if values_HW.dtype.kind == "i" else 1.0
    if low >= 0 and high <= nominal_high:
        low, high = 0.0, nominal_high
    if high == low:
        return np.zeros(values_HW.shape, np.uint8)
    with np.errstate(invalid="ignore"):  # a signalling not-a-number, met in the cast
        scaled_HW = (values_HW.astype(np.float64) - low) / (high - low) * 255
    return (np.nan_to_num(scaled_HW, nan=0.0).clip(0, 255) + 0.5).astype(np.uint8)


def _transposition(image: Image.Image) -> Image.Transpose | None:
    """What turns a loaded image upright; nothing where the EXIF data are broken."""
    try:
        return _TRANSPOSITIONS.get(image.getexif().get(_ORIENTATION_TAG, 1))
    except BROKEN_FILE_ERRORS:
        return None


def _to_array(image: Image.Image) -> NDArray[np.uint8]:
    """The [H, W, 3] pixels of an RGB image, in memory of their own.

    Strip by strip: at once, Pillow would hold two more copies of a large image meanwhile.
    """
    pixels_HW3 = np.empty((image.height, image.width, 3), np.uint8)
    for top in range(0, image.height, _STRIP_HEIGHT):
        bottom = min(top + _STRIP_HEIGHT, image.height)
        pixels_HW3[top:bottom] = np.asarray(image.crop((0, top, image.width, bottom)))
    return pixels_HW3


def _ignore_pillow_warnings() -> None:
    """Keep what Pillow has to say about odd files off the user's screen.

    Warnings are about files that it reads all the same; errors become failure rows. Done before
    each image, since whoever resets the filters (as pytest does) drops ours too, and for the
    whole process, since `warnings.catch_warnings` cannot be used by several threads.
    """
    if _PILLOW_WARNINGS not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")
