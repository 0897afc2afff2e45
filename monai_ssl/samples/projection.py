"""Radiographs made from CT: the attenuation summed along parallel rays, so that 2-D methods see real anatomy.

These are projections of CT, not radiographs taken of a patient: no scatter, no beam hardening, the resolution of CT.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray


def project(
    hu: NDArray[np.generic],
    spacing: tuple[float, float, float],
    angle: float = 0.0,
    slab: tuple[float, float] = (0.0, 1.0),
    size: int = 256,
) -> NDArray[np.uint16]:
    """Project a CT volume along the back-to-front axis, after a turn of the patient about the long axis.

    Args:
        hu: volume (X, Y, Z) in HU, RAS.
        spacing: mm along X, Y and Z.
        angle: turn of the patient to his right in degrees; 0 gives the frontal, 90 the lateral view.
        slab: part of the depth to sum over, as fractions from the back (0) to the front (1).
        size: pixels of the longer side; pixels are square.

    Returns:
        Picture (columns, rows) over the whole range of uint16, bone bright, head up, the patient's right on the left.

    Raises:
        ValueError: when ``hu`` is not 3-D or ``slab`` is empty.
    """
    if hu.ndim != 3:
        raise ValueError(f"`hu` must be a volume (X, Y, Z), got shape {hu.shape}.")
    low, high = slab
    if not 0.0 <= low < high <= 1.0:
        raise ValueError(f"`slab` must be two rising fractions in [0, 1], got {slab}.")
    attenuation = np.clip(hu.astype(np.float32) / 1000.0 + 1.0, 0.0, 2.5)
    turned = _turn(torch.from_numpy(attenuation), spacing, angle)
    depth = turned.shape[1]
    first = int(low * depth)
    view = turned[:, first : max(int(np.ceil(high * depth)), first + 1)].mean(1)
    view = _square_pixels(view, (spacing[0], spacing[2]), size)
    # film-like: the logarithm keeps both the lungs and the spine readable
    view = torch.log1p(view * 4)
    view = (view - view.min()) / (view.max() - view.min()).clamp_min(1e-6)
    return (view.flip(0, 1).numpy() * 65535.0).round().astype(np.uint16)


def _turn(volume: torch.Tensor, spacing: tuple[float, float, float], angle: float) -> torch.Tensor:
    """Rotate (X, Y, Z) about Z in millimeters, on the same grid."""
    if angle == 0.0:
        return volume
    cos, sin = float(np.cos(np.deg2rad(angle))), float(np.sin(np.deg2rad(angle)))
    extent_x, extent_y = volume.shape[0] * spacing[0], volume.shape[1] * spacing[1]
    # grid_sample counts axes from the last: treat Z as channels of a picture (Z, X, Y), with coordinates (y, x)
    theta = torch.tensor([[[cos, sin * extent_x / extent_y, 0.0], [-sin * extent_y / extent_x, cos, 0.0]]])
    picture = volume.permute(2, 0, 1).unsqueeze(0)
    grid = F.affine_grid(theta, list(picture.shape), align_corners=False)
    return F.grid_sample(picture, grid, align_corners=False)[0].permute(1, 2, 0)


def _square_pixels(view: torch.Tensor, spacing: tuple[float, float], size: int) -> torch.Tensor:
    extent = [n * mm for n, mm in zip(view.shape, spacing, strict=True)]
    target = [max(1, round(size * e / max(extent))) for e in extent]
    return F.interpolate(view[None, None], target, mode="bilinear", antialias=True, align_corners=False)[0, 0]
