"""MoCo: MoCo-4, MoCo-5, MoCo-10 of docs/properties.md."""

import copy

import pytest
import torch
from torch import nn

from monai_ssl.losses import info_nce
from monai_ssl.methods import MoCo
from monai_ssl.networks import ConvEncoder, ResNetEncoder

SMALL = {
    "pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]], "queue_size": 8},
    "pretrain_2d": {"queue_size": 8},
}
MOVES = {"contrast": ("query_network.encoder.", "query_network.projector.")}


def make(version="v2", seed=0, norm="batch", **options) -> MoCo:
    torch.manual_seed(seed)
    options = {"dim": 6, "queue_size": 16} | options
    return MoCo(ConvEncoder(widths=(2, 4, 8, 16), norm=norm), version, **options)


def views(size=4, seed=0, shape=(1, 16, 16, 8)):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.rand(size, *shape, generator=g) for name in ("view1", "view2")}


def train(method, seeds, lr=0.1, accumulate=1):
    """Train on a batch for each seed, as the trainer does; returns the losses."""
    optimizer = torch.optim.SGD(method.parameters(), lr, momentum=0.9)
    losses = []
    for number, seed in enumerate(seeds, 1):
        loss = method(views(seed=seed))["contrast"]
        loss.backward()
        losses.append(loss.item())
        if number % accumulate == 0:
            optimizer.step()
            optimizer.zero_grad()
            method.after_step()
    return losses


# MoCo-4: the queue ------------------------------------------------------------------------------------------------


def test_the_loss_sees_the_queue_before_its_own_keys_enter():
    method = make()
    before = method.queue.features.clone()
    frozen = copy.deepcopy(method)
    got = method(views())["contrast"]
    assert torch.equal(method.queue.features, before) and len(method.queue.held) == 1
    query, key = frozen.query_network(views()["view1"]), frozen.key_network(views()["view2"])
    torch.testing.assert_close(got, info_nce(query, key, before, 0.2))


# MoCo-5: the loss -------------------------------------------------------------------------------------------------


def test_the_temperature_can_be_set():
    assert (
        make("v1").temperature == 0.07
        and make("v2").temperature == 0.2
        and make("v1", temperature=1.0).temperature == 1
    )
    assert make(temperature=1.0).eval()(views())["contrast"] != make().eval()(views())["contrast"]


def test_the_order_of_the_authors_gives_the_same_losses():
    """Their code follows before the key pass and enqueues within the forward pass."""
    method, theirs = make(momentum=0.5), make(momentum=0.5)
    optimizer = torch.optim.SGD(theirs.parameters(), 0.1, momentum=0.9)
    expected = []
    for seed in range(5):
        data = views(seed=seed)
        query = theirs.query_network(data["view1"])
        theirs.key_network.follow(theirs.query_network, 0.5)
        key = theirs.key_network(data["view2"])
        loss = info_nce(query, key, theirs.queue.features.clone(), 0.2)
        theirs.queue.enqueue(key)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        expected.append(loss.item())
    got = train(method, range(5))
    assert got == pytest.approx(expected, rel=1e-6) and len(set(got)) == 5


def test_validation_queries_meet_the_keys_of_the_key_network():
    method = make(momentum=1.0)
    train(method, [0], lr=1.0)
    method.eval()
    query, key = method.query_network(views()["view1"]), method.key_network(views()["view2"])
    assert not torch.allclose(method.query_network(views()["view2"]), key)
    torch.testing.assert_close(method(views())["contrast"], info_nce(query, key, method.queue.features, 0.2))


def test_samples_are_dealt_among_processes_in_training_only(monkeypatch):
    """Validation data may be of different amounts on each of them."""
    calls = []

    def reverse(x, generator):
        calls.append(generator)
        return x.flip(0), torch.arange(len(x)).flip(0)

    expected = make()(views())["contrast"]
    monkeypatch.setattr("monai_ssl.methods.moco.shuffle_batch", reverse)
    monkeypatch.setattr("monai_ssl.methods.moco.unshuffle_batch", lambda x, order: x[order.argsort()])
    method = make()
    torch.testing.assert_close(method(views())["contrast"], expected)
    assert calls == [method.generator]
    method.eval()(views())
    assert len(calls) == 1


# accumulation; the rest is asked of every method by tests/test_methods.py -----------------------------------------


def test_accumulated_batches_see_one_queue_and_all_enter_it():
    method = make()
    before = method.queue.features.clone()
    optimizer_steps = train(method, [0, 1, 2], accumulate=3)
    assert len(optimizer_steps) == 3 and method.queue.pointer == 12 and not method.queue.held
    assert torch.equal(method.queue.features[12:], before[12:])
    assert not any(torch.equal(a, b) for a, b in zip(method.queue.features[:12], before[:12], strict=True))


# MoCo-10 and the rest ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("version", "expected"), [("v1", 262_272), ("v2", 4_458_624)])
def test_parameters_of_the_head_on_a_resnet_50(version, expected):
    with torch.device("meta"):
        method = MoCo(ResNetEncoder(depth=50), version)
    assert sum(p.numel() for p in method.query_network.projector.parameters()) == expected


def test_a_process_may_have_one_sample_of_a_larger_batch(monkeypatch):
    monkeypatch.setattr("monai_ssl.methods.moco.shuffle_batch", lambda x, generator: (x, torch.arange(2)))
    assert make()(views(size=1))["contrast"].isfinite()


def test_it_learns_to_find_the_other_view():
    method = make(queue_size=32, dim=8)
    g = torch.Generator().manual_seed(0)
    scans = (
        torch.rand(8, 1, 4, 4, 2, generator=g).repeat_interleave(4, 2).repeat_interleave(4, 3).repeat_interleave(4, 4)
    )
    optimizer = torch.optim.Adam(method.parameters(), 3e-3)
    losses = []
    for _ in range(60):
        data = {name: scans + 0.05 * torch.rand(scans.shape, generator=g) for name in ("view1", "view2")}
        loss = method(data)["contrast"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step()
        losses.append(loss.item())
    vectors = nn.functional.normalize(method.query_network(scans), dim=1)
    assert torch.pdist(vectors).min() > 0.05, "vectors of different scans fell together"
    found = (vectors @ nn.functional.normalize(method.key_network(scans), dim=1).T).argmax(1)
    assert (found == torch.arange(8)).float().mean() >= 0.75
