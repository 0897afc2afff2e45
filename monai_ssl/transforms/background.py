"""Which crops hold too much background: the rule of the paper and that of its authors' code.

Zhou et al., "A Unified Visual Information Preservation Framework for Self-supervised Pre-training in Medical Image
Analysis", TPAMI 2023, https://arxiv.org/abs/2301.00772.
"""

from __future__ import annotations

from torch import Tensor


def background_fraction(x: Tensor, level: float) -> float:
    """Return the share of voxels of ``x`` (C, *spatial) below ``level`` in all channels, in [0, 1]."""
    return float((x.amax(0) < level).float().mean())


def tissue_fraction(x: Tensor, level: float) -> float:
    """Return the share of tissue of ``x`` (C, X, Y, Z) as the authors' code weighs it, in [0, 1].

    A voxel counts 1 when it reaches ``level``, 0.5 when only the next voxel along Z does, else 0.
    """
    tissue = x.amax(0) >= level
    behind = tissue[..., 1:] & ~tissue[..., :-1]
    return float(tissue.sum() + 0.5 * behind.sum()) / tissue.numel()
