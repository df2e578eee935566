"""The paper's figure 1: k-means clusters of diffusion features beside those of CLIP's.

    python -m ablations.clusters samples/*.jpg --model tiny --out clusters.png

One row a picture: the picture, clusters of the UNet's features, clusters of CLIP's last patch
tokens. Pictures are squashed to one crop. Colours mean nothing across panels: a cluster's colour is
its place in the order in which clusters are met, from the upper left corner on.
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
from odise_cli.errors import OdiseError
from odise_cli.model.odise import Odise

_UNET_TAPS = slice(3, 6)
"""Strides 32, 16 and 8; stride 64 is a handful of pixels, which upsampled look like a grid."""
_NOISE = 42
_MAX_ITERATIONS = 50


def main(argv: Sequence[str] | None = None) -> int:
    """Cluster every picture and write the sheet; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("images", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, required=True, help="PNG")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--clusters", type=int, default=6)
    parser.add_argument("--seed", type=int, default=0, help="of the first cluster centres")
    parser.add_argument("--side", type=int, default=256, help="of each panel, pixels")
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
    Image.fromarray(np.concatenate(rows)).save(wanted.out)
    return 0


def sheet_row(
    model: Odise, path: Path, *, clusters: int, seed: int, side: int
) -> NDArray[np.uint8]:
    """One picture with its two panels, [side, 3 · side, 3]."""
    with Image.open(path) as file:
        picture = file.convert("RGB")
    crop = np.asarray(picture.resize((model.config.crop_size,) * 2, Image.Resampling.BICUBIC))
    maps = [cluster_map(x, clusters, seed=seed) for x in features_of(model, crop)]
    panels = [np.asarray(picture.resize((side, side), Image.Resampling.LANCZOS))]
    panels += [_painted(x, side) for x in maps]
    return np.concatenate(panels, axis=1)


def features_of(
    model: Odise, crop_HW3: NDArray[np.uint8]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """What is clustered: the diffusion model's features and CLIP's, each [C, h, w].

    Every tap has unit length at every pixel, so that each of them counts alike.
    """
    import torch
    from torch.nn import functional as F

    with torch.inference_mode():
        crop = torch.from_numpy(np.array(crop_HW3)).permute(2, 0, 1)[None].float() / 255
        text, time = model.captioner(model.clip.embed_images(crop))
        taps = model.diffusion(crop, text, time)[_UNET_TAPS]
        size = taps[-1].shape[-2:]
        finest = [
            F.normalize(F.interpolate(tap, size=size, mode="bilinear"), dim=1) for tap in taps
        ]
        num_layers = len(model.clip.model.visual.transformer.resblocks)
        tokens = F.normalize(model.clip.embed_patches(crop, [num_layers])[0], dim=1)
        return torch.cat(finest, dim=1)[0].numpy(), tokens[0].numpy()


def cluster_map(features_CHW: NDArray[np.float32], clusters: int, *, seed: int) -> NDArray[np.intp]:
    """[H, W] the cluster of each pixel, numbered from 0 in the order in which they are met."""
    points = features_CHW.reshape(len(features_CHW), -1).T
    _, labels = kmeans2(
        points, clusters, iter=_MAX_ITERATIONS, minit="++", seed=np.random.default_rng(seed)
    )
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    order = np.argsort(np.argsort(first))
    return order[inverse].reshape(features_CHW.shape[1:])


def _painted(map_HW: NDArray[np.intp], side: int) -> NDArray[np.uint8]:
    """The map in colours, [side, side, 3]."""
    # Hues a golden angle apart: neighbours in the order are far from each other.
    hues = np.arange(map_HW.max() + 1) * 0.618034 % 1.0
    colours = np.array([colorsys.hsv_to_rgb(hue, 0.6, 0.9) for hue in hues])
    pixels = (255 * colours).round().astype(np.uint8)[map_HW]
    picture = Image.fromarray(pixels).resize((side, side), Image.Resampling.NEAREST)
    return np.asarray(picture)


if __name__ == "__main__":
    sys.exit(main())
