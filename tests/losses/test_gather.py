"""Losses and gradients of two processes equal those of one: Barlow-8 and SIM-3 of docs/properties.md."""

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from two_processes import both

from monai_ssl.losses import FeatureQueue, barlow_twins, gather, gather_keys, info_nce, nt_xent, symmetric_cosine

LOSSES = {
    "nt_xent": lambda a, b: nt_xent(a, b, 0.2),
    "nt_xent_one_sided": lambda a, b: nt_xent(a, b, 0.2, symmetric=False),
    "barlow_twins": lambda a, b: barlow_twins(a, b, 0.01),
    "info_nce": lambda a, b: info_nce(a, b.detach(), negatives(), 0.2),
    "symmetric_cosine": lambda a, b: symmetric_cosine(a, b, b, a),
}


def negatives():
    return nn.functional.normalize(torch.randn(16, 6, generator=torch.Generator().manual_seed(3)), dim=1)


def data():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 8, 5, generator=generator)


def network():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6))


def trained(net, views, loss):
    """The loss of two views and its gradients."""
    net.zero_grad()
    # one forward pass of both views: distributed training allows no second one before the backward pass
    first, second = net(views.flatten(0, 1)).chunk(2)
    value = loss(first, second)
    value.backward()
    return [value.detach(), *(p.grad.clone() for p in net.parameters())]


def on_a_rank(rank):
    own = data()[:, 4 * rank : 4 * rank + 4]
    found = {name: trained(DistributedDataParallel(network()), own, loss) for name, loss in LOSSES.items()}
    x = torch.full((2, 3), float(rank), requires_grad=True)
    found["gathered"] = gather(x).detach()
    found["keys_need_no_gradient"] = torch.tensor(not gather_keys(x).requires_grad)
    (gather(x) * torch.arange(4.0)[:, None] * (rank + 1)).sum().backward()
    found["gradient"] = x.grad
    with torch.no_grad():
        found["validation"] = gather(torch.ones(rank + 1, 3))  # different amounts: nothing may be exchanged
    torch.manual_seed(0)
    queue = FeatureQueue(3, 8)
    queue.enqueue(torch.eye(3)[rank][None].expand(2, 3))
    found["queue"] = [queue.features, queue.pointer]
    return found


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    return both(on_a_rank, tmp_path_factory.mktemp("ranks"))


@pytest.mark.slow
@pytest.mark.parametrize("name", LOSSES)
def test_gradients_of_two_processes_are_those_of_one(name, ranks):
    expected = trained(network(), data(), LOSSES[name])
    values = [rank[name][0] for rank in ranks]
    assert torch.allclose(torch.stack(values).mean(), expected[0], rtol=1e-5)
    if name.startswith(("nt_xent", "barlow")):
        assert torch.allclose(values[0], values[1]), "each process has the loss of the whole batch"
    for rank in ranks:
        for found, wanted in zip(rank[name][1:], expected[1:], strict=True):
            # those of biases before the correlation are zero but for rounding, which differs from machine to machine
            assert torch.allclose(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_vectors_come_rank_by_rank_and_their_gradients_go_back(ranks):
    for number, rank in enumerate(ranks):
        assert rank["gathered"].tolist() == [[0.0] * 3] * 2 + [[1.0] * 3] * 2
        assert rank["keys_need_no_gradient"]
        # summed over the losses of both processes, whose weights are 1 and 2
        assert rank["gradient"].tolist() == [[3.0 * (2 * number + i)] * 3 for i in range(2)]


@pytest.mark.slow
def test_validation_data_is_not_exchanged(ranks):
    assert [len(rank["validation"]) for rank in ranks] == [1, 2]


@pytest.mark.slow
def test_queues_of_all_processes_hold_the_keys_of_all(ranks):
    for features, pointer in (rank["queue"] for rank in ranks):
        assert torch.equal(features[:4], torch.eye(3)[[0, 0, 1, 1]]) and pointer == 4
    assert torch.equal(ranks[0]["queue"][0], ranks[1]["queue"][0])


def test_one_process_keeps_its_batch():
    assert not dist.is_initialized()
    x = torch.randn(3, 2, requires_grad=True)
    assert gather(x) is x
    assert torch.equal(gather_keys(x), x) and not gather_keys(x).requires_grad
