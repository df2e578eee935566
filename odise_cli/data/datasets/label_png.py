"""Any folder of semantic label maps: PNGs whose values are category ids.

Grey of 8 or 16 bits, or a palette; folders in the folder are read too. An image and its label map
differ in their suffixes alone.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import partial
from pathlib import Path

from odise_cli.data.datasets.dataset import Dataset, runs_to_categories
from odise_cli.data.formats import image_suffixes
from odise_cli.data.label_images import read_label_runs
from odise_cli.data.names import natural_key
from odise_cli.errors import MissingDataError, UsageError
from odise_cli.structures import VOID_CATEGORY, Category, Count, Labels

_ADVICE = "Check the vocabulary, or give the value of void with --void."


def open_label_png(
    masks: Path,
    categories: Sequence[Category],
    *,
    void: Sequence[int],
    images: Path | None = None,
) -> Dataset:
    """Every PNG below `masks`.

    Args:
        masks: the folder.
        categories: their ids are the maps' values.
        void: values of pixels that are not judged.
        images: the folder of the images, if known.

    Raises:
        MissingDataError: there is no such folder, or no PNG in it.
        UsageError: a value of void is a category, or a label map has two images.
    """
    paths = {_stem(path, masks): path for path in masks.rglob("*.png")}
    if not paths:
        raise MissingDataError(
            f"{masks}: holds no PNG file. Expected a folder of label maps. Check --masks."
        )
    category_of_value = _category_of_value(categories, void)
    names = {stem: f"{stem}.png" for stem in paths}
    counts = [
        Count(what=f"label maps in {masks.name}/", found=len(paths), published=None),
        Count(what="categories", found=len(categories), published=None),
    ]
    if images is not None:
        found = _images_by_stem(images, paths)
        counts.append(_count_images(images, found, paths))
        names |= found

    return Dataset(
        categories=tuple(categories),
        image_names=tuple(sorted(names.values(), key=natural_key)),
        read_entry=partial(_read, category_of_value),
        counts=tuple(counts),
        num_published_images=None,
        outputs=("semantic",),
        images=images,
        entries={names[stem]: path for stem, path in paths.items()},
    )


def _read(category_of_value: Mapping[int, int], path: Path) -> Labels:
    runs = read_label_runs(path)
    return Labels(semantic=runs_to_categories(runs, category_of_value, where=path, advice=_ADVICE))


def _category_of_value(categories: Sequence[Category], void: Sequence[int]) -> dict[int, int]:
    """The category index of each value, 65535 for void.

    Raises:
        UsageError: a value of void is a category.
    """
    category_of_value = {category.id: index for index, category in enumerate(categories)}
    clash = sorted(category_of_value.keys() & set(void))
    if clash:
        name = categories[category_of_value[clash[0]]].name
        raise UsageError(
            f"--void: {clash[0]} is the id of the category {name!r}. Expected a value that is no "
            "category. Remove it."
        )
    category_of_value |= dict.fromkeys(void, VOID_CATEGORY)
    return category_of_value


def _count_images(images: Path, found: Collection[str], masks: Collection[str]) -> Count:
    return Count(
        what=f"images in {images.name}/",
        found=len(found),
        published=len(masks),
        missing=tuple(f"{stem}.*" for stem in masks if stem not in found),
    )


def _images_by_stem(images: Path, masks: Mapping[str, Path]) -> dict[str, str]:
    """The name of the image of each stem of `masks` that has one; a mask is none.

    Raises:
        UsageError: a stem has two.
    """
    found: dict[str, str] = {}
    for path in sorted(images.rglob("*")):
        stem = _stem(path, images)
        if path.suffix.lower() not in image_suffixes() or masks.get(stem) in (None, path):
            continue
        name = path.relative_to(images).as_posix()
        if stem in found:
            raise UsageError(
                f"{images}: {found[stem]!r} and {name!r} are both images of the label map "
                f"{stem + '.png'!r}. Expected one. Move one of them away."
            )
        found[stem] = name
    return found


def _stem(path: Path, folder: Path) -> str:
    return path.relative_to(folder).with_suffix("").as_posix()
