"""Random tokens to mask, more or fewer of them from sample to sample (iBOT: https://arxiv.org/abs/2111.07832)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from monai_ssl.arguments import check_interval, check_range
from monai_ssl.transforms.base import Params
from monai_ssl.transforms.puzzles.task import RandTask


class RandMaskedTokensd(RandTask):
    """Number the tokens of one of several views that a student may not see; the images stay as they are.

    The view is drawn for each sample, then the share of its tokens, uniformly from ``ratio``, then the tokens, without
    replacement: every set of so many is as likely as any other. As all draws, masks of validation data are the same in
    every epoch.

    Args:
        key: the first view, whose shape, that of all views, decides.
        patch: side of a token in voxels; one number for all axes or one for each.
        ratio: least and largest share of the tokens of a view that is masked, in (0, 1); at least one token is.
        views: from which the masked one is drawn.
        name: key of the numbers (largest count,) of the masked tokens in ascending order, as the flattened grid counts
            them, those of the second view behind all of the first, and so on; -1 where fewer are masked.
        params_key: where to put what was drawn: ``numbers``.

    Raises:
        ValueError: when ``ratio`` is no range in (0, 1), a token or the number of views is below 1, or tokens do not
            fill the image.

    >>> import torch
    >>> out = RandMaskedTokensd("view1", patch=4, ratio=(0.5, 0.5), views=1).batch({"view1": torch.rand(3, 1, 8, 8)})
    >>> out["masked"].shape, bool((out["masked"] < 4).all())
    (torch.Size([3, 2]), True)
    """

    def __init__(
        self,
        key: str,
        patch: int | Sequence[int] = 16,
        ratio: Sequence[float] = (0.2, 0.75),
        *,
        views: int = 2,
        name: str = "masked",
        params_key: str | None = None,
    ) -> None:
        super().__init__(key, params_key)
        check_interval("[1, inf)", patch=patch, views=views)
        self.ratio = check_range("ratio", ratio, "(0, 1)")
        self.patch, self.views, self.name = patch, views, name

    def draw(self, shape: tuple[int, ...]) -> Params:
        size = np.array(shape[1:])
        if (size % self.patch).any():
            raise ValueError(f"Tokens of {self.patch} voxels do not fill an image of {size.tolist()}.")
        tokens = int((size // self.patch).prod())
        most = max(1, int(self.ratio[1] * tokens))
        view = self.R.randint(self.views)
        count = int(np.clip(np.rint(self.R.uniform(*self.ratio) * tokens), 1, most))
        numbers = np.full(most, -1)
        numbers[:count] = view * tokens + np.sort(self.R.permutation(tokens)[:count])
        return {"numbers": numbers}

    def kernel(self, x: Tensor, params: Params) -> dict[str, Tensor]:
        return {self.key: x, self.name: params["numbers"].to(x.device, non_blocking=True)}


__all__ = ["RandMaskedTokensd"]
