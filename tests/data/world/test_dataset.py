from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from odise_cli.data.training.samples import TrainingDataset, TrainingSample
from odise_cli.data.world.concepts import CATEGORY_IDS, CONCEPTS
from odise_cli.data.world.dataset import UNSEEN, WorldDataset, category_of
from odise_cli.errors import UsageError
from odise_cli.structures import Category
from tests.data.world.sentences import mentions

_SEEN = [concept for concept in CONCEPTS if concept.is_seen]
_CATEGORIES = tuple(category_of(concept, words=(concept.name,)) for concept in _SEEN)


def world(num_scenes: int, *, seed: int = 41, **options: float) -> WorldDataset:
    return WorldDataset(num_scenes, categories=_CATEGORIES, side_px=80, seed=seed, **options)


@pytest.fixture(scope="module")
def dataset() -> TrainingDataset:
    return world(20)


@pytest.fixture(scope="module")
def samples(dataset) -> list[TrainingSample]:
    return [dataset[index] for index in range(len(dataset))]


def same(one: TrainingSample, other: TrainingSample) -> bool:
    return (
        (one.name, one.captions) == (other.name, other.captions)
        and np.array_equal(one.image, other.image)
        and np.array_equal(one.masks, other.masks)
        and np.array_equal(one.category_index, other.category_index)
    )


def test_names_differ(dataset, samples):
    assert len(dataset) == len(dataset.names) == len(set(dataset.names)) == 20
    assert [sample.name for sample in samples] == list(dataset.names)
    assert not set(dataset.names) & set(world(20, seed=42).names)


def test_only_seen_concepts_by_their_names(dataset):
    assert len(UNSEEN) == len(CONCEPTS) - len(_SEEN)
    assert [category.words for category in dataset.categories] == [(c.name,) for c in _SEEN]
    for category in dataset.categories:
        assert category.id == CATEGORY_IDS[category.name]
    assert not UNSEEN & {category.name for category in dataset.categories}


def test_a_sample_has_images_masks_and_categories(dataset, samples):
    for sample in samples:
        assert (sample.image.shape, sample.image.dtype) == ((80, 80, 3), np.uint8)
        num_masks = len(sample.category_index)
        assert (sample.masks.shape, sample.masks.dtype) == ((num_masks, 80, 80), np.bool_)
        assert sample.category_index.dtype == np.int64
        assert sample.category_index.min() >= 0
        assert sample.category_index.max() < len(dataset.categories)


def test_masks_are_disjoint_and_not_empty(samples):
    for sample in samples:
        assert sample.masks.any(axis=(1, 2)).all()
        assert sample.masks.sum(axis=0).max() == 1
        # What is in no mask is too small to count.
        assert sample.masks.any(axis=0).mean() > 0.97


def test_stuff_is_one_mask(dataset, samples):
    for sample in samples:
        categories = [dataset.categories[i] for i in sample.category_index]
        stuff = [category.name for category in categories if not category.isthing]
        assert len(stuff) == len(set(stuff))


def test_captions_speak_of_what_has_a_mask(dataset, samples):
    for sample in samples:
        labels = {dataset.categories[i].name for i in sample.category_index}
        assert len(sample.captions) == 5
        for caption in sample.captions:
            assert {mention.concept for mention in mentions(caption)} <= labels


def test_a_sample_is_always_the_same(samples):
    longer = world(1000)
    for index in (7, 0, 7):
        assert same(longer[index], samples[index])
    assert not same(longer[20], samples[19])
    assert not np.array_equal(world(1, seed=42)[0].image, samples[0].image)


def test_threads_may_read_it_together(dataset, samples):
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(dataset.__getitem__, range(8)))
    assert all(map(same, together, samples[:8]))


def test_windows_show_parts_of_scenes(samples):
    parts = world(20, min_window=0.4)
    assert not any(same(parts[index], samples[index]) for index in range(5))
    # Things look larger in a part, and none of the labels is of another scene's.
    for index in range(5):
        assert parts[index].masks.any(axis=(1, 2)).all()
        assert set(parts[index].category_index) <= set(samples[index].category_index)


def test_what_is_not_asked_for_does_not_occur():
    few = tuple(c for c in _CATEGORIES if c.name not in ("car", "tree", "house"))
    dataset = WorldDataset(30, categories=few, side_px=64, seed=41)
    names = {dataset.categories[i].name for n in range(30) for i in dataset[n].category_index}
    assert names <= {category.name for category in few}


def test_a_category_must_be_a_concept():
    zebra = Category(id=1, words=("zebra",), isthing=True, color=(0, 0, 0))
    with pytest.raises(UsageError, match=r"data.vocab: 'zebra' does not occur in the world"):
        WorldDataset(1, categories=(zebra,), side_px=64, seed=1)


def test_it_ends(dataset):
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_a_concept_as_a_category():
    car = next(concept for concept in CONCEPTS if concept.name == "car")
    category = category_of(car)
    assert category.words == ("car", "automobile", "motorcar")
    assert (category.id, category.isthing) == (4, True)
    assert category_of(car, words=("car",)).words == ("car",)
    sky = next(concept for concept in CONCEPTS if concept.name == "sky")
    assert not category_of(sky).isthing
    # As it looks.
    assert category_of(sky).color == (126, 182, 232)
