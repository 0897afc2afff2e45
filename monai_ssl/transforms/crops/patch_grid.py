"""Grid of patches with jitter and flips: the input of contrastive predictive coding (CPC).

van den Oord, Li, Vinyals, "Representation Learning with Contrastive Predictive Coding", 2018,
https://arxiv.org/abs/1807.03748; in 3-D Taleb et al., "3D Self-Supervised Methods for Medical Imaging", NeurIPS 2020,
https://arxiv.org/abs/2006.03829.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_interval, per_axis
from monai_ssl.transforms.base import Params, expand
from monai_ssl.transforms.crops.grid_cells import CellGrid
from monai_ssl.transforms.puzzles.task import RandTask


class RandPatchGridd(RandTask):
    """Cut a view into patches, each moved and flipped on its own, so that edges do not continue from one to the next.

    A patch keeps ``patch - jitter`` voxels along each axis, drawn anywhere in its cell, in a frame of zeros.

    Args:
        key: the view (C, *spatial); it is replaced. It must have at least ``cells * patch`` voxels.
        patch: voxels of a patch along each axis, with its frame.
        cells: number of patches along each axis.
        jitter: voxels by which a patch may move in its cell, for all axes or one for each.
        flip_prob: probability to flip a patch along the first axis.
        name: key of the patches.
        params_key: where to put what was drawn: ``starts`` (N, D), the first voxels that each patch keeps, and ``flip``
            (N,), in row-major order of the cells.

    Returns:
        The sample without ``key``, with N patches (C, *patch); in a batch they are (B * N, C, *patch), sample-major.

    Raises:
        ValueError: when a number is out of range, or the view is smaller than the grid.

    >>> grid = RandPatchGridd("view", patch=(16, 16), cells=(3, 3))
    >>> grid.batch({"view": torch.rand(2, 1, 48, 48)})["patches"].shape
    torch.Size([18, 1, 16, 16])
    """

    def __init__(
        self,
        key: str,
        patch: Sequence[int],
        cells: Sequence[int],
        *,
        jitter: int | Sequence[int] = 4,
        flip_prob: float = 0.5,
        name: str = "patches",
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        check_interval("[0, 1]", flip_prob=flip_prob)
        moves = per_axis("jitter", jitter, len(patch)).astype(int).tolist()
        if any(move >= size for move, size in zip(moves, patch, strict=True)):
            raise ValueError(f"`jitter` must leave a part of each patch of {list(patch)} voxels, got {jitter}.")
        kept = [size - move for move, size in zip(moves, patch, strict=True)]
        self.grid = CellGrid(cells, kept, gap=0, jitter=jitter)
        self.flip_prob = flip_prob
        # `pad` names the last axis first, before and after
        self.frame = [side for move in reversed(moves) for side in (move // 2, move - move // 2)]
        self.name = name
        self.several = (name,)

    def draw(self, shape: tuple[int, ...]) -> Params:
        return {"starts": self.grid.draw(self.R, shape[1:]), "flip": self.R.rand(len(self.grid)) < self.flip_prob}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        patches = self.grid.gather(x, params["starts"]).flatten(0, 1)
        flip = params["flip"].flatten().to(x.device, non_blocking=True)
        patches = torch.where(expand(flip, patches.ndim), patches.flip(2), patches)
        return {self.name: F.pad(patches, self.frame)}


__all__ = ["RandPatchGridd"]
