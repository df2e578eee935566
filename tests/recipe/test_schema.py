import pytest

from odise_cli.errors import UsageError
from odise_cli.recipe.schema import (
    DataConfig,
    OptimizerConfig,
    Recipe,
    ScheduleConfig,
    ValidationConfig,
)


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (Recipe, {"task": "heads"}, r"^task: 'heads' is unknown\. Expected head, clip,"),
        (Recipe, {"supervision": "boxes"}, r"^supervision: 'boxes' is unknown\."),
        (Recipe, {"precision": "int8"}, r"^precision: 'int8' is unknown\."),
        (Recipe, {"steps": 0}, r"^steps: 0 is too small\. Expected at least 1\."),
        (Recipe, {"batch_size": 0}, r"^batch_size: 0 is too small\."),
        (Recipe, {"images_per_pass": 0}, r"^images_per_pass: 0 is too small\."),
        (Recipe, {"seed": -1}, r"^seed: -1 is too small\."),
        (Recipe, {"no_object_weight": 1.5}, r"^no_object_weight: 1\.5 is out of range\."),
        (Recipe, {"freeze_text": True}, r"^freeze_text: means nothing to task 'head'\."),
        (Recipe, {"hidden_words": 1.5}, r"^hidden_words: 1\.5 is out of range\."),
        (Recipe, {"hidden_words": 0.2, "task": "clip"}, r"^hidden_words: 0\.2 means nothing"),
        (Recipe, {"alpha": 1.5}, r"^alpha: 1\.5 is out of range\."),
        (Recipe, {"beta": 0.5, "task": "clip"}, r"^beta: means nothing to task 'clip'\."),
        (Recipe, {"freeze_masks": True}, r"^freeze_masks: there are no masks .*is_head_new"),
        (Recipe, {"are_words_new": True}, r"^are_words_new: there are no masks .*is_head_new"),
        (Recipe, {"cache_features": True}, r"^cache_features: .* freeze_captioner = true \(or"),
        (Recipe, {"supervision": "caption"}, r"^data\.captions: was not given\."),
        (OptimizerConfig, {"learning_rate": -1.0}, r"^optimizer\.learning_rate: -1\.0 is too"),
        (OptimizerConfig, {"clip_norm": float("nan")}, r"^optimizer\.clip_norm: nan is too"),
        (OptimizerConfig, {"betas": (0.9, 1.5)}, r"^optimizer\.betas: 1\.5 is out of range\."),
        (ScheduleConfig, {"kind": "step"}, r"^schedule\.kind: 'step' is unknown\. .*multistep"),
        (ScheduleConfig, {"warmup": 2.0}, r"^schedule\.warmup: 2\.0 is out of range\."),
        (ScheduleConfig, {"milestones": (0.9, 0.5)}, r"^schedule\.milestones: \[0\.9, 0\.5\] is"),
        (DataConfig, {"dataset": "lvis"}, r"^data\.dataset: 'lvis' is unknown\."),
        (DataConfig, {"crop_size": 100}, r"^data\.crop_size: 100 .* multiple of 64\."),
        (DataConfig, {"min_scale": 3.0}, r"^data\.min_scale: 3\.0 to 2\.0 is no range"),
        (ValidationConfig, {"limit": 0}, r"^validation\.limit: 0 is too small\."),
    ],
)
def test_what_a_recipe_cannot_mean(kind, values, message):
    with pytest.raises(UsageError, match=message):
        kind(**values)


def test_drawn_scenes_come_with_captions():
    assert Recipe(supervision="caption", data=DataConfig(dataset="world"))
