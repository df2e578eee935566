"""Results that no model made, and a run that writes them: `python -m tests.writers.fakes`."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from odise_cli.structures import (
    Category,
    DecodedImage,
    FailedImage,
    ImageRecord,
    ImageResult,
    Instances,
    Segment,
    Segmentation,
)
from odise_cli.writers.run_folder import RunFolder

ALL_OUTPUTS = ("panoptic", "instances", "semantic", "overlay", "segments")
CATEGORIES = (
    Category(id=7, words=("cat", "kitten"), isthing=True, color=(220, 20, 60)),
    Category(id=300, words=("sky",), isthing=False, color=(70, 130, 180)),
    Category(id=70_000, words=("blue door",), isthing=True, color=(0, 0, 142)),
)
SETTINGS: dict[str, Any] = {"model": "tiny", "overlap_threshold": 0.8}


def record(number: int, *, name: str | None = None) -> ImageRecord:
    name = name or f"{'ab'[number % 2]}/image{number}.jpg"
    return ImageRecord(
        path=Path("/photos") / name,
        name=name,
        stem=name.rsplit(".", 1)[0],
        image_id=number + 1,
    )


def segments_of(panoptic_HW: NDArray[np.int32]) -> tuple[Segment, ...]:
    """One segment for each id; categories take turns."""
    return tuple(
        Segment(
            id=int(id_),
            category=number % len(CATEGORIES),
            score=1 / (number + 1),
            alternatives=((number % len(CATEGORIES), 1 / (number + 1)), (0, 0.01)),
        )
        for number, id_ in enumerate(i for i in np.unique(panoptic_HW) if i)
    )


def result_of(image: ImageRecord, panoptic_HW: NDArray[np.int32]) -> ImageResult:
    """A result whose instances and semantic map follow from its panoptic map."""
    segments = segments_of(panoptic_HW)
    height, width = panoptic_HW.shape
    rng = np.random.default_rng(image.image_id)
    semantic_HW = np.full((height, width), 65535, np.uint16)
    masks = np.zeros((len(segments), height * width), bool)
    for number, segment in enumerate(segments):
        semantic_HW[panoptic_HW == segment.id] = segment.category
        masks[number] = (panoptic_HW == segment.id).ravel()
    return ImageResult(
        image=DecodedImage(
            record=image,
            pixels_HW3=rng.integers(0, 256, (height, width, 3), np.uint8),
            resized_HW3=np.zeros((1, 1, 3), np.uint8),
            decode_ms=1.0,
        ),
        segmentation=Segmentation(
            panoptic_HW=panoptic_HW,
            segments=segments,
            semantic_HW=semantic_HW,
            instances=Instances(
                categories=np.array([s.category for s in segments], np.int32),
                scores=np.array([s.score for s in segments], np.float32),
                packed_masks=np.packbits(masks, axis=1),
                mask_rows=np.arange(len(segments)),
            ),
        ),
        stage_ms={"decode": 1.0, "features": 20.0},
    )


def result(number: int, *, size: tuple[int, int] = (24, 36)) -> ImageResult:
    """The `number`-th image: a mosaic of up to five segments and void."""
    height, width = size
    tiles = np.random.default_rng(number).integers(0, 6, (-(-height // 6), -(-width // 6)))
    panoptic_HW = np.kron(tiles, np.ones((6, 6), np.int64))[:height, :width].astype(np.int32)
    return result_of(record(number), panoptic_HW)


def open_run(
    out: Path,
    *,
    settings: dict[str, Any] = SETTINGS,
    categories: Sequence[Category] = CATEGORIES,
    outputs: Sequence[str] = ALL_OUTPUTS,
    overwrite: bool = False,
    info: Mapping[str, Any] = MappingProxyType({"odise": "0.1.0"}),
) -> RunFolder:
    return RunFolder.open(
        out,
        settings=settings,
        info=info,
        categories=categories,
        outputs=outputs,
        overwrite=overwrite,
    )


def write_run(
    out: Path,
    numbers: Iterable[int],
    *,
    failing: Sequence[int] = (),
    outputs: Sequence[str] = ALL_OUTPUTS,
    threads: int = 1,
) -> None:
    """What `odise segment` does with a folder: write what is not done, then finish."""
    numbers = list(numbers)
    with open_run(out, outputs=outputs) as folder, ThreadPoolExecutor(threads) as pool:
        status = folder.status

        def write(number: int) -> None:
            if number in failing:
                folder.write_failure(FailedImage(record=record(number), error="is truncated"))
            elif status.get(record(number).name) != "done":
                folder.write(result(number))

        list(pool.map(write, numbers))
        folder.finish([record(number) for number in numbers], {"seconds": 1.5})


def files_of(out: Path) -> dict[str, bytes]:
    """Every file of a run folder, without what depends on the clock."""
    files = {
        path.relative_to(out).as_posix(): path.read_bytes()
        for path in out.rglob("*")
        if path.is_file()
    }
    rows = [json.loads(line) for line in files["manifest.jsonl"].splitlines()]
    files["manifest.jsonl"] = json.dumps([{**row, "ms": None} for row in rows]).encode()
    files["run.json"] = json.dumps({**json.loads(files["run.json"]), "totals": None}).encode()
    return files


if __name__ == "__main__":
    # Tell the parent when the interesting part begins, importing aside.
    sys.stdout.write("started\n")
    sys.stdout.flush()
    write_run(Path(sys.argv[1]), range(int(sys.argv[2])), failing=(3,), threads=2)
