import copy

import pytest
import torch
from torch import nn

from monai_ssl.evaluation import energy_in_mask, grad_cam, pointing_hit
from monai_ssl.networks import ConvEncoder, EncoderClassifier, ResNetEncoder


class AllClasses(nn.Module):
    """Given maps: an encoder that returns its input, average pooling, a line."""

    def __init__(self, channels, classes):
        super().__init__()
        self.encoder = nn.Identity()
        self.head = nn.Linear(channels, classes)

    def forward(self, x):
        return self.head(self.encoder(x).flatten(2).mean(2))


def scaled(x):
    dims = tuple(range(1, x.ndim))
    low, high = x.amin(dims, keepdim=True), x.amax(dims, keepdim=True)
    return torch.nan_to_num((x - low) / (high - low))


def state(net):
    hooks = [
        (len(m._forward_hooks), len(m._backward_hooks), len(m._forward_pre_hooks), len(m._backward_pre_hooks))
        for m in net.modules()
    ]
    return hooks, [m.training for m in net.modules()], [(p.requires_grad, p.grad) for p in net.parameters()]


@pytest.mark.parametrize("spatial", [(5, 7), (4, 5, 6)])
def test_under_average_pooling_it_is_the_weighted_sum_of_maps(spatial):
    torch.manual_seed(0)
    net = AllClasses(6, 4)
    x = torch.randn(8, 6, *spatial) + 2 * torch.randn(8, 6, *[1] * len(spatial))
    classes = torch.tensor([0, 1, 2, 3, 3, 2, 1, 0])
    expected = torch.einsum("bk,bk...->b...", net.head.weight[classes], x).relu()[:, None]
    torch.testing.assert_close(grad_cam(net, x, classes), scaled(expected))
    best = net(x).argmax(1)
    assert len(best.unique()) > 1
    torch.testing.assert_close(grad_cam(net, x), grad_cam(net, x, best.tolist()))
    torch.testing.assert_close(grad_cam(net, x)[2:3], grad_cam(net, x[2:3]))


def test_a_single_logit_is_explained_and_its_scale_does_not_matter():
    torch.manual_seed(0)
    net, x = AllClasses(3, 1), torch.randn(4, 3, 6, 6)
    heat = grad_cam(net, x)
    for factor in (1e-6, 100.0):
        other = copy.deepcopy(net)
        with torch.no_grad():
            other.head.weight *= factor
            other.head.bias *= factor
        torch.testing.assert_close(grad_cam(other, x), heat, atol=1e-5, rtol=0)


@pytest.mark.parametrize(
    ("encoder", "size"), [(ConvEncoder(3, 1, (4, 8, 16)), (1, 16, 12, 8)), (ResNetEncoder(2, 3, 4), (3, 64, 96))]
)
def test_of_an_encoder_the_coarsest_map_at_the_size_of_the_image(encoder, size):
    torch.manual_seed(0)
    net, x = EncoderClassifier(encoder, 3), torch.rand(2, *size)
    for _ in range(3):
        net(x)
    net.eval()
    classes = [2, 0]
    features = encoder(x)[-1].detach().requires_grad_()
    logits = net.head(features.flatten(2).mean(2))
    (slope,) = torch.autograd.grad(logits[0, 2] + logits[1, 0], features)
    coarse = (slope.flatten(2).mean(2)[(...,) + (None,) * len(size[1:])] * features).sum(1, keepdim=True).relu()
    mode = "bilinear" if len(size) == 3 else "trilinear"
    expected = nn.functional.interpolate(coarse, size=size[1:], mode=mode).detach()
    heat = grad_cam(net, x, classes)
    assert heat.shape == (2, 1, *size[1:]) and not heat.requires_grad
    assert heat.amin() >= 0 and heat.amax() <= 1
    for one, raw in zip(heat, expected, strict=True):
        width = raw.amax() - raw.amin()
        torch.testing.assert_close(one, (raw - raw.amin()) / width if width > 0 else torch.zeros_like(one))


def test_any_layer_can_be_looked_at_even_before_one_in_place():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(inplace=True), nn.Conv2d(4, 5, 3), nn.Flatten(2))
    net.append(nn.AdaptiveAvgPool1d(1)).append(nn.Flatten(1))
    x = torch.rand(2, 1, 8, 8)
    maps = net[0](x).detach().requires_grad_()
    (slope,) = torch.autograd.grad(net[5](net[4](net[3](net[2](maps.relu())))).select(1, 1).sum(), maps)
    expected = (slope.mean((2, 3), keepdim=True) * maps).sum(1, keepdim=True).relu()
    torch.testing.assert_close(grad_cam(net, x, [1, 1], layer="0"), scaled(expected.detach()))


def test_a_map_without_heat_is_zero():
    net = AllClasses(2, 1)
    with torch.no_grad():
        net.head.weight.fill_(1)
    for x in (torch.zeros(2, 2, 4, 4), torch.ones(2, 2, 4, 4), -torch.ones(2, 2, 4, 4)):
        assert torch.equal(grad_cam(net, x), torch.zeros(2, 1, 4, 4))


@pytest.mark.parametrize("training", [True, False])
def test_the_network_stays_as_it_was(training):
    torch.manual_seed(0)
    net, x = EncoderClassifier(ConvEncoder(2, 1, (4, 8)), 2, dropout=0.9), torch.rand(2, 1, 8, 8)
    net(x).sum().backward()
    net.train(training)
    net.encoder.stages[0].train(not training)
    net.encoder.stages[1].requires_grad_(False)
    gradients = [p.grad.clone() for p in net.parameters()]
    tensors = {k: v.clone() for k, v in net.state_dict().items()}
    before = state(net)
    with torch.no_grad():
        heat = grad_cam(net, x, [1, 1])
    hooks, modes, kept = state(net)
    assert (hooks, modes) == before[:2]
    assert all(a[0] == b[0] and a[1] is b[1] for a, b in zip(kept, before[2], strict=True))
    assert all(torch.equal(p.grad, g) for p, g in zip(net.parameters(), gradients, strict=True))
    assert all(torch.equal(v, tensors[k]) for k, v in net.state_dict().items())
    torch.testing.assert_close(grad_cam(net, x, [1, 1]), heat)
    with pytest.raises(ValueError, match="`classes` must be"):
        grad_cam(net, x, [5, 5])
    assert state(net)[:2] == before[:2]


def test_what_cannot_be_explained_is_refused():
    x = torch.rand(2, 3, 4, 4)
    net = AllClasses(3, 2)
    with pytest.raises(ValueError, match="AllClasses has no layer `body`"):
        grad_cam(net, x, layer="body")
    with pytest.raises(ValueError, match=r"`layer` that gives a map \(B, C, \*spatial\), \(2, 2\) came"):
        grad_cam(net, x, layer="head")
    with pytest.raises(ValueError, match=r"`classes` must be 2 numbers from 0 to 1, got \[0\]"):
        grad_cam(net, x, [0])
    with pytest.raises(ValueError, match=r"`classes` must be 2 numbers from 0 to 1, got \[0, -1\]"):
        grad_cam(net, x, [0, -1])
    with pytest.raises(ValueError, match=r"logits \(B, K\), \(2, 3, 4, 4\) came"):
        grad_cam(nn.Sequential(nn.Identity()), x, layer="0")


def test_energy_and_hits_of_counted_voxels():
    heat = torch.zeros(6, 1, 2, 3)
    heat[0, 0] = torch.tensor([[1.0, 0.5, 0.0], [0.5, 0.0, 0.0]])
    heat[1, 0] = torch.tensor([[1.0, 0.5, 0.0], [0.5, 0.0, 0.0]])
    heat[2, 0] = torch.tensor([[1.0, 0.0, 0.0], [1.0, 1.0, 1.0]])
    heat[3] = 0.0
    heat[4] = 0.5
    heat[5, 0, 0, 0] = 1.0
    mask = torch.zeros(6, 1, 2, 3)
    mask[:5, 0, 0] = 1
    mask[1, 0] = torch.tensor([[0, 1, 1], [1, 1, 1]])
    share, hit = energy_in_mask(heat, mask), pointing_hit(heat, mask)
    assert share[:5].tolist() == pytest.approx([0.75, 0.5, 0.25, 0.0, 0.5]) and share[5].isnan()
    assert hit[:5].tolist() == pytest.approx([1.0, 0.0, 0.25, 0.0, 0.0]) and hit[5].isnan()
    assert energy_in_mask(1e-30 * heat.double(), mask)[:5].tolist() == pytest.approx(share[:5].tolist())
    for measure in (energy_in_mask, pointing_hit):
        with pytest.raises(ValueError, match=r"must both be \(B, 1, \*spatial\), got \(6, 1, 2, 3\) and \(6, 2, 3\)"):
            measure(heat, mask[:, 0])
