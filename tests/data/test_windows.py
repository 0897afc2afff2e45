"""The stream of samples and what is drawn for them."""

import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Randomizable

from monai_ssl.data.stream import SampleStream
from monai_ssl.data.windows import WindowDataset, collate_views, endless_loader


class Draw(Randomizable):
    def __call__(self, data):
        return {**data, "value": torch.tensor(self.R.rand())}


def take(stream, n):
    return list(itertools.islice(iter(stream), n))


@given(st.integers(1, 20), st.integers(1, 7), st.integers(0, 5))
def test_every_epoch_sees_every_sample_once(num_samples, batch_size, seed):
    stream = SampleStream(num_samples, batch_size, seed)
    flat = [index for batch in take(stream, 3 * num_samples) for _, index in batch]
    for epoch in range(3):
        assert sorted(flat[epoch * num_samples : (epoch + 1) * num_samples]) == list(range(num_samples))


@given(st.integers(1, 20), st.integers(1, 4), st.integers(1, 3))
def test_processes_share_one_global_batch(num_samples, batch_size, world):
    whole = take(SampleStream(num_samples, batch_size * world, 1), 4)
    parts = [take(SampleStream(num_samples, batch_size, 1, rank, world), 4) for rank in range(world)]
    for i, batch in enumerate(whole):
        assert [item for part in parts for item in part[i]] == batch


@given(st.integers(1, 20), st.integers(1, 4), st.integers(0, 6))
def test_a_stream_continues_from_any_position(num_samples, batch_size, done):
    whole = take(SampleStream(num_samples, batch_size, 1), done + 3)
    stream = SampleStream(num_samples, batch_size, 1)
    stream.start = done * batch_size
    assert take(stream, 3) == whole[done:]


@pytest.mark.parametrize(
    ("samples", "batch", "world", "batches"), [(12, 2, 3, 2), (17, 2, 3, 2), (12, 4, 1, 3), (3, 2, 2, 1)]
)
def test_an_epoch_has_as_many_batches_as_all_processes_fill(samples, batch, world, batches):
    assert {len(SampleStream(samples, batch, 0, rank, world)) for rank in range(world)} == {batches}


def test_order_differs_by_epoch_and_seed():
    orders = {
        tuple(i for b in take(SampleStream(30, 30, seed), 2)[e : e + 1] for _, i in b)
        for seed in (0, 1)
        for e in (0, 1)
    }
    assert len(orders) == 4


@pytest.mark.parametrize("workers", [0, 2])
def test_draws_depend_on_the_position_alone(workers):
    dataset = WindowDataset([torch.zeros(1, 2, 2)] * 5, [Draw()], seed=4, windows_per_scan=2)
    loader = endless_loader(dataset, 3, workers, seed=4)
    assert len(loader) == 3 and len(dataset) == 10
    values = torch.cat([batch["value"] for batch in itertools.islice(loader, 8)])
    assert len(set(values.tolist())) == 24, "no two samples are alike"
    expected = [dataset[item]["value"].item() for batch in take(SampleStream(10, 3, 4), 8) for item in batch]
    assert values.tolist() == expected


def test_fixed_windows_are_those_of_the_first_epoch_for_ever():
    scans, draw = [torch.zeros(1)] * 3, Draw()
    fixed, anew = (WindowDataset(scans, [draw], seed=1, windows_per_scan=2, fixed=fixed) for fixed in (True, False))
    assert [fixed[place, 4]["value"] for place in (0, 4, 77)] == [anew[4, 4]["value"]] * 3
    assert len({fixed[place, index]["value"].item() for place in (0, 9) for index in range(6)}) == 6


def test_all_scans_are_seen_equally_often():
    dataset = WindowDataset([torch.full((1, 1, 1), float(i)) for i in range(3)], [lambda d: {"x": d["image"]}], 0, 4)
    stream = SampleStream(len(dataset), 4)
    samples = [dataset[item] for batch in take(stream, 3) for item in batch]
    assert Counter(int(sample["x"]) for sample in samples) == {0: 4, 1: 4, 2: 4}
    assert all(sample["scan"] == str(int(sample["x"])) for sample in samples)


def test_the_index_of_a_sample_is_its_scan_and_window_slot_in_every_epoch_and_process():
    dataset = WindowDataset([torch.zeros(1, 2, 2)] * 3, [Draw()], windows_per_scan=4)
    loaders = [endless_loader(dataset, 3, rank=rank, world_size=2) for rank in range(2)]
    seen = [batch for pair in itertools.islice(zip(*loaders, strict=True), 4) for batch in pair]
    index = torch.cat([batch["index"] for batch in seen])
    assert index[:12].sort().values.tolist() == index[12:].sort().values.tolist() == [*range(12)]
    assert [int(i) % 3 for i in index] == [int(scan) for batch in seen for scan in batch["scan"]]
    assert dataset[(100, 7)]["index"] == dataset[7]["index"] == 7


def test_another_seed_draws_other_windows():
    values = {
        WindowDataset([torch.zeros(1, 2, 2)], [Draw()], seed)[position]["value"].item()
        for seed in range(4)
        for position in range(4)
    }
    assert len(values) == 16


class Named:
    shape = (1, 2, 2)

    def __init__(self, key):
        self.key = key


def test_a_sample_names_its_scan_and_leaves_it_behind():
    """A whole scan would be sent from worker to trainer for nothing."""
    sample = WindowDataset([Named("abc"), Named("def")], [Draw()])[1]
    assert sample["scan"] == "def" and set(sample) == {"value", "scan", "index"}


def test_a_loader_gives_the_part_of_its_process_in_the_order_of_its_seed():
    dataset = WindowDataset([torch.zeros(1, 2, 2)] * 7, [Draw()], seed=1)
    for seed, rank in itertools.product((0, 4), (0, 1)):
        loader = endless_loader(dataset, 3, seed=seed, rank=rank, world_size=2)
        got = [batch["scan"] for batch in itertools.islice(loader, 4)]
        assert got == [[str(index) for _, index in batch] for batch in take(SampleStream(7, 3, seed, rank, 2), 4)]


def test_options_of_the_loader_reach_it():
    dataset = WindowDataset([torch.zeros(1, 2, 2)], [Draw()])
    one, two = endless_loader(dataset, 1), endless_loader(dataset, 1, 2, pin_memory=True)
    assert (one.num_workers, one.pin_memory, one.persistent_workers) == (0, False, False)
    assert (two.num_workers, two.pin_memory, two.persistent_workers) == (2, True, True)


def test_batches_are_plain_tensors():
    image = MetaTensor(torch.zeros(1, 2), meta={"filename_or_obj": "a"})
    batch = collate_views([{"view": image, "locals": [image, image]}] * 2)
    assert type(batch["view"]) is torch.Tensor and type(batch["locals"]) is torch.Tensor


def test_lists_are_joined_sample_major():
    samples = [
        {
            "view1": torch.full((1, 2), float(i)),
            "locals": [torch.full((1, 1), 10.0 * i + k) for k in range(3)],
            "scan": str(i),
        }
        for i in range(2)
    ]
    batch = collate_views(samples)
    assert batch["locals"].flatten().tolist() == [0, 1, 2, 10, 11, 12]
    assert batch["view1"].shape == (2, 1, 2) and batch["scan"] == ["0", "1"]


def test_numbers_become_tensors():
    assert collate_views([{"label": 3}, {"label": np.int64(4)}])["label"].tolist() == [3, 4]


def test_nothing_to_train_on_is_refused():
    with pytest.raises(ValueError, match="no scan to train on"):
        WindowDataset([], [])
    with pytest.raises(ValueError, match="batch size"):
        SampleStream(3, 0)
