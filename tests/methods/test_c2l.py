"""C2L: C2L-1, C2L-2, C2L-4 to C2L-10 of docs/properties.md."""

import copy
import json
import math
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from monai_ssl.losses import info_nce
from monai_ssl.methods import C2L
from monai_ssl.methods.c2l import mix
from monai_ssl.networks import ConvEncoder, ResNetEncoder
from monai_ssl.schedules import steps
from monai_ssl.transforms import RandCutoutd

SMALL = {
    "pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]], "cutout#0#size": 4, "queue_size": 8},
    "pretrain_2d": {"cutout#0#size": 8, "queue_size": 8},
}
PARTS = ("student.encoder.", "student.projector.")
MOVES = {"contrast": PARTS, "mixed_contrast": PARTS, "mixed_feature_contrast": PARTS}
BUNDLE = Path(__file__).parents[2] / "bundles" / "c2l"


def make(seed=0, **options) -> C2L:
    torch.manual_seed(seed)
    return C2L(ConvEncoder(widths=(2, 4, 8, 16)), **({"dim": 6, "queue_size": 16} | options))


def views(size=4, seed=0, shape=(1, 16, 16, 8)):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.rand(size, *shape, generator=g) for name in ("view1", "view2")}


def total(terms):
    return torch.stack(list(terms.values())).sum()


def with_mix(method, ratio, order):
    method._draw = lambda count, device: (ratio, torch.tensor(order))
    return method


def step(method, seed=0, lr=0.1):
    optimizer = torch.optim.SGD(method.parameters(), lr)
    loss = total(method(views(seed=seed)))
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    method.after_step()
    return loss.item()


# C2L-1, C2L-2: mixing ---------------------------------------------------------------------------------------------


def test_the_ratio_is_the_larger_share_and_uniform():
    torch.manual_seed(0)
    ratios = np.array([make()._draw(2, torch.device("cpu"))[0] for _ in range(20)])
    assert ratios.min() >= 0.5 and ratios.max() <= 1
    method = make()
    ratios = np.array([method._draw(2, torch.device("cpu"))[0] for _ in range(4000)])
    counts = np.histogram(ratios, bins=5, range=(0.5, 1))[0]
    assert counts.sum() == 4000 and np.all(abs(counts - 800) < 100)
    method = make(alpha=50.0)
    assert max(method._draw(2, torch.device("cpu"))[0] for _ in range(200)) < 0.75


def test_all_permutations_are_drawn():
    method = make()
    assert len({tuple(method._draw(3, torch.device("cpu"))[1].tolist()) for _ in range(100)}) == 6


def test_nothing_mixed_is_the_plain_contrast():
    terms = with_mix(make(), 1.0, [1, 0, 3, 2])(views())
    torch.testing.assert_close(terms["mixed_contrast"], terms["contrast"])
    torch.testing.assert_close(terms["mixed_feature_contrast"], terms["contrast"])
    terms = with_mix(make(), 0.6, [1, 0, 3, 2])(views())
    assert terms["mixed_contrast"] != terms["contrast"]
    assert terms["mixed_feature_contrast"] != terms["mixed_contrast"]


# C2L-4, C2L-5: the queue ---------------------------------------------------------------------------------------------


def test_only_the_plain_keys_enter_the_queue_first_in_first_out():
    method = make(queue_size=10)
    expected = method.queue.features.clone()
    for number in range(4):
        frozen = copy.deepcopy(method)
        keys = nn.functional.normalize(frozen.teacher(views(seed=number)["view2"]), dim=1)
        step(method, number)
        for i in range(4):
            expected[(4 * number + i) % 10] = keys[i]
        torch.testing.assert_close(method.queue.features, expected, atol=1e-5, rtol=0)
        assert method.queue.pointer == (4 * number + 4) % 10
    assert {"queue.features", "queue.pointer"} <= set(method.state_dict())


def test_no_key_of_the_step_is_among_its_negatives():
    method = make()
    before = method.queue.features.clone()
    frozen = with_mix(copy.deepcopy(method), 0.7, [2, 0, 3, 1])
    got = with_mix(method, 0.7, [2, 0, 3, 1])(views())
    assert torch.equal(method.queue.features, before) and len(method.queue.held) == 1
    mixed = {k: mix(v, 0.7, torch.tensor([2, 0, 3, 1])) for k, v in views().items()}
    query, key = frozen.student(mixed["view1"]), frozen.teacher(mixed["view2"])
    torch.testing.assert_close(got["mixed_contrast"], info_nce(query, key, before, 0.07) / 3)


def test_random_vectors_lose_the_logarithm_of_the_choices():
    torch.manual_seed(0)
    method = make(dim=128, queue_size=16384, temperature=1.0)
    method.student.projector = Random()
    method.teacher.network.projector = Random()
    assert total(method(views(size=8))).item() == pytest.approx(math.log(16385), abs=0.2)


class Random(nn.Module):
    def forward(self, x):
        return torch.randn(len(x), 128, requires_grad=True)


# C2L-8: cutout ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("config", "shape"), [("pretrain", (1, 64, 64, 32)), ("pretrain_2d", (3, 224, 224))])
def test_cut_out_comes_last_with_few_small_holes_of_the_mean(config, shape):
    bundle = json.loads((BUNDLE / f"configs/{config}.json").read_text())
    order = [t["transforms"] if "transforms" in t else t["_target_"] for t in bundle["views"]["transforms"]]
    assert order[0] == "@augment" and order[-1] == "@cutout" and len(order) == 3
    (cutout,) = bundle["cutout"]
    options = {k: v for k, v in cutout.items() if k != "_target_"}
    assert options["num_holes"] == 3
    hole = np.prod(options["size"]) if isinstance(options["size"], list) else options["size"] ** 2
    assert hole / np.prod(shape[1:]) == pytest.approx((32 / 224) ** (len(shape) - 1), rel=0.1)
    x = torch.ones(40, *shape)
    out = RandCutoutd(**options).set_random_state(0).batch({"image": x})["image"]
    hidden = (out == 0)[:, 0].flatten(1).sum(1)
    assert set(out.unique().tolist()) == {0.0, 1.0}
    assert hidden.max() <= 3 * hole and hidden.min() > 0 and hidden.min() < 3 * hole, "borders cut holes off"


# C2L-9: dealing among processes -----------------------------------------------------------------------------------


def test_both_passes_of_the_teacher_are_dealt_in_training_only(monkeypatch):
    calls = []

    def reverse(x, generator):
        calls.append(len(x))
        return x.flip(0), torch.arange(len(x)).flip(0)

    plain = with_mix(make(), 0.7, [2, 0, 3, 1])
    expected = plain(views())
    monkeypatch.setattr("monai_ssl.methods.c2l.shuffle_batch", reverse)
    monkeypatch.setattr("monai_ssl.methods.c2l.unshuffle_batch", lambda x, order: x[order.argsort()])
    dealt = with_mix(make(), 0.7, [2, 0, 3, 1])
    got = dealt(views())
    assert calls == [4, 4]
    assert all(torch.allclose(got[k], expected[k], rtol=1e-4) for k in got)
    dealt.eval()(views())
    assert calls == [4, 4]


# C2L-10 and the rest ----------------------------------------------------------------------------------------------


def test_parameters_with_a_resnet_18():
    with torch.device("meta"):
        method = C2L(ResNetEncoder())
    assert sum(p.numel() for p in method.student.parameters()) == 11_242_176
    assert method.queue.features.shape == (16384, 128) and method.momentum == 0.999


@pytest.mark.parametrize("config", ["pretrain", "pretrain_2d"])
def test_the_learning_rate_falls_as_in_the_code(config):
    bundle = json.loads((BUNDLE / f"configs/{config}.json").read_text())
    schedule = bundle["train"]["handlers"][0]["schedule"]
    assert schedule == "$monai_ssl.schedules.steps(@lr, 0.1, [1 / 2, 2 / 3, 5 / 6])"
    rate = steps(bundle["lr"], 0.1, [1 / 2, 2 / 3, 5 / 6])
    epochs = [rate(e / bundle["max_epochs"]) for e in range(bundle["max_epochs"])]
    falls = [e for e, (a, b) in enumerate(pairwise(epochs), 1) if b < a]
    assert falls == [120, 160, 200] and epochs[0] == 0.03 and epochs[-1] == pytest.approx(3e-5)


def test_pictures_show_the_mixtures():
    data = views()
    panels = with_mix(make(), 0.7, [2, 0, 3, 1]).panels(data)
    assert list(panels) == ["view1", "view2", "mixed1", "mixed2"]
    for view, mixed in (("view1", "mixed1"), ("view2", "mixed2")):
        assert torch.equal(panels[view], data[view])
        torch.testing.assert_close(panels[mixed][1], 0.7 * data[view][1] + 0.3 * data[view][0])
