"""What `--dataset` names: the reader, the words, and how both are asked for on a command line."""

import os
import shlex
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
from odise_cli.data.datasets.mapillary import open_mapillary
from odise_cli.data.datasets.voc import open_voc
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
}
"""The vocabulary and the reader of each dataset that has an owner."""


@dataclass(frozen=True, kw_only=True)
class DatasetSource:
    """A dataset with its vocabulary."""

    name: str
    dataset: Dataset
    vocabulary: Vocabulary
    vocab: tuple[str, ...]
    """The specs that `odise segment --vocab` takes for the same vocabulary."""

    def commands(self, config: EvaluateConfig) -> str:
        """What to type to segment the images of the dataset and to score the results."""
        vocab = " ".join(f"--vocab {shlex.quote(spec)}" for spec in self.vocab)
        outputs = ",".join(self.dataset.outputs)
        source = " ".join(
            f"--{name} {shlex.quote(str(value))}"
            for name in ("data", "annotations", "masks")
            if (value := getattr(config, name)) is not None
        )
        own = f" {vocab}" if config.vocab else ""
        return (
            f"  {self._segment()} {vocab} --write {outputs} --out preds\n"
            f"  odise evaluate --dataset {self.name} {source}{own} --predictions preds"
        )

    def _segment(self) -> str:
        """The beginning of a command that segments the dataset's images and no others."""
        if self.dataset.images is None:
            return "odise segment IMAGES"
        if self.dataset.image_list is None:
            sources = self.dataset.images / (self.dataset.image_pattern or "")
            return f"odise segment {shlex.quote(str(sources))}"
        to_paths = shlex.quote(f"s|.*|{self.dataset.images}/&.jpg|")
        image_list = shlex.quote(str(self.dataset.image_list))
        return f"sed {to_paths} {image_list} | odise segment --from-file -"


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
    own, reader = _OWNED.get(config.dataset, (str(config.annotations), None))
    specs = config.vocab or (own,)
    vocabulary, _ = load_vocabulary(specs)
    categories = vocabulary.categories
    if config.dataset == "coco-panoptic":
        assert config.annotations is not None
        assert config.masks is not None
        dataset = open_coco_panoptic(config.annotations, config.masks, categories)
    elif config.dataset == "label-png":
        assert config.masks is not None
        dataset = open_label_png(config.masks, categories, void=config.void)
    else:
        assert reader is not None
        assert config.data is not None
        dataset = reader(config.data, categories)
    return DatasetSource(
        name=config.dataset, dataset=dataset, vocabulary=vocabulary, vocab=tuple(specs)
    )
