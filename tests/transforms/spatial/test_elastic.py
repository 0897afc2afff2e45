"""Elastic deformation: TransVW-7 of docs/properties.md, and what the field must be."""

import numpy as np
import pytest
import torch
from contract import images, run

from monai_ssl.transforms import RandElasticBatchd
from monai_ssl.transforms.spatial import elastic
from monai_ssl.transforms.spatial.elastic import displacement


def params(count, alpha=991.0, sigma=8.0):
    return {"seed": torch.arange(count), "alpha": torch.full((count,), alpha), "sigma": torch.full((count,), sigma)}


@pytest.mark.parametrize("shape", [(1, 48, 64, 32), (2, 20, 31)])
def test_without_strength_nothing_moves(shape):
    x = images(shape)
    torch.testing.assert_close(run(RandElasticBatchd("image", alpha=0.0), x), x, atol=1e-5, rtol=0)


def test_moves_as_far_as_the_authors_transform():
    """3.3 voxels (standard deviation), at most about 11, for the paper's numbers and window."""
    shift = displacement(torch.empty(6, 1, 64, 64, 32), params(6))
    assert shift.shape == (6, 2, 64, 64, 32)
    assert shift.std() == pytest.approx(3.3, abs=0.3) and 7 < shift.abs().max() < 18
    middle = displacement(torch.empty(40, 1, 160, 160), params(40, sigma=4.0))[..., 40:-40, 40:-40]
    assert middle.std() == pytest.approx(991 / (6.14 * 4), rel=0.1)


@pytest.mark.parametrize("spatial", [(12, 9, 7), (12, 9)])
def test_the_field_is_smoothed_noise_with_zeros_around(spatial):
    """Against the double sum of the definition, along all axes."""
    sigma, alpha = 1.7, 3.0
    field = torch.empty(2, 2, *spatial)
    for sample, seed in zip(field, (0, 1), strict=True):
        sample.uniform_(generator=torch.Generator().manual_seed(seed))
    expected = field.numpy() * 2.0 - 1.0
    for axis, size in enumerate(spatial, 2):
        offsets = np.subtract.outer(np.arange(size), np.arange(size))
        weights = np.exp(-(offsets**2) / (2 * sigma**2)) / (sigma * np.sqrt(2 * np.pi))
        expected = np.moveaxis(np.tensordot(expected, weights, axes=(axis, 0)), -1, axis)
    got = displacement(torch.empty(2, 1, *spatial), params(2, alpha, sigma))
    np.testing.assert_allclose(got.numpy(), alpha * expected, atol=1e-5)


def test_no_weight_is_subnormal():
    """A CPU multiplies with subnormal numbers ten times slower."""
    weights = elastic._gaussian(torch.tensor([0.5, 8.0, 20.0]), 512)
    assert weights.amin() >= torch.finfo(torch.float32).tiny and weights[:, 0, -1].amax() < 1e-20


def test_values_come_from_where_the_field_points():
    """On a ramp along an axis the result is the ramp plus the shift: in the plane only, mirrored at the border."""
    shape = (40, 30, 10)
    places = torch.meshgrid(*(torch.arange(float(n)) for n in shape), indexing="ij")
    ramps = torch.stack(places).expand(2, 3, *shape)
    given = params(2, 150.0, 4.0)
    out = RandElasticBatchd.kernel(ramps, given)
    shift = displacement(ramps, given)
    assert shift.abs().max() < 10
    inside = (slice(None), slice(10, -10), slice(10, -10))
    for axis in range(2):
        torch.testing.assert_close(
            (out - ramps)[:, axis][inside], shift[:, axis][inside], atol=1e-3, rtol=0, msg=f"axis {axis}"
        )
    torch.testing.assert_close(out[:, 2], ramps[:, 2], atol=1e-4, rtol=0)
    assert out[:, 0].min() >= 0 and out[:, 0].max() <= 39.0001
    beyond = (places[0] + shift[:, 0]) < -0.5
    mirrored = -1 - (places[0] + shift[:, 0])
    assert beyond.any()
    torch.testing.assert_close(out[:, 0][beyond], mirrored[beyond].clamp(0), atol=1e-3, rtol=0)


def test_channels_and_keys_move_alike():
    x = images((1, 20, 16))
    both = RandElasticBatchd(["image", "target"], 100.0, 4.0).set_random_state(0)
    out = both.batch({"image": x.repeat(1, 2, 1, 1), "target": x})
    torch.testing.assert_close(out["image"][:, :1], out["target"], atol=1e-6, rtol=0)
    torch.testing.assert_close(out["image"][:, 1:], out["target"], atol=1e-6, rtol=0)
    assert not torch.equal(out["target"][0] - x[0], out["target"][1] - x[1])
