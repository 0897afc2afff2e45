"""Sinkhorn: Sinkhorn-1 to Sinkhorn-4 of docs/properties.md."""

import numpy as np
import pytest
import torch

from monai_ssl.losses import sinkhorn


def scores(b=12, k=6, seed=0):
    return torch.rand(b, k, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def loop(s, epsilon, iterations):
    """The paper's order, in float64: the whole to 1, prototypes to 1 / K, samples to 1 / B, times B."""
    q = np.exp(s.double().numpy() / epsilon).T
    q /= q.sum()
    for _ in range(iterations):
        for k in range(q.shape[0]):
            q[k] /= q[k].sum() * q.shape[0]
        for b in range(q.shape[1]):
            q[:, b] /= q[:, b].sum() * q.shape[1]
    return torch.from_numpy(q.T * q.shape[1]).float()


@pytest.mark.parametrize("iterations", [1, 3, 200])
def test_it_is_the_loop_of_the_paper(iterations):
    q = sinkhorn(scores(), 0.05, iterations)
    torch.testing.assert_close(q, loop(scores(), 0.05, iterations), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(q.sum(1), torch.ones(12))
    if iterations == 200:
        torch.testing.assert_close(q.sum(0), torch.full((6,), 2.0), rtol=1e-4, atol=1e-4)


def test_a_constant_and_the_order_do_not_matter():
    q, order = sinkhorn(scores()), torch.randperm(12)
    torch.testing.assert_close(sinkhorn(scores() + 7), q, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(sinkhorn(scores()[order]), q[order])


def test_equal_vectors_and_hot_scores_give_the_same_to_all():
    torch.testing.assert_close(sinkhorn(torch.full((5, 4), 0.3)), torch.full((5, 4), 0.25))
    torch.testing.assert_close(sinkhorn(scores(), epsilon=1e6), torch.full((12, 6), 1 / 6))


def test_half_precision_and_long_scores_do_not_overflow():
    """exp(1 / 0.05) is infinite in float16, and exp(4.5 / 0.05) in float32."""
    with torch.autocast("cpu", torch.bfloat16):
        q = sinkhorn(scores(), 0.05)
    assert q.dtype == torch.float32 and torch.equal(q, sinkhorn(scores(), 0.05))
    assert sinkhorn((scores() * 30).half(), 0.05).isfinite().all()


def test_rows_without_part_change_nothing_and_no_gradient_passes():
    s = scores().requires_grad_()
    masked = torch.cat([s, torch.full((3, 6), float("-inf"))])
    q = sinkhorn(masked)
    assert not q.requires_grad and torch.equal(q[12:], torch.zeros(3, 6))
    torch.testing.assert_close(q[:12], sinkhorn(s))
    with pytest.raises(ValueError, match=r"`epsilon` must be above 0"):
        sinkhorn(s, 0.0)
