import numpy as np
import pytest
from scipy.io import savemat

from odise_cli.data.datasets.context459 import open_context459
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of
from tests.data.datasets.trees_semantic import write_context459, write_voc2010

CATEGORIES = categories_of("context459")
MAT = "VOCdevkit/VOC2010/trainval/2008_000000.mat"


def test_a_drawn_scene_comes_back_pixel_for_pixel(tmp_path):
    scenes = write_context459(tmp_path, 3)
    dataset = open_context459(tmp_path, CATEGORIES)
    assert dataset.image_names == tuple(scenes)
    for name, values in scenes.items():
        assert (dataset.images / name).is_file()
        # 1 is the first category; the values go beyond 8 bits.
        expected = np.where(values == 0, 65_535, values - 1)
        np.testing.assert_array_equal(dataset.read(name).semantic.to_map(), expected)


def test_counts(tmp_path):
    write_context459(tmp_path, 3)
    (tmp_path / MAT).unlink()
    counts = open_context459(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [(3, 5105), (2, 3), (3, 3)]
    assert counts[1].missing == ("2008_000000.mat",)
    assert "roozbeh" in counts[1].origin
    assert "voc2010" in counts[0].origin


def test_missing_parts_are_named_with_their_origin(tmp_path):
    with pytest.raises(MissingDataError, match=r"VOC2010/trainval\. .*roozbeh/pascal-context"):
        open_context459(tmp_path, CATEGORIES)
    write_context459(tmp_path, 1)
    (tmp_path / "VOCdevkit/VOC2010/ImageSets/Main/val.txt").unlink()
    with pytest.raises(MissingDataError, match=r"ImageSets/Main/val\.txt\. .*VOC/voc2010"):
        open_context459(tmp_path, CATEGORIES)


def test_a_map_that_is_not_there_is_named(tmp_path):
    write_context459(tmp_path, 1)
    (tmp_path / MAT).unlink()
    with pytest.raises(MissingDataError, match=r"2008_000000\.mat: is not there\. .*roozbeh"):
        open_context459(tmp_path, CATEGORIES).read("2008_000000.jpg")


@pytest.mark.parametrize(
    ("contents", "message"),
    [
        ({"LabelMap": np.full(SIZE, 460, np.uint16)}, r"has pixels of the value 460, which is no"),
        ({"Labels": np.ones(SIZE, np.uint16)}, r"has no LabelMap of integers\. Expected one"),
        ({"LabelMap": np.ones(SIZE)}, r"has no LabelMap of integers\."),
        ({"LabelMap": "text"}, r"has no LabelMap of integers\."),
    ],
)
def test_contents_that_cannot_be_are_named(tmp_path, contents, message):
    write_voc2010(tmp_path, 1)
    (tmp_path / MAT).parent.mkdir()
    savemat(tmp_path / MAT, contents)
    with pytest.raises(UsageError, match=rf"2008_000000\.mat: {message}"):
        open_context459(tmp_path, CATEGORIES).read("2008_000000.jpg")


@pytest.mark.parametrize("num_bytes", [0, 60, 128, 150, 250])
def test_a_damaged_file_is_named(tmp_path, num_bytes):
    write_context459(tmp_path, 1)
    path = tmp_path / MAT
    content = path.read_bytes()
    assert len(content) > 250
    path.write_bytes(content[:num_bytes])
    with pytest.raises(UsageError, match=r"2008_000000\.mat: "):
        open_context459(tmp_path, CATEGORIES).read("2008_000000.jpg")
