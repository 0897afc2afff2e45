"""Mean over what is masked, sample by sample."""

from __future__ import annotations

from torch import Tensor


def masked_mean(x: Tensor, masked: Tensor) -> Tensor:
    """Return the mean (B) of those of the numbers x (B, N) that are ``masked`` (B, N); 0 where none is.

    >>> import torch
    >>> masked_mean(torch.tensor([[1.0, 2.0, 9.0]]), torch.tensor([[True, True, False]]))
    tensor([1.5000])
    """
    return (x * masked).sum(1) / masked.sum(1).clamp_min(1)


__all__ = ["masked_mean"]
