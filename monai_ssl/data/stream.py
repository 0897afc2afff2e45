"""Infinite batch sampler, sharded by rank: the order is a function of seed and position, so resuming needs no state."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from torch.utils.data import Sampler


class SampleStream(Sampler[list[tuple[int, int]]]):
    """Endless batches of (position, index), each epoch a new permutation of all samples.

    Batches run over the ends of epochs, so every batch is full and workers never pause. Under distributed training
    the global batch is cut into consecutive parts: W processes with batches of B see what one with W * B sees.

    Args:
        num_samples: samples in an epoch.
        batch_size: samples in a batch of one process.
        seed: of the permutations.
        rank: of this process.
        world_size: number of processes.

    Raises:
        ValueError: when there is no sample or no place in a batch.
    """

    def __init__(self, num_samples: int, batch_size: int, seed: int = 0, rank: int = 0, world_size: int = 1) -> None:
        if num_samples < 1 or batch_size < 1:
            raise ValueError(f"A stream needs samples and a batch size, got {num_samples} and {batch_size}.")
        self.num_samples, self.batch_size, self.seed = num_samples, batch_size, seed
        self.rank, self.world_size = rank, world_size
        self.start = 0
        """Global position of the first sample; a resumed run sets it."""

    @property
    def global_batch_size(self) -> int:
        return self.batch_size * self.world_size

    def __len__(self) -> int:
        """Batches in an epoch, at least 1; what remains of an epoch opens the next one."""
        return max(1, self.num_samples // self.global_batch_size)

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        position = self.start + self.rank * self.batch_size
        epoch, order = -1, np.empty(0, dtype=np.int64)
        while True:
            batch = []
            for p in range(position, position + self.batch_size):
                if p // self.num_samples != epoch:
                    epoch = p // self.num_samples
                    order = np.random.default_rng([self.seed, epoch]).permutation(self.num_samples)
                batch.append((p, int(order[p % self.num_samples])))
            yield batch
            position += self.global_batch_size
