"""Mask predictions → panoptic map, semantic map, instances; pure functions.

Works through the output in strips of rows, so that no K×H×W volume of floats ever exists, and
upsamples only masks that survive their threshold. Axes: Q queries, K categories, R rows of a
strip, H W pixels of the output. Knows nothing of files or of the network.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from odise_cli.structures import Instances, Segment

_STRIP_BYTES = 8 * 2**20
"""What a strip may take: about a CPU's cache, where it is worth a factor of two."""
_NUM_ALTERNATIVES = 5

Size = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class MaskGrid:
    """Mask logits and the two resizes between them and the output."""

    logits_QHW: Tensor
    """Mask logits as predicted, stride 4 of the canvas."""
    canvas_size: Size
    image_size: Size
    """What of the canvas is image; the rest is padding."""
    output_size: Size

    def select(self, index_Q: Tensor) -> "MaskGrid":
        """The same for some of the queries."""
        return MaskGrid(
            logits_QHW=self.logits_QHW[index_Q],
            canvas_size=self.canvas_size,
            image_size=self.image_size,
            output_size=self.output_size,
        )

    def rows(self, top: int, bottom: int) -> Tensor:
        """Rows top..bottom of the logits at output size, [Q, R, W].

        Two bilinear resizes, as published: to the canvas, then from its image part to the
        output.
        """
        lower, upper, _ = _row_neighbours(self.image_size[0], self.output_size[0], top, bottom)
        first, last = int(lower[0]), int(upper[-1]) + 1
        height = self.logits_QHW.shape[1]
        canvas = _interpolate(self.logits_QHW, 0, height, self.canvas_size, (first, last))
        image = canvas[..., : self.image_size[1]]
        return _interpolate(image, first, self.image_size[0], self.output_size, (top, bottom))

    def strips(self, bytes_per_pixel: int) -> Iterator[tuple[int, int]]:
        """Row ranges whose pixels take about 8 MiB together at so many bytes a pixel."""
        height, width = self.output_size
        step = max(1, _STRIP_BYTES // max(1, bytes_per_pixel * width))
        for top in range(0, height, step):
            yield top, min(top + step, height)


def panoptic(
    class_scores_QK: Tensor,
    grid: MaskGrid,
    isthing_K: NDArray[np.bool_],
    *,
    object_mask_threshold: float = 0.0,
    overlap_threshold: float = 0.8,
    unknown_threshold: float = 0.0,
) -> tuple[NDArray[np.int32], tuple[Segment, ...]]:
    """Give every pixel to at most one segment.

    Args:
        class_scores_QK: [Q, K + 1] log-probabilities, last column "no object".
        grid: the masks.
        isthing_K: whether each category has instances; stuff segments of one category merge.
        object_mask_threshold: probability that a query must exceed.
        overlap_threshold: share of its own area that a mask must win.
        unknown_threshold: segments of a lower probability become void.

    Returns:
        [H, W] segment ids, 0 for void, and the segments in order of id.

    Source: Mask2Former's panoptic inference.
    """
    probabilities_QK = class_scores_QK.softmax(-1)
    score_Q, category_Q = probabilities_QK.max(-1)
    is_kept_Q = (category_Q != len(isthing_K)) & (score_Q > object_mask_threshold)
    index_Q = is_kept_Q.nonzero().squeeze(1)
    if not len(index_Q):
        return np.zeros(grid.output_size, np.int32), ()
    winner_HW, areas_Q3 = _win_pixels(grid.select(index_Q), score_Q[index_Q])
    id_of_Q = np.zeros(len(index_Q) + 1, np.int32)
    segments: dict[int, Segment] = {}
    stuff_ids: dict[int, int] = {}
    for query, (own, won, inside) in enumerate(areas_Q3):
        row = int(index_Q[query])
        category, score = int(category_Q[row]), float(score_Q[row])
        if not inside or won / own < overlap_threshold or score < unknown_threshold:
            continue
        segment_id = stuff_ids.get(category, len(segments) + 1)
        id_of_Q[query] = segment_id
        if not isthing_K[category]:
            stuff_ids[category] = segment_id
        if segment_id not in segments or score > segments[segment_id].score:
            segments[segment_id] = _segment(segment_id, category, probabilities_QK[row, :-1])
    # Pixels without a winner hold −1, which picks the last entry: void.
    return id_of_Q[winner_HW], tuple(segments.values())


def _win_pixels(grid: MaskGrid, score_Q: Tensor) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Who wins each pixel, and how much each mask owns, wins, and wins of its own.

    Returns:
        [H, W] index of the winning query where the pixel lies inside its mask, else −1, and
        [Q, 3] areas: own mask, pixels won, pixels won inside the mask.
    """
    height, width = grid.output_size
    num_queries = len(score_Q)
    winner_HW = np.empty((height, width), np.int32)
    areas_3Q = torch.zeros(3, num_queries, dtype=torch.int64, device=score_Q.device)
    for top, bottom in grid.strips(bytes_per_pixel=12 * num_queries):
        masks_QRW = grid.rows(top, bottom).sigmoid()
        best_RW = (masks_QRW * score_Q[:, None, None]).argmax(dim=0)
        is_inside_RW = masks_QRW.gather(0, best_RW[None])[0] >= 0.5
        areas_3Q[0] += (masks_QRW >= 0.5).sum(dim=(1, 2))
        areas_3Q[1] += best_RW.flatten().bincount(minlength=num_queries)
        areas_3Q[2] += best_RW[is_inside_RW].bincount(minlength=num_queries)
        winner_RW = best_RW.masked_fill(~is_inside_RW, -1)
        winner_HW[top:bottom] = winner_RW.to(torch.int32).cpu().numpy()
    return winner_HW, areas_3Q.T.cpu().numpy()


def _segment(segment_id: int, category: int, probability_K: Tensor) -> Segment:
    """A segment with its score and the most probable categories."""
    best = probability_K.topk(min(_NUM_ALTERNATIVES, len(probability_K)))
    return Segment(
        id=segment_id,
        category=category,
        score=float(probability_K[category]),
        alternatives=tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True)),
    )


def semantic(class_scores_QK: Tensor, grid: MaskGrid) -> NDArray[np.uint16]:
    """Most probable category of every pixel, [H, W].

    Categories beyond 65,534 do not fit; the caller refuses such vocabularies.

    Args:
        class_scores_QK: [Q, K + 1] log-probabilities, last column "no object".
        grid: the masks.

    Source: Mask2Former's semantic inference.
    """
    weights_KQ = class_scores_QK.softmax(-1)[:, :-1].T
    labels_HW = np.empty(grid.output_size, np.uint16)
    num_categories, num_queries = weights_KQ.shape
    for top, bottom in grid.strips(bytes_per_pixel=4 * (num_categories + 2 * num_queries)):
        masks_QRW = grid.rows(top, bottom).sigmoid()
        votes_KP = weights_KQ @ masks_QRW.flatten(1)
        labels_P = votes_KP.argmax(dim=0).cpu().numpy()
        labels_HW[top:bottom] = labels_P.reshape(bottom - top, -1)
    return labels_HW


def instances(
    class_scores_QK: Tensor, grid: MaskGrid, isthing_K: NDArray[np.bool_], *, num_instances: int
) -> Instances:
    """The best pairs of mask and thing category, best first; pairs with an empty mask are dropped.

    Args:
        class_scores_QK: [Q, K + 1] log-probabilities, last column "no object".
        grid: the masks.
        isthing_K: whether each category has instances.
        num_instances: pairs to take before those of stuff are dropped.

    Source: Mask2Former's instance inference (top 100 of Q × K).
    """
    probabilities_QK = class_scores_QK.softmax(-1)[:, :-1]
    flat = probabilities_QK.flatten()
    top_scores, top_index = flat.topk(min(num_instances, len(flat)), sorted=False)
    query_N = (top_index // len(isthing_K)).cpu().numpy()
    category_N = (top_index % len(isthing_K)).cpu().numpy()
    is_thing_N = isthing_K[category_N]
    query_N, category_N = query_N[is_thing_N], category_N[is_thing_N]
    unique_U, row_N = np.unique(query_N, return_inverse=True)
    packed_U, quality_U = _pack_masks(grid.select(torch.from_numpy(unique_U)))
    quality_N = quality_U[row_N]
    score_N = top_scores.float().cpu().numpy()[is_thing_N] * quality_N
    order = np.argsort(-score_N, kind="stable")
    # The probability inside a mask exceeds one half, so 0 says that nothing is inside.
    order = order[quality_N[order] > 0]
    return Instances(
        categories=category_N[order].astype(np.int32),
        scores=score_N[order].astype(np.float32),
        packed_masks=packed_U[row_N[order]],
    )


def _pack_masks(grid: MaskGrid) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Hard masks as bits [Q, ceil(H·W/8)], and the mean probability inside each [Q]."""
    height, width = grid.output_size
    num_queries = len(grid.logits_QHW)
    packed = np.empty((num_queries, (height * width + 7) // 8), np.uint8)
    quality = np.empty(num_queries, np.float32)
    step = max(1, _STRIP_BYTES // (8 * height * width))
    for first in range(0, num_queries, step):
        chunk = slice(first, min(first + step, num_queries))
        index = torch.arange(chunk.start, chunk.stop)
        logits_QP = grid.select(index).rows(0, height).flatten(1)
        inside_QP = logits_QP > 0
        total_Q = (logits_QP.sigmoid() * inside_QP).sum(dim=1)
        quality[chunk] = (total_Q / (inside_QP.sum(dim=1) + 1e-6)).cpu().numpy()
        packed[chunk] = np.packbits(inside_QP.cpu().numpy(), axis=1)
    return packed, quality


def _row_neighbours(
    in_height: int, out_height: int, top: int, bottom: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Upper and lower input row of output rows top..bottom, and the lower one's weight.

    Source: bilinear interpolation with half-pixel centres (align_corners=False).
    """
    centre = (torch.arange(top, bottom, dtype=torch.float64) + 0.5) * in_height / out_height - 0.5
    centre = centre.clamp(min=0)
    above = centre.long()
    below = (above + 1).clamp(max=in_height - 1)
    return above, below, (centre - above).float()


def _interpolate(
    x_QRW: Tensor, offset: int, in_height: int, out_size: Size, rows: tuple[int, int]
) -> Tensor:
    """Some rows of a bilinear resize to `out_size`, from the rows of the input they need.

    Args:
        x_QRW: input rows, the first of which is row `offset` of `in_height`.
        offset: see above.
        in_height: height of the whole input.
        out_size: (height, width) of the whole output.
        rows: first and past-the-last row wanted.
    """
    above, below, weight = _row_neighbours(in_height, out_size[0], *rows)
    above, below = (index.to(x_QRW.device) - offset for index in (above, below))
    weight_R1 = weight.to(x_QRW)[:, None]
    mixed_QRW = torch.lerp(x_QRW[:, above], x_QRW[:, below], weight_R1)
    if mixed_QRW.shape[-1] == out_size[1]:
        return mixed_QRW
    return F.interpolate(mixed_QRW, size=out_size[1], mode="linear", align_corners=False)
