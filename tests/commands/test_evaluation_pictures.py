import io
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from odise_cli.commands.evaluation_pictures import draw_pictures
from odise_cli.structures import VOID_CATEGORY, Category, LabelRuns, Labels, Region

CATEGORIES = (
    Category(id=1, words=("sky",), isthing=False, color=(200, 0, 0)),
    Category(id=2, words=("cat",), isthing=True, color=(0, 0, 200)),
)
SIZE = (60, 80)


def pixels(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg))).astype(int)


def labels(left, right, size=SIZE, *, ids=(1, 2)):
    """Two halves of some categories; None is void."""
    panoptic_HW = np.zeros(size, np.int32)
    semantic_HW = np.full(size, VOID_CATEGORY, np.uint16)
    regions = []
    halves = (slice(0, size[1] // 2), slice(size[1] // 2, None))
    for id_, category, columns in zip(ids, (left, right), halves, strict=True):
        if category is not None:
            panoptic_HW[:, columns] = id_
            semantic_HW[:, columns] = category
            regions.append(Region(id=id_, category=category))
    return Labels(
        panoptic=LabelRuns.of_map(panoptic_HW),
        regions=tuple(regions),
        semantic=LabelRuns.of_map(semantic_HW),
    )


def semantic_only(all_labels):
    return Labels(semantic=all_labels.semantic)


@pytest.fixture
def photo(tmp_path):
    path = tmp_path / "photo.png"
    Image.new("RGB", SIZE[::-1], (100, 100, 100)).save(path)
    return path


@pytest.mark.parametrize("kind", [lambda all_labels: all_labels, semantic_only])
def test_truth_and_prediction_share_their_colors(photo, kind):
    # The cat has the id 16,777,215 in one and 2 in the other.
    truth = kind(labels(0, 1, ids=(1, 16_777_215)))
    pictures = draw_pictures([photo], truth, kind(labels(1, None)), CATEGORIES)
    # Half photograph, half colour, away from outlines and names.
    sky, cat = (150, 50, 50), (50, 50, 150)
    assert pixels(pictures.truth)[3, 3] == pytest.approx(sky, abs=4)
    assert pixels(pictures.truth)[3, -3] == pytest.approx(cat, abs=4)
    assert pixels(pictures.predicted)[3, 3] == pytest.approx(cat, abs=4)
    # What is void is the photograph.
    assert pixels(pictures.predicted)[3, -3] == pytest.approx((100, 100, 100), abs=4)
    assert pixels(pictures.photo)[3, 3] == pytest.approx((100, 100, 100), abs=4)


def test_the_first_photograph_that_can_be_read_is_taken(photo, tmp_path):
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(b"no image")
    both = labels(0, 1), labels(0, 1)
    pictures = draw_pictures([tmp_path / "absent.jpg", broken, photo], *both, CATEGORIES)
    assert pixels(pictures.photo)[3, 3] == pytest.approx((100, 100, 100), abs=4)
    assert draw_pictures([broken], *both, CATEGORIES).photo is None


def test_without_a_photograph_the_labels_lie_on_grey():
    pictures = draw_pictures([], labels(None, 1), labels(None, None), CATEGORIES)
    assert pixels(pictures.truth)[3, 3] == pytest.approx((128, 128, 128), abs=4)
    assert pixels(pictures.truth)[3, -3] == pytest.approx((64, 64, 164), abs=4)
    assert pixels(pictures.predicted).shape == (*SIZE, 3)


def test_labels_of_another_size_than_the_photograph_are_stretched(photo):
    truth = labels(0, 1, (30, 40))
    pictures = draw_pictures([photo], truth, truth, CATEGORIES)
    assert pixels(pictures.truth).shape == (*SIZE, 3)
    assert pixels(pictures.truth)[-3, -3] == pytest.approx((50, 50, 150), abs=4)


def test_pictures_are_small_whatever_the_image_is(tmp_path):
    path = tmp_path / "noise.png"
    noise = np.random.default_rng(0).integers(0, 256, (900, 900, 3), np.uint8)
    Image.fromarray(noise).save(path)
    # One pixel of a second region is lost on the way to the small map.
    ids_HW = np.ones((900, 900), np.int32)
    ids_HW[0, 0] = 2
    truth = replace(labels(0, 1, (900, 900)), panoptic=LabelRuns.of_map(ids_HW))
    pictures = draw_pictures([path], truth, truth, CATEGORIES)
    for jpeg in (pictures.photo, pictures.truth, pictures.predicted):
        assert pixels(jpeg).shape == (560, 560, 3)
        assert len(jpeg) <= 90_000
