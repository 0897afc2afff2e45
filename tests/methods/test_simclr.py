"""SimCLR: SIM-4 of docs/properties.md."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from monai_ssl.losses import nt_xent
from monai_ssl.methods import SimCLR
from monai_ssl.networks import ConvEncoder, ResNetEncoder
from monai_ssl.transforms import RandIoUPairCropd

SMALL = {"pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]]}, "pretrain_2d": {}}
MOVES = {"contrast": ("network.encoder.", "network.projector.")}
BUNDLE = Path(__file__).parents[2] / "bundles" / "simclr"


def make(seed=0, norm="batch", **options) -> SimCLR:
    torch.manual_seed(seed)
    return SimCLR(ConvEncoder(widths=(2, 4, 8, 16), norm=norm), **({"hidden": 8, "dim": 6} | options))


def views(size=4, seed=0, shape=(1, 16, 16, 8)):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.rand(size, *shape, generator=g) for name in ("view1", "view2")}


def test_gradients_reach_the_network_through_both_views():
    method, data = make(), views()
    method(data)["contrast"].backward()
    got = [p.grad.clone() for p in method.parameters()]
    method.zero_grad()
    nt_xent(method.network(data["view1"]), method.network(data["view2"]), 0.07).backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(got, method.parameters(), strict=True))


# SIM-4 -----------------------------------------------------------------------------------------------------------


def test_every_pair_of_the_bundle_overlaps_before_it_is_resized():
    (crop,) = json.loads((BUNDLE / "configs/pretrain.json").read_text())["crops"]
    options = {k: v for k, v in crop.items() if k not in ("_target_", "out_size", "background")}
    assert options["iou_threshold"] == 0.25
    assert options["sizes"] == [[64, 64, 32], [96, 96, 48], [96, 96, 96], [32, 32, 16], [112, 112, 64]]
    transform = RandIoUPairCropd(**options, out_size=(16, 16, 8), background=None, params_key="cut").set_random_state(0)
    scan = torch.zeros(1, 140, 130, 110)
    seen = set()
    for _ in range(150):
        cut = transform({"image": scan})["cut"]
        starts, sizes = cut["starts"], cut["sizes"]
        low, high = starts.max(0), (starts + sizes).min(0)
        shared = np.prod(np.clip(high - low, 0, None))
        overlap = shared / (sizes.prod(1).sum() - shared)
        assert overlap > 0.25 and overlap == pytest.approx(cut["iou"])
        seen |= {tuple(size) for size in sizes}
    assert len(seen) == 5


# the rest --------------------------------------------------------------------------------------------------------


def test_the_head_is_that_of_the_study():
    method = SimCLR(ConvEncoder())
    assert [tuple(p.shape) for p in method.network.projector.parameters()] == [(512, 512), (512,), (256, 512), (256,)]
    assert method.temperature == 0.07
    assert SimCLR(ResNetEncoder(width=4)).network.projector[0].in_features == 32
