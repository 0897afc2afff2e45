"""Transformer on a grid of tokens, all of them or those that are visible, with absolute and rotary positions."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_interval
from monai_ssl.networks.vit.block import TransformerBlock
from monai_ssl.networks.vit.rotary import rotary_angles


class Transformer(nn.Module):
    """Blocks and a norm on tokens that know where they are.

    Args:
        grid: tokens along each axis, for which absolute positions are learned; they are resized for other grids.
        width: channels of a token.
        depth: blocks.
        heads: of the attention.
        drop_path: of the last block; it rises linearly from 0 in the first.
        rotary: turn queries and keys by their place.
        absolute: add a learned vector for each place.

    Shapes:
        tokens (B, N, width) in the order of a flattened grid -> (B, N, width), or (B, K, width) of those ``kept``.

    Raises:
        ValueError: when ``width`` is not divisible by ``heads``, or a head not by twice the number of axes, which
            rotary positions need.
    """

    def __init__(
        self,
        grid: Sequence[int],
        width: int,
        depth: int,
        heads: int,
        *,
        drop_path: float = 0.0,
        rotary: bool = True,
        absolute: bool = True,
    ) -> None:
        super().__init__()
        check_interval("[0, 1]", drop_path=drop_path)
        unit = heads * (2 * len(grid) if rotary else 1)
        if width % unit:
            raise ValueError(
                f"`width` must be divisible by {unit} ({heads} heads{f', 2 x {len(grid)} axes' if rotary else ''}), "
                f"got {width}; try {max(1, round(width / unit)) * unit}."
            )
        self.head_width, self.rotary = width // heads, rotary
        self.positions = nn.Parameter(torch.empty(1, width, *grid)) if absolute else None
        rates = [drop_path * number / max(1, depth - 1) for number in range(depth)]
        self.blocks = nn.ModuleList(TransformerBlock(width, heads, rate) for rate in rates)
        self.norm = nn.LayerNorm(width)
        self._init()

    def _init(self) -> None:
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        if self.positions is not None:
            nn.init.trunc_normal_(self.positions, std=0.02)
        with torch.no_grad():
            for number, block in enumerate(self.blocks, start=1):
                assert isinstance(block, TransformerBlock)
                for last in (block.attention.output, block.mlp.output):
                    last.weight.div_(math.sqrt(2 * number))

    def forward(self, tokens: Tensor, grid: Sequence[int], kept: Tensor | None = None) -> Tensor:
        """Return what becomes of tokens (B, N, width) of a grid; ``kept`` (B, K) are the numbers of those that stay."""
        if self.positions is not None:
            tokens = tokens + resize_positions(self.positions, grid).flatten(2).transpose(1, 2)
        if kept is not None:
            tokens = tokens.gather(1, kept[..., None].expand(-1, -1, tokens.shape[2]))
        cos = sin = None
        if self.rotary:
            angles = rotary_angles(grid, self.head_width, tokens.device)
            angles = angles[None, None] if kept is None else angles[kept].unsqueeze(1)
            cos, sin = angles.cos(), angles.sin()
        for block in self.blocks:
            tokens = block(tokens, cos, sin)
        return self.norm(tokens)


def resize_positions(positions: Tensor, grid: Sequence[int]) -> Tensor:
    """Return position embeddings (1, width, *grid) for another grid, by linear interpolation; the same one as it is.

    >>> resize_positions(torch.tensor([[[[0.0, 2.0]]]]), (1, 4))
    tensor([[[[0.0000, 0.5000, 1.5000, 2.0000]]]])
    """
    if tuple(positions.shape[2:]) == tuple(grid):
        return positions
    mode = {2: "bilinear", 3: "trilinear"}[len(grid)]
    return F.interpolate(positions.float(), size=tuple(grid), mode=mode).to(positions.dtype)


__all__ = ["Transformer", "resize_positions"]
