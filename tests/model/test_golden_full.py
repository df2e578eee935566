"""Ours against the reference at full size (SD v1, ViT-L/14-336) on one 512×512 image.

Slow: makes 5.5 GB of weight files, loads them as a user would, and holds them in memory once.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from odise_cli import postprocess
from odise_cli.mask_grid import MaskGrid
from odise_cli.model.checkpoint import load_head, load_model, read_model_folder
from odise_cli.model.config import ModelConfig
from odise_cli.model.cpu_kernels import CpuKernels
from odise_cli.model.odise import Odise
from tests.masks import whole
from tests.model.golden import (
    BITS,
    FUSION,
    SMOOTH,
    THRESHOLDED,
    Check,
    Golden,
    GoldenTensors,
)
from tests.model.golden_trace import to_tensor, trace_classes, trace_clip, trace_crops, trace_masks

pytestmark = pytest.mark.slow
LAYERS = range(10)
STAGES = {
    "crop": ("padded_image", "crop0/img", "crop0/vae_in"),
    "captioner": ("crop0/clip_image_embed", "crop0/cond_inputs", "crop0/cond_emb"),
    "latent": ("crop0/latent", "crop0/noisy_latent"),
    "vae_encoder_taps": ("crop0/feat0", "crop0/feat1"),
    "unet_taps": ("crop0/feat2", "crop0/feat3", "crop0/feat4", "crop0/feat5"),
    "vae_decoder_taps": ("crop0/feat6", "crop0/feat7"),
    "feature_pyramid": ("s2", "s3", "s4", "s5"),
    "pixel_decoder": ("mask_features", "ms0", "ms1", "ms2"),
    "decoder": tuple(f"dec{i}/{name}" for i in LAYERS for name in ("output", "pred_masks")),
    "text_embeddings": ("clip/text_embed",),
    "text_projection": ("text_embed_proj", "null_embed_proj"),
}
THRESHOLDED_STAGES = {
    "mask_pooling": tuple(
        f"dec{i}/{name}" for i in LAYERS for name in ("mask_pooled_features", "mask_embed")
    ),
    "mask_clip": ("clip/mask_embed", "clip/mask_pred_open_logits", "logit_scale"),
    "logits_before_fusion": (
        "pred_logits_prefusion",
        "pred_open_logits_prefusion",
        *(f"dec{i}/pred_logits" for i in LAYERS),
    ),
    "fused_logits": ("pred_open_logits_fused", "mask_cls"),
}


@dataclass
class Run:
    """Everything that one model made of the image."""

    stages: dict[str, Tensor]
    grid: MaskGrid
    reference: GoldenTensors
    final: dict[str, np.ndarray]


@pytest.fixture(scope="module")
def runs(golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Run]]:
    folder = tmp_path_factory.mktemp("full")
    model = load_model(read_model_folder(golden.write_full_model(folder / "label", "label")))
    # As the engine runs it on a CPU.
    with CpuKernels():
        found = run_both(golden, model)
    yield found
    shutil.rmtree(folder)


def run_both(golden: Golden, model: Odise) -> dict[str, Run]:
    """The label model, and the caption model around its frozen parts."""
    image = to_tensor(golden.image("sq512"))
    stages, pyramid = trace_crops(model, image)
    found = {}
    for supervision in ("label", "caption"):
        if supervision == "caption":
            model = with_caption_head(golden, model)
        masks, outputs = trace_masks(model, pyramid)
        with torch.no_grad():
            text = golden.text(model)
        clip = trace_clip(model, image, outputs.mask_logits[-1], text)
        classes = trace_classes(model, outputs, clip["clip/mask_pred_open_logits"], text)
        found[supervision] = Run(
            stages=stages | masks | clip | classes,
            grid=MaskGrid(
                logits_QHW=outputs.mask_logits[-1][0],
                canvas_size=(512, 512),
                image_size=(512, 512),
                output_size=(512, 512),
            ),
            reference=golden.tensors(supervision, "sq512", size="full"),
            final=dict(np.load(golden.folder / "full" / f"final_{supervision}_sq512.npz")),
        )
    return found


def with_caption_head(golden: Golden, model: Odise) -> Odise:
    """The caption model around the frozen parts of another, so that they are held once."""
    alpha, beta = FUSION["caption"]
    caption = Odise(
        ModelConfig(supervision="caption", alpha=alpha, beta=beta),
        unet=model.diffusion.unet,
        vae=model.diffusion.vae,
        clip=model.clip.model,
    )
    keys = golden.json("full_caption_keys.json")
    head = {key: golden.weight(f"odise/{key}", shape) for key, shape, _ in keys}
    load_head(caption, "caption", head, empty_caption=model.captioner.empty_caption)
    return caption.requires_grad_(False).eval()


@pytest.fixture(params=["label", "caption"])
def run(request: pytest.FixtureRequest, runs: dict[str, Run]) -> Run:
    return runs[request.param]


@pytest.mark.parametrize("stage", STAGES)
def test_stage(run: Run, check: Check, stage: str) -> None:
    check(run.reference.errors(run.stages, STAGES[stage]), SMOOTH)


@pytest.mark.parametrize("stage", THRESHOLDED_STAGES)
def test_stage_behind_a_threshold(run: Run, check: Check, stage: str) -> None:
    check(run.reference.errors(run.stages, THRESHOLDED_STAGES[stage]), THRESHOLDED)


def test_masks_of_bits(run: Run, check: Check) -> None:
    names = [*(f"dec{layer}/attn_mask" for layer in LAYERS), "clip/attn_mask_h0"]
    check(run.reference.flipped(run.stages, names), BITS)


def test_mask_logits_at_output_size(run: Run, check: Check) -> None:
    ours = {"mask_pred_full": run.grid.window(whole(run.grid))}
    check(run.reference.errors(ours, ours), SMOOTH)


def test_label_maps(run: Run, golden: Golden, check: Check) -> None:
    things = np.isin(np.arange(7), golden.runs["things"])
    scores = run.stages["mask_cls"]
    ids, segments = postprocess.panoptic(scores, run.grid, things)
    labels = postprocess.semantic(scores, run.grid)
    assert segments == ()
    check(
        {
            "panoptic": float(np.mean(ids != run.final["panoptic"])),
            "semantic": float(np.mean(labels != run.final["sem_argmax"])),
        },
        BITS,
    )
