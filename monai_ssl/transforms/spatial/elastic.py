"""Random elastic deformation.

Simard, Steinkraus, Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document Analysis",
ICDAR 2003; in the form of TransVW, TMI 2021, https://arxiv.org/abs/2102.10680.
"""

from __future__ import annotations

import math

import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.transforms.base import Params, RandBatchTransform, expand
from monai_ssl.transforms.intensity.noise import draw_seed, seeded_uniform
from monai_ssl.transforms.spatial.interpolation import interpolate

MIN_SIGMA = 0.5
LOWEST = -60.0
"""Smallest exponent of the Gaussian: exp(-60) is nothing next to the middle of it, but no subnormal number."""


class RandElasticBatchd(RandBatchTransform):
    """Elastic deformation: shift each voxel within the first two spatial axes by a smooth random field.

    The field of each axis is U(-1, 1), voxel by voxel, smoothed by a Gaussian along all axes with zeros beyond the
    border, times ``alpha``. Where it reaches across the border, the image is mirrored. With the paper's numbers a
    64 x 64 x 32 window moves by 3.3 voxels (standard deviation). A 2-D image of the same ``alpha`` moves farther,
    since one axis less averages the noise: by ``alpha / (6.14 * sigma)`` voxels far from the border.

    Parameters drawn: ``seed`` (B,) of the field; ``alpha`` and ``sigma`` (B,), the same for all samples.

    Args:
        keys: images to deform alike.
        alpha: strength; 0 leaves the image as it is.
        sigma: standard deviation of the Gaussian, in voxels.
        prob: probability to deform a sample at all.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    Raises:
        ValueError: when ``alpha`` is negative or ``sigma`` below 0.5.

    >>> x = torch.rand(1, 1, 32, 32)
    >>> torch.allclose(RandElasticBatchd("image", alpha=0.0).batch({"image": x})["image"], x)
    True
    """

    float32_kernel = True

    def __init__(
        self,
        keys: KeysCollection,
        alpha: float = 991.0,
        sigma: float = 8.0,
        *,
        prob: float = 1.0,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[0, inf)", alpha=alpha)
        check_interval(f"[{MIN_SIGMA}, inf)", sigma=sigma)
        self.alpha, self.sigma = alpha, sigma

    def draw(self, shape: tuple[int, ...]) -> Params:
        del shape
        return {"seed": draw_seed(self.R), "alpha": float(self.alpha), "sigma": float(self.sigma)}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        shift = displacement(x, params)
        axes = [torch.arange(n, dtype=torch.float32, device=x.device) for n in x.shape[2:]]
        places = list(torch.meshgrid(*axes, indexing="ij"))
        where = [place + shift[:, i] if i < 2 else place.expand_as(shift[:, 0]) for i, place in enumerate(places)]
        return interpolate(x, [_mirrored(place, size) for place, size in zip(where, x.shape[2:], strict=True)])


def _mirrored(place: Tensor, size: int) -> Tensor:
    """Bring places outside to those inside that mirrors at the outer borders of the voxels show."""
    return (size - ((place + 0.5).remainder(2 * size) - size).abs() - 0.5).clamp_(0, size - 1)


def displacement(x: Tensor, params: Params) -> Tensor:
    """Return the shift (B, 2, *spatial) in voxels along the first two axes of images ``x`` (B, C, *spatial)."""
    field = seeded_uniform(x.new_empty(len(x), 2, *x.shape[2:]), params["seed"]).mul_(2).sub_(1)
    for axis in range(2, field.ndim):
        weights = _gaussian(params["sigma"], field.shape[axis])
        # one small matrix per axis smooths all lines at once; what lies beyond its rows counts as zero
        lines = field.movedim(axis, -1)
        field = (lines.flatten(1, -2) @ weights).view(lines.shape).movedim(-1, axis)
    return field * expand(params["alpha"], field.ndim)


def _gaussian(sigma: Tensor, size: int) -> Tensor:
    """Return the symmetric matrices (B, size, size) that smooth a line of ``size`` by each ``sigma`` (B,)."""
    index = torch.arange(size, dtype=torch.float32, device=sigma.device)
    distance = index[:, None] - index
    wide = sigma[:, None, None].to(torch.float32)
    # without a floor the far ends are subnormal numbers, with which a CPU multiplies ten times slower
    return torch.exp((-0.5 * (distance / wide) ** 2).clamp_min(LOWEST)) / (wide * math.sqrt(2 * math.pi))
