"""TOWER's masks for CT (blocks) and X-ray (stripes): random masking for restoration.

Here blocks and stripes; the rays are in :mod:`monai_ssl.transforms.masks.rays_mask`.

Chen, Li, Chen, Luo, "A Knowledge-based Learning Framework for Self-supervised Pre-training Towards Enhanced Recognition
of Medical Images" (TOWER), 2022, Sec. III-B2. https://arxiv.org/abs/2211.14715
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.utils import ensure_tuple
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.arguments import check_choice, check_interval, per_axis
from monai_ssl.transforms.base import Params, RandBatchTransform, plain


class RandKnowledgeMask(RandBatchTransform):
    """Set to 0 what a random mask hides, the same for all channels; what masks share.

    Args:
        keys: images to mask alike.
        prob: probability to mask a sample at all.
        visible_key: where to put what can still be seen, (1, *spatial): 1, and 0 where masked; a mask that stands there
            already is masked further. Not stored when ``None``.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 1.0,
        visible_key: str | None = None,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        images = ensure_tuple(keys)
        super().__init__(
            images if visible_key is None else (*images, visible_key), prob, params_key, allow_missing_keys
        )
        self.image_keys = images
        self.visible_key = visible_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return super().__call__(self._with_visible(data, _all_visible))

    def batch(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        return super().batch(self._with_visible(data, lambda x: torch.ones_like(x[:, :1])))

    def _with_visible(self, data: Mapping[Hashable, Any], ones: Any) -> dict[Hashable, Any]:
        out = dict(data)
        first = next((key for key in self.image_keys if key in out), None)
        if self.visible_key is not None and first is not None and self.visible_key not in out:
            out[self.visible_key] = ones(out[first])
        return out


def _all_visible(image: Any) -> Any:
    if isinstance(image, Sequence):
        return [_all_visible(x) for x in image]
    return torch.ones_like(plain(image)[:1])


class RandBlockMaskd(RandKnowledgeMask):
    """Hide a fixed share of the cells of a grid: TOWER's mask for CT, whose organs are blocks.

    Parameters drawn: ``hidden`` (B, *grid), boolean.

    Args:
        keys: images to mask alike.
        mask_ratio: share of the cells that is hidden, in (0, 1); exactly int(ratio * cells) of them.
        grid: cells along each axis; one number for all axes or one for each. Sides that it does not divide have cells
            that differ by a voxel.
        prob: see :class:`RandKnowledgeMask`.
        visible_key: see :class:`RandKnowledgeMask`.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> out = RandBlockMaskd("image", mask_ratio=0.25, grid=4)({"image": torch.ones(1, 8, 8)})["image"]
    >>> int((out == 0).sum())  # 4 of 16 cells of 2 x 2 voxels
    16
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_ratio: float = 0.5,
        grid: int | Sequence[int] = 32,
        *,
        prob: float = 1.0,
        visible_key: str | None = None,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, visible_key, params_key, allow_missing_keys)
        check_interval("(0, 1)", mask_ratio=mask_ratio)
        check_interval("[1, inf)", grid=grid)
        self.mask_ratio = mask_ratio
        self.grid = grid

    def draw(self, shape: tuple[int, ...]) -> Params:
        spatial = shape[1:]
        grid = per_axis("grid", self.grid, len(spatial)).astype(np.int64)
        if (grid > spatial).any():
            raise ValueError(f"`grid` {grid.tolist()} has more cells than the image {spatial} has voxels; use fewer.")
        return {"hidden": _choose(self.R, int(grid.prod()), self.mask_ratio).reshape(grid)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        return _hide_cells(x, params["hidden"])


class RandStripeMaskd(RandKnowledgeMask):
    """Hide a fixed share of stripes through the whole image: TOWER's mask for X-ray, whose ribs and lungs are crossed.

    Stripes are rows of a 2-D image and planes of a 3-D one.

    Parameters drawn: ``hidden`` (B, ...), boolean: the side of the image along ``axis``, 1 along the others.

    Args:
        keys: images to mask alike.
        mask_ratio: share of the stripes that is hidden, in (0, 1); exactly int(ratio * stripes) of them.
        width: voxels of a stripe; the last one may be thinner.
        axis: spatial axis that stripes are normal to; the last one makes horizontal stripes of radiographs, which
            are stored as (columns, rows), and axial planes of volumes.
        prob: see :class:`RandKnowledgeMask`.
        visible_key: see :class:`RandKnowledgeMask`.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> out = RandStripeMaskd("image", mask_ratio=0.5)({"image": torch.ones(1, 8, 6)})["image"]
    >>> int((out == 0).all(1).sum())  # whole stripes along the last axis, half of six
    3
    """

    def __init__(
        self,
        keys: KeysCollection,
        mask_ratio: float = 0.5,
        width: int = 1,
        *,
        axis: int = -1,
        prob: float = 1.0,
        visible_key: str | None = None,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, visible_key, params_key, allow_missing_keys)
        check_interval("(0, 1)", mask_ratio=mask_ratio)
        check_interval("[1, inf)", width=width)
        self.mask_ratio = mask_ratio
        self.width = width
        self.axis = axis

    def draw(self, shape: tuple[int, ...]) -> Params:
        dims = len(shape) - 1
        if not -dims <= self.axis < dims:
            raise ValueError(
                f"`axis` must be in [{-dims}, {dims - 1}], the spatial axes of the image, got {self.axis}."
            )
        side = shape[1:][self.axis]
        hidden = _choose(self.R, -(-side // self.width), self.mask_ratio).repeat(self.width)[:side]
        along = [1] * dims
        along[self.axis] = side
        return {"hidden": hidden.reshape(along)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        return _hide_cells(x, params["hidden"])


def mask_of(kind: str, masks: Mapping[str, RandKnowledgeMask]) -> RandKnowledgeMask:
    """Return the mask named ``kind``.

    Raises:
        ValueError: when ``masks`` has none of that name.

    >>> masks = {"block": RandBlockMaskd("image"), "stripe": RandStripeMaskd("image")}
    >>> type(mask_of("stripe", masks)).__name__
    'RandStripeMaskd'
    """
    check_choice(masks, mask=kind)
    return masks[kind]


def _choose(random: np.random.RandomState, count: int, ratio: float) -> NDArray[np.bool_]:
    """Return ``count`` booleans of which int(ratio * count) are true, without the rounding error of the product."""
    return random.permutation(count) < int(round(ratio * count, 6))


def _hide_cells(x: Tensor, hidden: Tensor) -> Tensor:
    """Set to 0 the cells (B, *grid) of images (B, C, *spatial) that are hidden; cells of one voxel stay crisp."""
    for axis, side in enumerate(x.shape[2:], start=1):
        cells = hidden.shape[axis]
        hidden = hidden.index_select(axis, torch.arange(side, device=x.device) * cells // side)
    return x.masked_fill(hidden.unsqueeze(1), 0.0)
