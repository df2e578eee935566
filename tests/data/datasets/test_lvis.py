import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from odise_cli.data.datasets.lvis import open_lvis
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of
from tests.data.datasets.trees_instances import write_lvis

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CATEGORIES = categories_of("lvis1203")


def test_drawn_masks_come_back_pixel_for_pixel(tmp_path):
    scenes = write_lvis(tmp_path, 3)
    dataset = open_lvis(tmp_path, CATEGORIES)
    assert set(dataset.image_names) == set(scenes)
    for name, instances in scenes.items():
        assert (dataset.images / name).is_file()
        labels = dataset.read(name)
        assert labels.size == SIZE
        assert labels.panoptic is None
        assert len(labels.instances) == len(instances)
        for found, (category_id, pixels) in zip(labels.instances, instances, strict=True):
            assert (found.category, found.iscrowd) == (category_id - 1, False)
            np.testing.assert_array_equal(coco_mask.decode(found.rle), pixels)
            assert found.area_px == pixels.sum()


def test_what_is_known_of_other_categories_comes_with_an_image(tmp_path):
    write_lvis(tmp_path, 2)
    dataset = open_lvis(tmp_path, CATEGORIES)
    first = dataset.read("val2017/000000000001.jpg")
    assert first.absent_categories == {10, 500}
    assert first.incomplete_categories == {7}
    assert dataset.read("train2017/000000000002.jpg").incomplete_categories == set()
    # Of ids 1, 2 and 3; the file says r where the id is a multiple of three.
    assert dataset.frequencies[:3] == ("c", "f", "r")


def test_the_json_may_lie_in_a_folder_of_its_own(tmp_path):
    write_lvis(tmp_path, 1)
    (tmp_path / "lvis").mkdir()
    (tmp_path / "lvis_v1_val.json").rename(tmp_path / "lvis/lvis_v1_val.json")
    for data in (tmp_path, tmp_path / "lvis"):
        dataset = open_lvis(data, CATEGORIES)
        assert (dataset.images / dataset.image_names[0]).is_file()


def test_counts(tmp_path):
    write_lvis(tmp_path, 3)
    (tmp_path / "coco/train2017/000000000002.jpg").unlink()
    counts = open_lvis(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [
        (3, 19_809),
        (1203, 1203),
        (2, 3),
    ]
    assert counts[2].missing == ("000000000002.jpg",)
    assert "cocodataset.org" in counts[2].origin


def test_a_folder_without_the_dataset_names_its_origin(tmp_path):
    with pytest.raises(MissingDataError, match=r"lvis_v1_val\.json\. .*lvisdataset\.org/dataset"):
        open_lvis(tmp_path, CATEGORIES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["images"].append(d["images"][0]),
            r"has the image 1 \(id 1\) twice\. Expected every image once\.",
        ),
        (
            lambda d: d["annotations"].append(d["annotations"][0]),
            r"has the annotation 10 twice\. Expected every annotation once\.",
        ),
        (
            lambda d: d["annotations"][0].update(image_id=99),
            r"the annotation 10 is of the image_id 99, which is not among its images\.",
        ),
        (
            lambda d: d["annotations"][0].update(category_id=1204),
            r"the annotation 10 has the category_id 1204, which is no category\.",
        ),
        (
            lambda d: d["annotations"][0]["segmentation"].update(size=[44, 30]),
            r"the mask of annotation 10 is \(44, 30\) .* its image is \(30, 44\)\.",
        ),
        (
            lambda d: d["images"][0].update(neg_category_ids=[1204]),
            r"the neg_category_ids of the image 1 have 1204, which is no category\.",
        ),
        (
            lambda d: d["categories"].pop(),
            r"has 1,202 categories, and no frequency of \[1203\]\. Expected the 1,203 of LVIS v1",
        ),
        (lambda d: d["categories"][4].update(frequency="x"), r"no frequency of \[5\]\."),
        (lambda d: d["images"][0].pop("coco_url"), r"images\[0\] has no 'coco_url'\."),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, change, message):
    write_lvis(tmp_path, 1)
    path = tmp_path / "lvis_v1_val.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=rf"lvis_v1_val\.json: .*{message}"):
        open_lvis(tmp_path, CATEGORIES).read("val2017/000000000001.jpg")
