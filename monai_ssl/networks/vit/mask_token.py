"""Mask token (SimMIM, iBOT): one learned vector in place of masked tokens, in any encoder that embeds patches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from monai.networks.layers import Pool
from torch import Tensor, nn


def mask_token(encoder: nn.Module, embedding: str) -> nn.Parameter:
    """Return a new mask token (width) for what the module ``embedding`` of an encoder makes.

    Raises:
        ValueError: when there is no such module, or it has no convolution.
    """
    module = dict(encoder.named_modules()).get(embedding)
    found = [] if module is None else [m for m in module.modules() if isinstance(m, nn.modules.conv._ConvNd)]
    if not found:
        raise ValueError(
            f"{type(encoder).__name__} has no module `{embedding}` with a convolution that embeds patches: set "
            "`embedding` to its name, or take the method `mae` for a network without one."
        )
    return nn.Parameter(nn.init.trunc_normal_(torch.empty(found[-1].out_channels), std=0.02))


@contextmanager
def mask_tokens(encoder: nn.Module, embedding: str, token: Tensor, visible: Tensor) -> Iterator[None]:
    """Within it, each cell (B, width, *grid) of ``embedding`` that has a masked voxel is ``token``.

    Args:
        encoder: the plain one before and after.
        embedding: name of its module that embeds patches.
        token: (width), which gets the gradient of all those cells.
        visible: (B, 1, *spatial), 1 where visible, 0 where masked, of the images that the encoder is given.
    """

    def replace(module: nn.Module, inputs: Any, cells: Tensor) -> Tensor:
        del module, inputs
        own = token.reshape(-1, *[1] * (cells.ndim - 2)).to(cells.dtype)
        return torch.where(masked_cells(visible, cells.shape[2:]), own, cells)

    hook = encoder.get_submodule(embedding).register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()


def masked_cells(visible: Tensor, grid: Sequence[int]) -> Tensor:
    """Return which cells (B, 1, *grid) of a map have a masked voxel, given masks (B, 1, *spatial).

    >>> masked_cells(torch.tensor([[[1, 1, 0, 1, 0, 0]]]), (3,))
    tensor([[[False,  True,  True]]])
    """
    sides = [a // b for a, b in zip(visible.shape[2:], grid, strict=True)]
    hidden: Tensor = Pool["max", len(sides)](sides)(1 - visible.float())
    return hidden > 0


__all__ = ["mask_token", "mask_tokens", "masked_cells"]
