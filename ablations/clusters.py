"""The paper's figure 1: k-means clusters of diffusion features beside those of CLIP's.

    python -m ablations.clusters samples/*.jpg --model tiny --out clusters.png

One row a picture: the picture, clusters of the UNet's features, clusters of CLIP's last patch
tokens. Pictures become as large as the model sees them, and a little squashed, so that they are
cut into whole crops; each network sees one crop at a time, as in the model. Colours mean nothing
across panels: a cluster's colour is its place in the order in which clusters are met, from the
upper left corner on.
"""

import argparse
import colorsys
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.cluster.vq import kmeans2

from odise_cli.commands.model_source import find_model
from odise_cli.data.geometry import resized_size
from odise_cli.errors import OdiseError
from odise_cli.model.config import ModelConfig
from odise_cli.model.feature_pyramid import crop_boxes
from odise_cli.model.odise import Odise

_UNET_TAPS = slice(3, 6)
"""Strides 32, 16 and 8; stride 64 is a handful of pixels, which upsampled look like a grid."""
_NOISE = 42
_MAX_ITERATIONS = 50


def main(argv: Sequence[str] | None = None) -> int:
    """Cluster every picture and write the sheet; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="PNG or JPEG")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--clusters", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the first cluster centres")
    parser.add_argument("--side", type=int, default=256, help="height of a panel, pixels")
    wanted = parser.parse_args(argv)
    try:
        model = find_model(wanted.model, weights=None).load(offline=True, seed=_NOISE)
    except OdiseError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    rows = [
        sheet_row(model, path, clusters=wanted.clusters, seed=wanted.seed, side=wanted.side)
        for path in wanted.images
    ]
    wanted.out.parent.mkdir(parents=True, exist_ok=True)
    width = max(row.shape[1] for row in rows)
    padded = [
        np.pad(row, ((0, 0), (0, width - row.shape[1]), (0, 0)), constant_values=255)
        for row in rows
    ]
    Image.fromarray(np.concatenate(padded)).save(wanted.out)
    return 0


def sheet_row(
    model: Odise, path: Path, *, clusters: int, seed: int, side: int
) -> NDArray[np.uint8]:
    """One picture with its two panels, [side, 3 · width, 3]."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    height, width = whole_crops((picture.height, picture.width), model.config)
    canvas = np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC))
    maps = [cluster_map(x, clusters, seed=seed) for x in features_of(model, canvas)]
    panel_wh = (round(side * picture.width / picture.height), side)
    panels = [np.asarray(picture.resize(panel_wh, Image.Resampling.LANCZOS))]
    panels += [_painted(x, panel_wh) for x in maps]
    return np.concatenate(panels, axis=1)


def whole_crops(size: tuple[int, int], config: ModelConfig) -> tuple[int, int]:
    """The size nearest to that of the model whose sides are multiples of a crop's."""
    sizes = resized_size(size, short_side=config.short_side, long_side=config.long_side)
    height, width = (max(1, round(side / config.crop_size)) * config.crop_size for side in sizes)
    return height, width


def features_of(
    model: Odise, canvas_HW3: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is clustered: the diffusion model's features and CLIP's, each [C, h, w].

    Every tap has unit length at every pixel, so that each of them counts alike.

    Args:
        model: any.
        canvas_HW3: of whole crops.
    """
    import torch
    from torch.nn import functional as F

    with torch.inference_mode():
        canvas = torch.from_numpy(np.array(canvas_HW3)).permute(2, 0, 1).float() / 255
        boxes = crop_boxes(canvas_HW3.shape[:2], model.config.crop_size)
        crops = torch.stack(
            [canvas[:, top:bottom, left:right] for top, bottom, left, right in boxes]
        )
        text, time = model.captioner(model.clip.embed_images(crops))
        taps = model.diffusion(crops, text, time)[_UNET_TAPS]
        size = taps[-1].shape[-2:]
        finest = [
            F.normalize(F.interpolate(tap, size=size, mode="bilinear"), dim=1) for tap in taps
        ]
        num_layers = len(model.clip.model.visual.transformer.resblocks)
        tokens = F.normalize(model.clip.embed_patches(crops, [num_layers])[0], dim=1)
        num_rows = canvas_HW3.shape[0] // model.config.crop_size
        return (
            _side_by_side(torch.cat(finest, dim=1).numpy(), num_rows),
            _side_by_side(tokens.numpy(), num_rows),
        )


def _side_by_side(crops_NCHW: NDArray[np.float32], num_rows: int) -> NDArray[np.float32]:
    """Maps of crops, row by row, as one map."""
    rows = np.split(crops_NCHW, num_rows)
    return np.concatenate([np.concatenate(row, axis=2) for row in rows], axis=1)


def cluster_map(features_CHW: NDArray[np.float32], clusters: int, *, seed: int) -> NDArray[np.intp]:
    """[H, W] the cluster of each pixel, numbered from 0 in the order in which they are met."""
    points = features_CHW.reshape(len(features_CHW), -1).T
    _, labels = kmeans2(
        points, clusters, iter=_MAX_ITERATIONS, minit="++", seed=np.random.default_rng(seed)
    )
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[inverse].reshape(features_CHW.shape[1:])


def _painted(map_HW: NDArray[np.intp], size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """The map in colours, [height, width, 3]."""
    # Hues a golden angle apart: neighbours in the order are far from each other.
    hues = np.arange(map_HW.max() + 1) * 0.618034 % 1.0
    colours = np.array([colorsys.hsv_to_rgb(hue, 0.6, 0.9) for hue in hues])
    pixels = (255 * colours).round().astype(np.uint8)[map_HW]
    picture = Image.fromarray(pixels).resize(size_wh, Image.Resampling.NEAREST)
    return np.asarray(picture)


if __name__ == "__main__":
    sys.exit(main())
