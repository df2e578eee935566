"""What frozen networks make of pixels, on disk: what epochs without augmentation repeat.

It is the same each time only if the pixels are and if nothing before it learns: before features
the implicit captioner, which conditions the diffusion model; before masks all that makes them.
Knows crops and canvases by their pixels; does not know images or epochs.
"""

import hashlib
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from odise_cli.model.diffusion_features import DiffusionFeatures, cat_maps
from odise_cli.model.mask_generator import MaskOutputs
from odise_cli.model.odise import Odise
from odise_cli.writers.atomic import explained_errors


def cache_features(diffusion: DiffusionFeatures, folder: Path) -> None:
    """Let a diffusion model look its features up, and keep what it had to compute.

    Args:
        diffusion: changed in place; its condition must not learn.
        folder: one file a crop; some 25 million numbers for a crop of 512 at full size.
    """
    compute = diffusion.forward

    @torch.no_grad()
    def look_up(crops_B3HW: Tensor, text_BTC: Tensor, time_BE: Tensor) -> list[Tensor]:
        def compute_missing(rows: list[int]) -> Sequence[Tensor]:
            return compute(crops_B3HW[rows], text_BTC[rows], time_BE[rows])

        return _look_up(folder, crops_B3HW, compute_missing)

    # Called like any module from here on; a wrapper would rename every tensor inside.
    diffusion.forward = look_up  # type: ignore[method-assign]


def cache_masks(model: Odise, folder: Path) -> None:
    """Let a model look up the masks of canvases, and keep those that it had to make.

    Args:
        model: changed in place; nothing that makes its masks may learn.
        folder: one file a canvas; of every decoder layer the masks and their queries, and once
            the features that masks are pooled from.
    """
    compute = model.predict_masks

    @torch.no_grad()
    def look_up(canvases_B3HW: Tensor) -> MaskOutputs:
        def compute_missing(rows: list[int]) -> Sequence[Tensor]:
            outputs = compute(canvases_B3HW[rows])
            return [*outputs.mask_logits, *outputs.queries, outputs.mask_features]

        *of_layers, mask_features = _look_up(folder, canvases_B3HW, compute_missing)
        num_layers = len(of_layers) // 2
        return MaskOutputs(
            mask_logits=tuple(of_layers[:num_layers]),
            queries=tuple(of_layers[num_layers:]),
            mask_features=mask_features,
        )

    model.predict_masks = look_up  # type: ignore[method-assign]


def _look_up(
    folder: Path, pixels_B3HW: Tensor, compute: Callable[[list[int]], Sequence[Tensor]]
) -> list[Tensor]:
    """What was computed of each of B pictures, now or earlier, with the axis B in front."""
    paths = [folder / f"{_pixels_sha256(pixels_3HW)}.safetensors" for pixels_3HW in pixels_B3HW]
    missing = [number for number, path in enumerate(paths) if not path.exists()]
    if missing:
        computed = compute(missing)
        for row, number in enumerate(missing):
            _write(paths[number], [tensor[row] for tensor in computed])
    return cat_maps([_read(path, pixels_B3HW.device) for path in paths])


def _pixels_sha256(pixels_3HW: Tensor) -> str:
    return hashlib.sha256(pixels_3HW.float().contiguous().cpu().numpy().tobytes()).hexdigest()


def _write(path: Path, tensors: list[Tensor]) -> None:
    content = save({str(number): x.contiguous().cpu() for number, x in enumerate(tensors)})
    # Several processes may meet the same pixels: each writes a file of its own, the last one stays.
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with explained_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)


def _read(path: Path, device: torch.device) -> list[Tensor]:
    tensors = load_file(path)
    return [tensors[str(number)][None].to(device) for number in range(len(tensors))]
