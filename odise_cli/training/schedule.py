"""The learning rate of each step, as a multiple of the base rate.

A pure function of the step, so that a resumed run needs no scheduler's state.
"""

import bisect
import math
from collections.abc import Callable

from odise_cli.recipe.schema import ScheduleConfig

Schedule = Callable[[int], float]
"""The multiplier of a step, counted from 0."""


def make_schedule(config: ScheduleConfig, num_steps: int) -> Schedule:
    """The schedule of a run of `num_steps` steps.

    Warm-up is linear, from `warmup_factor` to what the schedule has where warm-up ends.

    Source: MMDetection's and detectron2's "where in the run" parametrisation; MODEL: the
    published runs are a linear warm-up into a multi-step schedule.
    """

    def after_warmup(where: float) -> float:
        if config.kind == "multistep":
            return float(config.gamma ** bisect.bisect_right(config.milestones, where))
        if config.kind == "cosine":
            cosine = (1 + math.cos(math.pi * where)) / 2
            return config.final_factor + (1 - config.final_factor) * cosine
        return 1.0

    def multiplier(step: int) -> float:
        where = step / num_steps
        if where >= config.warmup:
            return after_warmup(where)
        progress = where / config.warmup
        end = after_warmup(config.warmup)
        return config.warmup_factor + (end - config.warmup_factor) * progress

    return multiplier
