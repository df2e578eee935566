"""Figures that others measured, to stand beside ours and never to be mixed with ours.

Source: J. Xu et al., "Open-Vocabulary Panoptic Segmentation with Text-to-Image Diffusion
Models", CVPR 2023, and its published model zoo; whole validation sets, in percent.
"""

from collections.abc import Mapping
from typing import Final

PUBLISHED: Final[Mapping[str, Mapping[str, Mapping[str, float]]]] = {
    "ade20k": {
        "label": {"PQ": 22.6, "mAP": 14.4, "mIoU": 29.9},
        "caption": {"PQ": 23.4, "mAP": 13.9, "mIoU": 28.7},
    },
    "coco": {
        "label": {"PQ": 55.4, "mAP": 46.0, "mIoU": 65.2},
        "caption": {"PQ": 45.6, "mAP": 38.4, "mIoU": 52.4},
    },
    "ade20k-full": {"label": {"mIoU": 11.1}, "caption": {"mIoU": 11.0}},
    "context59": {"label": {"mIoU": 57.3}, "caption": {"mIoU": 55.3}},
    "context459": {"label": {"mIoU": 14.5}, "caption": {"mIoU": 13.8}},
    "voc21": {"label": {"mIoU": 84.6}, "caption": {"mIoU": 82.7}},
}
"""By dataset, model and figure."""
