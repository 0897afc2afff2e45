"""Chain of random flips, as in Models Genesis.

Zhou et al., "Models Genesis", Medical Image Analysis 67, 2021. https://doi.org/10.1016/j.media.2020.101840
"""

from __future__ import annotations

import numpy as np
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.transforms.base import Params, RandBatchTransform
from monai_ssl.transforms.spatial.flips import RandFlipBatchd


class RandFlipChaind(RandBatchTransform):
    """Flip one random spatial axis, again and again while chance allows.

    Two flips of one axis undo each other. (The authors' code draws among the first three axes of (C, X, Y, Z), so it
    "flips" the channel and never Z.)

    Parameters drawn: ``flip`` (B, spatial axes), boolean, what remains of the chain.

    Args:
        keys: images to flip alike.
        round_prob: probability of a flip, and of one more after it.
        max_rounds: most flips in a chain.
        prob: probability to consider a sample at all.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    Raises:
        ValueError: when ``round_prob`` is not in [0, 1] or ``max_rounds`` is negative.

    >>> import torch
    >>> x = torch.rand(1, 1, 8, 8, 8)
    >>> out = RandFlipChaind("image", params_key="params").batch({"image": x})
    >>> axes = [axis for axis, flipped in enumerate(out["params"]["flip"][0], start=2) if flipped]
    >>> torch.equal(out["image"], x.flip(axes))
    True
    """

    def __init__(
        self,
        keys: KeysCollection,
        round_prob: float = 0.4,
        max_rounds: int = 3,
        *,
        prob: float = 1.0,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[0, 1]", round_prob=round_prob)
        check_interval("[0, inf)", max_rounds=max_rounds)
        self.round_prob = round_prob
        self.max_rounds = max_rounds

    def draw(self, shape: tuple[int, ...]) -> Params:
        axes = self.R.randint(len(shape) - 1, size=self.max_rounds)
        rounds = int(np.cumprod(self.R.rand(self.max_rounds) < self.round_prob).sum())
        return {"flip": np.bincount(axes[:rounds], minlength=len(shape) - 1) % 2 == 1}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        return RandFlipBatchd.kernel(x, params)
