"""Random gamma correction that keeps the sign."""

from __future__ import annotations

from collections.abc import Sequence

from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_range
from monai_ssl.transforms.base import Params, RandBatchTransform, expand


class RandSignedGammad(RandBatchTransform):
    """Replace x by sign(x) |x|^gamma, with gamma = exp(U(log_gamma)).

    Unlike MONAI's contrast transforms, nothing is rescaled to the range of the image: 0 and 1 stay where they are.

    Parameters drawn: ``log_gamma`` (B,).

    Args:
        keys: images to correct alike.
        log_gamma: range of the logarithm of gamma.
        prob: probability to correct a sample at all.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> import math, torch
    >>> square = RandSignedGammad("image", log_gamma=(math.log(2), math.log(2)))
    >>> square({"image": torch.tensor([[-0.5, 0.0, 1.0]])})["image"]
    tensor([[-0.2500,  0.0000,  1.0000]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        log_gamma: Sequence[float] = (-0.3, 0.3),
        prob: float = 1.0,
        *,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        self.log_gamma = check_range("log_gamma", log_gamma)

    def draw(self, shape: tuple[int, ...]) -> Params:
        return {"log_gamma": self.R.uniform(*self.log_gamma)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        return x.abs().pow_(expand(params["log_gamma"].exp(), x.ndim)).copysign_(x)
