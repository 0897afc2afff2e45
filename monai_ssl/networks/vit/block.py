"""Transformer block of EVA-02 (Fang et al., 2023, https://arxiv.org/abs/2303.11331): rotary attention, SwiGLU.

MONAI's attention has no place for rotary positions, and its feed-forward network no gate of its own width.
"""

from __future__ import annotations

import torch
from monai.networks.layers.drop_path import DropPath
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu

from monai_ssl.networks.vit.rotary import rotate

_SCALE = 0.1
"""Layer scale at the start."""


class Attention(nn.Module):
    """Self-attention whose queries and keys are turned by their place, with a norm before the last layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value = (
            nn.Linear(width, width),
            nn.Linear(width, width, False),
            nn.Linear(width, width),
        )
        self.norm = nn.LayerNorm(width)
        self.output = nn.Linear(width, width)

    def forward(self, x: Tensor, cos: Tensor | None, sin: Tensor | None) -> Tensor:
        q, k, v = (
            layer(x).unflatten(2, (self.heads, -1)).transpose(1, 2) for layer in (self.query, self.key, self.value)
        )
        if cos is not None and sin is not None:
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
        attended = scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        return self.output(self.norm(attended))


class GatedMLP(nn.Module):
    """SwiGLU: a hidden layer of 8/3 of the width, multiplied by a gate, normalized, then back."""

    def __init__(self, width: int) -> None:
        super().__init__()
        hidden = width * 8 // 3
        self.gate, self.hidden = nn.Linear(width, hidden), nn.Linear(width, hidden)
        self.norm = nn.LayerNorm(hidden)
        self.output = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.output(self.norm(silu(self.gate(x)) * self.hidden(x)))


class TransformerBlock(nn.Module):
    """Pre-norm attention and feed-forward network, each with layer scale and stochastic depth (drop path).

    Args:
        width: channels of a token.
        heads: of the attention.
        drop_path: probability that a sample skips one of the two in training.
    """

    def __init__(self, width: int, heads: int, drop_path: float) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention, self.mlp = Attention(width, heads), GatedMLP(width)
        self.scale1, self.scale2 = (nn.Parameter(torch.full((width,), _SCALE)) for _ in range(2))
        self.drop_path = DropPath(drop_path)

    def forward(self, x: Tensor, cos: Tensor | None, sin: Tensor | None) -> Tensor:
        x = x + self.drop_path(self.scale1 * self.attention(self.norm1(x), cos, sin))
        return x + self.drop_path(self.scale2 * self.mlp(self.norm2(x)))
