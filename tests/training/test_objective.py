import copy
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from odise_cli.model.checkpoint import head_tensors
from odise_cli.model.config import PUBLISHED_CAPTION, PUBLISHED_LABEL, ModelConfig
from odise_cli.model.odise import Odise
from odise_cli.training.criterion import Criterion, Losses
from odise_cli.training.objective import TrainingObjective, mark_trainable
from odise_cli.training.optimizer import count_parameters
from odise_cli.training.point_sampling import PointSampler
from odise_cli.training.targets import MaskTargets, TrainingBatch
from tests.golden import drawn
from tests.model.golden import relative_error
from tests.model.test_full_size import build

SIZE = (128, 128)
"""One crop."""
WIDE = (128, 192)
"""Two crops of 128 that overlap by half."""
SUPERVISIONS = ("label", "caption")


def build_objective(supervision: drawn.Supervision, **options: bool) -> TrainingObjective:
    model = copy.deepcopy(drawn.build(supervision))
    text = drawn.vocabulary(model) if supervision == "label" else None
    criterion = Criterion(sampler=PointSampler(num_points=64))
    return TrainingObjective(model, criterion, text=text, **options)


def canvases(count: int, size: tuple[int, int] = SIZE) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(count, 3, *size, generator=generator)


def training_batch(supervision: str, num_masks: tuple[int, ...]) -> TrainingBatch:
    is_label = supervision == "label"
    targets = []
    for count in num_masks:
        stripes = torch.arange(SIZE[1]) * max(count, 1) // SIZE[1]
        masks = stripes.expand(*SIZE) == torch.arange(count)[:, None, None]
        targets.append(
            MaskTargets(
                masks_NHW=masks,
                category_N=torch.arange(count) % 4 if is_label else None,
                words=None if is_label else ("kite", "" if count else "sky"),
            )
        )
    return TrainingBatch(canvases_B3HW=canvases(len(num_masks)), targets=targets)


def step(
    objective: TrainingObjective, batch: TrainingBatch, precision: torch.dtype = torch.float32
) -> Losses:
    torch.manual_seed(0)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == torch.bfloat16):
        losses = objective(batch)
    losses.total.backward()
    return losses


def gradients(objective: TrainingObjective) -> dict[str, Tensor | None]:
    return {name: x.grad for name, x in objective.model.named_parameters()}


@pytest.mark.parametrize("supervision", SUPERVISIONS)
@pytest.mark.parametrize("num_masks", [(0, 2), (0,)])
def test_gradients_reach_what_learns_and_nothing_else(
    supervision: drawn.Supervision, num_masks: tuple[int, ...]
) -> None:
    objective = build_objective(supervision)
    losses = step(objective, training_batch(supervision, num_masks))
    assert losses.total.isfinite()
    learns = set(head_tensors(objective.model))
    for name, gradient in gradients(objective).items():
        assert (gradient is not None) == (name in learns), name
        assert gradient is None or gradient.isfinite().all(), name
    if any(num_masks):
        for name in ("alpha_cond", "alpha_cond_time_embed", "clip_project.linear.weight"):
            assert objective.model.captioner.get_parameter(name).grad.any(), name


def test_features_of_clip_need_no_captioner() -> None:
    drawn_model = drawn.build("label")
    model = Odise(
        replace(drawn_model.config, features="clip"),
        unet=copy.deepcopy(drawn_model.diffusion.unet),
        vae=copy.deepcopy(drawn_model.diffusion.vae),
        clip=copy.deepcopy(drawn_model.clip.model),
    )
    criterion = Criterion(sampler=PointSampler(num_points=64))
    objective = TrainingObjective(model, criterion, text=drawn.vocabulary(drawn_model))
    step(objective, training_batch("label", (1,)))
    for name, gradient in gradients(objective).items():
        learns = not name.startswith(("clip.", "diffusion.", "captioner."))
        assert (gradient is not None) == learns, name


def test_frozen_parts_stay_as_they_are() -> None:
    objective = build_objective("label")
    frozen = [objective.model.clip, objective.model.diffusion]
    before = copy.deepcopy([part.state_dict() for part in frozen])
    optimiser = torch.optim.SGD(objective.trainable_parameters(), lr=0.1)
    step(objective.train(), training_batch("label", (1,)))
    optimiser.step()
    for part, state in zip(frozen, before, strict=True):
        assert not any(module.training for module in part.modules())
        torch.testing.assert_close(part.state_dict(), state, rtol=0, atol=0)
    assert objective.model.mask_generator.training
    assert not objective.eval().model.mask_generator.training


def test_no_text_is_embedded_again_with_labels() -> None:
    objective = build_objective("label")
    calls: list[object] = []
    objective.model.clip.model.transformer.register_forward_hook(lambda *args: calls.append(args))
    step(objective, training_batch("label", (1,)))
    assert calls == []


@pytest.mark.parametrize("precision", [torch.float32, torch.bfloat16])
def test_recomputing_changes_no_gradient(precision: torch.dtype) -> None:
    batch = training_batch("label", (1, 2))
    found = []
    for recomputes in (False, True):
        objective = build_objective("label", recomputes_diffusion=recomputes)
        objective.model.crops_per_pass = 1
        assert step(objective, batch, precision).total.isfinite()
        found.append(gradients(objective))
    torch.testing.assert_close(*found, rtol=0, atol=0)


def test_recomputing_keeps_no_activation_of_the_unet() -> None:
    objective = build_objective("label", recomputes_diffusion=True)
    sizes: list[int] = []

    def pack(tensor: Tensor) -> Tensor:
        sizes.append(tensor.numel())
        return tensor

    text, time = torch.zeros(1, 77, 32).requires_grad_(), torch.zeros(1, 128)
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        taps = objective.model.diffusion(canvases(1), text, time)
    assert [tap.requires_grad for tap in taps] == [False, False, True, True, True, True] + 2 * [
        False
    ]
    latent = 4 * (SIZE[0] // 8) * (SIZE[1] // 8)
    assert sizes == [latent, text.numel(), time.numel()], "only what the pass starts from"


@pytest.mark.parametrize("name", ["captioner", "pyramid"])
def test_gradient_of_the_backbone_is_the_difference_quotient(name: str) -> None:
    """Through the frozen UNet, its crops and their averaging; float64, for small differences."""
    model = copy.deepcopy(drawn.build("label")).double()
    mark_trainable(model)
    parameters = list(model.get_submodule(name).parameters())
    generator = torch.Generator().manual_seed(7)
    directions = [
        torch.randn(x.shape, generator=generator, dtype=torch.float64) for x in parameters
    ]
    canvas = canvases(1, WIDE)[0].double()

    def value() -> Tensor:
        # Squares: a sum of the maps themselves would feel every kink of a ReLU.
        levels = model.extract_features([canvas])[0]
        return torch.stack([level.square().mean() for level in levels]).sum()

    gradients = torch.autograd.grad(value(), parameters)
    slope = sum(float((g * d).sum()) for g, d in zip(gradients, directions, strict=True))
    values = []
    with torch.no_grad():
        for shift in (1e-8, -2e-8):
            for parameter, direction in zip(parameters, directions, strict=True):
                parameter += shift * direction
            values.append(float(value()))
    assert slope == pytest.approx((values[0] - values[1]) / 2e-8, rel=1e-4)


def test_words_are_embedded_in_their_template_empty_ones_too() -> None:
    objective = build_objective("caption")
    batch = training_batch("caption", (2, 0))
    with torch.no_grad():
        captions = objective.predict(batch).captions
        sentences = [
            "a photo of a kite.",
            "a photo of a .",
            "a photo of a kite.",
            "a photo of a sky.",
        ]
        model = objective.model
        expected = model.head.text_proj(model.clip.embed_words(sentences)).view(2, 2, -1)
    assert captions is not None
    assert relative_error(captions.word_embed_BWD, expected) < 1e-5


@pytest.mark.parametrize(
    ("config", "trainable"), [(PUBLISHED_LABEL, 28_067_009), (PUBLISHED_CAPTION, 28_066_755)]
)
def test_parameter_counts_at_full_size(config: ModelConfig, trainable: int) -> None:
    model = build(config)
    mark_trainable(model)
    counts = count_parameters(model)
    assert counts.trainable == trainable
    # MODEL.md: UNet, VAE and CLIP. With the text encoder, which is not loaded, 1,494.2 M.
    assert counts.frozen == 859_520_964 + 83_653_863 + 427_944_193
    assert counts.frozen + 123_060_480 == pytest.approx(1493.8e6, rel=5e-4)
