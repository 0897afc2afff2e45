"""Centered kernel alignment (CKA): how similar the features of two networks are, layer by layer.

Kornblith et al., "Similarity of Neural Network Representations Revisited", ICML 2019,
https://arxiv.org/abs/1905.00414; without bias after Song et al., "Feature Selection via Dependence Maximization", JMLR
2012, Eq. 5. Asked of every stage of an encoder as in Zhang, Gu, https://arxiv.org/abs/2209.12157, Table 6.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from monai_ssl.evaluation.frozen import images_of
from monai_ssl.networks import Encoder, average
from monai_ssl.networks.modes import device_of, evaluating

_CONSTANT = 1e-12


class CKA:
    r"""Linear CKA :math:`\mathrm{HSIC}(X, Y) / \sqrt{\mathrm{HSIC}(X, X)\,\mathrm{HSIC}(Y, Y)}`, batch by batch.

    It does not change when a representation is rotated, scaled or moved. HSIC is estimated without bias: independent
    representations give about 0, and a little below at times, where the plain estimator tells 0.89 of 64 images and 512
    dimensions. The result is that of all images at once, however they are dealt to batches: only sums over images are
    kept, :math:`O(pq)` numbers in double precision.

    Shapes:
        ``update(x, y)`` takes (B, p) and (B, q), one row per image.

    >>> x = torch.tensor([[0.0, 1], [2, 0], [1, 5], [4, 4], [7, 2], [3, 8]])
    >>> alignment = CKA()
    >>> alignment.update(x, 2 * x.flip(1) + 3)
    >>> round(alignment.compute(), 6)
    1.0
    """

    def __init__(self) -> None:
        self._centers: tuple[Tensor, Tensor] | None = None
        self._power = [0.0, 0.0]
        self._sums: list[_PairSums] = []

    def update(self, x: Tensor, y: Tensor) -> None:
        """Add images.

        Raises:
            ValueError: when shapes are not (B, p) and (B, q), or not those of earlier batches.
        """
        if x.ndim != 2 or y.ndim != 2 or len(x) != len(y):
            raise ValueError(f"CKA compares vectors (B, p) with (B, q), got {tuple(x.shape)} and {tuple(y.shape)}.")
        if len(x) == 0:
            return
        x, y = x.detach().cpu().double(), y.detach().cpu().double()
        if self._centers is None:
            # any fixed point will do; one amid the data keeps the sums free of cancellation
            self._centers = (x.mean(0), y.mean(0))
            self._sums = [_PairSums(), _PairSums(), _PairSums()]
        widths = [len(center) for center in self._centers]
        if [x.shape[1], y.shape[1]] != widths:
            raise ValueError(f"CKA began with {widths} dimensions, but a batch has {[x.shape[1], y.shape[1]]}.")
        self._power = [p + float(v.square().sum()) for p, v in zip(self._power, (x, y), strict=True)]
        x, y = x - self._centers[0], y - self._centers[1]
        for sums, (a, b) in zip(self._sums, ((x, y), (x, x), (y, y)), strict=True):
            sums.add(a, b)

    def compute(self) -> float:
        """Return the alignment of all images so far; nan when a representation is the same for all of them.

        Raises:
            ValueError: with fewer than 4 images.
        """
        n = self._sums[0].n if self._sums else 0
        if n < 4 or self._centers is None:
            raise ValueError(f"CKA needs 4 images at least, got {n}.")
        xy, xx, yy = (sums.hsic() for sums in self._sums)
        negligible = [(_CONSTANT * power / n) ** 2 for power in self._power]
        if xx <= negligible[0] or yy <= negligible[1]:
            return float("nan")
        return xy / (xx * yy) ** 0.5


@torch.no_grad()
def encoder_cka(first: Encoder, second: Encoder, batches: Iterable[Any], *, key: str = "image") -> list[list[float]]:
    """Return how alike each map of one encoder and each map of another see the same images, both fine to coarse.

    Maps are averaged over positions; both encoders are in evaluation mode for the time. Before and after fine-tuning,
    a value near 1 on the diagonal says that a stage was reused as it was.

    Args:
        first: such as the pre-trained encoder; its maps are the rows.
        second: such as the fine-tuned one; it may be of another kind.
        batches: tensors (B, C, *spatial), or dictionaries with them.
        key: of the images in a dictionary.

    Raises:
        ValueError: when there are fewer than 4 images.
    """
    alignments = [[CKA() for _ in second.channels] for _ in first.channels]
    with evaluating(first, second):
        for image in images_of(batches, key):
            vectors = [[average(m) for m in encoder(image.to(device_of(encoder)))] for encoder in (first, second)]
            for line, a in zip(alignments, vectors[0], strict=True):
                for alignment, b in zip(line, vectors[1], strict=True):
                    alignment.update(a, b)
    return [[alignment.compute() for alignment in line] for line in alignments]


class _PairSums:
    """Sums over images x, y from which HSIC of linear kernels follows exactly."""

    def __init__(self) -> None:
        self.n = 0
        zero = torch.zeros((), dtype=torch.float64)
        self.cross = self.x = self.y = self.x_by_yy = self.y_by_xx = self.xx = self.yy = self.xx_by_yy = zero

    def add(self, x: Tensor, y: Tensor) -> None:
        xx, yy = x.square().sum(1), y.square().sum(1)
        self.n += len(x)
        self.cross = self.cross + x.T @ y
        self.x = self.x + x.sum(0)
        self.y = self.y + y.sum(0)
        self.x_by_yy = self.x_by_yy + yy @ x
        self.y_by_xx = self.y_by_xx + xx @ y
        self.xx = self.xx + xx.sum()
        self.yy = self.yy + yy.sum()
        self.xx_by_yy = self.xx_by_yy + (xx * yy).sum()

    def hsic(self) -> float:
        r"""Return HSIC of the kernels without their diagonals, K and L: Song et al., Eq. 5.

        :math:`\frac{1}{n(n-3)} (\mathrm{tr} KL + \frac{1^T K 1\, 1^T L 1}{(n-1)(n-2)} - \frac{2}{n-2} 1^T K L 1)`.
        """
        n = self.n
        trace = self.cross.square().sum() - self.xx_by_yy
        total = (self.x.square().sum() - self.xx) * (self.y.square().sum() - self.yy)
        rows = self.x @ self.cross @ self.y - self.x @ self.x_by_yy - self.y_by_xx @ self.y + self.xx_by_yy
        return float((trace + total / ((n - 1) * (n - 2)) - 2 * rows / (n - 2)) / (n * (n - 3)))


__all__ = ["CKA", "encoder_cka"]
