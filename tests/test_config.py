from pathlib import Path

import pytest

from odise_cli.config import EvaluateConfig, InferenceConfig, SegmentConfig, Shard
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
            {"dataset": "voc21", "data": Path("x"), "images": Path("y")},
            "^--images: means nothing to --dataset voc21. Expected --data. Remove --images.",
        ),
        ({"dataset": "voc21", "data": Path("x"), "limit": 0}, "^--limit: 0 is too small."),
    ],
)
def test_what_an_evaluation_cannot_mean(fields, message):
    with pytest.raises(UsageError, match=message) as info:
        EvaluateConfig(**fields)
    assert info.value.exit_code == 2


def test_images_cannot_be_shrunk_to_nothing():
    with pytest.raises(UsageError, match=r"^--max-short-side: 0 is too small\."):
        SegmentConfig(sources=("x",), vocab=("cat",), max_short_side=0)


def test_where_an_evaluation_writes_and_reads():
    config = EvaluateConfig(dataset="voc21", data=Path("x"))
    assert config.report_folder == Path("evaluation")
    assert config.predictions_folder == Path("evaluation/predictions")
    config = EvaluateConfig(dataset="voc21", data=Path("x"), out=Path("out"))
    assert config.predictions_folder == Path("out/predictions")
    config = EvaluateConfig(dataset="voc21", data=Path("x"), predictions=Path("preds"))
    assert config.report_folder is None
    assert config.predictions_folder == Path("preds")


@pytest.mark.parametrize(
    ("shard", "limit", "bounds"),
    [(None, None, (0, 10)), (None, 3, (0, 3)), ((2, 3), None, (3, 6)), ((2, 3), 2, (3, 5))],
)
def test_a_limit_counts_within_a_shard(shard, limit, bounds):
    part = None if shard is None else Shard(index=shard[0], count=shard[1])
    assert InferenceConfig(shard=part, limit=limit).bounds(10) == bounds
