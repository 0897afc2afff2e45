"""What a network sees in place of masked voxels: 0, the mean of the visible ones, noise, or a learned mask token."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_ssl.arguments import check_choice

FILLS = ("zero", "mean", "noise", "learned")


class MaskFill(nn.Module):
    """Replace the masked voxels of images; nothing of what they held goes through.

    Args:
        value: ``"zero"``; ``"mean"`` of the visible voxels of each sample and channel; ``"noise"``, normal with their
            mean and standard deviation; ``"learned"``, one number a channel, 0 at the start.
        channels: of the images.

    Raises:
        ValueError: for another ``value``.

    >>> x, visible = torch.tensor([[[4.0, 2.0, 9.0]]]), torch.tensor([[[1.0, 1.0, 0.0]]])
    >>> MaskFill("mean", 1)(x, visible)
    tensor([[[4., 2., 3.]]])
    """

    def __init__(self, value: str, channels: int) -> None:
        super().__init__()
        check_choice(FILLS, mask_value=value)
        self.value = value
        self.token = nn.Parameter(torch.zeros(channels)) if value == "learned" else None

    def forward(self, x: Tensor, visible: Tensor) -> Tensor:
        """Return images (B, C, *spatial), given those and (B, 1, *spatial): 1 where visible, 0 where masked."""
        return torch.where(visible > 0, x, self._filling(x, visible).to(x.dtype))

    def _filling(self, x: Tensor, visible: Tensor) -> Tensor:
        if self.token is not None:
            return self.token.reshape(-1, *[1] * (x.ndim - 2))
        if self.value == "zero":
            return x.new_zeros(())
        axes, seen = tuple(range(2, x.ndim)), visible > 0
        count = seen.sum(axes, keepdim=True).clamp_min(1)
        mean = torch.where(seen, x, 0.0).sum(axes, keepdim=True) / count
        if self.value == "mean":
            return mean
        variance = torch.where(seen, (x - mean).square(), 0.0).sum(axes, keepdim=True) / count
        return mean + variance.sqrt() * torch.randn_like(x)


__all__ = ["FILLS", "MaskFill"]
