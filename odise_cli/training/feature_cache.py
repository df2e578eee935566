"""Features of the frozen diffusion model on disk: what epochs without augmentation repeat.

A crop's features are the same each time only if its pixels are, and if the implicit captioner,
which conditions the diffusion model, does not learn. Knows crops by their pixels; does not know
images or epochs.
"""

import hashlib
import os
from pathlib import Path

import torch
from safetensors.torch import load_file, save
from torch import Tensor

from odise_cli.model.diffusion_features import DiffusionFeatures, cat_maps
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
        paths = [folder / f"{_pixels_sha256(crop)}.safetensors" for crop in crops_B3HW]
        missing = [number for number, path in enumerate(paths) if not path.exists()]
        if missing:
            computed = compute(crops_B3HW[missing], text_BTC[missing], time_BE[missing])
            for row, number in enumerate(missing):
                _write(paths[number], [tap[row] for tap in computed])
        return cat_maps([_read(path, crops_B3HW.device) for path in paths])

    # Called like any module from here on; a wrapper would rename every tensor inside.
    diffusion.forward = look_up  # type: ignore[method-assign]


def _pixels_sha256(crop_3HW: Tensor) -> str:
    return hashlib.sha256(crop_3HW.float().contiguous().cpu().numpy().tobytes()).hexdigest()


def _write(path: Path, taps: list[Tensor]) -> None:
    content = save({str(number): tap.contiguous().cpu() for number, tap in enumerate(taps)})
    # Several processes may meet the same crop: each writes a file of its own, the last one stays.
    temporary = path.with_suffix(f".{os.getpid()}.tmp")
    with explained_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
        temporary.replace(path)


def _read(path: Path, device: torch.device) -> list[Tensor]:
    taps = load_file(path)
    return [taps[str(number)][None].to(device) for number in range(len(taps))]
