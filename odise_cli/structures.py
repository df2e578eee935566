"""The nouns that travel between modules: images in, segmentations out.

Everything here is frozen and numpy; nothing here reads a file or knows a device.
Axes: H W pixels of the *original* image (EXIF orientation applied), K categories.
Sizes are `(height, width)`. Category *indices* count a vocabulary's categories from 0; a
category's *id* is what files say, and only writers turn one into the other.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odise_cli.storage import Location

VOID_CATEGORY = 65535
"""Value of void pixels in a semantic map."""
_BYTE = 0xFF
_WORD, _WORD_BITS, _BLOCK = 8, 3, 64
"""Bytes that are looked at together: two to the power of the second, and eight times as many."""


@dataclass(frozen=True, kw_only=True)
class Category:
    """One category of a vocabulary: what it is called and how files refer to it."""

    id: int
    words: tuple[str, ...]
    """The name, then its synonyms; never empty."""
    isthing: bool
    color: tuple[int, int, int]
    """RGB, 0..255."""

    @property
    def name(self) -> str:
        """The first word, which stands for the category in every file."""
        return self.words[0]


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One image of a run, before it is opened."""

    path: Location
    name: str
    """Path relative to the run's root with `/`, e.g. `a/b.jpg`; unique in the run."""
    stem: str
    """`name` without its suffix; output files are `panoptic/<stem>.png`; unique in the run."""
    image_id: int


@dataclass(frozen=True, kw_only=True)
class DecodedImage:
    """An image in memory, at its own size and at the model's."""

    record: ImageRecord
    pixels_HW3: NDArray[np.uint8]
    """RGB at the original size."""
    resized_HW3: NDArray[np.uint8]
    """RGB after the test-time resize (short side / long side), not yet padded."""
    decode_ms: float

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the original image."""
        return self.pixels_HW3.shape[0], self.pixels_HW3.shape[1]


@dataclass(frozen=True, kw_only=True)
class FailedImage:
    """An image that gave no result, and why."""

    record: ImageRecord
    error: str


@dataclass(frozen=True, kw_only=True)
class Segment:
    """One region of a panoptic map."""

    id: int
    """Value of its pixels in the panoptic map, from 1."""
    category: int
    """Index into the vocabulary's categories."""
    score: float
    """Probability of the category, 0..1."""
    alternatives: tuple[tuple[int, float], ...]
    """The most probable categories, best first (at most five): (index, probability)."""


@dataclass(frozen=True, kw_only=True)
class Instances:
    """The instances of one image, best first; masks may overlap."""

    categories: NDArray[np.int32]
    """[N] indices into the vocabulary's categories."""
    scores: NDArray[np.float32]
    """[N] class probability × mean mask probability, 0..1."""
    packed_masks: NDArray[np.uint8]
    """[M, ceil(H·W / 8)] each mask's pixels in row-major order, as `numpy.packbits` packs them."""
    mask_rows: NDArray[np.int64]
    """[N] the row of `packed_masks` that each instance has: a mask may have several names."""

    def mask(self, index: int, size: tuple[int, int]) -> NDArray[np.bool_]:
        """The [H, W] mask of one instance, unpacked."""
        height, width = size
        bits = np.unpackbits(self.packed_masks[self.mask_rows[index]], count=height * width)
        return bits.reshape(height, width).astype(bool)


@dataclass(frozen=True, kw_only=True)
class Segmentation:
    """What was found in one image; parts that nobody asked for are None."""

    panoptic_HW: NDArray[np.int32]
    """Segment id of each pixel; 0 is void."""
    segments: tuple[Segment, ...]
    """In order of id; every id occurs in `panoptic_HW` and no other does."""
    semantic_HW: NDArray[np.uint16] | None = None
    """Category index of each pixel."""
    instances: Instances | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the original image."""
        return self.panoptic_HW.shape[0], self.panoptic_HW.shape[1]


@dataclass(frozen=True, kw_only=True)
class ImageResult:
    """A segmentation together with the image that it belongs to."""

    image: DecodedImage
    segmentation: Segmentation
    stage_ms: dict[str, float]
    """This image's share of each stage: decode, features, masks, classify, postprocess."""


@dataclass(frozen=True, kw_only=True)
class Region:
    """One region of a panoptic map that is scored, or that it is scored against."""

    id: int
    """Value of its pixels in the panoptic map, from 1."""
    category: int
    """Index into the dataset's categories."""
    iscrowd: bool = False
    """A group that nobody separated; only ground truth has them."""


def places_of_ids(ids: NDArray[np.int32], regions: Sequence[Region]) -> NDArray[np.int64]:
    """The place of each id's region in a list, from 1; 0 for void, anything for other ids."""
    listed = np.array([0, *(region.id for region in regions)])
    numbers, lowest_bytes = np.arange(len(listed)), listed & _BYTE
    places: NDArray[np.int64] = np.zeros(_BYTE + 1, np.int64)
    places[lowest_bytes] = numbers
    # Mostly the lowest byte alone tells regions apart, which is three times as fast as a search.
    if (places[lowest_bytes] == numbers).all():
        return places.take(ids & _BYTE)
    order = np.argsort(listed)
    return order[np.searchsorted(listed[order[1:]], ids, side="right")]


@dataclass(frozen=True, kw_only=True)
class InstanceMask:
    """One instance of an image as a mask of its own; masks may overlap."""

    category: int
    """Index into the dataset's categories."""
    rle: dict[str, Any]
    """COCO's compressed RLE: `size` (height, width) and `counts`."""
    score: float = 1.0
    """Confidence, 0..1; ground truth has none and is certain."""
    area_px: float | None = None
    """As the dataset states it; None is the mask's own number of pixels."""
    iscrowd: bool = False


@dataclass(frozen=True, kw_only=True)
class LabelRuns:
    """A label map as runs of equal numbers, which are far fewer than its pixels.

    Pixels are counted row by row; a run may go on in the next row.
    """

    size: tuple[int, int]
    """(height, width)."""
    starts: NDArray[np.int64]
    """[R] the first pixel of each run, ascending from 0."""
    values: NDArray[Any]
    """[R] the number of each run's pixels, an integer; neighbours may be equal."""

    @classmethod
    def of_map(cls, map_HW: NDArray[Any]) -> "LabelRuns":
        """The runs of an [H, W] map of integers."""
        flat = map_HW.ravel()
        starts = np.append(0, _changes(flat, 1) + 1)
        return cls(size=(map_HW.shape[0], map_HW.shape[1]), starts=starts, values=flat[starts])

    @classmethod
    def of_bytes(cls, bytes_HW3: NDArray[np.uint8]) -> "LabelRuns":
        """The runs of the numbers in each pixel's three bytes, lowest first, as int32."""
        flat = bytes_HW3.ravel()
        starts = np.append(-1, _changes(flat, 3) // 3) + 1
        # A pixel has up to three changed bytes, one behind the other.
        starts = starts[np.append(True, starts[1:] != starts[:-1])]
        low, middle, high = (flat.take(3 * starts + place) for place in range(3))
        values = low.astype(np.int32) | middle.astype(np.int32) << 8 | high.astype(np.int32) << 16
        size = bytes_HW3.shape[0], bytes_HW3.shape[1]
        return cls(size=size, starts=starts, values=values)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """[R] the number of pixels of each run."""
        height, width = self.size
        return np.diff(self.starts, append=height * width)

    def to_map(self) -> NDArray[Any]:
        """The [H, W] map."""
        return np.repeat(self.values, self.lengths).reshape(self.size)


def _changes(flat: NDArray[Any], step: int) -> NDArray[np.int64]:
    """Where an array differs from what it is `step` places further on."""
    num_compared = max(len(flat) - step, 0)
    is_change = np.empty(-(-num_compared // _BLOCK) * _BLOCK, bool)
    is_change[num_compared:] = False
    np.not_equal(flat[step:], flat[:num_compared], out=is_change[:num_compared])
    return _true_places(is_change, num_levels=2)


def _true_places(is_true: NDArray[np.bool_], *, num_levels: int) -> NDArray[np.int64]:
    """Like `numpy.flatnonzero`, which looks for single rare bytes several times as long.

    Args:
        is_true: as many as a multiple of eight to the power of `num_levels`.
        num_levels: how often eight are looked at as one.
    """
    if num_levels == 0:
        return np.flatnonzero(is_true)
    words = is_true.view(np.uint64)
    found = _true_places(words > 0, num_levels=num_levels - 1)
    within = np.flatnonzero(words.take(found).view(bool))
    places: NDArray[np.int64] = (found << _WORD_BITS).take(within >> _WORD_BITS)
    return places + (within & _WORD - 1)


@dataclass(frozen=True, kw_only=True)
class Labels:
    """What is known of one image, by people or by a run; parts that nobody has are None.

    Ground truth and saved predictions are both labels of a dataset's image, with category
    indices that count the dataset's categories.
    """

    panoptic: LabelRuns | None = None
    """Region id of each pixel, 0 void; every id is in `regions`, and no other is there."""
    regions: tuple[Region, ...] = ()
    semantic: LabelRuns | None = None
    """Category index of each pixel, 65535 void."""
    instances: tuple[InstanceMask, ...] | None = None
    image_size: tuple[int, int] | None = None
    """(height, width) where there is no map that would tell."""
    absent_categories: frozenset[int] = frozenset()
    """Category indices that are known not to be in the image, where most were not looked for."""
    incomplete_categories: frozenset[int] = frozenset()
    """Category indices of which `instances` has some and not all."""

    @property
    def size(self) -> tuple[int, int] | None:
        """(height, width) of the image; None where nothing tells."""
        for runs in (self.panoptic, self.semantic):
            if runs is not None:
                return runs.size
        return self.image_size


@dataclass(frozen=True, kw_only=True)
class Count:
    """One line of a self-check: how many there are, and how many the owner publishes."""

    what: str
    found: int
    published: int | None
    """None where nobody says: somebody's own dataset."""
    missing: tuple[str, ...] = ()
    """Files that should be there and are not, by name."""
    origin: str | None = None
    """Where the owner publishes them."""

    @property
    def is_complete(self) -> bool:
        """Nothing is missing."""
        return not self.missing and self.published in (None, self.found)
