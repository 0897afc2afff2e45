"""Apply a chain of transforms to each view with its own random draw."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.transforms import MapTransform, Randomizable

from monai_ssl.transforms.base import as_batch, as_samples
from monai_ssl.transforms.views import BatchViews


class Separatelyd(Randomizable, MapTransform):
    """Apply a chain to each key on its own, so that views of one scan are augmented differently.

    A transform draws once for all its keys, as an image and its target need; two views need two draws.

    Args:
        keys: images to transform, of any shapes.
        transforms: dictionary transforms, written for the key ``"image"``.
        allow_missing_keys: skip keys that a batch lacks.

    >>> import torch
    >>> from monai_ssl.transforms import RandGaussianNoiseBatchd
    >>> noise = Separatelyd(["view1", "view2"], [RandGaussianNoiseBatchd("image")])
    >>> out = noise.batch({"view1": torch.zeros(1, 1, 8, 8), "view2": torch.zeros(1, 1, 8, 8)})
    >>> torch.equal(out["view1"], out["view2"])
    False
    """

    def __init__(self, keys: KeysCollection, transforms: Sequence[Callable], allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.views = BatchViews(transforms)

    def set_random_state(self, seed: int | None = None, state: np.random.RandomState | None = None) -> Separatelyd:
        super().set_random_state(seed, state)
        self.views.set_random_state(seed, state)
        return self

    def batch(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform a batch: values are tensors (B, C, *spatial)."""
        out: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.views({"image": out[key]})["image"]
        return out

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Transform one sample: values are (C, *spatial), or lists of such."""
        out: dict[Hashable, Any] = dict(data)
        for key in self.key_iterator(out):
            out[key] = as_samples(self.views({"image": as_batch(out[key])})["image"], out[key])
        return out
