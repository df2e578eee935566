"""Image → pseudo-caption: what conditions the UNet instead of a sentence.

Axes: B crops, D CLIP embedding, T = 77 text tokens, C text width, E time embedding.
Knows nothing of CLIP itself: it receives the image embedding.
"""

import torch
from torch import Tensor, nn


class PositionedLinear(nn.Module):
    """A linear map of one vector, plus a learned offset for each position."""

    def __init__(self, in_dim: int, out_dim: int, num_positions: int) -> None:
        super().__init__()
        self.linear = nn.Linear(in_dim, out_dim)
        self.positional_embedding = nn.Parameter(torch.zeros(1, num_positions, out_dim))

    def forward(self, embeds_BD: Tensor) -> Tensor:
        """[B, positions, out] from [B, in]."""
        return self.linear(embeds_BD).unsqueeze(1) + self.positional_embedding


class ImplicitCaptioner(nn.Module):
    """Two gated projections of CLIP's image embedding; at gate 0 the caption is empty.

    Source: paper, section 3.3 (implicit captioner).
    """

    empty_caption: Tensor

    def __init__(
        self, embed_dim: int, *, text_dim: int, num_tokens: int, time_embed_dim: int
    ) -> None:
        super().__init__()
        self.alpha_cond = nn.Parameter(torch.zeros(1, num_tokens, text_dim))
        self.alpha_cond_time_embed = nn.Parameter(torch.zeros(time_embed_dim))
        self.clip_project = PositionedLinear(embed_dim, text_dim, num_tokens)
        self.time_embed_project = PositionedLinear(embed_dim, time_embed_dim, 1)
        # Stable Diffusion's encoding of the empty sentence; set by the checkpoint.
        self.register_buffer("empty_caption", torch.zeros(1, num_tokens, text_dim))

    def forward(self, embeds_BD: Tensor) -> tuple[Tensor, Tensor]:
        """Turn image embeddings into conditions.

        Args:
            embeds_BD: CLIP's image embeddings, projected, not normalised.

        Returns:
            text condition [B, T, C] and a vector [B, E] for the UNet's time embedding.
        """
        gate_1TC = self.alpha_cond.tanh()
        text_BTC = self.empty_caption + gate_1TC * self.clip_project(embeds_BD)
        gate_E = self.alpha_cond_time_embed.tanh()
        time_B1E = gate_E * self.time_embed_project(embeds_BD)
        return text_BTC, time_B1E.squeeze(1)
