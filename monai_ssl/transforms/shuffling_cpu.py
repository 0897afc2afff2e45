"""Local shuffling on a CPU: windows of equal size are treated at once, where many short rows sort fast in the cache."""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PACKED = 1 << 12
"""Longest window whose voxels share 32 bits with a random number of 20 bits or more."""
_AT_ONCE = 1 << 16
"""Voxels of windows treated at once: what a cache holds."""


def shuffle_by_size(x: Tensor, start: Tensor, size: Tensor, seed: Tensor) -> Tensor:
    """Return ``x`` (B, C, *spatial) with its windows shuffled, see ``RandLocalShufflingd``."""
    taken = [
        torch.from_numpy(_source(s.numpy(), n.numpy(), int(k), tuple(x.shape[2:])))
        for s, n, k in zip(start, size, seed, strict=True)
    ]
    index = torch.stack(taken)[:, None] if taken else torch.empty(0, 1, 0, dtype=torch.long)
    return x.flatten(2).gather(2, index.expand(-1, x.shape[1], -1)).reshape(x.shape)


def _source(start: NDArray, size: NDArray, seed: int, spatial: tuple[int, ...]) -> NDArray[np.int64]:
    """Return the index of the voxel that each voxel of one sample takes."""
    strides = np.array([math.prod(spatial[axis + 1 :]) for axis in range(len(spatial))])
    low = math.prod(spatial).bit_length()
    # whose window came last (high bits), which voxel it takes (low bits)
    last = torch.arange(math.prod(spatial))
    code = np.ravel_multi_index(tuple(size.T - 1), tuple(size.max(0, initial=1)))
    order = np.argsort(code, kind="stable")
    corner = (start @ strides)[order]
    number = np.arange(1, len(start) + 1)[order]
    first = number << low | corner
    random = _mixed(np.arange(len(start), dtype=np.uint32) + np.uint32(seed & 0xFFFFFFFF))[order]
    for begin, end in pairwise([0, *np.flatnonzero(np.diff(code[order], append=-1)) + 1]):
        box = _box(tuple(size[order[begin]].tolist()), tuple(strides.tolist()))
        step = max(1, _AT_ONCE // len(box))
        for at in range(begin, end, step):
            rows = slice(at, min(at + step, end))
            inside = (corner[rows, None] + box).ravel()
            source = box.take(_permutations(random[rows], len(box)))
            source += first[rows, None]
            last.scatter_reduce_(0, torch.from_numpy(inside), torch.from_numpy(source.ravel()), "amax")
    return last.bitwise_and_((1 << low) - 1).numpy()


@lru_cache(maxsize=4096)
def _box(sides: tuple[int, ...], strides: tuple[int, ...]) -> NDArray[np.int64]:
    """Return where the voxels of a window lie behind its first one."""
    box = np.zeros(1, dtype=np.int64)
    for side, stride in zip(sides, strides, strict=True):
        box = (box[:, None] + np.arange(side) * stride).ravel()
    return box


def _permutations(random: NDArray[np.uint32], count: int) -> NDArray:
    """Return one permutation (W, count) for each of the ``random`` numbers (W,), by sorting hashes of the places."""
    places = np.arange(count, dtype=np.uint32)
    keys = _mixed(random[:, None] + places * np.uint32(0x9E3779B9))
    bits = (count - 1).bit_length()
    if count > _PACKED:
        wide = keys.astype(np.uint64) << np.uint64(bits) | places
        wide.sort(1)
        return wide & np.uint64((1 << bits) - 1)
    keys &= np.uint32(0xFFFFFFFF << bits & 0xFFFFFFFF)
    keys |= places
    keys.sort(1)
    keys &= np.uint32((1 << bits) - 1)
    return keys


def _mixed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Scramble 32 bits in place, each bit of the result depending on all of ``x`` (Wellons, "lowbias32", 2018)."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x
