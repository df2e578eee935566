"""CLIP behind one file: words, whole images and mask tokens, from one copy of the weights.

Axes: B images, N words or tokens, Q masks, D embedding, T patches + 1, H W pixels.
Knows nothing of categories, templates or fusion.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import open_clip
import torch
from torch import Tensor, nn
from torch.nn import functional as F

_MEAN = (0.48145466, 0.4578275, 0.40821073)
_STD = (0.26862954, 0.26130258, 0.27577711)
TEXT_CONTEXT = 77
"""Tokens that the text encoder sees, start and end included."""
_LENGTH_STEP = 8


class Clip(nn.Module):
    """An open_clip model with a vision transformer, seen through the three uses of it here."""

    mean: Tensor
    std: Tensor

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        # open_clip is untyped, and of nn.Module's attributes mypy knows nothing.
        self.model: Any = model
        self.register_buffer("mean", torch.tensor(_MEAN).view(1, 3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(_STD).view(1, 3, 1, 1), persistent=False)

    @property
    def image_size(self) -> int:
        """Side of the square images that the vision tower takes, pixels."""
        return int(self.model.visual.image_size[0])

    @property
    def patch_size(self) -> int:
        """Side of the square patches that are a token each, pixels."""
        return int(self.model.visual.patch_size[0])

    @property
    def embed_dim(self) -> int:
        """Width D of the common space of words and images."""
        return int(self.model.visual.output_dim)

    @property
    def logit_scale(self) -> Tensor:
        """CLIP's own temperature, at most 100."""
        return self.model.logit_scale.exp().clamp(max=100.0)

    def embed_words(self, words: Sequence[str]) -> Tensor:
        """Embed words or sentences, raw: projected, not normalised.

        No token sees those behind it, so what follows the longest sentence is left out.

        Returns:
            [N, D] text embeddings.
        """
        tokens_NT = tokenize(words, context=self.model.context_length)
        # The end mark has the highest number of all tokens.
        end_N = tokens_NT.argmax(dim=-1)
        length = _rounded_length(int(end_N.max()) + 1)
        states_NTC = self._encode_tokens(tokens_NT[:, :length])
        ends_NC = states_NTC[torch.arange(len(end_N)), end_N.to(states_NTC.device)]
        return ends_NC @ self.model.text_projection

    def encode_states(self, sentences: Sequence[str]) -> Tensor:
        """The text tower's last hidden states: what a diffusion model is conditioned on.

        Returns:
            [N, T, C], layer-normed, not projected; T tokens, C text width.
        """
        context_length = self.model.context_length
        return self._encode_tokens(tokenize(sentences, context=context_length))

    def _encode_tokens(self, tokens_NT: Tensor) -> Tensor:
        """[N, T, C] layer-normed states of the text tower."""
        model, length = self.model, tokens_NT.shape[1]
        tokens_NT = tokens_NT.to(model.token_embedding.weight.device)
        states_NTC = model.token_embedding(tokens_NT) + model.positional_embedding[:length]
        bias_1TT = model.attn_mask[None, :length, :length]
        for block in model.transformer.resblocks:
            states_NTC = _attend(block, states_NTC, states_NTC, bias_1TT)
        return model.ln_final(states_NTC)

    def embed_images(self, images_B3HW: Tensor) -> Tensor:
        """Embed crops, raw: projected, not normalised.

        The resize has no antialiasing, as in training; antialiasing changes the embedding by
        tens of per cent.

        Args:
            images_B3HW: RGB in 0..1, any size; what is not square loses its ends.

        Returns:
            [B, D] image embeddings.
        """
        tokens_BTC = self._embed_patches(_central_square(images_B3HW, self.image_size))
        *blocks, last = self.model.visual.transformer.resblocks
        for block in blocks:
            tokens_BTC = _attend(block, tokens_BTC, tokens_BTC)
        return self._project(_attend(last, tokens_BTC[:, :1], tokens_BTC)).squeeze(1)

    def embed_patches(self, images_B3HW: Tensor, depths: Sequence[int]) -> list[Tensor]:
        """Patch tokens as maps, after each of some layers.

        Args:
            images_B3HW: RGB in 0..1, square; resized to the tower's size.
            depths: after how many blocks, 1 or more, ascending; repetitions are allowed.

        Returns:
            for each depth [B, C, h, w]: the tower's grid of patches, before projection.
        """
        visual = self.model.visual
        size = (self.image_size, self.image_size)
        tokens_BTC = self._embed_patches(resize_bicubic(images_B3HW, size))
        maps = []
        for depth, block in enumerate(visual.transformer.resblocks[: depths[-1]], start=1):
            tokens_BTC = block(tokens_BTC)
            # The class token comes first.
            patches_BChw = tokens_BTC[:, 1:].mT.unflatten(2, tuple(visual.grid_size))
            maps += [patches_BChw] * depths.count(depth)
        return maps

    def embed_windows(self, windows_B3HW: Tensor, origins_B2: Tensor) -> Tensor:
        """Embed parts of pictures at their places, as if the rest of the picture were hidden.

        Args:
            windows_B3HW: RGB in 0..1, sides multiples of the patch size.
            origins_B2: int64, row and column of each window's first patch in its picture.

        Returns:
            [B, D] image embeddings, raw.
        """
        visual = self.model.visual
        device = origins_B2.device
        height, width = (side // self.patch_size for side in windows_B3HW.shape[2:])
        rows_BH = origins_B2[:, :1] + torch.arange(height, device=device)
        columns_BW = origins_B2[:, 1:] + torch.arange(width, device=device)
        patches_BHW = rows_BH[:, :, None] * visual.grid_size[1] + columns_BW[:, None]
        # The class token's position comes first.
        index_BT = F.pad(1 + patches_BHW.flatten(1), (1, 0))
        # Indexing would add up its gradients in an order that differs from run to run.
        position_BTC = F.embedding(index_BT, visual.positional_embedding)
        tokens_BTC = visual.transformer(self._embed_patches(windows_B3HW, position_BTC))
        return self._project(tokens_BTC[:, 0])

    def embed_masks(self, images: Sequence[Tensor], mask_logits_BQHW: Tensor) -> Tensor:
        """Embed what lies inside each mask, by one mask token per mask.

        A mask token starts as the class token and attends to the class token and the patches
        that its mask touches; nothing attends to it, so all of an image's masks share one pass.
        Image and masks are squashed to the tower's size independently of each other.

        Args:
            images: B images [3, H, W], RGB in 0..1, not padded, of any sizes.
            mask_logits_BQHW: mask logits of the padded canvas, any resolution.

        Returns:
            [B, Q, D] mask embeddings, raw.

        Source: MaskCLIP's mask class tokens (paper, section 3.5 and supplement).
        """
        return self.embed_masks_in(squash(images, self.image_size), mask_logits_BQHW)

    def embed_masks_in(self, pictures_B3SS: Tensor, mask_logits_BQHW: Tensor) -> Tensor:
        """`embed_masks` of images that are of the tower's size already.

        Args:
            pictures_B3SS: RGB in 0..1, images as `squash` leaves them.
            mask_logits_BQHW: mask logits of the padded canvas, any resolution.

        Returns:
            [B, Q, D] mask embeddings, raw.
        """
        blocked_BQT = self._blocked_patches(mask_logits_BQHW)
        return self._embed_visible(pictures_B3SS, blocked_BQT)

    def embed_regions(self, pictures_B3SS: Tensor, visible_BQP: Tensor) -> Tensor:
        """Embed regions of pictures by mask tokens, as `embed_masks` embeds masks.

        Args:
            pictures_B3SS: RGB in 0..1, of the tower's size.
            visible_BQP: bool, which patches, row by row, each region has.

        Returns:
            [B, Q, D] region embeddings, raw.
        """
        # The class token comes first.
        return self._embed_visible(pictures_B3SS, F.pad(~visible_BQP, (1, 0), value=False))

    def _embed_visible(self, pictures_B3SS: Tensor, blocked_BQT: Tensor) -> Tensor:
        """[B, Q, D], one mask token for each set of tokens that are not blocked."""
        image_tokens_BTC = self._embed_patches(pictures_B3SS)
        num_tokens, num_queries = image_tokens_BTC.shape[1], blocked_BQT.shape[1]
        mask_tokens_BQC = image_tokens_BTC[:, :1].expand(-1, num_queries, -1)
        bias_BQT = torch.zeros_like(blocked_BQT, dtype=image_tokens_BTC.dtype)
        bias_BQT = bias_BQT.masked_fill(blocked_BQT, float("-inf"))
        # Rows of the image's own tokens come first and see every token of the image.
        bias_BLT = F.pad(bias_BQT, (0, 0, num_tokens, 0))
        *blocks, last = self.model.visual.transformer.resblocks
        for block in blocks:
            tokens_BLC = torch.cat([image_tokens_BTC, mask_tokens_BQC], dim=1)
            tokens_BLC = _attend(block, tokens_BLC, image_tokens_BTC, bias_BLT)
            image_tokens_BTC, mask_tokens_BQC = tokens_BLC.split([num_tokens, num_queries], dim=1)
        return self._project(_attend(last, mask_tokens_BQC, image_tokens_BTC, bias_BQT))

    def _embed_patches(self, images_B3HW: Tensor, position_BTC: Tensor | None = None) -> Tensor:
        """Tokens [B, T, C] after ln_pre, the class token first; positions are the picture's."""
        visual = self.model.visual
        if position_BTC is None:
            position_BTC = visual.positional_embedding[None]
        patches_BCHW = visual.conv1((images_B3HW - self.mean) / self.std)
        patches_BTC = patches_BCHW.flatten(2).transpose(1, 2)
        classes_B1C = visual.class_embedding.expand(patches_BTC.shape[0], 1, -1)
        return visual.ln_pre(torch.cat([classes_B1C, patches_BTC], dim=1) + position_BTC)

    def _blocked_patches(self, mask_logits_BQHW: Tensor) -> Tensor:
        """Which tokens each mask hides, [B, Q, T] bool; the class token is never hidden."""
        size = (self.image_size, self.image_size)
        logits = F.interpolate(mask_logits_BQHW, size=size, mode="bilinear", align_corners=False)
        coverage = F.max_pool2d(logits.sigmoid(), self.patch_size)
        blocked_BQP = (coverage < 0.5).flatten(2)
        return F.pad(blocked_BQP, (1, 0), value=False)

    def _project(self, tokens: Tensor) -> Tensor:
        visual = self.model.visual
        return visual.ln_post(tokens) @ visual.proj


def tokenize(sentences: Sequence[str], *, context: int = TEXT_CONTEXT) -> Tensor:
    """Token ids [N, T] int64, padded with 0, cut to `context` tokens."""
    return open_clip.tokenize(list(sentences), context_length=context)


def count_tokens(text: str) -> int:
    """Tokens of a text in the text encoder, without start and end marks; does not cut."""
    return len(_tokenizer().encode(text))


def text_length(text: str) -> int:
    """Tokens of a text for which the text encoder computes, start, end and rounding included.

    Texts of equal length share a batch, whatever others are there.
    """
    return _rounded_length(min(count_tokens(text) + 2, TEXT_CONTEXT))


def _rounded_length(num_tokens: int) -> int:
    """Few different lengths, so that batches are full and their shapes repeat."""
    return min(-(-num_tokens // _LENGTH_STEP) * _LENGTH_STEP, TEXT_CONTEXT)


@cache
def _tokenizer() -> open_clip.tokenizer.SimpleTokenizer:
    """Read once: it takes a tenth of a second, and a vocabulary may have thousands of words."""
    return open_clip.tokenizer.SimpleTokenizer()


def squash(images: Sequence[Tensor], side: int) -> Tensor:
    """Images of any sizes as squares, [B, 3, side, side]; their proportions are lost.

    Args:
        images: B images [3, H, W].
        side: pixels.
    """
    squares = [
        F.interpolate(image[None], size=(side, side), mode="bilinear", align_corners=False)
        for image in images
    ]
    return torch.cat(squares)


def resize_bicubic(images_B3HW: Tensor, size: tuple[int, int]) -> Tensor:
    """Resize without antialiasing and without clamping; the identity if the size is the same."""
    if images_B3HW.shape[-2:] == size:
        return images_B3HW
    return F.interpolate(images_B3HW, size=size, mode="bicubic", align_corners=False)


def _central_square(images_B3HW: Tensor, side: int) -> Tensor:
    """Resize the short side to `side` and cut out the middle; a square stays whole.

    Source: the published preprocessing of CLIP (torchvision's Resize and CenterCrop).
    """
    height, width = images_B3HW.shape[-2:]
    short = min(height, width)
    resized = resize_bicubic(images_B3HW, (side * height // short, side * width // short))
    top, left = (round((length - side) / 2) for length in resized.shape[-2:])
    return resized[..., top : top + side, left : left + side]


def _attend(
    block: Any, queries_BQC: Tensor, keys_BTC: Tensor, bias_BQT: Tensor | None = None
) -> Tensor:
    """One residual attention block of open_clip for queries that need not be among the keys."""
    attention = block.attn
    width = attention.embed_dim
    weight_q, weight_kv = attention.in_proj_weight.split([width, 2 * width])
    bias_q, bias_kv = attention.in_proj_bias.split([width, 2 * width])
    q = F.linear(block.ln_1(queries_BQC), weight_q, bias_q)
    k, v = F.linear(block.ln_1(keys_BTC), weight_kv, bias_kv).chunk(2, dim=-1)
    q, k, v = (x.unflatten(-1, (attention.num_heads, -1)).transpose(1, 2) for x in (q, k, v))
    mask = None if bias_BQT is None else bias_BQT.unsqueeze(1)
    attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    queries_BQC = queries_BQC + attention.out_proj(attended.transpose(1, 2).flatten(2))
    return queries_BQC + block.mlp(block.ln_2(queries_BQC))
