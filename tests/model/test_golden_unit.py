"""Ours against the reference, stage by stage on made-up inputs; whole tensors, small shapes."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import open_clip
import pytest
import torch
from torch import Tensor

from odise_cli import postprocess
from odise_cli.mask_grid import MaskGrid
from odise_cli.model.classifier import TextEmbeddings, cosine_logits, fuse, max_over_words
from odise_cli.model.clip import resize_bicubic
from odise_cli.model.diffusion_features import noise_schedule
from odise_cli.model.feature_pyramid import crop_boxes
from odise_cli.model.mask_generator import MaskOutputs
from odise_cli.model.odise import Odise
from tests.masks import whole
from tests.model.golden import (
    BITS,
    SMOOTH,
    Check,
    Golden,
    relative_error,
)
from tests.model.golden_trace import trace_masks

LAYERS = range(4)
# diffusers' own forward pass and our walk make the same calls in the same order.
SAME = 1e-6


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


def errors(golden: Golden, ours: dict[str, Tensor]) -> dict[str, float]:
    return {name: relative_error(x, golden.unit_tensors[name]) for name, x in ours.items()}


def test_tokens(golden: Golden) -> None:
    for text, tokens in golden.unit["tokens"]:
        assert open_clip.tokenize([text])[0].tolist() == tokens, text


def test_text_embeddings(golden: Golden, label_model: Odise, check: Check) -> None:
    clip = label_model.clip
    ours = {
        "text/embed": clip.embed_words([text for text, _ in golden.unit["tokens"]]),
        "text/null_from_clip_empty": clip.embed_words([""]),
    }
    check(errors(golden, ours), SMOOTH)


@pytest.mark.parametrize("side", [64, 21, 48])
def test_bicubic_resize(golden: Golden, check: Check, side: int) -> None:
    resized = resize_bicubic(golden.unit_input("resize"), (side, side))
    check(errors(golden, {f"resize/48to{side}": resized}), SMOOTH)


@pytest.mark.parametrize(("image", "name"), [("cap512", "embed_512"), ("cap300", "embed_300x400")])
def test_clip_image_embedding(
    golden: Golden, label_model: Odise, check: Check, image: str, name: str
) -> None:
    embed = label_model.clip.embed_images(golden.unit_input(image))
    check(errors(golden, {f"captioner/{name}": embed}), SMOOTH)


def test_implicit_captioner(golden: Golden, label_model: Odise, check: Check) -> None:
    text, time = label_model.captioner(golden.unit_input("prefix"))
    ours = {"captioner/cond_inputs": text, "captioner/cond_emb": time[:, None]}
    check(errors(golden, ours), SMOOTH)


def test_noise_schedule(golden: Golden) -> None:
    expected = golden.unit["q_sample_t0"]
    signal, noise = noise_schedule(0)
    assert signal == pytest.approx(expected["sqrt_alphas_cumprod"], rel=1e-6)
    assert noise == pytest.approx(expected["sqrt_one_minus_alphas_cumprod"], rel=1e-6)
    # 1 − β is all that is left of the signal's power after the first step.
    assert 1 - signal**2 == pytest.approx(expected["beta0"], rel=1e-9)


def test_vae_encoder(golden: Golden, label_model: Odise, check: Check) -> None:
    latent, taps = label_model.diffusion.encode(golden.unit_input("vae_img"))
    ours = {"vae/latent": latent, "vae/enc_feat0": taps[0], "vae/enc_feat1": taps[1]}
    check(errors(golden, ours), SMOOTH)


def test_vae_decoder_up_to_its_last_tap(golden: Golden, label_model: Odise, check: Check) -> None:
    taps = label_model.diffusion.decode(golden.unit_input("vae_lat"))
    check(errors(golden, {"vae/dec_feat0": taps[0], "vae/dec_feat1": taps[1]}), SMOOTH)


@contextmanager
def first_arguments(*modules: Any) -> Iterator[list[Tensor]]:
    """What the modules receive, in the order of their calls."""
    received: list[Tensor] = []
    hooks = [
        module.register_forward_pre_hook(lambda _module, args: received.append(args[0]))
        for module in modules
    ]
    yield received
    for hook in hooks:
        hook.remove()


def test_whole_vae_passes_through_the_same_taps(
    golden: Golden, label_model: Odise, check: Check
) -> None:
    diffusion, vae = label_model.diffusion, label_model.diffusion.vae
    image, latent = golden.unit_input("vae_img"), golden.unit_input("vae_lat")
    down, up = vae.encoder.down_blocks, vae.decoder.up_blocks
    with first_arguments(
        down[2].resnets[1], down[3].resnets[1], up[0].resnets[2], up[1].resnets[2]
    ) as theirs:
        their_latent = vae.encode(image).latent_dist.mode() * vae.config.scaling_factor
        decoded = vae.decode(latent / vae.config.scaling_factor).sample
    our_latent, encoder_taps = diffusion.encode(image)
    ours = [our_latent, *encoder_taps, *diffusion.decode(latent)]
    pairs = zip(ours, [their_latent, *theirs], strict=True)
    check({str(i): relative_error(*pair) for i, pair in enumerate(pairs)}, SAME)
    check(errors(golden, {"vae/dec_out": decoded}), SMOOTH)


def unet_inputs(golden: Golden) -> tuple[Tensor, Tensor, Tensor]:
    return tuple(golden.unit_input(name) for name in ("unet_x", "unet_ctx", "unet_emb"))


def test_unet_up_to_its_last_tap(golden: Golden, label_model: Odise, check: Check) -> None:
    taps = label_model.diffusion.denoise(*unet_inputs(golden))
    check(errors(golden, {f"unet/feat{i}": tap for i, tap in enumerate(taps)}), SMOOTH)


def test_whole_unet_passes_through_the_same_taps(
    golden: Golden, label_model: Odise, check: Check
) -> None:
    unet = label_model.diffusion.unet
    latent, text, time = unet_inputs(golden)
    add_time = unet.time_embedding.register_forward_hook(lambda _m, _args, out: out + time)
    with first_arguments(*(block.resnets[2] for block in unet.up_blocks)) as theirs:
        out = unet(latent, 0, text).sample
    add_time.remove()
    pairs = zip(label_model.diffusion.denoise(latent, text, time), theirs, strict=True)
    check({str(i): relative_error(*pair) for i, pair in enumerate(pairs)}, SAME)
    check(errors(golden, {"unet/out": out}), SMOOTH)


def test_feature_projections(golden: Golden, label_model: Odise, check: Check) -> None:
    taps = [golden.unit_input(f"proj_feat{i}") for i in range(8)]
    pyramid = label_model.pyramid(taps, [(0, 96, 0, 96)], (96, 96))
    check(errors(golden, {f"proj/s{i + 2}": x for i, x in enumerate(pyramid)}), SMOOTH)


def test_sliding_crops(golden: Golden) -> None:
    for size, boxes in golden.unit["slide_crops"].items():
        height, width = map(int, size.split("x"))
        assert crop_boxes((height, width), 512) == [tuple(box) for box in boxes]


@pytest.fixture(scope="module", params=["label", "caption"])
def decoded(
    request: pytest.FixtureRequest, golden: Golden, label_model: Odise, caption_model: Odise
) -> tuple[Odise, dict[str, Tensor], MaskOutputs]:
    model = label_model if request.param == "label" else caption_model
    pyramid = [golden.unit_input(f"pd_s{level}") for level in (2, 3, 4, 5)]
    return model, *trace_masks(model, pyramid)


Decoded = tuple[Odise, dict[str, Tensor], MaskOutputs]


def decoder_errors(golden: Golden, decoded: Decoded, *names: str) -> dict[str, float]:
    model, stages, _ = decoded
    prefix = f"{model.config.supervision}_dec/"
    return errors(golden, {prefix + name: stages[name] for name in names})


def test_pixel_decoder(golden: Golden, decoded: Decoded, check: Check) -> None:
    stages = decoded[1]
    names = ("mask_features", "ms0", "ms1", "ms2")
    check(errors(golden, {f"pd/{name}": stages[name] for name in names}), SMOOTH)


@pytest.mark.parametrize("layer", LAYERS)
def test_decoder_layer(golden: Golden, decoded: Decoded, check: Check, layer: int) -> None:
    names = (f"dec{layer}/output", f"dec{layer}/pred_masks")
    check(decoder_errors(golden, decoded, *names), SMOOTH)


@pytest.mark.parametrize("layer", LAYERS)
def test_attention_mask(golden: Golden, decoded: Decoded, check: Check, layer: int) -> None:
    model, stages, _ = decoded
    reference = golden.unit_tensors[f"{model.config.supervision}_dec/dec{layer}/attn_mask"]
    flipped = stages[f"dec{layer}/attn_mask"] != reference.bool()
    check({"bits": float(flipped.float().mean())}, BITS)


@pytest.mark.parametrize("layer", LAYERS)
def test_mask_pooling(golden: Golden, decoded: Decoded, check: Check, layer: int) -> None:
    names = (f"dec{layer}/mask_pooled_features", f"dec{layer}/mask_embed")
    check(decoder_errors(golden, decoded, *names), SMOOTH)


def test_temperature(golden: Golden, decoded: Decoded, check: Check) -> None:
    model = decoded[0]
    name = f"{model.config.supervision}_dec/logit_scale"
    check(errors(golden, {name: model.mask_generator.mask_pooling.scale}), SMOOTH)


def test_objectness(golden: Golden, caption_model: Odise, check: Check) -> None:
    # The label model's final logits are a constant here: its classes are computed elsewhere.
    pyramid = [golden.unit_input(f"pd_s{level}") for level in (2, 3, 4, 5)]
    logits = [
        caption_model.mask_generator.objectness_logits(queries)
        for queries in caption_model.mask_generator(pyramid).queries
    ]
    ours = {f"caption_dec/dec{layer}/pred_logits": x for layer, x in enumerate(logits)}
    check(errors(golden, {**ours, "caption_dec/pred_logits_final": logits[-1]}), SMOOTH)


def clip_logits(golden: Golden, model: Odise, text: TextEmbeddings) -> tuple[Tensor, Tensor]:
    """Mask embeddings and logits over categories of the fixtures' two images."""
    images = golden.unit_input("mclip_img").unbind()
    embeds = model.clip.embed_masks(images, golden.unit_tensors["maskclip/masks"])
    logits = cosine_logits(embeds, text.photo_ND, model.clip.logit_scale)
    return embeds, max_over_words(logits, text)


def test_mask_clip(golden: Golden, label_model: Odise, check: Check) -> None:
    words = label_model.clip.embed_words(["a", "b c", "d", "e", "f", "g"])
    text = TextEmbeddings(
        head_ND=words,
        photo_ND=words,
        category_N=torch.tensor([0, 0, 1, 2, 2, 2]),
        seen_K=torch.zeros(3, dtype=torch.bool),
    )
    embeds, logits = clip_logits(golden, label_model, text)
    ours = {
        "maskclip/text_embed": words,
        "maskclip/mask_embed": embeds,
        "maskclip/pred_logits": logits,
    }
    check(errors(golden, ours), SMOOTH)


@pytest.mark.parametrize("supervision", ["label", "caption"])
def test_fusion(golden: Golden, label_model: Odise, check: Check, supervision: str) -> None:
    spec = golden.unit["fusion"][supervision]
    _, logits = clip_logits(golden, label_model, golden.text(label_model))
    fused = fuse(
        golden.unit_input("fusion_open"),
        logits,
        torch.tensor(spec["overlap"]).bool(),
        alpha=spec["alpha"],
        beta=spec["beta"],
    )
    check(errors(golden, {f"fusion/{supervision}": fused}), SMOOTH)


def test_two_resizes_of_masks(golden: Golden, check: Check) -> None:
    grid = MaskGrid(
        logits_QHW=golden.unit_input("post_low")[0],
        canvas_size=(160, 208),
        image_size=(150, 200),
        output_size=(75, 100),
    )
    check(errors(golden, {"post/resized": grid.window(whole(grid))}), SMOOTH)


@pytest.fixture(params=["A", "B"])
def post(request: pytest.FixtureRequest, golden: Golden) -> tuple[str, Tensor, Any, np.ndarray]:
    stored = golden.unit_tensors
    size = (96, 128)
    grid = MaskGrid(
        logits_QHW=stored[f"post{request.param}/mask_pred"],
        canvas_size=size,
        image_size=size,
        output_size=size,
    )
    things = np.isin(np.arange(7), golden.runs["things"])
    return f"post{request.param}", stored[f"post{request.param}/mask_cls"], grid, things


Post = tuple[str, Tensor, MaskGrid, np.ndarray]


@pytest.mark.parametrize("threshold", [0.8, 0.3])
def test_panoptic(golden: Golden, post: Post, check: Check, threshold: float) -> None:
    name, scores, grid, things = post
    ids, segments = postprocess.panoptic(scores, grid, things, overlap_threshold=threshold)
    expected = golden.unit_tensors[f"{name}/panoptic_ov{threshold}"].numpy()
    check({"pixels": float(np.mean(ids != expected))}, BITS)
    assert [
        {"id": s.id, "isthing": bool(things[s.category]), "category_id": s.category}
        for s in segments
    ] == golden.unit["post"][f"{name[-1]}_segments_ov{threshold}"]


def test_semantic(golden: Golden, post: Post, check: Check) -> None:
    name, scores, grid, _ = post
    expected = golden.unit_tensors[f"{name}/sem_seg"]
    labels = postprocess.semantic(scores, grid)
    check({"pixels": float(np.mean(labels != expected.argmax(0).numpy()))}, BITS)


def test_instances(golden: Golden, post: Post, check: Check) -> None:
    name, scores, grid, things = post
    found = postprocess.instances(scores, grid, things, num_instances=30)
    scores, classes, masks = (
        golden.unit_tensors[f"{name}/inst_{kind}"].numpy()
        for kind in ("scores", "classes", "masks")
    )
    # The reference keeps instances without a pixel and does not sort.
    order = np.argsort(-scores, kind="stable")
    order = order[masks[order].any(axis=(1, 2))]
    np.testing.assert_allclose(found.scores, scores[order], rtol=SMOOTH)
    np.testing.assert_array_equal(found.categories, classes[order])
    ours = np.stack([found.mask(i, grid.output_size) for i in range(len(found.scores))])
    check({"pixels": float(np.mean(ours != masks[order].astype(bool)))}, BITS)
