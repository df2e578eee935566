import json

import numpy as np
import pytest

from odise_cli.data.datasets.ade20k import SEMANTIC_VALUE_OF_INSTANCE_CATEGORY, open_ade20k
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of, save, write_ade20k

CATEGORIES = categories_of("ade150")


def test_a_drawn_scene_comes_back_pixel_for_pixel(tmp_path):
    scenes = write_ade20k(tmp_path, 3)
    dataset = open_ade20k(tmp_path, CATEGORIES)
    assert dataset.image_names == tuple(scenes)
    for name, scene in scenes.items():
        labels = dataset.read(name)
        category_of = {region.id: region.category for region in labels.regions}
        assert len(category_of) == len(labels.regions)
        ids_of: dict[tuple[int, int, int], set[int]] = {}
        for y in range(SIZE[0]):
            for x in range(SIZE[1]):
                semantic = scene["semantic"][y, x]
                expected = 65_535 if semantic == 0 else semantic - 1
                assert labels.semantic.to_map()[y, x] == expected
                region_id = labels.panoptic.to_map()[y, x]
                if scene["number"][y, x]:
                    kind = scene["kind"][y, x]
                    # Instance categories 1, 2 and 100 are bed, windowpane and flag.
                    assert category_of[region_id] == {1: 7, 2: 8, 100: 149}[kind]
                    ids_of.setdefault((1, kind, scene["number"][y, x]), set()).add(region_id)
                elif semantic in (1, 3):
                    assert category_of[region_id] == semantic - 1
                    ids_of.setdefault((0, semantic, 0), set()).add(region_id)
                else:
                    # Void, and things that the instance map does not have.
                    assert region_id == 0
        assert all(len(ids) == 1 for ids in ids_of.values())
        assert len(set().union(*ids_of.values())) == len(ids_of) == len(labels.regions)


def test_the_table_of_instance_categories_is_the_published_one(shared):
    path = shared / "data" / "categories" / "ade20k_instance100_to_sceneparse150.json"
    published = {e["instance_id"]: e["scene_parse_id"] for e in json.loads(path.read_text())}
    assert dict(enumerate(SEMANTIC_VALUE_OF_INSTANCE_CATEGORY, start=1)) == published


def test_the_table_of_instance_categories_has_the_things():
    things = [k for k, category in enumerate(CATEGORIES, start=1) if category.isthing]
    assert list(SEMANTIC_VALUE_OF_INSTANCE_CATEGORY) == things


def test_real_images(shared):
    dataset = open_ade20k(shared / "data" / "ade20k_sample", CATEGORIES)
    assert len(dataset.image_names) == 3
    for name in dataset.image_names:
        labels = dataset.read(name)
        assert labels.panoptic.to_map().shape == labels.semantic.to_map().shape
        assert {CATEGORIES[region.category].isthing for region in labels.regions} == {True, False}
        is_stuff_HW = np.isin(
            labels.panoptic.to_map(),
            [r.id for r in labels.regions if not CATEGORIES[r.category].isthing],
        )
        category_of = {region.id: region.category for region in labels.regions}
        for region_id in np.unique(labels.panoptic.to_map()[is_stuff_HW]).tolist():
            inside = labels.semantic.to_map()[labels.panoptic.to_map() == region_id]
            assert set(inside.tolist()) == {category_of[region_id]}


def test_the_folder_itself_may_be_given(tmp_path):
    write_ade20k(tmp_path, 1)
    assert len(open_ade20k(tmp_path / "ADEChallengeData2016", CATEGORIES).image_names) == 1


def test_counts(tmp_path):
    write_ade20k(tmp_path, 2)
    root = tmp_path / "ADEChallengeData2016"
    (root / "images/validation/ADE_val_00000002.jpg").unlink()
    (root / "annotations_instance/validation/ADE_val_00000001.png").unlink()
    counts = open_ade20k(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [
        (1, 2000),
        (2, 2000),
        (1, 2000),
        (150, 150),
    ]
    assert [count.missing for count in counts] == [
        ("ADE_val_00000002.jpg",),
        (),
        ("ADE_val_00000001.png",),
        (),
    ]


def test_a_folder_without_the_dataset_names_its_origin(tmp_path):
    message = r"ADEChallengeData2016: has no annotations/validation\. .*sceneparsing\.csail\.mit"
    with pytest.raises(MissingDataError, match=message) as info:
        open_ade20k(tmp_path, CATEGORIES)
    assert info.value.exit_code == 5


def test_the_second_tar_is_asked_for(tmp_path):
    (tmp_path / "ADEChallengeData2016/annotations/validation").mkdir(parents=True)
    with pytest.raises(MissingDataError, match=r"annotations_instance/validation: is not there\."):
        open_ade20k(tmp_path, CATEGORIES)


def test_a_missing_instance_map_is_named(tmp_path):
    write_ade20k(tmp_path, 1)
    name = "annotations_instance/validation/ADE_val_00000001.png"
    (tmp_path / "ADEChallengeData2016" / name).unlink()
    with pytest.raises(MissingDataError, match=rf"{name}: is not there"):
        open_ade20k(tmp_path, CATEGORIES).read("ADE_val_00000001.jpg")


@pytest.mark.parametrize(
    ("folder", "pixels", "message"),
    [
        ("annotations", np.full(SIZE, 151, np.uint8), "has pixels of the value 151, which is no"),
        (
            "annotations_instance",
            np.full((*SIZE, 3), 101, np.uint8),
            r"has an instance of the category 101\. Expected 1 to 100",
        ),
        (
            "annotations_instance",
            np.full((5, 6, 3), 1, np.uint8),
            r"is \(5, 6\) \(height, width\), but .* is \(30, 44\)",
        ),
    ],
)
def test_damaged_maps_are_named(tmp_path, folder, pixels, message):
    write_ade20k(tmp_path, 1)
    name = f"{folder}/validation/ADE_val_00000001.png"
    save(tmp_path / "ADEChallengeData2016" / name, pixels)
    with pytest.raises(UsageError, match=f"{name}: {message}"):
        open_ade20k(tmp_path, CATEGORIES).read("ADE_val_00000001.jpg")
