"""Barlow Twins' loss: Barlow-1 to Barlow-7 of docs/properties.md."""

import numpy as np
import pytest
import torch

from monai_ssl.losses import barlow_twins


def reference(z1, z2, weight):
    d = z1.shape[1]
    total = 0.0
    for i in range(d):
        for j in range(d):
            a, b = z1[:, i] - z1[:, i].mean(), z2[:, j] - z2[:, j].mean()
            c = (a * b).mean() / (np.sqrt((a**2).mean()) * np.sqrt((b**2).mean()))
            total += (1 - c) ** 2 if i == j else weight * c**2
    return total


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(7, 5), torch.randn(7, 5)


def orthonormal(n=16, d=6):
    """Centered features without correlation: columns of a Hadamard matrix but the first."""
    h = torch.ones(1, 1)
    while len(h) < n:
        h = torch.cat([torch.cat([h, h], 1), torch.cat([h, -h], 1)])
    return h[:, 1 : d + 1]


@pytest.mark.parametrize("weight", [0.0, 0.0051, 1.0])
def test_equals_a_double_loop(pair, weight):
    expected = reference(*(z.double().numpy() for z in pair), weight)
    assert barlow_twins(*pair, weight).item() == pytest.approx(expected, rel=1e-5)


def test_is_zero_when_the_correlation_is_the_identity():
    z = orthonormal()
    assert barlow_twins(z, z).item() < 1e-8
    assert barlow_twins(z, 3 * z + 7).item() < 1e-8


def test_equal_views_leave_the_redundancy_only(pair):
    z = pair[0]
    assert barlow_twins(z, z, 0.0).item() < 1e-8
    assert barlow_twins(z, z, 1.0).item() > 0.1


def test_closed_forms():
    z = orthonormal(d=4)
    # opposite views: four times (1 - -1)^2
    assert barlow_twins(z, -z, 1.0).item() == pytest.approx(16)
    # features exchanged: an empty diagonal, and four correlations of one beside it
    assert barlow_twins(z, z.roll(1, 1), 0.5).item() == pytest.approx(4 + 0.5 * 4)


def test_is_blind_to_scale_and_shift_of_each_feature_and_to_the_order_of_views(pair):
    z1, z2 = pair
    value = barlow_twins(z1, z2).item()
    scale, shift = torch.rand(5) + 0.1, torch.randn(5)
    for other in (
        (z1 * scale + shift, z2),
        (z1, z2 * scale + shift),
        (z1 * 1e-4, z2 * 1e4),
        (z2, z1),
        (z1[[3, 1, 0, 2, 6, 5, 4]], z2[[3, 1, 0, 2, 6, 5, 4]]),
    ):
        assert barlow_twins(*other).item() == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e3, -1e5])
def test_a_constant_feature_has_no_correlation_and_no_gradient(value, pair):
    z1, z2 = (z.clone() for z in pair)
    z1[:, 2] = value
    z1.requires_grad_()
    loss = barlow_twins(z1, z2, 1.0)
    loss.backward()
    kept = [0, 1, 3, 4]
    rest = reference(z1.detach().double().numpy()[:, kept], z2.double().numpy()[:, kept], 1.0)
    # its place on the diagonal counts 1; the correlations of the other view's third feature stay
    assert 1 + rest < loss.item() < 1 + rest + 4
    assert z1.grad.isfinite().all() and z1.grad[:, 2].abs().max() < 1e-3


@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 6e4), (torch.bfloat16, 1e6), (torch.float16, 0.0)])
def test_is_finite_and_in_float32_under_autocast(dtype, size):
    torch.manual_seed(0)
    z = (torch.sign(torch.randn(6, 4)) * size).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype):
        value = barlow_twins(z, -z.flip(0))
    value.backward()
    assert value.dtype == torch.float32 and value.isfinite() and z.grad.isfinite().all()


def test_one_sample_is_refused(pair):
    with pytest.raises(ValueError, match=r"Barlow Twins compares samples .*`batch_size` of at least 2, got 1"):
        barlow_twins(pair[0][:1], pair[1][:1])
