"""CPC: CPC-1 to CPC-6, X-7 and X-8 of docs/properties.md."""

from __future__ import annotations

import math
from itertools import product

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ssl.methods import CPC
from monai_ssl.methods.cpc import all_scores, context_cells, decisions, target_cells
from monai_ssl.networks import ConvEncoder, ResNetEncoder
from monai_ssl.transforms import BatchViews, RandPatchGridd

SMALL = {
    "pretrain": {"roi_size": [32, 32, 32], "patch_size": [8, 8, 8], "jitter": 1},
    "pretrain_2d": {"roi_size": [96, 96], "patch_size": [32, 32], "cells": [3, 3]},
}
MOVES = {"contrast": ("network.encoder.", "network.projector.", "recurrent.", "predictors.")}


def make(dims=3, cells=None, **options) -> CPC:
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(4, 8), norm="instance") if dims == 3 else ResNetEncoder(width=4)
    return CPC(encoder, cells or (4,) * dims, **({"dim": 12, "hidden": 8} | options))


def patches(count=2, cells=64, size=(1, 4, 4, 4), seed=0):
    return {"patches": torch.rand(count * cells, *size, generator=torch.Generator().manual_seed(seed))}


def given_vectors(method, predicted, codes):
    """Let ``method`` compare these instead of what it computes."""
    method.predict = lambda _: (predicted, codes)
    return method({"patches": torch.empty(0)})["contrast"]


def random_vectors(columns=6, steps=2, dim=5, seed=0):
    g = torch.Generator().manual_seed(seed)
    return torch.randn(columns, steps, dim, generator=g), torch.randn(columns, steps, dim, generator=g)


# CPC-1 and CPC-2: geometry ----------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.tuples(*[st.integers(2, 7)] * 2), st.tuples(*[st.integers(2, 6)] * 3)))
def test_context_and_targets_by_brute_force(cells):
    context, targets = context_cells(cells), target_cells(cells)
    apex = cells[0] // 2 - 1
    sides = cells[1:]

    def index(place):
        flat = 0
        for p, n in zip(place, cells, strict=True):
            flat = flat * n + p
        return flat

    def mirror(p, n):
        while not 0 <= p < n:
            p = -p if p < 0 else 2 * (n - 1) - p
        return p

    for column, place in enumerate(product(*map(range, sides))):
        terms = []
        for x in range(apex + 1):
            for moves in product(*[range(x - apex, apex - x + 1)] * len(sides)):
                terms.append(index((x, *(mirror(p + m, n) for p, m, n in zip(place, moves, sides, strict=True)))))
        assert context[column].tolist() == terms
        assert targets[column].tolist() == [index((x, *place)) for x in range(apex + 1, cells[0])]
    assert not set(context.flatten().tolist()) & set(targets.flatten().tolist())
    assert len(targets) == len(context) == math.prod(sides)


def test_predictions_see_the_context_and_codes_the_targets_only():
    """CPC-2 in the network: also through gradients no target reaches a prediction."""
    method, data = make().eval(), patches(count=2)
    x = data["patches"].requires_grad_()
    predicted, codes = method.predict(x)
    assert predicted.shape == codes.shape == (32, 2, 12)

    def reached(y):
        return (
            torch.autograd.grad(y.sum(), x, retain_graph=True)[0].flatten(1).abs().sum(1).nonzero().flatten().tolist()
        )

    column = 16 + 5  # of the second sample
    assert reached(predicted[column]) == [64 + c for c in sorted(context_cells((4, 4, 4))[5].tolist())]
    for step in (0, 1):
        assert reached(codes[column, step]) == [64 + int(target_cells((4, 4, 4))[5, step])]


def test_the_context_is_read_in_order():
    """The apex last: where the recurrent network forgets all but its last term, the far level changes nothing."""
    method, data = make(cells=(4, 1, 1), hidden=8).eval(), patches(count=2, cells=4)
    with torch.no_grad():
        method.recurrent.bias_ih_l0[8:16] = -50  # the update gate of torch's GRU: nothing is kept of the past
        method.recurrent.weight_hh_l0.zero_()
    before = method.predict(data["patches"])[0]
    for cell, changes in ((0, False), (1, True)):
        x = data["patches"].clone()
        x[[cell, 4 + cell]] += 1 + torch.rand(2, 1, 4, 4, 4)
        assert torch.allclose(method.predict(x)[0], before, atol=1e-5) != changes


# CPC-3 and CPC-6: the binary form --------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(st.integers(2, 12), st.integers(0, 10**6))
def test_negatives_are_of_another_column_and_half_the_labels_are_ones(count, seed):
    torch.manual_seed(seed)
    codes = torch.eye(count)[:, None].repeat(1, 2, 1)
    logits, labels = decisions(codes, codes)
    assert labels.tolist() == [1.0] * count + [0.0] * count
    assert (logits[:count] == 1 / count).all() and (logits[count:] == 0).all()


def test_every_other_column_serves_as_negative():
    torch.manual_seed(0)
    codes = 2.0 ** torch.arange(5)[:, None, None]
    seen = [set() for _ in range(5)]
    for _ in range(200):
        for i, value in enumerate(decisions(torch.ones(5, 1, 1), codes)[0][5:].tolist()):
            seen[i].add(round(math.log2(value)))
    assert seen == [set(range(5)) - {i} for i in range(5)]


def test_binary_loss_is_that_of_the_code():
    predicted, codes = random_vectors(columns=2)
    scores = torch.stack([(predicted * c).mean(2).mean(1) for c in (codes, codes.flip(0))])
    expected = -(torch.sigmoid(scores[0]).log() + torch.sigmoid(-scores[1]).log()).mean() / 2
    got = given_vectors(make(objective="bce"), predicted, codes)
    assert got.item() == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("columns", [2, 16, 32])
def test_equal_scores_lose_the_logarithm_of_the_candidates(columns):
    same = torch.ones(columns, 2, 5)
    assert given_vectors(make(), same, same).item() == pytest.approx(math.log(columns), rel=1e-5)


# CPC-4: InfoNCE ---------------------------------------------------------------------------------------------------


def test_scores_are_float32_under_autocast():
    predicted, codes = random_vectors()
    with torch.autocast("cpu", torch.bfloat16):
        assert all_scores(predicted, codes).dtype == torch.float32
        half = all_scores(predicted.bfloat16(), codes.bfloat16())
    torch.testing.assert_close(half, all_scores(predicted.bfloat16().float(), codes.bfloat16().float()))


# CPC-5 and the rest of the network --------------------------------------------------------------------------------


def test_each_step_has_its_own_weights():
    method = make(cells=(5, 2, 2))
    assert len(method.predictors) == 3
    assert len({p.data_ptr() for p in method.predictors.parameters()}) == 6
    assert len({p[0, 0].item() for p in (m.weight for m in method.predictors)}) == 3
    data = patches(cells=20)
    predicted = method.predict(data["patches"])[0]
    predicted[:, 1].sum().backward()
    assert [bool(m.weight.grad.abs().sum() > 0) for m in method.predictors] == [False, True, False]


def test_widths_are_those_of_the_code():
    method = CPC(ConvEncoder(widths=(4, 8)), (4, 4, 4))
    assert method.network.projector.weight.shape == (1024, 8)
    assert method.recurrent.input_size == 1024 and method.recurrent.hidden_size == 256
    assert [m.weight.shape for m in method.predictors] == [(1024, 256)] * 2


def test_in_2d():
    method = make(2, (5, 3))
    data = patches(cells=15, size=(3, 32, 32))
    predicted, codes = method.predict(data["patches"])
    assert predicted.shape == codes.shape == (6, 3, 12)
    assert method(data)["contrast"].isfinite() and method.panels(data)["patches"].shape == (2, 3, 160, 96)


def test_accuracy_counts_right_answers():
    method = make()
    codes = torch.eye(6)[:, None].repeat(1, 2, 1)
    predicted = codes.clone()
    predicted[:3, 0] = codes[3:, 0]
    method.predict = lambda _: (predicted, codes)
    assert method.metrics({"patches": torch.empty(0)})["accuracy"].item() == pytest.approx(9 / 12)
    binary = make(objective="bce")
    binary.predict = lambda _: (2 * codes - 1, codes)  # the right code scores 1, another one -1
    assert binary.metrics({"patches": torch.empty(0)})["accuracy"] == 1
    binary.predict = lambda _: (codes.new_ones(codes.shape), codes)
    assert binary.metrics({"patches": torch.empty(0)})["accuracy"] == 0.5


def test_panels_continue_the_views_with_the_patches_found():
    method, data = make(cells=(4, 2, 2)).eval(), patches(cells=16)
    x = data["patches"].unflatten(0, (2, 16))
    codes = torch.eye(8)[:, None].repeat(1, 2, 1)
    method.predict = lambda _: (codes, codes)
    panels = method.panels(data)
    assert panels["patches"].shape == (2, 1, 16, 8, 8)
    assert torch.equal(panels["patches"][1, 0, 8:12, 4:, :4], x[1, 10, 0]), "cell (2, 1, 0) stands in its place"
    assert torch.equal(panels["continued"], panels["patches"]), "all patches found"
    method.predict = lambda _: (codes.roll(-4, 0), codes)
    continued = method.panels(data)["continued"]
    assert torch.equal(continued[:, :, :8], panels["patches"][:, :, :8]), "the context stays"
    assert torch.equal(continued[:, :, 8:], panels["patches"].flip(0)[:, :, 8:]), "targets of the other sample"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"cells": (1, 4, 4)},
            r"`cells` of CPC must be 3 numbers of patches, the first at least 2 .*, got \[1, 4, 4\]",
        ),
        ({"cells": (4, 4)}, r"must be 3 numbers of patches, .* got \[4, 4\]"),
        ({"cells": (4, 0, 4)}, r"must be 3 numbers of patches, .* got \[4, 0, 4\]"),
    ],
)
def test_mistakes_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        make(**options)


def test_one_column_cannot_be_contrasted():
    with pytest.raises(ValueError, match="CPC compares samples with each other and needs `batch_size` of at least 2"):
        make(cells=(4, 1, 1))(patches(count=1, cells=4))


# X-7 and X-8 ------------------------------------------------------------------------------------------------------


def learn(images, steps, cells=(4, 2, 2)):
    """Train on ``images(step)`` (B, 1, 32, 16, 16); return the method and its views."""
    torch.manual_seed(0)
    method = CPC(ConvEncoder(widths=(8, 16)), cells, dim=32, hidden=32)
    views = BatchViews([RandPatchGridd("view", (8, 8, 8), cells, jitter=1, flip_prob=0.0)]).set_random_state(0)
    optimizer = torch.optim.Adam(method.parameters(), 4e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=steps)
    for step in range(steps):
        optimizer.zero_grad()
        method(views({"view": images(step)}))["contrast"].backward()
        optimizer.step()
        schedule.step()
    return method.eval(), views


@torch.no_grad()
def accuracy(method, views, images, rounds=20):
    return sum(float(method.metrics(views({"view": images}))["accuracy"]) for _ in range(rounds)) / rounds


@pytest.mark.slow
def test_four_volumes_are_learned():
    coarse = torch.rand(4, 1, 8, 4, 4, generator=torch.Generator().manual_seed(0))
    four = F.interpolate(coarse, (32, 16, 16), mode="trilinear", align_corners=True)
    method, views = learn(lambda step: four, steps=150)
    assert accuracy(method, views, four) > 0.95


@pytest.mark.slow
def test_white_noise_stays_at_chance():
    def noise(seed):
        return torch.rand(4, 1, 32, 16, 16, generator=torch.Generator().manual_seed(seed))

    method, views = learn(noise, steps=100)
    found = sum(accuracy(method, views, noise(10**6 + i), rounds=1) for i in range(60)) / 60
    assert abs(found - 1 / 16) < 3 * math.sqrt(15 / 16**2 / (60 * 32))
