"""The papers' networks and losses once more, from their formulas alone: plain functions of float64 tensors.

Weights come in the order in which a network registers them; nothing else of the package is used.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Weights:
    """Parameters of a module, handed out one after the other."""

    def __init__(self, module: nn.Module) -> None:
        self.left = list(module.parameters())

    def take(self, count: int) -> list[Tensor]:
        taken, self.left = self.left[:count], self.left[count:]
        assert len(taken) == count
        return taken


def convolve(x: Tensor, weight: Tensor, bias: Tensor | None = None, stride: int = 1) -> Tensor:
    function = F.conv3d if x.ndim == 5 else F.conv2d
    return function(x, weight, bias, stride=stride, padding=weight.shape[-1] // 2)


def normalize(x: Tensor, scale: Tensor | float = 1.0, shift: Tensor | float = 0.0) -> Tensor:
    """Batch norm in training."""
    axes = (0, *range(2, x.ndim))
    centered = x - x.mean(axes, keepdim=True)
    shape = (1, -1, *[1] * (x.ndim - 2))
    scale, shift = (torch.as_tensor(v, dtype=x.dtype).reshape(shape) for v in (scale, shift))
    return centered / (centered.square().mean(axes, keepdim=True) + 1e-5).sqrt() * scale + shift


def unit(x: Tensor) -> Tensor:
    return x / x.square().sum(1, keepdim=True).sqrt()


def pooled(x: Tensor) -> Tensor:
    return x.flatten(2).sum(2) / x[0, 0].numel()


def linear(x: Tensor, weights: Weights, *, bias: bool = True) -> Tensor:
    weight, *shift = weights.take(1 + bias)
    return x @ weight.T + (shift[0] if bias else 0)


def mlp(x: Tensor, module: nn.Module, layers: int, *, norm: bool = False, bias: bool = True) -> Tensor:
    """Linear layers with ReLU between them, batch norm before each ReLU if wanted."""
    weights = Weights(module)
    for layer in range(layers):
        x = linear(x, weights, bias=bias)
        if layer < layers - 1:
            x = torch.clamp(normalize(x, *weights.take(2)) if norm else x, min=0)
    return x


# networks ---------------------------------------------------------------------------------------------------------


def conv_norm_relu(x: Tensor, weights: Weights, *, bias: bool, stride: int = 1) -> Tensor:
    weight, *shift = weights.take(1 + bias)
    return torch.clamp(normalize(convolve(x, weight, *shift, stride=stride), *weights.take(2)), min=0)


def conv_encoder(x: Tensor, module: nn.Module) -> list[Tensor]:
    """Stages of two convolutions with bias; the maximum of 2 x 2 x 2 voxels between them."""
    weights, maps = Weights(module), []
    while weights.left:
        if maps:
            x = F.max_pool3d(x, 2)
        x = conv_norm_relu(conv_norm_relu(x, weights, bias=True), weights, bias=True)
        maps.append(x)
    return maps


def resnet_18(x: Tensor, module: nn.Module) -> list[Tensor]:
    """ResNet-18 of two dimensions, and its maps at strides 2, 4, 8, 16, 32."""
    weights = Weights(module)
    maps = [conv_norm_relu(x, weights, bias=False, stride=2)]
    x = F.max_pool2d(maps[0], 3, 2, 1)
    for stage in range(4):
        for block in range(2):
            stride = 2 if stage and not block else 1
            y = conv_norm_relu(x, weights, bias=False, stride=stride)
            weight, *norm = weights.take(3)
            y = normalize(convolve(y, weight), *norm)
            if stride == 2:
                weight, *norm = weights.take(3)
                x = normalize(F.conv2d(x, weight, stride=2), *norm)
            x = torch.clamp(x + y, min=0)
        maps.append(x)
    return maps


def encode(x: Tensor, module: nn.Module) -> list[Tensor]:
    return conv_encoder(x, module) if x.ndim == 5 else resnet_18(x, module)


def decode(maps: Sequence[Tensor], module: nn.Module, *, skips: bool) -> list[Tensor]:
    """Levels of the decoder, coarse to fine: transposed convolution in 3-D, nearest neighbor in 2-D."""
    weights, x, levels = Weights(module), maps[-1], []
    finer = list(maps[-2::-1])
    while weights.left:
        if x.ndim == 5:
            x = F.conv_transpose3d(x, *weights.take(2), stride=2)
        else:
            x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        if skips and finer:
            x = torch.cat([x, finer.pop(0)], 1)
        x = conv_norm_relu(conv_norm_relu(x, weights, bias=x.ndim == 5), weights, bias=x.ndim == 5)
        levels.append(x)
    return levels


def patch_discriminator(x: Tensor, module: nn.Module) -> Tensor:
    """Convolutions of strides 2, 2, 2, 1, 1; instance norm without parameters on the inner three; leaky ReLU of 0.2."""
    weights = Weights(module)
    for number, stride in enumerate((2, 2, 2, 1, 1)):
        x = convolve(x, *weights.take(2), stride=stride)
        if 0 < number < 4:
            axes = tuple(range(2, x.ndim))
            centered = x - x.mean(axes, keepdim=True)
            x = centered / (centered.square().mean(axes, keepdim=True) + 1e-5).sqrt()
        if number < 4:
            x = torch.where(x > 0, x, 0.2 * x)
    return x


# losses -----------------------------------------------------------------------------------------------------------


def mse(x: Tensor, y: Tensor) -> Tensor:
    return (x - y).square().sum() / x.numel()


def cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    rows = [torch.log(torch.exp(row - row[label]).sum()) for row, label in zip(logits, labels.tolist(), strict=True)]
    return torch.stack(rows).mean()


def binary_cross_entropy(logits: Tensor, bits: Tensor) -> Tensor:
    p = 1 / (1 + torch.exp(-logits))
    return -(bits * torch.log(p) + (1 - bits) * torch.log(1 - p)).mean()


def cosine(a: Tensor, b: Tensor) -> Tensor:
    return (unit(a) * unit(b)).sum(1).mean()


def contrast(query: Tensor, key: Tensor, queue: Tensor, temperature: float) -> Tensor:
    """InfoNCE with the positive in the denominator."""
    query, terms = unit(query), []
    for q, k in zip(query, unit(key), strict=True):
        positive, negatives = torch.exp(q @ k / temperature), torch.exp(queue @ q / temperature)
        terms.append(-torch.log(positive / (positive + negatives.sum())))
    return torch.stack(terms).mean()


def nt_xent(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    z = unit(torch.cat([first, second]))
    count, terms = len(z), []
    for i in range(count):
        others = torch.stack([torch.exp(z[i] @ z[k] / temperature) for k in range(count) if k != i])
        terms.append(torch.log(others.sum()) - z[i] @ z[(i + count // 2) % count] / temperature)
    return torch.stack(terms).mean()


def redundancy(first: Tensor, second: Tensor, off_diagonal: float) -> Tensor:
    """The loss of Barlow Twins, entry by entry of the correlation."""
    a, b = ((z - z.mean(0)) / z.var(0, unbiased=False).sqrt() for z in (first, second))
    total = torch.zeros((), dtype=a.dtype)
    for i in range(a.shape[1]):
        for j in range(a.shape[1]):
            entry = (a[:, i] * b[:, j]).mean()
            total = total + ((1 - entry).square() if i == j else off_diagonal * entry.square())
    return total
