"""`draw`: scenes of the synthetic world as files in COCO panoptic format.

Everything follows from the seed; scene n is the same however many are drawn.
"""

import io
import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from odise_cli.config import DrawConfig
from odise_cli.data.world.captions import describe
from odise_cli.data.world.concepts import CATEGORY_IDS, CONCEPTS
from odise_cli.data.world.dataset import UNSEEN, category_of
from odise_cli.data.world.render import Scene, render
from odise_cli.data.world.scenes import plan_scene
from odise_cli.errors import UsageError
from odise_cli.writers.atomic import explained_errors, write_atomic
from odise_cli.writers.panoptic import encode_panoptic_png, panoptic_categories, panoptic_image

_NUM_CAPTIONS = 5


@dataclass(frozen=True, kw_only=True)
class DrawReport:
    """What was drawn."""

    out: Path
    num_scenes: int
    num_segments: int

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**asdict(self), "out": str(self.out)}


def run_draw(
    config: DrawConfig, *, on_progress: Callable[[int, int, int], None] = lambda *_: None
) -> DrawReport:
    """Draw scenes into a folder.

    Args:
        config: what was asked for.
        on_progress: told (scenes drawn, 0 failed, scenes in all).

    Raises:
        UsageError: the folder is not empty, or cannot be written.
        TryAgainError: the disk is full.
    """
    with explained_errors(config.out):
        config.out.mkdir(parents=True, exist_ok=True)
        if any(config.out.iterdir()):
            raise UsageError(
                f"--out: {config.out} is not empty. Expected an empty or a new folder. "
                "Give another --out."
            )
        for part in ("images", "panoptic"):
            (config.out / part).mkdir()
    without = UNSEEN if config.only_seen else frozenset[str]()
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    num_segments = 0
    for number in range(1, config.scenes + 1):
        rng = np.random.default_rng([config.seed, number])
        scene = _draw_scene(rng, config.size, without, close_up=config.close_up)
        stem = f"{number:06d}"
        _write_pictures(config.out, stem, scene)
        images.append(panoptic_image(f"{stem}.png", number, config.size))
        annotations.append(_annotation(scene, number, stem))
        num_segments += len(scene.segments)
        captions += [
            {"id": len(captions) + i, "image_id": number, "caption": describe(scene.segments, rng)}
            for i in range(1, _NUM_CAPTIONS + 1)
        ]
        on_progress(number, 0, config.scenes)
    categories = panoptic_categories([category_of(concept) for concept in CONCEPTS])
    truth = {"images": images, "annotations": annotations, "categories": categories}
    _write_json(config.out / "panoptic.json", truth)
    _write_json(config.out / "captions.json", {"images": images, "annotations": captions})
    return DrawReport(out=config.out, num_scenes=config.scenes, num_segments=num_segments)


def _draw_scene(
    rng: np.random.Generator, size: tuple[int, int], without: Collection[str], *, close_up: float
) -> Scene:
    plan = plan_scene(rng, aspect=size[1] / size[0], without=without, close_up=close_up)
    return render(plan, size, rng)


def _write_pictures(out: Path, stem: str, scene: Scene) -> None:
    buffer = io.BytesIO()
    Image.fromarray(scene.image_HW3).save(buffer, "PNG")
    write_atomic(out / "images" / f"{stem}.png", buffer.getvalue())
    truth = encode_panoptic_png(scene.numbers_HW.astype(np.int32))
    write_atomic(out / "panoptic" / f"{stem}.png", truth)


def _annotation(scene: Scene, image_id: int, stem: str) -> dict[str, Any]:
    """The entry of `annotations` for one scene."""
    segments = [
        {
            "id": segment.number,
            "category_id": CATEGORY_IDS[segment.concept.name],
            "isthing": int(segment.concept.isthing),
            "iscrowd": 0,
            "area": segment.area_px,
            "bbox": _box_xywh(scene.numbers_HW == segment.number),
        }
        for segment in scene.segments
    ]
    return {"image_id": image_id, "file_name": f"{stem}.png", "segments_info": segments}


def _box_xywh(mask_HW: np.ndarray[Any, np.dtype[np.bool_]]) -> list[int]:
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _write_json(path: Path, content: dict[str, list[dict[str, Any]]]) -> None:
    write_atomic(path, json.dumps(content).encode())
