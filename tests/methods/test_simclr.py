"""SimCLR: SIM-1 to SIM-5 of docs/properties.md."""

import json
import math
from pathlib import Path

import monai.losses
import numpy as np
import pytest
import torch
from torch import nn

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


class Given(nn.Module):
    """A projector that returns vectors in turn, whatever it sees."""

    def __init__(self, *vectors):
        super().__init__()
        self.vectors = list(vectors)

    def forward(self, pooled):
        return self.vectors.pop(0)


def loss_of(z1, z2, temperature=0.07):
    method = make(temperature=temperature)
    method.network.projector = Given(z1, z2)
    return method(views(size=len(z1)))["contrast"]


def vectors(count=5, dim=7, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(count, dim, generator=g), torch.randn(count, dim, generator=g)


# SIM-1 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 5, 16])
def test_equal_vectors_lose_the_logarithm_of_the_choices(count):
    one = torch.ones(count, 3)
    assert loss_of(one, 2 * one).item() == pytest.approx(math.log(2 * count - 1), rel=1e-5)


@pytest.mark.parametrize("temperature", [0.07, 0.5, 1.0])
def test_orthonormal_pairs_have_a_closed_form(temperature):
    basis = torch.eye(4)
    expected = math.log(1 + (2 * 4 - 2) * math.exp(-1 / temperature))
    assert loss_of(basis, basis, temperature).item() == pytest.approx(expected, rel=1e-4, abs=1e-6)


# SIM-2 -----------------------------------------------------------------------------------------------------------


def test_lengths_a_common_rotation_and_the_order_of_the_views_do_not_matter():
    z1, z2 = vectors()
    expected = loss_of(z1, z2).item()
    scale = torch.rand(5, 1) + 0.1
    turn = torch.linalg.qr(torch.randn(7, 7))[0]
    for a, b in ((scale * z1, z2), (z1, 3 * scale * z2), (z1 @ turn, z2 @ turn), (z2, z1)):
        assert loss_of(a, b).item() == pytest.approx(expected, rel=1e-4)
    assert loss_of(z1 @ turn, z2).item() != pytest.approx(expected, rel=1e-2)
    swapped = {"view1": views()["view2"], "view2": views()["view1"]}
    torch.testing.assert_close(make()(views())["contrast"], make()(swapped)["contrast"])


def test_the_loss_is_that_of_the_paper():
    method, data = make(), views()
    with torch.no_grad():
        z = torch.cat([method.network(data["view1"]), method.network(data["view2"])]).double().numpy()
    z /= np.linalg.norm(z, axis=1, keepdims=True)
    losses = []
    for i in range(8):
        j = (i + 4) % 8
        others = sum(math.exp(z[i] @ z[k] / 0.07) for k in range(8) if k != i)
        losses.append(-math.log(math.exp(z[i] @ z[j] / 0.07) / others))
    assert method(data)["contrast"].item() == pytest.approx(np.mean(losses), rel=1e-4)


def test_gradients_reach_the_network_through_both_views():
    method, data = make(), views()
    method(data)["contrast"].backward()
    got = [p.grad.clone() for p in method.parameters()]
    method.zero_grad()
    nt_xent(method.network(data["view1"]), method.network(data["view2"]), 0.07).backward()
    assert all(torch.equal(a, p.grad) for a, p in zip(got, method.parameters(), strict=True))


# SIM-5 -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("temperature", [0.07, 0.5])
def test_equals_the_loss_of_monai(temperature):
    z1, z2 = vectors()
    theirs = monai.losses.ContrastiveLoss(temperature=temperature)(z1, z2)
    torch.testing.assert_close(loss_of(z1, z2, temperature), theirs)


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


def test_it_learns_to_find_the_other_view():
    method = make(hidden=16, dim=8)
    g = torch.Generator().manual_seed(0)
    scans = nn.functional.interpolate(torch.rand(8, 1, 4, 4, 2, generator=g), scale_factor=4)
    optimizer = torch.optim.Adam(method.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        noisy = {name: scans + 0.05 * torch.rand(scans.shape, generator=g) for name in ("view1", "view2")}
        loss = method(noisy)["contrast"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[0] > math.log(15) - 0.5 and np.mean(losses[-5:]) < 0.5


# SIM-3 -----------------------------------------------------------------------------------------------------------


def test_the_method_uses_the_loss_of_all_processes():
    z1, z2 = vectors()
    assert torch.equal(loss_of(z1, z2, 0.3), nt_xent(z1, z2, 0.3))
