"""Barlow Twins as a method: Barlow-5 and Barlow-6 of docs/properties.md; its loss in tests/losses."""

import pytest
import torch

from monai_ssl.methods import BarlowTwins
from monai_ssl.networks import ConvEncoder

SMALL = {
    "pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]], "projection": [16, 16]},
    "pretrain_2d": {"projection": [16, 16]},
}
MOVES = {"cross_correlation": ("network.",)}


def make(**options):
    torch.manual_seed(0)
    return BarlowTwins(ConvEncoder(widths=(2, 4, 8, 16)), **{"widths": (24, 24, 12)} | options)


def batch(size=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.rand(size, 1, 16, 16, 8, generator=g) for name in ("view1", "view2")}


def test_weight_of_the_redundancy_counts():
    data = batch()
    alone, whole = (make(off_diagonal=w).losses(data)["cross_correlation"].item() for w in (0.0, 1.0))
    half = make(off_diagonal=0.5).losses(data)["cross_correlation"].item()
    assert whole > alone and half == pytest.approx((alone + whole) / 2, rel=1e-4)


def test_projector_is_that_of_the_paper():
    layers = list(BarlowTwins(ConvEncoder(widths=(2, 4, 8, 16)), widths=(64, 64, 64)).network.projector)
    assert [type(x).__name__ for x in layers] == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear"]
    assert all(x.bias is None and x.out_features == 64 for x in layers[::3]) and layers[0].in_features == 16
