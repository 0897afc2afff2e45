"""SwAV: predict the cluster of one crop from another; clusters are prototypes, assigned in equal shares (Sinkhorn).

Caron, Misra, Mairal, Goyal, Bojanowski, Joulin, "Unsupervised Learning of Visual Features by Contrasting Cluster
Assignments", NeurIPS 2020. https://arxiv.org/abs/2006.09882
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from monai_ssl.arguments import check_batch_size, check_interval
from monai_ssl.losses import FeatureQueue, check_clusters, sinkhorn
from monai_ssl.losses.gather import exchanging, share
from monai_ssl.methods.base import Method
from monai_ssl.networks import Encoder, ProjectedEncoder, Prototypes, crop_vectors, projector

LARGE = 2


class SwAV(Method):
    r"""Swapped prediction: the assignment of each large crop is predicted from all other crops.

    :math:`L = \frac{1}{2} \sum_{v \le 2} \frac{1}{V - 1} \sum_{u \ne v} -\sum_k q_{vk} \log \mathrm{softmax}_k
    (C^\top z_u / \tau)` with unit vectors z, unit prototypes C, and assignments :math:`q_v`, without gradient, that
    share the batch of all processes equally among the prototypes (eq. 2 to 5). A queue of earlier vectors joins the
    assignment where the batch is small.

    Args:
        encoder: to pre-train.
        samples: length of the data set; no more prototypes than that make sense.
        prototypes: K.
        dim: of z.
        hidden: width of the hidden layer of the head.
        temperature: :math:`\tau`, positive.
        epsilon: of the Sinkhorn algorithm; the larger, the more alike the assignments.
        iterations: of it.
        queue_size: earlier vectors of each large crop; 0 for none. At least the batch of all processes.
        queue_from: fraction of training after which the queue joins; it is filled before.
        frozen: fraction of training in which the prototypes stay as they are, weight decay and momentum included.

    Batch:

    ==================== ======================= ===========================================================
    key                  shape                   content
    ==================== ======================= ===========================================================
    ``view1``, ``view2`` (B, C, \*large)         two large crops
    ``locals``           (B * L, C, \*small)     L small crops a sample, sample-major; may be absent
    ==================== ======================= ===========================================================

    Raises:
        ValueError: for a number outside its range, more prototypes than samples, or a batch of one sample.

    >>> from monai_ssl.networks import ConvEncoder
    >>> method = SwAV(ConvEncoder(2, widths=(4, 8)), samples=50, prototypes=7, hidden=8, dim=4, temperature=1e6)
    >>> loss = method.losses({"view1": torch.rand(3, 1, 16, 16), "view2": torch.rand(3, 1, 16, 16)})["assignment"]
    >>> torch.isclose(loss.exp(), torch.tensor(7.0))  # so hot that all prototypes are alike
    tensor(True)
    """

    queues: Sequence[FeatureQueue]

    def __init__(
        self,
        encoder: Encoder,
        samples: int,
        prototypes: int = 3000,
        *,
        dim: int = 128,
        hidden: int = 2048,
        temperature: float = 0.1,
        epsilon: float = 0.05,
        iterations: int = 3,
        queue_size: int = 0,
        queue_from: float = 0.0,
        frozen: float = 0.0,
    ) -> None:
        super().__init__()
        check_interval("(0, inf)", temperature=temperature, epsilon=epsilon)
        check_interval("[0, inf)", queue_size=queue_size, queue_from=queue_from, frozen=frozen)
        check_clusters(prototypes, samples)
        self.network = ProjectedEncoder(encoder, projector([encoder.width, hidden, dim], norm=True))
        self.prototypes = Prototypes(dim, prototypes)
        self.temperature, self.epsilon, self.iterations = temperature, epsilon, iterations
        self.queue_from, self.frozen = queue_from, frozen
        # the prototypes get no gradient at first
        self.sparse_gradients = frozen > 0
        queues = (FeatureQueue(dim, queue_size) for _ in range(LARGE if queue_size else 0))
        self.queues = nn.ModuleList(queues)  # type: ignore[assignment]
        for queue in self.queues:
            # places that wait for their first vector take no part
            queue.features.zero_()

    @property
    def chance(self) -> dict[str, float]:
        return {"assignment": math.log(self.prototypes.out_features)}

    def losses(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        check_batch_size(len(batch["view1"]), "SwAV")
        z = crop_vectors(self.network, batch)
        scores = (self.prototypes.frozen if self.progress < self.frozen else self.prototypes)(z)
        log_p = (scores / self.temperature).log_softmax(2)
        terms = []
        for v in range(LARGE):
            others = torch.cat([log_p[:v], log_p[v + 1 :]])
            terms.append(-(self._assigned(scores[v], v) * others).sum(2).mean())
        for queue, vectors in zip(self.queues, z, strict=False):
            queue.hold(vectors)
        return {"assignment": torch.stack(terms).mean()}

    def _assigned(self, scores: Tensor, crop: int) -> Tensor:
        """The assignments q (B, K) of a large crop with ``scores`` (B, K)."""
        together = scores
        if len(self.queues) and self.progress >= self.queue_from:
            queue = self.queues[crop].features
            queue = share(queue) if exchanging() else queue
            earlier = self.prototypes.frozen(queue)
            empty = queue.square().sum(1, keepdim=True) == 0
            together = torch.cat([scores, earlier.masked_fill(empty, -math.inf)])
        return sinkhorn(together, self.epsilon, self.iterations)[: len(scores)]

    def after_step(self) -> None:
        if self.progress >= self.frozen:
            self.prototypes.renormalize()
        for queue in self.queues:
            queue.release()


__all__ = ["SwAV"]
