"""Local pixel shuffling (Models Genesis): voxels are permuted inside small windows.

Zhou et al., "Models Genesis", Medical Image Analysis 67, 2021. https://doi.org/10.1016/j.media.2020.101840
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.transforms.base import Params, RandBatchTransform
from monai_ssl.transforms.intensity.noise import draw_seed, generator_at
from monai_ssl.transforms.spatial.shuffling_cpu import shuffle_by_size

COVERAGE = 10_000 * (3.5 * 3.5 * 2.0) / (64 * 64 * 32)
"""Voxels in windows per voxel of the image that 10,000 windows make in (64, 64, 32), the setting of the paper."""
_RANDOM_BITS = 20
_CHUNK = 1 << 21
"""Voxels of windows treated at once: bounds the memory."""


class RandLocalShufflingd(RandBatchTransform):
    """Local pixel shuffling: permute the voxels inside many small windows.

    Each window is read from the original image, its voxels are permuted (all channels alike) and written to the
    output, over what earlier windows have written there. So a value moves by less than the side of a window, and values
    may be lost or doubled where windows overlap.

    Parameters drawn: ``start`` and ``size`` of the windows (B, spatial axes, num_windows), ``seed`` (B,) of the
    permutations.

    Args:
        keys: images to shuffle alike.
        prob: probability to shuffle a sample at all.
        num_windows: how many windows; ``None`` for as many as cover 82 % of the voxels, what 10,000 do in (64, 64, 32).
        max_fraction: longest side of a window as a fraction of the image, in (0, 1]; a side is drawn from {1, ...,
            floor(max_fraction * n)} for an axis of n voxels.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    Raises:
        ValueError: when ``num_windows`` is negative or ``max_fraction`` outside its range.

    >>> x = torch.arange(1024.0).reshape(1, 1, 32, 32)
    >>> out = RandLocalShufflingd("image", prob=1.0).batch({"image": x})["image"]
    >>> rows = (out // 32 - x // 32).abs()
    >>> bool(rows.max() <= 2), torch.equal(out, x)  # windows are at most 3 voxels long, a tenth of 32
    (True, False)
    """

    on_host = ("seed", "start", "size")

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.5,
        num_windows: int | None = None,
        max_fraction: float = 1 / 10,
        *,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[0, inf)", num_windows=num_windows)
        check_interval("(0, 1]", max_fraction=max_fraction)
        self.num_windows = num_windows
        self.max_fraction = max_fraction

    def draw(self, shape: tuple[int, ...]) -> Params:
        spatial = np.asarray(shape[1:], dtype=np.int32)[:, None]
        # 0.29 * 100 is a little below 29
        longest = np.maximum(np.floor(self.max_fraction * spatial + 1e-9), 1)
        count = self.num_windows
        if count is None:
            count = round(COVERAGE * float(np.prod(spatial / ((1 + longest) / 2))))
        # one number an axis, and not randint, which is slow for bounds that vary: what the side leaves of its 53 bits
        # is the place
        places = self.R.random_sample((len(spatial), count)) * longest
        size = places.astype(np.int32)
        places -= size
        size += 1
        places *= spatial + 1 - size
        start = places.astype(np.int32)
        return {"start": start, "size": size, "seed": draw_seed(self.R)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        shuffle = shuffle_by_size if x.device.type == "cpu" else _shuffle
        return shuffle(x, params["start"], params["size"], params["seed"])


def _shuffle(x: Tensor, start: Tensor, size: Tensor, seed: Tensor) -> Tensor:
    """Return ``x`` (B, C, *spatial) with its windows shuffled, as many samples at once as fit."""
    groups = math.ceil(len(x) / _samples_at_once(x, size.shape[2]))
    pieces = zip(*(values.chunk(groups) for values in (x, start, size, seed)), strict=True)
    return torch.cat([_shuffle_at_once(*piece) for piece in pieces])


def _shuffle_at_once(x: Tensor, start: Tensor, size: Tensor, seed: Tensor) -> Tensor:
    """Move the voxels of ``x`` (B, C, *spatial) all at once, by the index of the voxel that each of them takes."""
    count, spatial = len(x), x.shape[2:]
    low = (count * spatial.numel()).bit_length()
    voxel = (1 << low) - 1
    # the value of a voxel: whose window came last (high bits), in random order, which voxel it takes (low bits)
    last = torch.arange(count * spatial.numel(), device=x.device)
    random = _random(size.prod(1).sum(1).tolist(), seed, x.device)
    done = 0
    for inside in _inside(start, size, spatial, low + _RANDOM_BITS, x.device):
        order = random[done : done + len(inside)].long() << low
        done += len(inside)
        # sorted by window, then at random: within a window, the n-th voxel takes the n-th of these
        last.scatter_reduce_(0, inside & voxel, (inside | order).sort().values, "amax")
    taken = (last & voxel).reshape(count, 1, -1)
    taken = taken - torch.arange(count, device=x.device).reshape(-1, 1, 1) * spatial.numel()
    return x.flatten(2).gather(2, taken.expand(-1, x.shape[1], -1)).reshape(x.shape)


def _inside(start: Tensor, size: Tensor, spatial: Sequence[int], shift: int, device: torch.device) -> Iterator[Tensor]:
    """Yield the voxels of all windows in turn, each as number of the window << ``shift`` | index of the voxel.

    Windows are known on the host, so that nothing is read back from the device.
    """
    start, sides = start.long().movedim(1, 2), size.long().movedim(1, 2).flatten(0, 1)
    count, windows, dims = start.shape
    strides = [math.prod(spatial[axis + 1 :]) for axis in range(dims)]
    corner = (start * torch.tensor(strides)).sum(-1) + torch.arange(count)[:, None] * math.prod(spatial)
    first = torch.arange(1, count * windows + 1) << shift | corner.flatten()
    at_once = max(1, _CHUNK // math.prod(sides.amax(0).tolist())) if windows else 1
    for begin, side in zip(first.split(at_once), sides.split(at_once), strict=True):
        voxels = side.cumprod(1).sum(0).tolist()
        yield _fill(begin.to(device, non_blocking=True), side.to(device, non_blocking=True), strides, voxels)


def _fill(first: Tensor, sides: Tensor, strides: Sequence[int], voxels: Sequence[int]) -> Tensor:
    """Return ``first`` (W,) and what lies behind it along each of the ``sides`` (W, spatial axes), box after box.

    ``voxels`` says how many there are after each axis.
    """
    for axis, (stride, total) in enumerate(zip(strides, voxels, strict=True)):
        # each element becomes a row of `side` elements that lie `stride` apart
        side = sides[:, axis]
        begin = side.cumsum(0) - side
        row = (first - begin * stride).repeat_interleave(side, output_size=total)
        sides = sides.repeat_interleave(side, 0, output_size=total) if axis + 1 < len(strides) else sides
        first = row.add_(torch.arange(0, total * stride, stride, device=row.device))
    return first


def _samples_at_once(x: Tensor, windows: int) -> int:
    """How many samples fit when window, random number and voxel share 63 bits."""
    room = 1 << (63 - _RANDOM_BITS - 2)
    return max(1, math.isqrt(room // (x.shape[2:].numel() * (windows + 1))))


def _random(counts: Sequence[int], seeds: Tensor, device: torch.device) -> Tensor:
    """Return so many random integers for each sample, one after the other, each sample from its own seed."""
    generator = generator_at(device)
    drawn = [
        torch.empty(count, dtype=torch.int32, device=device).random_(
            0, 1 << _RANDOM_BITS, generator=generator.manual_seed(seed)
        )
        for count, seed in zip(counts, seeds.tolist(), strict=True)
    ]
    return torch.cat(drawn)
