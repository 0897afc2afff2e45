"""Relative location: a middle cube and one of its neighbors, with the direction as label.

Doersch, Gupta, Efros, "Unsupervised Visual Representation Learning by Context Prediction", ICCV 2015,
https://arxiv.org/abs/1505.05192; in 3-D Taleb et al., "3D Self-Supervised Methods for Medical Imaging", NeurIPS 2020,
https://arxiv.org/abs/2006.03829.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.transforms.base import Params
from monai_ssl.transforms.crops.grid_cells import CellGrid
from monai_ssl.transforms.puzzles.task import RandTask


def directions(spatial_dims: int) -> NDArray[np.int64]:
    """Return the direction (3**D - 1, D) from the middle cell that each label stands for, of -1, 0 and 1 per axis.

    Labels follow the row-major order of the cells, the middle one left out: 26 in 3-D, 8 in 2-D. Label ``c`` and
    label ``last - c`` are opposite directions.
    """
    steps = np.stack(np.unravel_index(np.arange(3**spatial_dims), (3,) * spatial_dims), axis=-1) - 1
    return steps[np.any(steps != 0, axis=1)]


class RandRelativeLocationd(RandTask):
    """Cut the middle cube of a 3 x 3 (x 3) grid and one of those around it, and ask where that lies.

    Args:
        key: the view (C, *spatial) that the grid lies in; it is replaced.
        cube: voxels of a cube along each axis.
        gap: least number of voxels between neighboring cubes, for all axes or one for each.
        jitter: largest move of a cube inside its cell, for all axes or one for each.
        names: keys of the middle cube and of the other.
        params_key: where to put what was drawn: ``label``, and ``starts`` (2, D), the first voxels of both cubes.

    Returns:
        The sample without ``key``, with both cubes (C, *cube) and the answer ``label``, see :func:`directions`.

    Raises:
        ValueError: when a number is out of range, or the view is smaller than the grid.

    >>> import torch
    >>> task = RandRelativeLocationd("view", cube=(8, 8), gap=0, jitter=0, params_key="params")
    >>> out = task({"view": torch.rand(1, 24, 24)})
    >>> anchor, query = out["params"]["starts"]
    >>> bool(((query - anchor) // 8 == torch.from_numpy(directions(2))[out["label"]]).all())
    True
    """

    def __init__(
        self,
        key: str,
        cube: Sequence[int],
        *,
        gap: int | Sequence[int] = 3,
        jitter: int | Sequence[int] = 4,
        names: Sequence[str] = ("anchor", "query"),
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        if len(names) != 2:
            raise ValueError(f"`names` must name the middle cube and the other, got {list(names)}.")
        self.grid = CellGrid((3,) * len(cube), cube, gap, jitter)
        self.names = tuple(names)

    def draw(self, shape: tuple[int, ...]) -> Params:
        label = self.R.randint(len(self.grid) - 1)
        starts = self.grid.draw(self.R, shape[1:])
        middle = len(self.grid) // 2
        return {"label": label, "starts": starts[[middle, label + (label >= middle)]]}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        anchor, query = self.grid.gather(x, params["starts"]).unbind(1)
        answer = params["label"].to(x.device, non_blocking=True)
        return {self.names[0]: anchor, self.names[1]: query, "label": answer}


__all__ = ["RandRelativeLocationd", "directions"]
