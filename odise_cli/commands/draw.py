"""`draw`: scenes of the synthetic world as files in COCO panoptic format.

Everything follows from the seed; scene n is the same however many are drawn, so a run that was
stopped goes on with the scenes that are not there.
"""

import io
import json
from collections.abc import Callable, Collection
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from odise_cli.commands.drawn_folder import DrawnFolder, open_drawn_folder
from odise_cli.config import DrawConfig
from odise_cli.data.world.captions import describe
from odise_cli.data.world.concepts import CATEGORY_IDS, CONCEPTS
from odise_cli.data.world.dataset import UNSEEN, category_of
from odise_cli.data.world.render import Scene, render
from odise_cli.data.world.scenes import plan_scene
from odise_cli.writers.atomic import write_atomic
from odise_cli.writers.panoptic import encode_panoptic_png, panoptic_categories, panoptic_image

_NUM_CAPTIONS = 5


@dataclass(frozen=True, kw_only=True)
class DrawReport:
    """What was drawn."""

    out: Path
    num_scenes: int
    """In the folder, those drawn before included."""
    num_scenes_before: int
    """Drawn by an earlier run of the same command."""
    num_segments: int
    is_interrupted: bool

    def to_json(self) -> dict[str, Any]:
        """The report as JSON values."""
        return {**asdict(self), "out": str(self.out)}


def run_draw(
    config: DrawConfig,
    *,
    on_progress: Callable[[int, int, int], None] = lambda *_: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> DrawReport:
    """Draw the scenes that a folder does not have yet.

    Args:
        config: what was asked for.
        on_progress: told (scenes drawn, 0 failed, scenes in all).
        should_stop: asked before each scene.

    Raises:
        SettingsChangedError: the folder was begun with other settings.
        UsageError: the folder holds files of others, or cannot be written.
        TryAgainError: another process draws into it, or the disk is full.
    """
    without = UNSEEN if config.only_seen else frozenset[str]()
    is_interrupted = False
    with open_drawn_folder(config) as folder:
        num_before = len(folder.entries)
        on_progress(num_before, 0, config.scenes)
        for number in range(1, config.scenes + 1):
            if number in folder.entries:
                continue
            if should_stop():
                is_interrupted = True
                break
            rng = np.random.default_rng([config.seed, number])
            scene = _draw_scene(rng, config.size, without, close_up=config.close_up)
            captions = [describe(scene.segments, rng) for _ in range(_NUM_CAPTIONS)]
            entry = {"segments_info": _segments_info(scene), "captions": captions}
            folder.write(number, _pictures(scene), entry)
            on_progress(len(folder.entries), 0, config.scenes)
        if not is_interrupted:
            _write_collected(folder, config)
        return DrawReport(
            out=config.out,
            num_scenes=len(folder.entries),
            num_scenes_before=num_before,
            num_segments=sum(len(entry["segments_info"]) for entry in folder.entries.values()),
            is_interrupted=is_interrupted,
        )


def _draw_scene(
    rng: np.random.Generator, size: tuple[int, int], without: Collection[str], *, close_up: float
) -> Scene:
    plan = plan_scene(rng, aspect=size[1] / size[0], without=without, close_up=close_up)
    return render(plan, size, rng)


def _pictures(scene: Scene) -> dict[str, bytes]:
    buffer = io.BytesIO()
    Image.fromarray(scene.image_HW3).save(buffer, "PNG")
    truth = encode_panoptic_png(scene.numbers_HW.astype(np.int32))
    return {"images": buffer.getvalue(), "panoptic": truth}


def _segments_info(scene: Scene) -> list[dict[str, Any]]:
    return [
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


def _box_xywh(mask_HW: np.ndarray[Any, np.dtype[np.bool_]]) -> list[int]:
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _write_collected(folder: DrawnFolder, config: DrawConfig) -> None:
    """Write what is said of all scenes, in their order, whenever each was drawn."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    captions: list[dict[str, Any]] = []
    for number, entry in sorted(folder.entries.items()):
        name = f"{number:06d}.png"
        images.append(panoptic_image(name, number, config.size))
        annotations.append(
            {"image_id": number, "file_name": name, "segments_info": entry["segments_info"]}
        )
        captions += [
            {"id": len(captions) + i, "image_id": number, "caption": text}
            for i, text in enumerate(entry["captions"], start=1)
        ]
    categories = panoptic_categories([category_of(concept) for concept in CONCEPTS])
    truth = {"images": images, "annotations": annotations, "categories": categories}
    _write_json(config.out / "panoptic.json", truth)
    _write_json(config.out / "captions.json", {"images": images, "annotations": captions})


def _write_json(path: Path, content: dict[str, list[dict[str, Any]]]) -> None:
    write_atomic(path, json.dumps(content).encode())
