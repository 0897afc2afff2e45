"""Exactly one of several transforms for each sample: TransVW-5 of docs/properties.md."""

import pytest
import torch
from contract import SHAPES, check_contract

from monai_ssl.transforms import (
    RandBezierd,
    RandFlipBatchd,
    RandGaussianNoiseBatchd,
    RandOneOfd,
    Snapshotd,
)


def noise_or_flip(prob):
    return RandOneOfd(
        [RandGaussianNoiseBatchd("image", [0.1, 0.2], prob), RandFlipBatchd("image", axis_prob=1.0, prob=prob)]
    )


@pytest.mark.parametrize("shape", SHAPES)
def test_contract(shape):
    check_contract(noise_or_flip, shape)


def adding(amount):
    """Noise without spread: adds ``amount``."""
    return RandGaussianNoiseBatchd("image", [0.0, 0.0], mean=amount)


def test_each_sample_gets_exactly_the_one_that_was_chosen():
    one_of = RandOneOfd([adding(1.0), adding(10.0), adding(100.0)], params_key="done").set_random_state(0)
    out = one_of.batch({"image": torch.zeros(60, 1, 2, 2), "label": torch.arange(60)})
    added = out["image"].flatten(1)
    assert (added == added[:, :1]).all() and set(added[:, 0].tolist()) == {1.0, 10.0, 100.0}
    assert torch.equal(added[:, 0], 10.0 ** out["done"]["choice"])
    assert torch.equal(out["label"], torch.arange(60))


@pytest.mark.parametrize(("weights", "shares"), [(None, [0.25] * 4), ([1, 0, 2, 1], [0.25, 0, 0.5, 0.25])])
def test_shares(weights, shares):
    one_of = RandOneOfd([adding(float(n)) for n in range(4)], weights, params_key="done").set_random_state(0)
    choice = one_of.batch({"image": torch.zeros(6000, 1, 1, 1)})["done"]["choice"]
    assert torch.allclose(choice.bincount(minlength=4) / 6000, torch.tensor(shares), atol=0.02)


def test_absent_keys_are_left_alone():
    one_of = RandOneOfd([RandBezierd("image", allow_missing_keys=True)])
    assert one_of.batch({"label": 1}) == {"label": 1} == one_of({"label": 1})


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="needs at least one transform"):
        RandOneOfd([])
    with pytest.raises(TypeError, match="random transforms of this package, got Snapshotd"):
        RandOneOfd([Snapshotd("image", "target")])
    with pytest.raises(ValueError, match="treats the same keys whatever it chooses"):
        RandOneOfd([RandBezierd("image"), RandBezierd("view")])
    for weights in ([1.0], [-1.0, 2.0], [0.0, 0.0]):
        with pytest.raises(ValueError, match="`weights` must be 2 numbers, not negative, one above 0"):
            RandOneOfd([adding(1.0), adding(2.0)], weights)
