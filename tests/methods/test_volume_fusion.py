"""Volume fusion: chance and perfect answers, and that the answer lies in the images."""

import math

import pytest
import torch

from monai_ssl.methods import VolumeFusion
from monai_ssl.networks import ConvEncoder, RestorationUNet
from monai_ssl.transforms import RandVolumeFusiond

SMALL: dict[str, dict] = {
    "pretrain": {"depths": [1, 1, 1, 1]},
    "pretrain_2d": {"widths": [2, 4, 8, 16], "depths": [1, 1, 1, 1]},
}
MOVES = dict.fromkeys(("cross_entropy", "dice"), ("network.encoder.", "network.decoder.", "network.head."))


def make():
    torch.manual_seed(0)
    return VolumeFusion(RestorationUNet(ConvEncoder(2, widths=(8, 16)), 5, bounded=False))


def batch(x):
    return RandVolumeFusiond("view", least=3).set_random_state(0).batch({"view": x})


def answering(logits):
    method = make()
    method.network.forward = lambda view: logits
    return method


def test_chance_and_perfect_answers():
    data = batch(torch.rand(2, 1, 32, 32))
    random = answering(torch.zeros(2, 5, 32, 32)).losses(data)
    assert random["cross_entropy"].item() == pytest.approx(math.log(5), rel=1e-6)
    right = torch.nn.functional.one_hot(data["levels"], 5).movedim(-1, 1).float() * 50
    perfect = answering(right)
    assert all(abs(term) < 1e-4 for term in perfect.losses(data).values()) and perfect.metrics(data)["accuracy"] == 1
    assert torch.equal(perfect.panels(data)["found"], perfect.panels(data)["levels"])


@pytest.mark.slow
def test_equal_images_cannot_be_told_apart_and_unlike_ones_can():
    costs = {}
    for kind, second in (("equal", 0.0), ("unlike", 1.0)):
        torch.manual_seed(0)
        method = make()
        optimizer = torch.optim.Adam(method.parameters(), 0.01)
        for step in range(150):
            data = (
                RandVolumeFusiond("view", least=8)
                .set_random_state(step)
                .batch({"view": torch.stack([torch.zeros(1, 32, 32), torch.full((1, 32, 32), second)])})
            )
            loss = method.losses(data)["cross_entropy"]
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        costs[kind] = loss.item()
    # five classes at random cost log 5 = 1.609
    assert costs["unlike"] < 1.35 < 1.4 < costs["equal"]
