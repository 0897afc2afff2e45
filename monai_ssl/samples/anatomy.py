"""Procedural anatomy for the phantoms: a chest in HU and a head in T1-like units, different for every seed.

Both are painted on a grid whose axes run from -1 to 1 towards the patient's right, front and head (RAS), so that the
anatomy fills the volume whatever its shape.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

Array = NDArray[np.floating]
Mask = NDArray[np.bool_]
Shape = tuple[int, int, int]

CT_LABELS = {"lungs": 1, "heart": 2, "spine": 3}
MR_LABELS = {"ventricles": 1, "gray matter": 2, "white matter": 3}


class Grid(NamedTuple):
    """Coordinates (X, Y, Z) in [-1, 1] towards right, front and head."""

    x: Array
    y: Array
    z: Array


def chest(rng: np.random.Generator, shape: Shape) -> tuple[Array, NDArray[np.uint8]]:
    """Return HU before noise and the labels of :data:`CT_LABELS`, both (X, Y, Z)."""
    x, y, z = _posed_grid(rng, shape)
    width, depth = rng.uniform(0.78, 0.92), rng.uniform(0.66, 0.82)
    body = (x / width) ** 2 + (y / depth) ** 2
    cage = body * rng.uniform(1.45, 1.65)
    lungs = _lungs(rng, Grid(x, y, z), cage)
    heart = _ellipsoid(Grid(x, y, z), (-rng.uniform(0.08, 0.16), 0.16, -0.22), rng.uniform(0.9, 1.1) * _HEART)
    spine = (x / 0.12) ** 2 + ((y + 0.42 * depth / 0.74) / 0.12) ** 2 < 1
    lungs &= ~heart & ~spine

    hu = np.full(shape, -1000.0, np.float32)
    hu[body < 1] = -95.0
    hu[body < 0.86] = 50.0
    hu[(y < -depth - 0.06) & (y > -depth - 0.1) & (np.abs(x) < 0.7)] = -200.0
    hu[cage < 1] = 15.0
    liver = (cage < 0.97) & (z < -0.45) & ~lungs
    hu[liver] = np.where(x > -0.1, 62.0, 25.0)[liver]
    hu[_ribs(rng, Grid(x, y, z), cage)] = 420.0
    hu[heart] = 45.0
    disc = np.abs(((z * 7) % 1) - 0.5) < 0.12
    hu[spine] = np.where(disc, 90.0, 330.0)[spine]
    hu[lungs] = _parenchyma(rng, Grid(x, y, z))[lungs]

    label = np.zeros(shape, np.uint8)
    for name, mask in (("lungs", lungs), ("heart", heart), ("spine", spine)):
        label[mask] = CT_LABELS[name]
    return _blur(hu), label


_HEART = np.array([0.27, 0.27, 0.34], np.float32)


def _lungs(rng: np.random.Generator, grid: Grid, cage: Array) -> Mask:
    x, y, z = grid
    apex = rng.uniform(0.8, 0.92)
    taper = 1.0 - 0.55 * np.clip((z - 0.2) / apex, 0, 1) ** 2
    inside = (cage < 0.9 * taper**2) & (z < apex)
    # the right dome stands higher, above the liver
    floor = rng.uniform(-0.72, -0.6) + 0.08 * np.sign(x)
    dome = floor + 0.32 * np.exp(-((np.abs(x) - 0.4) ** 2 / 0.05 + y**2 / 0.12))
    mediastinum = 0.13 + 0.05 * np.cos(3 * z) + 0.06 * np.clip(y, 0, 1)
    return inside & (z > dome) & (np.abs(x) > mediastinum)


def _parenchyma(rng: np.random.Generator, grid: Grid) -> Array:
    """Lung tissue denser towards the back, with fissures and vessels that widen towards the hilum."""
    x, y, z = grid
    shape = x.shape
    tissue = -850.0 - 50.0 * y + 25.0 * _smooth_noise(rng, shape, 10)
    oblique = z - 0.75 * y - rng.uniform(-0.1, 0.1)
    horizontal = np.where((x > 0) & (oblique < 0), z - rng.uniform(-0.05, 0.1), 1.0)
    tissue[(np.abs(oblique) < 0.018) | (np.abs(horizontal) < 0.018)] = -690.0
    # where two random fields vanish together there is a bundle of curves: the vessels
    to_hilum = np.sqrt((np.abs(x) - 0.16) ** 2 + y**2 + z**2)
    for cells, radius in ((7, 0.30), (13, 0.22)):
        tubes = _smooth_noise(rng, shape, cells) ** 2 + _smooth_noise(rng, shape, cells) ** 2
        tissue[tubes < (radius * np.clip(1.15 - to_hilum, 0.15, 1)) ** 2] = 25.0
    return np.asarray(tissue, np.float32)


def _ribs(rng: np.random.Generator, grid: Grid, cage: Array) -> Mask:
    x, y, z = grid
    slope, count = rng.uniform(0.3, 0.5), rng.uniform(4.5, 5.5)
    band = np.abs((((z + slope * y) * count) % 1) - 0.5) < 0.17
    sternum = (np.abs(x) < 0.1) & (y > 0) & (np.abs(z - 0.1) < 0.45)
    return (np.abs(cage - 1.02) < 0.07) & (band | sternum)


def head(rng: np.random.Generator, shape: Shape) -> tuple[Array, NDArray[np.uint8]]:
    """Return a T1-like signal before bias and noise and the labels of :data:`MR_LABELS`, both (X, Y, Z)."""
    grid = _posed_grid(rng, shape)
    axes = np.array([0.70, 0.88, 0.80], np.float32) * rng.uniform(0.92, 1.05, 3).astype(np.float32)
    radius = np.sqrt(sum((c / a) ** 2 for c, a in zip(grid, axes, strict=True)))
    signal = np.full(shape, 10.0, np.float32)
    for outer, value in ((1.0, 900.0), (0.94, 70.0), (0.88, 210.0)):
        signal[radius < outer] = value
    brain, white, ventricles = _brain(rng, grid, radius)
    signal[brain] = 560.0
    signal[white] = 850.0
    signal[ventricles] = 190.0
    label = np.zeros(shape, np.uint8)
    for name, mask in (("gray matter", brain), ("white matter", white), ("ventricles", ventricles)):
        label[mask] = MR_LABELS[name]
    return _blur(signal), label


def _brain(rng: np.random.Generator, grid: Grid, radius: Array) -> tuple[Mask, Mask, Mask]:
    x, y, z = grid
    shape = x.shape
    folds = _smooth_noise(rng, shape, 14)
    depth = 0.86 - radius
    sulci = (np.abs(folds) < 0.2) & (depth < 0.15)
    brain = (depth > 0) & ~sulci & ((np.abs(x) > 0.018) | (depth > 0.3))
    white = brain & (depth + 0.05 * np.abs(folds) > rng.uniform(0.14, 0.18))
    size = rng.uniform(0.8, 1.4)
    axes = np.array([0.07, 0.34, 0.12], np.float32) * size
    ventricles = np.zeros(shape, bool)
    for side in (-1, 1):
        lean = Grid(x - side * (0.09 + 0.12 * np.clip(-y, 0, 1)), y, z - 0.12 + 0.25 * y**2)
        ventricles |= _ellipsoid(lean, (0, 0, 0), axes)
        white &= ~_ellipsoid(Grid(x - side * 0.17, y + 0.05, z + 0.04), (0, 0, 0), np.array([0.09, 0.17, 0.1]))
    return brain, white, ventricles & brain


def bias_field(rng: np.random.Generator, shape: Shape, strength: float) -> Array:
    """Return a smooth positive factor (X, Y, Z) around 1, like the sensitivity of a coil."""
    return np.exp(strength * _smooth_noise(rng, shape, 3))


def _posed_grid(rng: np.random.Generator, shape: Shape) -> Grid:
    """Turned by a few degrees about every axis, scaled and shifted: no two patients lie alike."""
    axes = [np.linspace(-1, 1, n, dtype=np.float32) for n in shape]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"))
    roll, pitch, yaw = np.deg2rad(rng.uniform(-5, 5, 3))
    turn = np.eye(3)
    for (i, j), angle in zip(((0, 1), (1, 2), (0, 2)), (yaw, pitch, roll), strict=True):
        plane = np.eye(3)
        plane[i, i] = plane[j, j] = np.cos(angle)
        plane[i, j], plane[j, i] = -np.sin(angle), np.sin(angle)
        turn = plane @ turn
    turn *= 1 / rng.uniform(0.93, 1.05)
    posed = np.einsum("ij,jxyz->ixyz", turn.astype(np.float32), grid, optimize=True)
    posed += rng.uniform(-0.05, 0.05, (3, 1, 1, 1)).astype(np.float32)
    return Grid(*posed)


def _ellipsoid(grid: Grid, center: tuple[float, float, float], axes: NDArray[np.floating]) -> Mask:
    return np.asarray(sum(((c - m) / a) ** 2 for c, m, a in zip(grid, center, axes, strict=True)) < 1)


def _smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], cells: int) -> Array:
    """Normal numbers on ``cells`` nodes an axis, interpolated to ``shape``: the grain keeps its size at any shape."""
    nodes = torch.from_numpy(rng.standard_normal((1, 1, cells, cells, cells), dtype=np.float32))
    return F.interpolate(nodes, size=tuple(shape), mode="trilinear", align_corners=True)[0, 0].numpy()


def _blur(image: Array) -> Array:
    """Smooth by (1, 2, 1) / 4 along every axis, for partial volume at the borders."""
    for axis in range(image.ndim):
        padded = np.pad(image, [(1, 1) if i == axis else (0, 0) for i in range(image.ndim)], mode="edge")
        low, mid, high = (np.take(padded, range(k, k + image.shape[axis]), axis) for k in range(3))
        image = (low + 2 * mid + high) / 4
    return image
