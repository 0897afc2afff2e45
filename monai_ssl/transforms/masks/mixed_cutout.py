"""Cutout by many boxes, filled with noise and then with another sample (inner cutout of Swin UNETR's pre-training).

Tang et al., "Self-Supervised Pre-Training of Swin Transformers for 3D Medical Image Analysis", CVPR 2022,
https://arxiv.org/abs/2111.14791.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from monai_ssl.arguments import check_interval, check_range
from monai_ssl.transforms.base import Params, expand
from monai_ssl.transforms.intensity.noise import draw_seed, seeded_normal
from monai_ssl.transforms.masks.box_mask import box_mask
from monai_ssl.transforms.puzzles.task import RandTask

_MOST = 128
"""Boxes of a round; so many of the default sides are as good as always more than enough."""


class RandMixedCutoutd(RandTask):
    """Cut boxes out of each image and fill them with noise, then others, which show another image of the batch.

    A round draws boxes until their volumes, counted without regard to overlaps, sum to a share of the image that was
    drawn uniformly. The noise is normal, scaled to [0, 1] in each channel. The other image is any of the batch; where
    it is the image itself there is no second round.

    Args:
        key: images in [0, 1] of a batch, or a list of such of one sample.
        sides: shortest and longest side of a box as a share of the image's.
        share: largest share of a round, in [0, 1].
        params_key: where to put what was drawn: ``start`` and ``size`` (B, 2, N, D) of the boxes of both rounds, a size
            of 0 for boxes that are not there, ``other`` (B,), in [0, 1), where in the batch the other image stands,
            and ``seed`` (B,).

    Raises:
        ValueError: when a number is out of range.

    >>> x = torch.stack([torch.full((1, 16, 16), 2.0), torch.full((1, 16, 16), 3.0)])
    >>> out = RandMixedCutoutd("view").set_random_state(0).batch({"view": x})["view"]
    >>> [bool(((out[0] == value) | (out[0] <= 1)).any()) for value in (2.0, 3.0)]
    [True, True]
    """

    def __init__(
        self,
        key: str,
        sides: Sequence[float] = (0.05, 0.25),
        share: float = 0.3,
        *,
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        check_interval("[0, 1]", share=share)
        self.sides, self.share = check_range("sides", sides, "(0, 1]"), share
        self.several = (key,)

    def draw(self, shape: tuple[int, ...]) -> Params:
        rounds = [self._boxes(np.array(shape[1:])) for _ in range(2)]
        start, size = (np.stack(both) for both in zip(*rounds, strict=True))
        return {"start": start, "size": size, "other": self.R.rand(), "seed": draw_seed(self.R)}

    def _boxes(self, spatial: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        low, high = (np.maximum(np.rint(side * spatial).astype(np.int64), 1) for side in self.sides)
        wanted = self.R.uniform(0, self.share) * spatial.prod()
        size = self.R.randint(low, high + 1, size=(_MOST, len(spatial)))
        start = self.R.randint(0, spatial - size + 1)
        volume = size.prod(1)
        there = np.cumsum(volume) - volume < wanted
        return start, size * there[:, None]

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        boxes = {name: params[name].to(x.device, non_blocking=True) for name in ("start", "size")}
        first, second = (box_mask(boxes["start"][:, i], boxes["size"][:, i], x.shape[2:]) for i in range(2))
        noise = seeded_normal(x, params["seed"]).flatten(2)
        low, high = noise.amin(2, keepdim=True), noise.amax(2, keepdim=True)
        cut = torch.where(first, ((noise - low) / (high - low)).reshape(x.shape), x)
        other = (params["other"] * len(x)).long()
        differs = (other != torch.arange(len(x))).to(x.device, non_blocking=True)
        return {self.key: torch.where(second & expand(differs, x.ndim), x[other.to(x.device, non_blocking=True)], cut)}


__all__ = ["RandMixedCutoutd"]
