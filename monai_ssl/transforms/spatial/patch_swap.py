"""Patch swapping (context restoration): small patches change places.

Chen et al., "Self-supervised learning for medical image analysis using image context restoration", Medical Image
Analysis 58, 2019. https://doi.org/10.1016/j.media.2019.101539
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.arguments import check_interval, per_axis
from monai_ssl.transforms.base import Params, RandBatchTransform


class RandPatchSwapd(RandBatchTransform):
    """Patch swapping: exchange the content of two random patches, many times in turn.

    The two patches of one exchange never overlap, so all voxel values are kept. Later exchanges may move what earlier
    ones have moved.

    Parameters drawn: ``corners`` (B, num_swaps, 2, spatial axes), the first voxel of each patch; ``patch_size`` is
    repeated as ``patch`` (B, prod(patch_size), spatial axes), the offsets of its voxels.

    Args:
        keys: images to treat alike.
        patch_size: in voxels; one number for all axes or one for each.
        num_swaps: number of exchanges.
        prob: probability to treat a sample at all.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> x = torch.rand(1, 1, 16, 16)
    >>> out = RandPatchSwapd("image", patch_size=4, num_swaps=1).batch({"image": x})["image"]
    >>> int((out != x).sum()), torch.equal(out.flatten().sort().values, x.flatten().sort().values)
    (32, True)
    """

    def __init__(
        self,
        keys: KeysCollection,
        patch_size: int | Sequence[int] = (8, 4, 4),
        num_swaps: int = 100,
        *,
        prob: float = 1.0,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[1, inf)", patch_size=patch_size)
        check_interval("[0, inf)", num_swaps=num_swaps)
        self.patch_size = patch_size
        self.num_swaps = num_swaps

    def draw(self, shape: tuple[int, ...]) -> Params:
        spatial = np.asarray(shape[1:])
        patch = per_axis("patch_size", self.patch_size, len(spatial)).astype(np.int64)
        if (patch > spatial).any() or (2 * patch > spatial).all():
            raise ValueError(
                f"`patch_size` {tuple(patch.tolist())} is too large for an image of {tuple(spatial.tolist())}: two "
                "patches must fit side by side."
            )
        offsets = np.stack(np.meshgrid(*(np.arange(p) for p in patch), indexing="ij"), axis=-1)
        return {"corners": self._corners(spatial - patch, patch), "patch": offsets.reshape(-1, len(patch))}

    def _corners(self, last: NDArray[np.int64], patch: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return (num_swaps, 2, spatial axes), uniform over the pairs of patches that do not overlap."""
        corners = np.zeros((self.num_swaps, 2, len(patch)), dtype=np.int64)
        overlaps = np.ones(self.num_swaps, dtype=bool)
        while overlaps.any():
            corners[overlaps] = self.R.randint(0, last + 1, size=(overlaps.sum(), 2, len(patch)))
            overlaps = (np.abs(corners[:, 0] - corners[:, 1]) < patch).all(axis=1)
        return corners

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        strides = torch.tensor([x.shape[axis + 1 :].numel() for axis in range(2, x.ndim)], device=x.device)
        # voxels of both patches as flat indices (B, num_swaps, 2, P): one gather and one scatter per exchange
        voxels = (params["corners"] * strides).sum(-1, keepdim=True) + (params["patch"] * strides).sum(-1)[
            :, None, None
        ]
        return exchange(x, voxels)


def exchange(x: Tensor, voxels: Tensor) -> Tensor:
    """Return a copy of ``x`` (B, C, *spatial) in which pairs of patches have changed places, one pair after another.

    Args:
        x: images.
        voxels: flat indices (B, pairs, 2, P) of the voxels of both patches of each pair.
    """
    channels = (-1, -1, x.shape[1], -1)
    target = voxels.flatten(2).unsqueeze(2).expand(channels)
    source = voxels.flip(2).flatten(2).unsqueeze(2).expand(channels)
    out = x.flatten(2).clone()
    for pair in range(voxels.shape[1]):
        out.scatter_(2, target[:, pair], out.gather(2, source[:, pair]))
    return out.reshape(x.shape)
