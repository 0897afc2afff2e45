"""Relative location: RPL-5 of docs/properties.md, and the head."""

import pytest
import torch

from monai_ssl.methods import RelativeLocation
from monai_ssl.networks import ConvEncoder, ResNetEncoder

SMALL = {
    "pretrain": {"roi_size": [32, 32, 32], "cube_size": [8, 8, 8], "gap": 1, "jitter": 1},
    "pretrain_2d": {"roi_size": [112, 112], "cube_size": [32, 32], "gap": 1, "jitter": 2},
}
MOVES = {"location": ("network.", "classifier.")}


def make(preset="paper", dims=3, **options):
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(8, 16, 16)) if dims == 3 else ResNetEncoder(width=4)
    return RelativeLocation(encoder, preset, **options)


def batch(dims=3, size=6):
    shape = (3, 32, 32) if dims == 2 else (1, 8, 8, 8)
    g = torch.Generator().manual_seed(0)
    anchor, query = torch.rand(2, size, *shape, generator=g)
    return {"anchor": anchor, "query": query, "label": torch.randint(3**dims - 1, (size,), generator=g)}


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize(("dims", "classes"), [(3, 26), (2, 8)])
def test_one_network_for_both_cubes(dims, classes):
    """64 numbers a cube by shared layers, 1024 hidden ones, a logit for each direction."""
    method = make(dims=dims)
    wide = method.encoder.channels[-1]
    embedding = (wide + 1) * 64 + 2 * 64
    head = (2 * 64 + 1) * 1024 + 1025 * classes
    assert count(method) == count(method.encoder) + embedding + head
    assert method.logits(batch(dims)["anchor"], batch(dims)["query"]).shape == (6, classes)


@pytest.mark.parametrize("branch", ["anchor", "query"])
def test_gradients_reach_the_encoder_from_either_cube(branch):
    method, data = make().eval(), batch()
    data = {key: x.requires_grad_(key == branch) if x.is_floating_point() else x for key, x in data.items()}
    method(data)["location"].backward()
    assert data[branch].grad.abs().sum() > 0
    assert all(p.grad is not None for p in method.encoder.parameters())


def test_which_cube_is_in_the_middle_matters():
    method, data = make().eval(), batch()
    assert not torch.allclose(
        method.logits(data["anchor"], data["query"]), method.logits(data["query"], data["anchor"])
    )


def test_the_middle_cube_stands_first():
    method, data = make().eval(), batch()
    first = method.classifier[0]
    with torch.no_grad():
        first.weight[:, 64:] = 0
    logits = method.logits(data["anchor"], data["query"])
    assert torch.equal(logits, method.logits(data["anchor"], data["query"].flip(0)))
    assert not torch.equal(logits, method.logits(data["anchor"].flip(0), data["query"]))
