from itertools import pairwise

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from monai_ssl.networks import ConvEncoder, EncoderClassifier
from monai_ssl.transfer import FinetuneScheme, parameter_groups


def network():
    torch.manual_seed(0)
    return EncoderClassifier(ConvEncoder(2, 1, (4, 8)), 2)


def train(net, scheme, epochs, **options):
    """Return the state of the network at the start and after each epoch."""
    optimizer = torch.optim.AdamW(parameter_groups(net, 0.1, options.pop("scale", 1.0)), lr=0.1)

    def step(engine, batch):
        net.train()
        optimizer.zero_grad(set_to_none=True)
        net(batch).square().sum().backward()
        optimizer.step()

    engine = Engine(step)
    FinetuneScheme(net, scheme, **options).attach(engine)
    states = [copy(net)]
    for epoch in range(epochs):
        engine.run([torch.rand(4, 1, 8, 8)] * 2, max_epochs=epoch + 1)
        states.append(copy(net))
    return states


def copy(net):
    return {k: v.clone() for k, v in net.state_dict().items()}


def moved(a, b, prefix):
    return any(not torch.equal(a[k], b[k]) for k in a if k.startswith(prefix))


def test_fixed_moves_nothing_of_the_encoder_not_even_statistics():
    first, *rest = train(network(), "fixed", 3)
    assert all(not moved(first, state, "encoder.") and moved(first, state, "head.") for state in rest)


def test_warmup_frees_the_encoder_after_its_epochs():
    states = train(network(), "warmup", 4, warmup_epochs=2)
    changes = [moved(a, b, "encoder.") for a, b in pairwise(states)]
    assert changes == [False, False, True, True]
    assert moved(states[2], states[3], "encoder.stages.0.norm1.running_mean")


def test_full_moves_all_from_the_start_and_scale_0_only_statistics():
    first, second = train(network(), "full", 1)
    assert moved(first, second, "encoder.stages.0.conv1.weight")
    first, second = train(network(), "full", 1, scale=0.0)
    assert not moved(first, second, "encoder.stages.0.conv1") and moved(first, second, "encoder.stages.0.norm1.running")


def test_groups_hold_every_parameter_once_at_their_rate():
    net = network()
    encoder, rest = parameter_groups(nn.DataParallel(net), 0.01, 0.1)
    assert [id(p) for p in encoder["params"] + rest["params"]] == [id(p) for p in net.parameters()]
    assert (encoder["lr"], rest["lr"]) == (0.001, 0.01)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"`encoder_lr_scale` must be at least 0, got -1"):
        parameter_groups(network(), 0.1, -1)
    with pytest.raises(ValueError, match=r"Linear has no `encoder` to fine-tune"):
        parameter_groups(nn.Linear(1, 1), 0.1)
    with pytest.raises(ValueError, match=r"`scheme` must be one of .* got 'frozen'"):
        FinetuneScheme(network(), "frozen")
    with pytest.raises(ValueError, match=r"`warmup_epochs` must be at least 1, got 0"):
        FinetuneScheme(network(), "warmup", 0)
