"""Local pixel shuffling on a CPU: windows of equal size are sorted together."""

from __future__ import annotations

import math
from bisect import bisect, bisect_left
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import groupby, pairwise
from operator import itemgetter

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

_PACKED = 15
"""Most bits of a place in a window that leave 16 for a random number when they share a positive integer of 32."""
_AT_ONCE = 1 << 18
"""Voxels of windows treated at once: bounds the memory."""
_REPEATED = 1 << 13
"""Voxels of equal windows whose places are copied at once."""


def shuffle_by_size(x: Tensor, start: Tensor, size: Tensor, seed: Tensor) -> Tensor:
    """Return ``x`` (B, C, *spatial) with its windows shuffled, see ``RandLocalShufflingd``."""
    out = torch.empty_like(x, memory_format=torch.contiguous_format)
    for image, to, s, n, k in zip(x.flatten(2), out.flatten(2), start, size, seed, strict=True):
        torch.index_select(image, 1, _source(s.numpy(), n.numpy(), int(k), tuple(x.shape[2:])), out=to)
    return out


def _source(start: NDArray, size: NDArray, seed: int, spatial: tuple[int, ...]) -> Tensor:
    """Return the index of the voxel that each voxel of one sample takes."""
    strides, longest = _strides(spatial), size.max(1, initial=1).tolist()
    low = (math.prod(spatial) - 1).bit_length()
    far = sum((n - 1) * stride for n, stride in zip(longest, strides, strict=True))
    narrow = far.bit_length() <= _PACKED and low + size.shape[1].bit_length() < 32
    dtype = np.dtype(np.int32 if narrow else np.int64)

    order, shapes = _by_size(size, longest)
    volume = math.prod(size)[order]
    # whose window came last (high bits), which voxel is taken (low bits)
    number = np.arange(1, len(order) + 1, dtype=dtype) << low
    first = (number | _weighted(start, strides).astype(dtype))[order]
    last = torch.from_numpy(np.arange(math.prod(spatial), dtype=dtype))
    stop = volume.cumsum()
    random = _random(int(seed), int(volume.sum()), dtype)
    for begin, end, groups in _pieces(shapes, stop):
        sides = size[:, order[[a for a, _ in groups]]].T.tolist()
        boxes = [
            (b - a, math.prod(shape), _places(*shape, strides=strides, dtype=dtype))
            for (a, b), shape in zip(groups, sides, strict=True)
        ]
        place, permuted = _permuted(boxes, random[stop[begin] - volume[begin] : stop[end - 1]], dtype)
        corner = first[begin:end].repeat(volume[begin:end])
        place += corner
        place &= (1 << low) - 1
        corner += permuted
        last.scatter_reduce_(0, torch.from_numpy(place).long(), torch.from_numpy(corner), "amax")
    return last.bitwise_and_((1 << low) - 1)


def _by_size(size: NDArray, longest: Sequence[int]) -> tuple[NDArray, NDArray]:
    """Return the windows in order of their volume, those of a shape together, and a number for the shape of each."""
    most = math.prod(longest)
    # narrow integers are sorted by radix, in a fifth of the time
    dtype = np.min_scalar_type(2 * most**2)
    code = math.prod(size).astype(dtype) * most + _weighted(size - 1, _strides(longest)).astype(dtype)
    order = np.argsort(code, kind="stable")
    return order, code[order]


def _pieces(shapes: NDArray, stop: NDArray) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Yield (begin, end) of some windows at a time, and of those among them that share a shape.

    Args:
        shapes: a number for the shape of each window (W,), sorted.
        stop: voxels of all windows up to this one (W,).
    """
    total = int(stop[-1]) if len(stop) else 0
    cuts = {0, *np.searchsorted(stop, range(_AT_ONCE, total, _AT_ONCE)).tolist(), len(stop)}
    changes = (np.flatnonzero(shapes[1:] != shapes[:-1]) + 1).tolist()
    for begin, end in pairwise(sorted(cuts)):
        inside = changes[bisect(changes, begin) : bisect_left(changes, end)]
        yield begin, end, list(pairwise([begin, *inside, end]))


def _permuted(boxes: Sequence[tuple[int, int, NDArray]], random: NDArray, dtype: np.dtype) -> tuple[NDArray, NDArray]:
    """Return the places of the voxels in their windows, and the same at random within each window.

    Args:
        boxes: how many windows, how many voxels each of them has, and the places of these, repeated some times.
        random: an unsigned number for each voxel, of half the bits of ``dtype``.
        dtype: of the result.
    """
    totals = [(count * length, places) for count, length, places in boxes]
    place = np.concatenate([places[:n] if n <= len(places) else np.resize(places, n) for n, places in totals])
    # sorted by random number, the places behind it in the low bits
    low = 4 * dtype.itemsize - 1
    keys = random.astype(dtype)
    keys <<= low
    keys |= place
    done = 0
    for length, some in groupby(boxes, itemgetter(1)):
        count = sum(n for n, _, _ in some)
        keys[done : (done := done + count * length)].reshape(count, length).sort(1)
    keys &= (1 << low) - 1
    return place, keys


def _strides(sides: Sequence[int]) -> tuple[int, ...]:
    """Return the distance of neighbors along each axis of an array with these ``sides``."""
    return tuple(math.prod(sides[axis + 1 :]) for axis in range(len(sides)))


def _weighted(rows: NDArray, weights: Sequence[int]) -> NDArray:
    """Return ``weights @ rows``; that product itself is slow for integers."""
    return sum(row * weight for row, weight in zip(rows, weights, strict=True))


@lru_cache(maxsize=1024)
def _places(*sides: int, strides: tuple[int, ...], dtype: np.dtype) -> NDArray:
    """Return where the voxels of a window lie behind its first one, again and again for some such windows."""
    box = np.zeros(1, dtype=dtype)
    for side, stride in zip(sides, strides, strict=True):
        box = (box[:, None] + np.arange(side, dtype=dtype) * stride).ravel()
    return np.tile(box, max(1, _REPEATED // len(box)))


def _random(seed: int, count: int, dtype: np.dtype) -> NDArray:
    """Return ``count`` random unsigned integers of half the bits of ``dtype``."""
    half = np.dtype(f"u{dtype.itemsize // 2}")
    words = np.random.SFC64(seed).random_raw(math.ceil(count * half.itemsize / 8))
    return words.view(half)[:count]
