"""Crop of a visual word, in several resolutions (TransVW).

Haghighi, Hosseinzadeh Taher, Zhou, Gotway, Liang, "Transferable Visual Words: Exploiting the Semantics of Anatomical
Patterns for Self-supervised Learning", TMI 2021. https://arxiv.org/abs/2102.10680
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
from monai.transforms import MapTransform, Randomizable

from monai_ssl.arguments import check_interval, check_range
from monai_ssl.transforms.crops.boxes import Box
from monai_ssl.transforms.crops.cut import read_window, resize, spatial_shape, with_channels


class RandWordCropd(Randomizable, MapTransform):
    """Cut a located word as it is, or a larger or smaller window around it, resized.

    A changed window keeps its place and depth along the third axis. Its sides along the first two axes are both
    multiplied by one number from ``scale``; its first corner moves along each of them by a share of the side from
    ``shift``. It never leaves the scan.

    Args:
        key: the word: has ``start``, ``size`` and ``label``, and shape and slicing of its scan.
        out_size: voxels of the result.
        prob: probability to change the window; 2/3 for the authors' two changed windows to one that is not.
        scale: least and largest factor of the sides; 50 to 79 voxels of 64 in the authors' code.
        shift: least and largest share of the side; -10 to 9 voxels of 64 in the authors' code.
        channels: repeat an image of one channel to so many; ``None`` leaves the channels as they are.
        name: key of the result.
        params_key: where to put ``start`` and ``size`` (D,) of what was cut.

    Returns:
        The sample without ``key``, with a float32 tensor (C, *out_size) and ``label``.

    Raises:
        ValueError: when a number is outside its range.

    >>> import torch
    >>> class Word:
    ...     start, size, label, shape = (2, 3), (8, 8), 7, (1, 20, 20)
    ...     def __getitem__(self, slices):
    ...         return torch.zeros(self.shape)[slices]
    >>> out = RandWordCropd("word", (8, 8), prob=0.0, params_key="params")({"word": Word()})
    >>> out["view"].shape, out["label"], out["params"]["start"].tolist()
    (torch.Size([1, 8, 8]), 7, [2, 3])
    """

    def __init__(
        self,
        key: str,
        out_size: Sequence[int],
        prob: float = 2 / 3,
        *,
        scale: Sequence[float] = (50 / 64, 79 / 64),
        shift: Sequence[float] = (-10 / 64, 9 / 64),
        channels: int | None = None,
        name: str = "view",
        params_key: str | None = None,
    ) -> None:
        super().__init__((key,))
        check_interval("[0, 1]", prob=prob)
        self.prob = prob
        self.out_size = tuple(out_size)
        self.scale = check_range("scale", scale, "[0.01, inf)")
        self.shift = check_range("shift", shift, "[-1, inf)")
        self.channels, self.name, self.params_key = channels, name, params_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            word = out.pop(key)
        box = self._draw(word, spatial_shape(word, len(self.out_size), type(self).__name__))
        out[self.name] = with_channels(resize(read_window(word, box), self.out_size), self.channels)
        out["label"] = word.label
        if self.params_key is not None:
            out[self.params_key] = {"start": box.start, "size": box.size}
        return out

    def _draw(self, word: Any, shape: np.ndarray) -> Box:
        start, size = np.array(word.start), np.array(word.size)
        # drawn whether used or not: the stream of random numbers does not depend on `prob`
        changed, scale = self.R.rand() < self.prob, self.R.uniform(*self.scale)
        shift = self.R.uniform(*self.shift, size=2)
        if changed:
            start[:2] += np.rint(shift * size[:2]).astype(start.dtype)
            size[:2] = np.maximum(np.rint(scale * size[:2]), 1)
        size = np.minimum(size, shape)
        return Box(np.clip(start, 0, shape - size), size)
