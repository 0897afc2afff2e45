"""Non-linear intensity transformation along a Bezier curve (Models Genesis, TOWER).

Zhou et al., "Models Genesis", Medical Image Analysis 67, 2021. https://doi.org/10.1016/j.media.2020.101840
Chen, Li, Chen, Luo, "A Knowledge-based Learning Framework for Self-supervised Pre-training Towards Enhanced Recognition
of Medical Images" (TOWER), 2022, https://arxiv.org/abs/2211.14715, with three curves of its own.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from monai.config import KeysCollection
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.transforms.base import Params, RandBatchTransform

TOWER_CURVES = (((0.0, 0.0), (1.0, 1.0)), ((0.0, 1.0), (1.0, 0.0)), ((0.25, 0.75), (0.75, 0.25)))
"""Inner control points of TOWER's curves: the identity, flat in the middle, and less so."""


class RandBezierd(RandBatchTransform):
    """Map intensities p to Y(X^-1(p)) of a cubic Bezier curve (X(t), Y(t)) from (0, 0) to (1, 1).

    One curve a sample, the same for all channels and voxels. In half of the cases the curve decreases: Y is taken
    backward, so that dark becomes bright. Intensities outside [0, 1] are mapped like 0 or 1.

    Parameters drawn: ``points`` (B, 2, 2), the inner control points (x, y) of each curve; ``decreasing`` (B,); the
    ``values`` (B, num_points) of the map at equal distances from 0 to 1.

    Args:
        keys: images to map alike, with intensities in [0, 1].
        prob: probability to map a sample at all.
        curves: ``"random"`` draws both inner control points from the unit square (Models Genesis), ``"tower"`` draws
            one of TOWER's three curves; or a list of curves to draw from, each two inner control points
            ``[[x1, y1], [x2, y2]]``.
        num_points: knots of the map, at equal distances, between which it is taken as straight.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> straight = [[[0.0, 0.0], [1.0, 1.0]]]  # the identity, or by chance its mirror 1 - p
    >>> x = torch.tensor([0.0, 0.25, 1.0]).reshape(1, 1, 3, 1)
    >>> out = RandBezierd("image", prob=1.0, curves=straight, params_key="params").batch({"image": x})
    >>> expected = 1 - x if out["params"]["decreasing"] else x
    >>> torch.allclose(out["image"], expected, atol=1e-6)
    True
    """

    float32_kernel = True

    def __init__(
        self,
        keys: KeysCollection,
        prob: float = 0.9,
        curves: str | Sequence[Sequence[Sequence[float]]] = "random",
        *,
        num_points: int = 4096,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[2, inf)", num_points=num_points)
        self.curves = None if curves == "random" else _check_curves(TOWER_CURVES if curves == "tower" else curves)
        self.num_points = num_points

    def draw(self, shape: tuple[int, ...]) -> Params:
        points = self.R.rand(2, 2) if self.curves is None else self.curves[self.R.randint(len(self.curves))]
        decreasing = bool(self.R.rand() < 0.5)
        x, y = bezier(points, self.num_points).T
        # at equal distances no knot must be searched for
        values = np.interp(np.linspace(0.0, 1.0, self.num_points), x, y[::-1] if decreasing else y)
        return {"points": points, "decreasing": decreasing, "values": values}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        return interpolate(x, params["values"])


def bezier(points: NDArray[np.float64], num_points: int) -> NDArray[np.float64]:
    """Return ``num_points`` points (num_points, 2) of the cubic from (0, 0) over ``points`` (2, 2) to (1, 1)."""
    t = np.linspace(0.0, 1.0, num_points)[:, None]
    return 3 * (1 - t) ** 2 * t * points[0] + 3 * (1 - t) * t**2 * points[1] + t**3


def interpolate(x: Tensor, values: Tensor) -> Tensor:
    """Map each sample of ``x`` (B, ...) by straight lines between its ``values`` (B, N) at equal distances in [0, 1].

    What lies outside of [0, 1] is mapped like its nearest end; NaN stays what it is.
    """
    count = values.shape[1]
    place = x.flatten(1).clamp(0.0, 1.0).mul_(count - 1)
    # a knot of NaN is no number of any array
    lost = place.isnan()
    place.masked_fill_(lost, 0.0)
    # the last knot has nothing to its right
    left = place.int().clamp_(max=count - 2)
    place -= left
    left += torch.arange(0, values.numel(), count, dtype=torch.int32, device=x.device)[:, None]
    table, left = values.flatten(), left.flatten()
    out = table.index_select(0, left)
    out.lerp_(table.index_select(0, left.add_(1)), place.flatten())
    return out.masked_fill_(lost.flatten(), float("nan")).reshape(x.shape)


def _check_curves(curves: str | Sequence[Sequence[Sequence[float]]]) -> NDArray[np.float64]:
    if isinstance(curves, str):
        raise ValueError(f"`curves` must be 'random', 'tower' or a list of control points, got {curves!r}.")
    array = np.asarray(curves, dtype=np.float64)
    if array.ndim != 3 or array.shape[1:] != (2, 2) or not len(array):
        raise ValueError(f"`curves` must be a list of curves, each [[x1, y1], [x2, y2]], got {curves}.")
    if not ((array >= 0) & (array <= 1)).all():
        raise ValueError(f"The control points of `curves` must be in [0, 1], else no map is monotone, got {curves}.")
    return array
