import io

import numpy as np
import pytest
from PIL import Image

from odise_cli.errors import ImageError
from odise_cli.structures import Category, Segment
from odise_cli.writers.overlay import draw_overlay, encode_overlay_jpeg, segment_colors
from tests.writers.fakes import CATEGORIES, record, result, result_of


def segment(id_, category=0):
    return Segment(id=id_, category=category, score=1.0, alternatives=())


def draw(panoptic_HW, *, name="cat", color=(200, 0, 0)):
    """One category on a black image."""
    category = Category(id=1, words=(name,), isthing=True, color=color)
    segments = [segment(int(id_)) for id_ in np.unique(panoptic_HW) if id_]
    black = np.zeros((*panoptic_HW.shape, 3), np.uint8)
    return np.asarray(draw_overlay(black, panoptic_HW.astype(np.int32), segments, [category]))


def written_pixels(overlay):
    """Where the letters are: nothing else in these pictures is light and grey."""
    return np.argwhere((overlay > 120).all(axis=-1))


def test_the_same_result_gives_the_same_bytes():
    one, other = (encode_overlay_jpeg(result(3), CATEGORIES) for _ in range(2))
    assert one == other


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (33, 50)])
def test_the_overlay_has_the_size_of_the_image(size):
    image = Image.open(io.BytesIO(encode_overlay_jpeg(result(1, size=size), CATEGORIES)))
    assert (image.format, image.size) == ("JPEG", (size[1], size[0]))


def test_void_keeps_the_image():
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    overlay = draw_overlay(pixels, np.zeros((30, 40), np.int32), [], CATEGORIES)
    assert (np.asarray(overlay) == pixels).all()


def test_inside_a_segment_image_and_colour_have_equal_shares():
    panoptic_HW = np.zeros((40, 60), np.int32)
    panoptic_HW[:, :30] = 5
    pixels = np.full((40, 60, 3), 100, np.uint8)
    category = Category(id=1, words=("sky",), isthing=False, color=(200, 50, 0))
    overlay = np.asarray(draw_overlay(pixels, panoptic_HW, [segment(5)], [category]))
    assert overlay[2, 2].tolist() == [150, 75, 50]
    # The outline is the colour with 40 % white, on the segment's side of the border only.
    assert overlay[2, 29].tolist() == [222, 132, 102]
    assert overlay[2, 30].tolist() == [100, 100, 100]


def test_instances_of_a_thing_differ_and_stuff_does_not():
    cats_and_skies = [segment(n, category) for n, category in enumerate([0] * 12 + [1] * 3)]
    colors = segment_colors(cats_and_skies, CATEGORIES)
    assert colors[0] == CATEGORIES[0].color
    assert len(set(colors[:12])) == 12
    assert set(colors[12:]) == {CATEGORIES[1].color}
    assert all(0 <= channel <= 255 for color in colors for channel in color)


def test_a_name_is_written_inside_its_segment():
    panoptic_HW = np.zeros((200, 300), np.int32)
    panoptic_HW[20:90, 30:150] = 1
    rows, columns = written_pixels(draw(panoptic_HW)).T
    assert len(rows) > 20
    assert 20 <= rows.min() <= rows.max() < 90
    assert 30 <= columns.min() <= columns.max() < 150


def test_a_name_avoids_what_lies_upon_its_segment():
    panoptic_HW = np.full((200, 300), 1, np.int32)
    panoptic_HW[60:140, 80:220] = 0  # the middle, where the name would stand else
    for row, column in written_pixels(draw(panoptic_HW)):
        assert panoptic_HW[row, column] == 1


def test_a_tiny_segment_has_no_name():
    panoptic_HW = np.zeros((200, 300), np.int32)
    panoptic_HW[100:106, 100:106] = 1
    assert len(written_pixels(draw(panoptic_HW))) == 0


@pytest.mark.parametrize("side", ["left", "right", "top", "bottom"])
def test_a_name_at_the_border_is_whole(side):
    # The strip is as wide as the name itself: its plate would stick out of the picture.
    strip = np.zeros((300, 300), np.int32)
    strip[:, :50] = 1
    quarter_turns = {"left": 0, "bottom": 1, "right": 2, "top": 3}[side]
    at_border = draw(np.rot90(strip, quarter_turns).copy())
    # The same strip, away from the border of a larger picture.
    inside = np.zeros((300, 300), np.int32)
    inside[:, 100:150] = 1
    whole = draw(np.rot90(inside, quarter_turns).copy())
    assert len(written_pixels(at_border)) == len(written_pixels(whole)) > 0


def test_names_do_not_cover_each_other():
    # Each strip is high enough for letters, and lower than the plate behind them.
    strips = np.repeat(np.arange(1, 29), 7)[:, None] * np.ones((1, 30), np.int32)
    alone = np.where(strips == 14, 14, 0)
    num_letters_px = len(written_pixels(draw(alone, name="ill")))
    # A dot of an i has a pixel more or less by where it falls; a fifteenth name has 19 more.
    assert 0 < len(written_pixels(draw(strips, name="ill"))) < 14.5 * num_letters_px


def test_line_breaks_in_a_name_are_spaces():
    panoptic_HW = np.full((100, 200), 1, np.int32)
    assert (draw(panoptic_HW, name="blue\n door") == draw(panoptic_HW, name="blue door")).all()


def test_a_name_that_is_all_blank_is_left_out():
    assert len(written_pixels(draw(np.full((100, 200), 1, np.int32), name=" "))) == 0


def test_more_pixels_than_a_jpeg_holds_are_refused():
    wide = result_of(record(0), np.zeros((1, 65_501), np.int32))
    with pytest.raises(ImageError, match=r"image0\.jpg: is 65501×1 px.* 65500 px"):
        encode_overlay_jpeg(wide, CATEGORIES)
