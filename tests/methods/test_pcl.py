"""PCL: PCL-1 to PCL-5 of docs/properties.md."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from monai_ssl.methods import PCL, MoCo
from monai_ssl.methods.pcl import concentration
from monai_ssl.networks import ConvEncoder

SMALL = {
    "pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]], "queue_size": 8, "clusters": [2, 3]},
    "pretrain_2d": {"queue_size": 8, "clusters": [2, 3]},
}
MOVES = {"contrast": ("moco.query_network.encoder.", "moco.query_network.projector.")}


def make(**options) -> PCL:
    torch.manual_seed(0)
    moco = MoCo(ConvEncoder(2, widths=(2, 4, 8)), dim=4, queue_size=32)
    return PCL(moco, **({"samples": 24, "clusters": [3, 5], "warm_up": 0.1} | options))


def views(size=6, first=0, seed=0):
    g = torch.Generator().manual_seed(seed)
    batch = {name: torch.rand(size, 1, 16, 16, generator=g) for name in ("view1", "view2")}
    return {**batch, "index": torch.arange(first, first + size)}


def clustered(**options) -> PCL:
    """After an epoch: an entry of the bank for each sample, in clusters."""
    method = make(**options)
    g = torch.Generator().manual_seed(5)
    method.bank.features.copy_(F.normalize(torch.randn(24, 4, generator=g), dim=1))
    method.bank.seen.fill_(True)
    method.progress = 0.5
    method.start_epoch()
    return method


def test_concentrations_have_the_temperature_as_mean_and_are_small_for_close_and_large_clusters():
    """PCL-1: eq. 12."""
    g = torch.Generator().manual_seed(0)
    labels = torch.arange(4).repeat_interleave(torch.tensor([30, 30, 5, 1]))
    centroids = F.normalize(torch.randn(4, 8, generator=g), dim=1)
    spread = torch.tensor([0.1, 0.4, 0.1, 0.0])[labels, None]
    x = centroids[labels] + spread * F.normalize(torch.randn(66, 8, generator=g), dim=1)
    phi = concentration(x, centroids, labels, 0.2)
    assert phi.mean().item() == pytest.approx(0.2, rel=1e-6)
    assert phi[0] < phi[2] < phi[1] == phi[3]  # the single one says nothing and gets the greatest
    alike = concentration(
        x[:30].repeat(2, 1), centroids[:1].repeat(2, 1), labels.new_tensor([0, 1]).repeat_interleave(30), 0.2
    )
    torch.testing.assert_close(alike, torch.full((2,), 0.2))
    torch.testing.assert_close(concentration(centroids, centroids, torch.arange(4), 0.2), torch.full((4,), 0.2))


def test_concentrations_are_the_loop_over_clusters():
    """PCL-1: mean distance by log(n + 10), clipped to the 10th and 90th percentile, scaled to the temperature."""
    rng = np.random.default_rng(0)
    sizes, spreads = [3, 9, 27, 60, 12], [0.02, 0.1, 0.15, 0.2, 0.9]
    labels = np.repeat(np.arange(5), sizes)
    centroids = rng.normal(size=(5, 6))
    x = centroids[labels] + np.array(spreads)[labels, None] * rng.normal(size=(len(labels), 6))
    raw = [
        np.mean([math.dist(x[i], centroids[c]) for i in np.flatnonzero(labels == c)]) / math.log(n + 10)
        for c, n in enumerate(sizes)
    ]
    clipped = np.clip(raw, *np.percentile(raw, [10, 90]))
    assert clipped[0] > raw[0] and clipped[4] < raw[4]
    found = concentration(*map(torch.from_numpy, (x, centroids, labels)), 0.3)
    assert found.numpy() == pytest.approx(0.3 * clipped / clipped.mean(), rel=1e-9)


def test_without_clusters_it_is_moco():
    """PCL-2: in the warm-up, and when too few samples have been seen."""
    method, plain = make(), make().moco
    for progress in (0.0, 0.5):
        method.progress = progress
        method.start_epoch()
        terms = method(views())
        assert terms.keys() == {"contrast"} and torch.equal(terms["contrast"], plain(views())["contrast"])
    clustered(warm_up=1.0)(views())
    assert not any(c.ready for c in clustered(warm_up=1.0).clusterings)


@pytest.mark.parametrize("negatives", [4096, 1])
def test_the_loss_is_the_loop_in_double_precision(negatives):
    """PCL-3: the clusters of the batch, each once, and others; the target is the own cluster."""
    method, batch = clustered(negatives=negatives), views()
    query, _ = clustered().moco.embed(clustered().moco.encoder(batch["view1"]), batch)
    q = F.normalize(query, dim=1).detach().double().numpy()
    torch.manual_seed(3)
    taken = [c._chosen(c.assignments[:6], negatives) if negatives == 1 else None for c in method.clusterings]
    torch.manual_seed(3)
    found = method(batch)["prototypes"].item()
    means = []
    for clustering, chosen in zip(method.clusterings, taken, strict=True):
        c, phi = clustering.centroids.double().numpy(), clustering.concentrations.double().numpy()
        labels = clustering.assignments[:6].tolist()
        columns = [j for j in range(len(c)) if chosen is None or chosen[j]]
        losses = []
        for i, own in enumerate(labels):
            exps = {j: math.exp(q[i] @ c[j] / phi[j]) for j in columns}
            losses.append(-math.log(exps[own] / sum(exps.values())))
        means.append(np.mean(losses))
    assert found == pytest.approx(np.mean(means), rel=1e-5)


def test_the_clusters_of_a_batch_take_part_and_others_are_drawn():
    """PCL-4: none of the batch is drawn, and no more than there are; the published code fails at K < r + B."""
    clustering = clustered(clusters=[8]).clusterings[0]
    seen = set()
    for _ in range(40):
        chosen = clustering._chosen(torch.tensor([2, 2, 5]), 3)
        assert chosen.sum() == 5 and chosen[2] and chosen[5]
        seen |= set(chosen.nonzero().flatten().tolist())
    assert seen == set(range(8))
    assert clustering._chosen(torch.arange(7), 3).all()


def test_clusters_are_in_the_state_and_validation_asks_the_nearest():
    """PCL-5."""
    method, other = clustered(), make()
    other.load_state_dict(method.state_dict())
    assert all(c.ready for c in other.clusterings)
    assert torch.equal(other(views())["prototypes"], method(views())["prototypes"])
    batch = {**views(), "index": torch.arange(100, 106)}
    assert method.eval()(batch)["prototypes"].isfinite()
    assert method.chance["prototypes"] == pytest.approx((math.log(3) + math.log(5)) / 2)
    with pytest.raises(ValueError, match=r"24 samples .* cannot fill 30 clusters"):
        make(clusters=[30])
