"""Which wrong names cost most: pairs of categories by what a figure loses to them.

The cost of a pair is the figure that would be, had everything of this pair been named right and
all else stayed, less the figure that is. Costs of several pairs do not add up to the cost of
all. Knows scores; does not know files or category names.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from odise_cli.evaluation.mean_iou import SemanticScores
from odise_cli.evaluation.panoptic_quality import PanopticScores
from odise_cli.structures import VOID_CATEGORY


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """A category that was taken for another."""

    true: int
    """Category index."""
    predicted: int
    """Category index, 65535 for void."""
    count: int
    """Segments or pixels."""
    cost: float
    """What the mean over the categories loses, 0..1."""


def costliest_segments(scores: PanopticScores, *, num_kept: int) -> tuple[Confusion, ...]:
    """The pairs that cost most PQ (the official mean), the costliest first, ties by index."""
    confused = scores.confused
    true, predicted = confused.true, confused.predicted
    total = scores.num_matched + 0.5 * (scores.num_spurious + scores.num_missed)
    # A miss that is a match instead costs the denominator half a segment less and one more.
    true_pq = (scores.iou_sum[true] + confused.iou_sum) / (total[true] + 0.5 * confused.num_missed)
    remaining = total[predicted] - 0.5 * confused.num_spurious
    # Where nothing else is left, the category leaves the mean.
    is_counted = remaining > 0
    predicted_pq = np.zeros(len(true))
    np.divide(scores.iou_sum[predicted], remaining, out=predicted_pq, where=is_counted)
    pq = np.nan_to_num(scores.pq)
    # Of a prediction on void or crowd alone nothing was ever counted.
    was_counted = scores.is_counted[predicted]
    num_counted = int(scores.is_counted.sum())
    mended = pq.sum() - pq[true] - pq[predicted] + true_pq + predicted_pq
    num_mended = num_counted - was_counted.astype(np.int64) + is_counted
    cost = mended / num_mended - pq.sum() / max(num_counted, 1)
    return _costliest(true, predicted, confused.num_missed, cost, num_kept)


def costliest_pixels(scores: SemanticScores, *, num_kept: int) -> tuple[Confusion, ...]:
    """The pairs that cost most mIoU, the costliest first, ties by index."""
    confused = scores.confused
    true, predicted, counts = confused.true, confused.predicted, confused.counts
    union = scores.num_true + scores.num_predicted - scores.num_correct
    iou = np.nan_to_num(scores.iou)
    gain = (scores.num_correct[true] + counts) / union[true] - iou[true]
    # The other category loses a false alarm, if it is one that counts.
    is_other = np.flatnonzero(predicted != VOID_CATEGORY)
    is_other = is_other[scores.has_truth[predicted[is_other]]]
    other = predicted[is_other]
    gain[is_other] += scores.num_correct[other] / (union[other] - counts[is_other]) - iou[other]
    return _costliest(true, predicted, counts, gain / max(scores.has_truth.sum(), 1), num_kept)


def _costliest(
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    counts: NDArray[np.int64],
    cost: NDArray[np.float64],
    num_kept: int,
) -> tuple[Confusion, ...]:
    order = np.lexsort((predicted, true, -cost))[:num_kept]
    return tuple(
        Confusion(
            true=int(true[i]),
            predicted=int(predicted[i]),
            count=int(counts[i]),
            cost=float(cost[i]),
        )
        for i in order
    )
