"""What `--dataset` names: the reader and the words."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from odise_cli.config import EvaluateConfig
from odise_cli.data.datasets.ade20k import open_ade20k
from odise_cli.data.datasets.ade20k_full import open_ade20k_full
from odise_cli.data.datasets.cityscapes import open_cityscapes
from odise_cli.data.datasets.coco import open_coco
from odise_cli.data.datasets.coco_panoptic import open_coco_panoptic
from odise_cli.data.datasets.context59 import open_context59
from odise_cli.data.datasets.context459 import open_context459
from odise_cli.data.datasets.dataset import Dataset
from odise_cli.data.datasets.label_png import open_label_png
from odise_cli.data.datasets.lvis import open_lvis
from odise_cli.data.datasets.mapillary import open_mapillary
from odise_cli.data.datasets.uvo import open_uvo
from odise_cli.data.datasets.voc import open_voc
from odise_cli.errors import UsageError
from odise_cli.structures import Category
from odise_cli.vocabulary.loader import load_vocabulary
from odise_cli.vocabulary.vocabulary import Vocabulary

DATASETS_VARIABLE = "ODISE_DATASETS"
"""The environment variable with the folder of all downloads, in place of `--data`."""
_OWNED: Mapping[str, tuple[str, Callable[[Path, Sequence[Category]], Dataset]]] = {
    "ade20k": ("ade150", open_ade20k),
    "ade20k-full": ("ade847", open_ade20k_full),
    "coco": ("coco133", open_coco),
    "voc21": ("voc21", open_voc),
    "context59": ("context59", open_context59),
    "context459": ("context459", open_context459),
    "cityscapes": ("cityscapes19", open_cityscapes),
    "mapillary": ("mapillary65", open_mapillary),
    "lvis": ("lvis1203", open_lvis),
    "uvo": ("coco133", open_uvo),
}
"""The vocabulary and the reader of each dataset that has an owner."""
_ANY_WORDS = ("uvo",)
"""Datasets that have no categories: their vocabulary is what a model is asked to look for."""


@dataclass(frozen=True, kw_only=True)
class DatasetSource:
    """A dataset with its vocabulary."""

    name: str
    dataset: Dataset
    vocabulary: Vocabulary
    vocab: tuple[str, ...]
    """The specs that `odise segment --vocab` takes for the same vocabulary."""
    own_categories: tuple[Category, ...]
    """The dataset's categories in its own words."""


def default_data() -> Path | None:
    """Where downloads are by the environment; None where it does not say."""
    folder = os.environ.get(DATASETS_VARIABLE)
    return Path(folder) if folder else None


def open_dataset(config: EvaluateConfig) -> DatasetSource:
    """Open what the configuration names; reads names and annotation files, no label map.

    Raises:
        MissingDataError: a part of the dataset or the vocabulary is not there.
        UsageError: its files contradict each other or the vocabulary.
    """
    own, reader = _OWNED.get(config.dataset, (None, None))
    specs = config.vocab or (own or str(config.annotations),)
    vocabulary, _ = load_vocabulary(specs)
    own_categories = vocabulary.categories
    if own is not None and config.vocab and config.dataset not in _ANY_WORDS:
        own_categories = load_vocabulary([own])[0].categories
        vocabulary = _in_order_of(own_categories, vocabulary, dataset=config.dataset)
    categories = vocabulary.categories
    if config.dataset == "coco-panoptic":
        assert config.annotations is not None
        assert config.masks is not None
        dataset = open_coco_panoptic(
            config.annotations, config.masks, categories, images=config.images
        )
    elif config.dataset == "label-png":
        assert config.masks is not None
        dataset = open_label_png(config.masks, categories, void=config.void, images=config.images)
    else:
        assert reader is not None
        assert config.data is not None
        dataset = reader(config.data, categories)
    return DatasetSource(
        name=config.dataset,
        dataset=dataset,
        vocabulary=vocabulary,
        vocab=tuple(specs),
        own_categories=own_categories,
    )


def _in_order_of(
    categories: Sequence[Category], vocabulary: Vocabulary, *, dataset: str
) -> Vocabulary:
    """The vocabulary in the order of a dataset's categories.

    Raises:
        UsageError: it has other ids or thing flags.
    """
    found = {category.id: category for category in vocabulary.categories}
    wanted = {category.id: category for category in categories}
    for id_ in sorted(found.keys() | wanted.keys()):
        was, should = found.get(id_), wanted.get(id_)
        if was is None or should is None or was.isthing != should.isthing:
            raise UsageError(
                f"--vocab: the category id {id_} is {_shown(was)}, in {dataset} it is "
                f"{_shown(should)}. Expected the same ids and thing flags; words may differ. "
                "Write id=N, and stuff where it is stuff, behind the words."
            )
    sources = iter(vocabulary.word_sources)
    sources_of = {c.id: [next(sources) for _ in c.words] for c in vocabulary.categories}
    return Vocabulary(
        categories=tuple(found[category.id] for category in categories),
        word_sources=tuple(source for c in categories for source in sources_of[c.id]),
    )


def _shown(category: Category | None) -> str:
    if category is None:
        return "absent"
    return f"{category.name!r} ({'thing' if category.isthing else 'stuff'})"
