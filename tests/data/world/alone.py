"""One thing on a plain background."""

import numpy as np

from odise_cli.data.world.brush import Look
from odise_cli.data.world.concepts import COLORS, CONCEPTS
from odise_cli.data.world.render import Scene, render
from odise_cli.data.world.scenes import Item, Region, ScenePlan

CONCEPT = {concept.name: concept for concept in CONCEPTS}
WHOLE = ((-0.1, -0.1), (1.1, -0.1), (1.1, 1.1), (-0.1, 1.1))
THING, BACKGROUND = 2, 1
"""Their numbers."""


def region(name: str, outline=WHOLE) -> Region:
    return Region(concept=CONCEPT[name], outline=outline, color=(120, 180, 230), variant=0)


def thing(name: str, *, color: str = "blue", pattern: str = "plain", **fields) -> Item:
    look = Look(color=COLORS[color].rgb, pattern=pattern, variant=fields.pop("variant", 0.5))
    usual = {"x": 0.5, "y": 0.75, "height": 0.5, "width": 0.5, "is_mirrored": False, "tilt": 0.0}
    return Item(
        concept=CONCEPT[name],
        look=look,
        color_name=color if CONCEPT[name].colors else "",
        **{**usual, "casts_shadow": False, **fields},
    )


_SKY = (region("sky"),)


def plan(*items: Item, regions=_SKY, light=0.0, window=(0.0, 0.0, 1.0)) -> ScenePlan:
    return ScenePlan(regions=regions, items=items, light=light, tint=(1.0, 1.0, 1.0), window=window)


def picture(scene_plan: ScenePlan, side_px: int = 128) -> Scene:
    return render(scene_plan, (side_px, side_px), np.random.default_rng(0))
