import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from odise_cli.data.decode import decode_image
from odise_cli.errors import ImageError
from odise_cli.structures import DecodedImage, ImageRecord
from tests.data.images import encoded, noise

Decode = Callable[[Path], DecodedImage]
RED = (255, 0, 0)


def png_of_size(width: int, height: int) -> bytes:
    """A PNG file of 45 bytes that promises so many pixels."""

    def chunk(name: bytes, data: bytes) -> bytes:
        crc = struct.pack(">I", zlib.crc32(name + data))
        return struct.pack(">I", len(data)) + name + data + crc

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"x\.jpg: is empty \(0 bytes\)\. Expected an image\. Fetch it again\."),
        (b"These are words.\n", r"x\.jpg: is no image, or of a kind that Pillow does not read\. "),
        (b"\xff\xd8\xff", r"x\.jpg: is no image"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", r"x\.jpg: is no image"),
        (b"\x89HDF\r\n\x1a\n" + bytes(99), r"x\.jpg: is no image"),
        (
            png_of_size(20_000, 20_000),
            r"x\.jpg: is a decompression bomb, or simply too large \(Image size \(400000000 .*"
            r"Expected at most 178,956,970 pixels\. Scale the image down\.",
        ),
        (png_of_size(50, 50), r"x\.jpg: is broken \(.*\)\. Expected a complete image\. Fetch it"),
        (png_of_size(0, 5), r"x\.jpg: is "),
    ],
)
def test_files_that_are_no_images(
    tmp_path: Path, decode: Decode, content: bytes, message: str
) -> None:
    (tmp_path / "x.jpg").write_bytes(content)
    with pytest.raises(ImageError, match=rf"^{tmp_path}/{message}"):
        decode(tmp_path / "x.jpg")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP", "GIF", "BMP", "AVIF", "JPEG2000"])
@pytest.mark.parametrize("share", [0.5, 0.9, 0.99])
def test_truncated_files(tmp_path: Path, decode: Decode, kind: str, share: float) -> None:
    data = encoded(Image.fromarray(noise(64, 64)), kind)
    (tmp_path / "x").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ImageError, match=r"x: is (broken|no image)"):
        decode(tmp_path / "x")


def test_missing_file(tmp_path: Path, decode: Decode) -> None:
    with pytest.raises(
        ImageError,
        match=r"x\.jpg: cannot be opened \(No such file or directory\)\. Expected an image file\. "
        r"Check the path and its permissions\.",
    ):
        decode(tmp_path / "x.jpg")


def test_other_things_that_are_no_files(tmp_path: Path, decode: Decode) -> None:
    (tmp_path / "folder.jpg").mkdir()
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "broken.jpg").symlink_to("nowhere")
    (tmp_path / "loop.jpg").symlink_to("loop.jpg")
    for name, message in {
        "folder.jpg": r"is a folder\. Expected an image file\. Remove it from the sources; if",
        "pipe.jpg": "is not a regular file",  # opening it would wait for ever
        "broken.jpg": "No such file",
        "loop.jpg": "Too many levels of symbolic links",
        "9" * 300 + ".jpg": "File name too long",
    }.items():
        with pytest.raises(ImageError, match=message):
            decode(tmp_path / name)


def test_file_without_read_permission(
    open_folder: Path, decode: Decode, locked: Callable[[Path], None]
) -> None:
    Image.new("RGB", (4, 4)).save(open_folder / "x.png")
    locked(open_folder / "x.png")
    with pytest.raises(ImageError, match=r"x\.png: cannot be opened \(Permission denied\)"):
        decode(open_folder / "x.png")


def test_message_is_one_printable_line(tmp_path: Path, decode: Decode) -> None:
    path = tmp_path / os.fsdecode(b"two\nlines \xe9.jpg")
    path.write_bytes(b"words")
    with pytest.raises(ImageError, match=r"/two%0Alines %E9\.jpg: is no image"):
        decode(path)


def test_odd_names_are_read(tmp_path: Path, decode: Decode) -> None:
    for name in (b"two\nlines.png", b"latin-\xe9.png", b"back\\slash.png", b"-x.png", b"x" * 251):
        path = tmp_path / os.fsdecode(name)
        Image.new("RGB", (4, 4), RED).save(path, "PNG")
        assert decode(path).pixels_HW3[0, 0].tolist() == [*RED]


OUT_OF_MEMORY = """
import resource, sys
from pathlib import Path
from odise_cli.data.decode import decode_image
from odise_cli.data.formats import readable_formats
from odise_cli.errors import ImageError
from odise_cli.structures import ImageRecord

readable_formats()
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + 100 * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
record = ImageRecord(path=Path(sys.argv[1]), name="x", stem="x", image_id=1)
try:
    decode_image(record, short_side=32, long_side=48)
except ImageError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited as Linux does it")
def test_out_of_memory(tmp_path: Path) -> None:
    Image.new("L", (8_000, 6_000)).save(tmp_path / "x.png", compress_level=1)
    result = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(tmp_path / "x.png")],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "x.png: there is not enough memory to decode it. Expected" in result.stdout


# --- whatever the bytes


@cache
def seeds() -> list[bytes]:
    exif = Image.Exif()
    exif[0x0112] = 6
    image = Image.fromarray(noise(24, 20))
    return [
        encoded(image, "JPEG", exif=exif),
        encoded(image, "PNG", exif=exif),
        encoded(image.convert("P"), "PNG", transparency=3),
        encoded(image, "TIFF", exif=exif),
        encoded(image.convert("F"), "TIFF"),
        encoded(image, "WEBP"),
        encoded(image, "GIF", save_all=True, append_images=[image.rotate(90)]),
        encoded(image, "BMP"),
        encoded(image, "PPM"),
        encoded(image, "TGA"),
        encoded(image, "ICO"),
    ]


@settings(max_examples=400, deadline=None)
@given(data=st.data())
def test_corrupt_bytes_give_an_image_or_an_image_error(
    tmp_path_factory: pytest.TempPathFactory,
    make_record: Callable[[Path], ImageRecord],
    data: st.DataObject,
) -> None:
    content = bytearray(data.draw(st.sampled_from(seeds())))
    for _ in range(data.draw(st.integers(1, 6))):
        # Headers matter most.
        position = data.draw(st.integers(0, 80) | st.integers(0, len(content) - 1))
        content[position % len(content)] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.integers(1, len(content)) | st.just(len(content)))]
    path = tmp_path_factory.getbasetemp() / "corrupt"
    path.write_bytes(content)
    try:
        image = decode_image(make_record(path), short_side=32, long_side=48)
    except ImageError as error:
        assert str(error).startswith(f"{path}: ")  # noqa: PT017 (success is allowed too)
    else:
        assert image.pixels_HW3.shape == (*image.size, 3)
