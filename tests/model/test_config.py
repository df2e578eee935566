import dataclasses
import json
from typing import Any

import pytest

from odise_cli.errors import CheckpointError
from odise_cli.model.config import (
    PUBLISHED_CAPTION,
    PUBLISHED_LABEL,
    MaskGeneratorConfig,
    ModelConfig,
)

CONFIG = ModelConfig(
    supervision="caption",
    short_side=256,
    long_side=640,
    crop_size=128,
    alpha=0.25,
    beta=0.75,
    training_words=("cat", "traffic light"),
    mask_generator=MaskGeneratorConfig(hidden_dim=64, num_queries=12),
    is_trained=False,
    notice="Untrained.",
    features="clip",
    timestep=100,
    clip_masks="cropped",
)


def test_json_and_back() -> None:
    assert ModelConfig.from_json(json.loads(json.dumps(CONFIG.to_json()))) == CONFIG


def test_what_is_left_out_has_its_published_value() -> None:
    found = ModelConfig.from_json({"format": 1, "supervision": "label"})
    assert found == PUBLISHED_LABEL


def test_published_models() -> None:
    # MODEL.md: fusion weights, test-time size, queries, layers.
    assert (PUBLISHED_LABEL.alpha, PUBLISHED_LABEL.beta) == (0.3, 0.7)
    assert (PUBLISHED_CAPTION.alpha, PUBLISHED_CAPTION.beta) == (0.35, 0.65)
    assert (PUBLISHED_LABEL.short_side, PUBLISHED_LABEL.long_side) == (1024, 2560)
    assert PUBLISHED_LABEL.crop_size == 512
    for config in (PUBLISHED_LABEL, PUBLISHED_CAPTION):
        assert (config.features, config.timestep) == ("diffusion", 0)
        assert config.clip_masks == "pooled"
    assert dataclasses.asdict(PUBLISHED_LABEL.mask_generator) == {
        "feature_channels": 512,
        "hidden_dim": 256,
        "num_heads": 8,
        "num_queries": 100,
        "encoder_layers": 6,
        "encoder_feedforward_dim": 1024,
        "decoder_layers": 9,
        "decoder_feedforward_dim": 2048,
    }


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"format": 2}, "format is 2. Expected 1"),
        ({"format": None}, "format is None"),
        ({"supervision": "boxes"}, "supervision is 'boxes'. Expected 'label' or 'caption'"),
        ({"features": "dino"}, "features is 'dino'. Expected 'diffusion' or 'clip'"),
        ({"clip_masks": "boxed"}, "clip_masks is 'boxed'. Expected 'pooled' or 'cropped'"),
        ({"timestep": 1000}, "timestep is 1000. Expected 0 to 999"),
        ({"timestep": -1}, "timestep is -1"),
        ({"crop_size": 500}, "crop_size is 500. Expected a multiple of 64"),
        ({"crop_size": 0}, "crop_size is 0"),
        ({"crop_size": "512"}, "Expected the keys of format 1"),
        ({"surprise": 1}, "unexpected keyword argument 'surprise'"),
        ({"mask_generator": {"depth": 3}}, "unexpected keyword argument 'depth'"),
        ({"mask_generator": 3}, "Expected the keys of format 1"),
        ({"training_words": 3}, "Expected the keys of format 1"),
    ],
)
def test_configuration_that_means_nothing(changes: dict[str, Any], complaint: str) -> None:
    with pytest.raises(CheckpointError, match=complaint):
        ModelConfig.from_json({**CONFIG.to_json(), **changes})


def test_missing_supervision() -> None:
    with pytest.raises(CheckpointError, match="missing 1 required keyword-only argument"):
        ModelConfig.from_json({"format": 1})
