"""DiRA's distortions: cutout, outer cutout, patch shuffling, or none.

Haghighi, Hosseinzadeh Taher, Gotway, Liang, "DiRA: Discriminative, Restorative, and Adversarial Learning for
Self-supervised Medical Image Analysis", CVPR 2022. https://arxiv.org/abs/2204.10437
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.transforms.base import Params, RandBatchTransform, expand
from monai_ssl.transforms.masks.box_mask import box_mask
from monai_ssl.transforms.spatial.patch_swap import exchange

KINDS = ("cutout", "outer_cutout", "shuffling", "none")
MAX_BOXES = 10
STOP = 0.1
"""Probability of no more box."""
MARGIN = 3
"""Voxels between a box and the border, where it leaves so much room."""
NUM_SWAPS = 10
# of the authors' images of 224 x 224
CUTOUT_SIDES = (10 / 224, 70 / 224)
OUTER_BORDERS = (50 / 224, 70 / 224)
PATCH_SIDES = (10 / 224, 15 / 224)


class RandDistortiond(RandBatchTransform):
    """Distort each sample in one of three ways, or not at all; in 3-D the depth is treated like the other axes.

    - ``cutout``: up to ten boxes become 0, each side 10/224 to 70/224 of the image's;
    - ``outer_cutout``: all but up to ten windows become 0, each side 50/224 to 70/224 shorter than the image's;
    - ``shuffling``: ten times, two patches with sides of 10/224 to 15/224 change places.

    After each box there is no more with probability 0.1, so that there are 6.5 on average. The two patches of an
    exchange never overlap, and no value is lost (in the authors' code they may, and are copied).

    Parameters drawn: ``kind`` (B,), an index into cutout, outer_cutout, shuffling, none; ``start`` and ``size`` of the
    boxes (B, 10, spatial axes), with size 0 for those that are not there; ``patch`` (B, 10, spatial axes), the sizes
    of the patches, and ``corners`` (B, 10, 2, spatial axes), their first voxels, both equal where nothing moves.

    Args:
        keys: images in [0, 1] to distort alike, of at least 8 voxels along each axis.
        probs: probabilities of cutout, outer cutout and shuffling; the rest is left undistorted.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    Raises:
        ValueError: when ``probs`` are not three probabilities that sum to at most 1, or an image is too small.

    >>> x = torch.rand(1, 1, 32, 32)
    >>> shuffling = RandDistortiond("image", probs=(0.0, 0.0, 1.0))
    >>> out = shuffling.batch({"image": x})["image"]
    >>> torch.equal(out.flatten().sort().values, x.flatten().sort().values)  # no value is lost
    True
    """

    def __init__(
        self,
        keys: KeysCollection,
        probs: Sequence[float] = (0.30, 0.05, 0.30),
        *,
        prob: float = 1.0,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        if len(probs) != 3 or min(probs) < 0.0 or sum(probs) > 1.0 + 1e-6:
            raise ValueError(
                "`probs` must be the probabilities of cutout, outer cutout and shuffling, which sum to at most 1, "
                f"got {list(probs)}."
            )
        self.limits = np.cumsum(probs)

    def draw(self, shape: tuple[int, ...]) -> Params:
        spatial = np.asarray(shape[1:])
        if spatial.min() < 8:
            raise ValueError(
                f"`RandDistortiond` needs at least 8 voxels along each axis, got an image of {spatial.tolist()}."
            )
        kind = KINDS[int(np.searchsorted(self.limits, self.R.rand(), side="right"))]
        start, size = self._boxes(spatial, outer=kind == "outer_cutout")
        corners, patch = self._patches(spatial)
        if kind not in ("cutout", "outer_cutout"):
            size = np.zeros_like(size)
        if kind != "shuffling":
            corners = np.zeros_like(corners)
        return {"kind": KINDS.index(kind), "start": start, "size": size, "corners": corners, "patch": patch}

    def _boxes(self, spatial: NDArray[np.int64], outer: bool) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return starts and sizes (MAX_BOXES, spatial axes), with size 0 for boxes that are not there."""
        low, high = _sides(spatial, OUTER_BORDERS if outer else CUTOUT_SIDES)
        side = self.R.randint(low, high + 1, size=(MAX_BOXES, len(spatial)))
        size = spatial - side if outer else side
        margin = np.minimum(MARGIN, (spatial - size) // 2)
        start = self.R.randint(margin, spatial - size - margin + 1)
        present = np.append(True, np.cumprod(self.R.rand(MAX_BOXES - 1) >= STOP).astype(bool))
        return start, size * present[:, None]

    def _patches(self, spatial: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return corners (NUM_SWAPS, 2, spatial axes) of patches side by side, and their sizes."""
        low, high = _sides(spatial, PATCH_SIDES)
        patch = self.R.randint(low, high + 1, size=(NUM_SWAPS, len(spatial)))
        corners = np.zeros((NUM_SWAPS, 2, len(spatial)), dtype=np.int64)
        overlaps = np.ones(NUM_SWAPS, dtype=bool)
        while overlaps.any():
            last = np.repeat((spatial - patch)[overlaps, None], 2, axis=1)
            corners[overlaps] = self.R.randint(0, last + 1)
            overlaps = (np.abs(corners[:, 0] - corners[:, 1]) < patch).all(axis=1)
        return corners, patch

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        boxes = box_mask(params["start"], params["size"], x.shape[2:])
        outer = params["kind"] == KINDS.index("outer_cutout")
        hidden = boxes != expand(outer, x.ndim)
        return torch.where(hidden, 0.0, exchange(x, _patch_voxels(x, params["corners"], params["patch"])))


def _sides(spatial: NDArray[np.int64], fractions: tuple[float, float]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    low, high = (np.maximum(1, np.rint(fraction * spatial)).astype(np.int64) for fraction in fractions)
    return low, high


def _patch_voxels(x: Tensor, corners: Tensor, patch: Tensor) -> Tensor:
    """Return the voxels (B, NUM_SWAPS, 2, P) of patches of different sizes, as flat indices."""
    most = [int(side) for side in _sides(np.asarray(x.shape[2:]), PATCH_SIDES)[1]]
    axes = [torch.arange(side, device=x.device) for side in most]
    offsets = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1).flatten(0, -2)
    # a smaller patch repeats its last voxels, in both places alike
    offsets = torch.minimum(offsets, patch[:, :, None] - 1)
    strides = torch.tensor([x.shape[axis + 1 :].numel() for axis in range(2, x.ndim)], device=x.device)
    return ((corners[:, :, :, None] + offsets[:, :, None]) * strides).sum(-1)
