"""Random Gaussian noise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_range
from monai_ssl.transforms.base import Params, RandBatchTransform, expand


class RandGaussianNoiseBatchd(RandBatchTransform):
    """Add Gaussian noise of a strength drawn for each sample.

    The noise of a sample depends on its seed and shape only, not on its place in the batch; devices differ.

    Parameters drawn: ``std`` (B,) and ``seed`` (B,).

    Args:
        keys: images that get the same noise.
        std: range of the standard deviation.
        prob: probability to add noise to a sample at all.
        mean: mean of the noise.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> noise = RandGaussianNoiseBatchd("image", std=(0.1, 0.1))
    >>> out = noise.batch({"image": torch.zeros(2, 1, 64, 64)})["image"]
    >>> round(out.std().item(), 2)
    0.1
    """

    def __init__(
        self,
        keys: KeysCollection,
        std: Sequence[float] = (0.0, 0.25),
        prob: float = 1.0,
        *,
        mean: float = 0.0,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        self.std = check_range("std", std, "[0, inf)")
        self.mean = mean

    def draw(self, shape: tuple[int, ...]) -> Params:
        return {"mean": self.mean, "std": self.R.uniform(*self.std), "seed": draw_seed(self.R)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        mean, std = (expand(params[name], x.ndim) for name in ("mean", "std"))
        noise = seeded_normal(x, params["seed"])
        return torch.addcmul(x, noise, std, out=noise).add_(mean)


def draw_seed(state: np.random.RandomState) -> int:
    """Draw the seed of a generator for voxel noise."""
    return int(state.randint(np.iinfo(np.int32).max))


def generator_at(device: torch.device) -> torch.Generator:
    """Return a generator of a device; for tensors without values (``meta``), which have none, that of the CPU."""
    return torch.Generator("cpu" if device.type == "meta" else device)


def seeded_normal(like: Tensor, seeds: Tensor) -> Tensor:
    """Return N(0, 1) noise of the shape of ``like`` (B, ...), each sample from its own seed (B,) on the host."""
    noise = torch.empty_like(like, memory_format=torch.contiguous_format)
    generator = generator_at(like.device)
    for sample, seed in zip(noise, seeds.tolist(), strict=True):
        sample.normal_(generator=generator.manual_seed(seed))
    return noise


def seeded_uniform(like: Tensor, seeds: Tensor) -> Tensor:
    """Return U(0, 1) noise of the shape of ``like`` (B, ...), each sample from its own seed (B,) on the host."""
    noise = torch.empty_like(like, memory_format=torch.contiguous_format)
    generator = generator_at(like.device)
    for sample, seed in zip(noise, seeds.tolist(), strict=True):
        sample.uniform_(generator=generator.manual_seed(seed))
    return noise
