import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from odise_cli.model.clip import Clip
from odise_cli.model.cutouts import cut_out, embed_cutouts
from tests.golden import drawn

SIDE = 112
"""Of the drawn CLIP's pictures."""


@pytest.fixture(scope="module")
def clip() -> Clip:
    return drawn.build("label").clip


def image(height: int, width: int) -> Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(1))


def box_mask(size: tuple[int, int], rows: slice, columns: slice) -> Tensor:
    mask = torch.zeros(size, dtype=torch.bool)
    mask[rows, columns] = True
    return mask


def test_square_box_is_the_part_of_the_image(clip: Clip) -> None:
    picture = image(100, 150)
    found = cut_out(clip, picture, box_mask((100, 150), slice(20, 60), slice(70, 110)))
    part = picture[None, :, 20:60, 70:110]
    expected = F.interpolate(part, size=(SIDE, SIDE), mode="bicubic")[0]
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)


def test_everything_else_is_the_mean_colour(clip: Clip) -> None:
    # 56 rows of 112 columns: 28 rows of nothing above and below, and no resizing.
    picture = image(130, 130)
    mask = box_mask((130, 130), slice(5, 61), slice(9, 121))
    mask[30, 50] = False
    found = cut_out(clip, picture, mask)
    mean = clip.mean[0, :, 0, 0]
    for row, column in ((0, 0), (27, 111), (84, 0), (111, 60), (28 + 25, 41)):
        torch.testing.assert_close(found[:, row, column], mean)
    torch.testing.assert_close(found[:, 28:53], picture[:, 5:30, 9:121])


def test_mask_without_a_pixel(clip: Clip) -> None:
    found = cut_out(clip, image(64, 64), torch.zeros(64, 64, dtype=torch.bool))
    torch.testing.assert_close(found, clip.mean[0].expand(3, SIDE, SIDE))


@torch.no_grad()
def test_whole_mask_is_the_whole_image(clip: Clip) -> None:
    pictures = [image(SIDE, SIDE), image(SIDE, SIDE).flip(2)]
    # The canvas goes on behind the image, to 128 pixels.
    logits = torch.full((2, 3, 32, 32), 5.0)
    expected = clip.embed_images(torch.stack(pictures))[:, None].expand(-1, 3, -1)
    torch.testing.assert_close(
        embed_cutouts(clip, pictures, logits), expected, rtol=1e-4, atol=1e-4
    )


@torch.no_grad()
def test_other_things_do_not_matter(clip: Clip) -> None:
    logits = torch.full((1, 1, 32, 32), -5.0)
    logits[..., 8:16, 8:16] = 5.0  # pixels 32 to 63
    picture = image(128, 128)
    other = torch.rand(3, 128, 128)
    other[:, 32:64, 32:64] = picture[:, 32:64, 32:64]
    found, same = (embed_cutouts(clip, [x], logits) for x in (picture, other))
    torch.testing.assert_close(found, same)
