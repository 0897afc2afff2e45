"""Processes that share a method learn what those do that hold it whole; checkpoints continue on any number of them."""

import pickle
import shutil

import pytest
import torch
from distributed_cases import batches, built, part
from safetensors.torch import load_file
from torch import nn
from two_processes import both

from monai_ssl import methods, networks
from monai_ssl.engines import SSLTrainer
from monai_ssl.engines.sharding import check_shardable
from monai_ssl.handlers import Checkpoint, Diagnostics, Export, Pictures, Probe, StartFrom, ValidationLoss
from monai_ssl.transfer.shards import own_part, whole_state
from monai_ssl.transfer.weights_file import read_checkpoint, read_head

ALIKE = ("mae_vit", "dinov2", "smit")
TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
FACTS = {"data_fingerprint": "batches", "scans": 1, "patients": 1, "modality": "CT"}
RECIPE = {"_target_": "monai_ssl.networks.VisionTransformer"}


def trained(name, data, epochs=2, handlers=(), **options):
    """The state after training, whole, the terms of the last iteration, and bytes that this process kept."""
    method = built(name)
    optimizer = torch.optim.AdamW(method.parameter_groups(), lr=0.003)
    engine = SSLTrainer("cpu", epochs, data, method, optimizer, train_handlers=list(handlers), clip_norm=1.0, **options)
    engine.run()
    kept = [x for state in optimizer.state.values() for x in state.values()]
    return {
        "state": whole_state(method),
        "terms": dict(engine.state.output),
        "metrics": dict(engine.state.metrics),
        "bytes": sum(own_part(x.detach()).nbytes for x in (*method.parameters(), *kept)),
        "at": engine.state.iteration,
    }


def watched(folder, name):
    """Whatever looks at weights in a run, or writes them."""
    labeled = [{"image": torch.rand(1, 16, 16), "label": i % 2} for i in range(8)]
    export = Export(folder, name, "paper", RECIPE, FACTS)
    looks = [ValidationLoss(batches(name, 1)), Probe(labeled), Pictures(folder), Diagnostics()]
    return [*looks, export, Checkpoint(folder), StartFrom(folder.parent / "start.pt")]


def on_a_rank(rank, folder):
    found = {}
    for name in ALIKE:
        data = [part(b, rank, 2) for b in batches(name)]
        for how in ("whole", "sharded"):
            found[f"{name} {how}"] = trained(name, data, sharded=how == "sharded")
    data = [part(b, rank, 2) for b in batches("mae_vit")]
    found["mae_vit recomputed"] = trained("mae_vit", data, sharded=True, checkpoint_activations=True)
    data = [part(b, rank, 2) for b in batches("simmim")]
    for how in ("whole", "sharded"):
        torch.manual_seed(0)
        found[f"watched {how}"] = trained(
            "simmim", data, 3, watched(folder / how, "simmim"), sharded=how == "sharded", accumulation_steps=2
        )
    data = [part(b, rank, 2) for b in batches("mae_vit")]
    trained("mae_vit", data, 2, [Checkpoint(folder / "two")], sharded=True)
    for how, source in (("on two", "two"), ("of one", "one")):
        resumed = Checkpoint(folder / how, resume=folder / source / "checkpoint.pt")
        found[how] = trained("mae_vit", data, 4, [resumed], sharded=True)
    return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def ranks(folder):
    torch.save(built("simmim").state_dict(), folder / "start.pt")
    trained("mae_vit", batches("mae_vit"), 2, [Checkpoint(folder / "one")])
    return both(on_a_rank, folder / "found", folder)


def assert_close(found, wanted):
    assert found.keys() == wanted.keys()
    for key, value in wanted.items():
        assert torch.allclose(torch.as_tensor(found[key]), torch.as_tensor(value), **TOLERANCE), key


@pytest.mark.slow
@pytest.mark.parametrize("name", ALIKE)
def test_what_is_learned_is_that_of_processes_that_hold_it_whole(name, ranks):
    start = built(name).state_dict()
    for rank in ranks:
        sharded, whole = rank[f"{name} sharded"], rank[f"{name} whole"]
        assert_close(sharded["state"], whole["state"])
        assert_close(sharded["terms"], whole["terms"])
        assert any(not torch.allclose(start[key], value, **TOLERANCE) for key, value in sharded["state"].items())


@pytest.mark.slow
def test_activations_that_are_computed_again_change_nothing(ranks):
    for rank in ranks:
        assert_close(rank["mae_vit recomputed"]["state"], rank["mae_vit whole"]["state"])


@pytest.mark.slow
def test_each_process_keeps_half_of_parameters_and_optimizer_state(ranks):
    kept = [rank["mae_vit sharded"]["bytes"] / rank["mae_vit whole"]["bytes"] for rank in ranks]
    assert max(kept) < 0.56 and 1 <= sum(kept) < 1.02, kept


@pytest.mark.slow
def test_all_that_looks_at_weights_sees_and_writes_the_same(ranks, folder):
    for rank in ranks:
        sharded, whole = rank["watched sharded"], rank["watched whole"]
        assert {"probe/linear", "validation/loss"} <= sharded["metrics"].keys()
        told = {key: value for key, value in whole["metrics"].items() if not key.startswith("time/")}
        assert_close({key: sharded["metrics"][key] for key in told}, told)
    for name in ("encoder", "unet"):
        assert_close(*(load_file(folder / how / f"{name}.safetensors") for how in ("sharded", "whole")))
    models = [torch.load(folder / how / "model.pt", weights_only=True) for how in ("sharded", "whole")]
    assert_close(*models)
    assert_close(models[0], ranks[0]["watched sharded"]["state"])
    pictures = [sorted(p.name for p in (folder / how / "pictures").iterdir()) for how in ("sharded", "whole")]
    assert pictures[0] == pictures[1] != []


@pytest.mark.slow
def test_a_run_continues_sharded_or_not(ranks, folder):
    whole = trained("mae_vit", batches("mae_vit"), 4)
    alone = Checkpoint(folder / "two_one", resume=folder / "two/checkpoint.pt")
    runs = [trained("mae_vit", batches("mae_vit"), 4, [alone])]
    runs += [rank[how] for rank in ranks for how in ("on two", "of one")]
    for run in runs:
        assert run["at"] == whole["at"] == 12
        assert_close(run["state"], whole["state"])


@pytest.mark.slow
def test_a_sharded_checkpoint_is_read_whole_and_without_pickle(ranks, folder, monkeypatch):
    del ranks

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled")

    monkeypatch.setattr(pickle, "load", refuse)
    monkeypatch.setattr(pickle, "loads", refuse)
    assert_close(read_checkpoint(folder / "sharded/checkpoint.pt")["method"], torch.load(folder / "sharded/model.pt"))
    checkpoints = [read_head(folder / "sharded" / name)["shards"] for name in ("checkpoint.pt", "best.pt")]
    left = [path for path in (folder / "sharded").iterdir() if path.name.startswith("shards-")]
    # of three epochs, so that one at least is named no more
    assert {path.name for path in left} == set(checkpoints), "those that no checkpoint names are removed"
    assert {file.suffix for path in left for file in path.iterdir()} == {".safetensors"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        (lambda copy: shutil.rmtree(next(copy.glob("shards-*"))), "must lie beside it"),
        (lambda copy: next(copy.glob("shards-*/shard-00002*")).unlink(), "does not hold what checkpoint.pt says"),
        (lambda copy: next(copy.glob("shards-*/shard-00002*")).write_bytes(b"{}"), "does not hold what checkpoint.pt"),
        (lambda copy: renamed(copy / "checkpoint.pt", "shards-/../../two"), "it was altered"),
    ],
)
def test_a_sharded_checkpoint_that_is_not_whole_is_refused(harm, sentence, ranks, folder, tmp_path):
    del ranks
    copy = shutil.copytree(folder / "two", tmp_path / "copy")
    harm(copy)
    with pytest.raises(ValueError, match=sentence):
        read_checkpoint(copy / "checkpoint.pt")


def renamed(path, shards):
    torch.save({**torch.load(path, weights_only=True), "shards": shards}, path)


def vit(**options):
    return networks.VisionTransformer(2, window_size=(16, 16), patch=4, width=8, depth=2, heads=2, **options)


@pytest.mark.parametrize(
    ("method", "options", "sentence"),
    [
        (lambda: methods.SimCLR(networks.ConvEncoder(2, widths=[2, 4])), {}, "SimCLR has batch norm"),
        (lambda: built("dira"), {}, "DiRA trains in turn losses and discriminator_losses"),
        (lambda: methods.MAEViT(vit()), {"compile": True}, "`compile` was not tried"),
        (lambda: methods.MAEViT(vit()), {"scaler": True}, "float16 scales gradients"),
        (lambda: with_a_number(methods.MAEViT(vit())), {}, "parameters that are a single number"),
        (lambda: without_blocks(methods.MAEViT(vit())), {}, "VisionTransformer names no `blocks`"),
    ],
)
def test_what_cannot_be_sharded_is_refused(method, options, sentence):
    check_shardable(methods.MAEViT(vit()), compile=False, scaler=False)
    with pytest.raises(ValueError, match=f"`sharded` cannot be: .*{sentence}.*DistributedDataParallel"):
        check_shardable(method(), **{"compile": False, "scaler": False, **options})


def with_a_number(method):
    method.temperature = nn.Parameter(torch.tensor(0.1))
    return method


def without_blocks(method):
    method.encoder.blocks = ()
    return method
