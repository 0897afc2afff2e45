"""Error of masked voxels."""

import pytest
import torch

from monai_ssl.losses import explained, masked_error


def data(batch=2, channels=3, seed=0):
    g = torch.Generator().manual_seed(seed)
    restored, target = (torch.randn(batch, channels, 6, 5, generator=g) for _ in range(2))
    return restored, target, torch.zeros(batch, 1, 6, 5).bernoulli(0.3, generator=g)


DISTANCES = {
    "mse": lambda e: e * e,
    "l1": abs,
    "huber": lambda e: 0.5 * e * e if abs(e) < 1 else abs(e) - 0.5,
}


@pytest.mark.parametrize("distance", DISTANCES)
def test_is_the_mean_over_masked_voxels_by_a_loop(distance):
    restored, target, visible = data()
    means = []
    for r, t, v in zip(restored.double(), target.double(), visible, strict=True):
        costs = [
            DISTANCES[distance]((r[c, i, j] - t[c, i, j]).item())
            for c in range(3)
            for i in range(6)
            for j in range(5)
            if not v[0, i, j]
        ]
        means.append(sum(costs) / len(costs))
    assert masked_error(restored, target, visible, distance).item() == pytest.approx(sum(means) / 2, rel=1e-5)


def test_visible_voxels_neither_count_nor_get_a_gradient():
    restored, target, visible = data()
    restored.requires_grad_()
    perfect = torch.where(visible > 0, restored, target)
    assert masked_error(perfect, target, visible) == 0
    masked_error(restored, target, visible).backward()
    assert (restored.grad[visible.expand_as(restored) > 0] == 0).all()
    assert (restored.grad[visible.expand_as(restored) == 0] != 0).all()


def test_an_error_of_one_costs_one_in_any_number_of_channels_and_samples():
    """The reference divides by a mask of one channel, so that four channels cost four."""
    for channels in (1, 4):
        restored, target, visible = data(channels=channels)
        assert masked_error(target + 1, target, visible).item() == pytest.approx(1)
        twice = [torch.cat([x, x]) for x in (restored, target, visible)]
        assert masked_error(*twice).item() == pytest.approx(masked_error(restored, target, visible).item(), rel=1e-6)


def test_nothing_masked_costs_nothing_and_half_precision_is_computed_in_float32():
    restored, target, visible = data()
    assert masked_error(restored, target, torch.ones_like(visible)) == 0
    half = masked_error(restored.bfloat16(), target.bfloat16(), visible.bfloat16())
    assert half.dtype == torch.float32 and half.item() == pytest.approx(
        masked_error(restored, target, visible).item(), rel=0.02
    )


def test_explained_is_one_for_the_truth_and_zero_for_the_mean_of_what_is_seen():
    _, target, visible = data()
    assert explained(target, target, visible) == 1
    seen = [[t[c][v[0] > 0].mean() for c in range(3)] for t, v in zip(target, visible, strict=True)]
    mean = torch.tensor(seen)[..., None, None].expand_as(target)
    assert explained(mean, target, visible).item() == pytest.approx(0, abs=1e-6)
