"""Whether an exported model still gives the answer that it gave in odise.

Compares what two networks say of the same pictures, before any threshold. Axes: Q queries,
K categories, H W at stride 4. Knows no formats and no files.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from odise_cli.data.world.render import render
from odise_cli.data.world.scenes import plan_scene
from odise_cli.errors import ExportError
from odise_cli.model.odise import MaskPredictions

_NUM_SAMPLES = 2
_SAMPLE_SEED = 7


@dataclass(frozen=True, kw_only=True)
class Parity:
    """How alike two networks' answers are; or how unlike they may be."""

    mask_iou: float
    """Mean over all queries of the IoU of their masks, 0..1; two empty masks are alike."""
    label_agreement: float
    """Share of queries with the same best category, "no object" being one, 0..1."""
    max_logit_difference: float
    """Largest difference of any two mask logits."""

    def to_json(self) -> dict[str, float]:
        """The figures as JSON values."""
        return asdict(self)


TOLERANCES = {
    "fp32": Parity(mask_iou=0.999, label_agreement=0.99, max_logit_difference=0.01),
    "fp16": Parity(mask_iou=0.97, label_agreement=0.9, max_logit_difference=100.0),
}
"""What is accepted, by precision. In fp16 a mask that the decoder attends under may move by a
pixel, which moves all that follows: single logits say little, the masks as a whole do."""


def sample_images(size: tuple[int, int]) -> list[NDArray[np.uint8]]:
    """Scenes of the synthetic world, [H, W, 3] RGB: pictures that are always there.

    Args:
        size: (height, width), pixels.
    """
    rngs = [np.random.default_rng([_SAMPLE_SEED, number]) for number in range(_NUM_SAMPLES)]
    aspect = size[1] / size[0]
    return [render(plan_scene(rng, aspect=aspect), size, rng).image_HW3 for rng in rngs]


def compare(expected: Sequence[MaskPredictions], found: Sequence[MaskPredictions]) -> Parity:
    """Compare two networks' answers to the same pictures.

    Args:
        expected: the engine's.
        found: the exported model's, in the same order and of the same vocabulary.
    """
    ious, agreements, differences = [], [], []
    for one, other in zip(expected, found, strict=True):
        ours_QHW, theirs_QHW = one.mask_logits_QHW.float(), other.mask_logits_QHW.float()
        differences.append((ours_QHW - theirs_QHW).abs().max())
        both_Q = ((ours_QHW > 0) & (theirs_QHW > 0)).sum(dim=(1, 2))
        any_Q = ((ours_QHW > 0) | (theirs_QHW > 0)).sum(dim=(1, 2))
        ious.append(torch.where(any_Q > 0, both_Q / any_Q, 1.0))
        agreements.append(one.class_scores_QK.argmax(-1) == other.class_scores_QK.argmax(-1))
    return Parity(
        mask_iou=float(torch.cat(ious).mean()),
        label_agreement=float(torch.cat(agreements).float().mean()),
        # A NaN is the largest difference of all, and stays one.
        max_logit_difference=float(torch.stack(differences).max()),
    )


def refuse_disparity(parity: Parity, tolerance: Parity, *, where: str) -> None:
    """Fail where the answers differ by more than is accepted, and say by how much.

    Raises:
        ExportError: naming each figure that is past the tolerance.
    """
    problems = [
        f"{what} {found:.6g} (expected {word} {limit:g})"
        for what, found, limit, word, is_fine in (
            (
                "mask IoU",
                parity.mask_iou,
                tolerance.mask_iou,
                "at least",
                parity.mask_iou >= tolerance.mask_iou,
            ),
            (
                "label agreement",
                parity.label_agreement,
                tolerance.label_agreement,
                "at least",
                parity.label_agreement >= tolerance.label_agreement,
            ),
            (
                "largest logit difference",
                parity.max_logit_difference,
                tolerance.max_logit_difference,
                "at most",
                parity.max_logit_difference <= tolerance.max_logit_difference,
            ),
        )
        if not is_fine
    ]
    if problems:
        raise ExportError(
            f"{where}: the exported model answers differently: {'; '.join(problems)}. "
            "Expected the answers of the model it was made from. "
            "Use --precision fp32, or --no-verify to have the files all the same."
        )
