"""Aligned views: masked auto-encoding, and features of two overlapping windows that agree where both show the same.

The winner of the SSL3D challenge (MICCAI 2025), https://arxiv.org/abs/2509.13846.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_batch_size, check_choice, check_interval, check_weights
from monai_ssl.losses import explained, gather, masked_error
from monai_ssl.methods.base import Method
from monai_ssl.networks import MaskFill, MomentumNetwork, RestorationUNet, average, roi_pool

TERMS = ("restoration", "alignment", "contrast")


class Aligned(Method):
    r"""Restore masked blocks of two views; agree with a momentum teacher on cells that both show, and on the scan.

    The student sees masked views, the teacher, its moving average (EMA), whole ones. Maps of all scales are averaged
    over the cells of what both views show, joined, and projected: :math:`p` of the student, predicted, :math:`t` of the
    teacher's other view. With Huber distance on masked voxels and NT-Xent of whole views, in which the views of one
    scan are no negatives, :math:`L = w_r L_\mathrm{Huber} + w_f L_\mathrm{align}(p, t) + w_c L_\mathrm{NT-Xent}`.

    Args:
        network: U-Net on the encoder that is to be pre-trained, without a sigmoid.
        alignment: of the unit vectors :math:`p_i, t_i` of cells: ``"gram"``, the mean squared difference of
            :math:`\sum_i p_i p_i^T` and :math:`\sum_i t_i t_i^T`; ``"cosine"``, the mean of
            :math:`2 - 2 p_i \cdot t_i`; ``"contrast"``, each cell among all of its view.
        cells: along each axis of what both views show.
        dim: of projections; the predictor's hidden layer has a quarter of it.
        momentum: of the teacher, in [0, 1].
        temperature: of contrasts, positive.
        weights: :math:`w_r, w_f, w_c`.

    Batch:

    ========================== ================= =============================================================
    key                        shape             content
    ========================== ================= =============================================================
    ``view1``, ``view2``       (B, C, \*spatial) overlapping windows of a scan
    ``visible1``, ``visible2`` (B, 1, \*spatial) 1 where the student may see them, 0 where masked
    ``box1``, ``box2``         (B, 2, D)         first voxel, and first behind, of what both show, in each view
    ========================== ================= =============================================================

    Raises:
        ValueError: for an unknown ``alignment``, numbers out of range, or a batch of one sample.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = Aligned(RestorationUNet(ConvEncoder(2, widths=(4, 8)), bounded=False), cells=2, dim=8)
    >>> x, visible = torch.rand(2, 1, 16, 16), torch.zeros(2, 1, 16, 16).bernoulli(0.25)
    >>> box = torch.tensor([[0, 4], [16, 12]]).expand(2, 2, 2)
    >>> batch = {f"{key}{i}": v for key, v in (("view", x), ("visible", visible), ("box", box)) for i in (1, 2)}
    >>> sorted(method.losses(batch))
    ['alignment', 'contrast', 'restoration']
    """

    def __init__(
        self,
        network: RestorationUNet,
        *,
        alignment: str = "gram",
        cells: int = 7,
        dim: int = 2048,
        momentum: float = 0.995,
        temperature: float = 0.5,
        weights: Sequence[float] = (5.0, 1.0, 0.1),
    ) -> None:
        super().__init__()
        check_choice(tuple(ALIGNMENTS), alignment=alignment)
        check_interval("[1, inf)", cells=cells)
        check_interval("[0, 1]", momentum=momentum)
        check_interval("(0, inf)", temperature=temperature)
        self.network = network
        self.fill = MaskFill("zero", network.encoder.in_channels)
        self.projector = _head([sum(network.encoder.channels), dim, dim, dim])
        self.predictor = _head([dim, max(dim // 4, 1), dim])
        self.teacher = MomentumNetwork(network.encoder)
        self.teacher_projector = MomentumNetwork(self.projector)
        self.alignment, self.cells, self.momentum, self.temperature = alignment, cells, momentum, temperature
        self.weights = check_weights(weights, TERMS)
        self.train()

    def train(self, mode: bool = True) -> Aligned:
        """Set the mode of the student; the teacher stays in evaluation mode, in which no sample sees another."""
        super().train(mode)
        self.teacher.eval()
        self.teacher_projector.eval()
        return self

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_batch_size(len(batch["view1"]), type(self).__name__)
        restoration, student, teacher = [], [], []
        for i in ("1", "2"):
            view, visible, box = (batch[key + i] for key in ("view", "visible", "box"))
            maps = self.encoder(self.fill(view, visible))
            restoration.append(masked_error(self.network.restore(maps), view, visible, "huber"))
            student.append([self.predictor(self.projector(v)) for v in self._vectors(maps, box, view)])
            teacher.append([self.teacher_projector(v) for v in self._vectors(self.teacher(view), box, view)])
        (cells1, image1), (cells2, image2) = student
        (target1, whole1), (target2, whole2) = teacher
        align = ALIGNMENTS[self.alignment]
        alignment = [align(*pair, self.temperature) for pair in ((cells1, target2), (cells2, target1))]
        contrast = cross_view_contrast(image1, image2, whole1, whole2, self.temperature)
        terms = (torch.stack(restoration).mean(), torch.stack(alignment).mean(), contrast)
        return {name: weight * term for name, weight, term in zip(TERMS, self.weights, terms, strict=True)}

    def _vectors(self, maps: Sequence[Tensor], box: Tensor, view: Tensor) -> tuple[Tensor, Tensor]:
        """Return features of all scales: of cells, (B, cells ** D, sum of channels), and of the view, (B, sum)."""
        shares = box / torch.tensor(view.shape[2:]).to(box.device, non_blocking=True)
        cells = torch.cat([roi_pool(x, shares, self.cells).flatten(2) for x in maps], 1).transpose(1, 2)
        return cells, torch.cat([average(x) for x in maps], 1)

    def after_step(self) -> None:
        self.teacher.follow(self.encoder, self.momentum)
        self.teacher_projector.follow(self.projector, self.momentum)
        self.teacher.copy(self.encoder, buffers_only=True)

    def after_start(self) -> None:
        self.teacher.copy(self.encoder)
        self.teacher_projector.copy(self.projector)

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the share of the masked that is ``explained``, and of cells ``found`` in the other view by features.

        1 at best; 0 for a restoration by the mean, and ``cells ** -D`` for features that say nothing of a place.
        """
        view, visible = batch["view1"], batch["visible1"]
        maps = self.encoder(self.fill(view, visible))
        own = self.predictor(self.projector(self._vectors(maps, batch["box1"], view)[0]))
        other = self._vectors(self.teacher(batch["view2"]), batch["box2"], view)[0]
        nearest = _cosines(own, self.teacher_projector(other)).argmax(2)
        found = (nearest == torch.arange(nearest.shape[1], device=nearest.device)).float().mean()
        return {"explained": explained(self.network.restore(maps), view, visible), "found": found}

    def restore(self, x: Tensor) -> dict[str, Tensor]:
        """Return what the network makes of ``x`` (B, C, *spatial) with nothing masked, by name."""
        return {"restored": self.network(x)}

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        view, visible = batch["view1"], batch["visible1"]
        masked = self.fill(view, visible)
        restored = self.network(masked).detach().to(view.dtype)
        shown = {"input": masked, "target": view, "restored": restored}
        return {**shown, "merged": torch.where(visible > 0, view, restored), "other view": batch["view2"]}


def cross_view_contrast(s1: Tensor, s2: Tensor, t1: Tensor, t2: Tensor, temperature: float) -> Tensor:
    """NT-Xent (B, D) of student and teacher over all processes: find the other view of the scan among other scans.

    A student's vector of one view has the teacher's of the other view as its positive; its negatives are the teacher's
    of all other scans. log(2B - 1) when all vectors point the same way.
    """
    with torch.autocast(s1.device.type, enabled=False):
        s1, s2, t1, t2 = (gather(F.normalize(v.float(), dim=1)) for v in (s1, s2, t1, t2))
        count = 2 * len(s1)
        logits = torch.cat([s1, s2]) @ torch.cat([t2, t1]).T / temperature
        # the teacher's vector of the same view: neither positive nor negative
        same_view = torch.eye(count, dtype=torch.bool, device=logits.device).roll(len(s1), 1)
        return F.cross_entropy(logits.masked_fill(same_view, float("-inf")), torch.arange(count, device=logits.device))


def _cosines(p: Tensor, t: Tensor) -> Tensor:
    return F.normalize(p.float(), dim=2) @ F.normalize(t.float(), dim=2).transpose(1, 2)


def _gram(p: Tensor, t: Tensor, temperature: float) -> Tensor:
    del temperature
    with torch.autocast(p.device.type, enabled=False):
        p, t = (F.normalize(v.float(), dim=2) for v in (p, t))
        return F.mse_loss(p.transpose(1, 2) @ p, t.transpose(1, 2) @ t)


def _cosine(p: Tensor, t: Tensor, temperature: float) -> Tensor:
    del temperature
    return 2 - 2 * F.cosine_similarity(p.float(), t.float(), dim=2).mean()


def _cell_contrast(p: Tensor, t: Tensor, temperature: float) -> Tensor:
    with torch.autocast(p.device.type, enabled=False):
        logits = _cosines(p, t) / temperature
        cells = torch.arange(logits.shape[1], device=logits.device).expand(logits.shape[:2])
        return F.cross_entropy(logits.flatten(0, 1), cells.flatten())


ALIGNMENTS: dict[str, Callable[[Tensor, Tensor, float], Tensor]] = {
    "gram": _gram,
    "cosine": _cosine,
    "contrast": _cell_contrast,
}


def _head(widths: Sequence[int]) -> nn.Sequential:
    """Return linear layers, each followed by a norm and SiLU but the last, which has the norm only.

    A norm of each vector by itself: of a batch, statistics would tell samples of each other, the teacher's too.
    """
    layers: list[nn.Module] = []
    for i, o in pairwise(widths):
        layers += [nn.Linear(i, o), nn.LayerNorm(o, elementwise_affine=False), nn.SiLU()]
    return nn.Sequential(*layers[:-1])


__all__ = ["Aligned"]
