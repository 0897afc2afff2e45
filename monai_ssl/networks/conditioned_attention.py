"""TransAtt (PCRLv1): channel gate of the decoder, conditioned on the flips and turns of the target.

Zhou, Lu, Yang, Han, Yu, "Preservational Learning Improves Self-supervised Medical Image Models by Reconstructing
Diverse Contexts", ICCV 2021, Sec. 3.1. https://arxiv.org/abs/2109.04379
"""

from __future__ import annotations

import torch
from monai.networks.layers import Conv
from torch import Tensor, nn

from monai_ssl.networks.encoder import average


class GateAttention(nn.Module):
    """TransAtt of the authors' code: the gate depends on the transformation alone.

    With 512 channels it has 133,376 parameters for the 6 components of 2-D, 133,632 for the 7 of 3-D.

    Args:
        components: of the indicator vector.
        channels: of the map.
        hidden: width between the two linear layers.

    Shapes:
        map (B, channels, *spatial), vector (B, components) -> (B, channels, *spatial).
    """

    def __init__(self, components: int, channels: int, hidden: int = 256) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(components, hidden), nn.ReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        return features * _per_channel(self.layers(vector), features)


class OuterProductAttention(nn.Module):
    r"""TransAtt of the paper, eq. 1-4: the gate depends on the transformation and on the map.

    :math:`M = f^p \otimes f^l`, :math:`f^w = \mathrm{sigmoid}(\mathrm{ReLU}(W_\theta\,\mathrm{flat}(M)))`,
    :math:`F^{l+1} = \mathrm{conv}(F^l \odot f^w)`. The gate is in [0.5, 1).

    Args:
        spatial_dims: 2 or 3.
        components: of the indicator vector.
        channels: of the map, C.
        rank: length of both factors of the outer product. ``None`` is the paper to the letter, C, and means
            C**3 weights: 134,217,728 with 512 channels.
        hidden: width between the two linear layers that give :math:`f^p`.

    Shapes:
        map (B, channels, *spatial), vector (B, components) -> (B, channels, *spatial).
    """

    def __init__(
        self, spatial_dims: int, components: int, channels: int, *, rank: int | None = 32, hidden: int = 256
    ) -> None:
        super().__init__()
        width = channels if rank is None else rank
        # without a ReLU in between the two layers would be one
        self.transformation = nn.Sequential(nn.Linear(components, hidden), nn.ReLU(), nn.Linear(hidden, width))
        self.reduce = nn.Identity() if rank is None else nn.Linear(channels, rank)
        self.weight = nn.Linear(width * width, channels, bias=False)
        self.conv = Conv["conv", spatial_dims](channels, channels, 3, padding=1)

    def forward(self, features: Tensor, vector: Tensor) -> Tensor:
        outer = torch.einsum("bi,bj->bij", self.transformation(vector), self.reduce(average(features)))
        gate = torch.sigmoid(torch.relu(self.weight(outer.flatten(1))))
        return self.conv(features * _per_channel(gate, features))


def _per_channel(gate: Tensor, features: Tensor) -> Tensor:
    return gate.reshape(*gate.shape, *[1] * (features.ndim - 2))
