"""Exemplar: EX-1 to EX-5 of docs/properties.md."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from monai_ssl.methods import Exemplar
from monai_ssl.methods.exemplar import derangement
from monai_ssl.networks import ConvEncoder, ResNetEncoder

SMALL = {"pretrain": {}, "pretrain_2d": {}}
MOVES = {"triplet": ("network.encoder.", "network.projector.")}


class Given(nn.Module):
    """A head that returns these codes, whatever it sees."""

    def __init__(self, codes):
        super().__init__()
        self.codes = codes

    def forward(self, pooled):
        assert len(pooled) == len(self.codes)
        return self.codes


def make(dims=3, **options) -> Exemplar:
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(4, 8)) if dims == 3 else ResNetEncoder(width=4)
    return Exemplar(encoder, **({"dim": 6} | options))


def images(size=4, shape=(1, 8, 8, 8), seed=0):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.rand(size, *shape, generator=g) for name in ("anchor", "positive")}


def loss_of(anchor, positive, **options):
    method = make(**options)
    method.network.projector = Given(torch.cat([anchor, positive]))
    return method(images(len(anchor)))["triplet"]


def unit(degrees):
    """Vectors of unit length at these angles, of which a length above 1 is to be taken away."""
    angles = torch.deg2rad(torch.tensor(degrees))
    return 3 * torch.stack([angles.cos(), angles.sin()], dim=1)


# EX-1 -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_one_head_for_all_three(dims):
    method = make(dims, dim=16)
    head = sum(p.numel() for p in method.parameters()) - sum(p.numel() for p in method.encoder.parameters())
    assert head == (method.encoder.channels[-1] + 1) * 16
    assert Exemplar(ConvEncoder(widths=(4, 8))).network.projector.weight.shape == (1024, 8)
    shape = (1, 8, 8, 8) if dims == 3 else (3, 32, 32)
    assert method(images(shape=shape))["triplet"].isfinite()


# EX-2 -------------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 40), st.integers(0, 10**6))
def test_no_sample_is_its_own_negative(count, seed):
    torch.manual_seed(seed)
    order = derangement(count)
    assert sorted(order.tolist()) == list(range(count))
    assert (order != torch.arange(count)).all()


def test_every_other_sample_is_a_negative_now_and_then():
    torch.manual_seed(0)
    drawn = torch.stack([derangement(4) for _ in range(300)])
    for i in range(4):
        share = torch.bincount(drawn[:, i], minlength=4) / 300
        assert share[i] == 0 and all(abs(s - 1 / 3) < 0.09 for j, s in enumerate(share) if j != i)


def test_negatives_are_positives_of_other_samples():
    method = make().eval()
    anchor, positive, negative = method.triplets(images(2))
    assert torch.equal(negative, positive.flip(0)) and not torch.allclose(anchor, positive)
    assert torch.allclose(positive.norm(dim=1), torch.ones(2))


# EX-3 -------------------------------------------------------------------------------------------------------------


def test_the_hinge_in_closed_form():
    """Squared distances of unit vectors are 2 - 2 cos; with two samples each is the negative of the other."""
    anchor, positive = unit([0.0, 90.0]), unit([20.0, 90.0])
    near = 2 - 2 * math.cos(math.radians(20))
    far = [2.0, 2 - 2 * math.cos(math.radians(70))]  # anchor 1 to positive 2, anchor 2 to positive 1
    for margin in (0.3, 1.3, 2.5):
        terms = [max(0.0, near - far[0] + margin), max(0.0, 0.0 - far[1] + margin)]
        assert loss_of(anchor, positive, margin=margin).item() == pytest.approx(sum(terms) / 2, rel=1e-5, abs=1e-7)


# EX-4 and EX-5 ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("margin", [0.2, 0.3, 0.5])
def test_a_constant_code_loses_the_margin(margin):
    """No free collapse: three heads of their own could keep a constant negative away."""
    same = torch.ones(4, 6)
    assert loss_of(same, same, margin=margin).item() == pytest.approx(margin, rel=1e-6)
    method = make(margin=margin)
    nn.init.zeros_(method.network.projector.weight)
    assert method(images())["triplet"].item() == pytest.approx(margin, rel=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_an_undistorted_anchor_is_at_distance_zero(training):
    method = make().train(training)
    x = images()["positive"]
    anchor, positive, _ = method.triplets({"anchor": x, "positive": x})
    assert (anchor - positive).square().sum(1).max() < 1e-10


# the rest ---------------------------------------------------------------------------------------------------------


def test_accuracy_counts_anchors_that_are_nearer_to_their_positive():
    method = make()
    method.network.projector = Given(torch.cat([unit([0.0, 90.0]), unit([10.0, 175.0])]))
    assert method.metrics(images(2))["accuracy"].item() == pytest.approx(0.5), "90 is nearer to 10 than to 175"
    method.network.projector = Given(torch.cat([unit([0.0, 90.0]), unit([10.0, 80.0])]))
    assert method.metrics(images(2))["accuracy"] == 1
    method.network.projector = Given(torch.ones(4, 6))
    assert method.metrics(images(2))["accuracy"] == 0, "a constant code tells nothing apart"


@pytest.mark.slow
def test_it_learns_to_tell_scans_apart():
    """Gray values are taken away from the anchors, so that only what is in the image helps."""
    torch.manual_seed(0)
    method = make(dim=16)
    optimizer = torch.optim.Adam(method.parameters(), 3e-3)
    coarse = torch.rand(8, 1, 4, 4, 4)
    scans = F.interpolate(coarse, (16, 16, 16), mode="trilinear")

    def batch():
        return {"anchor": (scans + torch.empty(8, 1, 1, 1, 1).uniform_(-0.1, 0.1)).flip(2), "positive": scans}

    first = method(batch())["triplet"].item()
    for _ in range(60):
        optimizer.zero_grad()
        method(batch())["triplet"].backward()
        optimizer.step()
    assert method(batch())["triplet"].item() < first / 3
    assert method.metrics(batch())["accuracy"] == 1
