"""The reference's training batches, and the random numbers that it was given."""

import zlib
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from odise_cli.model.odise import pad_to_canvas
from odise_cli.training.criterion import Criterion
from odise_cli.training.matcher import Match
from odise_cli.training.point_sampling import PointSampler
from odise_cli.training.targets import MaskTargets, TrainingBatch
from tests.model.golden import Golden
from tests.model.golden_trace import to_tensor

NUM_POINTS = 784
SAME_POINT = 1e-7
"""How far apart two points may be that are the same, in sides of the image."""
SCENARIOS = (
    "label_grid",
    "label_recipe",
    "caption_grid",
    "caption_recipe",
    "caption_grid_invalid",
)
Mode = Literal["grid", "recipe"]


@dataclass(frozen=True, kw_only=True)
class RecordingSampler(PointSampler):
    """Keeps what was drawn and chosen."""

    shapes: list[list[int]] = field(default_factory=list)
    points: list[Tensor] = field(default_factory=list)
    logits: list[Tensor] = field(default_factory=list)

    def uncertain(self, mask_logits_NHW: Tensor) -> Tensor:
        self.logits.append(mask_logits_NHW.detach())
        self.points.append(super().uncertain(mask_logits_NHW))
        return self.points[-1]


class RecordingCriterion(Criterion):
    """Keeps the matches of each layer, the last layer's first."""

    def __init__(self, mode: Mode) -> None:
        self.recorded = sampler(mode)
        super().__init__(sampler=self.recorded)
        self.matches: list[list[Match]] = []

    def match(self, *args: Any) -> list[Match]:
        self.matches.append(super().match(*args))
        return self.matches[-1]

    def indices(self) -> list[Any]:
        """As the reference writes them down."""
        return [[[q.tolist(), n.tolist()] for q, n in layer] for layer in self.matches]


def sampler(mode: Mode) -> RecordingSampler:
    """MANIFEST.md: a regular grid without importance, or numpy's numbers by the call's index."""
    shapes: list[list[int]] = []

    def grid(shape: tuple[int, int, int], device: torch.device) -> Tensor:
        shapes.append(list(shape))
        centres = (torch.arange(28) + 0.5) / 28
        y, x = torch.meshgrid(centres, centres, indexing="ij")
        return torch.stack([x, y], dim=-1).reshape(1, NUM_POINTS, 2).expand(shape)

    def recipe(shape: tuple[int, int, int], device: torch.device) -> Tensor:
        random = np.random.RandomState(zlib.crc32(f"rand/{len(shapes)}".encode()))
        shapes.append(list(shape))
        return torch.from_numpy(random.random_sample(shape).astype(np.float32))

    if mode == "grid":
        return RecordingSampler(
            num_points=NUM_POINTS, importance_ratio=0.0, draw=grid, shapes=shapes
        )
    return RecordingSampler(num_points=NUM_POINTS, draw=recipe, shapes=shapes)


def training_batch(golden: Golden, scenario: str) -> TrainingBatch:
    """Images of a scenario on one canvas, with their targets."""
    table = golden.json("tiny_train/train.json")
    data = np.load(golden.folder / "tiny_train" / "train_data.npz")
    kind = scenario.split("_")[0]
    specs = table[f"{kind}_batch"]
    words = table["scenarios"][scenario]["words"] or [None] * len(specs)
    canvases = [pad_to_canvas(to_tensor(data[f"image_{spec['seed']}"])) for spec in specs]
    targets = []
    for spec, image_words, canvas in zip(specs, words, canvases, strict=True):
        size = (spec["h"], spec["w"])
        bits = np.unpackbits(data[f"masks_{spec['seed']}"], axis=1, count=size[0] * size[1])
        masks_NHW = torch.from_numpy(bits.reshape(-1, *size)).bool()
        targets.append(
            MaskTargets(
                masks_NHW=torch.nn.functional.pad(
                    masks_NHW, (0, canvas.shape[2] - size[1], 0, canvas.shape[1] - size[0])
                ),
                category_N=torch.tensor(spec["labels"]) if kind == "label" else None,
                words=None if image_words is None else tuple(image_words),
            )
        )
    return TrainingBatch(canvases_B3HW=torch.stack(canvases), targets=targets)


def stored_points(golden: Golden, scenario: str) -> list[Tensor]:
    """The points that the reference compared masks at, the last layer's first."""
    points = load_file(golden.folder / "tiny_train" / f"points_{scenario}.safetensors")
    return [points[f"points/{name}"] for name in ("final", "aux0", "aux1", "aux2")]


def exchanged_points(ours_P2: Tensor, theirs_P2: Tensor) -> tuple[Tensor, Tensor]:
    """What only one of two sets of a mask's points has, in whatever order they are."""
    distance_PP = (ours_P2[:, None] - theirs_P2[None]).abs().amax(-1)
    is_own_P, is_other_P = distance_PP.amin(1) > SAME_POINT, distance_PP.amin(0) > SAME_POINT
    return ours_P2[is_own_P], theirs_P2[is_other_P]
