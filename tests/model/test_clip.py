import copy
import math

import open_clip
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from odise_cli.model.clip import TEXT_CONTEXT, Clip, resize_bicubic, text_length
from odise_cli.model.odise import Odise
from tests.golden import drawn


@pytest.fixture(scope="module")
def clip() -> Clip:
    return drawn.build("label").clip


def images(count: int, height: int, width: int, seed: int = 0) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def test_words_as_open_clip_embeds_them(clip: Clip) -> None:
    words = ["kite", "a photo of a kite.", "", "wow!! a kite!", 90 * "kite "]
    expected = clip.model.encode_text(open_clip.tokenize(words))
    torch.testing.assert_close(clip.embed_words(words), expected, rtol=1e-5, atol=1e-5)
    for word, embed in zip(words, expected, strict=True):
        torch.testing.assert_close(clip.embed_words([word])[0], embed, rtol=1e-5, atol=1e-5)
    assert open_clip.tokenize(words).shape[1] == TEXT_CONTEXT


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("kite", 8),  # with start and end, three
        ("a photo of a kite.", 8),  # six and two
        ("a photo of a red kite.", 16),
        (90 * "kite ", TEXT_CONTEXT),
    ],
)
def test_text_length_counts_marks_and_rounds_up(text: str, length: int) -> None:
    assert text_length(text) == length


@torch.no_grad()
def test_images_as_open_clip_embeds_them(clip: Clip) -> None:
    # At the tower's own size nothing is resized; OpenAI's published mean and deviation.
    batch = images(2, 112, 112)
    mean = torch.tensor([0.48145466, 0.4578275, 0.40821073]).view(3, 1, 1)
    std = torch.tensor([0.26862954, 0.26130258, 0.27577711]).view(3, 1, 1)
    expected = clip.model.encode_image((batch - mean) / std)
    torch.testing.assert_close(clip.embed_images(batch), expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_ends_of_an_oblong_image_do_not_count(clip: Clip) -> None:
    oblong = images(1, 112, 200)
    # round((200 − 112) / 2) = 44 columns are cut off at the left.
    torch.testing.assert_close(clip.embed_images(oblong), clip.embed_images(oblong[..., 44:156]))
    other = oblong.clone()
    other[..., :44] = 0
    other[..., 156:] = 1
    assert torch.equal(clip.embed_images(other), clip.embed_images(oblong))


@torch.no_grad()
def test_whole_mask_is_the_whole_image(clip: Clip) -> None:
    batch = images(2, 112, 112)
    everything = torch.full((2, 3, 28, 28), 5.0)
    expected = clip.embed_images(batch)[:, None].expand(-1, 3, -1)
    found = clip.embed_masks(list(batch), everything)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_masks_do_not_see_each_other(clip: Clip) -> None:
    batch = list(images(2, 60, 80))
    logits = torch.randn(2, 5, 16, 20, generator=torch.Generator().manual_seed(1))
    together = clip.embed_masks(batch, logits)
    alone = [
        clip.embed_masks([batch[b]], logits[b : b + 1, q : q + 1]) for b in (0, 1) for q in range(5)
    ]
    torch.testing.assert_close(together, torch.cat(alone).view(2, 5, -1), rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_a_mask_opens_the_patches_it_touches(clip: Clip) -> None:
    image = images(1, 112, 112)[0]
    left = torch.full((1, 1, 112, 112), -9.0)
    left[..., :56] = 9.0
    tokens = clip._blocked_patches(left)[0, 0]
    patches = tokens[1:].view(8, 8)
    assert not tokens[0]
    assert patches.tolist() == [4 * [False] + 4 * [True]] * 8
    everything = clip.embed_masks([image], torch.full_like(left, 9.0))
    assert (clip.embed_masks([image], left) - everything).abs().max() > 0.05


@torch.no_grad()
def test_one_pixel_opens_its_patch(clip: Clip) -> None:
    # Patches are 14 pixels: pixel (20, 70) lies in patch (1, 5).
    logits = torch.full((1, 1, 112, 112), -9.0)
    logits[0, 0, 20, 70] = 0.1
    seen = ~clip._blocked_patches(logits)[0, 0, 1:].view(8, 8)
    assert seen.nonzero().tolist() == [[1, 5]]


@torch.no_grad()
def test_empty_mask_is_finite(clip: Clip) -> None:
    nothing = clip.embed_masks(list(images(1, 112, 112)), torch.full((1, 2, 8, 8), -50.0))
    assert nothing.isfinite().all()
    torch.testing.assert_close(nothing[0, 0], nothing[0, 1])


def test_logit_scale_is_capped(clip: Clip) -> None:
    # The drawn temperature is exp(2.7).
    assert float(clip.logit_scale) == pytest.approx(math.exp(2.7))
    weight = clip.model.logit_scale.data.clone()
    clip.model.logit_scale.data.fill_(5.0)  # exp(5) = 148
    assert float(clip.logit_scale) == 100.0
    clip.model.logit_scale.data.copy_(weight)


def test_sizes(clip: Clip) -> None:
    assert (clip.image_size, clip.embed_dim) == (112, 32)


def test_resize_is_bicubic_without_antialiasing() -> None:
    batch = images(1, 12, 18)
    assert resize_bicubic(batch, (12, 18)) is batch
    # Halving samples midway between pixels 1 and 2: cubic weights (−3, 19, 19, −3) / 32.
    kernel = torch.tensor([-3.0, 19, 19, -3]) / 32
    window = batch[0, 0, 3:7, 5:9]  # around output pixel (2, 3)
    expected = kernel @ window @ kernel
    assert float(resize_bicubic(batch, (6, 9))[0, 0, 2, 3]) == pytest.approx(float(expected))
    smooth = F.interpolate(batch, (6, 9), mode="bicubic", antialias=True)
    assert (resize_bicubic(batch, (6, 9)) - smooth).abs().max() > 1e-3


def test_weights_are_held_once() -> None:
    model: Odise = drawn.build("label")
    visual = [name for name, _ in model.named_parameters() if "visual.conv1" in name]
    assert visual == ["clip.model.visual.conv1.weight"]


@torch.no_grad()
def test_a_window_as_a_tower_that_has_only_its_patches(clip: Clip) -> None:
    # Another tower, for 3×2 patches, with the positions of rows 4..6 and columns 1..2 of 8.
    tower = copy.deepcopy(clip.model.visual)
    positions = tower.positional_embedding
    chosen = [0] + [1 + 8 * row + column for row in (4, 5, 6) for column in (1, 2)]
    tower.positional_embedding = nn.Parameter(positions[chosen])
    window = images(2, 3 * 14, 2 * 14)
    expected = tower((window - clip.mean) / clip.std)
    found = clip.embed_windows(window, torch.tensor([[4, 1], [4, 1]]))
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@torch.no_grad()
def test_the_largest_window_is_the_image(clip: Clip) -> None:
    batch = images(2, 112, 112)
    found = clip.embed_windows(batch, torch.zeros(2, 2, dtype=torch.int64))
    torch.testing.assert_close(found, clip.embed_images(batch), rtol=1e-5, atol=1e-5)


def test_gradients_of_positions_are_the_same_bits_every_time(clip: Clip) -> None:
    # Patches of many windows share a position. Two threads must not add them up as they come.
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    windows = images(48, 6 * 14, 6 * 14)
    origins = torch.randint(0, 3, (48, 2), generator=torch.Generator().manual_seed(0))
    clip = copy.deepcopy(clip)
    positions = clip.model.visual.positional_embedding.requires_grad_(True)
    try:
        first, *others = (
            torch.autograd.grad(clip.embed_windows(windows, origins).square().sum(), positions)[0]
            for _ in range(6)
        )
    finally:
        torch.set_num_threads(threads)
    assert all(torch.equal(gradient, first) for gradient in others)


@torch.no_grad()
def test_states_are_what_the_text_embedding_is_projected_from(clip: Clip) -> None:
    sentences = ["a kite", ""]
    states_NTC = clip.encode_states(sentences)
    assert states_NTC.shape[:2] == (2, TEXT_CONTEXT)
    # open_clip pools at the end token, which has the highest number.
    ends = open_clip.tokenize(sentences).argmax(dim=-1)
    pooled = states_NTC[torch.arange(2), ends] @ clip.model.text_projection
    torch.testing.assert_close(pooled, clip.embed_words(sentences), rtol=1e-5, atol=1e-5)
