from pathlib import Path

import pytest

from odise_cli.config import EvaluateConfig
from odise_cli.errors import UsageError


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        (
            {"dataset": "imagenet"},
            "^--dataset: 'imagenet' is unknown. Expected ade20k, ade20k-full, coco,",
        ),
        ({"dataset": "voc21"}, "^--data: was not given. Expected for --dataset voc21: --data."),
        (
            {"dataset": "coco-panoptic", "masks": Path("x")},
            "^--annotations: was not given. .*coco-panoptic: --annotations and --masks. Add",
        ),
        (
            {"dataset": "voc21", "data": Path("x"), "masks": Path("y")},
            "^--masks: means nothing to --dataset voc21. Expected --data. Remove --masks.",
        ),
        ({"dataset": "label-png", "masks": Path("x")}, "^--vocab: no vocabulary was given."),
        (
            {"dataset": "voc21", "data": Path("x"), "vocab": ("voc21",)},
            "^--vocab: voc21 has a vocabulary of its own.",
        ),
        ({"dataset": "voc21", "data": Path("x"), "limit": 0}, "^--limit: 0 is too small."),
    ],
)
def test_what_an_evaluation_cannot_mean(fields, message):
    with pytest.raises(UsageError, match=message) as info:
        EvaluateConfig(**fields)
    assert info.value.exit_code == 2
