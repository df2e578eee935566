import numpy as np
import pytest

from odise_cli.data.datasets.voc import open_voc
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of, save, write_voc

CATEGORIES = categories_of("voc21")


def test_a_drawn_scene_comes_back_pixel_for_pixel(tmp_path):
    scenes = write_voc(tmp_path, 3)
    dataset = open_voc(tmp_path, CATEGORIES)
    assert dataset.image_names == tuple(scenes)
    for name, values in scenes.items():
        labels = dataset.read(name)
        # Ids are values, and the background is a category like any other.
        np.testing.assert_array_equal(
            labels.semantic.to_map(), np.where(values == 255, 65_535, values)
        )
        assert labels.panoptic is None


def test_real_images(shared):
    dataset = open_voc(shared / "data" / "voc_sample", CATEGORIES)
    found = set()
    for name in dataset.image_names:
        found |= set(np.unique(dataset.read(name).semantic.to_map()).tolist())
    assert len(dataset.image_names) == 3
    assert {0, 65_535} < found <= {*range(21), 65_535}


def test_counts(tmp_path):
    write_voc(tmp_path, 3)
    root = tmp_path / "VOCdevkit/VOC2012"
    (root / "SegmentationClass/2007_000001.png").unlink()
    counts = open_voc(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [(3, 1449), (2, 3), (3, 3)]
    assert counts[1].missing == ("2007_000001.png",)
    assert [count.is_complete for count in counts] == [False, False, True]


def test_a_folder_without_the_dataset_names_its_origin(tmp_path):
    with pytest.raises(MissingDataError, match=r"VOCdevkit: has no VOC2012/.*host\.robots\.ox"):
        open_voc(tmp_path, CATEGORIES)


def test_a_value_that_is_no_category_is_named(tmp_path):
    write_voc(tmp_path, 1)
    path = tmp_path / "VOCdevkit/VOC2012/SegmentationClass/2007_000000.png"
    save(path, np.full(SIZE, 21, np.uint8))
    with pytest.raises(UsageError, match=r"000000\.png: has pixels of the value 21.*void: 255\."):
        open_voc(tmp_path, CATEGORIES).read("2007_000000.jpg")


def test_an_image_that_is_listed_twice_is_named(tmp_path):
    write_voc(tmp_path, 2)
    path = tmp_path / "VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt"
    path.write_text(path.read_text() + "2007_000001\n")
    with pytest.raises(UsageError, match=r"val\.txt: has '2007_000001' twice\. Expected every"):
        open_voc(tmp_path, CATEGORIES)
