"""VoCo, volume contrast: how much a crop overlaps with each base crop of its scan, told by similarity.

Wu, Zhuang, Chen, "VoCo: A Simple-yet-Effective Volume Contrastive Learning Framework for 3D Medical Image Analysis",
CVPR 2024, https://arxiv.org/abs/2402.17300. Version 2: "Large-Scale 3D Medical Image Pre-training with Geometric
Context Priors", https://arxiv.org/abs/2410.09890.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_batch_size, check_choice, check_interval, check_weights
from monai_ssl.losses import gather
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, MomentumNetwork, average, projector

TERMS = {"v1": ("intra", "regularization"), "v2": ("intra", "inter", "regularization")}
Pair = tuple[Tensor, Tensor]
"""Vectors of targets and of bases."""

FLOOR = 1e-6
"""Keeps logarithms finite, as in the authors' code: no pair costs more than 13.8."""


class PooledPyramid(nn.Module):
    """Maps images (B, C, *spatial) to vectors (B, D): averages of the maps of all scales, joined, and a projector."""

    def __init__(self, encoder: Encoder, dim: int) -> None:
        super().__init__()
        self.encoder = encoder
        self.projector = projector([sum(encoder.channels), dim, dim, dim], norm=True, bias=False, last_norm="plain")

    def pooled(self, x: Tensor) -> Tensor:
        """Return the averages (B, sum of channels)."""
        return torch.cat([average(maps) for maps in self.encoder(x)], 1)

    def forward(self, x: Tensor) -> Tensor:
        vectors: Tensor = self.projector(self.pooled(x))
        return vectors


class VoCo(Method):
    r"""The similarity of a target crop with each base crop of its scan is to be the share of the target inside it.

    With unit vectors z of targets and b of bases, overlap y and :math:`l = \max(0, z \cdot b)`, a scan costs
    :math:`L_\mathrm{pred}(y, l) = \sum y \cdot -\log(1 - |y - l|) / \sum y + \mathrm{mean}_{y = 0}\, n(l)`, and
    :math:`L_\mathrm{reg}`, the mean of :math:`\max(0, b_i \cdot b_j)^2` over all pairs of bases. The teacher, a moving
    average (EMA) that begins as a copy of the student, gets no gradient.

    Version 1: :math:`n(l) = l^2`; the teacher is a whole network; l is averaged over student's targets with teacher's
    bases and the other way round. Version 2: :math:`n(l) = -\log(1 - l)`; the teacher is a projector on the features of
    the only encoder; l is that of student's targets, with dropout, and teacher's bases. Its term between scans compares
    targets of a scan with the bases of the next one in the batch of all processes: y is the teacher's similarity.

    Args:
        encoder: to pre-train.
        version: ``"v1"`` or ``"v2"``.
        dim: of the projector's three layers; 2048 in version 1, 1024 in version 2.
        dropout: of the student's features, in version 2.
        momentum: of the teacher, in [0, 1].
        weights: of the terms within scans, between scans (version 2) and of the regularizer; ``None`` for 1 each.

    Batch, with N bases and T targets of each scan in turn:

    =========== ====================== =========================================
    key         shape                  content
    =========== ====================== =========================================
    ``bases``   (B * N, C, \*spatial)  crops that cover a scan
    ``targets`` (B * T, C, \*spatial)  crops of the same extent, anywhere
    ``overlap`` (B, T, N)              share of each target within each base
    =========== ====================== =========================================

    Raises:
        ValueError: for an unknown version, numbers out of range, or a batch of one scan.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = VoCo(ConvEncoder(2, widths=(4, 8)), dim=8)
    >>> batch = {"bases": torch.rand(8, 1, 16, 16), "targets": torch.rand(2, 1, 16, 16)}
    >>> sorted(method.losses({**batch, "overlap": torch.full((2, 1, 4), 0.25)}))
    ['inter', 'intra', 'regularization']
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        version: str = "v2",
        dim: int = 1024,
        dropout: float = 0.2,
        momentum: float = 0.9,
        weights: Sequence[float] | None = None,
    ) -> None:
        super().__init__()
        check_choice(tuple(TERMS), version=version)
        check_interval("[0, 1]", momentum=momentum)
        check_interval("[0, 1)", dropout=dropout)
        self.network = PooledPyramid(encoder, dim)
        self.dropout = nn.Dropout(dropout)
        self.teacher: MomentumNetwork[nn.Module] = MomentumNetwork(self._followed(version))
        self.version, self.momentum = version, momentum
        self.weights = check_weights([1.0] * len(TERMS[version]) if weights is None else weights, TERMS[version])

    def _followed(self, version: str) -> nn.Module:
        return self.network if version == "v1" else self.network.projector

    @property
    def chance(self) -> dict[str, float]:
        """What the regularizer costs when all bases have the same vector."""
        return {"regularization": self.weights[-1]}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_batch_size(len(batch["overlap"]), type(self).__name__)
        student, teacher = self._vectors(batch)
        with torch.autocast(student[0].device.type, enabled=False):
            terms = (self._version_1 if self.version == "v1" else self._version_2)(batch["overlap"], student, teacher)
        return {name: w * term for name, w, term in zip(TERMS[self.version], self.weights, terms, strict=True)}

    @staticmethod
    def _version_1(y: Tensor, student: Pair, teacher: Pair) -> tuple[Tensor, ...]:
        similarity = (similarities(student[0], teacher[1]) + similarities(teacher[0], student[1])) / 2
        return prediction(y, similarity, similarity.square()), regularization(student[1])

    @staticmethod
    def _version_2(y: Tensor, student: Pair, teacher: Pair) -> tuple[Tensor, ...]:
        within = similarities(student[0], teacher[1])
        between = similarities(student[0], _of_next(student[1]))
        soft = similarities(teacher[0], _of_next(teacher[1])).detach()
        both = ((y, within), (soft, between))
        intra, inter = (prediction(label, found, -(1 - found + FLOOR).log()) for label, found in both)
        return intra, inter, regularization(student[1])

    def _vectors(self, batch: Mapping[str, Tensor]) -> tuple[Pair, Pair]:
        """Return unit vectors of targets (B, T, D) and bases (B, N, D), of the student and of the teacher."""
        x = torch.cat([batch["targets"], batch["bases"]])
        if self.version == "v1":
            student, teacher = self.network(x), self.teacher(x)
        else:
            pooled = self.network.pooled(x)
            student, teacher = self.network.projector(self.dropout(pooled)), self.teacher(pooled)
        count, scans = len(batch["targets"]), len(batch["overlap"])
        pairs = []
        for vectors in (student, teacher):
            unit = F.normalize(vectors.float(), dim=1)
            pairs.append((unit[:count].unflatten(0, (scans, -1)), unit[count:].unflatten(0, (scans, -1))))
        return pairs[0], pairs[1]

    def after_step(self) -> None:
        self.teacher.follow(self._followed(self.version), self.momentum)

    def after_start(self) -> None:
        self.teacher.copy(self._followed(self.version))

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return how often the nearest base has the most overlap (1 / N by chance), and the overlap ``explained``.

        1 at best; 0 for the answer 1 / N everywhere.
        """
        student, teacher = self._vectors(batch)
        y, similarity = batch["overlap"], similarities(student[0], teacher[1])
        left = (y - similarity).square().sum() / (y - 1 / y.shape[2]).square().sum().clamp_min(FLOOR)
        return {"accuracy": (similarity.argmax(2) == y.argmax(2)).float().mean(), "explained": 1 - left}


def similarities(targets: Tensor, bases: Tensor) -> Tensor:
    """Return :math:`\\max(0, z \\cdot b)`, (B, T, N), of unit vectors (B, T, D) and (B, N, D)."""
    return (targets @ bases.transpose(1, 2)).clamp(0, 1)


def prediction(y: Tensor, similarity: Tensor, wrong: Tensor) -> Tensor:
    """Return the mean cost over scans of similarities (B, T, N) in place of overlaps y; ``wrong`` is that of y = 0."""
    near = -(1 - (y - similarity).abs() + FLOOR).log()
    none = y == 0
    positive = (y * near).sum((1, 2)) / y.sum((1, 2)).clamp_min(FLOOR)
    negative = (wrong * none).sum((1, 2)) / none.sum((1, 2)).clamp_min(1)
    return (positive + negative).mean()


def regularization(bases: Tensor) -> Tensor:
    """Return the mean of squared similarities of different bases (B, N, D): 1 when they are equal, 0 orthogonal."""
    squares = similarities(bases, bases).square()
    count = bases.shape[1]
    others = squares.sum((1, 2)) - squares.diagonal(dim1=1, dim2=2).sum(1)
    return (others / (count * (count - 1))).mean()


def _of_next(bases: Tensor) -> Tensor:
    """Return, for each scan of this process, the bases of the next scan in the batch of all processes."""
    everyone = gather(bases)
    following = everyone.roll(-1, 0)
    if len(everyone) == len(bases):
        return following
    first = dist.get_rank() * len(bases)
    return following[first : first + len(bases)]


__all__ = ["VoCo"]
