import math

import pytest
import torch

from monai_ssl.evaluation import effective_rank, spread


@pytest.mark.parametrize("dimensions", [8, 64])
def test_isotropic_vectors_are_healthy(dimensions):
    x = torch.randn(20_000, dimensions, generator=torch.Generator().manual_seed(0))
    assert spread(x) == pytest.approx(1.0, abs=0.01)
    assert effective_rank(x) == pytest.approx(dimensions, rel=0.01)


def test_constant_vectors_have_no_spread_and_rank_one():
    x = torch.randn(1, 16).repeat(50, 1)
    assert spread(x) == pytest.approx(0.0, abs=1e-7)
    assert effective_rank(x) == pytest.approx(1.0)


def test_vectors_on_a_line_have_rank_one():
    x = torch.linspace(-1, 1, 40)[:, None] * torch.randn(1, 16)
    assert effective_rank(x) == pytest.approx(1.0, abs=1e-5)
    # half of them point one way, half the other
    direction = (x[-1] / x[-1].norm()).abs().mean()
    assert spread(x) == pytest.approx(float(direction) * 4.0, rel=1e-5)


def test_equal_and_unequal_axes_in_closed_form():
    assert effective_rank(torch.eye(5)) == pytest.approx(5.0)
    p = torch.tensor([0.75, 0.25])
    expected = math.exp(-sum(float(q) * math.log(q) for q in p))
    assert effective_rank(torch.diag(torch.tensor([3.0, 1.0]))) == pytest.approx(expected)


def test_zeros_do_not_fail_and_scale_does_not_matter():
    assert spread(torch.zeros(4, 3)) == 0.0 and effective_rank(torch.zeros(4, 3)) == 1.0
    x = torch.randn(30, 7)
    assert spread(x) == pytest.approx(spread(1e3 * x)) and effective_rank(x) == pytest.approx(effective_rank(1e3 * x))


@pytest.mark.parametrize("shape", [(1, 4), (4,), (2, 3, 4)])
def test_shape_is_checked(shape):
    with pytest.raises(ValueError, match=r"\(N, D\) with N of at least 2"):
        spread(torch.zeros(shape))
    with pytest.raises(ValueError, match=r"\(N, D\) with N of at least 2"):
        effective_rank(torch.zeros(shape))
