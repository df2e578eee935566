"""What the engine asks of a network, whatever runs it: torch modules or exported graphs."""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor

from odise_cli.model.classifier import TextEmbeddings
from odise_cli.model.config import ModelConfig
from odise_cli.model.odise import MaskPredictions


class Network(Protocol):
    """Images and words in, mask predictions out."""

    config: ModelConfig
    alpha: float
    """Weight of CLIP's opinion for seen categories; may be set."""
    beta: float
    """The same for unseen ones."""

    @property
    def embed_dim(self) -> int:
        """Width of the embeddings of words."""

    def embed_words(self, sentences: Sequence[str]) -> Tensor:
        """[N, D] raw CLIP embeddings."""

    def begin(self, images: Sequence[Tensor]) -> list[list[Tensor]]:
        """What can be made of images without waiting for the device in between."""

    def __call__(
        self,
        images: Sequence[Tensor],
        text: TextEmbeddings,
        *,
        pyramids: Sequence[list[Tensor]] | None = ...,
        on_stage: Callable[[str], None] = ...,
    ) -> list[MaskPredictions]:
        """Segment images [3, H, W] in 0..1, at the test-time size; tells each finished stage.

        `pyramids` are what `begin` made of these images, and are used up.
        """
