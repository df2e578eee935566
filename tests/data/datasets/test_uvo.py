import json

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from odise_cli.data.datasets.uvo import open_uvo
from odise_cli.errors import MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of
from tests.data.datasets.trees_instances import write_uvo

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CATEGORIES = categories_of("coco133")


@pytest.mark.parametrize("folder", ["", "FrameSet"])
def test_drawn_masks_come_back_pixel_for_pixel(tmp_path, folder):
    scenes = write_uvo(tmp_path, 3, folder=folder)
    dataset = open_uvo(tmp_path, CATEGORIES)
    assert set(dataset.image_names) == set(scenes)
    for name, instances in scenes.items():
        assert (dataset.images / name).is_file()
        labels = dataset.read(name)
        assert labels.size == SIZE
        for found, (pixels, iscrowd) in zip(labels.instances, instances, strict=True):
            assert (found.category, found.iscrowd) == (0, iscrowd)
            np.testing.assert_array_equal(coco_mask.decode(found.rle), pixels)


def test_counts(tmp_path):
    write_uvo(tmp_path, 3)
    (tmp_path / "UVO/uvo_videos_sparse_frames/videob/1.png").unlink()
    counts = open_uvo(tmp_path, CATEGORIES).counts
    assert [(count.found, count.published) for count in counts] == [(3, 7356), (2, 3)]
    assert counts[1].missing == ("1.png",)
    assert all("unidentified-video-object" in count.origin for count in counts)


def test_a_folder_without_the_dataset_names_its_origin(tmp_path):
    with pytest.raises(MissingDataError, match=r"UVO_frame_val\.json\. .*unidentified-video-obj"):
        open_uvo(tmp_path, CATEGORIES)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda d: d["images"].append({**d["images"][0], "id": 7}),
            r"has the image 'videob/0\.png' \(id 7\) twice\. Expected every image once\.",
        ),
        (
            lambda d: d["annotations"][0].update(image_id=99),
            r"the annotation 10 is of the image_id 99, which is not among its images\.",
        ),
        (
            lambda d: d["annotations"][0]["segmentation"].update(size=[44, 30]),
            r"the mask of annotation 10 is \(44, 30\) .* its image is \(30, 44\)\.",
        ),
    ],
)
def test_a_file_that_contradicts_itself_is_refused(tmp_path, change, message):
    write_uvo(tmp_path, 1)
    path = tmp_path / "UVO/UVO_frame_val.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))
    with pytest.raises(UsageError, match=rf"UVO_frame_val\.json: {message}"):
        open_uvo(tmp_path, CATEGORIES).read("videob/0.png")
