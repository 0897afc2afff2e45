"""Random block mask for masked image modeling (MAE, SimMIM, SparK): which blocks of a sample stay visible.

He et al., "Masked Autoencoders Are Scalable Vision Learners", CVPR 2022, https://arxiv.org/abs/2111.06377.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from monai_ssl.arguments import check_interval, per_axis
from monai_ssl.transforms.base import Params
from monai_ssl.transforms.puzzles.task import RandTask


class RandVisibleBlocksd(RandTask):
    """Say which blocks a model may see; the image stays as it is, since what a model puts in their place is its affair.

    Of the B blocks of a sample exactly ``floor(mask_ratio * B)`` are masked, drawn without replacement, the same for
    all channels. At the far border blocks are cut where their size does not divide the image. As all draws, masks of
    validation data are the same in every epoch.

    Args:
        key: the image, whose shape decides.
        block: side of a block in voxels; one number for all axes or one for each.
        mask_ratio: share of the blocks that is masked, in (0, 1).
        name: key of the mask, of the type of the image (1, *spatial): 1 where visible, 0 where masked.
        numbers: key for the numbers (visible blocks,) of those that are visible, in ascending order, as the flattened
            grid of blocks counts them; ``None`` for none.
        params_key: where to put what was drawn: ``visible`` (B, *blocks), boolean, and ``numbers``.

    Raises:
        ValueError: when ``mask_ratio`` is not in (0, 1), a block has no voxel, or the image has so few blocks that none
            would be masked.

    >>> out = RandVisibleBlocksd("view", block=4, mask_ratio=0.75).batch({"view": torch.rand(2, 1, 16, 16)})
    >>> out["visible"].shape, out["visible"].mean((1, 2, 3))
    (torch.Size([2, 1, 16, 16]), tensor([0.2500, 0.2500]))
    """

    def __init__(
        self,
        key: str,
        block: int | Sequence[int] = 16,
        mask_ratio: float = 0.75,
        *,
        name: str = "visible",
        numbers: str | None = None,
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        check_interval("(0, 1)", mask_ratio=mask_ratio)
        check_interval("[1, inf)", block=block)
        self.block, self.mask_ratio, self.name, self.numbers = block, mask_ratio, name, numbers

    def draw(self, shape: tuple[int, ...]) -> Params:
        block = self._block(shape[1:])
        blocks = -(-np.array(shape[1:]) // block)
        count = int(blocks.prod())
        # without the rounding error of the product
        masked = int(round(self.mask_ratio * count, 6))
        if masked == 0:
            raise ValueError(
                f"An image of {tuple(shape[1:])} has {count} blocks of {block.tolist()}, of which `mask_ratio` "
                f"{self.mask_ratio} masks none: use smaller blocks or a larger ratio."
            )
        visible = self.R.permutation(count) >= masked
        return {"visible": visible.reshape(blocks), "numbers": np.flatnonzero(visible)}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        visible = params["visible"].to(x.device, non_blocking=True)
        for axis, (side, block) in enumerate(zip(x.shape[2:], self._block(x.shape[2:]).tolist(), strict=True), start=1):
            visible = visible.index_select(axis, torch.arange(side, device=x.device) // block)
        numbers = {} if self.numbers is None else {self.numbers: params["numbers"].to(x.device, non_blocking=True)}
        return {self.key: x, self.name: visible.unsqueeze(1).to(x.dtype), **numbers}

    def _block(self, spatial: Sequence[int]) -> np.ndarray:
        return per_axis("block", self.block, len(spatial)).astype(np.int64)


__all__ = ["RandVisibleBlocksd"]
