import logging
import warnings

import pytest
import torch

from monai_ssl.evaluation import CKA, encoder_cka, linear_cka
from monai_ssl.networks import ConvEncoder

BOTH = pytest.mark.parametrize("debiased", [True, False])
pytestmark = pytest.mark.filterwarnings("ignore:Biased CKA")


def gaussian(n, p, seed=0):
    return torch.randn(n, p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def related(n=40, p=7, q=5):
    x = gaussian(n, p)
    return x, x @ gaussian(p, q, 1) + gaussian(n, q, 2)


def by_kernels(x, y, debiased):
    """Brute force over pairs of images; the debiased one by centering without the diagonal (Szekely, Rizzo 2014)."""
    n = len(x)

    def centered(k):
        if not debiased:
            h = torch.eye(n, dtype=k.dtype) - 1 / n
            return h @ k @ h
        k = k - torch.diag(k.diag())
        u = k - k.sum(0, keepdim=True) / (n - 2) - k.sum(1, keepdim=True) / (n - 2) + k.sum() / ((n - 1) * (n - 2))
        return u - torch.diag(u.diag())

    a, b = centered(x @ x.T), centered(y @ y.T)
    return float((a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt())


@BOTH
def test_a_representation_is_like_itself(debiased):
    assert linear_cka(*[gaussian(30, 6)] * 2, debiased) == pytest.approx(1, abs=1e-12)


@BOTH
def test_rotation_scale_and_translation_do_not_count(debiased):
    x, y = related()
    turn = torch.linalg.qr(gaussian(7, 7, 3))[0]
    value = linear_cka(x, y, debiased)
    assert linear_cka(7.5 * x @ turn + 40, y, debiased) == pytest.approx(value, abs=1e-9)
    assert linear_cka(x, y - 1e4, debiased) == pytest.approx(value, abs=1e-6)


@BOTH
def test_other_linear_maps_do_count(debiased):
    x, y = related()
    stretched = x * torch.tensor([20.0, 1, 1, 1, 1, 1, 1])
    assert abs(linear_cka(stretched, y, debiased) - linear_cka(x, y, debiased)) > 0.05
    assert linear_cka(stretched, x, debiased) < 0.9


@BOTH
def test_symmetric_and_equal_to_kernels(debiased):
    for x, y in (related(), related(9, 20, 30), (gaussian(12, 5), gaussian(12, 8, 1))):
        value = linear_cka(x, y, debiased)
        assert value == pytest.approx(linear_cka(y, x, debiased), abs=1e-12)
        assert value == pytest.approx(by_kernels(x, y, debiased), abs=1e-10)
        assert debiased or 0 <= value <= 1


@pytest.mark.parametrize(("n", "p", "biased"), [(64, 512, 0.89), (500, 512, 0.51), (5000, 64, 0.012)])
def test_independent_representations(n, p, biased):
    x, y = gaussian(n, p), gaussian(n, p, 1)
    assert linear_cka(x, y, False) == pytest.approx(biased, abs=0.01)
    assert linear_cka(x, y) == pytest.approx(0, abs=0.1 if n == 64 else 0.02)


@BOTH
def test_batches_and_their_order_do_not_matter(debiased):
    x, y = related()
    x, y = x + 1000, y - 1000
    whole = linear_cka(x, y, debiased)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(4))
    for parts in ([1] * 40, [3, 17, 0, 20]):
        alignment = CKA(debiased)
        for a, b in zip(x[order].split(parts), y[order].split(parts), strict=True):
            alignment.update(a, b)
        assert alignment.compute() == pytest.approx(whole, abs=1e-9)
    assert abs(linear_cka(x[order], y, debiased) - whole) > 0.05


@BOTH
def test_a_constant_representation_has_none(debiased):
    x = gaussian(20, 4)
    assert torch.tensor(linear_cka(x, torch.full((20, 3), 0.1), debiased)).isnan()
    assert torch.tensor(linear_cka(torch.zeros(20, 3), x, debiased)).isnan()
    assert linear_cka(1e-8 * x, x, debiased) == pytest.approx(1)


def test_biased_values_of_few_images_come_with_a_warning(caplog):
    caplog.set_level(logging.INFO, "monai_ssl")
    x, y = gaussian(30, 60), gaussian(30, 60, 1)
    with pytest.warns(UserWarning, match=r"30 images and 60 dimensions is about 0\.67 even for independent"):
        linear_cka(x, y, False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        linear_cka(x, y)
        linear_cka(gaussian(60, 6), gaussian(60, 6, 1), False)
    assert "CKA of 30 images and 60 dimensions: 0.5 images a dimension." in caplog.text


def test_encoders_compare_map_by_map():
    torch.manual_seed(0)
    first, second = ConvEncoder(3, 1, (4, 8, 16)), ConvEncoder(3, 1, (2, 4, 8))
    first(torch.rand(4, 1, 8, 8, 8) * 3)
    x = torch.rand(12, 1, 8, 8, 8) ** torch.arange(1, 13)[:, None, None, None, None]
    first.stages[1].eval()
    modes = [m.training for m in first.modules()]
    before = {k: v.clone() for k, v in first.state_dict().items()}
    assert encoder_cka(first, first, [x]) == pytest.approx([1, 1, 1])
    values = encoder_cka(first, second, [{"image": x[:5]}, {"image": x[5:]}])
    assert [m.training for m in first.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in first.state_dict().items())
    first.eval(), second.eval()
    with torch.no_grad():
        pooled = [[f.mean((2, 3, 4)) for f in net(x)] for net in (first, second)]
    expected = [linear_cka(a, b) for a, b in zip(*pooled, strict=True)]
    assert values == pytest.approx(expected, abs=1e-5) and len(set(values)) == 3


def test_retraining_a_stage_is_seen_from_there_on():
    torch.manual_seed(0)
    first = ConvEncoder(2, 1, (4, 8, 16))
    second = ConvEncoder(2, 1, (4, 8, 16))
    second.stages[0].load_state_dict(first.stages[0].state_dict())
    values = encoder_cka(first, second, [torch.rand(16, 1, 16, 16)])
    assert values[0] == pytest.approx(1, abs=1e-6) and max(values[1:]) < 0.999


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="CKA needs 4 images at least, got 3"):
        linear_cka(gaussian(3, 2), gaussian(3, 2))
    with pytest.raises(ValueError, match="CKA needs 4 images at least, got 0"):
        CKA().compute()
    with pytest.raises(ValueError, match=r"\(B, p\) with \(B, q\), got \(5, 2\) and \(6, 2\)"):
        linear_cka(gaussian(5, 2), gaussian(6, 2))
    alignment = CKA()
    alignment.update(gaussian(5, 2), gaussian(5, 3))
    with pytest.raises(ValueError, match=r"CKA began with \[2, 3\] dimensions, but a batch has \[2, 4\]"):
        alignment.update(gaussian(5, 2), gaussian(5, 4))
    with pytest.raises(ValueError, match="one has 2 and the other 3"):
        encoder_cka(ConvEncoder(2, 1, (2, 4)), ConvEncoder(2, 1, (2, 4, 8)), [])
