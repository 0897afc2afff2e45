"""Rubik's cube: cubes of a grid shuffled and turned by 180 degrees.

Zhuang, Li, Hu, Ma, Yang, Zheng, "Self-supervised Feature Learning for 3D Medical Images by Playing a Rubik's Cube",
MICCAI 2019, https://arxiv.org/abs/1910.02241; as in Zhang, Gu, "Dive into Self-Supervised Learning for Medical Image
Analysis: Data, Models and Tasks", Knowledge-Based Systems 2023, https://arxiv.org/abs/2209.12157.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from monai_ssl.transforms.base import Params, expand
from monai_ssl.transforms.puzzles.jigsaw import permute_cells, puzzle_grid
from monai_ssl.transforms.puzzles.task import RandTask

HALF_TURNS: dict[int, dict[str, tuple[int, int]]] = {
    3: {"horizontal": (1, 2), "vertical": (0, 1)},
    2: {"half_turn": (0, 1)},
}
"""For each number of spatial axes, the half turns by name, each with the two axes that it reverses."""


def half_turn(cells: Tensor, turns: Tensor) -> Tensor:
    """Turn cubes by 180 degrees about the axes that their bits name; a second time undoes it, bit for bit.

    In 3-D the first bit turns about the first axis, the second about the third, and both together about the second. In
    2-D there is one bit.

    Args:
        cells: (B, N, C, *cube); no side changes its length, so cubes need not be cubic.
        turns: bits (B, N, T), one for each of :data:`HALF_TURNS`.
    """
    dims = cells.ndim - 3
    for bit, plane in zip(turns.bool().to(cells.device).unbind(-1), HALF_TURNS[dims].values(), strict=True):
        turned = cells.flip([axis + 3 for axis in plane])
        cells = torch.where(expand(bit, cells.ndim), turned, cells)
    return cells


class RandRubikd(RandTask):
    """Cut the cubes of a grid, put them into one of the known orders, turn some of them by 180 degrees, and ask how.

    Args:
        key: the view (C, *spatial) that the grid lies in; it is replaced.
        cube: voxels of a cube along each axis.
        permutations: the known orders (K, N) of the N cells, see
            :func:`~monai_ssl.transforms.permutation_table`.
        cells: number of cells along each axis; ``None`` for two along each in 3-D and three in 2-D.
        gap: least number of voxels between neighboring cubes, for all axes or one for each.
        jitter: largest move of a cube inside its cell, for all axes or one for each.
        exclusive: a cube is turned in at most one way, and each way as well as none is equally likely (the study's
            code); otherwise each bit is drawn on its own with probability 0.5.
        params_key: where to put what was drawn: ``label``, ``turns``, and ``starts`` (N, D), the first voxels of the
            cells in row-major order.

    Returns:
        The sample without ``key``, with N cubes (C, *cube) as ``cells`` and the answers ``label``, the row of the
        table, and ``turns``, bits (N, T) for each slot after the cubes were put in order, see :func:`half_turn`. In a
        batch the cubes are (B * N, C, *cube), sample-major.

    Raises:
        ValueError: when a number is out of range, the table has another number of cells, or the view is smaller than
            the grid.

    >>> from monai_ssl.transforms import permutation_table
    >>> puzzle = RandRubikd("view", cube=(8, 8, 8), permutations=permutation_table(8, count=10))
    >>> out = puzzle.batch({"view": torch.rand(2, 1, 32, 32, 32)})
    >>> out["cells"].shape, out["turns"].shape  # two kinds of half turns for each of eight slots
    (torch.Size([16, 1, 8, 8, 8]), torch.Size([2, 8, 2]))
    """

    several = ("cells",)

    def __init__(
        self,
        key: str,
        cube: Sequence[int],
        permutations: Tensor,
        *,
        cells: Sequence[int] | None = None,
        gap: int | Sequence[int] = 3,
        jitter: int | Sequence[int] = 4,
        exclusive: bool = False,
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        self.grid = puzzle_grid(cube, permutations, cells, gap, jitter)
        self.permutations = permutations
        self.exclusive = exclusive

    def draw(self, shape: tuple[int, ...]) -> Params:
        label = self.R.randint(len(self.permutations))
        return {"label": label, "starts": self.grid.draw(self.R, shape[1:]), "turns": self._draw_turns()}

    def _draw_turns(self) -> np.ndarray:
        count, ways = len(self.grid), len(HALF_TURNS[len(self.grid.cube)])
        if self.exclusive:
            return self.R.randint(ways + 1, size=(count, 1)) == np.arange(ways)
        return self.R.rand(count, ways) < 0.5

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        label, turns = (params[name].to(x.device, non_blocking=True) for name in ("label", "turns"))
        # the order is applied to the places, so that each cube is copied once
        slots = self.grid.gather(x, permute_cells(params["starts"], self.permutations[params["label"]]))
        return {"cells": half_turn(slots, turns).flatten(0, 1), "label": label, "turns": turns}


__all__ = ["HALF_TURNS", "RandRubikd", "half_turn"]
