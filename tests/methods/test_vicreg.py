"""VICReg: terms by loops over features, closed forms, and what a dead network costs."""

import pytest
import torch

from monai_ssl.losses import vicreg
from monai_ssl.methods import VICReg
from monai_ssl.networks import ConvEncoder

SMALL = {
    "pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]], "projection": [16, 16]},
    "pretrain_2d": {"projection": [16, 16]},
}
MOVES = dict.fromkeys(("invariance", "variance", "covariance"), ("network.",))


def make(**options):
    torch.manual_seed(0)
    return VICReg(ConvEncoder(2, widths=(2, 4, 8)), **{"widths": (24, 24, 12)} | options)


def batch(size=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.rand(size, 1, 16, 16, generator=g) for name in ("view1", "view2")}


def vectors(*shape, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(2, *shape, generator=g, dtype=torch.float64)


def by_loops(z1, z2):
    (count, dim), invariance, variance, covariance = z1.shape, 0.0, 0.0, 0.0
    for b in range(count):
        invariance += sum((z1[b, i] - z2[b, i]) ** 2 for i in range(dim)) / (count * dim)
    for z in (z1, z2):
        means = [sum(z[:, i]) / count for i in range(dim)]
        for i in range(dim):
            for j in range(dim):
                c = sum((z[b, i] - means[i]) * (z[b, j] - means[j]) for b in range(count)) / (count - 1)
                if i == j:
                    variance += max(0, 1 - float(c + 1e-4) ** 0.5) / dim / 2
                else:
                    covariance += c**2 / dim
    return [float(x) for x in (invariance, variance, covariance)]


def test_terms_by_loops():
    z1, z2 = vectors(5, 4)
    assert [x.item() for x in vicreg(z1, z2)] == pytest.approx(by_loops(z1, z2), rel=1e-5)


def test_places_have_statistics_of_their_own():
    z1, z2 = vectors(5, 3, 4)
    each = [by_loops(z1[:, p], z2[:, p]) for p in range(3)]
    expected = [sum(values) / 3 for values in zip(*each, strict=True)]
    assert [x.item() for x in vicreg(z1, z2)] == pytest.approx(expected, rel=1e-5)


def test_equal_vectors_cost_the_variance_and_white_ones_nothing():
    dead = torch.full((6, 4), 3.0)
    assert [x.item() for x in vicreg(dead, dead)] == pytest.approx([0, 0.99, 0], abs=1e-6)
    # of length sqrt(n - 1), centered and orthogonal: unit variance (n - 1 in the denominator), no covariance
    white = torch.linalg.qr(torch.cat([torch.ones(9, 1), vectors(9, 4)[0].float()], 1))[0][:, 1:] * 8**0.5
    assert [x.item() for x in vicreg(white, white)] == pytest.approx([0, 0, 0], abs=1e-6)
    # twice the same feature: covariance 1 at two entries of each view
    twice = white[:, [0, 0]]
    assert vicreg(twice, twice).covariance.item() == pytest.approx(2 * 2 / 2, rel=1e-5)


def test_each_view_counts():
    """Every view's statistics enter, not the last one's alone, as happens where an accumulator is overwritten."""
    dead, alive = torch.zeros(5, 4), 2 * vectors(5, 4)[0].float()
    one, other = vicreg(dead, alive), vicreg(alive, dead)
    assert one.covariance == other.covariance and one.covariance > 0.01
    assert one.variance == other.variance and one.variance.item() >= 0.99 / 2


def test_weights_and_chance():
    method, data = make(weights=[2, 3, 5]), batch()
    plain = make(weights=[1, 1, 1]).losses(data)
    for name, weight in (("invariance", 2), ("variance", 3), ("covariance", 5)):
        assert method.losses(data)[name].item() == pytest.approx(weight * plain[name].item(), rel=1e-5)
    method.network.projector[-1].weight.data.zero_()
    dead = {name: x.item() for name, x in method.losses(data).items()}
    assert dead == pytest.approx(method.chance, abs=1e-4) and dead["variance"] == pytest.approx(3 * 0.99)


@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 30.0), (torch.bfloat16, 1e4), (torch.float16, 0.0)])
def test_is_finite_and_in_float32_under_autocast(dtype, size):
    z = (torch.sign(vectors(6, 4)[0]) * size).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype):
        terms = vicreg(z, -z.flip(0))
    sum(terms).backward()
    assert all(x.dtype == torch.float32 and x.isfinite() for x in terms) and z.grad.isfinite().all()


def test_one_sample_is_refused():
    with pytest.raises(ValueError, match=r"VICReg compares samples .*`batch_size` of at least 2, got 1"):
        vicreg(torch.rand(1, 4), torch.rand(1, 4))
