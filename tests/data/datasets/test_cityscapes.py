import numpy as np
import pytest

from odise_cli.data.datasets.cityscapes import open_cityscapes
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of, save
from tests.data.datasets.trees_streets import write_cityscapes

CATEGORIES = categories_of("cityscapes19")
# By the owner's table: road, sky, rider, car; the others are not evaluated.
INDEX_OF_LABEL = {7: 0, 23: 10, 25: 12, 26: 13}
SCENE = "gtFine/val/lindau/lindau_000000_000019_gtFine"


def test_a_drawn_scene_comes_back_pixel_for_pixel(tmp_path):
    scenes = write_cityscapes(tmp_path, 3)
    dataset = open_cityscapes(tmp_path, CATEGORIES)
    assert dataset.image_names == tuple(scenes)
    crowds = 0
    for name, values in scenes.items():
        assert (dataset.images / name).is_file()
        labels = dataset.read(name)
        region_of = {region.id: region for region in labels.regions}
        assert len(region_of) == len(labels.regions)
        met = set()
        for y in range(SIZE[0]):
            for x in range(SIZE[1]):
                value = int(values[y, x])
                label = value // 1000 if value >= 1000 else value
                assert labels.semantic.to_map()[y, x] == INDEX_OF_LABEL.get(label, 65_535)
                region_id = labels.panoptic.to_map()[y, x]
                if label not in INDEX_OF_LABEL:
                    assert region_id == 0
                    continue
                met.add((value, region_id))
                region = region_of[region_id]
                assert region.category == INDEX_OF_LABEL[label]
                assert region.iscrowd == (value == 26)
                crowds += region.iscrowd
        # A region for each value, and no other is listed.
        assert len({value for value, _ in met}) == len(met) == len(region_of)
    assert crowds > 0


def test_the_things_are_the_eight_that_have_instances():
    things = {category.id for category in CATEGORIES if category.isthing}
    assert things == {24, 25, 26, 27, 28, 31, 32, 33}


def test_counts(tmp_path):
    write_cityscapes(tmp_path, 3)
    root = tmp_path / "cityscapes"
    (root / f"{SCENE}_instanceIds.png").unlink()
    (root / "leftImg8bit/val/munster/munster_000001_000019_leftImg8bit.png").unlink()
    counts = open_cityscapes(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [(2, 500), (2, 500), (3, 500)]
    assert counts[0].missing == ("munster_000001_000019_leftImg8bit.png",)
    assert counts[1].missing == ("lindau_000000_000019_gtFine_instanceIds.png",)
    assert ["leftImg8bit_trainvaltest" in count.origin for count in counts] == [True, False, False]


def test_a_folder_without_the_dataset_names_its_origin(tmp_path):
    with pytest.raises(MissingDataError, match=r"gtFine/val\. .*cityscapes-dataset\.com/downloads"):
        open_cityscapes(tmp_path, CATEGORIES)


def test_a_missing_instance_map_is_named(tmp_path):
    write_cityscapes(tmp_path, 1)
    (tmp_path / "cityscapes" / f"{SCENE}_instanceIds.png").unlink()
    dataset = open_cityscapes(tmp_path, CATEGORIES)
    with pytest.raises(MissingDataError, match=rf"{SCENE}_instanceIds\.png: is not there"):
        dataset.read(dataset.image_names[0])


@pytest.mark.parametrize(
    ("kind", "pixels", "message"),
    [
        ("labelIds", np.full(SIZE, 34, np.uint8), "has pixels of the value 34, which is no cat"),
        ("instanceIds", np.full(SIZE, 34_000, np.uint16), "has pixels of the value 34000, which"),
        ("instanceIds", np.full((5, 6), 7, np.uint16), r"is \(5, 6\) .*labelIds.* is \(30, 44\)"),
    ],
)
def test_damaged_maps_are_named(tmp_path, kind, pixels, message):
    write_cityscapes(tmp_path, 1)
    save(tmp_path / "cityscapes" / f"{SCENE}_{kind}.png", pixels)
    dataset = open_cityscapes(tmp_path, CATEGORIES)
    with pytest.raises(UsageError, match=rf"{SCENE}_{kind}\.png: {message}"):
        dataset.read(dataset.image_names[0])
