"""Jigsaw puzzle: cubes of a grid in one of many permutations.

Noroozi, Favaro, "Unsupervised Learning of Visual Representations by Solving Jigsaw Puzzles", ECCV 2016,
https://arxiv.org/abs/1603.09246; in 3-D Taleb et al., "3D Self-Supervised Methods for Medical Imaging", NeurIPS 2020,
https://arxiv.org/abs/2006.03829.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from monai_ssl.transforms.base import Params
from monai_ssl.transforms.crops.grid_cells import CellGrid
from monai_ssl.transforms.puzzles.task import RandTask


def permute_cells(cells: Tensor, permutations: Tensor) -> Tensor:
    """Return cells (B, N, ...) in another order: slot s gets cell ``permutations[:, s]``, given as (B, N)."""
    index = permutations.to(cells.device)
    return cells[torch.arange(len(cells), device=cells.device)[:, None], index]


def restore_cells(slots: Tensor, permutations: Tensor) -> Tensor:
    """Undo :func:`permute_cells`."""
    return permute_cells(slots, permutations.argsort(dim=1))


def puzzle_grid(
    cube: Sequence[int],
    permutations: Tensor,
    cells: Sequence[int] | None,
    gap: int | Sequence[int],
    jitter: int | Sequence[int],
) -> CellGrid:
    """Return the grid whose cells ``permutations`` (K, N) order; see :class:`RandJigsawd`.

    Raises:
        ValueError: when a number is out of range, or the table has another number of cells.
    """
    default = (3, 3) if len(cube) == 2 else (2, 2, 2)
    grid = CellGrid(default if cells is None else cells, cube, gap, jitter)
    if permutations.shape[1] != len(grid):
        raise ValueError(
            f"`permutations` order {permutations.shape[1]} cells, but the grid has {len(grid)}: "
            "make the table for as many."
        )
    return grid


class RandJigsawd(RandTask):
    """Cut the cubes of a grid, put them into one of the known orders, and ask which.

    Args:
        key: the view (C, *spatial) that the grid lies in; it is replaced.
        cube: voxels of a cube along each axis.
        permutations: the known orders (K, N) of the N cells, see
            :func:`~monai_ssl.transforms.permutation_table`.
        cells: number of cells along each axis; ``None`` for two along each in 3-D and three in 2-D.
        gap: least number of voxels between neighboring cubes, for all axes or one for each.
        jitter: largest move of a cube inside its cell, for all axes or one for each.
        name: key of the cubes.
        params_key: where to put what was drawn: ``label``, and ``starts`` (N, D), the first voxels of the cells in
            row-major order.

    Returns:
        The sample without ``key``, with N cubes (C, *cube) and the answer ``label``, the row of the table; in a
        batch the cubes are (B * N, C, *cube), sample-major.

    Raises:
        ValueError: when a number is out of range, the table has another number of cells, or the view is smaller than
            the grid.

    >>> from monai_ssl.transforms import permutation_table
    >>> puzzle = RandJigsawd("view", cube=(8, 8, 8), permutations=permutation_table(8, count=10))
    >>> out = puzzle.batch({"view": torch.rand(2, 1, 32, 32, 32)})
    >>> out["cells"].shape, out["label"].shape
    (torch.Size([16, 1, 8, 8, 8]), torch.Size([2]))
    """

    def __init__(
        self,
        key: str,
        cube: Sequence[int],
        permutations: Tensor,
        *,
        cells: Sequence[int] | None = None,
        gap: int | Sequence[int] = 3,
        jitter: int | Sequence[int] = 4,
        name: str = "cells",
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        self.grid = puzzle_grid(cube, permutations, cells, gap, jitter)
        self.permutations = permutations
        self.name = name
        self.several = (name,)

    def draw(self, shape: tuple[int, ...]) -> Params:
        return {"label": self.R.randint(len(self.permutations)), "starts": self.grid.draw(self.R, shape[1:])}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        label = params["label"]
        # the order is applied to the places, so that each cube is copied once
        slots = self.grid.gather(x, permute_cells(params["starts"], self.permutations[label]))
        return {self.name: slots.flatten(0, 1), "label": label.to(x.device, non_blocking=True)}


__all__ = ["RandJigsawd", "permute_cells", "restore_cells"]
