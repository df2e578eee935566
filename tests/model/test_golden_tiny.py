"""Ours against the reference, end to end at tiny size: one test per stage, image and model."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor

from odise_cli import postprocess
from odise_cli.mask_grid import MaskGrid
from odise_cli.model.classifier import TextEmbeddings
from odise_cli.model.mask_generator import MaskOutputs
from odise_cli.model.odise import Odise, pad_to_canvas
from tests.masks import whole
from tests.model.golden import BITS, CASES, SMOOTH, THRESHOLDED, Check, Golden, GoldenTensors
from tests.model.golden_trace import to_tensor, trace_classes, trace_clip, trace_crops, trace_masks

SUPERVISIONS = ("label", "caption")
CROP_STAGES = {
    "crop": ("img", "vae_in"),
    "captioner": ("clip_image_embed", "cond_inputs", "cond_emb"),
    "latent": ("latent", "noisy_latent"),
    "vae_encoder_taps": ("feat0", "feat1"),
    "unet_taps": ("feat2", "feat3", "feat4", "feat5"),
    "vae_decoder_taps": ("feat6", "feat7"),
}


@dataclass
class Run:
    """Our tensors for one image; both models share them up to the heads."""

    case: str
    image: Tensor
    stages: dict[str, Tensor]
    outputs: MaskOutputs
    reference: GoldenTensors


@pytest.fixture(scope="module", params=CASES)
def run(request: pytest.FixtureRequest, golden: Golden, label_model: Odise) -> Run:
    image = to_tensor(golden.image(request.param))
    stages, pyramid = trace_crops(label_model, image)
    masks, outputs = trace_masks(label_model, pyramid)
    with torch.no_grad():
        text = golden.text(label_model)
    clip = trace_clip(label_model, image, outputs.mask_logits[-1], text)
    return Run(
        case=request.param,
        image=image,
        stages=stages | masks | clip,
        outputs=outputs,
        reference=golden.tensors("common", request.param),
    )


def test_padded_image(run: Run, check: Check) -> None:
    check(run.reference.errors(run.stages, ["padded_image"]), SMOOTH)


@pytest.mark.parametrize("stage", CROP_STAGES)
def test_stage_of_each_crop(run: Run, check: Check, stage: str) -> None:
    crops = {name.split("/")[0] for name in run.stages if name.startswith("crop")}
    names = [f"{crop}/{name}" for crop in crops for name in CROP_STAGES[stage]]
    check(run.reference.errors(run.stages, names), SMOOTH)


def test_feature_pyramid(run: Run, check: Check) -> None:
    check(run.reference.errors(run.stages, ["s2", "s3", "s4", "s5"]), SMOOTH)


@torch.no_grad()
def test_extracting_features_of_two_images_at_once(
    golden: Golden, label_model: Odise, check: Check
) -> None:
    cases = ("sq512", "small384")
    canvases = [pad_to_canvas(to_tensor(golden.image(case))) for case in cases]
    pyramids = label_model.extract_features(canvases)
    for case, pyramid in zip(cases, pyramids, strict=True):
        ours = {f"s{level + 2}": x for level, x in enumerate(pyramid)}
        check(golden.tensors("common", case).errors(ours, ours), SMOOTH)


@torch.no_grad()
def test_what_lies_behind_the_last_taps(golden: Golden, label_model: Odise, check: Check) -> None:
    """diffusers' whole networks on our inputs give what the reference's whole networks gave."""
    diffusion, vae = label_model.diffusion, label_model.diffusion.vae
    crop = to_tensor(golden.image("sq512"))[None]
    text, time = label_model.captioner(label_model.clip.embed_images(crop))
    latent, _ = diffusion.encode(2 * crop - 1)
    add_time = diffusion.unet.time_embedding.register_forward_hook(lambda *args: args[2] + time)
    noise = diffusion.unet(diffusion.add_noise(latent), 0, text).sample
    add_time.remove()
    ours = {
        "crop0/unet_out": noise,
        "crop0/vae_dec_out": vae.decode(latent / vae.config.scaling_factor).sample,
    }
    check(golden.tensors("common", "sq512").errors(ours, ours), SMOOTH)


def test_pixel_decoder(run: Run, check: Check) -> None:
    check(run.reference.errors(run.stages, ["mask_features", "ms0", "ms1", "ms2"]), SMOOTH)


@pytest.mark.parametrize("layer", range(4))
def test_decoder_layer(run: Run, check: Check, layer: int) -> None:
    names = [f"dec{layer}/output", f"dec{layer}/pred_masks"]
    check(run.reference.errors(run.stages, names), SMOOTH)


@pytest.mark.parametrize("layer", range(4))
def test_attention_mask(run: Run, check: Check, layer: int) -> None:
    check(run.reference.flipped(run.stages, [f"dec{layer}/attn_mask"]), BITS)


@pytest.mark.parametrize("layer", range(4))
def test_mask_pooling(run: Run, check: Check, layer: int) -> None:
    names = [f"dec{layer}/mask_pooled_features", f"dec{layer}/mask_embed"]
    check(run.reference.errors(run.stages, names), THRESHOLDED)


def test_text_embeddings(run: Run, check: Check) -> None:
    check(run.reference.errors(run.stages, ["clip/text_embed"]), SMOOTH)


def test_mask_clip(run: Run, check: Check) -> None:
    names = ["clip/mask_embed", "clip/mask_pred_open_logits", "logit_scale"]
    check(run.reference.errors(run.stages, names), THRESHOLDED)


def test_mask_clip_blocks_the_same_patches(run: Run, check: Check) -> None:
    check(run.reference.flipped(run.stages, ["clip/attn_mask_h0"]), BITS)


@dataclass
class Scored:
    """One image under one of the two models."""

    model: Odise
    stages: dict[str, Tensor]
    reference: GoldenTensors
    text: TextEmbeddings
    grid: MaskGrid
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
    with torch.no_grad():
        text = golden.text(model)
        stages = trace_classes(model, run.outputs, run.stages["clip/mask_pred_open_logits"], text)
        if supervision == "caption":
            for layer, queries in enumerate(run.outputs.queries):
                logits = model.mask_generator.objectness_logits(queries)
                stages[f"dec{layer}/pred_logits"] = logits
    canvas = pad_to_canvas(run.image).shape
    spec = golden.runs["cases"][run.case]
    image_size = (run.image.shape[1], run.image.shape[2])
    output_size = (spec["out_h"] or image_size[0], spec["out_w"] or image_size[1])
    return Scored(
        model=model,
        stages=stages,
        reference=golden.tensors(supervision, run.case),
        text=text,
        grid=MaskGrid(
            logits_QHW=run.outputs.mask_logits[-1][0],
            canvas_size=(canvas[1], canvas[2]),
            image_size=image_size,
            output_size=output_size,
        ),
        final=dict(np.load(golden.folder / "tiny" / f"final_{supervision}_{run.case}.npz")),
        segments=golden.runs["runs"][f"{supervision}/{run.case}"],
    )


def test_text_projection(scored: Scored, check: Check) -> None:
    names = ["text_embed_proj", "null_embed_proj"]
    check(scored.reference.errors(scored.stages, names), SMOOTH)


def test_logits_before_fusion(scored: Scored, check: Check) -> None:
    names = ["pred_logits_prefusion", "pred_open_logits_prefusion"]
    names += [f"dec{layer}/pred_logits" for layer in range(4)]
    check(scored.reference.errors(scored.stages, names), THRESHOLDED)


def test_fused_logits(scored: Scored, check: Check) -> None:
    names = ["pred_open_logits_fused", "mask_cls"]
    check(scored.reference.errors(scored.stages, names), THRESHOLDED)


@torch.no_grad()
def test_classify_is_the_traced_stages(run: Run, scored: Scored) -> None:
    whole = scored.model.classify([run.image], run.outputs, scored.text)
    assert torch.equal(whole[0], scored.stages["mask_cls"])


def test_mask_logits_at_output_size(run: Run, scored: Scored, check: Check) -> None:
    ours = {"mask_pred_full": scored.grid.window(whole(scored.grid))}
    check(run.reference.errors(ours, ours), SMOOTH)


@pytest.mark.parametrize(("threshold", "suffix"), [(0.8, ""), (0.1, "_ov01")])
def test_panoptic_map(
    scored: Scored, golden: Golden, check: Check, threshold: float, suffix: str
) -> None:
    things = np.isin(np.arange(7), golden.runs["things"])
    ids, segments = postprocess.panoptic(
        scored.stages["mask_cls"], scored.grid, things, overlap_threshold=threshold
    )
    check({"pixels": float(np.mean(ids != scored.final[f"panoptic{suffix}"]))}, BITS)
    ours = [
        {"id": s.id, "isthing": bool(things[s.category]), "category_id": s.category}
        for s in segments
    ]
    assert ours == scored.segments[f"segments{suffix}"]


def test_semantic_map(scored: Scored, check: Check) -> None:
    labels = postprocess.semantic(scored.stages["mask_cls"], scored.grid)
    check({"pixels": float(np.mean(labels != scored.final["sem_argmax"]))}, BITS)


def test_semantic_votes(scored: Scored, check: Check) -> None:
    weights = scored.stages["mask_cls"].softmax(-1)[:, :-1]
    masks = scored.grid.window(whole(scored.grid)).sigmoid()
    ours = {"sem_seg": torch.einsum("qk,qhw->khw", weights, masks)}
    check(scored.reference.errors(ours, ours), THRESHOLDED)


def test_instances(scored: Scored, golden: Golden, check: Check) -> None:
    things = np.isin(np.arange(7), golden.runs["things"])
    top = golden.runs["test_topk_per_image"]
    found = postprocess.instances(scored.stages["mask_cls"], scored.grid, things, num_instances=top)
    final, size = scored.final, scored.grid.output_size
    # The reference keeps instances without a pixel; they score nothing.
    kept = final["inst_areas"] > 0
    np.testing.assert_array_equal(found.categories, final["inst_classes"][kept])
    np.testing.assert_allclose(found.scores, final["inst_scores"][kept], rtol=5e-3, atol=1e-6)
    masks = np.stack([found.mask(i, size) for i in range(len(found.scores))])
    areas = masks.sum(axis=(1, 2))
    np.testing.assert_allclose(areas, final["inst_areas"][kept], atol=1e-3 * size[0] * size[1])
    flat = masks[:, ::4, ::4].reshape(len(masks), -1)
    expected = np.unpackbits(final["inst_masks_s4"], axis=1, count=flat.shape[1])[kept]
    check({"pixels": float(np.mean(flat != expected.astype(bool)))}, BITS)
