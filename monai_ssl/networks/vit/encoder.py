"""Vision transformer in 2-D and 3-D: Primus (Wald et al., 2025, https://arxiv.org/abs/2503.01835)."""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.arguments import check_choice
from monai_ssl.networks.encoder import Encoder
from monai_ssl.networks.vit.block import TransformerBlock
from monai_ssl.networks.vit.decoder import PatchDecoder, decoder_widths
from monai_ssl.networks.vit.transformer import Transformer

SIZES = {"S": (396, 12, 6), "B": (792, 12, 12), "M": (864, 16, 12), "L": (1056, 24, 16)}
"""Width, depth and heads of Primus; in 2-D the widths of S, B and L are 384, 768 and 1024."""


class VisionTransformer(Encoder):
    """Tokens without overlap, rotary and learned positions, blocks of EVA-02: the encoder of Primus-M by default.

    In 3-D the encoder of S has 26.1 million parameters, of B 97.3, of M 151.0, of L 330.7 for windows of 160³.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        size: ``"S"``, ``"B"``, ``"M"`` or ``"L"``, see :data:`SIZES`.
        window_size: voxels of the windows that it is trained on, one number for each axis. It takes others, too;
            learned positions are resized for them.
        patch: side of a token in voxels, a power of 2; the stride of the only map.
        width: channels of a token, instead of that of ``size``.
        depth: blocks, instead of that of ``size``.
        heads: of the attention, instead of that of ``size``.
        drop_path: probability that the last block is skipped in training; it falls linearly to 0 in the first.
        rotary: rotary positions, which say how far apart tokens are.
        absolute: learned positions, which say where in the window they are.

    Shapes:
        (B, in_channels, *spatial) -> one map (B, width, *(spatial / patch)). Every spatial size must be divisible by
        ``patch``.

    Raises:
        ValueError: for sizes that do not fit each other; for images that it cannot take, with the nearest that it can.

    >>> import torch
    >>> encoder = VisionTransformer(window_size=(16, 16, 8), width=12, depth=2, heads=2)
    >>> [tuple(x.shape) for x in encoder(torch.rand(1, 1, 16, 16, 8))]
    [(1, 12, 2, 2, 1)]
    """

    blocks = (TransformerBlock,)

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        size: str = "M",
        window_size: Sequence[int] = (160, 160, 160),
        patch: int = 8,
        *,
        width: int | None = None,
        depth: int | None = None,
        heads: int | None = None,
        drop_path: float = 0.0,
        rotary: bool = True,
        absolute: bool = True,
    ) -> None:
        super().__init__()
        check_choice(tuple(SIZES), size=size)
        if patch < 2 or patch & (patch - 1):
            raise ValueError(f"`patch` must be a power of 2, at least 2, got {patch}.")
        if len(window_size) != spatial_dims or any(side % patch or side < patch for side in window_size):
            raise ValueError(
                f"`window_size` must be {spatial_dims} multiples of {patch}, the side of a token, got "
                f"{list(window_size)}."
            )
        named = SIZES[size]
        # two axes cannot share heads of 66 channels, those of S, B and L: 64 in 2-D, as in other transformers
        share = 2 * spatial_dims * named[2]
        width, depth, heads = width or named[0] // share * share, depth or named[1], heads or named[2]
        self.spatial_dims, self.in_channels = spatial_dims, in_channels
        self.channels, self.strides = (width,), (patch,)
        self.embedding = Conv["conv", spatial_dims](in_channels, width, patch, stride=patch)
        nn.init.kaiming_normal_(self.embedding.weight, a=0.01)
        nn.init.zeros_(self.embedding.bias)
        grid = tuple(side // patch for side in window_size)
        self.transformer = Transformer(grid, width, depth, heads, drop_path=drop_path, rotary=rotary, absolute=absolute)
        self.grid, self.heads = grid, heads

    def tokens(self, x: Tensor) -> tuple[Tensor, tuple[int, ...]]:
        """Return the tokens (B, N, width) of images (B, in_channels, *spatial) before positions, and their grid."""
        self.check_images(x)
        cells = self.embedding(x)
        return cells.flatten(2).transpose(1, 2), tuple(cells.shape[2:])

    def visible(self, x: Tensor, kept: Tensor) -> Tensor:
        """Return vectors (B, K, width) of the tokens numbered ``kept`` (B, K); the others take no part."""
        tokens, grid = self.tokens(x)
        return self.transformer(tokens, grid, kept)

    def layers(self) -> list[list[nn.Parameter]]:
        first = [*self.embedding.parameters()]
        first += [] if self.transformer.positions is None else [self.transformer.positions]
        blocks = [list(block.parameters()) for block in self.transformer.blocks]
        blocks[-1] += self.transformer.norm.parameters()
        return [first, *blocks]

    def unet_decoder(self, *, skips: bool) -> PatchDecoder:
        del skips  # there is one map
        widths = decoder_widths(self.channels[0], self.strides[0], 1)
        return PatchDecoder(self.spatial_dims, (*widths, widths[-1] if len(widths) > 1 else 8))

    def forward(self, x: Tensor) -> list[Tensor]:
        tokens, grid = self.tokens(x)
        return [self.transformer(tokens, grid).transpose(1, 2).unflatten(2, grid)]


__all__ = ["SIZES", "VisionTransformer"]
