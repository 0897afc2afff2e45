"""Aligned views: cells of both views at one place, terms by loops, and a teacher that follows and mixes no samples."""

import math

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.methods import MAE, Aligned
from monai_ssl.methods.aligned import ALIGNMENTS, cross_view_contrast
from monai_ssl.networks import ConvEncoder, RestorationUNet
from monai_ssl.transforms import RandDiagonalPaird

OWN: dict = {"depths": [1, 1, 1, 1], "block": 4, "dim": 8, "cells": 2, "momentum": 0.9}
SMALL: dict[str, dict] = {
    "pretrain": {**OWN, "base_size": [28, 28, 28]},
    "pretrain_2d": {**OWN, "widths": [2, 4, 8, 16], "roi_size": [32, 32], "base_size": [64, 64]},
}
MOVES = {
    "restoration": ("network.encoder.", "network.decoder.", "network.head."),
    "alignment": ("network.encoder.", "projector.", "predictor."),
    "contrast": ("network.encoder.", "projector.", "predictor."),
}
SIZE = {2: (32, 16), 3: (32, 16, 24)}


def make(dims=2, **options):
    torch.manual_seed(0)
    network = RestorationUNet(ConvEncoder(dims, widths=(4, 8)), bounded=False)
    return Aligned(network, **{"dim": 16, "cells": 3} | options)


def batch(dims=2, count=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    size = SIZE[dims]
    base = torch.rand(count, 1, *[2 * n for n in size], generator=g)
    data = RandDiagonalPaird("view", size).set_random_state(seed).batch({"view": base})
    visible = torch.zeros(count, 1, *size)
    return {**data, **{f"visible{i}": visible.bernoulli(0.4, generator=g) for i in (1, 2)}}


@pytest.mark.parametrize("stride", [1, 4, 8])
@pytest.mark.parametrize("dims", [2, 3])
def test_cells_of_both_views_lie_at_one_place(dims, stride):
    """Of volumes that hold their own coordinates, at non-cubic sizes and overlaps that differ between axes.

    The reference exchanges the first and the last axis of the box, which puts them far apart.
    """
    size = [64, 48, 80][:dims]
    places = torch.stack(torch.meshgrid(*[torch.arange(2.0 * n) for n in size], indexing="ij"))
    transform = RandDiagonalPaird("view", size, params_key="done").set_random_state(1)
    data = transform.batch({"view": places.expand(6, *places.shape)})
    shares = data["done"]["shift"] / torch.tensor(size)
    assert (shares.amax(1) - shares.amin(1)).max() > 0.3, "the seed must give an anisotropic pair"
    pool = F.avg_pool3d if dims == 3 else F.avg_pool2d
    method = make(dims, cells=7)

    def apart(order):
        cells = [
            method._vectors([pool(data[f"view{i}"], stride)], data[f"box{i}"][:, :, order], data[f"view{i}"])[0]
            for i in (1, 2)
        ]
        return (cells[0] - cells[1]).abs().amax((0, 1))

    sides = (data["box1"][:, 1] - data["box1"][:, 0]).amax(0) / 7
    assert (apart(list(range(dims))) <= max(stride / 2, 0.01) * torch.ones(dims)).all()
    if stride <= 4:
        assert (apart(list(range(dims))) <= sides / 2).all()
        assert (apart(list(range(dims))[::-1])[[0, -1]] > sides[[0, -1]] / 2).all()


@pytest.mark.parametrize("alignment", ["gram", "cosine"])
def test_equal_views_without_a_mask_agree_with_the_teacher(alignment):
    method, data = make(alignment=alignment).eval(), batch()
    method.predictor = torch.nn.Identity()
    same = {"view2": data["view1"], "box2": data["box1"], "visible1": torch.ones_like(data["visible1"])}
    data = {**data, **same, "visible2": same["visible1"]}
    assert abs(method.losses(data)["alignment"]) < (1e-9 if alignment == "gram" else 1e-5)
    assert method.metrics(data)["found"] > 0.5, "of nine"
    data["box2"] = data["box1"] // 2
    assert method.losses(data)["alignment"].item() > 1e-6


def test_alignments_by_loops():
    g = torch.Generator().manual_seed(0)
    p, t = (torch.randn(2, 5, 4, generator=g, dtype=torch.float64) for _ in range(2))
    u, v = (x / x.norm(dim=2, keepdim=True) for x in (p, t))
    grams = [[sum(torch.outer(c, c) for c in sample) for sample in x] for x in (u, v)]
    gram = sum((a - b).square().mean() for a, b in zip(*grams, strict=True)) / 2
    cosine = sum(2 - 2 * float(a @ b) for a, b in zip(u.flatten(0, 1), v.flatten(0, 1), strict=True)) / 10
    contrast = 0.0
    for b in range(2):
        for i in range(5):
            weights = [math.exp(float(u[b, i] @ v[b, k]) / 0.2) for k in range(5)]
            contrast -= math.log(weights[i] / sum(weights)) / 10
    for name, expected in (("gram", float(gram)), ("cosine", cosine), ("contrast", contrast)):
        assert ALIGNMENTS[name](p, t, 0.2).item() == pytest.approx(expected, rel=1e-5), name
    order = torch.tensor([3, 1, 0, 4, 2])
    assert ALIGNMENTS["gram"](p, p[:, order], 0.2) < 1e-12 < 0.1 < ALIGNMENTS["cosine"](p, p[:, order], 0.2)


def test_views_of_one_scan_are_never_negatives():
    g = torch.Generator().manual_seed(0)
    s1, s2, t1, t2 = (F.normalize(torch.randn(3, 4, generator=g, dtype=torch.float64), dim=1) for _ in range(4))
    expected = 0.0
    for i in range(3):
        for own, positive in ((s1, t2), (s2, t1)):
            others = [math.exp(float(own[i] @ t[k]) / 0.5) for t in (t1, t2) for k in range(3) if k != i]
            right = math.exp(float(own[i] @ positive[i]) / 0.5)
            expected -= math.log(right / (right + sum(others))) / 6
    assert cross_view_contrast(s1, s2, t1, t2, 0.5).item() == pytest.approx(expected, rel=1e-5)
    ones = torch.ones(3, 4)
    assert cross_view_contrast(ones, ones, ones, ones, 0.5).item() == pytest.approx(math.log(5), rel=1e-6)


def test_weights_and_masked_voxels():
    method, data = make(weights=[2, 3, 5]).eval(), batch()
    plain = make(weights=[1, 1, 1]).eval().losses(data)
    for name, weight in (("restoration", 2), ("alignment", 3), ("contrast", 5)):
        assert method.losses(data)[name].item() == pytest.approx(weight * plain[name].item(), rel=1e-5)
    network, by_hand = method.network, []
    for i in ("1", "2"):
        seen = data[f"visible{i}"]
        error = (network(data[f"view{i}"] * seen) - data[f"view{i}"]).abs()
        error = torch.where(error < 1, error.square() / 2, error - 0.5)
        by_hand += [e[s == 0].mean() for e, s in zip(error, seen, strict=True)]
    assert plain["restoration"].item() == pytest.approx(float(sum(by_hand)) / 4, rel=1e-5)


def test_the_teacher_is_the_moving_average_and_never_in_training_mode():
    method, data = make(momentum=0.8), batch()
    optimizer = torch.optim.SGD(method.step_parameters("losses"), 0.1)
    name = next(iter(dict(method.encoder.named_parameters())))
    expected = method.encoder.get_parameter(name).detach().clone()
    for _ in range(4):
        torch.stack(list(method.losses(data).values())).sum().backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()
        expected = 0.8 * expected + 0.2 * method.encoder.get_parameter(name).detach()
    torch.testing.assert_close(method.teacher.network.get_parameter(name), expected)
    assert method.training and not any(
        m.training for m in (*method.teacher.modules(), *method.teacher_projector.modules())
    )
    assert all(map(torch.equal, method.teacher.network.buffers(), method.encoder.buffers())), "running statistics"
    x = data["view1"]
    for whole, single in zip(method.teacher(x), method.teacher(x[:1]), strict=True):
        torch.testing.assert_close(whole[:1], single)


def test_after_a_start_from_another_run_the_teacher_is_a_copy_again():
    method, earlier = make(), make()
    torch.nn.init.normal_(next(earlier.encoder.parameters()))
    before = MAE(earlier.network).state_dict()
    assert not method.load_state_dict(before, strict=False).unexpected_keys
    method.after_start()
    for own, other in zip(
        method.teacher.network.state_dict().values(), earlier.encoder.state_dict().values(), strict=True
    ):
        assert torch.equal(own, other)
