"""Mask predictions → panoptic map, semantic map, instances; pure functions.

Works through the output tile by tile, so that no K×H×W volume of floats ever exists, and leaves
out what cannot win in a tile. Axes: Q queries, K categories, R C rows and columns of a tile, P its
pixels, H W pixels of the output. Knows nothing of files or of the network.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from odise_cli.mask_grid import MaskGrid
from odise_cli.model.odise import MaskPredictions
from odise_cli.structures import Instances, Segment, Segmentation
from odise_cli.transfers import to_device, to_host

_VOTE_BYTES = 16 * 2**20
"""Of the votes that exist at a time: about a CPU's cache."""
_ROUNDING = 1e-5
"""Of a sum of products: more than its arithmetic can err."""
_NUM_ALTERNATIVES = 5
_NUM_INSTANCES = 100
_FEW = 64
"""Rows whose largest is found at once."""


@dataclass(frozen=True, kw_only=True)
class SegmentOptions:
    """What to make of the network's predictions."""

    overlap_threshold: float = 0.8
    object_mask_threshold: float = 0.0
    unknown_threshold: float = 0.0
    has_semantic: bool = False
    """Make semantic maps."""
    has_instances: bool = False
    """Make instances."""


def to_segmentation(
    prediction: MaskPredictions,
    output_size: tuple[int, int],
    isthing_K: NDArray[np.bool_],
    options: SegmentOptions,
) -> Segmentation:
    """Everything that is wanted of one image.

    Args:
        prediction: what the network says of it.
        output_size: (height, width) of the results.
        isthing_K: whether each category has instances.
        options: thresholds and wanted outputs.
    """
    scores_QK = prediction.class_scores_QK.float()
    grid = MaskGrid(
        logits_QHW=prediction.mask_logits_QHW.float(),
        canvas_size=prediction.canvas_size,
        image_size=prediction.image_size,
        output_size=output_size,
    )
    panoptic_HW, segments = panoptic(
        scores_QK,
        grid,
        isthing_K,
        object_mask_threshold=options.object_mask_threshold,
        overlap_threshold=options.overlap_threshold,
        unknown_threshold=options.unknown_threshold,
    )
    return Segmentation(
        panoptic_HW=panoptic_HW,
        segments=segments,
        semantic_HW=semantic(scores_QK, grid) if options.has_semantic else None,
        instances=instances(scores_QK, grid, isthing_K, num_instances=_NUM_INSTANCES)
        if options.has_instances
        else None,
    )


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
    winner_HW, areas_3Q = _win_pixels(grid.select(index_Q), score_Q[index_Q])
    best = probabilities_QK[index_Q, :-1].topk(min(_NUM_ALTERNATIVES, len(isthing_K)))
    # All at once: asked for one by one, each number would wait for the device.
    on_host = to_host(areas_3Q.T, category_Q[index_Q], score_Q[index_Q], best.indices, best.values)
    id_of_Q, segments = _choose_segments(on_host, isthing_K, overlap_threshold, unknown_threshold)
    return look_up(id_of_Q, winner_HW), segments


def _choose_segments(
    candidates: Sequence[NDArray[Any]],
    isthing_K: NDArray[np.bool_],
    overlap_threshold: float,
    unknown_threshold: float,
) -> tuple[NDArray[np.int32], tuple[Segment, ...]]:
    """Ids of the masks that become segments, [Q + 1], and the segments in their order.

    Args:
        candidates: of each mask [Q, 3] areas, category, score, and [Q, 5] best categories with
            their probabilities.
        isthing_K: as for `panoptic`, like the thresholds.
        overlap_threshold: share of its own area that a mask must win.
        unknown_threshold: segments of a lower probability become void.
    """
    # Pixels without a winner hold −1, which picks the last entry: void.
    id_of_Q = np.zeros(len(candidates[0]) + 1, np.int32)
    segments: dict[int, Segment] = {}
    stuff_ids: dict[int, int] = {}
    rows = zip(*(values.tolist() for values in candidates), strict=True)
    for query, ((own, won, inside), category, score, categories, scores) in enumerate(rows):
        if not inside or won / own < overlap_threshold or score < unknown_threshold:
            continue
        segment_id = stuff_ids.get(category, len(segments) + 1)
        id_of_Q[query] = segment_id
        if not isthing_K[category]:
            stuff_ids[category] = segment_id
        if segment_id not in segments or score > segments[segment_id].score:
            segments[segment_id] = Segment(
                id=segment_id,
                category=category,
                score=score,
                alternatives=tuple(zip(categories, scores, strict=True)),
            )
    return id_of_Q, tuple(segments.values())


def look_up(id_of_Q: NDArray[np.int32], index_HW: Tensor) -> NDArray[np.int32]:
    """The ids of a map of indices, −1 the last; a byte a pixel leaves a device where that does."""
    if index_HW.device.type != "cpu":
        return look_up_on_device(id_of_Q, index_HW)
    ids_HW: NDArray[np.int32] = id_of_Q[index_HW.numpy()]
    return ids_HW


def look_up_on_device(id_of_Q: NDArray[np.int32], index_HW: Tensor) -> NDArray[np.int32]:
    """The same where the map is."""
    dtype = np.uint8 if id_of_Q.max() < 256 else np.int32
    ids_Q = to_device(torch.from_numpy(id_of_Q.astype(dtype)), index_HW.device)
    (ids_HW,) = to_host(ids_Q[index_HW.long()])
    return ids_HW.astype(np.int32)


def _win_pixels(grid: MaskGrid, score_Q: Tensor) -> tuple[Tensor, Tensor]:
    """Who wins each pixel, and how much each mask owns, wins, and wins of its own.

    Returns:
        [H, W] index of the winning query where the pixel lies inside its mask, else −1, and
        [3, Q] areas: own mask, pixels won, pixels won inside the mask.
    """
    num_queries = len(score_Q)
    winner_HW = torch.empty(grid.output_size, dtype=torch.int32, device=score_Q.device)
    areas_3Q = torch.zeros(3, num_queries, dtype=torch.int64, device=score_Q.device)
    for tile in grid.tiles():
        low_Q, high_Q = grid.bounds(tile)
        sure_vote = (score_Q * low_Q.sigmoid()).max()
        may_win_Q = score_Q * high_Q.sigmoid() >= sure_vote * (1 - _ROUNDING)
        has_edge_Q = (low_Q < 0) & (high_Q >= 0)
        is_open_Q = may_win_Q | has_edge_Q
        areas_3Q[0] += tile.num_pixels * (~is_open_Q & (low_Q >= 0))
        index_Q = is_open_Q.nonzero().squeeze(1)
        masks_QRC = grid.window(tile, index_Q).sigmoid()
        best_RC = first_of_largest(masks_QRC * score_Q[index_Q, None, None])
        is_inside_RC = masks_QRC.gather(0, best_RC[None])[0] >= 0.5
        best_RC = index_Q[best_RC]
        areas_3Q[0, index_Q] += (masks_QRC >= 0.5).flatten(1).count_nonzero(dim=1)
        areas_3Q[1] += best_RC.flatten().bincount(minlength=num_queries)
        areas_3Q[2] += best_RC[is_inside_RC].bincount(minlength=num_queries)
        winner_RC = best_RC.masked_fill(~is_inside_RC, -1)
        winner_HW[tile.top : tile.bottom, tile.left : tile.right] = winner_RC
    return winner_HW, areas_3Q


def semantic(class_scores_QK: Tensor, grid: MaskGrid) -> NDArray[np.uint16]:
    """Most probable category of every pixel, [H, W].

    Categories beyond 65,534 do not fit; the caller refuses such vocabularies.

    Args:
        class_scores_QK: [Q, K + 1] log-probabilities, last column "no object".
        grid: the masks.

    Source: Mask2Former's semantic inference.
    """
    weights_KQ = class_scores_QK.softmax(-1)[:, :-1].T.contiguous()
    labels_HW = torch.empty(grid.output_size, dtype=torch.int32, device=weights_KQ.device)
    for tile in grid.tiles():
        low_Q, high_Q = grid.bounds(tile)
        sure_K, greatest_K = weights_KQ @ low_Q.sigmoid(), weights_KQ @ high_Q.sigmoid()
        index_K = (greatest_K >= sure_K.max() * (1 - _ROUNDING)).nonzero().squeeze(1)
        masks_QRC = grid.window(tile).sigmoid()
        labels_RC = index_K[_vote(weights_KQ[index_K], masks_QRC.flatten(1))]
        labels_HW[tile.top : tile.bottom, tile.left : tile.right] = labels_RC.view(
            masks_QRC.shape[1:]
        )
    # Two bytes a pixel; torch computes little with unsigned ones, and keeps these bits.
    (labels,) = to_host(labels_HW.to(torch.int16))
    return labels.view(np.uint16)


def _vote(weights_KQ: Tensor, masks_QP: Tensor) -> Tensor:
    """The row with the largest sum of products at each pixel, [P]."""
    step = max(1, _VOTE_BYTES // (4 * len(weights_KQ)))
    parts = torch.split(masks_QP, step, dim=1)
    return torch.cat([first_of_largest(weights_KQ @ part_QP) for part_QP in parts])


def first_of_largest(votes_NX: Tensor) -> Tensor:
    """What `votes_NX.argmax(dim=0)` is; on a CPU it takes a seventh of the time of that.

    Args:
        votes_NX: [N, ...], no NaN.

    Returns:
        [...] int64, of equal ones the first.
    """
    count = len(votes_NX)
    if count <= _FEW:
        return _first_of_few(votes_NX)
    # The largest of each group takes one pass; which it is, is asked in one group only.
    size = math.isqrt(count - 1) + 1
    groups = torch.split(votes_NX, size)
    largest_GX = torch.stack([group.amax(dim=0) for group in groups])
    first_X = size * first_of_largest(largest_GX)
    rows_SX = first_X + torch.arange(size, device=first_X.device).view(-1, *first_X.dim() * [1])
    return first_X + _first_of_few(votes_NX.gather(0, rows_SX.clamp_(max=count - 1)))


def _first_of_few(votes_NX: Tensor) -> Tensor:
    """The same for at most 256 rows."""
    is_largest_NX = votes_NX == votes_NX.amax(dim=0)
    # Bytes are what a processor's vector units take most of at a time.
    behind_N = torch.arange(len(votes_NX) - 1, -1, -1, dtype=torch.uint8, device=votes_NX.device)
    behind_NX = is_largest_NX * behind_N.view(-1, *(votes_NX.dim() - 1) * [1])
    return len(votes_NX) - 1 - behind_NX.amax(dim=0).long()


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
    index_N, score_N = to_host(top_index, top_scores.float())
    query_N, category_N = np.divmod(index_N, len(isthing_K))
    is_thing_N = isthing_K[category_N]
    query_N, category_N = query_N[is_thing_N], category_N[is_thing_N]
    unique_U, row_N = np.unique(query_N, return_inverse=True)
    index_U = to_device(torch.from_numpy(unique_U), grid.logits_QHW.device)
    packed_U, quality_U = _pack_masks(grid.select(index_U))
    quality_N = quality_U[row_N]
    score_N = score_N[is_thing_N] * quality_N
    order = np.argsort(-score_N, kind="stable")
    # The probability inside a mask exceeds one half, so 0 says that nothing is inside.
    order = order[quality_N[order] > 0]
    return Instances(
        categories=category_N[order].astype(np.int32),
        scores=score_N[order].astype(np.float32),
        packed_masks=packed_U,
        mask_rows=row_N[order],
    )


def _pack_masks(grid: MaskGrid) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Hard masks as bits [Q, ceil(H·W/8)], and the mean probability inside each [Q]."""
    (height, width), device = grid.output_size, grid.logits_QHW.device
    num_queries = len(grid.logits_QHW)
    # Of one piece from the start: of a photograph of 100 megapixels it is more than a GiB.
    packed_QB = torch.empty(num_queries, -(-height * width // 8), dtype=torch.uint8, device=device)
    sum_Q = torch.zeros(num_queries, dtype=torch.float64, device=device)
    area_Q = torch.zeros(num_queries, dtype=torch.int64, device=device)
    for strip in grid.strips():
        rows = strip[0].bottom - strip[0].top
        inside_QRW = torch.zeros(num_queries, rows, width, dtype=torch.bool, device=device)
        for tile in strip:
            index_Q = (grid.bounds(tile)[1] > 0).nonzero().squeeze(1)
            logits_QRC = grid.window(tile, index_Q)
            inside_QRC = logits_QRC > 0
            inside_QRW[index_Q, :, tile.left : tile.right] = inside_QRC
            sum_Q[index_Q] += (logits_QRC.sigmoid() * inside_QRC).sum(dim=(1, 2)).double()
            area_Q[index_Q] += inside_QRC.flatten(1).count_nonzero(dim=1)
        # Strips begin at multiples of eight pixels, so that their bytes follow each other.
        bits_QB = pack_bits(inside_QRW.flatten(1))
        first_byte = strip[0].top * width // 8
        packed_QB[:, first_byte : first_byte + bits_QB.shape[1]] = bits_QB
    packed, quality = to_host(packed_QB, (sum_Q / (area_Q + 1e-6)).float())
    return packed, quality


def pack_bits(bits_NP: Tensor) -> Tensor:
    """Eight booleans in a byte, the first in its highest bit, where they are.

    Returns:
        [N, ceil(P / 8)] uint8; missing bits are 0.
    """
    if bits_NP.device.type == "cpu":
        return torch.from_numpy(np.packbits(bits_NP.numpy(), axis=1))
    return pack_bits_on_device(bits_NP)


def pack_bits_on_device(bits_NP: Tensor) -> Tensor:
    """What `numpy.packbits` does, without leaving the device."""
    padded_NP = F.pad(bits_NP, (0, -bits_NP.shape[1] % 8))
    values_8 = 2 ** torch.arange(7, -1, -1, device=bits_NP.device, dtype=torch.uint8)
    return (padded_NP.view(len(bits_NP), -1, 8) * values_8).sum(dim=2, dtype=torch.uint8)
