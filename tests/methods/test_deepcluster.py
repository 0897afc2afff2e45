"""DeepCluster-v2 and SeLa-v2: DeepCluster-1 to DeepCluster-7 of docs/properties.md."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from distributed_cases import without_batch_norm

from monai_ssl.methods import DeepCluster
from monai_ssl.networks import ConvEncoder, crop_vectors

SMALL = {
    "pretrain": {
        "crops#0#sizes": [[16, 16, 16], [20, 20, 16]],
        "crops#0#local_sizes": [[8, 8, 8]],
        "crops#0#num_locals": 2,
        "local_size": [8, 8, 8],
        "clusters": 2,
    },
    "pretrain_2d": {"local_size": [32, 32], "crops#0#num_locals": 2, "clusters": 2},
}
MOVES = {"cluster": ("network.encoder.", "network.projector.")}


def make(seed=0, norm="batch", **options) -> DeepCluster:
    torch.manual_seed(seed)
    options = {"samples": 24, "clusters": 4, "hidden": 8, "dim": 4, "heads": 3} | options
    return without_batch_norm(DeepCluster(ConvEncoder(2, widths=(2, 4, 8), norm=norm), **options))


def crops(size=8, first=0, seed=0):
    g = torch.Generator().manual_seed(seed)
    batch = {name: torch.rand(size, 1, 16, 16, generator=g) for name in ("view1", "view2")}
    return {**batch, "locals": torch.rand(size * 2, 1, 8, 8, generator=g), "index": torch.arange(first, first + size)}


def an_epoch(method, sizes=(8, 8, 8)):
    """Remember the vectors of all samples, as the passes of an epoch do, and cluster them."""
    for number, size in enumerate(sizes):
        method(crops(size, sum(sizes[:number]), seed=number))
        method.after_step()
    method.start_epoch()
    return method


def test_an_assignment_is_the_nearest_centroid_and_a_centroid_the_mean_of_its_members():
    """DeepCluster-1 and DeepCluster-2: head h clusters crop h mod 2; unit centroids."""
    method = an_epoch(make(iterations=50))
    assert not any(p is method.centroids for p in method.parameters())
    for head in range(3):
        bank, centroids = method.banks[head % 2].features, method.centroids[head]
        assert torch.equal(method.assignments[head], (bank @ centroids.T).argmax(1))
        for k in method.assignments[head].unique():
            mean = F.normalize(bank[method.assignments[head] == k].sum(0), dim=0)
            torch.testing.assert_close(centroids[k], mean)


def test_the_loss_is_the_loop_in_double_precision():
    """DeepCluster-3: over heads, crops and samples; what was never seen is ignored."""
    method = an_epoch(make(), sizes=(8, 8))
    batch = crops(12, first=9, seed=5)
    z = crop_vectors(method.network, batch).detach().double().numpy()
    losses = []
    for head in range(3):
        c, labels = method.centroids[head].double().numpy(), method.assignments[head].tolist()
        for u, b in np.ndindex(*z.shape[:2]):
            if labels[9 + b] >= 0:
                e = np.exp(c @ z[u, b] / 0.1)
                losses.append(-math.log(e[labels[9 + b]] / e.sum()))
    assert len(losses) == 3 * 4 * 7
    assert method(batch)["cluster"].item() == pytest.approx(np.mean(losses), rel=1e-5)
    unseen = method(crops(8, first=16))["cluster"]
    assert unseen.item() == 0 and unseen.requires_grad


def test_clusters_change_when_an_epoch_begins_and_at_no_other_time():
    """DeepCluster-4: the bank and the assignments are in the state, so that a run goes on in mid-epoch."""
    method = an_epoch(make())
    before = method.assignments.clone(), method.centroids.clone()
    method(crops(seed=7))
    method.after_step()
    assert torch.equal(before[0], method.assignments) and torch.equal(before[1], method.centroids)
    other = make(seed=1)
    assert not other.clustered
    other.load_state_dict(method.state_dict())
    assert other.clustered and torch.equal(other(crops())["cluster"], method(crops())["cluster"])


def test_before_the_first_clustering_the_other_crops_predict_equal_shares_of_the_batch():
    """DeepCluster-5: nothing is learned from an empty bank, and no extra pass fills it."""
    method, batch = make(), crops()
    assert (method.assignments == -100).all()
    loss = method(batch)["cluster"]
    loss.backward()
    assert loss > 0.1 and all(p.grad.abs().sum() > 0 for p in method.network.projector.parameters())
    method.start_epoch()
    assert not method.clustered, "of nothing there are no clusters"


def test_clusters_scale_with_the_data_set_and_more_than_samples_are_refused():
    """DeepCluster-6."""
    kinds = {n: make(samples=n, clusters=None).centroids.shape[1] for n in (20, 3200, 10**6)}
    assert kinds == {20: 10, 3200: 64, 10**6: 3000}
    with pytest.raises(ValueError, match=r"3 samples .* cannot fill 4 clusters"):
        make(samples=3)
    assert make().chance == {"cluster": math.log(4)}


def test_sela_shares_the_data_set_equally():
    """DeepCluster-7: sizes N / K and one more or less, where the nearest centroids do not."""
    method = make(assign="sinkhorn", epsilon=0.005, sinkhorn_iterations=3000)
    nearest = make()
    g = torch.Generator().manual_seed(3)
    for m in (method, nearest):
        for bank in m.banks:
            x = torch.randn(24, 4, generator=g.manual_seed(3)) + torch.tensor([1.0, 0, 0, 0])
            bank.features.copy_(F.normalize(x, dim=1))
            bank.seen.fill_(True)
        m.start_epoch()
    assert all(5 <= n <= 7 for labels in method.assignments for n in labels.bincount(minlength=4).tolist())
    assert any(not 5 <= n <= 7 for labels in nearest.assignments for n in labels.bincount(minlength=4).tolist())
