"""The model with its losses: what one training step computes.

Axes: B images, Q queries, K categories, W words, D embedding, H W pixels of the canvas.
Knows nothing of optimisers, schedules, devices or files.
"""

from collections.abc import Iterator, Sequence
from typing import Self

import torch
from torch import Tensor, nn

from odise_cli.model.classifier import CategoryHead, TextEmbeddings
from odise_cli.model.mask_generator import MaskOutputs
from odise_cli.model.odise import Odise
from odise_cli.training.criterion import (
    CaptionEmbeddings,
    Criterion,
    LayerPredictions,
    Losses,
    Predictions,
)
from odise_cli.training.targets import TrainingBatch
from odise_cli.vocabulary.prompt import PHOTO, fill_template


class TrainingObjective(nn.Module):
    """A model in training: a batch in, its losses out. This is what DDP wraps.

    Makes everything outside of CLIP and the diffusion model trainable and keeps these two frozen
    and in evaluation mode. Gradients pass through the frozen UNet to the implicit captioner.

    Args:
        model: changed in place: parameters are marked, their values only by an optimiser.
        criterion: the losses.
        text: the training vocabulary with label supervision, on any device; None with captions.
        recomputes_diffusion: trade time for memory: keep no activation of the UNet, but compute
            them again in the backward pass, one chunk of `crops_per_pass` crops at a time.
    """

    def __init__(
        self,
        model: Odise,
        criterion: Criterion,
        *,
        text: TextEmbeddings | None = None,
        recomputes_diffusion: bool = False,
    ) -> None:
        super().__init__()
        assert (text is not None) == (model.config.supervision == "label")
        self.model = model
        self.criterion = criterion
        self.text = text
        mark_trainable(model)
        model.diffusion.recomputes = recomputes_diffusion
        self.train()

    def train(self, mode: bool = True) -> Self:
        """Switch the trainable parts; the frozen ones are always in evaluation mode."""
        super().train(mode)
        self.model.clip.eval()
        self.model.diffusion.eval()
        return self

    def trainable_parameters(self) -> Iterator[nn.Parameter]:
        """The parameters that an optimiser should change."""
        return (parameter for parameter in self.parameters() if parameter.requires_grad)

    def forward(self, batch: TrainingBatch) -> Losses:
        """Losses of a batch.

        Args:
            batch: on the model's device.
        """
        return self.criterion(self.predict(batch), batch.targets)

    def predict(self, batch: TrainingBatch) -> Predictions:
        """What every layer predicts of a batch's canvases; captions are embedded, too."""
        outputs = self.model.predict_masks(batch.canvases_B3HW)
        layers = tuple(
            self._predict_layer(queries_BQD, mask_logits_BQHW, outputs)
            for queries_BQD, mask_logits_BQHW in zip(
                outputs.queries, outputs.mask_logits, strict=True
            )
        )
        if self.model.config.supervision == "label":
            return Predictions(layers=layers)
        captions = [target.words or () for target in batch.targets]
        return Predictions(
            layers=layers,
            captions=CaptionEmbeddings(
                word_embed_BWD=self.model.head.text_proj(self._embed_words(captions)),
                scale=self.model.mask_generator.mask_pooling.scale,
            ),
        )

    def _predict_layer(
        self, queries_BQD: Tensor, mask_logits_BQHW: Tensor, outputs: MaskOutputs
    ) -> LayerPredictions:
        generator = self.model.mask_generator
        pooling = generator.mask_pooling
        mask_embed_BQD = pooling(queries_BQD, mask_logits_BQHW, outputs.mask_features)
        if self.text is not None:
            assert isinstance(self.model.head, CategoryHead)
            text = self.text = self.text.to(queries_BQD.device, torch.float32)
            class_logits_BQK = torch.cat(
                self.model.head(mask_embed_BQD, pooling.scale, text), dim=-1
            )
        else:
            class_logits_BQK = generator.objectness_logits(queries_BQD)
        return LayerPredictions(
            mask_logits_BQHW=mask_logits_BQHW,
            class_logits_BQK=class_logits_BQK,
            mask_embed_BQD=mask_embed_BQD,
        )

    @torch.no_grad()
    def _embed_words(self, captions: Sequence[Sequence[str]]) -> Tensor:
        """Raw CLIP embeddings [B, W, D] of words in their template, each word embedded once."""
        words = sorted({word for caption in captions for word in caption})
        index = {word: i for i, word in enumerate(words)}
        embeds_ND = self.model.clip.embed_words([fill_template(PHOTO, word) for word in words])
        index_BW = torch.tensor([[index[word] for word in caption] for caption in captions])
        return embeds_ND[index_BW.to(embeds_ND.device)]


def mark_trainable(model: Odise) -> None:
    """Let everything learn but CLIP, the diffusion model and what conditions no other part."""
    model.requires_grad_(True)
    model.clip.requires_grad_(False)
    model.diffusion.requires_grad_(False)
    if model.config.features == "clip":
        # It conditions the diffusion model, which is not asked: no gradient ever arrives.
        model.captioner.requires_grad_(False)


def freeze_masks(model: Odise) -> None:
    """Let only what embeds masks and words learn, and what tells objects from none."""
    model.captioner.requires_grad_(False)
    model.pyramid.requires_grad_(False)
    model.mask_generator.requires_grad_(False)
    model.mask_generator.mask_pooling.requires_grad_(True)
    if model.mask_generator.class_embed is not None:
        model.mask_generator.class_embed.requires_grad_(True)
