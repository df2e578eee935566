from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from odise_cli.model.classifier import TextEmbeddings
from odise_cli.model.odise import MaskPredictions, Odise, pad_to_canvas
from tests.golden import drawn
from tests.model.golden import relative_error
from tests.model.golden_trace import to_tensor

# Other batch sizes choose other kernels; behind a hard threshold a pixel may flip.
TOLERANCE = 1e-3


@pytest.fixture(autouse=True)
def _no_grad() -> Iterator[None]:
    with torch.no_grad():
        yield


@pytest.fixture(scope="module")
def model() -> Odise:
    return drawn.build("label")


@pytest.fixture(scope="module")
def text(model: Odise) -> TextEmbeddings:
    return drawn.vocabulary(model)


def assert_close(found: MaskPredictions, expected: MaskPredictions) -> None:
    assert (found.canvas_size, found.image_size) == (expected.canvas_size, expected.image_size)
    assert relative_error(found.mask_logits_QHW, expected.mask_logits_QHW) < TOLERANCE
    assert relative_error(found.class_scores_QK, expected.class_scores_QK) < TOLERANCE


@given(st.integers(1, 300), st.integers(1, 300))
def test_canvas_is_the_image_and_zeros(height: int, width: int) -> None:
    canvas = pad_to_canvas(torch.ones(3, height, width))
    assert canvas.shape[1] % 64 == canvas.shape[2] % 64 == 0
    assert 0 <= canvas.shape[1] - height < 64
    assert 0 <= canvas.shape[2] - width < 64
    assert canvas[:, :height, :width].eq(1).all()
    assert canvas.sum() == 3 * height * width


def images() -> list[Tensor]:
    """Three images, the first two of one canvas size (192×256), the third smaller than a crop."""
    drawing = to_tensor(drawn.image())
    return [drawing, drawing.flip(2)[:, :140, :195], drawing[:, :60, :100]]


def test_batch_is_its_images_one_by_one(model: Odise, text: TextEmbeddings) -> None:
    batch = images()
    together = model(batch, text)
    for image, found in zip(batch, together, strict=True):
        assert_close(found, model([image], text)[0])


def test_order_of_the_batch_is_kept(model: Odise, text: TextEmbeddings) -> None:
    batch = images()
    found = model([batch[2], batch[0]], text)
    assert [p.image_size for p in found] == [(60, 100), (150, 200)]
    assert [p.canvas_size for p in found] == [(64, 128), (192, 256)]
    assert found[0].mask_logits_QHW.shape == (8, 16, 32)


def test_crops_in_several_passes(model: Odise, text: TextEmbeddings) -> None:
    image = images()[0]
    expected = model([image], text)[0]
    chunked = Odise(
        model.config, unet=model.diffusion.unet, vae=model.diffusion.vae, clip=model.clip.model
    )
    chunked.load_state_dict(model.state_dict())
    chunked.crops_per_pass = 3
    assert_close(chunked.eval()([image], text)[0], expected)


@pytest.mark.parametrize("supervision", ["label", "caption"])
def test_permuted_vocabulary_permutes_the_scores(supervision: drawn.Supervision) -> None:
    model, order = drawn.build(supervision), [2, 0, 3, 1]
    image = images()[2]
    plain = model([image], drawn.vocabulary(model))[0]
    permuted_text = drawn.vocabulary(
        model, [drawn.WORDS[k] for k in order], [drawn.SEEN[k] for k in order]
    )
    permuted = model([image], permuted_text)[0]
    expected = plain.class_scores_QK[:, [*order, 4]]
    torch.testing.assert_close(permuted.class_scores_QK, expected, rtol=1e-4, atol=1e-5)


def test_scores_are_log_probabilities_with_a_last_column(
    model: Odise, text: TextEmbeddings
) -> None:
    scores = model([images()[2]], text)[0].class_scores_QK
    assert scores.shape == (8, len(drawn.WORDS) + 1)
    torch.testing.assert_close(scores.exp().sum(-1), torch.ones(8), rtol=1e-5, atol=1e-5)


def test_fusion_weights_can_be_changed(model: Odise, text: TextEmbeddings) -> None:
    image = images()[2]
    plain = model([image], text)[0].class_scores_QK
    other = Odise(
        model.config, unet=model.diffusion.unet, vae=model.diffusion.vae, clip=model.clip.model
    )
    other.load_state_dict(model.state_dict())
    other.alpha = other.beta = 0.0  # CLIP's opinion counts nothing
    deaf = other.eval()([image], text)[0].class_scores_QK
    assert (deaf - plain).abs().max() > 0.01
    assert torch.equal(deaf[:, -1], plain[:, -1])


def variant(model: Odise, **changes: object) -> Odise:
    """The drawn model with another configuration; weights that both have are the same."""
    other = Odise(
        replace(model.config, **changes),
        unet=model.diffusion.unet,
        vae=model.diffusion.vae,
        clip=model.clip.model,
    )
    shapes = {name: tensor.shape for name, tensor in other.state_dict().items()}
    same = {n: t for n, t in model.state_dict().items() if t.shape == shapes[n]}
    other.load_state_dict(same, strict=False)
    return other.eval()


def test_features_of_clip_leave_the_diffusion_model_alone(
    model: Odise, text: TextEmbeddings
) -> None:
    other = variant(model, features="clip")
    hook = other.diffusion.unet.conv_in.register_forward_hook(lambda *_: pytest.fail("asked"))
    image = images()[0]
    found = other([image], text)[0]
    hook.remove()
    expected = model([image], text)[0]
    assert found.mask_logits_QHW.shape == expected.mask_logits_QHW.shape
    assert found.class_scores_QK.isfinite().all()
    assert not torch.equal(found.mask_logits_QHW, expected.mask_logits_QHW)


def test_timestep_of_the_configuration_is_taken(model: Odise, text: TextEmbeddings) -> None:
    image = images()[2]
    expected = model([image], text)[0]
    same, later = (variant(model, timestep=t)([image], text)[0] for t in (0, 500))
    assert torch.equal(same.mask_logits_QHW, expected.mask_logits_QHW)
    assert not torch.equal(later.mask_logits_QHW, expected.mask_logits_QHW)


def test_cropped_masks_change_names_and_no_mask(model: Odise, text: TextEmbeddings) -> None:
    image = images()[2]
    pooled = model([image], text)[0]
    cropped = variant(model, clip_masks="cropped")([image], text)[0]
    assert torch.equal(cropped.mask_logits_QHW, pooled.mask_logits_QHW)
    assert torch.equal(cropped.class_scores_QK[:, -1], pooled.class_scores_QK[:, -1])
    assert not torch.equal(cropped.class_scores_QK, pooled.class_scores_QK)


def test_stages_are_reported_in_order(model: Odise, text: TextEmbeddings) -> None:
    stages: list[str] = []
    model(images(), text, on_stage=stages.append)
    # Two canvas sizes: two passes of the mask generator.
    assert stages == ["features", "masks", "classify", "masks", "classify"]


def test_result_is_reproducible(model: Odise, text: TextEmbeddings) -> None:
    first, second = (model([images()[0]], text)[0] for _ in range(2))
    assert torch.equal(first.class_scores_QK, second.class_scores_QK)
    assert torch.equal(first.mask_logits_QHW, second.mask_logits_QHW)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_plain_images_give_finite_results(model: Odise, text: TextEmbeddings, value: float) -> None:
    prediction = model([torch.full((3, 70, 64), value)], text)[0]
    assert prediction.class_scores_QK.isfinite().all()
    assert prediction.mask_logits_QHW.isfinite().all()


def test_one_pixel(model: Odise, text: TextEmbeddings) -> None:
    prediction = model([torch.rand(3, 1, 1)], text)[0]
    assert (prediction.image_size, prediction.canvas_size) == ((1, 1), (64, 64))
    assert prediction.class_scores_QK.isfinite().all()


def test_one_word(model: Odise) -> None:
    text = drawn.vocabulary(model, [["kite"]], [True])
    scores = model([images()[2]], text)[0].class_scores_QK
    assert scores.shape == (8, 2)
    assert scores.isfinite().all()


def test_autocast_to_half_the_bits(model: Odise, text: TextEmbeddings) -> None:
    image = images()[2]
    expected = model([image], text)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = model([image], text)[0]
    # bfloat16 keeps three digits, and masks are thresholded: only the scale is comparable.
    assert found.class_scores_QK.float().isfinite().all()
    assert relative_error(found.mask_logits_QHW.float(), expected.mask_logits_QHW) < 0.5
