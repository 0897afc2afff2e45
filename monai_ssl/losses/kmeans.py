"""Spherical k-means on the device, its work shared among processes (DeepCluster-v2, PCL)."""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from monai_ssl.arguments import check_interval
from monai_ssl.losses.gather import share, total

_CHUNK = 2**24
"""Scores that are held at once."""


@torch.no_grad()
def spherical_kmeans(
    vectors: Tensor, clusters: int, iterations: int = 10, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Cluster vectors by the cosine; a cluster that nobody joins keeps its centroid.

    Every process must hold the same ``vectors`` and a generator in the same state; each sums its share of them.

    Args:
        vectors: (N, D) of unit length.
        clusters: K, at most N.
        iterations: of assigning and averaging.
        generator: on the host; draws the K vectors that are the first centroids.

    Returns:
        Centroids (K, D) of unit length, and for each vector its nearest one (N,).

    Raises:
        ValueError: when there are fewer vectors than clusters.

    >>> x = F.normalize(torch.tensor([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0], [0.1, 0.9]]), dim=1)
    >>> _, labels = spherical_kmeans(x, 2, generator=torch.Generator().manual_seed(0))
    >>> bool(labels[0] == labels[1]), bool(labels[2] == labels[3])
    (True, True)
    """
    check_interval("[1, inf)", iterations=iterations)
    check_clusters(clusters, len(vectors))
    first = torch.randperm(len(vectors), generator=generator)[:clusters]
    centroids = F.normalize(vectors[first.to(vectors.device)].float(), dim=1)
    own = share(vectors).float()
    for _ in range(iterations):
        # a product of matrices, since adding by index depends on the order on a GPU
        parts = (F.one_hot(label, clusters).float().T @ x for x, label in _assigned(own, centroids))
        sums = total(sum(parts, torch.zeros_like(centroids)))
        lengths = sums.norm(dim=1, keepdim=True)
        centroids = torch.where(lengths > 0, sums / lengths.clamp_min(1e-12), centroids)
    return centroids, torch.cat([label for _, label in _assigned(vectors.float(), centroids)])


def check_clusters(clusters: int, samples: int) -> None:
    """Raise ``ValueError`` unless there are samples for so many clusters.

    >>> check_clusters(300, 200)
    Traceback (most recent call last):
    ValueError: 200 samples (scans x `windows_per_scan`) cannot fill 300 clusters: lower their number, or raise \
`windows_per_scan`.
    """
    check_interval("[1, inf)", clusters=clusters)
    if clusters > samples:
        raise ValueError(
            f"{samples} samples (scans x `windows_per_scan`) cannot fill {clusters} clusters: lower their number, or "
            "raise `windows_per_scan`."
        )


def _assigned(vectors: Tensor, centroids: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield a part of the vectors and their nearest centroids."""
    for part in vectors.split(max(1, _CHUNK // len(centroids))):
        yield part, (part @ centroids.T).argmax(1)


__all__ = ["check_clusters", "spherical_kmeans"]
