"""Mask embeddings · text embeddings → category probabilities; two opinions fused into one.

Axes: B images, Q queries, N words, K categories, D embedding.
Knows nothing of where words come from, nor of masks.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

_EPSILON = 1e-8


@dataclass(frozen=True, kw_only=True)
class TextEmbeddings:
    """A vocabulary as the classifiers see it; computed once per run."""

    head_ND: Tensor
    """Raw CLIP embeddings of the words in the head's template."""
    photo_ND: Tensor
    """Raw CLIP embeddings of the words in "a photo of a {}."."""
    category_N: Tensor
    """int64, ascending: which category each word belongs to; every category has one."""
    seen_K: Tensor
    """bool: whether a word of the category belongs to the training vocabulary."""

    @property
    def num_categories(self) -> int:
        """K."""
        return self.seen_K.shape[0]

    def to(self, device: torch.device, dtype: torch.dtype) -> "TextEmbeddings":
        """The same on a device, embeddings in a dtype."""
        return TextEmbeddings(
            head_ND=self.head_ND.to(device, dtype),
            photo_ND=self.photo_ND.to(device, dtype),
            category_N=self.category_N.to(device),
            seen_K=self.seen_K.to(device),
        )


class CategoryHead(nn.Module):
    """Label supervision: category words against mask embeddings, with a null embedding."""

    def __init__(self, text_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.text_proj = nn.Linear(text_dim, hidden_dim)
        self.null_embed = nn.Parameter(torch.randn(1, text_dim))

    def forward(
        self, mask_embed_BQD: Tensor, scale: Tensor, text: TextEmbeddings
    ) -> tuple[Tensor, Tensor]:
        """Category logits [B, Q, K] and the null logit [B, Q, 1]."""
        logits_BQK = self.category_logits(mask_embed_BQD, scale, text)
        return logits_BQK, self.null_logits(mask_embed_BQD, scale)

    def category_logits(
        self, mask_embed_BQD: Tensor, scale: Tensor, text: TextEmbeddings
    ) -> Tensor:
        """Category logits [B, Q, K]."""
        logits_BQN = cosine_logits(mask_embed_BQD, self.text_proj(text.head_ND), scale)
        return max_over_words(logits_BQN, text)

    def null_logits(self, mask_embed_BQD: Tensor, scale: Tensor) -> Tensor:
        """Logit of being none of any categories, [B, Q, 1]."""
        return cosine_logits(mask_embed_BQD, self.text_proj(self.null_embed), scale)


class WordHead(nn.Module):
    """Caption supervision: words against mask embeddings, without a null embedding."""

    def __init__(self, text_dim: int, hidden_dim: int) -> None:
        super().__init__()
        self.text_proj = nn.Linear(text_dim, hidden_dim)

    def forward(self, mask_embed_BQD: Tensor, scale: Tensor, text: TextEmbeddings) -> Tensor:
        """Category logits [B, Q, K]."""
        logits_BQN = cosine_logits(mask_embed_BQD, self.text_proj(text.head_ND), scale)
        return max_over_words(logits_BQN, text)


def cosine_logits(embeds_BQD: Tensor, text_ND: Tensor, scale: Tensor) -> Tensor:
    """Scale · cosine of every mask and every word, [B, Q, N]."""
    similarity = F.normalize(embeds_BQD, dim=-1) @ F.normalize(text_ND, dim=-1).T
    return scale * similarity


def max_over_words(logits_BQN: Tensor, text: TextEmbeddings) -> Tensor:
    """Best word of each category, [B, Q, K]."""
    shape = (*logits_BQN.shape[:-1], text.num_categories)
    best = logits_BQN.new_full(shape, float("-inf"))
    index = text.category_N.expand_as(logits_BQN)
    return best.scatter_reduce(-1, index, logits_BQN, reduce="amax")


def fuse(
    ours_BQK: Tensor,
    clip_BQK: Tensor,
    seen_K: Tensor,
    *,
    alpha: float | Tensor,
    beta: float | Tensor,
) -> Tensor:
    """Geometric mean of two classifiers' probabilities, as unnormalised log-probabilities.

    Log-softmax instead of the logarithm of a softmax: equal where that is finite, and finite
    where a probability underflows.

    Args:
        ours_BQK: logits from the mask embeddings.
        clip_BQK: logits from CLIP's mask tokens.
        seen_K: bool; alpha is CLIP's weight for these categories, beta for the others.
        alpha: 0..1.
        beta: 0..1.

    Source: paper, section 3.6 (equation 6), with the published per-category weights.
    """
    weight_K = torch.where(seen_K, alpha, beta).to(ours_BQK.dtype)
    return (1 - weight_K) * ours_BQK.log_softmax(-1) + weight_K * clip_BQK.log_softmax(-1)


def with_objectness(fused_BQK: Tensor, objectness_BQ1: Tensor) -> Tensor:
    """Class scores of the inference functions, [B, Q, K + 1], log-probabilities.

    Args:
        fused_BQK: fused category logits.
        objectness_BQ1: probability that the query is an object; the last column is that it is
            none.
    """
    probabilities = fused_BQK.softmax(-1) * objectness_BQ1
    both = torch.cat([probabilities, 1 - objectness_BQ1], dim=-1)
    return (both + _EPSILON).log()
