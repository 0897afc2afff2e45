"""Rubik's cube++: turn whole layers of a volume, or each cube on its own.

Tao, Li, Zhou, Ma, Zheng, "Revisiting Rubik's Cube: Self-supervised Learning with Volume-wise Transformation for 3D
Medical Image Segmentation", MICCAI 2020, https://arxiv.org/abs/2007.08826, turn layers; Zhou et al. (PCRLv1, ICCV 2021,
https://arxiv.org/abs/2109.04379), who compare with that method, turn cubes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from monai_ssl.arguments import check_choice
from monai_ssl.transforms.base import Params
from monai_ssl.transforms.crops.grid_cells import CellGrid
from monai_ssl.transforms.puzzles.rotation import rotate, rotate_back, valid_rotations
from monai_ssl.transforms.puzzles.task import RandTask


def turn_layers(x: Tensor, turns: Tensor, cells: Sequence[int]) -> Tensor:
    """Turn whole layers of images, axis after axis; a new image.

    A layer across an axis is turned in the plane of the other two; in 2-D it is a strip, turned in the image plane.

    Args:
        x: (B, C, *spatial).
        turns: quarter turns (B, D, layers) in {0, 1, 2, 3} of each layer across each axis, on the host; what stands
            beyond ``cells`` is not looked at.
        cells: number of layers across each axis.
    """
    out = x.clone(memory_format=torch.contiguous_format)
    for axis in range(len(cells)):
        _turn_axis(out, axis, turns[:, axis, : cells[axis]])
    return out


def turn_layers_back(x: Tensor, turns: Tensor, cells: Sequence[int]) -> Tensor:
    """Undo :func:`turn_layers`: the last axis first, each layer the other way round."""
    out = x.clone(memory_format=torch.contiguous_format)
    for axis in reversed(range(len(cells))):
        _turn_axis(out, axis, -turns[:, axis, : cells[axis]] % 4)
    return out


def _turn_axis(x: Tensor, axis: int, turns: Tensor) -> None:
    """Turn the layers of ``x`` across ``axis`` in place, by ``turns`` (B, layers)."""
    layers = x.unflatten(axis + 2, (turns.shape[1], -1)).unbind(axis + 2)
    plane = [a + 2 for a in _plane(axis, x.ndim - 2)]
    for layer, by in zip(layers, turns.unbind(1), strict=True):
        for k in by.unique().tolist():
            if k:
                chosen = (by == k).nonzero().flatten().to(x.device)
                layer[chosen] = layer[chosen].rot90(k, plane)


def _plane(axis: int, dims: int) -> tuple[int, int]:
    """The axes in which a layer across ``axis`` is turned."""
    return (0, 1) if dims == 2 else tuple(a for a in range(3) if a != axis)  # type: ignore[return-value]


def turn_cells(x: Tensor, labels: Tensor, cells: Sequence[int]) -> Tensor:
    """Rotate each cube of images (B, C, *spatial) on its own by its label (B, N), see ``transforms/rotation.py``."""
    return _by_cell(x, labels, cells, rotate)


def turn_cells_back(x: Tensor, labels: Tensor, cells: Sequence[int]) -> Tensor:
    """Undo :func:`turn_cells`."""
    return _by_cell(x, labels, cells, rotate_back)


def _by_cell(x: Tensor, labels: Tensor, cells: Sequence[int], turn: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    grid = CellGrid(cells, cell_shape(x.shape[2:], cells), gap=0, jitter=0)
    pieces = grid.gather(x, torch.from_numpy(grid.positions() * grid.cube).expand(len(x), -1, -1))
    turned = turn(pieces.flatten(0, 1), labels.flatten())
    return grid.assemble(turned.unflatten(0, labels.shape))


def cell_shape(shape: Sequence[int], cells: Sequence[int]) -> tuple[int, ...]:
    """Return the voxels of a cube (D,) when an image of ``shape`` (D,) is cut into ``cells`` (D,) along its axes.

    Raises:
        ValueError: when it cannot be cut into that many equal parts.
    """
    if len(shape) != len(cells) or any(side % n for side, n in zip(shape, cells, strict=True)):
        raise ValueError(
            f"A view of {' x '.join(map(str, shape))} cannot be cut into {' x '.join(map(str, cells))} equal cubes: "
            "make each side of `roi_size` a multiple of the number in `cells`."
        )
    return tuple(side // n for side, n in zip(shape, cells, strict=True))


class RandCubeTurnsd(RandTask):
    """Cut an image into cubes without gaps and turn them like a Rubik's cube; voxels move, none is computed.

    Args:
        key: the image (C, *spatial).
        cells: number of cubes along each axis, 2-D or 3-D.
        mode: ``"layer"`` turns whole layers, so that a cube moves with its neighbors: for each axis in turn, ``turned``
            layers across it by 90, 180 or 270 degrees; by 180 where both sides or numbers of cubes of a layer differ,
            and in 2-D, where layers are strips. ``"independent"`` rotates each cube in its place, by any rotation of
            ``transforms/rotation.py`` that keeps its shape, none included.
        turned: number of layers to turn across each axis in mode ``"layer"``, drawn without replacement; 0 turns none.

    Returns:
        The sample with ``key`` disarranged and ``ops``, what was done: in mode ``"layer"`` quarter turns (D, layers), 0
        for a layer left alone, for :func:`turn_layers_back`; in mode ``"independent"`` labels (N,), for
        :func:`turn_cells_back`.

    Raises:
        ValueError: for an unknown mode, fewer layers than ``turned``, or an image that ``cells`` do not divide.

    >>> x = torch.rand(1, 1, 8, 8, 8)
    >>> out = RandCubeTurnsd("view", cells=(2, 2, 2)).batch({"view": x})
    >>> torch.equal(turn_layers_back(out["view"], out["ops"], (2, 2, 2)), x)
    True
    """

    def __init__(
        self,
        key: str,
        cells: Sequence[int] = (4, 4, 4),
        mode: Literal["layer", "independent"] = "layer",
        *,
        turned: int = 2,
    ) -> None:
        super().__init__(key)
        check_choice(("layer", "independent"), mode=mode)
        if len(cells) not in (2, 3) or min(cells) < 1:
            raise ValueError(f"`cells` must be two or three numbers of at least 1, got {list(cells)}.")
        if mode == "layer" and not 0 <= turned <= min(cells):
            raise ValueError(f"`turned` must be between 0 and the fewest layers, {min(cells)}, got {turned}.")
        self.cells, self.mode, self.turned = tuple(cells), mode, turned

    def draw(self, shape: tuple[int, ...]) -> Params:
        cube = cell_shape(shape[1:], self.cells)
        if self.mode == "independent":
            return {"ops": self.R.choice(valid_rotations(cube), size=math.prod(self.cells))}
        ops = np.zeros((len(cube), max(self.cells)), np.int64)
        for axis, count in enumerate(self.cells):
            chosen = self.R.permutation(count)[: self.turned]
            ops[axis, chosen] = self.R.choice(self._quarters(axis, cube), size=self.turned)
        return {"ops": ops}

    def _quarters(self, axis: int, cube: Sequence[int]) -> tuple[int, ...]:
        """The quarter turns that map the cubes of a layer across ``axis`` onto each other."""
        if len(cube) == 2:
            return (2,)
        a, b = _plane(axis, 3)
        return (1, 2, 3) if (cube[a], self.cells[a]) == (cube[b], self.cells[b]) else (2,)

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        turn = turn_layers if self.mode == "layer" else turn_cells
        return {self.key: turn(x, params["ops"], self.cells), "ops": params["ops"].to(x.device, non_blocking=True)}


__all__ = ["RandCubeTurnsd", "cell_shape", "turn_cells", "turn_cells_back", "turn_layers", "turn_layers_back"]
