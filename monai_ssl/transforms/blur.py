"""Random Gaussian blur with its own width for each sample and axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.transforms.arguments import check_range
from monai_ssl.transforms.base import Params, RandBatchTransform

TRUNCATE = 4.0
"""Widths after which the bell is cut, as in ``scipy.ndimage``."""


class RandGaussianBlurd(RandBatchTransform):
    """Blur with a Gaussian whose width is drawn for each axis; the image continues as its own mirror.

    Equals ``scipy.ndimage.gaussian_filter(image, sigma, mode="reflect", truncate=4)``.

    Parameters drawn: ``sigma`` (B, spatial axes) in voxels.

    Args:
        keys: images to blur alike.
        sigma: range of the width in voxels.
        prob: probability to blur a sample at all.
        isotropic: draw one width for all axes.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.
    """

    def __init__(
        self,
        keys: KeysCollection,
        sigma: Sequence[float] = (0.0, 2.0),
        prob: float = 1.0,
        *,
        isotropic: bool = False,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        self.sigma = check_range("sigma", sigma, 0.0)
        self.isotropic = isotropic

    def draw(self, shape: tuple[int, ...]) -> Params:
        spatial = shape[1:]
        if int(TRUNCATE * self.sigma[1] + 0.5) > 2 * min(spatial):
            raise ValueError(
                f"`sigma` up to {self.sigma[1]:g} voxels is too wide for an image of {spatial}: at most half its "
                f"shortest side, {min(spatial) / 2:g}."
            )
        sigma = self.R.uniform(*self.sigma, size=len(spatial))
        return {"sigma": sigma[:1].repeat(len(spatial)) if self.isotropic else sigma}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        out = x
        for axis, sigma in enumerate(params["sigma"].unbind(1), start=2):
            size = x.shape[axis]
            # (B, 1, N, N) @ (B, before, N, after): the border is part of the matrix, and no tap is a pass over memory
            rows = out.reshape(len(x), x.shape[1:axis].numel(), size, x.shape[axis + 1 :].numel())
            out = (blur_matrix(sigma, size).unsqueeze(1) @ rows).reshape(x.shape)
        return out


def blur_matrix(sigma: Tensor, size: int) -> Tensor:
    """Return the matrices (B, ``size``, ``size``) that blur a mirrored line of voxels with ``sigma`` (B,)."""
    here = torch.arange(size, device=sigma.device)
    turns = 2 * size * torch.arange(-1, 2, device=sigma.device)[:, None, None]
    # a voxel j lies at j, at its mirror image -j - 1, and at both again every 2 * size
    offsets = torch.cat([here[:, None] - here + turns, here[:, None] + here + 1 + turns])
    width = sigma.reshape(-1, 1, 1, 1)
    bell = torch.exp(-0.5 * (offsets / width.clamp_min(1e-3)).square())
    weights = (bell * (offsets.abs() <= torch.floor(TRUNCATE * width + 0.5))).sum(1)
    return weights / weights.sum(2, keepdim=True)
