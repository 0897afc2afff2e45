"""Options that change how fast a training is or what it needs, and nothing else."""

import copy
import gc
import shutil

import pytest
import torch
from ignite.engine import Events
from torch import nn

from monai_ssl.engines import SSLTrainer
from monai_ssl.engines.prefetcher import Prefetcher
from monai_ssl.engines.recomputation import recompute_blocks
from monai_ssl.methods import BYOL, Method, ModelsGenesis
from monai_ssl.networks import ConvEncoder, ResNetEncoder, RestorationUNet
from monai_ssl.transforms import BatchViews, RandGaussianNoiseBatchd, Snapshotd

NOISE = BatchViews([Snapshotd("view", "target"), RandGaussianNoiseBatchd("view")])


def genesis(dims=3):
    torch.manual_seed(0)
    encoder = ConvEncoder(3, 1, (2, 4, 8)) if dims == 3 else ResNetEncoder(2, 1, 4, depth=50)
    return ModelsGenesis(RestorationUNet(encoder))


def batches(count=3, shape=(2, 1, 16, 16, 8)):
    g = torch.Generator().manual_seed(1)
    return [{"view": torch.rand(shape, generator=g), "scan": ["a", "b"]} for _ in range(count)]


def trained(method=None, data=None, **options):
    method = genesis() if method is None else method
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    run = SSLTrainer("cpu", 1, data or batches(), method, optimizer, views=NOISE, **options)
    run.run()
    return run


def difference(a, b):
    """The largest relative difference of the results: states, as one vector, and the last loss."""
    states = [torch.cat([v.flatten().double() for v in run.method.state_dict().values()]) for run in (a, b)]
    losses = torch.stack([run.state.output["loss"].double() for run in (a, b)])
    state = (states[0] - states[1]).norm() / states[0].norm()
    return max(state.item(), (losses.diff().abs() / losses[0]).item())


def test_channels_last_changes_next_to_nothing():
    assert difference(trained(), trained(channels_last=True)) < 1e-3


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a compiler")
def test_compiling_changes_next_to_nothing():
    assert difference(trained(), trained(compile=True)) < 1e-3


@pytest.mark.parametrize("dims", [2, 3])
def test_recomputing_changes_nothing_running_statistics_included(dims):
    data = batches(shape=(2, 1, 16, 16, 8) if dims == 3 else (2, 1, 64, 64))
    plain = trained(genesis(dims), data)
    again = trained(genesis(dims), data, checkpoint_activations=True)
    states = plain.method.state_dict(), again.method.state_dict()
    assert list(states[0]) == list(states[1]) and any("running_mean" in name for name in states[0])
    for name, value in states[0].items():
        torch.testing.assert_close(states[1][name], value, atol=0, rtol=0, msg=name)


def kept(network, x):
    """Bytes that the backward pass keeps of a forward pass."""
    storages = {}

    def pack(t):
        storages[t.untyped_storage().data_ptr()] = t.untyped_storage().nbytes()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        out = network(x)[-1].sum()
    assert out.requires_grad
    return sum(storages.values())


def test_recomputing_keeps_less():
    torch.manual_seed(0)
    x = torch.rand(2, 1, 32, 32, 32, requires_grad=True)
    encoder = ConvEncoder(3, 1, (8, 16, 32))
    before = kept(encoder, x)
    assert recompute_blocks(encoder) == 3
    assert kept(encoder, x) < 0.5 * before


def test_a_copy_computes_with_its_own_weights():
    encoder = ConvEncoder(3, 1, (2, 4))
    recompute_blocks(encoder)
    other = copy.deepcopy(encoder)
    for p in other.parameters():
        nn.init.zeros_(p)
    x = torch.rand(2, 1, 8, 8, 8)
    assert other(x)[0].abs().max() == 0 and encoder(x)[0].abs().max() > 0


def test_what_cannot_be_recomputed():
    with pytest.raises(ValueError, match="found no block of convolutions in Linear: leave it out"):
        recompute_blocks(nn.Linear(2, 2))
    with pytest.raises(ValueError, match="`compile` and `checkpoint_activations` exclude each other"):
        trained(compile=True, checkpoint_activations=True)


class Counted:
    """A loader that counts what it gave."""

    num_workers = 7

    def __init__(self, count):
        self.given, self.count = 0, count

    def __len__(self):
        return self.count

    def __iter__(self):
        for i in range(self.count):
            self.given += 1
            yield {"view": torch.full((1,), float(i)), "scan": ["a"]}


def test_one_batch_is_on_its_way_while_another_is_used():
    loader = Counted(4)
    moved = []
    ahead = Prefetcher(loader, lambda b: moved.append(b) or dict(b), torch.device("cpu"))
    assert len(ahead) == 4 and ahead.num_workers == 7
    seen = []
    for batch in ahead:
        seen.append(batch["view"].item())
        assert loader.given == len(moved) == min(len(seen) + 1, 4)
    assert seen == [0, 1, 2, 3] and list(Prefetcher(Counted(0), dict, torch.device("cpu"))) == []
    with pytest.raises(AttributeError, match="sampler"):
        _ = ahead.sampler
    assert len(copy.deepcopy(ahead)) == 4


def test_a_prefetching_loader_trains_alike():
    plain, method = trained(), genesis()
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    run = SSLTrainer("cpu", 1, batches(), method, optimizer, views=NOISE)
    run.data_loader = Prefetcher(run.data_loader, run.to_device, torch.device("cpu"))
    run.run()
    assert run.state.iteration == 3 and difference(plain, run) == 0


class Remembering(Method):
    """What keeps tensors between steps: momentum encoder, views, accumulated gradients."""

    def __init__(self):
        super().__init__()
        self.byol = BYOL(ConvEncoder(2, 1, (2, 4)))

    @property
    def encoder(self):
        return self.byol.encoder

    def losses(self, batch):
        return self.byol.losses({"view1": batch["view"], "view2": batch["target"]})

    def after_step(self):
        self.byol.after_step()


def live_tensors():
    gc.collect()
    return sum(isinstance(o, torch.Tensor) for o in gc.get_objects())


@pytest.mark.parametrize("options", [{}, {"accumulation_steps": 3, "clip_norm": 1.0, "amp": True}])
def test_memory_is_flat_over_300_steps(options):
    method = Remembering()
    optimizer = torch.optim.SGD(method.parameters(), 0.01, momentum=0.9)
    data = batches(300, (2, 1, 8, 8))
    run = SSLTrainer("cpu", 1, data, method, optimizer, views=NOISE, **options)
    counts = []
    run.add_event_handler(Events.ITERATION_COMPLETED(every=99), lambda: counts.append(live_tensors()))
    run.run()
    # the first count may hold what earlier tests left
    assert len(counts) == 3 and counts[2] <= counts[1], counts
