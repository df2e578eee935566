"""Caption supervision: which captions go with which images, told from masks and words alone.

Axes: G images of the global batch and their captions, W words, L layers, Q queries, D embedding.
Knows nothing of processes, captions' text or encoders.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def grounding_loss(
    mask_embed_GLQD: Tensor, word_embed_GWD: Tensor, has_words_G: Tensor, scale: Tensor
) -> Tensor:
    """Contrast of every image with every caption, in both directions, for each layer.

    A caption without a word counts in neither direction as a pair to be found, but stays among
    the candidates. The direction from captions to images is divided by all captions, the other
    by those with words, and by all where none has any: as the reference computes it.

    Args:
        mask_embed_GLQD: mask embeddings of each image and layer, not normalised.
        word_embed_GWD: word embeddings of each image's caption, not normalised; words that are
            empty are embedded, too.
        has_words_G: bool, whether the caption has a word that is not empty.
        scale: inverse temperature.

    Returns:
        [L] losses.

    Source: paper, section 3.5 (equations 7 and 8).
    """
    masks = F.normalize(mask_embed_GLQD, dim=-1)
    words = F.normalize(word_embed_GWD, dim=-1)
    target_G = torch.arange(len(words), device=words.device)
    weight_G = has_words_G.to(words.dtype)
    found_G = torch.where(has_words_G.any(), weight_G, torch.ones_like(weight_G))
    losses = []
    # Layer by layer: a batch's similarities of all images with all words are large.
    for masks_GQD in masks.unbind(1):
        similarity = scale * torch.einsum("iqd,jwd->ijqw", masks_GQD, words)
        pairs_GG = (similarity.softmax(2) * similarity).sum(2).mean(-1)
        of_image_G = F.cross_entropy(pairs_GG, target_G, reduction="none")
        of_caption_G = F.cross_entropy(pairs_GG.T, target_G, reduction="none")
        to_captions = (of_image_G * found_G).sum() / found_G.sum()
        to_images = (of_caption_G * weight_G).mean()
        losses.append((to_captions + to_images) / 2)
    return torch.stack(losses)
