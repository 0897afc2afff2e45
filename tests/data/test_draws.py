"""Order and chance of a batch follow from its number: a resumed run draws what one that never stopped would have."""

import random

import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import CacheDataset, DataLoader
from monai.transforms import Compose, Lambda, RandGaussianNoise, RandLambda
from torch.utils.data import DistributedSampler

from monai_ssl.data.draws import DrawnCases, NumberedBatches
from monai_ssl.data.fingerprint import cases_fingerprint


def batches(cases, batch_size, rank=0, world_size=1):
    return NumberedBatches(DistributedSampler(range(cases), world_size, rank, seed=3), batch_size, rank)


def first(number, drawn):
    found = []
    while len(found) < number:
        found += list(drawn)
    return found[:number]


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 9), st.integers(1, 5), st.integers(0, 20))
def test_whoever_starts_later_draws_the_rest(cases, batch_size, start):
    whole, rest = first(start + 10, batches(cases, batch_size)), batches(cases, batch_size)
    rest.start = start
    assert first(10, rest) == whole[start:]
    draws = [draw for batch in whole for draw, _ in batch]
    assert len(set(draws)) == len(draws)
    one_pass = [index for batch in whole[: -(-cases // batch_size)] for _, index in batch]
    assert sorted(one_pass) == list(range(cases))


def test_processes_share_the_cases_and_no_draw():
    shares = [first(2, batches(4, 1, rank, 2)) for rank in range(2)]
    assert sorted(index for share in shares for ((_, index),) in share) == [0, 1, 2, 3]
    assert not {draw for ((draw, _),) in shares[0]} & {draw for ((draw, _),) in shares[1]}


def test_chance_does_not_depend_on_workers_nor_on_what_was_drawn_before():
    """Transforms of MONAI, and those of a user that draw from the global generators."""
    noisy = [RandGaussianNoise(1.0), RandLambda(lambda x: x + random.random()), Lambda(lambda x: x + torch.rand(1))]
    cases = CacheDataset(torch.zeros(5, 1, 4), Compose(noisy), progress=False)

    def drawn(workers, start=0):
        numbered = batches(5, 2)
        numbered.start = start
        return first(6 - start, DataLoader(DrawnCases(cases, 7), workers, batch_sampler=numbered))

    alone, helped, late = drawn(0), drawn(2), drawn(0, start=4)
    assert all(torch.equal(a, b) for a, b in zip(alone, helped, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(alone[4:], late, strict=True))
    samples = torch.cat(alone)[:, 0, 0]
    assert len(samples.unique()) == len(samples)


def test_a_fingerprint_knows_files_wherever_they_lie(tmp_path):
    def known_as(folder, content=b"a" * 100_000, name="x.nii.gz", label=1, number=1):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_bytes(content)
        return cases_fingerprint([{"image": str(tmp_path / folder / name), "label": label}] * number)

    known = known_as("here")
    assert known_as("there") == known
    changes = [{"content": b"a" * 99_999 + b"b"}, {"content": b"a" * 100_001}]
    for change in (*changes, {"name": "y.nii.gz"}, {"label": 2}, {"number": 2}):
        assert known_as("here", **change) != known, change
