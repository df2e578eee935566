import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from pycocotools import mask as coco_mask

from odise_cli.data.rle import _runs, are_whole, check_rle
from odise_cli.errors import UsageError

MASKS = arrays(
    np.uint8, array_shapes(min_dims=2, max_dims=2, max_side=70), elements=st.integers(0, 1)
)
WORDS = {"what": "preds: the mask of 'a.jpg'", "advice": "Segment the image again."}


def slow_runs(pixels):
    """Run lengths down the columns, zeros first."""
    runs, value = [0], 0
    for pixel in pixels.T.ravel().tolist():
        if pixel != value:
            runs.append(0)
            value = pixel
        runs[-1] += 1
    return runs


@given(MASKS)
def test_runs_are_those_of_a_walk_over_the_pixels(pixels):
    rle = coco_mask.encode(np.asfortranarray(pixels))
    assert _runs([rle["counts"]])[0].tolist() == slow_runs(pixels)
    check_rle({**rle, "counts": rle["counts"].decode()}, pixels.shape, **WORDS)
    check_rle(rle, pixels.shape, **WORDS)
    check_rle({"size": pixels.shape, "counts": slow_runs(pixels)}, pixels.shape, **WORDS)


@given(st.lists(MASKS, min_size=1, max_size=6), st.data())
def test_masks_of_an_image_are_told_apart(masks, data):
    rles = [coco_mask.encode(np.asfortranarray(pixels)) for pixels in masks]
    runs, starts = _runs([rle["counts"] for rle in rles])
    found = [part.tolist() for part in np.split(runs, starts[1:])]
    assert found == [slow_runs(pixels) for pixels in masks]
    assert are_whole(rles)
    place = data.draw(st.integers(0, len(rles) - 1))
    height, width = rles[place]["size"]
    rles[place] = {**rles[place], "size": [height + 1, width]}
    assert not are_whole(rles)


def test_long_runs_and_large_differences():
    pixels = np.zeros((3000, 4000), np.uint8, order="F")
    pixels[:, 7:3900] = 1
    pixels[5:8, 3950] = 1
    rle = coco_mask.encode(pixels)
    assert _runs([rle["counts"]])[0].tolist() == slow_runs(pixels)
    check_rle(rle, pixels.shape, **WORDS)


@given(MASKS, st.data())
def test_a_mask_that_lost_its_end_is_refused(pixels, data):
    rle = coco_mask.encode(np.asfortranarray(pixels))
    end = data.draw(st.integers(0, len(rle["counts"]) - 1))
    lost = {"size": rle["size"], "counts": rle["counts"][:end]}
    with pytest.raises(UsageError, match=r"'a\.jpg' has runs that do not add up to"):
        check_rle(lost, pixels.shape, **WORDS)


@pytest.mark.parametrize(
    ("rle", "message"),
    [
        ({"size": [4, 3], "counts": [12]}, r"is \(4, 3\) \(height, width\), its image is \(3, 4\)"),
        ({"size": [3, 4], "counts": [5, 6]}, "has runs that do not add up to the 12 pixels"),
        ({"size": [3, 4], "counts": [13, -1]}, "has runs that do not add up to the 12 pixels"),
        ({"size": [3, 4], "counts": b""}, "has runs that do not add up to the 12 pixels"),
        ({"size": [3, 4], "counts": "\x00\x01"}, "has runs that do not add up to the 12 pixels"),
        ({"size": [3, 4], "counts": "ÿÿ"}, "has runs that do not add up to the 12 pixels"),
        (
            {"size": [3, 4], "counts": "o" * 40 + "0"},
            "has runs that do not add up to the 12 pixels",
        ),
    ],
)
def test_what_is_no_mask_of_the_image_is_named(rle, message):
    with pytest.raises(UsageError, match=rf"^preds: the mask of 'a\.jpg' {message}"):
        check_rle(rle, (3, 4), **WORDS)
