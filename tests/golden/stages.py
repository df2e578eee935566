"""What is recorded of the drawn model, and compared later: tensors by stage, and label maps."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from odise_cli import postprocess
from odise_cli.mask_grid import MaskGrid
from odise_cli.model.odise import pad_to_canvas
from odise_cli.structures import Segment
from tests.golden import drawn
from tests.masks import whole
from tests.model.golden_trace import to_tensor, trace_classes, trace_clip, trace_crops, trace_masks

OVERLAP_THRESHOLD = 0.2
NUM_INSTANCES = 20


@dataclass
class Traced:
    """One model's tensors (the crops' are the same in both models), segments and instances."""

    tensors: dict[str, Tensor]
    segments: tuple[Segment, ...]
    scores: np.ndarray
    categories: np.ndarray


def trace(supervision: drawn.Supervision) -> Traced:
    model = drawn.build(supervision)
    image = to_tensor(drawn.image())
    crops, pyramid = trace_crops(model, image)
    masks, outputs = trace_masks(model, pyramid)
    text = drawn.vocabulary(model)
    clip = trace_clip(model, image, outputs.mask_logits[-1], text)
    classes = trace_classes(model, outputs, clip["clip/mask_pred_open_logits"], text)
    scores = classes["mask_cls"]
    canvas = pad_to_canvas(image).shape
    grid = MaskGrid(
        logits_QHW=outputs.mask_logits[-1][0],
        canvas_size=(canvas[1], canvas[2]),
        image_size=drawn.IMAGE_SIZE,
        output_size=drawn.OUTPUT_SIZE,
    )
    ids, segments = postprocess.panoptic(
        scores, grid, drawn.THINGS, overlap_threshold=OVERLAP_THRESHOLD
    )
    found = postprocess.instances(scores, grid, drawn.THINGS, num_instances=NUM_INSTANCES)
    labels = postprocess.semantic(scores, grid)
    maps = {
        "mask_pred_full": grid.window(whole(grid)),
        "panoptic": torch.from_numpy(ids.astype(np.uint8)),
        "semantic": torch.from_numpy(labels.astype(np.uint8)),
    }
    return Traced(
        tensors=crops | masks | clip | classes | maps,
        segments=segments,
        scores=found.scores,
        categories=found.categories,
    )
