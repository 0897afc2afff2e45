"""VICRegL: VICReg of images, and of cells of the feature map that lie at one place or have the nearest features.

Bardes, Ponce, LeCun, "VICRegL: Self-Supervised Learning of Local Visual Features", NeurIPS 2022.
https://arxiv.org/abs/2210.01571
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from monai.networks.layers import Pool
from torch import Tensor

from monai_ssl.arguments import check_batch_size, check_interval, check_weights
from monai_ssl.losses import vicreg
from monai_ssl.losses.vicreg import COLLAPSED, VICRegTerms
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, projector


class VICRegL(Method):
    r"""VICReg of whole views and of matched cells of their coarsest feature maps.

    With the weighted VICReg loss :math:`\ell`, eq. 5 to 7: :math:`L = \alpha\, \ell(Z, Z') + (1 - \alpha) (L_d + L_s)`.
    Each cell of a map is paired with the cell of the other map that is nearest in the scan for :math:`L_d`, or whose
    features are nearest for :math:`L_s`; the closest pairs of each image are kept, and :math:`\ell` of their features
    is averaged over both directions. Each pair of an image, in the order of its distance, has statistics of its own
    over the batch of all processes.

    Args:
        encoder: to pre-train.
        widths: of the expander's layers, behind the average of the map.
        map_widths: of the layers through which each cell goes.
        alpha: share of the global term, in [0, 1].
        matches: pairs by place that are kept; cells, where there are less.
        feature_matches: pairs by features that are kept; ``None``, as the code: of all cells, in their own order.
        weights: of invariance, variance and covariance.

    Batch:

    ====================== ================= ==================================================
    key                    shape             content
    ====================== ================= ==================================================
    ``view1``, ``view2``   (B, C, \*spatial) two augmented crops of one scan
    ``place1``, ``place2`` (B, D, \*spatial) where each voxel of a crop comes from in the scan
    ====================== ================= ==================================================

    Raises:
        ValueError: for a batch of one sample, or numbers out of range.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = VICRegL(ConvEncoder(2, widths=(4, 8)), widths=(16, 16), map_widths=(8, 8), matches=2)
    >>> x, place = torch.rand(4, 1, 16, 16), torch.rand(4, 2, 16, 16)
    >>> sorted(method.losses({"view1": x, "view2": x, "place1": place, "place2": place}))
    ['covariance', 'features', 'invariance', 'location', 'variance']
    """

    def __init__(
        self,
        encoder: Encoder,
        *,
        widths: Sequence[int] = (8192, 8192, 8192),
        map_widths: Sequence[int] = (512, 512, 512),
        alpha: float = 0.75,
        matches: int = 20,
        feature_matches: int | None = None,
        weights: Sequence[float] = (25.0, 25.0, 1.0),
    ) -> None:
        super().__init__()
        check_interval("[0, 1]", alpha=alpha)
        check_interval("[1, inf)", matches=matches, feature_matches=feature_matches)
        channels = encoder.channels[-1]
        self.network = ProjectedEncoder(encoder, projector([channels, *widths], norm=True, bias=False))
        self.map_projector = projector([channels, *map_widths], norm=True, bias=False)
        self.alpha, self.matches, self.feature_matches = alpha, matches, feature_matches
        self.weights = check_weights(weights, VICRegTerms._fields)

    @property
    def chance(self) -> dict[str, float]:
        """The terms of a network that gives all images, and all cells, the same vector."""
        dead = self.weights[1] * COLLAPSED
        local = (1 - self.alpha) * dead
        whole = {"invariance": 0.0, "variance": self.alpha * dead, "covariance": 0.0}
        return {**whole, "location": local, "features": local}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_batch_size(len(batch["view1"]), type(self).__name__)
        vectors, cells, where = [], [], []
        for i in ("1", "2"):
            features = self.encoder(batch["view" + i])
            vectors.append(self.network.project(features))
            cells.append(self._cells(features[-1]))
            where.append(_places(batch["place" + i], features[-1].shape[2:]))
        whole = vicreg(*vectors)._asdict()
        terms = {n: self.alpha * w * term for w, (n, term) in zip(self.weights, whole.items(), strict=True)}
        location = [self._local(cells[a], cells[b], where[a], where[b], self.matches) for a, b in ((0, 1), (1, 0))]
        found = [self._local(cells[a], cells[b], cells[a], cells[b], self.feature_matches) for a, b in ((0, 1), (1, 0))]
        for name, both in (("location", location), ("features", found)):
            terms[name] = (1 - self.alpha) * torch.stack(both).mean()
        return terms

    def _cells(self, x: Tensor) -> Tensor:
        """Return the projected vectors (B, cells, D) of a map (B, C, *spatial)."""
        cells = x.flatten(2).transpose(1, 2)
        projected: Tensor = self.map_projector(cells.flatten(0, 1))
        return projected.unflatten(0, cells.shape[:2])

    def _local(self, own: Tensor, other: Tensor, here: Tensor, there: Tensor, count: int | None) -> Tensor:
        first, second = matched(here, there, count)
        terms = vicreg(_pick(own, first), _pick(other, second))
        return torch.stack([weight * term for weight, term in zip(self.weights, terms, strict=True)]).sum()

    def panels(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        return {name: batch[name] for name in ("view1", "view2")}

    def metrics(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the share ``found``: cells that both views show, whose features are nearest to the right cell's.

        Those with a partner less than half a cell away count; of P cells a guess finds 1 / P.
        """
        maps = [self.encoder(batch[f"view{i}"])[-1] for i in (1, 2)]
        (own, other), shape = [self._cells(x) for x in maps], maps[0].shape[2:]
        here, there = (_places(batch[f"place{i}"], shape) for i in (1, 2))
        distance, right = _nearest(here, there)
        steps = [(here.amax(1) - here.amin(1))[:, axis] / max(side - 1, 1) for axis, side in enumerate(shape)]
        shown = distance < torch.stack(steps, 1).amin(1, keepdim=True) / 2
        return {"found": ((_nearest(own, other)[1] == right) & shown).sum() / shown.sum().clamp_min(1)}


def matched(here: Tensor, there: Tensor, count: int | None) -> tuple[Tensor, Tensor]:
    """Pair points (B, P, D) with the nearest of others (B, Q, D); return the numbers (B, count) of both.

    Args:
        here: points to be paired.
        there: points to choose from, each as often as it is the nearest.
        count: of pairs to keep, the closest first; ``None`` for all, in the order of ``here``.

    >>> here, there = torch.tensor([[[0.0], [5.0], [9.0]]]), torch.tensor([[[9.5], [1.0]]])
    >>> matched(here, there, 2)
    (tensor([[2, 0]]), tensor([[0, 1]]))
    """
    distance, nearest = _nearest(here, there)
    if count is None:
        return torch.arange(here.shape[1], device=here.device).expand(len(here), -1), nearest
    first = distance.topk(min(count, here.shape[1]), largest=False).indices
    return first, nearest.gather(1, first)


@torch.no_grad()
def _nearest(here: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
    """Return the distance (B, P) to the nearest of other points, and its number."""
    with torch.autocast(here.device.type, enabled=False):
        # by matrix products, distances of near points would be rounding
        return torch.cdist(here.float(), there.float(), compute_mode="donot_use_mm_for_euclid_dist").min(2)


def _pick(cells: Tensor, index: Tensor) -> Tensor:
    return cells.gather(1, index[:, :, None].expand(-1, -1, cells.shape[2]))


def _places(place: Tensor, shape: Sequence[int]) -> Tensor:
    """Return the place (B, cells, D) of each cell of a map of ``shape``: the average of the places of its voxels."""
    cells: Tensor = Pool["adaptiveavg", len(shape)](tuple(shape))(place)
    return cells.flatten(2).transpose(1, 2)


__all__ = ["VICRegL"]
