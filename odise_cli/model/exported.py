"""The network as exported graphs: in place of `Odise`, with the same answers.

Three graphs hold all weights. What lies between them is here: which canvas an image goes on, and
what is put beside what. Axes: B images, N words, T tokens, H W pixels of the canvas, S side of
CLIP's pictures. Knows no file and no runtime: a graph is a function of tensors.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from odise_cli.errors import CheckpointError
from odise_cli.model.classifier import TextEmbeddings
from odise_cli.model.clip import squash, tokenize
from odise_cli.model.config import ModelConfig
from odise_cli.model.odise import MaskPredictions

Size = tuple[int, int]
Graph = Callable[..., Sequence[Tensor]]


@dataclass(frozen=True, kw_only=True)
class GraphConfig:
    """What the graphs of a folder are: `graphs` in its `odise.json`."""

    format: Literal["onnx", "pt2"]
    precision: Literal["fp32", "fp16"]
    """Of the frozen networks' weights and products; everything else is fp32."""
    canvases: tuple[Size, ...]
    """(height, width) of the canvases, pixels; there is a vision graph for each."""
    picture_side: int
    """S: images are squashed to this size for CLIP's opinion of their masks."""
    embed_dim: int
    """Width of the embeddings of words."""
    max_images: int
    """Of one pass of a vision graph."""
    seed: int
    """Of the diffusion model's noise, which is a constant of the graphs."""

    @classmethod
    def from_json(cls, content: Any) -> "GraphConfig":
        """Read the content of `graphs`.

        Raises:
            CheckpointError: if a key is missing or unknown.
        """
        try:
            canvases = tuple((int(height), int(width)) for height, width in content["canvases"])
            return cls(**{**content, "canvases": canvases})
        except (TypeError, KeyError, ValueError) as error:
            raise CheckpointError(
                f"odise.json: graphs: {error}. Expected what odise export writes. "
                "Export the model again with this version of odise."
            ) from error


class ExportedOdise:
    """Graphs that answer together as `Odise` does.

    Args:
        config: the model's.
        graphs: what the graphs were made for.
        vision: the graph of a canvas: canvases [B, 3, H, W] and pictures [B, 3, S, S], RGB in
            0..1 → mask logits, mask embeddings, CLIP's mask embeddings, objectness.
        text: token ids [N, T] int64 → embeddings.
        classifier: the last three, the fields of `TextEmbeddings`, alpha, beta → class scores.
    """

    def __init__(
        self,
        config: ModelConfig,
        graphs: GraphConfig,
        *,
        vision: Callable[[Size], Graph],
        text: Graph,
        classifier: Graph,
    ) -> None:
        self.config = config
        self.graphs = graphs
        self.alpha, self.beta = config.alpha, config.beta
        self._vision, self._text, self._classifier = vision, text, classifier

    @property
    def embed_dim(self) -> int:
        """Width of the embeddings of words."""
        return self.graphs.embed_dim

    def embed_words(self, sentences: Sequence[str]) -> Tensor:
        """[N, D] raw CLIP embeddings."""
        (embeds_ND,) = self._text(tokenize(sentences))
        return embeds_ND

    def begin(self, images: Sequence[Tensor]) -> list[list[Tensor]]:
        """Nothing: a vision graph makes features and masks in one."""
        return [[] for _ in images]

    def __call__(
        self,
        images: Sequence[Tensor],
        text: TextEmbeddings,
        *,
        pyramids: Sequence[list[Tensor]] | None = None,  # noqa: ARG002
        on_stage: Callable[[str], None] = lambda _: None,
    ) -> list[MaskPredictions]:
        """Segment images that fit on the canvases.

        Args:
            images: each [3, H, W], RGB in 0..1, at the test-time size, not padded.
            text: the vocabulary.
            pyramids: what `begin` returned, which is nothing.
            on_stage: called with `masks` or `classify` when that part is done.
        """
        canvas_sizes = [smallest_canvas(_size(image), self.graphs.canvases) for image in images]
        predictions: dict[int, MaskPredictions] = {}
        for canvas_size, members in _passes(canvas_sizes, self.graphs.max_images):
            group = [images[i] for i in members]
            canvases_B3HW = torch.stack([_pad(image, canvas_size) for image in group])
            pictures_B3SS = squash(group, self.graphs.picture_side)
            mask_logits_BQHW, *masks = self._vision(canvas_size)(canvases_B3HW, pictures_B3SS)
            on_stage("masks")
            words = (text.head_ND, text.photo_ND, text.category_N, text.seen_K)
            weights = (torch.tensor(self.alpha), torch.tensor(self.beta))
            (scores_BQK,) = self._classifier(*masks, *words, *weights)
            on_stage("classify")
            for row, i in enumerate(members):
                predictions[i] = MaskPredictions(
                    class_scores_QK=scores_BQK[row],
                    mask_logits_QHW=mask_logits_BQHW[row],
                    canvas_size=canvas_size,
                    image_size=_size(images[i]),
                )
        return [predictions[i] for i in range(len(images))]


def smallest_canvas(size: Size, canvases: Sequence[Size]) -> Size:
    """The canvas of the least area that holds an image; there is one."""
    holding = [canvas for canvas in canvases if size[0] <= canvas[0] and size[1] <= canvas[1]]
    assert holding, (size, canvases)
    return min(holding, key=lambda canvas: canvas[0] * canvas[1])


def _passes(canvas_sizes: Sequence[Size], most: int) -> Iterator[tuple[Size, list[int]]]:
    """Indices of images that share a pass of a graph, in order of their canvas's appearance."""
    for canvas_size in dict.fromkeys(canvas_sizes):
        members = [i for i, size in enumerate(canvas_sizes) if size == canvas_size]
        for first in range(0, len(members), most):
            yield canvas_size, members[first : first + most]


def _pad(image_3HW: Tensor, canvas: Size) -> Tensor:
    """Zeros at the right and the bottom."""
    height, width = _size(image_3HW)
    return F.pad(image_3HW, (0, canvas[1] - width, 0, canvas[0] - height))


def _size(image_3HW: Tensor) -> Size:
    return image_3HW.shape[-2], image_3HW.shape[-1]
