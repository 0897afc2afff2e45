"""Spherical k-means: KMeans-1 to KMeans-3 of docs/properties.md."""

from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.losses import kmeans as module
from monai_ssl.losses import spherical_kmeans


def points(n=60, d=4, seed=0):
    return F.normalize(torch.randn(n, d, generator=torch.Generator().manual_seed(seed)), dim=1)


def clustered(x, k=5, iterations=10, seed=0):
    return spherical_kmeans(x, k, iterations, torch.Generator().manual_seed(seed))


def test_it_is_the_loop_in_double_precision():
    x = points()
    chosen = torch.randperm(60, generator=torch.Generator().manual_seed(0))[:5]
    centroids = x[chosen].double()
    for _ in range(10):
        labels = torch.tensor([int((centroids @ v.double()).argmax()) for v in x])
        for k in range(5):
            if (labels == k).any():
                centroids[k] = F.normalize(x[labels == k].double().sum(0), dim=0)
    got, found = clustered(x)
    torch.testing.assert_close(got.double(), centroids, rtol=1e-5, atol=1e-6)
    assert torch.equal(found, (x.double() @ centroids.T).argmax(1))


def test_the_objective_never_falls_and_chunks_do_not_matter(monkeypatch):
    x = points()
    values = [(x @ clustered(x, iterations=i)[0].T).amax(1).sum().item() for i in range(1, 8)]
    assert all(b >= a - 1e-5 for a, b in pairwise(values))
    whole = clustered(x)
    monkeypatch.setattr(module, "_CHUNK", 35)
    parts = clustered(x)
    torch.testing.assert_close(parts[0], whole[0])
    assert torch.equal(parts[1], whole[1])


def test_another_order_of_the_data_changes_the_names_of_clusters_only(monkeypatch):
    """From the same first centroids, whatever their places are called."""
    x, order = points(), torch.randperm(60)
    _, labels = clustered(x)
    first = torch.randperm(60, generator=torch.Generator().manual_seed(0))[:5]
    monkeypatch.setattr(torch, "randperm", lambda n, generator: order.argsort()[first.flip(0)])
    _, permuted = clustered(x[order])
    assert torch.equal(4 - permuted, labels[order])


def test_a_cluster_that_nobody_joins_keeps_its_centroid():
    x = points(2).repeat(10, 1)
    for seed in range(5):
        centroids, labels = clustered(x, k=4, seed=seed)
        assert centroids.isfinite().all() and labels.unique().numel() <= 2
        torch.testing.assert_close(centroids.norm(dim=1), torch.ones(4))


def test_more_clusters_than_samples_are_refused():
    with pytest.raises(ValueError, match=r"3 samples .* cannot fill 4 clusters"):
        clustered(points(3), k=4)
