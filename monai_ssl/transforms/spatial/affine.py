"""Random rotation and scaling about the image center."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import torch
from monai.config import KeysCollection
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.arguments import check_choice, check_interval, check_range, per_axis
from monai_ssl.transforms.base import Params, RandBatchTransform
from monai_ssl.transforms.spatial.interpolation import interpolate, samples_at_once


class RandAffineBatchd(RandBatchTransform):
    """Rotate and scale each sample about its center, with linear interpolation and no translation.

    Angles hold in voxel space, also for images that are not cubes; a voxel counts as isotropic.

    Parameters drawn: ``matrix`` (B, D, D), from the centered voxel coordinates of the result to those of the input.

    Args:
        keys: images to transform alike.
        degrees: the angle about an axis is drawn from U(-degrees, degrees); one number for all axes or one for each.
            ``(0, 0, 10)`` rotates in the x-y plane only. A 2-D image has one angle.
        scale: range of the magnification, drawn for each axis; above 1 the content grows.
        prob: probability to transform a sample at all.
        fill: what enters from outside: the minimum of the sample's channel, or zeros.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> x = torch.rand(2, 1, 9, 9)
    >>> still = RandAffineBatchd("image", degrees=0, scale=(1.0, 1.0))
    >>> torch.allclose(still.batch({"image": x})["image"], x, atol=1e-5)
    True
    """

    float32_kernel = True

    def __init__(
        self,
        keys: KeysCollection,
        degrees: float | Sequence[float] = 10.0,
        scale: Sequence[float] = (0.9, 1.1),
        *,
        prob: float = 1.0,
        fill: Literal["minimum", "zeros"] = "minimum",
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[0, inf)", degrees=degrees)
        check_choice(("minimum", "zeros"), fill=fill)
        self.degrees = degrees
        self.scale = check_range("scale", scale, "[0.01, inf)")
        self.fill = fill

    def draw(self, shape: tuple[int, ...]) -> Params:
        dims = len(shape) - 1
        limits = np.deg2rad(per_axis("degrees", self.degrees, 1 if dims == 2 else dims))
        angles = self.R.uniform(-limits, limits)
        scales = self.R.uniform(*self.scale, size=dims)
        # from result to input: undo the rotation, then the magnification
        matrix = np.diag(1 / scales) @ rotation_matrix(angles).T
        return {"matrix": matrix, "from_minimum": self.fill == "minimum"}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        matrix, lowest = params["matrix"], x.flatten(2).amin(2) * params["from_minimum"][:, None]
        if x.device.type != "cpu":
            return interpolate(x, _places(matrix, x.shape[2:]), lowest)
        out = torch.empty_like(x, memory_format=torch.contiguous_format)
        step = samples_at_once(x.shape[2:].numel())
        for some in (slice(i, i + step) for i in range(0, len(x), step)):
            out[some] = interpolate(x[some], _places(matrix[some], x.shape[2:]), lowest[some])
        return out


def _places(matrix: Tensor, spatial: Sequence[int]) -> list[Tensor]:
    """Return where ``matrix`` (B, D, D) leads from each voxel: for each axis (B, *spatial), in voxels.

    One sum over the axes, which broadcasts, costs a tenth of a product for each voxel.
    """
    places = [matrix.new_full((1,), (side - 1) / 2) for side in spatial]
    # the last axis first: the longer the lines that the last sums add, the faster
    for axis, side in reversed(list(enumerate(spatial))):
        centered = torch.arange(side, dtype=matrix.dtype, device=matrix.device) - (side - 1) / 2
        along = [side if other == axis else 1 for other in range(len(spatial))]
        steps = (matrix[:, :, axis, None] * centered).unflatten(2, along)
        places = [place + step for place, step in zip(places, steps.unbind(1), strict=True)]
    return places


def rotation_matrix(angles: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the matrix that rotates about the axes in turn; one angle means the plane."""
    planes = [(0, 1)] if len(angles) == 1 else [(1, 2), (2, 0), (0, 1)]
    total = np.eye(2 if len(angles) == 1 else 3)
    for angle, (i, j) in zip(angles, planes, strict=True):
        turn = np.eye(len(total))
        turn[[i, j, i, j], [i, j, j, i]] = np.cos(angle), np.cos(angle), -np.sin(angle), np.sin(angle)
        total = turn @ total
    return total
