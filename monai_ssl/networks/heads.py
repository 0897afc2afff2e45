"""Projector, predictor (MLP heads), prototypes and restoration heads, used in pre-training only."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

import torch
import torch.nn.functional as F
from monai.networks.layers import Conv
from monai.networks.layers.utils import get_norm_layer
from torch import Tensor, nn

INTERPOLATION = {2: "bilinear", 3: "trilinear"}


def mlp(in_features: int, hidden: int, out_features: int) -> nn.Sequential:
    """Return a two-layer MLP (linear, batch norm, ReLU, linear), the predictor of BYOL, SimSiam and PCRLv2."""
    return nn.Sequential(
        nn.Linear(in_features, hidden), nn.BatchNorm1d(hidden), nn.ReLU(), nn.Linear(hidden, out_features)
    )


def projector(
    widths: Sequence[int],
    *,
    norm: bool = False,
    bias: bool = True,
    last_norm: Literal["none", "affine", "plain"] = "none",
) -> nn.Sequential:
    """Return a projector (MLP): linear layers with ReLU between them, behind the average of the coarsest map.

    Args:
        widths: of the input, of each hidden layer, of the output.
        norm: batch norm before each ReLU.
        bias: of the linear layers.
        last_norm: batch norm behind the last layer, without scale and shift when ``"plain"`` (SimSiam).
    """
    layers: list[nn.Module] = []
    for number, (i, o) in enumerate(pairwise(widths), start=1):
        layers.append(nn.Linear(i, o, bias=bias))
        if number < len(widths) - 1:
            layers += [nn.BatchNorm1d(o), nn.ReLU()] if norm else [nn.ReLU()]
    if last_norm != "none":
        layers.append(nn.BatchNorm1d(widths[-1], affine=last_norm == "affine"))
    return nn.Sequential(*layers)


class Prototypes(nn.Linear):
    """Prototypes (SwAV): a linear layer without bias whose K rows have unit length before every step.

    Args:
        dim: of a vector.
        count: K.

    Shapes:
        (B, dim) -> (B, K) in float32, whatever autocast says.
    """

    def __init__(self, dim: int, count: int) -> None:
        super().__init__(dim, count, bias=False)
        self.renormalize()

    def forward(self, z: Tensor) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            return super().forward(z.float())

    def frozen(self, z: Tensor) -> Tensor:
        """The same without a gradient to the prototypes; an optimizer then leaves them, decay and momentum included."""
        return F.linear(z.float(), self.weight.detach())

    @torch.no_grad()
    def renormalize(self) -> None:
        """Bring all rows to unit length, after an optimizer step."""
        self.weight.copy_(F.normalize(self.weight, dim=1))


class RestorationHead(nn.Module):
    """Maps features to the image and brings it to full resolution (PCRLv2 eq. 2).

    Args:
        layers: ends in ``out_channels`` channels.
        interpolation: mode of the up-sampling; the prediction is enlarged, never the target shrunk.
    """

    def __init__(self, layers: nn.Sequential, interpolation: str) -> None:
        super().__init__()
        self.layers = layers
        self.interpolation = interpolation

    def forward(self, features: Tensor, size: tuple[int, ...]) -> Tensor:
        """Return (B, out_channels, *size) for features (B, C, *smaller)."""
        out = self.layers(features)
        if tuple(out.shape[2:]) == tuple(size):
            return out
        return F.interpolate(out, size=size, mode=self.interpolation, align_corners=False)


def restoration_head(spatial_dims: int, channels: int, out_channels: int, *, preset: str, bounded: bool) -> nn.Module:
    """Return the restoration head of one scale, as the paper (Fig. 4) or as the authors' code builds it.

    Args:
        spatial_dims: 2 or 3.
        channels: of the features.
        out_channels: of the image.
        preset: ``"paper"``: convolution 3, norm, ReLU, convolution 3. ``"reference"``: the second convolution has
            size 1 in 2-D; in 3-D there is one convolution 3 and a norm only.
        bounded: end in a sigmoid, for targets in [0, 1].
    """
    conv = Conv["conv", spatial_dims]
    layers: list[nn.Module]
    if preset == "reference" and spatial_dims == 3:
        layers = [conv(channels, out_channels, 3, padding=1), get_norm_layer("batch", spatial_dims, out_channels)]
    else:
        last = 1 if preset == "reference" else 3
        layers = [
            conv(channels, channels, 3, padding=1),
            get_norm_layer("batch", spatial_dims, channels),
            nn.ReLU(),
            conv(channels, out_channels, last, padding=last // 2),
        ]
    if bounded:
        layers.append(nn.Sigmoid())
    return RestorationHead(nn.Sequential(*layers), INTERPOLATION[spatial_dims])


class ComparisonHead(nn.Module):
    """Projector and predictor of one scale (PCRLv2 Sec. 3.2).

    Args:
        channels: of the feature map.
        dim: of the vector; ``None`` keeps ``channels`` (the paper), else a linear layer changes it, so that vectors
            of different scales can be compared (the paper's table 2).
    """

    def __init__(self, channels: int, dim: int | None = None) -> None:
        super().__init__()
        self.project = nn.Identity() if dim is None else nn.Linear(channels, dim)
        dim = channels if dim is None else dim
        self.norm = nn.BatchNorm1d(dim)
        self.predictor = mlp(dim, 2 * dim, dim)

    def forward(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Return the vector ``v`` and its prediction ``p``, both (B, dim), of a map (B, channels, *spatial)."""
        v = self.norm(self.project(features.flatten(2).mean(2)))
        return v, self.predictor(v)


def init_heads(module: nn.Module) -> None:
    """Kaiming-uniform convolutions, Xavier linear layers, zero biases: the authors' 2-D initialization."""
    for layer in module.modules():
        if isinstance(layer, (nn.Conv2d, nn.Conv3d)):
            nn.init.kaiming_uniform_(layer.weight, mode="fan_in", nonlinearity="relu")
        elif isinstance(layer, nn.Linear):
            nn.init.xavier_uniform_(layer.weight)
        else:
            continue
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
