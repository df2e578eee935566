"""The architecture of a model folder: what `odise.json` says, as a frozen dataclass.

The parts that libraries own (UNet, VAE, CLIP) are configured by their own files beside it.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from odise_cli.errors import CheckpointError

FORMAT = 1
"""Version of the model folder format."""
NUM_TIMESTEPS = 1000
"""Noise levels of the diffusion model."""


@dataclass(frozen=True, kw_only=True)
class MaskGeneratorConfig:
    """Widths and depths of pixel decoder and masked-attention decoder (Mask2Former)."""

    feature_channels: int = 512
    """Channels of the feature pyramid, at every level."""
    hidden_dim: int = 256
    """Width of queries, pixel decoder and mask features."""
    num_heads: int = 8
    num_queries: int = 100
    encoder_layers: int = 6
    encoder_feedforward_dim: int = 1024
    decoder_layers: int = 9
    decoder_feedforward_dim: int = 2048


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything about a model that its weights do not say themselves."""

    supervision: Literal["label", "caption"]
    """`label`: category words and a null embedding; `caption`: words and binary objectness."""
    short_side: int = 1024
    """Test-time size: the short side of the image, pixels."""
    long_side: int = 2560
    """Test-time size: the long side is at most this, pixels."""
    crop_size: int = 512
    """Side of the crops that the diffusion model sees, pixels; a multiple of 64."""
    alpha: float = 0.3
    """Weight of the CLIP classifier for categories seen in training."""
    beta: float = 0.7
    """Weight of the CLIP classifier for unseen categories."""
    training_words: tuple[str, ...] = ()
    """Words of the training vocabulary; a category with any of them counts as seen."""
    features: Literal["diffusion", "clip"] = "diffusion"
    """What the masks are made from; `clip`, patch tokens of CLIP instead, is for comparison."""
    timestep: int = 0
    """Noise level at which the diffusion model sees an image, 0 (hardly any) to 999."""
    clip_masks: Literal["pooled", "cropped"] = "pooled"
    """How CLIP's classifier sees a mask: by a mask token in the image, or cut out of it."""
    mask_generator: MaskGeneratorConfig = MaskGeneratorConfig()
    is_trained: bool = True
    """False for weights that were only initialised."""
    notice: str = ""
    """One line that users of the weights must see: licence or limits."""

    def __post_init__(self) -> None:
        for name, value, allowed in (
            ("supervision", self.supervision, ("label", "caption")),
            ("features", self.features, ("diffusion", "clip")),
            ("clip_masks", self.clip_masks, ("pooled", "cropped")),
        ):
            if value not in allowed:
                raise CheckpointError(
                    f"odise.json: {name} is {value!r}. Expected {' or '.join(map(repr, allowed))}. "
                    "Use a model folder written by odise."
                )
        if not 0 <= self.timestep < NUM_TIMESTEPS:
            raise CheckpointError(
                f"odise.json: timestep is {self.timestep}. Expected 0 to {NUM_TIMESTEPS - 1}. "
                "Correct the file."
            )
        if self.crop_size < 64 or self.crop_size % 64:
            raise CheckpointError(
                f"odise.json: crop_size is {self.crop_size}. Expected a multiple of 64. "
                "Correct the file."
            )

    def to_json(self) -> dict[str, Any]:
        """The content of `odise.json`."""
        return {"format": FORMAT, **dataclasses.asdict(self)}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "ModelConfig":
        """Read the content of `odise.json`.

        Raises:
            CheckpointError: if the format is newer, or a key is missing or unknown.
        """
        values = dict(content)
        found = values.pop("format", None)
        if found != FORMAT:
            raise CheckpointError(
                f"odise.json: format is {found!r}. Expected {FORMAT}. "
                "Export the model again with this version of odise."
            )
        try:
            generator = MaskGeneratorConfig(**values.pop("mask_generator", {}))
            words = tuple(values.pop("training_words", ()))
            return cls(mask_generator=generator, training_words=words, **values)
        except TypeError as error:
            raise CheckpointError(
                f"odise.json: {error}. Expected the keys of format {FORMAT}. "
                "Export the model again with this version of odise."
            ) from error


PUBLISHED_LABEL = ModelConfig(supervision="label", alpha=0.3, beta=0.7)
"""The published label-supervised model, without its training words."""
PUBLISHED_CAPTION = ModelConfig(supervision="caption", alpha=0.35, beta=0.65)
"""The published caption-supervised model, without its training words."""
