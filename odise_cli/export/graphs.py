"""A network as graphs: what each computes, and how it is captured for any number of images.

Axes: B images, N words or crops, Q queries, K categories, C channels, D embedding, T tokens,
H W pixels of the canvas, S side of CLIP's pictures. Knows no files.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.export import Dim, ExportedProgram
from torch.export.graph_signature import InputKind
from torch.nn import functional as F

from odise_cli.errors import ExportError
from odise_cli.model.classifier import TextEmbeddings
from odise_cli.model.clip import resize_bicubic
from odise_cli.model.exported import Size
from odise_cli.model.feature_pyramid import PYRAMID_STRIDES, Box, crop_boxes
from odise_cli.model.odise import MaskDescriptions, Odise

CROP_LIMIT = 63
"""Crops of one pass. diffusers' upsampling takes another way from 64 on, and a graph has one."""
MASK_OUTPUTS = ("mask_logits", "mask_embeddings", "clip_embeddings", "objectness")


@dataclass(frozen=True, kw_only=True)
class Graph:
    """A captured graph, and what its inputs and outputs are called."""

    program: ExportedProgram
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    axes: tuple[dict[int, str], ...]
    """For each input, the names of its axes whose length is free."""


class VisionGraph(nn.Module):
    """Images on canvases of one size → masks, and all that classification needs of them."""

    def __init__(self, model: Odise, canvas: Size) -> None:
        super().__init__()
        self.model = model
        self.canvas = canvas
        # A loop over crops would be captured as a loop over so many.
        model.diffusion.vae_chunk = None

    def forward(self, canvases: Tensor, pictures: Tensor) -> tuple[Tensor, ...]:
        """Find masks.

        Args:
            canvases: [B, 3, H, W] RGB in 0..1, zero at the right and below the image.
            pictures: [B, 3, S, S] the images without padding, squashed.

        Returns:
            what `MASK_OUTPUTS` lists: [B, Q, H/4, W/4], [B, Q, D], [B, Q, D'], [B, Q, 1].
        """
        model = self.model
        dtype = model.clip.mean.dtype
        crop_size = model.config.crop_size
        boxes = crop_boxes(self.canvas, crop_size)
        crops_BN3HW = torch.stack(
            [
                resize_bicubic(canvases[:, :, top:bottom, left:right], (crop_size, crop_size))
                for top, bottom, left, right in boxes
            ],
            dim=1,
        )
        taps = model.extract_taps(crops_BN3HW.flatten(0, 1).to(dtype))
        levels = model.pyramid.project([tap.float() for tap in taps], boxes[0][1] - boxes[0][0])
        pyramid = [
            paste(level.unflatten(0, (-1, len(boxes))), boxes, self.canvas, stride)
            for level, stride in zip(levels, PYRAMID_STRIDES, strict=True)
        ]
        outputs = model.mask_generator(pyramid)
        mask_logits_BQHW = outputs.mask_logits[-1]
        clip_embed_BQD = model.clip.embed_masks_in(pictures.to(dtype), mask_logits_BQHW).float()
        masks = model.describe(outputs, clip_embed_BQD)
        return (
            mask_logits_BQHW,
            masks.mask_embed_BQD,
            masks.clip_embed_BQD,
            masks.objectness_BQ1,
        )


class TextGraph(nn.Module):
    """Token ids → raw CLIP embeddings."""

    def __init__(self, model: Odise) -> None:
        super().__init__()
        self.clip = model.clip.model

    def forward(self, tokens: Tensor) -> tuple[Tensor]:
        """[N, D] from [N, T] int64."""
        return (self.clip.encode_text(tokens).float(),)


class ClassifierGraph(nn.Module):
    """What a vision graph says of masks, and embedded words → class scores."""

    def __init__(self, model: Odise) -> None:
        super().__init__()
        self.model = model

    def forward(
        self,
        mask_embeddings: Tensor,
        clip_embeddings: Tensor,
        objectness: Tensor,
        head_words: Tensor,
        photo_words: Tensor,
        categories: Tensor,
        seen: Tensor,
        alpha: Tensor,
        beta: Tensor,
    ) -> tuple[Tensor]:
        """[B, Q, K + 1] log-probabilities, the last of being none; see `TextEmbeddings`."""
        masks = MaskDescriptions(
            mask_embed_BQD=mask_embeddings,
            clip_embed_BQD=clip_embeddings,
            objectness_BQ1=objectness,
        )
        text = TextEmbeddings(
            head_ND=head_words, photo_ND=photo_words, category_N=categories, seen_K=seen
        )
        return (self.model.score(masks, text, alpha=alpha, beta=beta),)


def paste(crops_BNCHW: Tensor, boxes: Sequence[Box], canvas: Size, stride: int) -> Tensor:
    """Maps [B, C, H/stride, W/stride] from the crops' maps, averaged where they overlap.

    As `FeaturePyramid` does it, but nothing is written in place: that would be a scatter with an
    index for each element.
    """
    height, width = canvas[0] // stride, canvas[1] // stride
    total = torch.zeros(())
    count_HW = torch.zeros(height, width)
    for crops_BCHW, box in zip(crops_BNCHW.unbind(1), boxes, strict=True):
        top, bottom, left, right = (edge // stride for edge in box)
        around = (left, width - right, top, height - bottom)
        total = total + F.pad(crops_BCHW, around)
        count_HW = count_HW + F.pad(torch.ones(bottom - top, right - left), around)
    return total / count_HW


def max_images(canvas: Size, crop_size: int) -> int:
    """How many images a pass of a vision graph takes; 0 where the canvas is too large for any."""
    return CROP_LIMIT // len(crop_boxes(canvas, crop_size))


def capture_classifier(model: Odise) -> Graph:
    """The graph of the classifier, for any numbers of images, words and categories."""
    hidden, dim = model.config.mask_generator.hidden_dim, model.embed_dim
    queries = model.config.mask_generator.num_queries
    batch, words, categories = (Dim(name, min=1) for name in ("batch", "words", "categories"))
    inputs = {
        "mask_embeddings": (torch.rand(2, queries, hidden), {0: batch}),
        "clip_embeddings": (torch.rand(2, queries, dim), {0: batch}),
        "objectness": (torch.rand(2, queries, 1), {0: batch}),
        "head_words": (torch.rand(5, dim), {0: words}),
        "photo_words": (torch.rand(5, dim), {0: words}),
        "categories": (torch.tensor([0, 1, 1, 2, 2]), {0: words}),
        "seen": (torch.tensor([True, False, True]), {0: categories}),
        "alpha": (torch.tensor(0.5), {}),
        "beta": (torch.tensor(0.5), {}),
    }
    return _capture(ClassifierGraph(model), inputs, ("class_scores",))


def capture_text(model: Odise) -> Graph:
    """The graph of the text tower, for any number of sentences."""
    tokens_NT = torch.zeros(2, model.clip.model.context_length, dtype=torch.int64)
    # The end mark has the highest number.
    tokens_NT[:, 1] = model.clip.model.vocab_size - 1
    inputs = {"tokens": (tokens_NT, {0: Dim("sentences", min=1)})}
    return _capture(TextGraph(model), inputs, ("text_embeddings",))


def capture_vision(model: Odise, canvas: Size) -> Graph:
    """The graph of all that sees, for canvases of one size and any number of images.

    Raises:
        ExportError: the model does something that no graph can.
    """
    if model.config.clip_masks == "cropped":
        raise ExportError(
            "odise.json: clip_masks is 'cropped'. Expected 'pooled': cutting each mask out of its "
            "picture is no operator of a graph. Export a model with pooled masks."
        )
    side, most = model.clip.image_size, max_images(canvas, model.config.crop_size)
    # A single image as the example would be captured as "always one".
    num = min(2, most)
    batch = {0: Dim("batch", min=1, max=most)} if num > 1 else {}
    inputs = {
        "canvases": (torch.rand(num, 3, *canvas), batch),
        "pictures": (torch.rand(num, 3, side, side), batch),
    }
    return _capture(VisionGraph(model, canvas), inputs, MASK_OUTPUTS)


def halve(model: Odise) -> None:
    """Frozen networks in fp16; what is trained, 2 % of the weights, decides in fp32."""
    for part in (model.clip, model.diffusion, model.captioner):
        part.half()


def _capture(
    module: nn.Module, inputs: Mapping[str, tuple[Tensor, dict[int, Any]]], outputs: tuple[str, ...]
) -> Graph:
    examples = tuple(example for example, _ in inputs.values())
    shapes = {name: dims for name, (_, dims) in inputs.items()}
    with named_operators(type(module).__name__), torch.no_grad():
        program = torch.export.export(module.eval(), examples, dynamic_shapes=shapes)
    _drop_unused(program)
    return Graph(
        program=program,
        inputs=tuple(inputs),
        outputs=outputs,
        axes=tuple({axis: dim.__name__ for axis, dim in dims.items()} for dims in shapes.values()),
    )


def _drop_unused(program: ExportedProgram) -> None:
    """Forget the weights that no operator reads: a part of a model is captured with all of it."""
    signature = program.graph_signature
    nodes = {node.name: node for node in program.graph.nodes if node.op == "placeholder"}
    kept = []
    for spec in signature.input_specs:
        is_weight = spec.kind in (InputKind.PARAMETER, InputKind.BUFFER)
        if is_weight and spec.target is not None and not nodes[spec.arg.name].users:
            program.graph.erase_node(nodes[spec.arg.name])
            program.state_dict.pop(spec.target, None)
            program.constants.pop(spec.target, None)
        else:
            kept.append(spec)
    signature.input_specs[:] = kept
    program.graph_module.recompile()


@contextmanager
def named_operators(where: str) -> Iterator[None]:
    """What cannot be exported, as an error that names it.

    Raises:
        ExportError: instead of whatever torch raised.
    """
    try:
        yield
    except RuntimeError as error:
        causes = [error]
        while isinstance(cause := causes[-1].__cause__, RuntimeError):
            causes.append(cause)
        text = "\n".join(map(str, causes))
        operator = re.search(r"OpOverload\(op='([\w.:]+)'|\b(aten[.:]+\w+)", text)
        named = operator[1] or operator[2] if operator else text.strip().partition("\n")[0]
        raise ExportError(
            f"{where}: {named} cannot be exported. Expected operators that the format has. "
            "Use another --format (safetensors takes every model), or another version of torch "
            "and onnxscript."
        ) from error
