"""Boxes as masks, and images full of them."""

import numpy as np
from pycocotools import mask as coco_mask

from odise_cli.structures import InstanceMask

SIZE = (120, 160)


def mask(category, box_xyxy, *, score=1.0, iscrowd=False, area_px=None):
    pixels = np.zeros(SIZE, np.uint8, order="F")
    left, top, right, bottom = box_xyxy
    pixels[top:bottom, left:right] = 1
    rle = coco_mask.encode(pixels)
    return InstanceMask(category=category, rle=rle, score=score, area_px=area_px, iscrowd=iscrowd)


def random_image(rng, categories, *, crowd_share=0.15, num_truth=6, num_near=3):
    """Truth with crowds and small to large boxes; predictions near them and elsewhere."""
    truth, predicted = [], []
    for _ in range(rng.integers(0, num_truth)):
        side = rng.integers(8, 118)
        left, top = rng.integers(0, 160 - side), rng.integers(0, 120 - side)
        category = int(rng.choice(categories))
        box = np.array([left, top, left + side, top + side])
        truth.append(mask(category, box, iscrowd=bool(rng.random() < crowd_share)))
        for _ in range(rng.integers(0, num_near)):
            near = np.clip(box + rng.integers(-9, 10, 4), 0, [160, 120, 160, 120])
            score = float(rng.integers(1, 10)) / 10
            predicted.append(mask(category, near, score=score))
    return truth, predicted
