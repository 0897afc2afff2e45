"""Random flips, drawn for each sample and each axis."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from monai.config import KeysCollection
from torch import Tensor

from monai_ssl.arguments import check_interval, per_axis
from monai_ssl.transforms.base import Params, RandBatchTransform, expand


class RandFlipBatchd(RandBatchTransform):
    """Flip each spatial axis with its own probability.

    Parameters drawn: ``flip`` (B, spatial axes), boolean.

    Args:
        keys: images to flip alike.
        axis_prob: probability to flip an axis; one number for all axes or one for each. PCRL flips the first axis of
            three only: ``(0.5, 0, 0)``.
        prob: probability to consider a sample at all.
        params_key: see :class:`RandBatchTransform`.
        allow_missing_keys: see :class:`RandBatchTransform`.

    >>> flip = RandFlipBatchd("image", axis_prob=(0.0, 1.0))  # the second spatial axis always
    >>> flip({"image": torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])})["image"]
    tensor([[[2., 1.],
             [4., 3.]]])
    """

    def __init__(
        self,
        keys: KeysCollection,
        axis_prob: float | Sequence[float] = 0.5,
        prob: float = 1.0,
        *,
        params_key: str | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, prob, params_key, allow_missing_keys)
        check_interval("[0, 1]", axis_prob=axis_prob)
        self.axis_prob = axis_prob

    def draw(self, shape: tuple[int, ...]) -> Params:
        chance = per_axis("axis_prob", self.axis_prob, len(shape) - 1)
        return {"flip": self.R.rand(len(chance)) < chance}

    @staticmethod
    def kernel(x: Tensor, params: Params) -> Tensor:
        return _flip_each(x, params["flip"]) if x.device.type == "cpu" else _flip_all(x, params["flip"])


def _flip_each(x: Tensor, flip: Tensor) -> Tensor:
    """Return the samples of ``x`` flipped one after the other, each only along its axes."""
    out = torch.empty_like(x)
    for sample, axes, to in zip(x, flip.tolist(), out, strict=True):
        to.copy_(sample.flip([axis for axis, chosen in enumerate(axes, start=1) if chosen]) if any(axes) else sample)
    return out


def _flip_all(x: Tensor, flip: Tensor) -> Tensor:
    """Return ``x`` flipped without waiting for an accelerator to say which sample along which axis."""
    out = x
    for axis, chosen in enumerate(flip.unbind(1), start=2):
        out = torch.where(expand(chosen, x.ndim), out.flip(axis), out)
    return out
