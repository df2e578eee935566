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
