"""The momentum encoder: MoCo-1, MoCo-2, BYOL-1 to BYOL-3, C2L-3, and ShuffleBN, C2L-9 of docs/properties.md."""

import pytest
import torch
from torch import nn
from two_processes import both

from monai_ssl.networks import MomentumNetwork, shuffle_batch, unshuffle_batch


def online(seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Linear(4, 2))


def disturb(network):
    with torch.no_grad():
        for p in network.parameters():
            p.add_(torch.randn_like(p))


def test_starts_as_a_copy_of_parameters_and_buffers_that_shares_no_memory():
    network = online()
    network(torch.randn(8, 3))
    copy = MomentumNetwork(network)
    assert all(
        torch.equal(a, b)
        for a, b in zip(network.state_dict().values(), copy.network.state_dict().values(), strict=False)
    )
    disturb(network)
    assert not any(torch.equal(a, b) for a, b in zip(network.parameters(), copy.parameters(), strict=True))


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.996, 0.999, 1.0])
def test_follows_by_the_formula(momentum):
    network = online()
    copy = MomentumNetwork(network)
    disturb(network)
    before = [p.clone() for p in copy.parameters()]
    copy.follow(network, momentum)
    for old, new, own in zip(before, network.parameters(), copy.parameters(), strict=True):
        assert torch.allclose(own, momentum * old + (1 - momentum) * new, atol=1e-6)
    if momentum in (0.0, 1.0):
        exact = network.parameters() if momentum == 0.0 else before
        assert all(torch.equal(a, b) for a, b in zip(exact, copy.parameters(), strict=True))


def test_keeps_running_statistics_of_its_own_batches():
    network = online()
    copy = MomentumNetwork(network)
    copy.train()
    copy(5 + torch.randn(16, 3))
    own = copy.network[1].running_mean.clone()
    assert not torch.equal(own, network[1].running_mean)
    copy.follow(network, 0.0)
    assert torch.equal(copy.network[1].running_mean, own)


def test_no_gradient_reaches_the_copy_or_passes_through_it():
    network = online()
    copy = MomentumNetwork(network)
    x = torch.randn(8, 3, requires_grad=True)
    assert not copy(x).requires_grad and not any(p.requires_grad for p in copy.parameters())
    (network(x) - copy(x)).square().sum().backward()
    assert all(p.grad is None for p in copy.parameters()) and all(p.requires_grad for p in network.parameters())


def test_online_network_is_not_part_of_its_state():
    copy = MomentumNetwork(online())
    assert all(name.startswith("network.") for name in copy.state_dict())
    assert len(copy.state_dict()) == len(online().state_dict())


def test_another_network_cannot_be_followed():
    copy = MomentumNetwork(online())
    with pytest.raises(ValueError, match="zip"):
        copy.follow(online()[0], 0.9)


def test_one_process_shuffles_nothing():
    x = torch.randn(4, 2)
    dealt, order = shuffle_batch(x, torch.Generator())
    assert torch.equal(dealt, x) and order.tolist() == [0, 1, 2, 3]
    assert torch.equal(unshuffle_batch(dealt, order), x)


def on_a_rank(rank):
    generator = torch.Generator().manual_seed(5)
    x = torch.arange(4.0)[:, None] + 10 * rank
    found = {"deals": [], "back": []}
    for _ in range(8):
        dealt, order = shuffle_batch(x, generator)
        found["deals"].append(dealt.flatten())
        found["back"].append(unshuffle_batch(2 * dealt, order).flatten())
    return found


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return both(on_a_rank, tmp_path_factory.mktemp("ranks"))


@pytest.mark.slow
def test_two_processes_deal_their_samples_to_each_other_and_get_them_back(ranks):
    everybody = {0.0, 1.0, 2.0, 3.0, 10.0, 11.0, 12.0, 13.0}
    for first, second in zip(ranks[0]["deals"], ranks[1]["deals"], strict=True):
        assert len(first) == len(second) == 4 and {*first.tolist(), *second.tolist()} == everybody
    for number, rank in enumerate(ranks):
        assert len({tuple(d.tolist()) for d in rank["deals"]}) > 1, "dealt anew each time"
        assert any({*d.tolist()} != {10.0 * number + i for i in range(4)} for d in rank["deals"])
        assert all(b.tolist() == [2.0 * (10 * number + i) for i in range(4)] for b in rank["back"])
