"""Rotation prediction: labels, head, accuracy."""

import pytest
import torch

from monai_ssl.methods import Rotation
from monai_ssl.networks import ConvEncoder, ResNetEncoder
from monai_ssl.transforms import RandRotationTaskd

SMALL: dict = {"pretrain": {}, "pretrain_2d": {}}
MOVES = {"rotation": ("network.", "classifier.")}


def make(dims=3, hidden=64):
    torch.manual_seed(0)
    return Rotation(ConvEncoder(widths=(8, 16, 16)) if dims == 3 else ResNetEncoder(width=4), hidden=hidden)


def batch(dims=3, size=6):
    shape = (3, 64, 64) if dims == 2 else (1, 12, 12, 12)
    x = torch.rand(size, *shape, generator=torch.Generator().manual_seed(0))
    return RandRotationTaskd("view").set_random_state(0).batch({"view": x})


@pytest.mark.parametrize(("dims", "classes"), [(3, 10), (2, 4)])
def test_head_of_the_study(dims, classes):
    """Global average, a hidden layer of 1024, one logit for each rotation."""
    method = make(dims, hidden=1024)
    wide = method.encoder.channels[-1]
    assert sum(p.numel() for p in method.classifier.parameters()) == (wide + 1) * 1024 + 1025 * classes
    assert method.logits(batch(dims)["view"]).shape == (6, classes)


@pytest.mark.parametrize("shape", [(12, 12, 12), (12, 12, 8), (12, 8, 16)])
def test_panels_turn_the_view_back(shape):
    """The target is the upright view; what was predicted is one of the rotations that the shape allows."""
    x = torch.rand(4, 1, *shape)
    data = RandRotationTaskd("view").set_random_state(0).batch({"view": x})
    panels = make().eval().panels(data)
    assert torch.equal(panels["target"], x) and torch.equal(panels["input"], data["view"])
    assert panels["turned back"].shape == x.shape
