"""Random rotation in each plane, quarter turns favored, and zoom (Exemplar).

Half of what makes an exemplar in Taleb et al., "3D Self-Supervised Methods for Medical Imaging", NeurIPS 2020,
https://arxiv.org/abs/2006.03829, after Dosovitskiy et al., NeurIPS 2014, https://arxiv.org/abs/1406.6909.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_choice, check_interval, check_range
from monai_ssl.transforms.base import Params, RandBatchTransform
from monai_ssl.transforms.spatial.affine import RandAffineBatchd, rotation_matrix


class RandPlaneRotationd(RandBatchTransform):
    """Rotate about the center in each plane in turn (three in 3-D, one in 2-D), then zoom; interpolate once.

    Angles hold in voxel space. What leaves the image is cut off, also by a quarter turn of an image that is no cube.

    Parameters drawn: ``angles`` (B, planes) in radians, ``zoom`` (B,), and ``matrix`` (B, D, D), from the centered
    voxel coordinates of the result to those of the input.

    Args:
        keys: images to transform alike.
        plane_prob: probability to rotate in a plane.
        quarter_prob: of these rotations, the share by 90, 180 or 270 degrees; the others are by U(0, 360) degrees.
        zoom: range of the magnification, one for all axes; above 1 the content grows.
        zoom_prob: probability to zoom.
        prob: probability to transform a sample at all.
        fill: what enters from outside: the minimum of the sample's channel, or zeros.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    Raises:
        ValueError: when a probability is outside [0, 1], a range is none, or ``fill`` is unknown.

    >>> import torch
    >>> x = torch.rand(1, 1, 8, 8)
    >>> quarters = RandPlaneRotationd("image", plane_prob=1.0, quarter_prob=1.0, zoom_prob=0.0)
    >>> out = quarters.batch({"image": x})["image"]
    >>> any(torch.allclose(out, x.rot90(k, (2, 3)), atol=1e-4) for k in (1, 2, 3))
    True
    """

    float32_kernel = True

    def __init__(
        self,
        keys: KeysCollection,
        plane_prob: float = 0.5,
        quarter_prob: float = 0.5,
        *,
        zoom: Sequence[float] = (0.8, 1.2),
        zoom_prob: float = 0.15,
        prob: float = 1.0,
        fill: Literal["minimum", "zeros"] = "minimum",
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[0, 1]", plane_prob=plane_prob, quarter_prob=quarter_prob, zoom_prob=zoom_prob)
        check_choice(("minimum", "zeros"), fill=fill)
        self.plane_prob, self.quarter_prob, self.zoom_prob = plane_prob, quarter_prob, zoom_prob
        self.zoom = check_range("zoom", zoom, "[0.01, inf)")
        self.fill = fill

    def draw(self, shape: tuple[int, ...]) -> Params:
        dims = len(shape) - 1
        planes = 1 if dims == 2 else 3
        turned, quarter = self.R.rand(planes) < self.plane_prob, self.R.rand(planes) < self.quarter_prob
        quarters, angles = self.R.randint(1, 4, planes) * np.pi / 2, self.R.uniform(0, 2 * np.pi, planes)
        angles = np.where(turned, np.where(quarter, quarters, angles), 0.0)
        zoomed, zoom = self.R.rand() < self.zoom_prob, self.R.uniform(*self.zoom)
        zoom = zoom if zoomed else 1.0
        # from result to input: undo the zoom, then the rotations
        matrix = rotation_matrix(angles).T / zoom
        return {"angles": angles, "zoom": zoom, "matrix": matrix, "from_minimum": self.fill == "minimum"}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        return RandAffineBatchd.kernel(x, params)


__all__ = ["RandPlaneRotationd"]
