"""DeepCluster-v2 and SeLa-v2: predict clusters that all samples of the last epoch were sorted into.

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, "Unsupervised Learning of Visual Features by Contrasting Cluster
Assignments", NeurIPS 2020, appendix, https://arxiv.org/abs/2006.09882; after Caron et al., "Deep Clustering for
Unsupervised Learning of Visual Features", ECCV 2018, and Asano, Rupprecht, Vedaldi, "Self-labelling via simultaneous
clustering and representation learning", ICLR 2020.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from monai_ssl.arguments import check_batch_size, check_choice, check_interval
from monai_ssl.losses import MemoryBank, check_clusters, sinkhorn, spherical_kmeans
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, crop_vectors, projector

LARGE = 2
NEVER_SEEN = -100


class DeepCluster(Method):
    r"""Predict the cluster of a sample from each of its crops; clusters are made anew in every epoch.

    :math:`L = \frac{1}{H} \sum_h \mathrm{CE}(C_h^\top z_u / \tau, a_h)`, the mean over crops u. A bank remembers the
    unit vectors z of the two large crops of each sample. When an epoch begins, spherical k-means sorts those of crop
    h mod 2 into the clusters of head h; the centroids are its prototypes :math:`C_h`, which are not trained, and
    :math:`a_h` are the assignments: the nearest centroid (DeepCluster-v2), or equal shares of the data set
    (``"sinkhorn"``, SeLa-v2). There are no negatives.

    Before the first clustering there is nothing to predict: there, and for validation scans, the assignment of a crop
    comes from its batch, and the other crops predict it (SwAV with hard assignments and prototypes that stay).

    Args:
        encoder: to pre-train.
        samples: N, the length of the data set.
        clusters: K of each head; ``None`` for N / 50, at least 10 and at most 3000.
        heads: H.
        assign: ``"nearest"`` or ``"sinkhorn"``.
        dim: of z.
        hidden: width of the hidden layer of the head.
        temperature: :math:`\tau`, positive.
        iterations: of k-means.
        epsilon: of the Sinkhorn algorithm.
        sinkhorn_iterations: over the data set, once an epoch.

    Batch:

    ==================== ======================= ===========================================================
    key                  shape                   content
    ==================== ======================= ===========================================================
    ``view1``, ``view2`` (B, C, \*large)         two large crops
    ``locals``           (B * L, C, \*small)     L small crops a sample, sample-major; may be absent
    ``index``            (B,)                    which sample of the data set
    ==================== ======================= ===========================================================

    Raises:
        ValueError: for a number outside its range, more clusters than samples, or a batch of one sample.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = DeepCluster(ConvEncoder(2, widths=(4, 8)), samples=500, hidden=8, dim=4)
    >>> method.centroids.shape
    torch.Size([3, 10, 4])
    """

    banks: Sequence[MemoryBank]
    centroids: Tensor
    assignments: Tensor

    def __init__(
        self,
        encoder: Encoder,
        samples: int,
        clusters: int | None = None,
        *,
        heads: int = 3,
        assign: Literal["nearest", "sinkhorn"] = "nearest",
        dim: int = 128,
        hidden: int = 2048,
        temperature: float = 0.1,
        iterations: int = 10,
        epsilon: float = 0.05,
        sinkhorn_iterations: int = 100,
    ) -> None:
        super().__init__()
        check_choice(("nearest", "sinkhorn"), assign=assign)
        check_interval("(0, inf)", temperature=temperature, epsilon=epsilon)
        check_interval("[1, inf)", heads=heads, iterations=iterations, sinkhorn_iterations=sinkhorn_iterations)
        clusters = min(3000, max(10, samples // 50)) if clusters is None else clusters
        check_clusters(clusters, samples)
        self.network = ProjectedEncoder(encoder, projector([encoder.width, hidden, dim], norm=True))
        self.assign, self.temperature, self.iterations = assign, temperature, iterations
        self.epsilon, self.sinkhorn_iterations = epsilon, sinkhorn_iterations
        banks = (MemoryBank(samples, dim, momentum=0.0) for _ in range(LARGE))
        self.banks = nn.ModuleList(banks)  # type: ignore[assignment]
        self.register_buffer("centroids", F.normalize(torch.randn(heads, clusters, dim), dim=2))
        self.register_buffer("assignments", torch.full((heads, samples), NEVER_SEEN))
        self.clustered = False

    @property
    def chance(self) -> dict[str, float]:
        return {"cluster": math.log(self.centroids.shape[1])}

    @torch.no_grad()
    def start_epoch(self) -> None:
        """Sort the vectors of the last epoch into clusters; samples that it has not seen get no assignment."""
        for head, centroids in enumerate(self.centroids):
            bank = self.banks[head % LARGE]
            seen = bank.seen.nonzero().flatten()
            # an epoch may leave out what does not fill a batch
            if len(seen) < len(centroids):
                continue
            vectors = bank.features[seen]
            found, labels = spherical_kmeans(vectors, len(centroids), self.iterations, self.generator)
            if self.assign == "sinkhorn":
                labels = sinkhorn(vectors @ found.T, self.epsilon, self.sinkhorn_iterations).argmax(1)
            centroids.copy_(found)
            self.assignments[head, seen] = labels
        self._look()

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_batch_size(len(batch["view1"]), "DeepCluster")
        z = crop_vectors(self.network, batch)
        terms = [self._predicted(z, head, batch["index"]) for head in range(len(self.centroids))]
        for bank, vectors in zip(self.banks, z, strict=False):
            bank.hold(batch["index"], vectors)
        return {"cluster": torch.stack(terms).mean()}

    def _predicted(self, z: Tensor, head: int, index: Tensor) -> Tensor:
        """The cross-entropy of the assignments of a head, given vectors (V, B, dim) of all crops."""
        with torch.autocast(z.device.type, enabled=False):
            scores = z @ self.centroids[head].T
        if self.training and self.clustered:
            labels = self.assignments[head, index]
        else:
            crop = head % LARGE
            own = sinkhorn(scores[crop], self.epsilon) if self.training else scores[crop]
            labels = own.argmax(1)
            scores = torch.cat([scores[:crop], scores[crop + 1 :]])
        logits, targets = (scores / self.temperature).flatten(0, 1), labels.repeat(len(scores))
        # a batch of which no sample has an assignment costs nothing
        summed = F.cross_entropy(logits, targets, ignore_index=NEVER_SEEN, reduction="sum")
        return summed / (targets != NEVER_SEEN).sum().clamp_min(1)

    def after_step(self) -> None:
        for bank in self.banks:
            bank.release()

    def _look(self) -> None:
        """Ask the device once whether there are assignments, not in every step."""
        self.clustered = bool((self.assignments != NEVER_SEEN).any())

    def _load_from_state_dict(self, *args: Any) -> None:
        super()._load_from_state_dict(*args)
        self._look()


__all__ = ["DeepCluster"]
