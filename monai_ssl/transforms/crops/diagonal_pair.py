"""Two windows along a diagonal of a larger one, and where each of them shows what both show.

Aligned views of the SSL3D challenge's winner, https://arxiv.org/abs/2509.13846.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from monai_ssl.arguments import check_range
from monai_ssl.transforms.base import Params
from monai_ssl.transforms.crops.placement import check_extents
from monai_ssl.transforms.puzzles.task import RandTask


class RandDiagonalPaird(RandTask):
    r"""Cut two windows of one size out of each image; the second lies further along all axes, so that they overlap.

    The overlap is a share :math:`o \sim U` of a window's volume, split over the axes as :math:`f_d = o^{w_d}` with
    :math:`w \sim` Dirichlet(1, ..., 1): :math:`\prod f_d = o` up to whole voxels. Mirror images before, not behind.

    Args:
        key: the image; it is replaced.
        out_size: voxels of both windows; 2-D or 3-D.
        overlap: range of o, in (0, 1].
        names: keys of the first and the second window; ``box`` in place of ``view`` names the keys of what both show,
            integers (2, D): first voxel, and first voxel behind, in each window's own coordinates.
        params_key: where to put what was drawn: ``start`` (B, D) of the first window and ``shift`` (B, D) of the second
            against it.

    Raises:
        ValueError: when a number is out of range, or the image has no room for two windows of the least overlap.

    >>> x = torch.arange(40.0).reshape(1, 1, 40, 1).expand(1, 1, 40, 40)  # a value says where it was cut
    >>> out = RandDiagonalPaird("view", (16, 16)).batch({"view": x})
    >>> (a, b), (c, d) = ((out[f"view{i}"][0, 0, :, 0], out[f"box{i}"][0, :, 0]) for i in (1, 2))
    >>> torch.equal(a[b[0] : b[1]], c[d[0] : d[1]])
    True
    """

    def __init__(
        self,
        key: str,
        out_size: Sequence[int],
        overlap: Sequence[float] = (0.4, 0.8),
        *,
        names: Sequence[str] = ("view1", "view2"),
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        self.out_size = check_extents("out_size", [out_size], len(out_size))[0]
        self.overlap = check_range("overlap", overlap, "(0, 1]")
        if len(names) != 2:
            raise ValueError(f"`names` must be the keys of the two windows, got {list(names)}.")
        self.names = tuple(names)

    def draw(self, shape: tuple[int, ...]) -> Params:
        size, spatial = self.out_size, np.array(shape[1:])
        least = size + np.rint((1 - self.overlap[0]) * size).astype(np.int64)
        if len(spatial) != len(size) or (spatial < least).any():
            raise ValueError(
                f"Two windows of {size.tolist()} that overlap by {self.overlap[0]:g} need images of at least "
                f"{least.tolist()}, got {spatial.tolist()}."
            )
        share = self.R.uniform(*self.overlap) ** self.R.dirichlet(np.ones(len(size)))
        shift = np.rint((1 - share) * size).astype(np.int64)
        return {"start": self.R.randint(0, spatial - size - shift + 1), "shift": shift}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        start, shift = params["start"], params["shift"]
        size, none = torch.from_numpy(self.out_size), torch.zeros_like(shift)
        boxes = (torch.stack([shift, size.expand_as(shift)], 1), torch.stack([none, size - shift], 1))
        made = {}
        for name, first, box in zip(self.names, (start, start + shift), boxes, strict=True):
            made[name] = torch.stack([self._window(*both) for both in zip(x, first.tolist(), strict=True)])
            made[name.replace("view", "box")] = box.to(x.device, non_blocking=True)
        return made

    def _window(self, x: Tensor, start: list[int]) -> Tensor:
        inside = (slice(first, first + n) for first, n in zip(start, self.out_size.tolist(), strict=True))
        where = (slice(None), *inside)
        return x[where]


__all__ = ["RandDiagonalPaird"]
