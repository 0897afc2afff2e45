"""Contracting path of a 3-D U-Net: the encoder of PCRLv1, PCRLv2, Models Genesis and "Dive into SSL".

Zhou et al., "Models Genesis", MedIA 2021; Zhou et al., "A Unified Visual Information Preservation Framework", TPAMI
2023, Sec. 4.2: the contracting path of a 3-D U-Net.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_channels, check_divisible
from monai_ssl.networks.blocks import DoubleConv, Norm
from monai_ssl.networks.encoder import Encoder


class ConvEncoder(Encoder):
    """Stages of two convolutions with max-pooling by 2 in between.

    With the default widths and one input channel it has 7,027,776 parameters, the papers' count.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        widths: output channels of each stage; the first convolution of a stage has half of them.
        norm: normalization, see :data:`monai_ssl.networks.blocks.Norm`.

    Shapes:
        (B, in_channels, *spatial) -> list of (B, widths[i], *(spatial / 2**i)), fine to coarse.
        Every spatial size must be divisible by ``2 ** (len(widths) - 1)``, else ``ValueError``.

    >>> import torch
    >>> encoder = ConvEncoder(spatial_dims=3, widths=(4, 8, 16))
    >>> [tuple(x.shape) for x in encoder(torch.rand(1, 1, 16, 16, 8))]
    [(1, 4, 16, 16, 8), (1, 8, 8, 8, 4), (1, 16, 4, 4, 2)]
    """

    blocks = (DoubleConv,)

    def __init__(
        self,
        spatial_dims: int = 3,
        in_channels: int = 1,
        widths: Sequence[int] = (64, 128, 256, 512),
        norm: Norm = "batch",
    ) -> None:
        super().__init__()
        if any(width % 2 for width in widths):
            raise ValueError(f"`widths` must be even, since a stage begins with half its width, got {tuple(widths)}.")
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.channels = tuple(widths)
        self.strides = tuple(2**level for level in range(len(widths)))
        inputs = (in_channels, *widths[:-1])
        self.stages = nn.ModuleList(
            DoubleConv(spatial_dims, i, w // 2, w, norm=norm) for i, w in zip(inputs, widths, strict=True)
        )

    def forward(self, x: Tensor) -> list[Tensor]:
        check_channels(x, self.in_channels, type(self).__name__)
        check_divisible(x, self.strides[-1], type(self).__name__)
        pool = F.max_pool3d if self.spatial_dims == 3 else F.max_pool2d
        features = [self.stages[0](x)]
        for stage in self.stages[1:]:
            features.append(stage(pool(features[-1], 2)))
        return features
