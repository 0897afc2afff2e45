"""Brightness and contrast in closed form."""

import pytest
import torch
from contract import SHAPES, images, run

from monai_ssl.transforms import RandBrightnessd


@pytest.mark.parametrize("shape", SHAPES)
def test_shift_then_contrast_about_the_mean_of_the_image(shape):
    x = 0.4 + 0.2 * images(shape)
    out = run(RandBrightnessd("image", (0.1, 0.1), (1.5, 1.5), prob=1.0), x)
    for image, made in zip(x, out, strict=True):
        mean = image.mean()  # of all channels: they keep their relation
        torch.testing.assert_close(made, 1.5 * (image - mean) + mean + 0.1)
    same = run(RandBrightnessd("image", (0, 0), (1, 1), prob=1.0), x)
    torch.testing.assert_close(same, x)
    flat = run(RandBrightnessd("image", (0, 0), (0, 0), prob=1.0), x)
    assert torch.allclose(flat, x.flatten(1).mean(1).reshape(-1, *[1] * (x.ndim - 1)).expand_as(x))


def test_intensities_stay_in_range():
    x = images((1, 16, 16))
    for shift, contrast in (((0.125, 0.125), (1.5, 1.5)), ((-0.125, -0.125), (1.5, 1.5))):
        out = run(RandBrightnessd("image", shift, contrast, prob=1.0), x)
        assert out.min() >= 0 and out.max() <= 1 and ((out == 0) | (out == 1)).any()


def test_draws_cover_their_ranges():
    made = RandBrightnessd("image").set_random_state(0)
    values = [made.draw((1, 8, 8)) for _ in range(500)]
    for name, low, high in (("shift", -0.125, 0.125), ("contrast", 0.5, 1.5)):
        numbers = torch.tensor([v[name] for v in values])
        assert low <= numbers.min() < low + 0.02 and high - 0.02 < numbers.max() <= high
        assert numbers.mean().item() == pytest.approx((low + high) / 2, abs=0.05)
    assert made.prob == 0.5
