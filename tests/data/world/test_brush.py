"""Canvas and brush; what things look like is test_render's."""

import tracemalloc

import numpy as np
import pytest

from odise_cli.data.world.brush import Brush, Canvas, Look, contrasting, toned

RED = (200, 40, 40)


def brush(canvas: Canvas, *, pattern: str = "plain", **fields) -> Brush:
    look = Look(color=RED, pattern=pattern)
    return Brush(
        canvas=canvas, number=7, look=look, **{"x": 0.5, "y": 1.0, "height": 1.0, **fields}
    )


def drawn_box(*, window=(0.0, 0.0, 1.0), size=(64, 64), **fields) -> tuple[np.ndarray, np.ndarray]:
    """The right upper quarter of a thing as large as the scene."""
    canvas = Canvas(size, window=window)
    brush(canvas, **fields).box(0.0, 0.5, 0.5, 1.0, RED, is_body=True)
    return canvas.finish()


def box_of(ids: np.ndarray) -> tuple[int, int, int, int]:
    """Top, left, bottom and right of what was drawn, the last two excluded."""
    rows, columns = np.flatnonzero(ids.any(axis=1)), np.flatnonzero(ids.any(axis=0))
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, (0, 32, 32, 64)),
        ({"is_mirrored": True}, (0, 0, 32, 32)),
        ({"height": 0.5}, (32, 32, 48, 48)),
        ({"x": 0.25}, (0, 16, 32, 48)),
        # A quarter of a turn clockwise about the base: from x 0..0.5, y 0.5..1 up.
        ({"tilt": np.pi / 2, "x": 0.0, "y": 0.5}, (32, 32, 64, 64)),
        # Half the scene from (0.5, 0) on: everything is twice as large.
        ({"window": (0.5, 0.0, 0.5)}, (0, 0, 64, 64)),
        ({"size": (64, 128)}, (0, 32, 32, 64)),
    ],
)
def test_a_brush_draws_in_its_own_frame(fields, expected):
    _, ids = drawn_box(**fields)
    # Pillow's polygons include the pixels of their edges.
    assert box_of(ids) == pytest.approx(expected, abs=1)
    assert set(np.unique(ids)) <= {0, 7}


def test_both_canvases_show_the_same():
    image, ids = drawn_box()
    assert np.mean((image[..., 0] == RED[0]) == (ids == 7)) > 0.96


@pytest.mark.parametrize("pattern", ["striped", "dotted", "checkered"])
def test_marks_stay_on_their_body(pattern):
    plain, ids = drawn_box()
    marked, marked_ids = drawn_box(pattern=pattern)
    assert np.array_equal(ids, marked_ids)
    changed = np.any(plain != marked, axis=-1)
    assert not changed[:, :31].any()
    assert 0.1 < changed[1:31, 33:63].mean() < 0.75
    is_mark = np.all(marked == contrasting(RED), axis=-1)
    assert is_mark.sum() > 0.5 * changed.sum()


@pytest.mark.parametrize("pattern", ["striped", "dotted", "checkered"])
def test_a_part_has_the_marks_of_the_whole(pattern):
    # 64 pixels of a picture of 128 are half of the scene.
    whole, _ = drawn_box(pattern=pattern, size=(128, 128))
    part, _ = drawn_box(pattern=pattern, window=(0.25, 0.0, 0.5))
    assert np.mean(np.any(whole[:64, 32:96] != part, axis=-1)) < 0.03


def test_a_pattern_far_larger_than_the_picture_takes_little_memory():
    window = (0.6, 0.1, 0.02)
    drawn_box(window=window)
    tracemalloc.start()
    _, ids = drawn_box(pattern="checkered", window=window)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The body is 3200 pixels wide and high; its marks in double precision would be 80 MB.
    assert peak < 8e6
    assert (ids == 7).all()


def test_what_is_outside_leaves_no_mark():
    image, ids = drawn_box(pattern="dotted", x=-4.0)
    assert not image.any()
    assert not ids.any()


def test_tones():
    assert toned((100, 200, 250), 1.5) == (150, 255, 255)
    assert toned((100, 200, 250), 0.5) == (50, 100, 125)
    assert contrasting((240, 240, 240)) == (132, 132, 132)
    assert contrasting((10, 10, 10)) == (244, 240, 228)
