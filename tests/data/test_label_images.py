import numpy as np
import pytest
from PIL import Image

from odise_cli.data.label_images import read_id_png, read_label_png, read_rgb_png
from odise_cli.errors import MissingDataError, UsageError


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65_535)])
def test_a_number_a_pixel(tmp_path, dtype, top):
    values = np.array([[0, 1, 200], [top, 7, top - 1]], dtype)
    Image.fromarray(values).save(tmp_path / "x.png")
    found = read_label_png(tmp_path / "x.png")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, values)


def test_a_palette_is_read_by_place_and_not_by_colour(tmp_path):
    image = Image.fromarray(np.array([[0, 3, 255]], np.uint8)).convert("P")
    image.putpalette([9] * 768)
    image.save(tmp_path / "x.png")
    assert read_label_png(tmp_path / "x.png").tolist() == [[0, 3, 255]]


def test_ids_of_three_bytes(tmp_path):
    pixels = np.array([[[1, 0, 0], [0, 1, 0], [0, 0, 1], [255, 255, 255]]], np.uint8)
    Image.fromarray(pixels).save(tmp_path / "x.png")
    assert read_id_png(tmp_path / "x.png").tolist() == [[1, 256, 65_536, 16_777_215]]


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (30, 41)])
@pytest.mark.parametrize("tile", [1, 4])
def test_ids_in_long_and_short_runs(tmp_path, size, tile):
    height, width = size
    rng = np.random.default_rng(tile)
    # Neighbours that differ in one byte, in two, in all of them, or not at all.
    tiles = rng.choice([0, 1, 256, 257, 65_536, 0xFFFFFF], (-(-height // tile), -(-width // tile)))
    ids = np.kron(tiles, np.ones((tile, tile), int))[:height, :width]
    channels = np.stack([ids % 256, ids // 256 % 256, ids // 65_536], axis=2).astype(np.uint8)
    Image.fromarray(channels).save(tmp_path / "x.png")
    found = read_id_png(tmp_path / "x.png")
    assert found.dtype == np.int32
    np.testing.assert_array_equal(found, ids)


def test_what_is_no_plain_png_is_read_by_pillow(tmp_path):
    values = np.array([[0, 1], [200, 255]], np.uint8)
    Image.fromarray(values).save(tmp_path / "x.png", format="BMP")
    assert read_label_png(tmp_path / "x.png").tolist() == values.tolist()
    Image.fromarray(values > 100).save(tmp_path / "x.png")
    assert read_label_png(tmp_path / "x.png").astype(bool).tolist() == (values > 100).tolist()


@pytest.mark.parametrize("read", [read_label_png, read_id_png, read_rgb_png])
def test_files_that_are_missing_or_damaged_are_named(tmp_path, read):
    with pytest.raises(MissingDataError, match=r"x\.png: is not there"):
        read(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes(b"no picture")
    with pytest.raises(UsageError, match=r"x\.png: cannot be read: cannot identify"):
        read(tmp_path / "x.png")
    mode = "L" if read is read_label_png else "RGB"
    noise = np.random.default_rng(0).integers(0, 256, (50, 50, 3), np.uint8)
    Image.fromarray(noise).convert(mode).save(tmp_path / "x.png")
    (tmp_path / "x.png").write_bytes((tmp_path / "x.png").read_bytes()[:300])
    with pytest.raises(UsageError, match=r"x\.png: cannot be read: .*truncated"):
        read(tmp_path / "x.png")


def test_colours_are_no_labels(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "x.png")
    with pytest.raises(UsageError, match=r"x\.png: is a picture of mode RGB\. Expected one number"):
        read_label_png(tmp_path / "x.png")
