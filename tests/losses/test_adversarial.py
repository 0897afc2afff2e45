"""What DiRA's restorer and discriminator want of each other: DiRA-4 of docs/properties.md."""

import math

import numpy as np
import pytest
import torch
from monai.losses import PatchAdversarialLoss

from monai_ssl.losses import discriminator_loss, generator_loss


@pytest.fixture
def logits():
    torch.manual_seed(0)
    return torch.randn(2, 1, 4, 5), torch.randn(2, 1, 4, 5)


def test_cross_entropy_equals_the_definition(logits):
    real, fake = (1 / (1 + np.exp(-x.double().numpy())) for x in logits)
    assert generator_loss(logits[1], "bce").item() == pytest.approx(-np.log(fake).mean(), rel=1e-6)
    expected = (-np.log(real).mean() - np.log(1 - fake).mean()) / 2
    assert discriminator_loss(*logits, "bce").item() == pytest.approx(expected, rel=1e-6)


def test_least_squares_equals_monai_without_its_hidden_activation(logits):
    monai = PatchAdversarialLoss(criterion="least_squares", no_activation_leastsq=True)
    real, fake = logits
    assert generator_loss(fake).item() == pytest.approx(monai(fake, True, for_discriminator=False).item(), rel=1e-6)
    halves = [monai(x, t, for_discriminator=True).item() for x, t in ((real, True), (fake, False))]
    assert discriminator_loss(real, fake).item() == pytest.approx(sum(halves) / 2, rel=1e-6)


def test_closed_forms():
    one, zero = torch.ones(3, 1, 2, 2), torch.zeros(3, 1, 2, 2)
    assert discriminator_loss(one, zero).item() == 0 and generator_loss(one).item() == 0
    assert discriminator_loss(zero, one).item() == 1 and generator_loss(zero).item() == 1
    assert discriminator_loss(zero, zero, "bce").item() == pytest.approx(math.log(2))
    assert generator_loss(zero, "bce").item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("criterion", ["lsgan", "bce"])
@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 6e4), (torch.bfloat16, 1e6)])
def test_is_finite_and_in_float32_under_autocast(criterion, dtype, size):
    real = (torch.sign(torch.randn(4, 8)) * size).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype):
        values = generator_loss(-real, criterion), discriminator_loss(real, -real, criterion)
    for value in values:
        (gradient,) = torch.autograd.grad(value, real, retain_graph=True)
        assert value.dtype == torch.float32 and value.isfinite() and gradient.isfinite().all()


def test_another_criterion_is_refused(logits):
    for loss in (lambda: generator_loss(logits[0], "wgan"), lambda: discriminator_loss(*logits, "wgan")):
        with pytest.raises(ValueError, match="`gan` must be 'lsgan' or 'bce', got 'wgan'"):
            loss()
