"""Grid of cubes with gap and jitter: relative location, jigsaw, Rubik's cube, CPC.

Zhang, Gu, "Dive into Self-Supervised Learning for Medical Image Analysis: Data, Models and Tasks", Knowledge-Based
Systems 2023, https://arxiv.org/abs/2209.12157, appendix: a random gap hides the edges that continue from cube to cube.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


class CellGrid:
    r"""Equal cubes on a regular grid, at least ``gap`` voxels apart, each moved at random inside its cell.

    Along an axis of :math:`n` cells, cubes of :math:`c` voxels, gap :math:`g` and jitter :math:`j`, cube :math:`i`
    starts at :math:`o + i (c + g + j) + U\{0..j\}`, so neighbors are :math:`g` to :math:`g + 2j` voxels apart. The grid
    needs :math:`n c + (n - 1) g + n j` voxels; :math:`o` centers it in a larger image. Cells are numbered row-major.

    Args:
        cells: number along each axis, 2-D or 3-D.
        cube: voxels of a cube along each axis.
        gap: least number of voxels between neighboring cubes, for all axes or one for each.
        jitter: largest move of a cube in voxels, for all axes or one for each.

    Raises:
        ValueError: when the numbers of axes differ, or a number is out of range.
    """

    def __init__(
        self,
        cells: Sequence[int],
        cube: Sequence[int],
        gap: int | Sequence[int] = 3,
        jitter: int | Sequence[int] = 4,
    ) -> None:
        dims = len(cells)
        if dims not in (2, 3):
            raise ValueError(f"`cells` must be given for 2 or 3 axes, got {list(cells)}.")
        self.cells = _per_axis("cells", cells, dims, least=1)
        self.cube = _per_axis("cube", cube, dims, least=1)
        self.gap = _per_axis("gap", gap, dims, least=0)
        self.jitter = _per_axis("jitter", jitter, dims, least=0)

    def __len__(self) -> int:
        return prod(self.cells)

    @property
    def extent(self) -> tuple[int, ...]:
        """Voxels that the grid needs along each axis."""
        axes = zip(self.cells, self.cube, self.gap, self.jitter, strict=True)
        return tuple(n * c + (n - 1) * g + n * j for n, c, g, j in axes)

    def origin(self, shape: Sequence[int]) -> NDArray[np.int64]:
        """Return where the grid begins (D,) in an image of ``shape`` (D,).

        Raises:
            ValueError: when the image has other axes than the grid, or is smaller.
        """
        if len(shape) != len(self.cells) or np.any(np.less(shape, self.extent)):
            raise ValueError(
                f"A grid of {_times(self.cells)} cubes of {_times(self.cube)} voxels with `gap` {_times(self.gap)} and "
                f"`jitter` {_times(self.jitter)} needs a view of {_times(self.extent)} voxels, got {_times(shape)}: "
                "enlarge `roi_size`, or cut smaller cubes."
            )
        return (np.asarray(shape, dtype=np.int64) - np.asarray(self.extent)) // 2

    def draw(self, random: np.random.RandomState, shape: Sequence[int]) -> NDArray[np.int64]:
        """Draw the first voxels (len(self), D) of all cubes in an image of ``shape`` (D,)."""
        pitch = np.add(np.add(self.cube, self.gap), self.jitter)
        corner = self.origin(shape) + self.positions() * pitch
        return corner + random.randint(0, np.add(self.jitter, 1), size=corner.shape)

    def positions(self) -> NDArray[np.int64]:
        """Return the place (len(self), D) of each cell in the grid."""
        return np.stack(np.unravel_index(np.arange(len(self)), self.cells), axis=-1)

    def gather(self, x: Tensor, starts: Tensor) -> Tensor:
        """Return the cubes (B, N, C, *cube) of images ``x`` (B, C, *spatial) at ``starts`` (B, N, D), as new memory."""
        windows = x
        for axis, size in enumerate(self.cube, start=2):
            windows = windows.unfold(axis, size, 1)
        # a view of all windows, (B, *starts, C, *cube): indexing it copies the chosen ones only
        windows = windows.movedim(1, 1 + len(self.cube))
        index = (torch.arange(len(x), device=x.device)[:, None], *starts.to(x.device).unbind(-1))
        return windows[index].contiguous()

    def assemble(self, cubes: Tensor) -> Tensor:
        """Return one image (B, C, *(cells * cube)) of the cubes (B, N, C, *cube) side by side, without gaps."""
        dims = len(self.cells)
        grid = cubes.unflatten(1, self.cells)
        axes = [a for i in range(dims) for a in (1 + i, dims + 2 + i)]
        sizes = [n * c for n, c in zip(self.cells, self.cube, strict=True)]
        return grid.permute(0, dims + 1, *axes).reshape(len(cubes), -1, *sizes)


def _per_axis(name: str, value: int | Sequence[int], dims: int, least: int) -> tuple[int, ...]:
    values = tuple(value) if isinstance(value, Sequence) else (value,) * dims
    if len(values) != dims or any(not isinstance(v, int) or v < least for v in values):
        raise ValueError(
            f"`{name}` of a grid must be integers of at least {least}, one for each of {dims} axes, got {value}."
        )
    return values


def _times(values: Sequence[int]) -> str:
    return " x ".join(str(int(v)) for v in values)


__all__ = ["CellGrid"]
