"""Patch discriminator (PatchGAN) of DiRA (https://arxiv.org/abs/2204.10437, Sec. 3.1)."""

from __future__ import annotations

from monai.networks.nets import PatchDiscriminator
from torch import Tensor, nn


class Discriminator(nn.Module):
    """DiRA's discriminator: four convolutions of size 3 with leaky ReLU, then one to a logit for each patch.

    It is MONAI's ``PatchDiscriminator`` with instance norm, whose last output alone is returned. The strides are 2, 2,
    2, 1 and 1. In 2-D, with one channel and the default width, it has 1,554,433 parameters, as in the authors' code.

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the images.
        width: channels of the first convolution; each of the next three doubles them.

    Shapes:
        (B, in_channels, *spatial) -> logits (B, 1, *patches), with an eighth of each side, rounded up. For training,
        one image must have more than one patch.

    >>> import torch
    >>> Discriminator(spatial_dims=2, width=4)(torch.rand(1, 1, 64, 64)).shape
    torch.Size([1, 1, 8, 8])
    """

    def __init__(self, spatial_dims: int, in_channels: int = 1, width: int = 64) -> None:
        super().__init__()
        self.layers = PatchDiscriminator(
            spatial_dims, width, in_channels, num_layers_d=3, kernel_size=3, norm="INSTANCE", bias=True
        )

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.layers(x)[-1]
        return logits
