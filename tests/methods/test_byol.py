"""BYOL: BYOL-4 and BYOL-5 of docs/properties.md."""

from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from monai_ssl.methods import BYOL
from monai_ssl.networks import ConvEncoder

BUNDLE = Path(__file__).parents[2] / "bundles/byol"
SMALL = {"pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]]}, "pretrain_2d": {}}
MOVES = {"regression": ("online.", "predictor.")}


def make(**options):
    torch.manual_seed(0)
    return BYOL(ConvEncoder(widths=(2, 4, 8, 16)), **{"hidden": 16, "dim": 8} | options)


def batch(size=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.rand(size, 1, 16, 16, 8, generator=g) for name in ("view1", "view2")}


def train_step(method, data, lr=0.1):
    optimizer = torch.optim.SGD(method.parameter_groups(), lr=lr)
    method.losses(data)["regression"].backward()
    optimizer.step()
    return optimizer


def test_momentum_stays_or_rises_to_its_end():
    for final, expected in ((None, [0.5, 0.5, 0.5]), (1.0, [0.5, 0.75, 1.0])):
        method = make(momentum=0.5, final_momentum=final)
        assert [method.momentum(p) for p in (0.0, 0.5, 1.0)] == pytest.approx(expected)
    method = make(momentum=0.5, final_momentum=1.0)
    train_step(method, batch())
    before = [p.clone() for p in method.target.parameters()]
    method.progress = 1.0
    method.after_step()
    assert all(torch.equal(a, b) for a, b in zip(before, method.target.parameters(), strict=True))


@pytest.mark.parametrize(("sign", "expected"), [(1, 0.0), (-1, 8.0)])
def test_is_zero_for_aligned_and_four_a_direction_for_opposite_vectors(sign, expected):
    method, data = make(), batch()
    method.predictor = Times(sign)
    value = method.losses({"view1": data["view1"], "view2": data["view1"]})["regression"].item()
    assert value == pytest.approx(expected, abs=1e-5)


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def test_state_names_both_encoders_and_the_user_says_which_is_kept():
    method = make()
    names = method.state_dict()
    assert "online.encoder.stages.0.conv1.weight" in names and "target.network.encoder.stages.0.conv1.weight" in names
    assert method.encoder is method.online.encoder
    assert make(kept="target").encoder is not None
    target = make(kept="target")
    assert target.encoder is target.target.network.encoder
    train_step(target, batch())
    assert all(p.grad is not None for p in target.online.encoder.parameters()), "still trains the online network"


def test_the_other_encoder_can_be_exported_later(tmp_path):
    """The lines of the bundle's README."""
    from monai_ssl.bundle import load_method
    from monai_ssl.transfer import ModelCard, export_weights, load_weights, read_card

    trained = make()
    train_step(trained, batch())
    card = ModelCard("byol", "paper", {"_target_": "monai_ssl.networks.ConvEncoder", "widths": [2, 4, 8, 16]}, "ct")
    export_weights(trained, tmp_path / "encoder.safetensors", card)
    torch.save(trained.state_dict(), tmp_path / "model.pt")
    method = make(kept="target")
    load_method(method, str(tmp_path / "model.pt"))
    export_weights(method, tmp_path / "target.safetensors", read_card(tmp_path / "encoder.safetensors"))

    class Task(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder = ConvEncoder(widths=(2, 4, 8, 16))

    task = Task()
    load_weights(task, tmp_path / "target.safetensors")
    for key, value in task.encoder.state_dict().items():
        assert torch.equal(value, trained.target.network.encoder.state_dict()[key])
    assert not torch.equal(task.encoder.stages[0].conv1.weight, trained.online.encoder.stages[0].conv1.weight)


@pytest.mark.parametrize("prefix", ["", "module."])
def test_a_state_with_both_encoders_is_not_loaded_without_saying_which(prefix):
    from monai_ssl.transfer import load_weights

    trained, network = make(), ConvEncoder(widths=(2, 4, 8, 16))
    train_step(trained, batch())
    trained.after_step()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    state = {prefix + k: v for k, v in trained.state_dict().items()}
    with pytest.raises(
        ValueError, match=r"`encoder` more than once \(online.encoder, target.network.encoder\); export"
    ):
        load_weights(network, {"method": state})
    assert all(torch.equal(before[k], v) for k, v in network.state_dict().items())
    one = {k: v for k, v in state.items() if not k.startswith(f"{prefix}target.")}
    load_weights(network, one)
    assert torch.equal(network.stages[0].conv1.weight, trained.online.encoder.stages[0].conv1.weight)


def test_heads_are_those_of_the_study():
    method = BYOL(ConvEncoder())
    for head, first in ((method.online.projector, 512), (method.predictor, 256)):
        assert [type(x).__name__ for x in head] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
        assert (head[0].in_features, head[0].out_features, head[3].out_features) == (first, 512, 256)


def test_bundle_names_the_encoder_to_keep():
    parser = ConfigParser()
    parser.read_config(str(BUNDLE / "configs/pretrain.json"))
    parser["widths"], parser["kept"] = [2, 4, 8, 16], "target"
    method = parser.get_parsed_content("network_def")
    assert method.encoder is method.target.network.encoder
