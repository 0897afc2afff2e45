"""InfoNCE and its queue: MoCo-3, MoCo-5, MoCo-6, MoCo-9 and PCRLv1-8 of docs/properties.md."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from monai_ssl.losses import FeatureQueue, info_nce


def reference(q, k, negatives, t):
    total = 0.0
    for a, b in zip(q, k, strict=True):
        a, b = a / np.linalg.norm(a), b / np.linalg.norm(b)
        scores = np.array([a @ b, *(a @ n for n in negatives)]) / t
        total += np.log(np.exp(scores).sum()) - scores[0]
    return total / len(q)


@pytest.fixture
def vectors():
    torch.manual_seed(0)
    return torch.randn(5, 8), torch.randn(5, 8), F.normalize(torch.randn(12, 8), dim=1)


@pytest.mark.parametrize("t", [0.07, 0.2, 1.0])
def test_equals_the_definition(vectors, t):
    expected = reference(*(v.double().numpy() for v in vectors), t)
    assert info_nce(*vectors, t).item() == pytest.approx(expected, rel=1e-5)


def test_closed_forms(vectors):
    q, _, _ = vectors
    same = F.normalize(q[:1], dim=1)
    # all similarities are equal
    assert info_nce(q[:1], q[:1], same.expand(12, 8)).item() == pytest.approx(math.log(13), rel=1e-5)
    # positive aligned, negatives orthogonal
    basis = torch.eye(8)
    expected = math.log(1 + 7 * math.exp(-1 / 0.2))
    assert info_nce(basis[:1], 3 * basis[:1], basis[1:], 0.2).item() == pytest.approx(expected, rel=1e-5)


def test_starts_near_the_logarithm_of_the_number_of_keys():
    torch.manual_seed(0)
    value = info_nce(torch.randn(64, 128), torch.randn(64, 128), FeatureQueue(128, 4096).features, 1.0).item()
    assert value == pytest.approx(math.log(4097), abs=0.5)


def test_no_gradient_reaches_the_negatives(vectors):
    q, k, negatives = (v.clone().requires_grad_() for v in vectors)
    info_nce(q, k.detach(), negatives).backward()
    assert q.grad.abs().sum() > 0 and k.grad is None and negatives.grad is None


@pytest.mark.parametrize(("dtype", "size"), [(torch.float16, 6e4), (torch.bfloat16, 1e6), (torch.bfloat16, 0.0)])
def test_is_finite_and_in_float32_under_autocast(dtype, size):
    q = (torch.sign(torch.randn(4, 8)) * size).to(dtype).requires_grad_()
    with torch.autocast("cpu", dtype):
        value = info_nce(q, -q, F.normalize(torch.randn(6, 8), dim=1), 0.01)
    value.backward()
    assert value.dtype == torch.float32 and value.isfinite() and q.grad.isfinite().all()


# the queue -------------------------------------------------------------------------------------------------------


def keys(*numbers):
    """Keys along given axes, of any length."""
    return 3 * torch.eye(16)[list(numbers)]


def held(queue):
    return queue.features.argmax(1).tolist()


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 13])
def test_queue_equals_a_list_of_the_last_keys(size):
    rng = np.random.default_rng(size)
    queue, last = FeatureQueue(16, size), []
    for _ in range(40):
        numbers = rng.integers(16, size=rng.integers(1, size + 1)).tolist()
        queue.enqueue(keys(*numbers))
        last = (last + numbers)[-size:]
        if len(last) == size:
            oldest = int(queue.pointer)
            assert held(queue)[oldest:] + held(queue)[:oldest] == last
        assert torch.allclose(queue.features.norm(dim=1), torch.ones(size))


def test_queue_keeps_no_graph():
    queue = FeatureQueue(16, 4)
    queue.enqueue(keys(1, 2).requires_grad_())
    assert not queue.features.requires_grad


def test_queue_refusals():
    with pytest.raises(ValueError, match=r"5 keys does not fit into a queue of 4: raise `queue_size`"):
        FeatureQueue(16, 4).enqueue(keys(0, 1, 2, 3, 4))
