import io
import json

import numpy as np
from hotcoco.panoptic import PanopticEval
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from odise_cli.writers.panoptic import (
    encode_panoptic_png,
    panoptic_annotation,
    panoptic_categories,
    panoptic_image,
)
from odise_cli.writers.regions import panoptic_to_regions
from tests.writers.fakes import (
    CATEGORIES,
    open_run,
    record,
    result,
    result_of,
    segments_of,
    write_run,
)


def decoded_ids(png):
    image = Image.open(io.BytesIO(png))
    assert (image.format, image.mode) == ("PNG", "RGB")
    rgb = np.asarray(image).astype(np.int64)
    return rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2]


@given(st.lists(st.integers(0, 2**24 - 1), min_size=1, max_size=30))
def test_ids_survive_the_png(ids):
    panoptic_HW = np.array([ids], np.int32)
    assert (decoded_ids(encode_panoptic_png(panoptic_HW)) == panoptic_HW).all()


def test_channels_of_an_id_by_hand():
    # 70,000 = 112 + 256 · 17 + 65,536 · 1
    image = Image.open(io.BytesIO(encode_panoptic_png(np.array([[70_000]], np.int32))))
    assert image.getpixel((0, 0)) == (112, 17, 1)


def test_a_transposed_map_is_written_as_it_looks():
    panoptic_HW = np.arange(6, dtype=np.int32).reshape(2, 3).T
    assert (decoded_ids(encode_panoptic_png(panoptic_HW)) == panoptic_HW).all()


def test_the_annotation_by_hand():
    panoptic_HW = np.array([[0, 5, 5], [300, 5, 0]], np.int32)
    about = segments_of(panoptic_HW), panoptic_to_regions(panoptic_HW), CATEGORIES
    assert panoptic_annotation(record(4), *about) == {
        "image_id": 5,
        "file_name": "a/image4.png",
        "segments_info": [
            {
                "id": 5,
                "category_id": 7,
                "isthing": 1,
                "iscrowd": 0,
                "area": 3,
                "bbox": [1, 0, 2, 2],
                "score": 1.0,
            },
            {
                "id": 300,
                "category_id": 300,
                "isthing": 0,
                "iscrowd": 0,
                "area": 1,
                "bbox": [0, 1, 1, 1],
                "score": 0.5,
            },
        ],
    }


def test_the_image_and_the_categories_by_hand():
    assert panoptic_image("a/b.jpg", 9, (20, 30)) == {
        "id": 9,
        "file_name": "a/b.jpg",
        "width": 30,
        "height": 20,
    }
    assert panoptic_categories(CATEGORIES[2:]) == [
        {"id": 70_000, "name": "blue door", "isthing": 1, "color": [0, 0, 142]}
    ]


def test_a_run_scored_against_itself_is_perfect(tmp_path):
    write_run(tmp_path / "preds", range(6), outputs=("panoptic",))
    written = tmp_path / "preds" / "panoptic.json"
    evaluation = PanopticEval(written, written)
    evaluation.evaluate()
    results = evaluation.results()
    assert results["All"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 3}
    num_segments = sum(len(result(number).segmentation.segments) for number in range(6))
    assert sum(entry["tp"] for entry in results["per_class"].values()) == num_segments


def write_truth(folder, panoptic_HW, category_ids):
    """COCO panoptic by the format's own words, not by our writer."""
    height, width = panoptic_HW.shape
    rgb = np.stack([panoptic_HW % 256, panoptic_HW // 256 % 256, panoptic_HW // 65536], axis=-1)
    (folder / "a").mkdir(parents=True)
    Image.fromarray(rgb.astype(np.uint8)).save(folder / "a" / "image0.png")
    ids, areas = np.unique(panoptic_HW[panoptic_HW > 0], return_counts=True)
    segments = [
        {"id": int(id_), "category_id": category_id, "area": int(area), "iscrowd": 0}
        for id_, category_id, area in zip(ids, category_ids, areas, strict=True)
    ]
    document = {
        "images": [{"id": 1, "file_name": "a/image0.jpg", "width": width, "height": height}],
        "categories": [{"id": c.id, "name": c.name, "isthing": int(c.isthing)} for c in CATEGORIES],
        "annotations": [{"image_id": 1, "file_name": "a/image0.png", "segments_info": segments}],
    }
    folder.with_suffix(".json").write_text(json.dumps(document))


def test_large_ids_are_read_back_by_the_official_reader(tmp_path):
    panoptic_HW = np.kron(
        np.array([[0, 256, 70_000], [2**24 - 1, 1, 65_536]], np.int32), np.ones((4, 4), np.int32)
    )
    image = record(0)
    with open_run(tmp_path / "preds", outputs=("panoptic",)) as folder:
        folder.write(result_of(image, panoptic_HW))
        folder.finish([image], {})
    write_truth(tmp_path / "truth", panoptic_HW, [7, 300, 70_000, 7, 300])
    evaluation = PanopticEval(tmp_path / "truth.json", tmp_path / "preds" / "panoptic.json")
    evaluation.evaluate()
    assert evaluation.results()["All"] == {"pq": 1.0, "sq": 1.0, "rq": 1.0, "n": 3}
