import json
import pickle

import numpy as np
import pytest
from PIL import Image

from odise_cli.data.datasets.ade20k_full import ADE_IDS, open_ade20k_full
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import categories_of, save
from tests.data.datasets.trees_semantic import write_ade20k_full

CATEGORIES = categories_of("ade847")
INDEX = "ADE20K_2021_17_01/index_ade20k.pkl"
# wall, person and door in the full annotation, and their places in the benchmark's list.
INDEX_OF_CLASS = {2978: 0, 1831: 11, 774: 20, 0: 65_535, 3: 65_535}


def test_the_table_of_classes_is_the_published_one(shared):
    table = json.loads((shared / "data/categories/ade20k_847.json").read_text())
    assert [entry["ade_id"] for entry in table["categories"]] == list(ADE_IDS)
    by_class = {entry["ade_id"]: entry["id"] for entry in table["categories"]}
    assert {k: by_class.get(k, 65_535) for k in INDEX_OF_CLASS} == INDEX_OF_CLASS


@pytest.mark.parametrize("index", [True, False])
def test_a_drawn_scene_comes_back_pixel_for_pixel(tmp_path, index):
    scenes = write_ade20k_full(tmp_path, 3, index=index)
    dataset = open_ade20k_full(tmp_path, CATEGORIES)
    assert dataset.image_names == tuple(scenes)
    for name, classes in scenes.items():
        assert (dataset.images / name).is_file()
        expected = np.vectorize(INDEX_OF_CLASS.get)(classes)
        np.testing.assert_array_equal(dataset.read(name).semantic.to_map(), expected)


def test_large_labels_are_shrunk_without_interpolation(tmp_path):
    write_ade20k_full(tmp_path, 1)
    classes = np.full((600, 901), 2978)
    classes[300:, 450:] = 774
    channels = np.stack([classes // 256 * 10, classes % 256, classes * 0], axis=2)
    dataset = open_ade20k_full(tmp_path, CATEGORIES)
    save(next(dataset.images.rglob("*_seg.png")), channels.astype(np.uint8))
    semantic_HW = dataset.read(dataset.image_names[0]).semantic.to_map()
    # 901 / 600 · 512 = 768.9; row y comes from row floor(y · 600 / 512).
    assert semantic_HW.shape == (512, 769)
    assert np.unique(semantic_HW).tolist() == [0, 20]
    rows = [y for y in range(512) if y * 600 // 512 >= 300]
    columns = [x for x in range(769) if x * 901 // 769 >= 450]
    assert int((semantic_HW == 20).sum()) == len(rows) * len(columns)


def test_real_images_have_the_classes_of_their_annotations(shared, tmp_path):
    sample = shared / "data/ade20k_sample/ADE20K_2021_17_01/images/ADE/training"
    folder = tmp_path / "images/ADE"
    folder.mkdir(parents=True)
    (folder / "validation").symlink_to(sample)
    dataset = open_ade20k_full(tmp_path, CATEGORIES)
    assert len(dataset.image_names) == 3
    for name in dataset.image_names:
        semantic_HW = dataset.read(name).semantic.to_map()
        with Image.open(sample / name) as image:
            width, height = image.size
        assert min(semantic_HW.shape) == min(512, height, width)
        annotation = json.loads((sample / name).with_suffix(".json").read_text(encoding="utf-8"))
        drawn = {entry["name_ndx"] for entry in annotation["annotation"]["object"]}
        found = {ADE_IDS[k] for k in np.unique(semantic_HW).tolist() if k != 65_535}
        assert found
        assert found <= drawn


def test_counts(tmp_path):
    write_ade20k_full(tmp_path, 3)
    images = tmp_path / "ADE20K_2021_17_01/images/ADE/validation"
    (images / "urban/street/ADE_val_00000002.jpg").unlink()
    (images / "home_or_hotel/attic/ADE_val_00000003_seg.png").unlink()
    counts = open_ade20k_full(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [
        (1, 1),
        (847, 847),
        (2, 2000),
        (2, 2000),
    ]
    assert counts[2].missing == ("ADE_val_00000002.jpg",)
    assert counts[3].missing == ("ADE_val_00000003_seg.png",)
    (tmp_path / INDEX).unlink()
    counts = open_ade20k_full(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts[:2]] == [(0, 1), (0, 847)]
    assert all("groups.csail.mit.edu" in count.origin for count in counts)


def test_a_folder_without_the_dataset_names_its_origin(tmp_path):
    with pytest.raises(MissingDataError, match=r"has no images/ADE/validation\. .*groups\.csail"):
        open_ade20k_full(tmp_path, CATEGORIES)


def test_a_map_that_the_index_has_and_the_folder_has_not_is_named(tmp_path):
    write_ade20k_full(tmp_path, 1)
    dataset = open_ade20k_full(tmp_path, CATEGORIES)
    next(dataset.images.rglob("*_seg.png")).unlink()
    with pytest.raises(MissingDataError, match=r"ADE_val_00000001_seg\.png: is not there"):
        dataset.read(dataset.image_names[0])


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({"folder": [], "filename": []}, r"index_ade20k\.pkl: has no folder, .*objectnames"),
        ([1, 2], r"index_ade20k\.pkl: has no folder, filename"),
        (
            {"folder": ["x/images/ADE/validation/a"] * 2, "filename": ["b.jpg"] * 2} |
            {"objectnames": []},
            r"index_ade20k\.pkl: has 'a/b\.jpg' twice\.",
        ),
    ],
)  # fmt: skip
def test_an_index_that_cannot_be_is_refused(tmp_path, index, message):
    write_ade20k_full(tmp_path, 1)
    (tmp_path / INDEX).write_bytes(pickle.dumps(index))
    with pytest.raises(UsageError, match=message):
        open_ade20k_full(tmp_path, CATEGORIES)
