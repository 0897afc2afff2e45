import pytest
import torch

from monai_ssl.evaluation import CKA, encoder_cka
from monai_ssl.networks import ConvEncoder


def linear_cka(x, y):
    alignment = CKA()
    alignment.update(x, y)
    return alignment.compute()


def gaussian(n, p, seed=0):
    return torch.randn(n, p, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def related(n=40, p=7, q=5):
    x = gaussian(n, p)
    return x, x @ gaussian(p, q, 1) + gaussian(n, q, 2)


def by_kernels(x, y):
    """Brute force over pairs of images: centering without the diagonal (Szekely, Rizzo 2014)."""
    n = len(x)

    def centered(k):
        k = k - torch.diag(k.diag())
        u = k - k.sum(0, keepdim=True) / (n - 2) - k.sum(1, keepdim=True) / (n - 2) + k.sum() / ((n - 1) * (n - 2))
        return u - torch.diag(u.diag())

    a, b = centered(x @ x.T), centered(y @ y.T)
    return float((a * b).sum() / ((a * a).sum() * (b * b).sum()).sqrt())


def test_symmetric_and_equal_to_kernels():
    for x, y in (related(), related(9, 20, 30), (gaussian(12, 5), gaussian(12, 8, 1))):
        value = linear_cka(x, y)
        assert value == pytest.approx(linear_cka(y, x), abs=1e-12)
        assert value == pytest.approx(by_kernels(x, y), abs=1e-10)


def test_batches_and_their_order_do_not_matter():
    x, y = related()
    x, y = x + 1000, y - 1000
    whole = linear_cka(x, y)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(4))
    for parts in ([1] * 40, [3, 17, 0, 20]):
        alignment = CKA()
        for a, b in zip(x[order].split(parts), y[order].split(parts), strict=True):
            alignment.update(a, b)
        assert alignment.compute() == pytest.approx(whole, abs=1e-9)
    assert abs(linear_cka(x[order], y) - whole) > 0.05


def test_a_constant_representation_has_none():
    x = gaussian(20, 4)
    assert torch.tensor(linear_cka(x, torch.full((20, 3), 0.1))).isnan()
    assert torch.tensor(linear_cka(torch.zeros(20, 3), x)).isnan()
    assert linear_cka(1e-8 * x, x) == pytest.approx(1)


def test_encoders_compare_map_by_map():
    torch.manual_seed(0)
    first, second = ConvEncoder(3, 1, (4, 8, 16)), ConvEncoder(3, 1, (2, 4, 8))
    first(torch.rand(4, 1, 8, 8, 8) * 3)
    x = torch.rand(12, 1, 8, 8, 8) ** torch.arange(1, 13)[:, None, None, None, None]
    first.stages[1].eval()
    modes = [m.training for m in first.modules()]
    before = {k: v.clone() for k, v in first.state_dict().items()}
    itself = encoder_cka(first, first, [x])
    assert [itself[i][i] for i in range(3)] == pytest.approx([1, 1, 1]) and itself[0][2] < 0.999
    values = encoder_cka(first, second, [{"image": x[:5]}, {"image": x[5:]}])
    assert [m.training for m in first.modules()] == modes
    assert all(torch.equal(v, before[k]) for k, v in first.state_dict().items())
    first.eval(), second.eval()
    with torch.no_grad():
        pooled = [[f.mean((2, 3, 4)) for f in net(x)] for net in (first, second)]
    for line, a in zip(values, pooled[0], strict=True):
        assert line == pytest.approx([linear_cka(a, b) for b in pooled[1]], abs=1e-5) and len(set(line)) == 3


def test_retraining_a_stage_is_seen_from_there_on():
    torch.manual_seed(0)
    first = ConvEncoder(2, 1, (4, 8, 16))
    second = ConvEncoder(2, 1, (4, 8, 16))
    second.stages[0].load_state_dict(first.stages[0].state_dict())
    lines = encoder_cka(first, second, [torch.rand(16, 1, 16, 16)])
    values = [lines[i][i] for i in range(3)]
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
    with pytest.raises(ValueError, match="CKA needs 4 images at least, got 0"):
        encoder_cka(ConvEncoder(2, 1, (2, 4)), ConvEncoder(2, 1, (2, 4, 8)), [])
