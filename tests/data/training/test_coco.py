"""Training samples from COCO's files: what is in them, and what is wrong with them."""

import json
import weakref

import numpy as np
import pytest
from PIL import Image

from odise_cli.data.training.coco import open_coco_panoptic_samples, open_coco_train
from odise_cli.data.training.samples import TrainingDataset
from odise_cli.errors import ImageError, MissingDataError, UsageError
from tests.data.datasets.trees import SIZE, categories_of, save, write_panoptic
from tests.data.images import noise

CATEGORIES = categories_of("coco133")
NUM_IMAGES = 4


def write_train(data):
    """A miniature of COCO's training set; by image the id map and its regions."""
    root = data / "coco"
    scenes = write_panoptic(
        root / "annotations/panoptic_train2017.json",
        root / "annotations/panoptic_train2017",
        NUM_IMAGES,
        CATEGORIES,
    )
    for number, name in enumerate(scenes, start=1):
        path = root / "train2017" / name
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(noise(*SIZE, seed=number)).save(path, quality=95)
    captions = [
        {"image_id": number, "caption": f"{word} of image {number}."}
        for number in (3, 1, 2, 4)
        for word in ("First", "Second")
    ]
    (root / "annotations/captions_train2017.json").write_text(json.dumps({"annotations": captions}))
    return scenes


@pytest.fixture
def train(tmp_path):
    return tmp_path, write_train(tmp_path)


def change_json(data, name, change):
    path = data / "coco/annotations" / f"{name}_train2017.json"
    document = json.loads(path.read_text())
    change(document)
    path.write_text(json.dumps(document))


def open_changed(train, change, *, name="panoptic"):
    data, _ = train
    change_json(data, name, change)
    return open_coco_train(data, CATEGORIES, with_captions=True)


def test_samples_are_what_was_drawn_without_the_crowds(train):
    data, scenes = train
    dataset: TrainingDataset = open_coco_train(data, CATEGORIES, with_captions=True)
    assert len(dataset) == NUM_IMAGES
    assert dataset.names == tuple(scenes)
    assert dataset.categories == CATEGORIES
    num_crowds = 0
    for index, (name, (id_map, info)) in enumerate(scenes.items()):
        sample = dataset[index]
        expected = {id_: category for id_, (category, iscrowd) in info.items() if not iscrowd}
        num_crowds += len(info) - len(expected)
        assert sample.name == name
        pixels = np.asarray(Image.open(data / "coco/train2017" / name))
        np.testing.assert_array_equal(sample.image, pixels)
        assert sample.masks.dtype == bool
        assert sample.category_index.dtype == np.int64
        for mask, index_, id_ in zip(sample.masks, sample.category_index, expected, strict=True):
            np.testing.assert_array_equal(mask, id_map == id_)
            assert CATEGORIES[index_].id == expected[id_]
        number = index + 1
        assert sample.captions == (f"First of image {number}.", f"Second of image {number}.")
    assert num_crowds == 2


def test_captions_that_are_not_needed_are_not_read(train):
    data, _ = train
    (data / "coco/annotations/captions_train2017.json").unlink()
    dataset = open_coco_train(data, CATEGORIES, with_captions=False)
    assert dataset[0].captions == ()
    assert dataset.warnings == ()
    with pytest.raises(MissingDataError, match=r"captions_train2017\.json: is not there"):
        open_coco_train(data, CATEGORIES, with_captions=True)


def test_real_images(shared):
    folder = shared / "data" / "coco_panoptic_sample"
    annotations = folder / "panoptic_examples.json"
    categories = categories_of(str(annotations))
    dataset = open_coco_panoptic_samples(
        annotations, folder / "panoptic_examples", folder / "images", categories, captions=None
    )
    document = json.loads(annotations.read_text())
    infos = {e["file_name"][:-4]: e["segments_info"] for e in document["annotations"]}
    for index, name in enumerate(dataset.names):
        sample, kept = dataset[index], [i for i in infos[name[:-4]] if not i["iscrowd"]]
        # The areas that the owners count.
        assert sample.masks.sum(axis=(1, 2)).tolist() == [info["area"] for info in kept]
        found = [categories[k].id for k in sample.category_index]
        assert found == [info["category_id"] for info in kept]


def test_images_without_annotations_stay_and_are_counted(train):
    dataset = open_changed(train, lambda d: d["annotations"].pop(1))
    sample = dataset[1]
    assert sample.name == "000000000002.jpg"
    assert sample.image.shape == (*SIZE, 3)
    assert sample.masks.shape == (0, *SIZE)
    assert sample.category_index.shape == (0,)
    assert sample.captions[0] == "First of image 2."
    assert len(dataset[2].masks) > 0
    assert dataset.warnings[0].endswith(
        "panoptic_train2017.json: 1 images have no annotation and are taken to show no object."
    )


def test_an_image_of_nothing_but_void(train):
    data, _ = train

    def change(document):
        document["annotations"][0]["segments_info"] = []

    save(
        data / "coco/annotations/panoptic_train2017/000000000001.png", np.zeros((*SIZE, 3), "uint8")
    )
    assert open_changed(train, change)[0].masks.shape == (0, *SIZE)


def test_captions_that_teach_nothing_are_counted(train):
    def change(document):
        document["annotations"][0]["caption"] = "  \n"
        document["annotations"][1]["caption"] = ""
        document["annotations"][2]["image_id"] = 77
        document["annotations"][3]["caption"] = " A  cat\n"

    dataset = open_changed(train, change, name="captions")
    assert [sample.captions for sample in (dataset[0], dataset[2])] == [("A cat",), ()]
    assert [warning.partition("json: ")[2] for warning in dataset.warnings] == [
        "2 captions are empty and were left out.",
        "1 captions are of images that the annotations do not list.",
        "1 images have no caption and teach no words.",
    ]


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        (
            "panoptic",
            lambda d: d["annotations"][2]["segments_info"][0].update(category_id=12),
            r"the segment 5 of 000000000003\.png has the category_id 12, which is no category",
        ),
        ("panoptic", lambda d: d["categories"].pop(), "the category id 200 is absent"),
        ("panoptic", lambda d: d.update(images=[], annotations=[]), "has 0 images"),
        (
            "panoptic",
            lambda d: (d["annotations"].pop(), d["images"][3].update(file_name="000000000001.jpg")),
            r"has 2 images of the file name '000000000001\.jpg'",
        ),
        ("captions", lambda d: d.pop("annotations"), "has no list 'annotations'"),
        ("captions", lambda d: d["annotations"][1].update(caption=3), r"annotations\[1\] .* 3\."),
        (
            "captions",
            lambda d: d.update(annotations=[{"image_id": 77, "caption": "A cat."}]),
            "has no caption of any of the 4 images",
        ),
    ],
)
def test_files_that_contradict_themselves_are_refused_when_opened(train, name, change, message):
    with pytest.raises(UsageError, match=rf"{name}_train2017\.json: {message}"):
        open_changed(train, change, name=name)


def test_files_that_are_missing_are_named_when_opened(train):
    data, _ = train
    for number in (2, 3):
        (data / f"coco/train2017/00000000000{number}.jpg").unlink()
    message = r"train2017/000000000002\.jpg: is not there, nor 1 more of the 4 files"
    with pytest.raises(MissingDataError, match=message):
        open_coco_train(data, CATEGORIES, with_captions=False)


def test_missing_id_maps_are_named_when_opened(train):
    data, _ = train
    (data / "coco/annotations/panoptic_train2017/000000000004.png").unlink()
    message = r"000000000004\.png: is not there, nor 0 more of the 4 files that panoptic_train"
    with pytest.raises(MissingDataError, match=message):
        open_coco_train(data, CATEGORIES, with_captions=False)


def test_no_training_set_at_all(tmp_path):
    with pytest.raises(MissingDataError, match="coco: has no annotations/panoptic_train2017"):
        open_coco_train(tmp_path, CATEGORIES, with_captions=False)


def test_an_id_that_the_json_lacks_is_named(train):
    def change(document):
        infos = document["annotations"][0]["segments_info"]
        infos[:] = [info for info in infos if info["id"] != 256]

    dataset = open_changed(train, change)
    with pytest.raises(UsageError, match=r"001\.png: has pixels of the segment id 256, which .*js"):
        dataset[0]


def test_an_image_of_another_size_than_its_map_is_named(train):
    data, _ = train
    dataset = open_coco_train(data, CATEGORIES, with_captions=False)
    Image.new("RGB", (45, 30)).save(data / "coco/train2017/000000000001.jpg")
    with pytest.raises(UsageError, match=r"001\.png: is \(30, 44\) .*001\.jpg is \(30, 45\)"):
        dataset[0]


def test_a_broken_image_is_named(train):
    data, _ = train
    dataset = open_coco_train(data, CATEGORIES, with_captions=False)
    (data / "coco/train2017/000000000001.jpg").write_bytes(b"\xff\xd8\xff")
    with pytest.raises(ImageError, match=r"000000000001\.jpg: is "):
        dataset[0]


def test_nothing_that_was_read_is_kept(train):
    data, _ = train
    dataset = open_coco_train(data, CATEGORIES, with_captions=False)
    sample = dataset[0]
    arrays = [weakref.ref(sample.image), weakref.ref(sample.masks)]
    del sample
    assert [array() for array in arrays] == [None, None]
