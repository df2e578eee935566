"""What is wrong with predictions or ground truth is an error that names it, never a lower score."""

import json

import numpy as np
import pytest
from PIL import Image

from odise_cli.cli.app import main
from tests.commands.truths import truth_run

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture
def run(tmp_path, capsys):
    """Evaluates a miniature dataset; the exit code, and what is said on standard error."""

    def evaluate(fields):
        code = main(["evaluate", *(f"--{name}={value}" for name, value in fields.items())])
        return code, capsys.readouterr().err

    return evaluate


def change_json(path, change):
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def change_lines(folder, change):
    """Change what a run's journal says of its images' results."""
    changed = 0
    for path in folder.rglob("*.jsonl"):
        entries = [json.loads(line) for line in path.read_text().splitlines()]
        for entry in entries:
            if entry.get("instances") or "panoptic" in entry:
                change(entry)
                changed += 1
        path.write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    assert changed


def repaint(path, old, new):
    with Image.open(path) as image:
        pixels = np.asarray(image).copy()
    pixels[pixels == old] = new
    Image.fromarray(pixels).save(path)


def test_predictions_for_other_images(tmp_path, run):
    fields = truth_run(tmp_path / "one", "voc21")
    other = truth_run(tmp_path / "two", "coco-panoptic")
    code, said = run({**fields, "predictions": other["predictions"]})
    assert code == 2
    assert "made with another vocabulary than that of voc21: id 0 is (none)" in said
    (tmp_path / "one/data/VOCdevkit/VOC2012/ImageSets/Segmentation/val.txt").write_text(
        "2007_000001\n2011_000009\n"
    )
    code, said = run(fields)
    assert code == 2
    assert "no prediction for 1 of 2 images of voc21, the first is '2011_000009.jpg'" in said


@pytest.mark.parametrize("name", ["voc21", "cityscapes", "ade20k-full"])
def test_a_map_of_another_size(tmp_path, run, name):
    fields = truth_run(tmp_path, name)
    path = sorted((tmp_path / "preds/semantic").rglob("*.png"))[0]
    Image.fromarray(np.zeros((31, 44), np.uint16)).save(path)
    code, said = run(fields)
    assert code == 2
    assert f"/{path.stem}" in said.replace("'", "/")
    assert "is (31, 44) (height, width), its ground truth is (30, 44)." in said


def test_a_segment_that_the_map_has_and_the_annotation_has_not(tmp_path, run):
    fields = truth_run(tmp_path, "mapillary")
    change_lines(tmp_path / "preds", lambda entry: entry["panoptic"]["segments_info"].pop())
    code, said = run(fields)
    assert code == 2
    assert "000000000001.png: has pixels of the segment id" in said


def test_a_segment_that_the_annotation_has_and_the_map_has_not(tmp_path, run):
    fields = truth_run(tmp_path, "mapillary")
    more = {"id": 999, "category_id": 3, "iscrowd": 0}
    change_lines(tmp_path / "preds", lambda entry: entry["panoptic"]["segments_info"].append(more))
    code, said = run(fields)
    assert code == 2
    assert "lists the segment id 999 of" in said
    assert "000000000001.png, which has no such pixel." in said


@pytest.mark.parametrize("name", ["coco", "lvis"])
def test_an_instance_of_an_unknown_category(tmp_path, run, name):
    fields = truth_run(tmp_path, name)
    change_lines(tmp_path / "preds", lambda e: e["instances"][0].update(category_id=5000))
    code, said = run(fields)
    assert code == 2
    assert "an instance of image_id 1 has the category_id 5000, which is no category." in said


@pytest.mark.parametrize("name", ["coco", "lvis", "uvo"])
def test_a_mask_that_lost_its_end_is_refused_and_waits_for_nothing(tmp_path, run, name):
    fields = truth_run(tmp_path, name)

    def cut(entry):
        rle = entry["instances"][0]["segmentation"]
        rle["counts"] = rle["counts"][:-2]

    change_lines(tmp_path / "preds", cut)
    code, said = run(fields)
    assert code == 2
    assert "the mask of an instance of image_id" in said
    assert "has runs that do not add up to the 1,320 pixels of its image." in said


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("coco", "coco/annotations/instances_val2017.json"),
        ("lvis", "lvis_v1_val.json"),
        ("uvo", "UVO/UVO_frame_val.json"),
    ],
)
def test_ground_truth_whose_mask_lost_its_end(tmp_path, run, name, path):
    fields = truth_run(tmp_path, name)

    def cut(document):
        for entry in document["annotations"]:
            if isinstance(entry["segmentation"], dict):
                entry["segmentation"]["counts"] = entry["segmentation"]["counts"][:-2]

    change_json(tmp_path / "data" / path, cut)
    code, said = run(fields)
    assert code == 2
    assert f"{path}: the mask of annotation " in said
    assert "Download the file again." in said


def test_instances_that_overlap_are_instances(tmp_path, run):
    # A miniature of LVIS has two boxes that overlap: both are found, and neither is cut.
    fields = truth_run(tmp_path, "lvis")
    assert run(fields)[0] == 0


@pytest.mark.parametrize(
    ("name", "path", "key"),
    [
        ("coco", "coco/annotations/instances_val2017.json", "images"),
        ("coco", "coco/annotations/instances_val2017.json", "annotations"),
        ("lvis", "lvis_v1_val.json", "images"),
        ("lvis", "lvis_v1_val.json", "annotations"),
        ("uvo", "UVO/UVO_frame_val.json", "annotations"),
        ("context59", "VOCdevkit/VOC2010/trainval_merged.json", "images"),
        ("mapillary", "mapillary_vistas/validation/v1.2/panoptic/panoptic_2018.json", "images"),
        (
            "mapillary",
            "mapillary_vistas/validation/v1.2/panoptic/panoptic_2018.json",
            "annotations",
        ),
    ],
)
def test_what_ground_truth_has_twice(tmp_path, run, name, path, key):
    fields = truth_run(tmp_path, name)
    change_json(tmp_path / "data" / path, lambda d: d[key].append(d[key][0]))
    code, said = run(fields)
    assert code == 2
    assert f"{path}: " in said
    assert "twice. Expected every" in said or "has two images of the id 1." in said


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("ade20k", "ADEChallengeData2016/annotations_instance/validation/ADE_val_00000003.png"),
        ("voc21", "VOCdevkit/VOC2012/SegmentationClass/2007_000002.png"),
        ("context459", "VOCdevkit/VOC2010/trainval/2008_000002.mat"),
        ("cityscapes", "cityscapes/gtFine/val/lindau/lindau_000002_000019_gtFine_labelIds.png"),
        ("mapillary", "mapillary_vistas/validation/v1.2/panoptic/000000000003.png"),
    ],
)
def test_a_dataset_half_downloaded(tmp_path, run, name, part):
    fields = truth_run(tmp_path, name)
    (tmp_path / "data" / part).unlink()
    code, said = run(fields)
    assert code == 5
    assert f"{part}: is not there." in said
    check = {key: value for key, value in fields.items() if key != "predictions"}
    assert main(["evaluate", *(f"--{k}={v}" for k, v in check.items()), "--self-check"]) == 5


def test_a_semantic_map_with_an_index_beyond_the_vocabulary(tmp_path, run):
    fields = truth_run(tmp_path, "context59")
    path = sorted((tmp_path / "preds/semantic").rglob("*.png"))[0]
    repaint(path, 0, 59)
    code, said = run(fields)
    assert code == 2
    assert f"{path}: has pixels of the value 59, which is no category." in said
