"""Z-score and ImageNet normalization."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Hashable, Iterable, Mapping
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

from monai_ssl.transforms.base import as_batch, as_samples, plain


class _Normalized(MapTransform):
    """A dictionary transform that normalizes each image of a batch on its own."""

    @abstractmethod
    def normalize(self, x: Tensor) -> Tensor:
        """Return the normalized images (B, C, *spatial)."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Normalize one sample: values are (C, *spatial), or lists of such."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = as_samples(self.normalize(as_batch(out[key])), out[key])
        return out

    def batch(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Normalize a batch: values are (B, C, *spatial)."""
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.normalize(plain(out[key]))
        return out


class ZScored(_Normalized):
    """Z-score: shift and scale each image to mean 0 and standard deviation 1; a constant image becomes 0.

    Args:
        keys: images to normalize.
        channel_wise: take the statistics of each channel instead of all channels together.
        allow_missing_keys: skip keys that a sample lacks instead of raising ``KeyError``.

    >>> ZScored("image")({"image": torch.tensor([[1.0, 2.0, 3.0]])})["image"]
    tensor([[-1.2247,  0.0000,  1.2247]])
    """

    def __init__(self, keys: KeysCollection, channel_wise: bool = False, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.channel_wise = channel_wise

    def normalize(self, x: Tensor) -> Tensor:
        axes = tuple(range(2 if self.channel_wise else 1, x.ndim))
        mean = x.mean(axes, keepdim=True)
        centered = x - mean
        std = centered.square().mean(axes, keepdim=True).sqrt()
        # the mean of a constant image is rounded, hence its deviation is not exactly 0
        constant = std <= 1e-6 * mean.abs()
        return centered.mul_(torch.where(constant, 0.0, 1.0 / std))


class ImageNetNormalized(_Normalized):
    """Normalize RGB images in [0, 1] with the channel statistics of ImageNet, as networks trained on it expect.

    Args:
        keys: images (3, *spatial) to normalize.
        allow_missing_keys: skip keys that a sample lacks instead of raising ``KeyError``.

    Raises:
        ValueError: when an image does not have three channels.

    >>> mean = torch.tensor([0.485, 0.456, 0.406]).reshape(3, 1, 1)
    >>> ImageNetNormalized("image")({"image": mean})["image"].flatten()
    tensor([0., 0., 0.])
    """

    mean = (0.485, 0.456, 0.406)
    std = (0.229, 0.224, 0.225)

    def normalize(self, x: Tensor) -> Tensor:
        if x.shape[1] != 3:
            raise ValueError(
                f"`ImageNetNormalized` needs 3 channels, got {x.shape[1]}: repeat a gray image to 3 channels, or use "
                "`ZScored`."
            )
        mean, std = (x.new_tensor(v).reshape(3, *[1] * (x.ndim - 2)) for v in (self.mean, self.std))
        return (x - mean) / std


NORMALIZATIONS: Mapping[str, Callable[[Tensor], Tensor]] = {
    "zscore": ZScored("image").normalize,
    "imagenet": ImageNetNormalized("image").normalize,
}
"""What a model card calls them, as functions of a batch (B, C, *spatial)."""


def normalization_of(transforms: Iterable[Any]) -> str | None:
    """Return what a model card calls the normalization among some transforms; ``None`` where there is none.

    >>> normalization_of([str.lower, ZScored("image")]), normalization_of([])
    ('zscore', None)
    """
    kinds = (("zscore", ZScored), ("imagenet", ImageNetNormalized))
    return next((name for one in transforms for name, kind in kinds if isinstance(one, kind)), None)
