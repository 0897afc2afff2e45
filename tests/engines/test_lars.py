"""LARS against a NumPy reference and what the paper promises of it."""

import numpy as np
import pytest
import torch
from torch import nn

from monai_ssl.engines import LARS


def reference(w, gradients, lr, momentum, decay, trust):
    velocity = np.zeros_like(w)
    for g in gradients:
        rate = trust * np.linalg.norm(w) / (np.linalg.norm(g) + decay * np.linalg.norm(w))
        velocity = momentum * velocity + rate * (g + decay * w)
        w = w - lr * velocity
    return w


def stepped(w, gradients, **options):
    p = nn.Parameter(torch.tensor(w))
    optimizer = LARS([p], **options)
    for g in gradients:
        p.grad = torch.tensor(g)
        optimizer.step()
    return p.detach().numpy()


@pytest.fixture
def numbers():
    rng = np.random.default_rng(0)
    return rng.normal(size=(4, 3)), [rng.normal(size=(4, 3)) for _ in range(5)]


def test_equals_the_reference(numbers):
    w, gradients = numbers
    got = stepped(w, gradients, lr=0.7, momentum=0.8, weight_decay=0.1, trust_coefficient=0.05)
    assert np.allclose(got, reference(w, gradients, 0.7, 0.8, 0.1, 0.05), rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (6,)])
def test_biases_and_norms_take_plain_scaled_steps_without_decay(shape):
    rng = np.random.default_rng(1)
    w, gradients = rng.normal(size=shape), [rng.normal(size=shape) for _ in range(3)]
    p = nn.Parameter(torch.tensor(w))
    plain = torch.optim.SGD([p], lr=0.5 * 0.024, momentum=0.9)
    for g in gradients:
        p.grad = torch.tensor(g)
        plain.step()
    got = stepped(w, gradients, lr=0.5, weight_decay=10.0, vector_scale=0.024)
    assert np.allclose(got, p.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize(("w", "g"), [(0.0, 1.0), (1.0, 0.0), (0.0, 0.0)])
def test_a_zero_weight_or_gradient_gives_a_plain_step(w, g):
    weight, gradient = np.full((2, 2), w), np.full((2, 2), g)
    got = stepped(weight, [gradient], lr=0.5, weight_decay=0.1)
    assert np.allclose(got, weight - 0.5 * (gradient + 0.1 * weight))


def test_continues_from_its_state_and_skips_what_has_no_gradient(numbers):
    w, gradients = numbers
    whole = stepped(w, gradients, lr=0.5)
    p, idle = nn.Parameter(torch.tensor(w)), nn.Parameter(torch.ones(2, 2))
    first = LARS([p, idle], lr=0.5)
    for g in gradients[:2]:
        p.grad = torch.tensor(g)
        first.step()
    second = LARS([p, idle], lr=9.0)
    second.load_state_dict(first.state_dict())
    for g in gradients[2:]:
        p.grad = torch.tensor(g)
        second.step()
    assert np.array_equal(p.detach().numpy(), whole) and torch.equal(idle, torch.ones(2, 2))
