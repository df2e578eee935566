"""Ours against the reference, end to end at tiny size: one test per stage, image and model."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from odise_cli import postprocess
from odise_cli.model.classifier import (
    TextEmbeddings,
    cosine_logits,
    fuse,
    max_over_words,
    with_objectness,
)
from odise_cli.model.feature_pyramid import crop_boxes
from odise_cli.model.mask_generator import MaskOutputs
from odise_cli.model.odise import Odise, pad_to_canvas
from tests.model.conftest import CASES, Golden, GoldenTensors
from tests.model.golden_trace import to_tensor, trace_crops, trace_masks

# MANIFEST.md, "Tolerances": relative L2 before and after the first hard threshold, share of bits.
SMOOTH, THRESHOLDED, BITS = 1e-4, 1e-3, 1e-3
SUPERVISIONS = ("label", "caption")


@dataclass
class Run:
    """Our tensors for one image; both models share them up to the heads."""

    case: str
    image: Tensor
    crops: dict[str, Tensor]
    masks: dict[str, Tensor]
    outputs: MaskOutputs
    golden: GoldenTensors


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest, golden: Golden, label_model: Odise) -> Iterator[Run]:
    image = to_tensor(golden.image(request.param))
    crops = trace_crops(label_model, image)
    with torch.no_grad():
        pyramid = label_model.extract_features([pad_to_canvas(image)])[0]
    masks, outputs = trace_masks(label_model, pyramid)
    yield Run(
        case=request.param,
        image=image,
        crops=crops,
        masks=masks,
        outputs=outputs,
        golden=golden.tensors("common", request.param),
    )


def check(
    ours: dict[str, Tensor], reference: GoldenTensors, names: list[str], limit: float
) -> None:
    names = [name for name in names if name in reference]
    assert names
    errors = {name: reference.error(name, ours[name]) for name in names}
    assert max(errors.values()) <= limit, errors


CROP_STAGES = {
    "crop": ("img", "vae_in"),
    "captioner": ("clip_image_embed", "cond_inputs", "cond_emb"),
    "latent": ("latent", "noisy_latent"),
    "vae_encoder_taps": ("feat0", "feat1"),
    "unet_taps": ("feat2", "feat3", "feat4", "feat5"),
    "vae_decoder_taps": ("feat6", "feat7"),
}


@pytest.mark.parametrize("stage", CROP_STAGES)
def test_stage_of_each_crop(run: Run, stage: str) -> None:
    crops = sorted({name.split("/")[0] for name in run.crops if "/" in name})
    names = [f"{crop}/{name}" for crop in crops for name in CROP_STAGES[stage]]
    check(run.crops, run.golden, names, SMOOTH)


def test_padded_image(run: Run) -> None:
    check(run.crops, run.golden, ["padded_image"], SMOOTH)


def test_feature_pyramid(run: Run) -> None:
    check(run.masks, run.golden, ["s2", "s3", "s4", "s5"], SMOOTH)


def test_pixel_decoder(run: Run) -> None:
    check(run.masks, run.golden, ["mask_features", "ms0", "ms1", "ms2"], SMOOTH)


@pytest.mark.parametrize("layer", range(4))
def test_decoder_layer(run: Run, layer: int) -> None:
    check(run.masks, run.golden, [f"dec{layer}/output", f"dec{layer}/pred_masks"], SMOOTH)


@pytest.mark.parametrize("layer", range(4))
def test_attention_mask(run: Run, layer: int) -> None:
    name = f"dec{layer}/attn_mask"
    assert run.golden.flipped(name, run.masks[name]) <= BITS


@pytest.mark.parametrize("layer", range(4))
def test_mask_pooling(run: Run, layer: int) -> None:
    names = [f"dec{layer}/mask_pooled_features", f"dec{layer}/mask_embed"]
    check(run.masks, run.golden, names, THRESHOLDED)


@torch.no_grad()
def test_text_embeddings(run: Run, golden: Golden, label_model: Odise) -> None:
    text = golden.text(label_model)
    check({"clip/text_embed": text.photo_ND}, run.golden, ["clip/text_embed"], SMOOTH)


@torch.no_grad()
def test_mask_clip(run: Run, golden: Golden, label_model: Odise) -> None:
    text, clip = golden.text(label_model), label_model.clip
    embeds = clip.embed_masks([run.image], run.outputs.mask_logits[-1])
    words = cosine_logits(embeds, text.photo_ND, clip.logit_scale)
    ours = {
        "clip/mask_embed": embeds,
        "clip/mask_pred_open_logits": max_over_words(words, text),
        "logit_scale": label_model.mask_generator.mask_pooling.scale,
    }
    check(ours, run.golden, list(ours), THRESHOLDED)


@torch.no_grad()
def test_mask_clip_blocks_the_same_patches(run: Run, label_model: Odise) -> None:
    blocked = label_model.clip._blocked_patches(run.outputs.mask_logits[-1])
    assert run.golden.flipped("clip/attn_mask_h0", blocked[..., 1:]) <= BITS


@dataclass
class Scored:
    """One image under one of the two models."""

    supervision: str
    stages: dict[str, Tensor]
    reference: GoldenTensors
    text: TextEmbeddings
    grid: postprocess.MaskGrid
    final: dict[str, np.ndarray]
    segments: dict[str, list[dict[str, object]]]


@pytest.fixture(scope="module", params=SUPERVISIONS)
def scored(
    request: pytest.FixtureRequest,
    run: Run,
    golden: Golden,
    label_model: Odise,
    caption_model: Odise,
) -> Scored:
    supervision = request.param
    model = label_model if supervision == "label" else caption_model
    text = golden.text(model)
    with torch.no_grad():
        stages = _classify_by_stage(model, run, text)
    canvas = pad_to_canvas(run.image).shape
    spec = golden.runs["cases"][run.case]
    image_size = (run.image.shape[1], run.image.shape[2])
    output_size = (spec["out_h"] or image_size[0], spec["out_w"] or image_size[1])
    folder = golden.folder / "tiny"
    return Scored(
        supervision=supervision,
        stages=stages,
        reference=golden.tensors(supervision, run.case),
        text=text,
        grid=postprocess.MaskGrid(
            logits_QHW=run.outputs.mask_logits[-1][0],
            canvas_size=(canvas[1], canvas[2]),
            image_size=image_size,
            output_size=output_size,
        ),
        final=dict(np.load(folder / f"final_{supervision}_{run.case}.npz")),
        segments=golden.runs["runs"][f"{supervision}/{run.case}"],
    )


def _classify_by_stage(model: Odise, run: Run, text: TextEmbeddings) -> dict[str, Tensor]:
    queries, logits = run.outputs.queries[-1], run.outputs.mask_logits[-1]
    pooling = model.mask_generator.mask_pooling
    embed = pooling(queries, logits, run.outputs.mask_features)
    stages = {"text_embed_proj": model.head.text_proj(text.head_ND)}
    if model.config.supervision == "label":
        ours, null = model.head(embed, pooling.scale, text)
        prefusion = torch.cat([ours, null], dim=-1)
        stages["null_embed_proj"] = model.head.text_proj(model.head.null_embed)
        stages["pred_logits_prefusion"] = prefusion
        objectness = 1 - prefusion.softmax(-1)[..., -1:]
    else:
        ours = model.head(embed, pooling.scale, text)
        stages["pred_open_logits_prefusion"] = ours
        for layer, layer_queries in enumerate(run.outputs.queries):
            stages[f"dec{layer}/pred_logits"] = model.mask_generator.objectness_logits(
                layer_queries
            )
        objectness = stages["dec3/pred_logits"].softmax(-1)[..., :1]
    clip_embed = model.clip.embed_masks([run.image], logits)
    clip = max_over_words(cosine_logits(clip_embed, text.photo_ND, model.clip.logit_scale), text)
    fused = fuse(ours, clip, text.seen_K, alpha=model.alpha, beta=model.beta)
    stages["pred_open_logits_fused"] = fused
    stages["mask_cls"] = with_objectness(fused, objectness)[0]
    whole = model.classify([run.image], run.outputs, text)
    assert torch.equal(whole[0], stages["mask_cls"])
    return stages


def test_text_projection(scored: Scored) -> None:
    names = ["text_embed_proj", "null_embed_proj"]
    check(scored.stages, scored.reference, names, SMOOTH)


def test_logits_before_fusion(scored: Scored) -> None:
    names = ["pred_logits_prefusion", "pred_open_logits_prefusion"]
    names += [f"dec{layer}/pred_logits" for layer in range(4)]
    check(scored.stages, scored.reference, names, THRESHOLDED)


def test_fused_logits(scored: Scored) -> None:
    check(scored.stages, scored.reference, ["pred_open_logits_fused", "mask_cls"], THRESHOLDED)


@pytest.mark.parametrize(("threshold", "suffix"), [(0.8, ""), (0.1, "_ov01")])
def test_panoptic_map(scored: Scored, golden: Golden, threshold: float, suffix: str) -> None:
    things = np.isin(np.arange(7), golden.runs["things"])
    ids, segments = postprocess.panoptic(
        scored.stages["mask_cls"], scored.grid, things, overlap_threshold=threshold
    )
    assert np.mean(ids != scored.final[f"panoptic{suffix}"]) <= 1e-3
    ours = [
        {"id": s.id, "isthing": bool(things[s.category]), "category_id": s.category}
        for s in segments
    ]
    assert ours == scored.segments[f"segments{suffix}"]


def test_mask_logits_at_output_size(run: Run, scored: Scored) -> None:
    height = scored.grid.output_size[0]
    check({"mask_pred_full": scored.grid.rows(0, height)}, run.golden, ["mask_pred_full"], SMOOTH)


def test_semantic_map(scored: Scored) -> None:
    labels = postprocess.semantic(scored.stages["mask_cls"], scored.grid)
    assert np.mean(labels != scored.final["sem_argmax"]) <= 1e-3


def test_semantic_votes(scored: Scored) -> None:
    weights = scored.stages["mask_cls"].softmax(-1)[:, :-1]
    masks = scored.grid.rows(0, scored.grid.output_size[0]).sigmoid()
    votes = torch.einsum("qk,qhw->khw", weights, masks)
    check({"sem_seg": votes}, scored.reference, ["sem_seg"], THRESHOLDED)


def test_instances(scored: Scored, golden: Golden) -> None:
    things = np.isin(np.arange(7), golden.runs["things"])
    top = golden.runs["test_topk_per_image"]
    found = postprocess.instances(scored.stages["mask_cls"], scored.grid, things, num_instances=top)
    final, size = scored.final, scored.grid.output_size
    np.testing.assert_allclose(found.scores, final["inst_scores"], rtol=5e-3, atol=1e-6)
    np.testing.assert_array_equal(found.categories, final["inst_classes"])
    masks = np.stack([found.mask(i, size) for i in range(len(found.scores))])
    areas = masks.sum(axis=(1, 2))
    np.testing.assert_allclose(areas, final["inst_areas"], atol=1e-3 * size[0] * size[1])
    sampled = masks[:, ::4, ::4]
    flat = sampled.reshape(len(sampled), -1)
    expected = np.unpackbits(final["inst_masks_s4"], axis=1, count=flat.shape[1])
    assert np.mean(flat != expected.astype(bool)) <= 1e-3


def test_crops_of_every_canvas(golden: Golden) -> None:
    for size, boxes in golden.unit["slide_crops"].items():
        height, width = map(int, size.split("x"))
        assert crop_boxes((height, width), 512) == [tuple(box) for box in boxes]
