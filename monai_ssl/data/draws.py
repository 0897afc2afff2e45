"""Batches of labeled cases whose order and chance follow from seed and number: resuming needs no other state."""

from __future__ import annotations

from collections.abc import Iterator, Sized
from typing import Any, Protocol

import numpy as np
from ignite.utils import manual_seed
from monai.data.utils import set_rnd
from torch.utils.data import Dataset, Sampler

Draw = tuple[int, int, int]
"""Pass over the cases, place in it, rank of the process: what a sample's random numbers follow from."""


class EpochSampler(Protocol):
    """A sampler whose order is a function of the epoch, such as ``torch.utils.data.DistributedSampler``."""

    def __len__(self) -> int: ...

    def __iter__(self) -> Iterator[int]: ...

    def set_epoch(self, epoch: int) -> None:
        """Choose whose order is next."""


class NumberedBatches(Sampler[list[tuple[Draw, int]]]):
    """Batch sampler that gives each sample its draw; one iteration is one pass over the cases, the last batch smaller.

    Args:
        sampler: of the cases.
        batch_size: of one process.
        rank: of this process.
        least: samples of the last batch of a pass, which is left out where it has fewer and there are others.

    >>> from torch.utils.data import DistributedSampler
    >>> batches = NumberedBatches(DistributedSampler(range(3), num_replicas=1, rank=0), batch_size=2)
    >>> [len(batch) for batch in batches], batches.start
    ([2, 1], 2)
    >>> following = list(batches)
    >>> batches.start = 3
    >>> list(batches) == following[1:]
    True
    """

    def __init__(self, sampler: EpochSampler, batch_size: int, rank: int = 0, least: int = 1) -> None:
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1, got {batch_size}.")
        self.sampler, self.batch_size, self.rank, self.least = sampler, batch_size, rank, least
        self.start = 0
        """Number of the next batch since the training began; a resumed run sets it."""

    def __len__(self) -> int:
        whole, rest = divmod(len(self.sampler), self.batch_size)
        return whole + (rest >= (self.least if whole else 1))

    def __iter__(self) -> Iterator[list[tuple[Draw, int]]]:
        # as a generator: PyTorch's loader with workers makes two iterators and uses one
        number, first = divmod(self.start, len(self))
        self.start = (number + 1) * len(self)
        self.sampler.set_epoch(number)
        drawn = [((number, place, self.rank), index) for place, index in enumerate(self.sampler)]
        for start in range(first * self.batch_size, len(self) * self.batch_size, self.batch_size):
            yield drawn[start : start + self.batch_size]


class DrawnCases(Dataset):
    """Cases whose random transforms, and all global generators, are seeded for each draw.

    A worker process then needs no state of its own: what is drawn depends neither on how many there are nor on what
    was drawn before.

    Args:
        dataset: MONAI's, with random transforms or without.
        seed: of all draws.

    >>> from monai.data import Dataset as Cases
    >>> from monai.transforms import RandGaussianNoise
    >>> cases = DrawnCases(Cases(np.zeros((1, 1, 4)), RandGaussianNoise(prob=1.0)), seed=1)
    >>> first, again, other = (cases[draw, 0] for draw in ((0, 3, 0), (0, 3, 0), (0, 4, 0)))
    >>> bool((first == again).all()), bool((first == other).any())
    (True, False)
    """

    def __init__(self, dataset: Dataset, seed: int = 0) -> None:
        self.dataset, self.seed = dataset, seed

    def __len__(self) -> int:
        assert isinstance(self.dataset, Sized)
        return len(self.dataset)

    def __getitem__(self, item: tuple[Draw, int]) -> Any:
        draw, index = item
        seed = seed_of(self.seed, *draw)
        manual_seed(seed)
        set_rnd(self.dataset, seed)
        return self.dataset[index]


def seed_of(seed: int, *numbers: int) -> int:
    """Return a seed below 2**32 for one draw of many.

    >>> seed_of(0, 1, 2) == seed_of(0, 1, 2) != seed_of(0, 2, 1)
    True
    """
    return int(np.random.SeedSequence([seed, *numbers]).generate_state(1)[0])


__all__ = ["Draw", "DrawnCases", "EpochSampler", "NumberedBatches", "seed_of"]
