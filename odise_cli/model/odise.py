"""Start here: image → features → masks → open-vocabulary logits.

Axes: B images, Q queries, K categories, D embedding, H W pixels of the padded canvas.
Knows nothing of files, vocabularies' words, output sizes or devices.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional as F

from odise_cli.model.classifier import (
    CategoryHead,
    TextEmbeddings,
    WordHead,
    cosine_logits,
    fuse,
    max_over_words,
    with_objectness,
)
from odise_cli.model.clip import TEXT_CONTEXT, Clip, resize_bicubic
from odise_cli.model.clip_features import clip_tap_channels, clip_taps
from odise_cli.model.config import ModelConfig
from odise_cli.model.cutouts import embed_cutouts
from odise_cli.model.diffusion_features import DiffusionFeatures, cat_maps
from odise_cli.model.feature_pyramid import FeaturePyramid, crop_boxes
from odise_cli.model.implicit_captioner import ImplicitCaptioner
from odise_cli.model.mask_generator import MaskGenerator, MaskOutputs

CANVAS_MULTIPLE = 64
"""Canvas sides are multiples of this: the UNet's coarsest stride times the latent's."""


@dataclass(frozen=True, kw_only=True)
class MaskPredictions:
    """What the network says of one image, before any threshold."""

    class_scores_QK: Tensor
    """[Q, K + 1] log-probabilities; the last column is "no object"."""
    mask_logits_QHW: Tensor
    """Stride 4 of the canvas."""
    canvas_size: tuple[int, int]
    """(height, width) of the padded canvas."""
    image_size: tuple[int, int]
    """(height, width) of the image on the canvas."""


@dataclass(frozen=True, kw_only=True)
class MaskDescriptions:
    """What the network says of the masks of images, before it has heard any words."""

    mask_embed_BQD: Tensor
    """From the diffusion model's features, not normalised."""
    clip_embed_BQD: Tensor
    """By CLIP, raw."""
    objectness_BQ1: Tensor
    """Caption supervision: the probability of being an object. Label supervision: the logit of
    being none, which competes with those of the words."""


class Odise(nn.Module):
    """The whole network; frozen parts (diffusion, CLIP) and trainable parts side by side."""

    def __init__(
        self,
        config: ModelConfig,
        *,
        unet: UNet2DConditionModel,
        vae: AutoencoderKL,
        clip: nn.Module,
        seed: int = 42,
    ) -> None:
        super().__init__()
        self.config = config
        self.alpha, self.beta = config.alpha, config.beta
        self.crops_per_pass: int | None = None
        """Crops that share a diffusion pass; None is all. Bounds the memory of panoramas."""
        self.clip = Clip(clip)
        self.diffusion = DiffusionFeatures(unet, vae, seed=seed, timestep=config.timestep)
        self.captioner = ImplicitCaptioner(
            self.clip.embed_dim,
            text_dim=unet.config.cross_attention_dim,
            num_tokens=TEXT_CONTEXT,
            time_embed_dim=unet.time_embedding.linear_2.out_features,
        )
        generator = config.mask_generator
        tap_channels = (
            clip_tap_channels(self.clip)
            if config.features == "clip"
            else self.diffusion.tap_channels
        )
        self.pyramid = FeaturePyramid(tap_channels, generator.feature_channels)
        self.mask_generator = MaskGenerator(generator, config.supervision)
        head = CategoryHead if config.supervision == "label" else WordHead
        self.head = head(self.clip.embed_dim, generator.hidden_dim)

    @property
    def embed_dim(self) -> int:
        """Width of the embeddings of words."""
        return self.clip.embed_dim

    def embed_words(self, sentences: Sequence[str]) -> Tensor:
        """[N, D] raw CLIP embeddings."""
        return self.clip.embed_words(sentences)

    def forward(
        self,
        images: Sequence[Tensor],
        text: TextEmbeddings,
        *,
        pyramids: Sequence[list[Tensor]] | None = None,
        on_stage: Callable[[str], None] = lambda _: None,
    ) -> list[MaskPredictions]:
        """Segment images of any sizes.

        Args:
            images: each [3, H, W], RGB in 0..1, at the test-time size, not padded.
            text: the vocabulary.
            pyramids: what `begin` made of these images, used up here; None makes them.
            on_stage: called with `features`, `masks` or `classify` when that part is done.
        """
        canvases = [pad_to_canvas(image) for image in images]
        if pyramids is None:
            pyramids = self.extract_features(canvases)
            on_stage("features")
        predictions: dict[int, MaskPredictions] = {}
        for members in _same_size_groups(canvases):
            group = [pyramids[i] for i in members]
            outputs = self.mask_generator(cat_maps(group))
            on_stage("masks")
            scores_BQK = self.classify([images[i] for i in members], outputs, text)
            on_stage("classify")
            for row, i in enumerate(members):
                predictions[i] = MaskPredictions(
                    class_scores_QK=scores_BQK[row],
                    mask_logits_QHW=outputs.mask_logits[-1][row],
                    canvas_size=_size(canvases[i]),
                    image_size=_size(images[i]),
                )
        return [predictions[i] for i in range(len(images))]

    def begin(self, images: Sequence[Tensor]) -> list[list[Tensor]]:
        """The part of the work that comes first and waits for nothing: nine tenths of it.

        Args:
            images: each [3, H, W], RGB in 0..1, at the test-time size, not padded.
        """
        return self.extract_features([pad_to_canvas(image) for image in images])

    def extract_features(self, canvases: Sequence[Tensor]) -> list[list[Tensor]]:
        """Feature pyramid of each canvas; the crops of all canvases share one diffusion pass.

        Args:
            canvases: each [3, H, W], RGB in 0..1, sides multiples of 64.

        Returns:
            for each canvas maps [1, C, H/s, W/s] at strides 4, 8, 16, 32.
        """
        crop_size = self.config.crop_size
        boxes = [crop_boxes(_size(canvas), crop_size) for canvas in canvases]
        crops_N3HW = torch.cat(
            [
                resize_bicubic(canvas[None, :, top:bottom, left:right], (crop_size, crop_size))
                for canvas, canvas_boxes in zip(canvases, boxes, strict=True)
                for top, bottom, left, right in canvas_boxes
            ]
        )
        chunks = crops_N3HW.split(self.crops_per_pass or len(crops_N3HW))
        taps = cat_maps([self.extract_taps(chunk) for chunk in chunks])
        counts = [len(canvas_boxes) for canvas_boxes in boxes]
        by_canvas = zip(*(tap.split(counts) for tap in taps), strict=True)
        return [
            self.pyramid(canvas_taps, canvas_boxes, _size(canvas))
            for canvas_taps, canvas_boxes, canvas in zip(by_canvas, boxes, canvases, strict=True)
        ]

    def predict_masks(self, canvases_B3HW: Tensor) -> MaskOutputs:
        """The masks of every decoder layer.

        Args:
            canvases_B3HW: RGB in 0..1, sides multiples of 64.
        """
        return self.mask_generator(cat_maps(self.extract_features(list(canvases_B3HW))))

    def extract_taps(self, crops_N3HW: Tensor) -> list[Tensor]:
        """What the pyramid is made from: eight maps of each crop, strides as in `TAP_STRIDES`."""
        if self.config.features == "clip":
            return clip_taps(self.clip, crops_N3HW)
        text_NTC, time_NE = self.captioner(self.clip.embed_images(crops_N3HW))
        return self.diffusion(crops_N3HW, text_NTC, time_NE)

    def classify(
        self, images: Sequence[Tensor], outputs: MaskOutputs, text: TextEmbeddings
    ) -> Tensor:
        """Fused class scores [B, Q, K + 1] of the last layer's masks.

        Args:
            images: each [3, H, W], RGB in 0..1, not padded.
            outputs: predictions for these images' canvases.
            text: the vocabulary.
        """
        if self.config.clip_masks == "pooled":
            clip_embed_BQD = self.clip.embed_masks(images, outputs.mask_logits[-1])
        else:
            clip_embed_BQD = embed_cutouts(self.clip, images, outputs.mask_logits[-1])
        descriptions = self.describe(outputs, clip_embed_BQD)
        return self.score(descriptions, text, alpha=self.alpha, beta=self.beta)

    def describe(self, outputs: MaskOutputs, clip_embed_BQD: Tensor) -> MaskDescriptions:
        """All that classification needs of the last layer's masks; knows no words.

        Args:
            outputs: predictions of the mask generator.
            clip_embed_BQD: what CLIP sees in those masks.
        """
        queries_BQD, mask_logits_BQHW = outputs.queries[-1], outputs.mask_logits[-1]
        pooling = self.mask_generator.mask_pooling
        mask_embed_BQD = pooling(queries_BQD, mask_logits_BQHW, outputs.mask_features)
        if isinstance(self.head, CategoryHead):
            objectness_BQ1 = self.head.null_logits(mask_embed_BQD, pooling.scale)
        else:
            logits_BQ2 = self.mask_generator.objectness_logits(queries_BQD)
            objectness_BQ1 = logits_BQ2.softmax(-1)[..., :1]
        return MaskDescriptions(
            mask_embed_BQD=mask_embed_BQD,
            clip_embed_BQD=clip_embed_BQD,
            objectness_BQ1=objectness_BQ1,
        )

    def score(
        self,
        masks: MaskDescriptions,
        text: TextEmbeddings,
        *,
        alpha: float | Tensor,
        beta: float | Tensor,
    ) -> Tensor:
        """Fused class scores [B, Q, K + 1].

        Args:
            masks: what `describe` says of them.
            text: the vocabulary.
            alpha: weight of CLIP's opinion for seen categories, 0..1.
            beta: the same for unseen ones.
        """
        scale = self.mask_generator.mask_pooling.scale
        if isinstance(self.head, CategoryHead):
            ours_BQK = self.head.category_logits(masks.mask_embed_BQD, scale, text)
            none_BQ1 = torch.cat([ours_BQK, masks.objectness_BQ1], dim=-1).softmax(-1)[..., -1:]
            object_BQ1 = 1 - none_BQ1
        else:
            ours_BQK = self.head(masks.mask_embed_BQD, scale, text)
            object_BQ1 = masks.objectness_BQ1
        clip_BQN = cosine_logits(masks.clip_embed_BQD, text.photo_ND, self.clip.logit_scale)
        clip_BQK = max_over_words(clip_BQN, text)
        fused_BQK = fuse(ours_BQK, clip_BQK, text.seen_K, alpha=alpha, beta=beta)
        return with_objectness(fused_BQK, object_BQ1)


def pad_to_canvas(image_3HW: Tensor) -> Tensor:
    """Pad with zeros at the right and the bottom to multiples of `CANVAS_MULTIPLE`."""
    height, width = _size(image_3HW)
    return F.pad(image_3HW, (0, -width % CANVAS_MULTIPLE, 0, -height % CANVAS_MULTIPLE))


def _same_size_groups(canvases: Sequence[Tensor]) -> list[list[int]]:
    """Indices of canvases that can share one pass of the mask generator."""
    groups: dict[tuple[int, int], list[int]] = {}
    for i, canvas in enumerate(canvases):
        groups.setdefault(_size(canvas), []).append(i)
    return list(groups.values())


def _size(image_CHW: Tensor) -> tuple[int, int]:
    return image_CHW.shape[-2], image_CHW.shape[-1]
