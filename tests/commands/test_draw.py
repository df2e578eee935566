"""What `odise draw` writes, read back by the readers of such files."""

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from odise_cli.commands.draw import run_draw
from odise_cli.config import DrawConfig
from odise_cli.data.datasets.coco_panoptic import open_coco_panoptic
from odise_cli.data.training.coco import open_coco_panoptic_samples
from odise_cli.data.world.concepts import CONCEPTS
from odise_cli.data.world.render import Scene, render
from odise_cli.data.world.scenes import plan_scene
from odise_cli.errors import UsageError
from odise_cli.vocabulary.loader import load_vocabulary

SIZE = (64, 96)
UNSEEN = {concept.name for concept in CONCEPTS if not concept.is_seen}


def draw(out: Path, **fields) -> Path:
    run_draw(DrawConfig(out=out, **{"scenes": 4, "size": SIZE, "seed": 5, **fields}))
    return out


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def world(tmp_path_factory) -> Path:
    return draw(tmp_path_factory.mktemp("drawn") / "world")


@pytest.fixture(scope="module")
def categories():
    return load_vocabulary(["world48"])[0].categories


@pytest.fixture(scope="module")
def truths() -> dict[str, Scene]:
    """The scenes by the name of their picture, drawn without a file in between."""

    def scenes() -> Iterator[tuple[str, Scene]]:
        for number in range(1, 5):
            rng = np.random.default_rng([5, number])
            plan = plan_scene(rng, aspect=SIZE[1] / SIZE[0])
            yield f"{number:06d}.png", render(plan, SIZE, rng)

    return dict(scenes())


def test_the_truth_is_read_back_pixel_for_pixel(world, categories, truths):
    dataset = open_coco_panoptic(
        world / "panoptic.json", world / "panoptic", categories, images=world / "images"
    )
    assert dataset.image_names == tuple(truths)
    for name, scene in truths.items():
        labels = dataset.read(name)
        assert np.array_equal(labels.panoptic.to_map(), scene.numbers_HW)
        read = {region.id: categories[region.category].name for region in labels.regions}
        assert read == {segment.number: segment.concept.name for segment in scene.segments}
        assert not any(region.iscrowd for region in labels.regions)
        picture = np.asarray(Image.open(world / "images" / name))
        assert np.array_equal(picture, scene.image_HW3)


def test_areas_and_boxes_are_those_of_the_pixels(world, truths):
    document = json.loads((world / "panoptic.json").read_text())
    isthing = {category["id"]: category["isthing"] for category in document["categories"]}
    for entry in document["annotations"]:
        numbers = truths[entry["file_name"]].numbers_HW
        for info in entry["segments_info"]:
            rows, columns = np.nonzero(numbers == info["id"])
            assert info["area"] == len(rows)
            left, top, width, height = info["bbox"]
            assert (left, top) == (columns.min(), rows.min())
            assert (left + width - 1, top + height - 1) == (columns.max(), rows.max())
            assert (info["isthing"], info["iscrowd"]) == (isthing[info["category_id"]], 0)


def test_every_picture_is_listed_with_its_size(world):
    document = json.loads((world / "panoptic.json").read_text())
    for number, image in enumerate(document["images"], start=1):
        assert image == {
            "id": number,
            "file_name": f"{number:06d}.png",
            "width": 96,
            "height": 64,
        }
        with Image.open(world / "images" / image["file_name"]) as picture:
            assert (picture.size, picture.mode) == ((96, 64), "RGB")
    assert [entry["image_id"] for entry in document["annotations"]] == [1, 2, 3, 4]
    assert len(document["categories"]) == len(CONCEPTS)


def test_five_captions_a_picture(world):
    document = json.loads((world / "captions.json").read_text())
    assert document["images"] == json.loads((world / "panoptic.json").read_text())["images"]
    captions = document["annotations"]
    assert [caption["id"] for caption in captions] == list(range(1, 21))
    assert [caption["image_id"] for caption in captions] == sorted([1, 2, 3, 4] * 5)
    assert all(isinstance(c["caption"], str) and c["caption"] for c in captions)


def test_training_reads_it(world, categories, truths):
    samples = open_coco_panoptic_samples(
        world / "panoptic.json",
        world / "panoptic",
        world / "images",
        categories,
        captions=world / "captions.json",
    )
    assert samples.warnings == ()
    for index, (name, scene) in enumerate(truths.items()):
        sample = samples[index]
        assert sample.name == name
        assert np.array_equal(sample.image, scene.image_HW3)
        assert len(sample.captions) == 5
        assert sample.masks.sum() == sum(segment.area_px for segment in scene.segments)


def test_a_scene_is_the_same_however_many_are_drawn(world, tmp_path):
    fewer = draw(tmp_path / "fewer", scenes=2)
    pictures = {name for name in hashes(fewer) if name.endswith(".png")}
    assert len(pictures) == 4
    assert {name: hashes(world)[name] for name in pictures} == {
        name: hashes(fewer)[name] for name in pictures
    }
    for name in ("panoptic.json", "captions.json"):
        some = json.loads((fewer / name).read_text())
        every = json.loads((world / name).read_text())
        assert some["annotations"] == every["annotations"][: len(some["annotations"])]


def test_the_same_command_gives_the_same_files(world, tmp_path):
    assert hashes(draw(tmp_path / "again")) == hashes(world)
    other = hashes(draw(tmp_path / "other", seed=6, scenes=1))
    assert other["images/000001.png"] != hashes(world)["images/000001.png"]


def test_close_ups_are_other_pictures(world, tmp_path):
    near = hashes(draw(tmp_path / "near", close_up=1.0))
    differing = [n for n in near if near[n] != hashes(world)[n] and n.startswith("images/")]
    assert len(differing) >= 3


def test_only_seen_concepts_if_asked(tmp_path):
    folder = draw(tmp_path / "seen", only_seen=True, scenes=30, size=(64, 64))
    document = json.loads((folder / "panoptic.json").read_text())
    names = {category["id"]: category["name"] for category in document["categories"]}
    # The categories stay those of the vocabulary.
    assert len(names) == len(CONCEPTS)
    found = {
        names[info["category_id"]]
        for entry in document["annotations"]
        for info in entry["segments_info"]
    }
    assert not found & UNSEEN
    # Without it, 30 scenes would hold about a hundred things and stuff of 48 kinds.
    assert len(found) > 20


def test_the_report_counts(tmp_path):
    told: list[tuple[int, int, int]] = []
    config = DrawConfig(out=tmp_path / "new" / "world", scenes=2, size=SIZE, seed=5)
    report = run_draw(config, on_progress=lambda *counts: told.append(counts))
    document = json.loads((config.out / "panoptic.json").read_text())
    num_segments = sum(len(entry["segments_info"]) for entry in document["annotations"])
    assert report.to_json() == {
        "out": str(config.out),
        "num_scenes": 2,
        "num_scenes_before": 0,
        "num_segments": num_segments,
        "is_interrupted": False,
    }
    assert told == [(0, 0, 2), (1, 0, 2), (2, 0, 2)]


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "world").write_text("")
    with pytest.raises(UsageError, match=r"world: cannot be written: .*world is a file and no"):
        draw(tmp_path / "world")
