"""PIRL: PIRL-1 to PIRL-4 of docs/properties.md."""

from collections import Counter

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.methods import PIRL
from monai_ssl.networks import ConvEncoder, ShuffledPatches

SMALL = {
    "pretrain": {
        "lr": 0.001,
        "crops#0#sizes": [[16, 16, 16], [20, 20, 16]],
        "cell_size": [8, 8, 8],
        "gap": 0,
        "jitter": 0,
    },
    "pretrain_2d": {"cells": [2, 2], "cell_size": [32, 32], "gap": 0, "jitter": 0},
}
MOVES = {"image": ("network.encoder.", "network.projector."), "patches": ("network.encoder.", "shuffled.")}


def make(**options) -> PIRL:
    torch.manual_seed(0)
    return PIRL(ConvEncoder(2, widths=(2, 4, 8)), **({"samples": 9, "cells": (2, 2), "dim": 4} | options))


def views(size=3):
    g = torch.Generator().manual_seed(0)
    batch = {name: torch.rand(size, 1, 16, 16, generator=g) for name in ("view1", "view2")}
    cells = torch.rand(size * 4, 1, 8, 8, generator=g)
    return {**batch, "cells": cells, "index": torch.tensor([5, 0, 7])[:size]}


def test_image_and_patches_meet_one_entry_and_beta_weighs_them():
    """PIRL-1: eq. 5."""
    batch, old = views(), make().instances.bank.features
    found = {beta: {k: v.item() for k, v in make(beta=beta)(batch).items()} for beta in (0.0, 0.25, 1.0)}
    method = make()
    image = method.network(batch["view1"])
    wanted = method.instances(image, old[batch["index"]], batch["index"]).item()
    assert found[0.0]["image"] == pytest.approx(wanted, rel=1e-5) and found[0.0]["patches"] == 0
    assert found[0.25]["image"] == pytest.approx(0.75 * wanted, rel=1e-5) and found[1.0]["image"] == 0
    assert method.chance["image"] == pytest.approx(0.5 * method.instances.chance)


def test_the_bank_follows_the_image_only():
    """PIRL-2."""
    states = []
    for change in (0.0, 0.5):
        method, batch = make(), views()
        batch["cells"] = batch["cells"] + change
        before = method.instances.bank.features.clone()
        method(batch)
        method.after_step()
        assert not torch.equal(method.instances.bank.features, before)
        states.append(method.instances.bank.features)
    assert torch.equal(*states)


def test_each_image_draws_an_order_of_its_own_among_all():
    """PIRL-3: the value depends on the order, its distribution does not depend on the order before."""
    patches = ShuffledPatches(3, 3, dim=1)
    with torch.no_grad():
        patches.each.weight.copy_(torch.ones(1, 3)), patches.each.bias.zero_()
        patches.joint.weight.copy_(torch.tensor([[1.0, 10.0, 100.0]])), patches.joint.bias.zero_()
        x = torch.eye(3).cumsum(0).repeat(600, 1)  # patches that sum to 1, 2 and 3
        orders = Counter(patches(x).flatten().round().int().tolist())
        turned = Counter(patches(x.flip(0)).flatten().round().int().tolist())
    for seen in (orders, turned):
        assert set(seen) == {123, 132, 213, 231, 312, 321} and min(seen.values()) > 60


def test_gradients_reach_the_encoder_from_both_terms_and_validation_finds_its_other_view():
    """PIRL-4."""
    for term in ("image", "patches"):
        method = make()
        method(views())[term].backward()
        assert all(p.grad.abs().sum() > 0 for p in method.encoder.stages[0].conv1.parameters())
    method = make().eval()
    batch = {**views(), "index": torch.tensor([40, 41, 42])}
    other = F.normalize(method.network(batch["view2"]), dim=1)
    wanted = 0.5 * method.instances(method.network(batch["view1"]), other, batch["index"])
    torch.testing.assert_close(method(batch)["image"], wanted)
