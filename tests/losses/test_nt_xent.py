"""NT-Xent: SIM-1, SIM-2, SIM-5 and TOWER-7 to TOWER-9 of docs/properties.md."""

import math

import numpy as np
import pytest
import torch
from monai.losses import ContrastiveLoss

from monai_ssl.losses import nt_xent


def reference(z1, z2, t, symmetric=True):
    z = np.concatenate([z1, z2])
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    n, total = len(z1), 0.0
    anchors = range(2 * n) if symmetric else range(n)
    for i in anchors:
        others = [z[i] @ z[k] / t for k in range(2 * n) if k != i]
        total += np.log(np.exp(others).sum()) - z[i] @ z[(i + n) % (2 * n)] / t
    return total / len(anchors)


@pytest.fixture
def pair():
    torch.manual_seed(0)
    return torch.randn(6, 9), torch.randn(6, 9)


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("t", [0.07, 0.5])
def test_equals_the_definition(pair, t, symmetric):
    expected = reference(*(z.double().numpy() for z in pair), t, symmetric)
    assert nt_xent(*pair, t, symmetric).item() == pytest.approx(expected, rel=1e-5)


def test_equals_monai(pair):
    assert nt_xent(*pair, 0.5).item() == pytest.approx(ContrastiveLoss(0.5)(*pair).item(), rel=1e-5)


@pytest.mark.parametrize("n", [2, 5])
@pytest.mark.parametrize("t", [0.07, 0.5])
def test_closed_forms(n, t):
    same = torch.ones(n, 8)
    assert nt_xent(same, same, t).item() == pytest.approx(math.log(2 * n - 1), rel=1e-5)
    basis = torch.eye(8)[:n]
    expected = math.log(1 + (2 * n - 2) * math.exp(-1 / t))
    assert nt_xent(basis, basis, t).item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


def test_is_blind_to_length_rotation_order_and_which_view_is_first(pair):
    z1, z2 = pair
    value = nt_xent(z1, z2).item()
    rotation = torch.linalg.qr(torch.randn(9, 9))[0]
    order = torch.randperm(6)
    for other in (
        (z1 * torch.rand(6, 1).add(0.1), 7 * z2),
        (z1 @ rotation, z2 @ rotation),
        (z1[order], z2[order]),
        (z2, z1),
    ):
        assert nt_xent(*other).item() == pytest.approx(value, rel=1e-4)


@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 6e4), (torch.bfloat16, 1e6), (torch.bfloat16, 0.0)])
def test_is_finite_and_in_float32_under_autocast(dtype, size):
    z = (torch.sign(torch.randn(4, 8)) * size).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype):
        value = nt_xent(z, -z, 0.01)
    value.backward()
    assert value.dtype == torch.float32 and value.isfinite() and z.grad.isfinite().all()


def test_refusals(pair):
    with pytest.raises(ValueError, match=r"compares samples .*`batch_size` of at least 2, got 1"):
        nt_xent(pair[0][:1], pair[1][:1])
