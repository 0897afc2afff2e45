"""Two processes with half of a batch each learn what one learns from the whole batch."""

from pathlib import Path

import pytest
import torch
from distributed_cases import METHODS, Scans, batches, built, checkpointed, encoder, from_scans, part, trained, trainer
from two_processes import both

from monai_ssl import methods
from monai_ssl.data.stream import SampleStream
from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import Checkpoint
from monai_ssl.handlers.checkpoint import check_all_continue

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
ACCUMULATED = ("autoencoder", "moco", "dira")
MORE = {"clipped": {"clip_norm": 0.01}, "accumulated": {"accumulation_steps": 2}}


def on_a_rank(rank, folder):
    found = {}
    for name in METHODS:
        found[name] = trained(trainer(name, [part(b, rank, 2) for b in batches(name)]))
    for name in ACCUMULATED:
        for how, options in MORE.items():
            found[f"{name} {how}"] = trained(trainer(name, [part(b, rank, 2) for b in batches(name)], **options))
    quarters = [part(b, 2 * rank + i, 4) for b in batches("autoencoder", 1) for i in range(2)]
    found["quarters"] = trained(trainer("autoencoder", quarters, accumulation_steps=2))
    found["uneven"] = trained(from_scans(2))
    found["first half"] = checkpointed(folder / "two", 2)
    found["both halves on two"] = checkpointed(folder / "two_two", 4, resume=str(folder / "two/checkpoint.pt"))
    found["second half on two"] = checkpointed(folder / "one_two", 4, resume=str(folder / "one/checkpoint.pt"))
    try:
        Checkpoint(folder / ("two" if rank == 0 else "elsewhere"), resume=True).start(from_scans(4))
    except ValueError as e:
        found["split"] = str(e)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def ranks(folder):
    checkpointed(folder / "one", 2)
    return both(on_a_rank, folder / "found", folder)


def assert_same(found, wanted):
    assert found["state"].keys() == wanted["state"].keys() and found["at"] == wanted["at"]
    for key, value in wanted["state"].items():
        assert torch.allclose(found["state"][key], value, **TOLERANCE), key


def assert_learned(name, run):
    start = built(name).state_dict()
    assert any(not torch.allclose(start[key], value, **TOLERANCE) for key, value in run["state"].items())


@pytest.mark.slow
@pytest.mark.parametrize("name", METHODS)
def test_two_processes_are_one_with_the_whole_batch(name, ranks):
    alone = trained(trainer(name, batches(name)))
    assert_learned(name, alone)
    for rank in ranks:
        assert_same(rank[name], alone)
    for term, value in alone["terms"].items():
        mean = (ranks[0][name]["terms"][term] + ranks[1][name]["terms"][term]) / 2
        assert torch.allclose(mean, value, **TOLERANCE), term


@pytest.mark.slow
@pytest.mark.parametrize("name", ["simclr", "barlow_twins", "vicreg", "cpc"])
def test_terms_that_compare_samples_are_those_of_the_whole_batch_on_every_process(name, ranks):
    first, second = (rank[name]["terms"] for rank in ranks)
    assert all(torch.allclose(first[term], second[term], **TOLERANCE) for term in first)


@pytest.mark.slow
@pytest.mark.parametrize("how", MORE)
@pytest.mark.parametrize("name", ACCUMULATED)
def test_accumulated_and_clipped_gradients_are_those_of_all(name, how, ranks):
    alone = trained(trainer(name, batches(name), **MORE[how]))
    assert_learned(name, alone)
    for rank in ranks:
        assert_same(rank[f"{name} {how}"], alone)


@pytest.mark.slow
def test_quarters_of_a_batch_add_up_to_it(ranks):
    alone = trained(trainer("autoencoder", batches("autoencoder", 1)))
    for rank in ranks:
        assert all(torch.allclose(rank["quarters"]["state"][k], v, **TOLERANCE) for k, v in alone["state"].items())


@pytest.mark.slow
def test_processes_never_differ(ranks):
    runs = [k for k in ranks[0] if k != "split"]
    for run in runs:
        first, second = (rank[run]["state"] for rank in ranks)
        assert all(torch.equal(first[key], second[key]) for key in first), run


@pytest.mark.slow
def test_scans_that_no_batch_divides_are_seen_as_by_one_process(ranks):
    alone = trained(from_scans(2))
    assert alone["at"] == (2, 6)
    for rank in ranks:
        assert_same(rank["uneven"], alone)


@pytest.mark.slow
def test_a_run_continues_on_the_same_or_another_number_of_processes(ranks, folder):
    whole = checkpointed(folder / "whole", 4)
    assert_same(checkpointed(folder / "two_one", 4, resume=str(folder / "two/checkpoint.pt")), whole)
    for rank in ranks:
        assert_same(rank["both halves on two"], whole)
        assert_same(rank["second half on two"], whole)
    assert sorted(p.name for p in (folder / "two").iterdir()) == ["checkpoint.pt"]


@pytest.mark.slow
def test_a_checkpoint_that_only_some_processes_see_is_refused(ranks):
    for rank in ranks:
        assert "iterations 6, 0" in rank["split"] and "all machines share" in rank["split"]


def with_banks(rank):
    torch.manual_seed(rank)
    method = methods.PCL(methods.MoCo(encoder(), dim=6, queue_size=24), 24, [3])
    made = SSLTrainer("cpu", 1, [], method, torch.optim.SGD(method.parameters(), lr=0.1))
    sent = {buffer.data_ptr() for buffer in made.network.modules_buffers}
    banks = {name: buffer for name, buffer in method.named_buffers() if name.endswith(("features", "seen", "pointer"))}
    return {"sent": [name for name, buffer in banks.items() if buffer.data_ptr() in sent], "banks": banks}


@pytest.mark.slow
def test_banks_begin_alike_and_are_not_sent_in_every_step(tmp_path):
    first, second = both(with_banks, tmp_path)
    assert first["sent"] == second["sent"] == [] and len(first["banks"]) >= 2
    assert all(torch.equal(second["banks"][name], bank) for name, bank in first["banks"].items())


def test_each_sample_of_an_epoch_goes_to_one_process():
    streams = [iter(SampleStream(len(Scans()), 2, seed=3, rank=rank, world_size=3)) for rank in range(3)]
    alone = iter(SampleStream(len(Scans()), 6, seed=3))
    for _ in range(7):  # over the end of an epoch of 13
        assert [sample for stream in streams for sample in next(stream)] == next(alone)


def test_processes_at_different_iterations_are_refused(monkeypatch):
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 2)
    monkeypatch.setattr("ignite.distributed.all_gather", lambda own: [own, 5])
    engine = type("Engine", (), {"state": type("State", (), {"iteration": 5})})
    check_all_continue(engine, Path("checkpoint.pt"))
    engine.state.iteration = 0
    with pytest.raises(ValueError, match=r"Only some processes found checkpoint.pt .* \(iterations 0, 5\)"):
        check_all_continue(engine, Path("checkpoint.pt"))
