"""SwAV: SwAV-1 to SwAV-8 of docs/properties.md."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from distributed_cases import without_batch_norm

from monai_ssl.losses import sinkhorn
from monai_ssl.methods import SwAV
from monai_ssl.networks import ConvEncoder, ResNetEncoder

SMALL = {
    "pretrain": {
        "crops#0#sizes": [[16, 16, 16], [20, 20, 16]],
        "crops#0#local_sizes": [[8, 8, 8]],
        "crops#0#num_locals": 2,
        "local_size": [8, 8, 8],
        "prototypes": 3,
        "queue_size": 4,
    },
    "pretrain_2d": {"local_size": [32, 32], "crops#0#num_locals": 2, "prototypes": 3, "queue_size": 4},
}
MOVES = {"assignment": ("network.encoder.", "network.projector.")}


def make(seed=0, norm="batch", **options) -> SwAV:
    torch.manual_seed(seed)
    options = {"samples": 40, "prototypes": 6, "hidden": 8, "dim": 4} | options
    return SwAV(ConvEncoder(2, widths=(2, 4, 8), norm=norm), **options)


def crops(size=8, small=2, seed=0):
    g = torch.Generator().manual_seed(seed)
    large = {name: torch.rand(size, 1, 16, 16, generator=g) for name in ("view1", "view2")}
    return large | ({"locals": torch.rand(size * small, 1, 8, 8, generator=g)} if small else {})


def loop(z, prototypes, earlier=((), ()), epsilon=0.05, temperature=0.1):
    """The mean over both large crops and all other crops in double precision; z (V, B, D), earlier vectors a crop."""
    scores = np.einsum("vbd,kd->vbk", z, prototypes)
    losses = []
    for v in range(2):
        together = np.concatenate([scores[v], np.reshape(earlier[v], (-1, z.shape[2])) @ prototypes.T])
        q = np.exp(together / epsilon)
        for _ in range(3):
            q /= q.sum(0, keepdims=True) * q.shape[1]
            q /= q.sum(1, keepdims=True) * q.shape[0]
        q = q[: z.shape[1]] * len(q)
        for u in range(len(z)):
            for b in range(z.shape[1]):
                if u != v:
                    p = np.exp(scores[u, b] / temperature)
                    losses.append(-(q[b] * np.log(p / p.sum())).sum())
    return np.mean(losses)


def vectors(method, batch):
    """Unit vectors (V, B, D) by a path of its own: crop by crop, without batch norm."""
    z = [method.network(batch["view1"]), method.network(batch["view2"])]
    small = method.network(batch["locals"])
    z += [small[i :: len(small) // len(z[0])] for i in range(len(small) // len(z[0]))]
    return F.normalize(torch.stack(z), dim=2).detach().double().numpy()


@pytest.mark.parametrize("queue", [False, True])
def test_the_loss_is_that_of_the_paper(queue):
    """SwAV-1: eq. 2 in double precision, over all crops, with the queue in the assignment only."""
    method, batch = without_batch_norm(make(queue_size=16 if queue else 0)), crops()
    earlier = ((), ())
    if queue:
        with torch.no_grad():
            for i, q in enumerate(method.queues):
                q.enqueue(F.normalize(torch.randn(10, 4, generator=torch.Generator().manual_seed(i)), dim=1))
        earlier = [q.features[:10].double().numpy() for q in method.queues]
    prototypes = method.prototypes.weight.detach().double().numpy()
    wanted = loop(vectors(method, batch), prototypes, earlier)
    assert method(batch)["assignment"].item() == pytest.approx(wanted, rel=1e-5)


def test_gradients_are_those_of_finite_differences_and_none_passes_the_assignments():
    """SwAV-2: of the prototypes, with the assignments held; and the queue gets none."""
    method, batch = without_batch_norm(make()), crops()
    method(batch)["assignment"].backward()
    z, c = vectors(method, batch), method.prototypes.weight.detach().double().numpy()
    q = [sinkhorn(torch.tensor(z[v] @ c.T)).double().numpy() for v in range(2)]

    def cost(c):
        logs = [np.log(e / e.sum(1, keepdims=True)) for e in (np.exp(x @ c.T / 0.1) for x in z)]
        return np.mean([-(q[v] * logs[u]).sum(1).mean() for v in range(2) for u in range(len(z)) if u != v])

    for place in np.ndindex(*c.shape):
        step = np.zeros_like(c)
        step[place] = 1e-6
        slope = (cost(c + step) - cost(c - step)) / 2e-6
        assert method.prototypes.weight.grad[place].item() == pytest.approx(slope, abs=1e-5)


def test_a_collapsed_network_costs_log_k_without_gradient():
    """SwAV-3: all vectors equal, so that all assignments are uniform."""
    method, batch = make(), crops(small=0)
    torch.nn.init.zeros_(method.network.projector[-1].weight)
    torch.nn.init.ones_(method.network.projector[-1].bias)
    with torch.no_grad():
        method.prototypes.weight.copy_(F.pad(F.normalize(torch.randn(6, 3), dim=1), (0, 1)))
        method.network.projector[-1].bias.copy_(torch.eye(4)[3])  # orthogonal to all
    loss = method(batch)["assignment"]
    loss.backward()
    assert loss.item() == pytest.approx(math.log(6), rel=1e-6) == method.chance["assignment"]
    assert method.network.projector[-1].weight.grad.abs().max() < 1e-6


def test_frozen_prototypes_do_not_move_by_decay_or_momentum_either():
    """SwAV-4: the published code sets the gradient to 0 only, and the optimizer moves them all the same."""
    method, batch = make(frozen=0.5), crops()
    optimizer = torch.optim.SGD(method.parameter_groups(), lr=0.1, momentum=0.9, weight_decay=0.1)
    start = method.prototypes.weight.detach().clone()
    for progress, still in ((0.0, True), (0.49, True), (0.5, False)):
        method.progress = progress
        method(batch)["assignment"].backward()
        optimizer.step()
        optimizer.zero_grad()
        method.after_step()
        assert torch.equal(method.prototypes.weight, start) == still
    torch.testing.assert_close(method.prototypes.weight.norm(dim=1), torch.ones(6))  # SwAV-5


def test_the_queue_joins_late_and_keeps_what_came_before():
    """SwAV-6: empty places take no part, and the vectors of a step enter after it."""
    method, batch = without_batch_norm(make(queue_size=16, queue_from=0.5)), crops()
    plain = without_batch_norm(make())
    first = method(batch)["assignment"]
    assert torch.equal(first, plain(batch)["assignment"])
    assert not any(queue.features.any() for queue in method.queues)
    method.progress = 1.0
    torch.testing.assert_close(method(batch)["assignment"], first)
    method.after_step()
    held = [queue.features for queue in method.queues]
    torch.testing.assert_close(held[0][:8].double(), torch.from_numpy(vectors(method, batch)[0]))
    torch.testing.assert_close(held[1][8:].double(), torch.from_numpy(vectors(method, batch)[1]))
    assert method(crops(seed=1))["assignment"] != plain(crops(seed=1))["assignment"]


def test_size_of_head_and_prototypes_on_a_resnet_50():
    """SwAV-7."""
    with torch.device("meta"):
        method = SwAV(ResNetEncoder(depth=50), samples=3000)
    assert sum(p.numel() for p in method.network.projector.parameters()) == 4_462_720
    assert method.prototypes.weight.numel() == 384_000


def test_more_prototypes_than_samples_are_refused():
    with pytest.raises(ValueError, match=r"5 samples .* cannot fill 6 clusters"):
        make(samples=5)


def test_crops_of_one_pattern_come_to_be_assigned_alike():
    torch.manual_seed(0)
    patterns = F.interpolate(torch.rand(32, 1, 6, 6), size=20, mode="bilinear")
    method = SwAV(ConvEncoder(2, widths=(8, 16)), samples=32, prototypes=8, hidden=32)
    optimizer = torch.optim.AdamW(method.parameters(), lr=0.005)
    costs = []
    for _ in range(60):
        corners = torch.randint(0, 5, (2, 2)).tolist()
        crops = {f"view{n}": patterns[..., i : i + 16, j : j + 16] for n, (i, j) in enumerate(corners, 1)}
        (loss,) = method.losses(crops).values()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        method.after_step()
        costs.append(loss.item())
    assert costs[0] > 0.9 * method.chance["assignment"]
    assert sum(costs[-10:]) / 10 < 0.6 * method.chance["assignment"]
