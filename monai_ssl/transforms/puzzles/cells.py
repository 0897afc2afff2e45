"""Cells of a grid in their order: the patches of PIRL and InfoMin (Misra and van der Maaten, CVPR 2020)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from monai_ssl.transforms.base import Params
from monai_ssl.transforms.crops.grid_cells import CellGrid
from monai_ssl.transforms.puzzles.task import RandTask


class RandCellsd(RandTask):
    """Cut the cells of a grid, each at a random place inside its part of the view.

    Args:
        key: the view (C, *spatial) that the grid lies in; it is replaced.
        cube: voxels of a cell along each axis.
        cells: number of cells along each axis.
        gap: least number of voxels between neighboring cells, for all axes or one for each.
        jitter: largest move of a cell, for all axes or one for each.
        name: key of the cells.
        params_key: where to put what was drawn: ``starts`` (N, D), the first voxels of the cells in row-major order.

    Returns:
        The sample without ``key``, with N cells (C, *cube) in row-major order; in a batch (B * N, C, *cube),
        sample-major.

    Raises:
        ValueError: when a number is out of range, or the view is smaller than the grid.

    >>> import torch
    >>> cut = RandCellsd("view", cube=(8, 8), cells=(3, 3), gap=1, jitter=2)
    >>> cut.batch({"view": torch.rand(2, 1, 32, 32)})["cells"].shape
    torch.Size([18, 1, 8, 8])
    """

    def __init__(
        self,
        key: str,
        cube: Sequence[int],
        cells: Sequence[int],
        *,
        gap: int | Sequence[int] = 3,
        jitter: int | Sequence[int] = 4,
        name: str = "cells",
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        self.grid = CellGrid(cells, cube, gap, jitter)
        self.name = name
        self.several = (name,)

    def draw(self, shape: tuple[int, ...]) -> Params:
        return {"starts": self.grid.draw(self.R, shape[1:])}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        return {self.name: self.grid.gather(x, params["starts"]).flatten(0, 1)}


__all__ = ["RandCellsd"]
