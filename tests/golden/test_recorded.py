"""The drawn model against its recorded numbers: a clone without the reference's is tested too.

Tolerances leave room for another CPU's rounding: behind a hard threshold a pixel may flip.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from tests.golden import drawn
from tests.golden.stages import Traced, trace
from tests.model.golden import relative_error

FOLDER = Path(__file__).parent
SMOOTH, THRESHOLDED, FLIPPED = 1e-4, 1e-2, 5e-3
CROPS, LAYERS = range(4), range(4)


def of_crops(*names: str) -> list[str]:
    return [f"crop{i}/{name}" for i in CROPS for name in names]


def of_layers(*names: str) -> list[str]:
    return [f"dec{i}/{name}" for i in LAYERS for name in names]


SMOOTH_STAGES = {
    "crop": ["padded_image", *of_crops("img", "vae_in")],
    "captioner": of_crops("clip_image_embed", "cond_inputs", "cond_emb"),
    "latent": of_crops("latent", "noisy_latent"),
    "vae_encoder_taps": of_crops("feat0", "feat1"),
    "unet_taps": of_crops("feat2", "feat3", "feat4", "feat5"),
    "vae_decoder_taps": of_crops("feat6", "feat7"),
    "feature_pyramid": ["s2", "s3", "s4", "s5"],
    "pixel_decoder": ["mask_features", "ms0", "ms1", "ms2"],
    "decoder": of_layers("output", "pred_masks"),
    "text_embeddings": ["clip/text_embed", "text_embed_proj", "logit_scale"],
    "mask_logits_at_output_size": ["mask_pred_full"],
}
THRESHOLDED_STAGES = {
    "mask_pooling": of_layers("mask_pooled_features", "mask_embed"),
    "mask_clip": ["clip/mask_embed", "clip/mask_pred_open_logits"],
    "fused_logits": ["pred_open_logits_fused", "mask_cls"],
}
BITS = {
    "attention_masks": of_layers("attn_mask"),
    "clip_attention": ["clip/attn_mask_h0"],
    "panoptic_map": ["panoptic"],
    "semantic_map": ["semantic"],
}


class Recorded:
    """One model now, and as it was recorded."""

    def __init__(self, supervision: drawn.Supervision) -> None:
        self.now: Traced = trace(supervision)
        self.then: dict[str, Any] = json.loads((FOLDER / "recorded.json").read_text())[supervision]
        prefix = f"{supervision}/"
        self.samples = {
            name.removeprefix(prefix): x
            for name, x in load_file(FOLDER / "recorded.safetensors").items()
            if name.startswith(prefix)
        }

    def pair(self, name: str) -> tuple[Tensor, Tensor]:
        ours, recorded = self.now.tensors[name], self.samples[name]
        assert list(ours.shape) == self.then["shapes"][name]
        return drawn.sample(ours, len(recorded)), recorded


@pytest.fixture(scope="module", params=["label", "caption"])
def recorded(request: pytest.FixtureRequest) -> Recorded:
    return Recorded(request.param)


@pytest.mark.parametrize("stage", SMOOTH_STAGES)
def test_stage(recorded: Recorded, stage: str) -> None:
    errors = {name: relative_error(*recorded.pair(name)) for name in SMOOTH_STAGES[stage]}
    assert max(errors.values()) <= SMOOTH, errors


@pytest.mark.parametrize("stage", THRESHOLDED_STAGES)
def test_stage_behind_a_threshold(recorded: Recorded, stage: str) -> None:
    errors = {name: relative_error(*recorded.pair(name)) for name in THRESHOLDED_STAGES[stage]}
    assert max(errors.values()) <= THRESHOLDED, errors


@pytest.mark.parametrize("stage", BITS)
def test_masks_and_maps(recorded: Recorded, stage: str) -> None:
    for name in BITS[stage]:
        ours, then = recorded.pair(name)
        assert float((ours != then).float().mean()) <= FLIPPED, name


def test_logits_of_the_head(recorded: Recorded) -> None:
    names = [
        name
        for name in recorded.now.tensors
        if name.endswith(("pred_logits", "prefusion", "null_embed_proj"))
    ]
    # label: logits and the null embedding; caption: logits and four layers' objectness
    assert len(names) in (2, 5)
    errors = {name: relative_error(*recorded.pair(name)) for name in names}
    assert max(errors.values()) <= THRESHOLDED, errors


def test_every_tensor_is_recorded(recorded: Recorded) -> None:
    assert set(recorded.now.tensors) == set(recorded.samples)


def test_segments(recorded: Recorded) -> None:
    then = recorded.then["segments"]
    assert len(then) >= 2
    now = recorded.now.segments
    assert [(s.id, s.category) for s in now] == [(s["id"], s["category"]) for s in then]
    np.testing.assert_allclose([s.score for s in now], [s["score"] for s in then], rtol=1e-2)


def test_instances(recorded: Recorded) -> None:
    then = recorded.then["instances"]
    assert len(then["scores"]) >= 2
    assert recorded.now.categories.tolist() == then["categories"]
    np.testing.assert_allclose(recorded.now.scores, then["scores"], rtol=1e-2)


def test_drawn_weights_are_what_they_were() -> None:
    # By hand: crc32("a/weight") seeds numpy's legacy generator; uniform in 1 ± 0.2·√3.
    first = np.random.RandomState(0xF699C2DB).random_sample(3)
    expected = 1 + 0.2 * 3**0.5 * (2 * first - 1)
    assert torch.equal(drawn.weight("a/weight", (3,)), torch.tensor(expected, dtype=torch.float32))
