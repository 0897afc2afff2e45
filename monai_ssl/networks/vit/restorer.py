"""Asymmetric auto-encoder of MAE: an encoder of visible tokens, a light decoder of all."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from monai_ssl.networks.vit.encoder import VisionTransformer
from monai_ssl.networks.vit.transformer import Transformer


class TokenRestorer(nn.Module):
    """Encode the tokens that are visible, put a learned token where others were, and predict the voxels of all.

    Args:
        encoder: sees visible tokens only.
        width: of the decoder, as wide as the encoder unless given.
        depth: blocks of the decoder.

    Shapes:
        images (B, C, *spatial) and the numbers (B, K) of visible tokens -> voxels (B, N, C * patch ** D) of all tokens,
        as :func:`split_patches` orders them.

    >>> encoder = VisionTransformer(2, window_size=(16, 24), width=8, depth=1, heads=2)
    >>> TokenRestorer(encoder)(torch.rand(1, 1, 16, 24), torch.tensor([[0, 5]])).shape
    torch.Size([1, 6, 64])
    """

    def __init__(self, encoder: VisionTransformer, width: int | None = None, depth: int = 2) -> None:
        super().__init__()
        width = width or encoder.width
        self.encoder, self.spatial_dims = encoder, encoder.spatial_dims
        self.embedding = nn.Linear(encoder.width, width)
        self.token = nn.Parameter(torch.empty(width))
        self.transformer = Transformer(encoder.grid, width, depth, encoder.heads)
        self.head = nn.Linear(width, encoder.in_channels * encoder.strides[0] ** encoder.spatial_dims)
        nn.init.trunc_normal_(self.token, std=0.02)
        for layer in (self.embedding, self.head):
            nn.init.trunc_normal_(layer.weight, std=0.02)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor, kept: Tensor) -> Tensor:
        seen = self.embedding(self.encoder.visible(x, kept))
        grid = tuple(side // self.encoder.strides[0] for side in x.shape[2:])
        tokens = self.token.to(seen.dtype).expand(len(x), torch.Size(grid).numel(), -1)
        tokens = tokens.scatter(1, kept[..., None].expand(-1, -1, seen.shape[2]), seen)
        return self.head(self.transformer(tokens, grid))


def split_patches(x: Tensor, patch: int) -> Tensor:
    """Return the voxels (B, N, C * patch ** D) of the tokens of images (B, C, *spatial), in the order of the grid.

    >>> split_patches(torch.arange(8).reshape(1, 1, 2, 4), 2)
    tensor([[[0, 1, 4, 5],
             [2, 3, 6, 7]]])
    """
    dims = x.ndim - 2
    for axis in range(dims):
        x = x.unflatten(2 + 2 * axis, (-1, patch))
    cells, inside = range(2, 2 + 2 * dims, 2), range(3, 3 + 2 * dims, 2)
    return x.permute(0, *cells, 1, *inside).flatten(1 + dims).flatten(1, dims)


def join_patches(voxels: Tensor, grid: Sequence[int], patch: int) -> Tensor:
    """Return the images (B, C, *spatial) of voxels of tokens (B, N, C * patch ** D): undo :func:`split_patches`."""
    dims = len(grid)
    x = voxels.unflatten(2, (-1, *(patch,) * dims)).unflatten(1, tuple(grid))
    pairs = (axis for i in range(dims) for axis in (1 + i, 2 + dims + i))
    x = x.permute(0, 1 + dims, *pairs)
    for axis in range(dims):
        x = x.flatten(2 + axis, 3 + axis)
    return x


__all__ = ["TokenRestorer", "join_patches", "split_patches"]
