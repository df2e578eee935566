import pickle

import pytest

from odise_cli.commands.dataset_source import default_data, open_dataset
from odise_cli.config import EvaluateConfig
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.vocabulary.loader import load_vocabulary
from tests.commands.truths import DATASET_NAMES, NUM_IMAGES, write_dataset

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
    "lvis": 1203,
    "uvo": 133,
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
    assert (labels.panoptic is not None) == ("panoptic" in source.dataset.outputs)


@pytest.mark.parametrize("name", DATASET_NAMES)
def test_another_process_reads_the_same_labels_without_the_dataset(tmp_path, name):
    dataset = open_dataset(EvaluateConfig(**write_dataset(tmp_path, name))).dataset
    for image in dataset.image_names:
        sent = pickle.dumps((dataset.read_entry, dataset.entry(image)))
        read_entry, entry = pickle.loads(sent)
        assert pickle.dumps(read_entry(entry)) == pickle.dumps(dataset.read(image))


@pytest.mark.parametrize("name", DATASET_NAMES)
def test_images_are_where_their_names_say(tmp_path, name):
    dataset = open_dataset(EvaluateConfig(**write_dataset(tmp_path, name))).dataset
    if name in ("coco-panoptic", "label-png"):
        assert dataset.images is None
    else:
        assert all((dataset.images / image).is_file() for image in dataset.image_names)


def test_a_pair_may_be_named_in_other_words(tmp_path):
    fields = write_dataset(tmp_path, "coco-panoptic")
    source = open_dataset(EvaluateConfig(**fields, vocab=("coco133",)))
    assert source.vocabulary.categories[0].words[1] == "child"


def test_a_dataset_may_be_named_in_other_words_of_the_same_ids(tmp_path):
    lines = (f"word {c.id} | {'thing' if c.isthing else 'stuff'} id={c.id}" for c in voc21())
    words = "; ".join(reversed(list(lines)))
    fields = write_dataset(tmp_path, "voc21")
    source = open_dataset(EvaluateConfig(**fields, vocab=(words,)))
    assert [c.id for c in source.vocabulary.categories] == [c.id for c in voc21()]
    assert source.dataset.categories[3].name == "word 3"
    assert source.vocabulary.words[3] == "word 3"
    assert source.own_categories == voc21()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("wall | stuff id=0; plane | id=1", "id 2 is absent, in voc21 it is 'bicycle' .thing."),
        ("wall | id=0", "id 0 is 'wall' .thing., in voc21 it is 'background' .stuff."),
        ("wall | id=77", "id 0 is absent"),
    ],
)
def test_other_words_have_to_fit_the_ids(tmp_path, words, message):
    fields = write_dataset(tmp_path, "voc21")
    with pytest.raises(UsageError, match=f"^--vocab: the category {message}"):
        open_dataset(EvaluateConfig(**fields, vocab=(words,)))


def voc21():
    return load_vocabulary(["voc21"])[0].categories


def test_the_folder_of_downloads_may_come_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.delenv("ODISE_DATASETS", raising=False)
    assert default_data() is None
    monkeypatch.setenv("ODISE_DATASETS", str(tmp_path))
    assert default_data() == tmp_path


def test_a_dataset_that_is_not_there(tmp_path):
    with pytest.raises(MissingDataError, match="VOCdevkit: has no VOC2012"):
        open_dataset(EvaluateConfig(dataset="voc21", data=tmp_path))
