"""Reject crops with too much background (air): the rule of the PCRLv2 paper and of its authors' code.

Zhou et al., "A Unified Visual Information Preservation Framework for Self-supervised Pre-training in Medical Image
Analysis", TPAMI 2023, https://arxiv.org/abs/2301.00772. Code: https://github.com/RL4M/PCRLv2.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from monai_ssl.arguments import check_choice, check_interval


@dataclass(frozen=True)
class BackgroundRule:
    """Judges crops (C, *spatial) before they are resized, so that their final size does not matter.

    Args:
        rule: ``"paper"`` rejects a crop with more than ``max_background_fraction`` of background, ``"reference"``
            one with more than ``max_tissue_fraction`` of weighted tissue (3-D only), ``None`` rejects none.
        level: intensity below which a voxel is background.
        max_background_fraction: in [0, 1].
        max_tissue_fraction: in [0, 1].

    Raises:
        ValueError: when the rule is unknown or a fraction is outside [0, 1].

    >>> import torch
    >>> rule = BackgroundRule("paper", level=0.5, max_background_fraction=0.85, max_tissue_fraction=0.15)
    >>> air, tissue = torch.zeros(1, 8, 8), torch.ones(1, 8, 8)
    >>> rule.excess(air) > 0, rule.excess(tissue) > 0  # above 0 is rejected
    (True, False)
    """

    rule: str | None
    level: float
    max_background_fraction: float
    max_tissue_fraction: float

    def __post_init__(self) -> None:
        check_choice(("paper", "reference", None), background=self.rule)
        fractions = {name: getattr(self, name) for name in ("max_background_fraction", "max_tissue_fraction")}
        check_interval("[0, 1]", **fractions)

    def excess(self, x: Tensor) -> float:
        """Return by how much ``x`` exceeds what the rule allows; it is rejected above 0."""
        if self.rule is None:
            return 0.0
        if self.rule == "paper":
            return background_fraction(x, self.level) - self.max_background_fraction
        return tissue_fraction(x, self.level) - self.max_tissue_fraction


def background_fraction(x: Tensor, level: float) -> float:
    """Return the share of voxels of ``x`` (C, *spatial) below ``level`` in all channels, in [0, 1]."""
    below = (x < level).all(0)
    return int(below.count_nonzero()) / below.numel()


def tissue_fraction(x: Tensor, level: float) -> float:
    """Return the share of tissue of ``x`` (C, X, Y, Z) as the authors' code weighs it, in [0, 1].

    A voxel counts 1 when it reaches ``level``, 0.5 when only the next voxel along Z does, else 0.
    """
    tissue = (x >= level).any(0)
    behind = tissue[..., 1:] & ~tissue[..., :-1]
    return (int(tissue.count_nonzero()) + 0.5 * int(behind.count_nonzero())) / tissue.numel()
