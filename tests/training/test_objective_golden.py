"""Ours against the reference: a training step of both supervisions, forward and backward."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from odise_cli.model.checkpoint import load_model, read_model_folder
from odise_cli.model.head_keys import to_published
from odise_cli.training.criterion import Losses, Predictions
from odise_cli.training.objective import TrainingObjective
from odise_cli.training.point_sampling import sample_masks
from tests.golden import drawn
from tests.model.golden import SMOOTH, THRESHOLDED, Check, Golden, GoldenTensors
from tests.training.scenarios import (
    SCENARIOS,
    RecordingCriterion,
    exchanged_points,
    stored_points,
    training_batch,
)

# MANIFEST.md, "Tolerances".
LOSS = {"grid": 1e-3, "recipe": 2e-3}
GRADIENT = 1e-2
TIE = 1e-5
"""Of a mask's largest logit: what another processor's order of adding up may change."""
CROP_SIZE = 256


def build_objective(golden: Golden, folder: Path, scenario: str) -> TrainingObjective:
    supervision, mode, *_ = scenario.split("_")
    files = read_model_folder(golden.write_model(folder / scenario, supervision))
    config = dataclasses.replace(files.config, crop_size=CROP_SIZE)
    model = load_model(dataclasses.replace(files, config=config))
    text = None
    if supervision == "label":
        words = golden.training_words()
        text = drawn.vocabulary(model, words, [True] * len(words))
    return TrainingObjective(model, RecordingCriterion(mode), text=text)  # type: ignore[arg-type]


@dataclass
class Step:
    """A forward and a backward pass, and what the reference says of the same."""

    scenario: str
    objective: TrainingObjective
    predictions: Predictions
    losses: Losses
    expected: dict[str, Any]

    @property
    def criterion(self) -> RecordingCriterion:
        assert isinstance(self.objective.criterion, RecordingCriterion)
        return self.objective.criterion

    def gradients(self) -> dict[str, Tensor]:
        """Of the trainable parameters, under their published names."""
        model = self.objective.model
        found = {}
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, name
                found[name] = parameter.grad
        return to_published(found, supervision=model.config.supervision)


@pytest.fixture(scope="module", params=SCENARIOS)
def step(
    request: pytest.FixtureRequest, golden: Golden, tmp_path_factory: pytest.TempPathFactory
) -> Step:
    objective = build_objective(golden, tmp_path_factory.mktemp("golden"), request.param)
    batch = training_batch(golden, request.param)
    predictions = objective.predict(batch)
    losses = objective.criterion(predictions, batch.targets)
    losses.total.backward()
    return Step(
        scenario=request.param,
        objective=objective,
        predictions=predictions,
        losses=losses,
        expected=golden.json("tiny_train/train.json")["scenarios"][request.param],
    )


def test_predictions(step: Step, golden: Golden, check: Check) -> None:
    # However masks are sampled afterwards, the forward pass is the same.
    supervision = step.objective.model.config.supervision
    reference = golden.tensors("forward", f"{supervision}_grid", size="tiny_train")
    last = step.predictions.layers[-1]
    assert_close(reference, {"pred_masks": last.mask_logits_BQHW}, SMOOTH, check)
    ours = {"mask_embed": last.mask_embed_BQD, "pred_logits": last.class_logits_BQK}
    if step.predictions.captions is not None and not step.scenario.endswith("invalid"):
        ours["word_embed"] = step.predictions.captions.word_embed_BWD
    assert_close(reference, ours, THRESHOLDED, check)


def assert_close(
    reference: GoldenTensors, ours: dict[str, Tensor], limit: float, check: Check
) -> None:
    assert all(name in reference for name in ours)
    check(reference.errors({name: x.detach() for name, x in ours.items()}, ours), limit)


def test_random_draws(step: Step) -> None:
    # The reference's regular grid takes no draw for the losses; ours asks for the same points.
    expected = step.expected["rand_calls"]
    found = step.criterion.recorded.shapes
    assert [shape for shape in found if shape in expected] == expected
    assert len(found) == len(expected) + 4 * (step.expected["mode"] == "grid")


def test_points(step: Step, golden: Golden) -> None:
    recorded = step.criterion.recorded
    num_uncertain = int(recorded.importance_ratio * recorded.num_points)
    of_layers = zip(
        recorded.logits, recorded.points, stored_points(golden, step.scenario), strict=True
    )
    for logits_NHW, ours_NP2, theirs_NP2 in of_layers:
        for logits_1HW, ours_P2, theirs_P2 in zip(
            logits_NHW.split(1), ours_NP2, theirs_NP2, strict=True
        ):
            own_P2, other_P2 = exchanged_points(ours_P2, theirs_P2)
            assert len(own_P2) == len(other_P2)
            if len(own_P2):
                # Of two candidates that are as uncertain, but for rounding, either is the last.
                exchanged_1P = sample_masks(logits_1HW, torch.cat([own_P2, other_P2])[None]).abs()
                last = sample_masks(logits_1HW, ours_P2[None, :num_uncertain]).abs().max()
                assert (exchanged_1P - last).abs().max() <= TIE * logits_1HW.abs().max()


def test_matches(step: Step) -> None:
    assert step.criterion.indices() == list(step.expected["indices"].values())


def test_losses(step: Step, check: Check) -> None:
    expected = step.expected["losses"]
    assert list(step.losses.weighted) == list(expected)
    errors = {
        name: abs(step.losses.weighted[name].item() / value - 1) for name, value in expected.items()
    }
    errors["total"] = abs(step.losses.total.item() / step.expected["total"] - 1)
    check(errors, LOSS[step.expected["mode"]])


def test_losses_before_weights(step: Step, check: Check) -> None:
    weights = {"ce": 2, "mask": 5, "dice": 5}
    check(
        {
            name: abs(step.losses.weighted[name].item() / (weights[name.split("_")[1]] * value) - 1)
            for name, value in step.expected["criterion_raw"].items()
        },
        LOSS[step.expected["mode"]],
    )


def test_gradients(step: Step, check: Check) -> None:
    ours, errors = step.gradients(), {}
    assert ours.keys() == step.expected["grads"].keys()
    for name, expected in step.expected["grads"].items():
        if expected is None:
            # The reference recorded none for its backbone: test_objective.py takes differences.
            assert name.startswith("backbone.")
            continue
        found, norm = ours[name], expected["norm"]
        first = torch.tensor(expected["first"])
        errors |= {
            f"{name} norm": abs(float(found.norm()) / norm - 1),
            f"{name} sum": abs(float(found.sum()) - expected["sum"]) / norm / found.numel() ** 0.5,
            f"{name} absmax": abs(float(found.abs().max()) / expected["absmax"] - 1),
            f"{name} first": float((found.flatten()[:8] - first).abs().max()) / expected["absmax"],
        }
    check(errors, GRADIENT)
