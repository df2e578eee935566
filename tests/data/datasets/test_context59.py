import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from odise_cli.data.datasets.context59 import ID_OF_59_IN_459, open_context59
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of, save
from tests.data.datasets.trees_semantic import write_context59, write_context59_maps

CATEGORIES = categories_of("context59")
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

JSON = "VOCdevkit/VOC2010/trainval_merged.json"
NAME = "2008_000000.jpg"


def test_the_59_are_found_among_the_459_by_their_names(shared):
    tables = [
        json.loads((shared / f"data/categories/pascal_context_{number}.json").read_text())
        for number in (59, 459)
    ]
    names = [{entry["id"]: entry["name"] for entry in t["categories"]} for t in tables]
    found = [names[1][id_459] for id_459 in ID_OF_59_IN_459]
    expected = [names[0][id_59] for id_59 in range(1, 60)]
    assert [name for name in found if name != "table"] == [
        name for name in expected if name != "diningtable"
    ]
    assert found.index("table") == expected.index("diningtable")


@pytest.mark.parametrize("write", [write_context59, write_context59_maps])
def test_a_drawn_scene_comes_back_pixel_for_pixel(tmp_path, write):
    scenes = write(tmp_path, 3)
    dataset = open_context59(tmp_path, CATEGORIES)
    assert dataset.image_names == tuple(scenes)
    for name, values in scenes.items():
        assert (dataset.images / name).is_file()
        expected = np.where(values == 0, 65_535, values - 1)
        np.testing.assert_array_equal(dataset.read(name).semantic.to_map(), expected)


def test_a_later_annotation_is_painted_over_an_earlier_one(tmp_path):
    write_context59(tmp_path, 1)
    path = tmp_path / JSON
    document = json.loads(path.read_text())
    pixels = np.zeros(SIZE, np.uint8, order="F")
    pixels[:10] = 1
    over = coco_mask.encode(pixels)
    annotation = {
        "image_id": document["images"][0]["image_id"],
        "category_id": 458,
        "segmentation": {"size": over["size"], "counts": over["counts"].decode()},
    }
    before = open_context59(tmp_path, CATEGORIES).read(NAME).semantic.to_map()
    document["annos_segmentation"].append(annotation)
    path.write_text(json.dumps(document))
    after = open_context59(tmp_path, CATEGORIES).read(NAME).semantic.to_map()
    assert (before[:10] != 58).any()
    assert (after[:10] == 58).all()
    np.testing.assert_array_equal(after[10:], before[10:])


def test_counts(tmp_path):
    write_context59(tmp_path, 3)
    (tmp_path / "VOCdevkit/VOC2010/JPEGImages" / NAME).unlink()
    counts = open_context59(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [(3, 5105), (2, 3)]
    assert counts[1].missing == (NAME,)


def test_counts_of_maps(tmp_path):
    write_context59_maps(tmp_path, 3)
    (tmp_path / "VOCdevkit/VOC2010/SegmentationClassContext/2008_000001.png").unlink()
    counts = open_context59(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [(3, 5105), (2, 3), (3, 3)]
    assert counts[1].missing == ("2008_000001.png",)


def test_a_folder_without_the_dataset_names_its_origin(tmp_path):
    with pytest.raises(MissingDataError, match=r"VOC2010/trainval_merged\.json\. .*hangzhang"):
        open_context59(tmp_path, CATEGORIES)


def test_maps_that_count_from_0_are_refused(tmp_path):
    write_context59_maps(tmp_path, 1)
    path = tmp_path / "VOCdevkit/VOC2010/SegmentationClassContext/2008_000000.png"
    save(path, np.full(SIZE, 255, np.uint8))
    with pytest.raises(UsageError, match=r"has pixels of the value 255, .* void: 0\."):
        open_context59(tmp_path, CATEGORIES).read(NAME)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["images"].append(d["images"][0]),
            r"has the image '2008_000000\.jpg' \(image_id 2008000000\) twice\.",
        ),
        (
            lambda d: d["annos_segmentation"][0].update(image_id=99),
            r"has an annotation of the image_id 99, which is not among its images\.",
        ),
        (lambda d: d.pop("annos_segmentation"), r"has no list 'annos_segmentation'"),
        (
            lambda d: d["annos_segmentation"][0].update(category_id=460),
            r"'2008_000000\.jpg' has the category_id 460, which is no category\.",
        ),
        (
            lambda d: d["annos_segmentation"][0]["segmentation"].update(size=[44, 30]),
            r"a mask of '2008_000000\.jpg' is \(44, 30\) .* its image is \(30, 44\)\.",
        ),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, change, message):
    write_context59(tmp_path, 1)
    path = tmp_path / JSON
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=rf"trainval_merged\.json: {message}"):
        open_context59(tmp_path, CATEGORIES).read(NAME)
