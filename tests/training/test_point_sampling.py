import pytest
import torch

from odise_cli.training.point_sampling import PointSampler, sample_masks

CPU = torch.device("cpu")


def ramp() -> torch.Tensor:
    """A mask whose logit is −3.5 … 3.5 over eight columns: 0 in the middle."""
    return (torch.arange(8.0) - 3.5).expand(1, 64, 8)


def test_values_at_pixel_centres_between_and_outside() -> None:
    mask = torch.tensor([[[1.0, 2.0], [3.0, 5.0]]])
    points = torch.tensor([[[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.5, 0.5], [0.0, 0.25]]])
    # In the middle the mean of all; on the left border half of the pixel, half of nothing.
    expected = [1.0, 2.0, 3.0, (1 + 2 + 3 + 5) / 4, 0.5]
    assert sample_masks(mask, points).tolist() == [pytest.approx(expected)]


def test_one_set_of_points_serves_all_masks() -> None:
    masks = torch.rand(3, 4, 4)
    points = torch.rand(1, 7, 2)
    each = torch.cat([sample_masks(mask[None], points) for mask in masks])
    torch.testing.assert_close(sample_masks(masks, points), each)


def test_most_points_are_where_the_mask_is_uncertain() -> None:
    torch.manual_seed(0)
    sampler = PointSampler(num_points=400)
    points = sampler.uncertain(ramp())
    assert points.shape == (1, 400, 2)
    distance = sample_masks(ramp(), points)[0].abs()
    # 300 of 1,200 candidates: the quarter nearest to the edge, |x − 1/2| < 1/8: |logit| < 1.
    assert distance[:300].max() < 1.2
    assert distance[:300].diff().min() >= 0, "the most uncertain first"
    assert (distance[300:] > 2).float().mean() == pytest.approx(0.5, abs=0.15)


def test_without_importance_all_points_are_uniform() -> None:
    torch.manual_seed(0)
    points = PointSampler(num_points=1000, importance_ratio=0.0).uncertain(ramp())
    counts = torch.histc(points[..., 0], bins=4, min=0, max=1)
    assert counts.tolist() == [pytest.approx(250, abs=60)] * 4


def test_importance_alone() -> None:
    points = PointSampler(num_points=10, importance_ratio=1.0).uncertain(ramp())
    assert points.shape == (1, 10, 2)


def test_no_masks() -> None:
    assert PointSampler(num_points=8).uncertain(torch.zeros(0, 4, 4)).shape == (0, 8, 2)


def test_uniform_points_are_shared_and_between_0_and_1() -> None:
    points = PointSampler(num_points=50).uniform(CPU)
    assert points.shape == (1, 50, 2)
    assert points.min() >= 0
    assert points.max() < 1
