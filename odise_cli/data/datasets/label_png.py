"""Any folder of semantic label maps: PNGs whose values are category ids.

Grey of 8 or 16 bits, or a palette; folders in the folder are read too.
"""

from collections.abc import Sequence
from pathlib import Path

from odise_cli.data.datasets.dataset import Dataset, value_to_category
from odise_cli.data.label_images import read_label_png
from odise_cli.data.names import natural_key
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.structures import VOID_CATEGORY, Category, Count, Labels

_ADVICE = "Check the vocabulary, or give the value of void with --void."


def open_label_png(masks: Path, categories: Sequence[Category], *, void: Sequence[int]) -> Dataset:
    """Every PNG below `masks`.

    Args:
        masks: the folder.
        categories: their ids are the maps' values.
        void: values of pixels that are not judged.

    Raises:
        MissingDataError: there is no such folder, or no PNG in it.
        UsageError: a value of void is a category.
    """
    paths = {path.relative_to(masks).as_posix(): path for path in masks.rglob("*.png")}
    if not paths:
        raise MissingDataError(
            f"{masks}: holds no PNG file. Expected a folder of label maps. Check --masks."
        )
    category_of_value = {category.id: index for index, category in enumerate(categories)}
    clash = sorted(category_of_value.keys() & set(void))
    if clash:
        name = categories[category_of_value[clash[0]]].name
        raise UsageError(
            f"--void: {clash[0]} is the id of the category {name!r}. Expected a value that is no "
            "category. Remove it."
        )
    category_of_value |= dict.fromkeys(void, VOID_CATEGORY)

    def read(name: str) -> Labels:
        path = paths[name]
        return Labels(
            semantic_HW=value_to_category(
                read_label_png(path), category_of_value, where=path, advice=_ADVICE
            )
        )

    return Dataset(
        categories=tuple(categories),
        image_names=tuple(sorted(paths, key=natural_key)),
        read=read,
        counts=(
            Count(what=f"label maps in {masks.name}/", found=len(paths), published=None),
            Count(what="categories", found=len(categories), published=None),
        ),
        num_published_images=None,
        outputs=("semantic",),
        images=None,
    )
