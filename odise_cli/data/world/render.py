"""A plan becomes a picture and its ground truth."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from odise_cli.data.world import indoor_things, outdoor_things
from odise_cli.data.world.brush import Brush, Canvas
from odise_cli.data.world.concepts import THINGS, Concept
from odise_cli.data.world.scenes import Item, Region, ScenePlan
from odise_cli.data.world.textures import tinted

VOID = 0
_MIN_VISIBLE = 0.0008
"""Smallest visible part of the picture that counts as a segment."""
_SENSOR_NOISE = 2.5


@dataclass(frozen=True, kw_only=True)
class SceneSegment:
    """A visible thing, or all visible stuff of one kind."""

    number: int
    """Value of its pixels."""
    concept: Concept
    color_name: str
    """Empty where the colour goes without saying."""
    pattern: str
    area_px: int


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A picture with its ground truth."""

    image_HW3: NDArray[np.uint8]
    numbers_HW: NDArray[np.uint8]
    """Number of the segment of each pixel; `VOID` where what is there is too small to count."""
    segments: tuple[SceneSegment, ...]
    """Ascending numbers."""
    plan: ScenePlan


def render(plan: ScenePlan, size: tuple[int, int], rng: np.random.Generator) -> Scene:
    """Draw a plan.

    Args:
        plan: what to draw; the same at any size.
        size: (height, width), pixels.
        rng: of the sensor's noise.
    """
    canvas = Canvas(size, window=plan.window)
    numbers: dict[str, int] = {}
    owners: dict[int, Region | Item] = {}
    for region in plan.regions:
        number = numbers.setdefault(region.concept.name, len(numbers) + 1)
        owners.setdefault(number, region)
        surface = tinted(region.concept.name, region.variant, canvas.side_px, region.color)
        canvas.fill(surface, region.outline, number)
    for number, item in enumerate(plan.items, start=len(numbers) + 1):
        owners[number] = item
        _draw_item(canvas, item, number, plan.light)
    image, ids = canvas.finish()
    return _finish(plan, image, ids, owners, rng)


def _draw_item(canvas: Canvas, item: Item, number: int, light: float) -> None:
    brush = Brush(
        canvas=canvas,
        number=number,
        x=item.x,
        y=item.y,
        height=item.height,
        look=item.look,
        is_mirrored=item.is_mirrored,
        tilt=item.tilt,
    )
    if item.casts_shadow:
        brush.shadow(item.width / item.height)
    _PAINTERS[item.concept.name](brush)
    brush.shade(light)


def _finish(
    plan: ScenePlan,
    image: NDArray[np.uint8],
    ids: NDArray[np.uint8],
    owners: dict[int, Region | Item],
    rng: np.random.Generator,
) -> Scene:
    areas = np.bincount(ids.ravel(), minlength=256)
    num_smallest = max(1.0, _MIN_VISIBLE * ids.size)
    kept = [number for number in sorted(owners) if areas[number] >= num_smallest]
    translation = np.zeros(256, np.uint8)
    translation[kept] = kept
    tint = np.array(plan.tint, np.float32)
    lit = image * tint + rng.standard_normal(image.shape, np.float32) * _SENSOR_NOISE
    segments = tuple(_segment(number, owners[number], int(areas[number])) for number in kept)
    return Scene(
        image_HW3=np.clip(lit, 0, 255).astype(np.uint8),
        numbers_HW=translation[ids],
        segments=segments,
        plan=plan,
    )


def _segment(number: int, owner: Region | Item, area_px: int) -> SceneSegment:
    shows_pattern = bool(owner.color_name) and owner.concept.has_patterns
    return SceneSegment(
        number=number,
        concept=owner.concept,
        color_name=owner.color_name,
        pattern=owner.look.pattern if isinstance(owner, Item) and shows_pattern else "plain",
        area_px=area_px,
    )


_PAINTERS: dict[str, Callable[[Brush], None]] = {
    concept.name: getattr(module, concept.name.replace(" ", "_"))
    for concept in THINGS
    for module in (outdoor_things, indoor_things)
    if hasattr(module, concept.name.replace(" ", "_"))
}
