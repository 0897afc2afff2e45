"""Random Gaussian blur with its own width for each sample and axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_range
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

    >>> x = torch.zeros(1, 1, 9, 9)
    >>> x[..., 4, 4] = 1.0
    >>> out = RandGaussianBlurd("image", sigma=(1.0, 1.0)).batch({"image": x})["image"]
    >>> round(out.max().item(), 3), round(out.sum().item(), 3)  # the peak of a 2-D Gaussian is 1 / (2 pi)
    (0.159, 1.0)
    """

    float32_kernel = True

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
        self.sigma = check_range("sigma", sigma, "[0, inf)")
        self.isotropic = isotropic

    def draw(self, shape: tuple[int, ...]) -> Params:
        spatial = shape[1:]
        if self.sigma[1] > max(min(spatial) - 1, 0):
            raise ValueError(
                f"`sigma` of up to {self.sigma[1]:g} voxels is too wide for an image of {spatial}: it must be shorter "
                "than the shortest side."
            )
        sigma = self.R.uniform(*self.sigma, size=len(spatial))
        return {"sigma": sigma[:1].repeat(len(spatial)) if self.isotropic else sigma}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        # A product with a matrix costs a tenth of a convolution, and holds the border as well. Each takes the first
        # axis (B, N, rest) to the end (B, rest, N), so that after all the axes stand in their order again.
        out = x.movedim(1, -1)
        for sigma, size in zip(params["sigma"].unbind(1), x.shape[2:], strict=True):
            out = out.reshape(len(x), size, -1).transpose(1, 2) @ blur_matrix(sigma, size).transpose(1, 2)
        return out.reshape(x.shape)


def blur_matrix(sigma: Tensor, size: int) -> Tensor:
    """Return the matrices (B, ``size``, ``size``) that blur a mirrored line of voxels with ``sigma`` (B,)."""
    width = sigma[:, None]
    # the mirrored line repeats every 2 * size voxels, hence so does the bell: one period of it, from its middle on
    steps = torch.arange(-4 * size, 4 * size, device=sigma.device)
    bell = torch.exp(-0.5 * (steps / width.clamp_min(1e-3)).square())
    bell = bell * (steps.abs() <= torch.floor(TRUNCATE * width + 0.5))
    bell = (bell / bell.sum(1, keepdim=True)).reshape(len(sigma), 4, 2 * size).sum(1)
    here = torch.arange(size, device=sigma.device)
    # voxel j lies at j and, in the mirror, at -j - 1
    return bell[:, (here[:, None] - here) % (2 * size)] + bell[:, (here[:, None] + here + 1) % (2 * size)]
