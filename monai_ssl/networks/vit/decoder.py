"""The light decoder of Primus: transposed convolutions from tokens to voxels, and the whole network."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder

_EPS = 1e-6


class ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of each voxel of a map (B, C, *spatial)."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.movedim(1, -1)).movedim(-1, 1)


class PatchDecoder(nn.Module):
    """Double the resolution of a single map again and again: transposed convolution, norm over channels, GELU.

    Args:
        spatial_dims: 2 or 3.
        widths: channels of the map, then of each level, coarse to fine.
    """

    def __init__(self, spatial_dims: int, widths: Sequence[int]) -> None:
        super().__init__()
        self.channels = tuple(widths[1:])
        up = Conv["convtrans", spatial_dims]
        self.stages = nn.ModuleList(
            nn.Sequential(up(i, o, 2, stride=2), ChannelNorm(o, _EPS), nn.GELU()) for i, o in pairwise(widths)
        )
        for stage in self.stages:
            assert isinstance(stage, nn.Sequential)
            init_up(stage[0])

    def levels(self, features: Sequence[Tensor]) -> Iterator[Tensor]:
        """Yield the maps of the levels, coarse to fine; a level that is not asked for is not computed."""
        x = features[-1]
        for stage in self.stages:
            x = stage(x)
            yield x

    def forward(self, features: Sequence[Tensor]) -> list[Tensor]:
        return list(self.levels(features))


class Primus(nn.Module):
    """The whole network of Primus: with the encoder of M, windows of 160³ and one output 151,786,529 parameters.

    Args:
        encoder: with one map, a :class:`monai_ssl.networks.VisionTransformer`.
        out_channels: ``None`` for the encoder's ``in_channels``.

    Shapes:
        (B, C, *spatial) -> (B, out_channels, *spatial), without a sigmoid.

    Raises:
        ValueError: when the encoder has several maps.

    >>> import torch
    >>> from monai_ssl.networks import VisionTransformer
    >>> network = Primus(VisionTransformer(2, window_size=(16, 24), width=8, depth=1, heads=2))
    >>> network(torch.rand(1, 1, 16, 24)).shape
    torch.Size([1, 1, 16, 24])
    """

    def __init__(self, encoder: Encoder, out_channels: int | None = None) -> None:
        super().__init__()
        if len(encoder.channels) != 1:
            raise ValueError(
                f"`Primus` decodes one map, and {type(encoder).__name__} has {len(encoder.channels)}: take "
                "`VisionTransformer`, or `RestorationUNet` in place of `Primus`."
            )
        self.encoder, self.spatial_dims = encoder, encoder.spatial_dims
        outputs = encoder.in_channels if out_channels is None else out_channels
        widths = decoder_widths(encoder.channels[0], encoder.strides[0], outputs)
        self.decoder = PatchDecoder(self.spatial_dims, widths)
        self.head = Conv["convtrans", self.spatial_dims](widths[-1], outputs, 2, stride=2)
        init_up(self.head)

    def restore(self, features: Sequence[Tensor]) -> Tensor:
        """Return the image (B, out_channels, *spatial) of the encoder's map."""
        return self.head([*features, *self.decoder.levels(features)][-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.restore(self.encoder(x))


def decoder_widths(width: int, patch: int, outputs: int) -> tuple[int, ...]:
    """Return the channels of the map and of all levels but the finest: a geometric series, in multiples of 8.

    >>> decoder_widths(864, 8, 1)
    (864, 112, 16)
    """
    levels = patch.bit_length() - 1
    shrink = (width / (2 * outputs)) ** (1 / levels)
    return (width, *(max(8, round(width / shrink**level / 8) * 8) for level in range(1, levels)))


def init_up(layer: nn.Module) -> None:
    """Initialize a transposed convolution by He's normal distribution, and its bias by 0."""
    weight, bias = layer.parameters()
    nn.init.kaiming_normal_(weight, a=0.01)
    nn.init.zeros_(bias)


__all__ = ["PatchDecoder", "Primus", "decoder_widths"]
