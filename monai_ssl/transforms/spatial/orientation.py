"""Flips and quarter turns as conditions of TransAtt (PCRLv1, Zhou et al., ICCV 2021, Sec. 3.1 and Fig. 3).

https://arxiv.org/abs/2109.04379
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.transforms.base import expand

TURNS = 4
"""0, 90, 180 and 270 degrees."""


class Orientation(NamedTuple):
    """A transformation T for each sample of a batch: first flips, then quarter turns from the x to the y axis.

    Its 4 * 2**axes vectors name each transformation twice, since flipping x and y is a half turn. No voxel is
    interpolated: :meth:`undo` gives back what :meth:`apply` was given, bit for bit.

    Args:
        flips: (B, spatial axes), boolean, on the host.
        turns: (B,), quarter turns in {0, 1, 2, 3}, on the host.
    """

    flips: Tensor
    turns: Tensor

    @classmethod
    def draw(cls, count: int, dims: int, *, flip: bool = True, rotate: bool = True) -> Orientation:
        """Draw ``count`` transformations for ``dims`` spatial axes from torch's global generator.

        Each axis is flipped with probability 0.5 and each quarter turn is equally likely; drawn whether used or not.
        """
        flips, turns = torch.rand(count, dims) < 0.5, torch.randint(TURNS, (count,))
        return cls(flips & flip, turns * rotate)

    @classmethod
    def same(cls, count: int, flips: tuple[bool, ...], turns: int = 0) -> Orientation:
        """Return one transformation ``count`` times."""
        return cls(torch.tensor([flips] * count), torch.full((count,), turns))

    def vector(self, device: torch.device | str = "cpu") -> Tensor:
        """Return vec(T) (B, spatial axes + 4): one bit for each flip, one of four for the turn."""
        bits = torch.cat([self.flips.float(), F.one_hot(self.turns, TURNS).float()], dim=1)
        return bits.to(device, non_blocking=True)

    def apply(self, x: Tensor) -> Tensor:
        """Return T(x) for images (B, C, *spatial).

        Raises:
            ValueError: when an image that is not square in the x-y plane is turned by 90 or 270 degrees.
        """
        return _turn(_flip(x, self.flips), self.turns)

    def undo(self, x: Tensor) -> Tensor:
        """Return the images of which :meth:`apply` made ``x``."""
        return _flip(_turn(x, -self.turns % TURNS), self.flips)


def _flip(x: Tensor, flips: Tensor) -> Tensor:
    for axis, chosen in enumerate(flips.unbind(1), start=2):
        if chosen.any():
            x = torch.where(_mask(chosen, x), x.flip(axis), x)
    return x


def _turn(x: Tensor, turns: Tensor) -> Tensor:
    if x.shape[2] != x.shape[3] and (turns % 2).any():
        raise ValueError(
            f"Images of {tuple(x.shape[2:])} cannot be turned by 90 degrees: give `roi_size` equal numbers of voxels "
            "along x and y, or set `network_def#transformations` to ['flip']."
        )
    out = x
    for quarters in range(1, TURNS):
        chosen = turns == quarters
        if chosen.any():
            out = torch.where(_mask(chosen, x), torch.rot90(x, quarters, (2, 3)), out)
    return out


def _mask(chosen: Tensor, x: Tensor) -> Tensor:
    return expand(chosen.to(x.device, non_blocking=True), x.ndim)
