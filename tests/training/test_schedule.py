import math

import pytest

from odise_cli.recipe.schema import ScheduleConfig
from odise_cli.training.schedule import make_schedule


def test_the_published_schedule():
    # 92,188 steps: 250.0 of warm-up from 0.067, then tenths from 8/9 and 26/27 of the run on.
    schedule = make_schedule(ScheduleConfig(), 92188)
    assert schedule(0) == pytest.approx(0.067)
    assert schedule(125) == pytest.approx(0.067 + (1 - 0.067) / 2, abs=1e-4)
    assert schedule(249) < 1.0
    # 92188 · 500 / 184375 = 250.0007: the step 250 is still a hair below.
    assert schedule(250) == pytest.approx(1.0, abs=1e-5)
    # 92188 · 163889 / 184375 = 81944.9; 92188 · 177546 / 184375 = 88773.5
    assert [schedule(step) for step in (251, 81944)] == [1.0, 1.0]
    assert [schedule(step) for step in (81945, 88773)] == pytest.approx([0.1, 0.1])
    assert [schedule(step) for step in (88774, 92187)] == pytest.approx([0.01, 0.01])


def test_cosine():
    config = ScheduleConfig(kind="cosine", warmup=0.1, warmup_factor=0.0, final_factor=0.2)
    schedule = make_schedule(config, 100)
    assert schedule(0) == 0.0
    at_ten = 0.2 + 0.8 * (1 + math.cos(math.pi * 0.1)) / 2
    assert schedule(5) == pytest.approx(at_ten / 2)
    assert schedule(10) == pytest.approx(at_ten)
    assert schedule(50) == pytest.approx(0.6)
    assert schedule(99) == pytest.approx(0.2, abs=1e-3)


def test_constant_without_warmup():
    schedule = make_schedule(ScheduleConfig(kind="constant", warmup=0.0), 10)
    assert [schedule(step) for step in (0, 5, 9)] == [1.0, 1.0, 1.0]
