"""Batch norm statistics of the target, when an evaluation starts."""

import logging

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from monai_ssl.handlers import TargetStatistics


class Tiny(nn.Module):
    def __init__(self, norm):
        super().__init__()
        self.encoder, self.head = nn.Sequential(norm), nn.Linear(2, 2)

    def forward(self, x):
        return self.head(self.encoder(x).mean((2, 3)))


def evaluated(network, handler):
    engine = Engine(lambda engine, batch: network.eval()(batch))
    handler.attach(engine)
    engine.run([torch.zeros(1, 2, 4, 4)])


def test_the_loader_begins_anew_until_there_are_batches_enough():
    torch.manual_seed(0)
    network = Tiny(nn.BatchNorm2d(2))
    layer = network.encoder[0]
    layer.running_mean.fill_(7)
    batches = [{"image": torch.randn(4, 2, 4, 4) * (i + 1) + i} for i in range(3)]
    before = {name: p.clone() for name, p in network.named_parameters()}
    handler = TargetStatistics(network, batches, 5)
    evaluated(network, handler)
    seen = [batches[i]["image"] for i in (0, 1, 2, 0, 1)]
    mean = torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0)
    variance = torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0)
    torch.testing.assert_close(layer.running_mean, mean)
    torch.testing.assert_close(layer.running_var, variance)
    assert all(torch.equal(p, before[name]) for name, p in network.named_parameters())
    moved = (mean - 7).double().square().sum() + (variance - 1).double().square().sum()
    assert handler.distance.total == pytest.approx(float(moved), rel=1e-5)


def test_a_network_without_running_statistics_is_left_alone(caplog):
    network = Tiny(nn.GroupNorm(1, 2))
    handler = TargetStatistics(network, [])
    with caplog.at_level(logging.INFO):
        evaluated(network, handler)
    assert handler.distance is None and "not applicable" in caplog.text


def test_what_gives_no_statistics_is_refused():
    with pytest.raises(ValueError, match="`batches` of `TargetStatistics` must be 1 or more, got 0"):
        TargetStatistics(nn.Identity(), [], 0)
    network = Tiny(nn.BatchNorm2d(2))
    with pytest.raises(ValueError, match="No batch was given"):
        evaluated(network, TargetStatistics(network, []))
