"""Captions of images, from a JSON file as COCO publishes them.

Knows image ids; does not know which words of a caption matter.

Source: https://cocodataset.org/#format-data, "Image Captioning".
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from odise_cli.data.datasets.dataset import read_json
from odise_cli.errors import UsageError

_REQUIRED: Final = {"annotations": ("image_id", "caption")}


@dataclass(frozen=True, kw_only=True)
class Captions:
    """What people wrote about images."""

    of_image: Mapping[int, tuple[str, ...]]
    """By image id, in the file's order; only images that have a caption."""
    warnings: tuple[str, ...]
    """What was passed over, counted; a line each."""


def read_captions(path: Path, image_ids: Mapping[int, str]) -> Captions:
    """The captions of some images; empty ones, and those of other images, are passed over.

    Args:
        path: the JSON file.
        image_ids: the file name of each image id that is wanted.

    Raises:
        MissingDataError: there is no such file.
        UsageError: it has another format, or no caption of any wanted image.
    """
    found: dict[int, list[str]] = defaultdict(list)
    num_empty = num_others = 0
    for number, entry in enumerate(read_json(path, required=_REQUIRED)["annotations"]):
        image_id, caption = entry["image_id"], entry["caption"]
        if not isinstance(caption, str):
            raise UsageError(
                f"{path}: annotations[{number}] has the caption {caption!r}. Expected a text. "
                "Correct the file, or download it again."
            )
        text = " ".join(caption.split())
        if image_id not in image_ids:
            num_others += 1
        elif not text:
            num_empty += 1
        else:
            found[image_id].append(text)
    if not found:
        raise UsageError(
            f"{path}: has no caption of any of the {len(image_ids):,} images. Expected the "
            "captions of the same split. Give the file that belongs to the annotations."
        )
    counts = {
        "captions are empty and were left out": num_empty,
        "captions are of images that the annotations do not list": num_others,
        "images have no caption and teach no words": len(image_ids) - len(found),
    }
    return Captions(
        of_image={image_id: tuple(texts) for image_id, texts in found.items()},
        warnings=tuple(f"{path}: {count:,} {what}." for what, count in counts.items() if count),
    )
