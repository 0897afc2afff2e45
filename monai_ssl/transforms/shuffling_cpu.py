"""Local shuffling on a CPU: windows of equal size lie side by side, as short rows that sort fast in the cache."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PACKED = 14
"""Most bits of a place in a window that leave a random number of 18 bits or more when they share 32."""
_AT_ONCE = 1 << 16
"""Voxels of windows treated at once: what a cache holds."""


def shuffle_by_size(x: Tensor, start: Tensor, size: Tensor, seed: Tensor) -> Tensor:
    """Return ``x`` (B, C, *spatial) with its windows shuffled, see ``RandLocalShufflingd``."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    for image, to, s, n, k in zip(x.flatten(2), out.flatten(2), start, size, seed, strict=True):
        torch.index_select(image, 1, _source(s.numpy(), n.numpy(), int(k), tuple(x.shape[2:])), out=to)
    return out


def _source(start: NDArray, size: NDArray, seed: int, spatial: tuple[int, ...]) -> Tensor:
    """Return the index of the voxel that each voxel of one sample takes."""
    # one row an axis: sums over the axes of many windows are then fast
    corners, sides = np.ascontiguousarray(start.T), np.ascontiguousarray(size.T)
    strides, longest = _strides(spatial), sides.max(1, initial=1)
    low = (math.prod(spatial) - 1).bit_length()
    place_bits = int(_weighted(longest - 1, strides)).bit_length()
    narrow = place_bits <= _PACKED and low + len(start).bit_length() < 32
    dtype = np.dtype(np.int32 if narrow else np.int64)

    code = _weighted(sides - 1, _strides(longest.tolist()))
    order = np.argsort(code)
    volume = sides.prod(0)[order]
    # whose window came last (high bits), which voxel is taken (low bits)
    number = np.arange(1, len(start) + 1, dtype=dtype) << low
    first = (number | _weighted(corners, strides).astype(dtype))[order]
    last = torch.from_numpy(np.arange(math.prod(spatial), dtype=dtype))
    stop = volume.cumsum()
    for begin, end, groups in _pieces(code[order], stop):
        boxes = [(b - a, _box(tuple(sides[:, order[a]].tolist()), strides, dtype)) for a, b in groups]
        # a number for each voxel of each window, whatever is treated at once
        random = _mixed(np.arange(stop[begin] - volume[begin], stop[end - 1], dtype=np.uint32) + np.uint32(seed))
        place, permuted = _permuted(boxes, random.view(dtype) if narrow else random.astype(dtype) << 31, place_bits)
        corner = first[begin:end].repeat(volume[begin:end])
        inside = (corner + place) & ((1 << low) - 1)
        last.scatter_reduce_(0, torch.from_numpy(inside).long(), torch.from_numpy(corner + permuted), "amax")
    return last.bitwise_and_((1 << low) - 1)


def _pieces(code: NDArray, stop: NDArray) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield (begin, end) of some windows at a time, and of those among them that share a ``code``.

    Args:
        code: of the size of each window (W,), sorted.
        stop: voxels of all windows up to this one (W,).
    """
    groups = _changes(code)
    for begin, end in pairwise([0, *_changes(stop // _AT_ONCE)]):
        yield begin, end, list(pairwise([begin, *(at for at in groups if begin < at < end), end]))


def _changes(values: NDArray) -> list[int]:
    """Return where ``values`` differ from those before them, and how many they are."""
    return [*(np.flatnonzero(values[1:] != values[:-1]) + 1).tolist(), len(values)] if len(values) else []


def _permuted(boxes: Sequence[tuple[int, NDArray]], keys: NDArray, place_bits: int) -> tuple[NDArray, NDArray]:
    """Return the places of the voxels in their windows, and the same at random within each window.

    Args:
        boxes: how many windows, and the places of the voxels in each of them.
        keys: a random number for each voxel, changed: windows are permuted by sorting them, places in the low bits.
        place_bits: number of these low bits.
    """
    place = np.concatenate([box[None].repeat(count, 0).ravel() for count, box in boxes])
    keys &= -1 << place_bits
    keys |= place
    done = 0
    for count, box in boxes:
        keys[done : (done := done + count * len(box))].reshape(count, -1).sort(1)
    keys &= (1 << place_bits) - 1
    return place, keys


def _strides(sides: Sequence[int]) -> tuple[int, ...]:
    """Return the distance of neighbors along each axis of an array with these ``sides``."""
    return tuple(math.prod(sides[axis + 1 :]) for axis in range(len(sides)))


def _weighted(rows: NDArray, weights: Sequence[int]) -> NDArray:
    """Return ``weights @ rows``; that product itself is slow for integers."""
    return sum(row * weight for row, weight in zip(rows, weights, strict=True))


@lru_cache(maxsize=4096)
def _box(sides: tuple[int, ...], strides: tuple[int, ...], dtype: np.dtype) -> NDArray:
    """Return where the voxels of a window lie behind its first one."""
    box = np.zeros(1, dtype=dtype)
    for side, stride in zip(sides, strides, strict=True):
        box = (box[:, None] + np.arange(side, dtype=dtype) * stride).ravel()
    return box


def _mixed(x: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Scramble 32 bits in place, each bit of the result depending on all of ``x`` (Wellons, "lowbias32", 2018)."""
    for shift, factor in ((16, 0x7FEB352D), (15, 0x846CA68B)):
        x ^= x >> np.uint32(shift)
        x *= np.uint32(factor)
    x ^= x >> np.uint32(16)
    return x
