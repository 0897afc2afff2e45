"""ResEnc: nnU-Net's residual encoder and U-Net (Isensee et al., "nnU-Net Revisited", MICCAI 2024), the field's default.

https://arxiv.org/abs/2404.09556. Same function as `dynamic-network-architectures`' for the same weights (tested).
"""

from __future__ import annotations

from collections.abc import Sequence

from monai.networks.layers import Conv
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from monai_ssl.arguments import check_choice
from monai_ssl.networks.encoder import Encoder
from monai_ssl.networks.residual_blocks import SLOPE, ConvNorm, ResidualBlock, ResidualDecoder, UpStage, init_residual

SIZES = {
    "S": (16, 32, 64, 128, 160, 160),
    "M": (24, 48, 96, 192, 240, 240),
    "L": (32, 64, 128, 256, 320, 320),
    "XL": (48, 96, 192, 384, 480, 480),
}
"""Widths of the stages. L is nnU-Net's and OpenMind's; S, M and XL have 1/2, 3/4 and 3/2 of its width."""
_DEPTHS = (1, 3, 4, 6, 6, 6)


class ResidualEncoder(Encoder):
    """Six stages of residual blocks with instance norm: ResEnc-L by default, with 90,296,576 parameters.

    In 3-D the encoder of S has 22.6 million parameters, of M 50.8, of L 90.3, of XL 203. Names of sizes differ between
    groups: nnU-Net, nnssl and OpenMind call this L; nnU-Net's planner makes M and XL from the same widths with other
    windows, here they are narrower and wider.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        size: ``"S"``, ``"M"``, ``"L"`` or ``"XL"``, see :data:`SIZES`.
        widths: channels of each stage, instead of those of ``size``.
        depths: residual blocks of each stage; 1, 3, 4, 6, 6, 6 unless given.

    Shapes:
        (B, in_channels, *spatial) -> list of (B, widths[i], *(spatial / 2**i)), fine to coarse.
        Every spatial size must be divisible by ``2 ** (len(widths) - 1)``, 32 for the named sizes, and one of them at
        least twice that (the norm of a single voxel is not defined), else ``ValueError``.

    >>> import torch
    >>> encoder = ResidualEncoder(widths=(4, 8, 16), depths=(1, 1, 2))
    >>> [tuple(x.shape) for x in encoder(torch.rand(1, 1, 16, 16, 8))]
    [(1, 4, 16, 16, 8), (1, 8, 8, 8, 4), (1, 16, 4, 4, 2)]
    """

    blocks = (ResidualBlock, UpStage)
    needs_two_voxels = True

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        size: str = "L",
        widths: Sequence[int] | None = None,
        depths: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        check_choice(tuple(SIZES), size=size)
        widths = tuple(widths or SIZES[size])
        depths = tuple(depths or _DEPTHS[: len(widths)])
        if len(widths) != len(depths):
            raise ValueError(f"`depths` must have one number for each of `widths` {widths}, got {depths}.")
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.channels = widths
        self.strides = tuple(2**stage for stage in range(len(widths)))
        self.stem = ConvNorm(spatial_dims, in_channels, widths[0])
        self.stages = nn.ModuleList()
        width = widths[0]
        for stage, (wider, depth) in enumerate(zip(widths, depths, strict=True)):
            first = ResidualBlock(spatial_dims, width, wider, stride=2 if stage else 1)
            rest = (ResidualBlock(spatial_dims, wider, wider, stride=1) for _ in range(depth - 1))
            self.stages.append(nn.Sequential(first, *rest))
            width = wider
        init_residual(self)

    def unet_decoder(self, *, skips: bool) -> ResidualDecoder:
        return ResidualDecoder(self.spatial_dims, self.channels, skips=skips)

    def forward(self, x: Tensor) -> list[Tensor]:
        self.check_images(x)
        x = leaky_relu(self.stem(x), SLOPE)
        features = []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        return features


class ResidualEncoderUNet(nn.Module):
    """The whole residual U-Net of nnU-Net: with a ResEnc-L encoder and one output channel 102,348,965 parameters.

    It stands wherever a :class:`monai_ssl.networks.RestorationUNet` does, without a sigmoid, for targets in any range.
    As in nnU-Net there is an output convolution at each resolution; those that :meth:`restore` does not use are frozen,
    and there for :meth:`outputs`.

    Args:
        encoder: with a decoder of its own, a :class:`ResidualEncoder`.
        out_channels: ``None`` for the encoder's ``in_channels``.

    Shapes:
        (B, C, *spatial) -> (B, out_channels, *spatial).

    Raises:
        ValueError: when the encoder has no decoder of its own.

    >>> import torch
    >>> network = ResidualEncoderUNet(ResidualEncoder(widths=(4, 8, 16)))
    >>> network(torch.rand(1, 1, 16, 16, 8)).shape
    torch.Size([1, 1, 16, 16, 8])
    """

    def __init__(self, encoder: Encoder, out_channels: int | None = None) -> None:
        super().__init__()
        decoder = encoder.unet_decoder(skips=True)
        if not isinstance(decoder, ResidualDecoder):
            raise ValueError(
                f"{type(encoder).__name__} is not a residual encoder: take `ResidualEncoder`, or `RestorationUNet` in "
                "place of `ResidualEncoderUNet`."
            )
        self.encoder = encoder
        self.spatial_dims, self.skips = encoder.spatial_dims, True
        self.decoder = decoder
        conv = Conv["conv", encoder.spatial_dims]
        outputs = encoder.in_channels if out_channels is None else out_channels
        self.heads = nn.ModuleList(conv(width, outputs, 1) for width in decoder.channels)
        init_residual(self.heads)
        self.heads[:-1].requires_grad_(False)

    def outputs(self, x: Tensor) -> list[Tensor]:
        """Return outputs (B, out_channels, *(spatial / 2**i)) at all resolutions, fine to coarse (deep supervision)."""
        levels = self.decoder(self.encoder(x))
        return [head(level) for head, level in zip(self.heads, levels, strict=True)][::-1]

    def restore(self, features: Sequence[Tensor]) -> Tensor:
        """Return the image (B, out_channels, *spatial) of the encoder's maps."""
        return self.heads[-1](self.decoder(features)[-1])

    def forward(self, x: Tensor) -> Tensor:
        return self.restore(self.encoder(x))
