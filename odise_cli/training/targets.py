"""What a training image should be segmented into, and batches of such images.

Axes: B images, N masks, H W pixels of the canvas. Knows nothing of files or augmentation.
"""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class MaskTargets:
    """The annotation of one canvas; an image without annotation has no masks."""

    masks_NHW: Tensor
    """Bool or float in 0..1, one mask per segment; 0 on the padding. N may be 0."""
    category_N: Tensor | None
    """int64, index into the training vocabulary's categories; None with caption supervision."""
    words: tuple[str, ...] | None
    """Words of the image's caption, "" for none; the same number for every image of a run.

    None with label supervision.
    """

    def to(self, device: torch.device | str) -> "MaskTargets":
        """The same with its tensors on a device."""
        return MaskTargets(
            masks_NHW=self.masks_NHW.to(device, non_blocking=True),
            category_N=None
            if self.category_N is None
            else self.category_N.to(device, non_blocking=True),
            words=self.words,
        )


@dataclass(frozen=True, kw_only=True)
class TrainingBatch:
    """Equally sized canvases with their annotations."""

    canvases_B3HW: Tensor
    """Float32 RGB in 0..1; sides are multiples of 64."""
    targets: list[MaskTargets]
    """One per canvas."""
    names: tuple[str, ...] = ()
    """What the images are called; for messages."""

    def to(self, device: torch.device | str) -> "TrainingBatch":
        """The same on a device."""
        return TrainingBatch(
            canvases_B3HW=self.canvases_B3HW.to(device, non_blocking=True),
            targets=[target.to(device) for target in self.targets],
            names=self.names,
        )
