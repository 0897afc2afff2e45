from itertools import pairwise

import pytest
import torch
from ignite.engine import Engine
from torch import nn

from monai_ssl.networks import ConvEncoder, EncoderClassifier, SkipUNet
from monai_ssl.transfer import FinetuneScheme, parameter_groups, polynomial_decay


def network():
    torch.manual_seed(0)
    return EncoderClassifier(ConvEncoder(2, 1, (4, 8)), 2)


def train(net, scheme, epochs, **options):
    """Return the state of the network at the start and after each epoch."""
    optimizer = torch.optim.AdamW(parameter_groups(net, options.pop("encoder_lr", 0.1), 0.1), lr=0.1)
    if options.pop("adapt", False):
        options["optimizer"] = optimizer

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


def test_warmup_lasts_25_epochs_unless_told():
    states = train(network(), "warmup", 26)
    assert not moved(states[0], states[25], "encoder.") and moved(states[0], states[25], "head.")
    assert moved(states[25], states[26], "encoder.stages.0.conv1")


def test_full_moves_all_from_the_start_and_rate_0_only_statistics():
    first, second = train(network(), "full", 1)
    assert moved(first, second, "encoder.stages.0.conv1.weight")
    first, second = train(network(), "full", 1, encoder_lr=0.0)
    assert not moved(first, second, "encoder.stages.0.conv1") and moved(first, second, "encoder.stages.0.norm1.running")


def test_fixed_with_moving_statistics_is_full_at_rate_0():
    # dropout off, or both would need the same draws
    nets = [network(), network()]
    for net in nets:
        net.dropout.p = 0.0
    torch.manual_seed(1)
    fixed = train(nets[0], "fixed", 2, bn_frozen=False)[-1]
    torch.manual_seed(1)
    scaled = train(nets[1], "full", 2, encoder_lr=0.0)[-1]
    assert all(torch.equal(fixed[k], scaled[k]) for k in fixed)
    assert moved(copy(network()), fixed, "encoder.stages.0.norm1.running")


def held(optimizer):
    return {id(p) for group in optimizer.param_groups for p in group["params"]}


def test_the_optimizer_holds_what_is_trained_and_forgets_when_the_warmup_ends():
    net = network()
    optimizer = torch.optim.AdamW(parameter_groups(net, 0.1), lr=0.1)
    scheme = FinetuneScheme(net, "warmup", 1, optimizer=optimizer)
    seen, remembered = [], []

    def step(engine, batch):
        trainable = {id(p) for p in net.parameters() if p.requires_grad}
        seen.append((held(optimizer) == trainable, len(trainable)))
        remembered.append(len(optimizer.state))
        optimizer.zero_grad(set_to_none=True)
        net(batch).square().sum().backward()
        optimizer.step()

    engine = Engine(step)
    scheme.attach(engine)
    engine.run([torch.rand(4, 1, 8, 8)] * 2, max_epochs=3)
    every, head = len(list(net.parameters())), len(list(net.head.parameters()))
    assert seen == [(True, head)] * 2 + [(True, every)] * 4
    assert remembered == [0, head, 0, every, every, every]
    assert [group["lr"] for group in optimizer.param_groups] == [0.1, 0.1]


@pytest.mark.parametrize("scheme", ["fixed", "warmup"])
def test_schemes_with_their_optimizer(scheme):
    states = train(network(), scheme, 2, adapt=True, **({"warmup_epochs": 1} if scheme == "warmup" else {}))
    assert not moved(states[0], states[1], "encoder.") and moved(states[0], states[1], "head.")
    assert moved(states[1], states[2], "encoder.stages.0.conv1") == (scheme == "warmup")


def test_groups_hold_every_parameter_once_at_their_rate():
    net = network()
    encoder, rest = parameter_groups(nn.DataParallel(net), 0.001, 0.01)
    assert [id(p) for p in encoder["params"] + rest["params"]] == [id(p) for p in net.parameters()]
    assert (encoder["lr"], rest["lr"]) == (0.001, 0.01)
    assert [group["lr"] for group in parameter_groups(net, 0.1)] == [0.1, 0.1]


@pytest.mark.parametrize(
    ("part", "slow"),
    [("encoder", ["encoder"]), ("decoder", ["decoder"]), ("both", ["encoder", "decoder"]), ("none", ["encoder"])],
)
def test_what_was_pretrained_learns_at_the_rate_of_its_own(part, slow):
    net = SkipUNet(ConvEncoder(3, 1, (2, 4)), 2)
    names = {id(parameter): name for name, parameter in net.named_parameters()}
    first, rest = ([names[id(p)] for p in group["params"]] for group in parameter_groups(net, 1e-4, 1e-3, part))
    assert {name.split(".")[0] for name in first} == set(slow)
    assert sorted(first + rest) == sorted(names.values())
    assert not any(name.split(".")[0] in slow for name in rest) and rest


def rates(epochs, **options):
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], 2.0)
    optimizer.add_param_group({"params": [nn.Parameter(torch.ones(1))], "lr": 0.2})
    schedule, found = polynomial_decay(optimizer, epochs, **options), []
    for _ in range(epochs + 1):
        found.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return found


def test_all_rates_rise_linearly_and_fall_as_a_power():
    """nnU-Net's fine-tuning: linear over the first epochs, then (1 - share of the rest) ** 0.9."""
    wanted = [(e + 1) / 5 if e < 5 else (1 - (e - 5) / 15) ** 0.9 for e in range(21)]
    for (body, head), factor in zip(rates(20, warmup_epochs=5), wanted, strict=True):
        assert (body, head) == pytest.approx((2 * factor, 0.2 * factor))
    plain = torch.optim.SGD([nn.Parameter(torch.ones(1))], 2.0)
    former = torch.optim.lr_scheduler.PolynomialLR(plain, 20, power=0.9)
    for body, _ in rates(20):
        assert body == plain.param_groups[0]["lr"]
        plain.step()
        former.step()
    with pytest.raises(ValueError, match=r"`lr_warmup_epochs` must be in \[0, 3\), got 3"):
        rates(3, warmup_epochs=3)


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"`head_lr` must be at least 0, got -1"):
        parameter_groups(network(), 0.1, -1)
    with pytest.raises(ValueError, match=r"EncoderClassifier has no `decoder`"):
        parameter_groups(network(), 0.1, part="both")
    with pytest.raises(ValueError, match=r"Linear has no `encoder` to fine-tune"):
        parameter_groups(nn.Linear(1, 1), 0.1)
    with pytest.raises(ValueError, match=r"`scheme` must be one of .* got 'frozen'"):
        FinetuneScheme(network(), "frozen")
    with pytest.raises(ValueError, match=r"`warmup_epochs` must be at least 1, got 0"):
        FinetuneScheme(network(), "warmup", 0)
