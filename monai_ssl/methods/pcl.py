"""PCL v1 and v2: MoCo that also contrasts an image with the prototypes of clusters, at several granularities.

Li, Zhou, Xiong, Hoi, "Prototypical Contrastive Learning of Unsupervised Representations", ICLR 2021.
https://arxiv.org/abs/2005.04966
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_interval
from monai_ssl.losses import MemoryBank, check_clusters, info_nce, spherical_kmeans
from monai_ssl.methods.base import Method
from monai_ssl.methods.moco import MoCo
from monai_ssl.networks import Encoder

NEVER_SEEN = -100
PORTIONS = 40, 20, 10
"""Samples of a cluster, for the three granularities."""


class PCL(Method):
    r"""Find the own key among a queue of keys, and the own cluster among other clusters.

    :math:`L = L_{InfoNCE}(q, k) + \frac{1}{M} \sum_m -\log \frac{\exp(q c_s^m / \phi_s^m)}{\sum_j \exp(q c_j^m /
    \phi_j^m)}` (eq. 11): MoCo, and the cross-entropy over the prototypes of the batch and r random others. When an
    epoch begins, the keys of the last one are clustered M times. A cluster whose members lie close has a small
    concentration :math:`\phi` (eq. 12): the mean distance to its centroid, divided by :math:`\log(n + 10)`, clipped to
    the 10th and 90th percentile and scaled to the mean :math:`\tau`. In the first epochs there is MoCo alone.

    Args:
        moco: the encoder with its head, keys and queue: version ``"v1"`` for PCL v1, ``"v2"`` for v2.
        samples: N, the length of the data set.
        clusters: K of each clustering; ``None`` for N / 40, N / 20 and N / 10, at least 2.
        negatives: r; no more than K - 1 are taken.
        warm_up: fraction of training with MoCo alone.
        iterations: of k-means.

    Batch:

    ==================== =================== ================================
    key                  shape               content
    ==================== =================== ================================
    ``view1``, ``view2`` (B, C, \*spatial)   those of MoCo
    ``index``            (B,)                which sample of the data set
    ==================== =================== ================================

    Raises:
        ValueError: for a number outside its range, more clusters than samples, or what MoCo says.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = PCL(MoCo(ConvEncoder(2, widths=(4, 8)), dim=4, queue_size=16), samples=400)
    >>> [len(clustering.centroids) for clustering in method.clusterings]
    [10, 20, 40]
    """

    clusterings: Sequence[_Clustering]

    def __init__(
        self,
        moco: MoCo,
        samples: int,
        clusters: Sequence[int] | None = None,
        *,
        negatives: int = 4096,
        warm_up: float = 0.1,
        iterations: int = 20,
    ) -> None:
        super().__init__()
        check_interval("[1, inf)", negatives=negatives, iterations=iterations)
        check_interval("[0, 1]", warm_up=warm_up)
        clusters = [max(2, samples // portion) for portion in PORTIONS] if clusters is None else clusters
        self.moco, self.negatives, self.warm_up, self.iterations = moco, negatives, warm_up, iterations
        dim = moco.queue.features.shape[1]
        self.bank = MemoryBank(samples, dim, momentum=0.0)
        clusterings = (_Clustering(samples, count, dim) for count in clusters)
        self.clusterings = nn.ModuleList(clusterings)  # type: ignore[assignment]

    @property
    def encoder(self) -> Encoder:
        return self.moco.encoder

    @property
    def chance(self) -> dict[str, float]:
        compared = [1 + min(self.negatives, len(c.centroids) - 1) for c in self.clusterings]
        return {**self.moco.chance, "prototypes": sum(map(math.log, compared)) / len(compared)}

    @torch.no_grad()
    def start_epoch(self) -> None:
        """Cluster the keys of the last epoch, once the warm-up is over."""
        seen = self.bank.seen.nonzero().flatten()
        if self.progress < self.warm_up or len(seen) < max(len(c.centroids) for c in self.clusterings):
            return
        vectors = self.bank.features[seen]
        for clustering in self.clusterings:
            clustering.update(seen, vectors, self.moco.temperature, self.iterations, self.generator)

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        moco, index = self.moco, batch["index"]
        query, key = moco.embed(moco.encoder(batch["view1"]), batch)
        terms = {"contrast": info_nce(query, key, moco.queue.features, moco.temperature)}
        ready = [clustering for clustering in self.clusterings if clustering.ready]
        if ready:
            with torch.autocast(query.device.type, enabled=False):
                q, k = F.normalize(query.float(), dim=1), F.normalize(key.float(), dim=1)
                # validation scans are in no cluster yet: their keys say in which they would be
                labels = [c.assignments[index] if self.training else (k @ c.centroids.T).argmax(1) for c in ready]
                found = [c.contrast(q, label, self.negatives) for c, label in zip(ready, labels, strict=True)]
            terms["prototypes"] = torch.stack(found).mean()
        moco.queue.hold(key)
        self.bank.hold(index, key)
        return terms

    def after_step(self) -> None:
        self.moco.after_step()
        self.bank.release()


class _Clustering(nn.Module):
    """Clusters of all samples: centroids (K, D), concentrations (K,), and the cluster of each sample (N,)."""

    centroids: Tensor
    concentrations: Tensor
    assignments: Tensor

    def __init__(self, samples: int, clusters: int, dim: int) -> None:
        super().__init__()
        check_clusters(clusters, samples)
        self.register_buffer("centroids", torch.zeros(clusters, dim))
        self.register_buffer("concentrations", torch.ones(clusters))
        self.register_buffer("assignments", torch.full((samples,), NEVER_SEEN))
        self.ready = False

    def update(
        self, seen: Tensor, vectors: Tensor, temperature: float, iterations: int, generator: torch.Generator
    ) -> None:
        centroids, labels = spherical_kmeans(vectors, len(self.centroids), iterations, generator)
        self.centroids.copy_(centroids)
        self.assignments[seen] = labels
        self.concentrations.copy_(concentration(vectors, centroids, labels, temperature))
        self.ready = True

    def contrast(self, q: Tensor, labels: Tensor, negatives: int) -> Tensor:
        """Return the cross-entropy of unit queries (B, D) over the clusters of the batch and random others."""
        logits = q @ self.centroids.T / self.concentrations
        known = labels != NEVER_SEEN
        if negatives < len(self.centroids) - 1:
            logits = logits.masked_fill(~self._chosen(labels.clamp_min(0), negatives), -math.inf)
        summed = F.cross_entropy(logits, labels, ignore_index=NEVER_SEEN, reduction="sum")
        return summed / known.sum().clamp_min(1)

    def _chosen(self, labels: Tensor, negatives: int) -> Tensor:
        """Which clusters (K,) take part: those of the batch, each once, and others that are drawn."""
        # of those of the batch none is drawn; where few others are left, all of them are
        draw = torch.rand(len(self.centroids), device=labels.device).index_fill(0, labels, -1.0)
        chosen = torch.zeros_like(draw, dtype=torch.bool)
        chosen[draw.topk(negatives).indices] = True
        return chosen.index_fill(0, labels, True)

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        # asked of the device once, not in every step
        self.ready = bool((self.assignments != NEVER_SEEN).any())


def concentration(vectors: Tensor, centroids: Tensor, labels: Tensor, temperature: float) -> Tensor:
    """Return the concentrations (K,) of clusters, whose mean is ``temperature``: eq. 12 and the authors' code.

    A cluster of fewer than two vectors says nothing of how close they lie and gets the greatest of the others.
    """
    member = F.one_hot(labels, len(centroids)).to(vectors.dtype)
    sizes = member.sum(0)
    # the distance, whose square the authors' search gives and whose root they take again
    distances = (vectors - centroids[labels]).norm(dim=1)
    phi = (member.T @ distances) / sizes.clamp_min(1) / (sizes + 10).log()
    several = sizes > 1
    phi = torch.where(several, phi, phi.masked_fill(~several, 0).max())
    low, high = torch.quantile(phi, torch.tensor([0.1, 0.9], dtype=phi.dtype, device=phi.device))
    # vectors of scans that are alike may lie on each other, and nothing is divided by 0
    phi = phi.clamp(low.maximum(0.01 * phi.mean()), high)
    mean = phi.mean()
    # members that all lie on their centroids are equally close
    return torch.where(mean > 0, temperature * phi / mean.clamp_min(1e-12), temperature)


__all__ = ["PCL", "concentration"]
