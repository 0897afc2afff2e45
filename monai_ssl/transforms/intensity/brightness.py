"""Random brightness and contrast of images of any number of channels."""

from __future__ import annotations

from collections.abc import Sequence

from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_range
from monai_ssl.transforms.base import Params, RandBatchTransform, expand


class RandBrightnessd(RandBatchTransform):
    """Add to all intensities, then stretch them about the mean of the image, and clip to [0, 1].

    Parameters drawn: ``shift`` (B,) and ``contrast`` (B,), of which 0 and 1 change nothing.

    Args:
        keys: images in [0, 1] to change alike.
        shift: range of what is added.
        contrast: range of the factor.
        prob: probability to change a sample at all.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    Raises:
        ValueError: when a range is none, or a factor negative.

    >>> import torch
    >>> brighter = RandBrightnessd("image", shift=(0.1, 0.1), contrast=(2.0, 2.0), prob=1.0)
    >>> brighter({"image": torch.tensor([[0.4, 0.6]])})["image"]  # (x - 0.5) * 2 + 0.5 + 0.1
    tensor([[0.4000, 0.8000]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        shift: Sequence[float] = (-0.125, 0.125),
        contrast: Sequence[float] = (0.5, 1.5),
        prob: float = 0.5,
        *,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        self.shift = check_range("shift", shift)
        self.contrast = check_range("contrast", contrast, "[0, inf)")

    def draw(self, shape: tuple[int, ...]) -> Params:
        return {"shift": self.R.uniform(*self.shift), "contrast": self.R.uniform(*self.contrast)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        shift, contrast = (expand(params[name], x.ndim) for name in ("shift", "contrast"))
        mean = expand(x.flatten(1).mean(1), x.ndim)
        return (x - mean).mul_(contrast).add_(mean + shift).clamp_(0, 1)


__all__ = ["RandBrightnessd"]
