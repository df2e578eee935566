import shlex
import subprocess
from functools import partial
from glob import glob as glob_files
from pathlib import Path

import pytest

from odise_cli.commands.dataset_source import default_data, open_dataset
from odise_cli.config import EvaluateConfig
from odise_cli.errors import MissingDataError
from tests.commands.truths import DATASET_NAMES, NUM_IMAGES, write_dataset

glob = partial(glob_files, recursive=True)

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

NUM_CATEGORIES = {
    "ade20k": 150,
    "ade20k-full": 847,
    "coco": 133,
    "voc21": 21,
    "context59": 59,
    "context459": 459,
    "cityscapes": 19,
    "mapillary": 65,
    "coco-panoptic": 133,
    "label-png": 3,
}


@pytest.mark.parametrize("name", DATASET_NAMES)
def test_every_dataset_opens_with_its_vocabulary(tmp_path, name):
    source = open_dataset(EvaluateConfig(**write_dataset(tmp_path, name)))
    assert len(source.vocabulary.categories) == NUM_CATEGORIES[name]
    assert source.dataset.categories == source.vocabulary.categories
    assert len(source.dataset.image_names) == NUM_IMAGES
    labels = source.dataset.read(source.dataset.image_names[-1])
    assert (labels.panoptic_HW is not None) == ("panoptic" in source.dataset.outputs)


def test_a_pair_may_be_named_in_other_words(tmp_path):
    fields = write_dataset(tmp_path, "coco-panoptic")
    source = open_dataset(EvaluateConfig(**fields, vocab=("coco133",)))
    assert source.vocabulary.categories[0].words[1] == "child"
    assert source.commands(EvaluateConfig(**fields, vocab=("coco133",))).splitlines() == [
        "  odise segment IMAGES --vocab coco133 --write panoptic,instances,semantic --out preds",
        f"  odise evaluate --dataset coco-panoptic --annotations {tmp_path / 'x.json'} "
        f"--masks {tmp_path / 'x'} --vocab coco133 --predictions preds",
    ]


def test_paths_with_spaces_are_quoted_for_the_shell(tmp_path):
    fields = write_dataset(tmp_path / "my data", "ade20k")
    text = open_dataset(EvaluateConfig(**fields)).commands(EvaluateConfig(**fields))
    assert f"--data '{tmp_path / 'my data'}'" in text
    assert f"odise segment '{tmp_path / 'my data/ADEChallengeData2016/images/validation'}'" in text


def test_of_a_folder_with_label_maps_only_the_photographs_are_segmented(tmp_path):
    config = EvaluateConfig(**write_dataset(tmp_path, "ade20k-full"))
    source = open_dataset(config)
    command = shlex.split(source.commands(config).splitlines()[0])
    assert command[:2] == ["odise", "segment"]
    found = {Path(path).relative_to(source.dataset.images) for path in glob(command[2])}
    assert found == {Path(name) for name in source.dataset.image_names}


def test_of_a_folder_with_other_images_only_the_dataset_s_are_segmented(tmp_path):
    fields = write_dataset(tmp_path / "my data", "voc21")
    config = EvaluateConfig(**fields)
    command = open_dataset(config).commands(config).splitlines()[0]
    listing, segment = command.split(" | ")
    assert segment == "odise segment --from-file - --vocab voc21 --write semantic --out preds"
    done = subprocess.run(listing, shell=True, capture_output=True, text=True, check=True)
    paths = [Path(line) for line in done.stdout.splitlines()]
    assert len(paths) == NUM_IMAGES
    assert all(path.is_file() for path in paths)


def test_the_folder_of_downloads_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("ODISE_DATASETS", raising=False)
    assert default_data() is None
    monkeypatch.setenv("ODISE_DATASETS", str(tmp_path))
    assert default_data() == tmp_path


def test_a_dataset_that_is_not_there(tmp_path):
    with pytest.raises(MissingDataError, match="VOCdevkit: has no VOC2012"):
        open_dataset(EvaluateConfig(dataset="voc21", data=tmp_path))
