"""How alike two answers are, by arithmetic on two-by-two masks."""

import numpy as np
import pytest
import torch

from odise_cli.errors import ExportError
from odise_cli.export.parity import Parity, compare, refuse_disparity, sample_images
from odise_cli.model.odise import MaskPredictions

TOLERANCE = Parity(mask_iou=0.9, label_agreement=0.9, max_logit_difference=0.5)


def answer(mask_logits, class_scores):
    return MaskPredictions(
        mask_logits_QHW=torch.tensor(mask_logits),
        class_scores_QK=torch.tensor(class_scores),
        canvas_size=(64, 64),
        image_size=(64, 64),
    )


def test_the_three_figures():
    # Queries: three pixels against two of them; both empty; all four against none.
    ours = [[[1.0, 1.0], [1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]], [[2.0, 2.0], [2.0, 2.0]]]
    theirs = [[[1.0, 1.0], [-0.5, -1.0]], [[-1.0, -1.0], [-1.0, -1.5]], [[-1.0] * 2, [-1.0] * 2]]
    scores = [[0.0, -1.0], [-1.0, 0.0], [0.0, -1.0]]
    others = [[0.0, -3.0], [0.0, -1.0], [0.0, -2.0]]
    parity = compare([answer(ours, scores)], [answer(theirs, others)])
    assert parity.mask_iou == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert parity.label_agreement == pytest.approx(2 / 3)
    assert parity.max_logit_difference == 3.0


def test_the_same_answers():
    one = answer([[[1.0, -1.0]]], [[0.0, -1.0]])
    assert compare([one, one], [one, one]) == Parity(
        mask_iou=1.0, label_agreement=1.0, max_logit_difference=0.0
    )


def test_what_is_past_the_tolerance_is_named():
    refuse_disparity(TOLERANCE, TOLERANCE, where="out")
    found = Parity(mask_iou=0.25, label_agreement=0.95, max_logit_difference=4.5)
    message = (
        r"^out: the exported model answers differently: mask IoU 0\.25 \(expected at least 0\.9\); "
        r"largest logit difference 4\.5 \(expected at most 0\.5\)\. Expected the answers"
    )
    with pytest.raises(ExportError, match=message):
        refuse_disparity(found, TOLERANCE, where="out")


def test_a_logit_that_is_no_number_is_past_any_tolerance():
    bad = compare([answer([[[1.0, 1.0]]], [[0.0]])], [answer([[[1.0, np.nan]]], [[0.0]])])
    lenient = Parity(mask_iou=0.0, label_agreement=0.0, max_logit_difference=1e9)
    with pytest.raises(ExportError, match="largest logit difference nan"):
        refuse_disparity(bad, lenient, where="out")


def test_the_pictures_are_always_the_same_and_differ():
    first, second = sample_images((64, 96))
    assert first.shape == second.shape == (64, 96, 3)
    assert (first != second).any()
    assert (sample_images((64, 96))[1] == second).all()
