"""Convert batch normalization to group normalization, keeping the learned scale and shift."""

from __future__ import annotations

import torch
from torch import nn

_BATCH_NORMS = (nn.BatchNorm2d, nn.BatchNorm3d)


def batch_to_group_norm(module: nn.Module, groups: int = 8) -> nn.Module:
    """Replace 2-D and 3-D batch norms in place by group norms that keep their scale and shift.

    Running statistics are dropped, since a group norm has none. Layers whose width is not divisible by ``groups`` and
    1-D batch norms of heads stay (PCRLv1 Sec. 4.2 fine-tunes with group norm at a batch of 4).

    Args:
        module: searched in depth.
        groups: channels are normalized in this many groups.

    Returns:
        The module; a new one when ``module`` itself is a batch norm.
    """
    if isinstance(module, _BATCH_NORMS):
        return _converted(module, groups)
    for name, child in module.named_children():
        setattr(module, name, batch_to_group_norm(child, groups))
    return module


def _converted(norm: nn.BatchNorm2d | nn.BatchNorm3d, groups: int) -> nn.Module:
    if norm.num_features % groups:
        return norm
    group = nn.GroupNorm(groups, norm.num_features, eps=norm.eps, affine=norm.affine)
    if norm.affine:
        with torch.no_grad():
            group.weight.copy_(norm.weight)
            group.bias.copy_(norm.bias)
        group.to(norm.weight.device)
    return group.train(norm.training)
