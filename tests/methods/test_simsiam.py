"""SimSiam: SimSiam-1, SimSiam-4 to SimSiam-8 of docs/properties.md."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from monai_ssl.handlers import LearningRate
from monai_ssl.methods import SimSiam
from monai_ssl.networks import ConvEncoder
from monai_ssl.schedules import cosine

SMALL = {
    "pretrain": {"crops#0#sizes": [[16, 16, 16], [20, 20, 16]], "projection": 16, "prediction": 4},
    "pretrain_2d": {"projection": 16, "prediction": 4},
}
MOVES = {"similarity": ("network.", "predictor.")}


def make(dim=16, hidden=4):
    torch.manual_seed(0)
    return SimSiam(ConvEncoder(widths=(2, 4, 8, 16)), dim=dim, hidden=hidden)


def batch(size=4, seed=0):
    g = torch.Generator().manual_seed(seed)
    return {name: torch.rand(size, 1, 16, 16, 8, generator=g) for name in ("view1", "view2")}


def test_gradient_passes_through_predictions_only():
    method, data = make(), batch()
    method.predictor = nn.Sequential(method.predictor, Detach())
    assert not method.losses(data)["similarity"].requires_grad


class Detach(nn.Module):
    def forward(self, x):
        return x.detach()


def test_predictor_keeps_its_learning_rate_while_the_rest_follows_the_schedule():
    method = make()
    optimizer = torch.optim.SGD(method.parameter_groups(), lr=0.1)
    ids = [{id(p) for p in group["params"]} for group in optimizer.param_groups]
    assert ids[1] == {id(p) for p in method.predictor.parameters()} and not ids[0] & ids[1]
    assert ids[0] | ids[1] == {id(p) for p in method.parameters()}
    handler = LearningRate(cosine(0.1, 0.0))
    for iteration, rate in ((1, 0.1), (6, 0.05)):
        handler._set(Engine(optimizer, iteration))
        assert [g["lr"] for g in optimizer.param_groups] == pytest.approx([rate, 0.1])


class Engine:
    def __init__(self, optimizer, iteration):
        self.optimizers, self.state = {"losses": optimizer}, self
        self.iteration, self.max_epochs, self.epoch_length = iteration, 2, 5


def test_heads_are_those_of_the_paper():
    method = SimSiam(ConvEncoder(widths=(2, 4, 8, 16)))
    layers = list(method.network.projector)
    assert [type(x).__name__ for x in layers] == ["Linear", "BatchNorm1d", "ReLU"] * 2 + ["Linear", "BatchNorm1d"]
    assert not layers[-1].affine and layers[1].affine and all(x.out_features == 2048 for x in layers[::3])
    assert [type(x).__name__ for x in method.predictor] == ["Linear", "BatchNorm1d", "ReLU", "Linear"]
    assert method.predictor[0].out_features == 512 and method.predictor[3].out_features == 2048


def test_has_no_memory_and_no_momentum():
    method = make()
    kinds = {name.rsplit(".", 1)[-1] for name, _ in method.named_buffers()}
    assert kinds == {"running_mean", "running_var", "num_batches_tracked"}
    assert all(p.requires_grad for p in method.parameters())
    with torch.no_grad():
        before = {k: v.clone() for k, v in method.state_dict().items()}
        method.after_step()
    assert all(torch.equal(before[k], v) for k, v in method.state_dict().items())


def test_the_stop_gradient_cannot_be_turned_off():
    with pytest.raises(TypeError, match="stop_gradient"):
        SimSiam(ConvEncoder(widths=(2, 4, 8, 16)), stop_gradient=False)


def test_learns_without_collapse():
    """The similarity falls while the projections of different images stay apart, about 1 / sqrt(d) (Sec. 4.1)."""
    method = make()
    optimizer = torch.optim.SGD(method.parameter_groups(), lr=0.1, momentum=0.9)
    losses = []
    data = blobs()
    for step in range(60):
        torch.manual_seed(step)
        views = {k: data + 0.05 * torch.randn_like(data) for k in ("view1", "view2")}
        optimizer.zero_grad()
        loss = method.losses(views)["similarity"]
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    z = F.normalize(method.network(data), dim=1)
    assert sum(losses[-5:]) < 5 * -0.8 < sum(losses[:5])
    assert z.std(0).mean() > 0.5 / z.shape[1] ** 0.5


def blobs():
    torch.manual_seed(0)
    return nn.functional.interpolate(torch.rand(8, 1, 4, 4, 2), size=(16, 16, 8), mode="trilinear")
