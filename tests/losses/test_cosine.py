"""The siamese comparison: SimSiam-1 to SimSiam-3 and PCRLv2-6 of docs/properties.md."""

import numpy as np
import pytest
import torch

from monai_ssl.losses import symmetric_cosine


def reference(p1, p2, v1, v2):
    def cos(a, b):
        return (a * b).sum(1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))

    return -0.5 * (cos(p1, v2).mean() + cos(p2, v1).mean())


@pytest.fixture
def vectors():
    torch.manual_seed(0)
    return [torch.randn(5, 7, dtype=torch.float64, requires_grad=True) for _ in range(4)]


def test_equals_the_definition(vectors):
    expected = reference(*(v.detach().numpy() for v in vectors))
    assert symmetric_cosine(*vectors).item() == pytest.approx(expected, rel=1e-5)


def test_is_symmetric_bounded_and_blind_to_length(vectors):
    p1, p2, v1, v2 = vectors
    value = symmetric_cosine(p1, p2, v1, v2)
    assert -1 <= value <= 1
    assert symmetric_cosine(p2, p1, v2, v1).item() == pytest.approx(value.item())
    assert symmetric_cosine(3 * p1, p2, v1, 0.2 * v2).item() == pytest.approx(value.item(), rel=1e-5)


def test_is_minus_one_when_predictions_point_at_the_other_view(vectors):
    p1, p2, _, _ = vectors
    assert symmetric_cosine(p1, p2, 2 * p2, 5 * p1).item() == pytest.approx(-1)


def test_gradient_reaches_predictions_only(vectors):
    p1, p2, v1, v2 = vectors
    symmetric_cosine(p1, p2, v1, v2).backward()
    assert v1.grad is None and v2.grad is None
    assert p1.grad.abs().sum() > 0 and p2.grad.abs().sum() > 0
    assert not symmetric_cosine(p1.detach(), p2.detach(), v1, v2).requires_grad


def test_is_computed_in_float32_under_autocast():
    p, v = torch.randn(4, 8).bfloat16(), torch.randn(4, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        assert symmetric_cosine(p, p, v, v).dtype == torch.float32
