import copy
import math

import pytest
import torch
from ignite.engine import Engine
from torch import nn
from torch.optim.swa_utils import update_bn

from monai_ssl.evaluation import bn_distance, encoder_statistics, recollect_bn
from monai_ssl.evaluation.probes import area_under_curve
from monai_ssl.networks import ConvEncoder, EncoderClassifier, SkipUNet
from monai_ssl.tasks import Classification, Segmentation
from monai_ssl.transfer import FinetuneScheme, paper_encoder


class Small(nn.Module):
    """Two layers with batch norm and dropout, and a layer that is never used."""

    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4, momentum=0.3), nn.Dropout(0.5), nn.ReLU())
        self.head = nn.Sequential(nn.Conv2d(4, 3, 1), nn.BatchNorm2d(3))
        self.unused = nn.BatchNorm2d(5)

    def forward(self, x):
        return self.head(self.encoder(x))


@pytest.fixture
def net():
    torch.manual_seed(0)
    net = Small()
    for layer in (net.encoder[1], net.head[1], net.unused):
        layer.running_mean.normal_()
        layer.running_var.uniform_(0.5, 2)
    return net


def state(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(first, second):
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


def statistics(*values):
    return {f"layer{i}": (torch.tensor(mean), torch.tensor(var)) for i, (mean, var) in enumerate(values)}


def test_one_batch_of_all_data_gives_mean_and_unbiased_variance(net):
    x = torch.randn(6, 2, 9, 7)
    assert recollect_bn(net, [x]) == 2
    y = net.encoder[0](x)
    torch.testing.assert_close(net.encoder[1].running_mean, y.mean((0, 2, 3)))
    torch.testing.assert_close(net.encoder[1].running_var, y.var((0, 2, 3), correction=1))


def test_batches_count_alike_as_in_torch(net):
    batches = [torch.randn(4, 2, 9, 9) * scale + scale for scale in (1, 2, 5)]
    net.encoder[2] = nn.Identity()
    reference = copy.deepcopy(net)
    update_bn(batches, reference)
    recollect_bn(net, [{"image": batch, "label": 0} for batch in batches])
    for ours, theirs in ((net.encoder[1], reference.encoder[1]), (net.head[1], reference.head[1])):
        torch.testing.assert_close(ours.running_mean, theirs.running_mean)
        torch.testing.assert_close(ours.running_var, theirs.running_var)


@pytest.mark.parametrize("training", [True, False])
def test_only_statistics_of_used_layers_change(net, training):
    net.train(training)
    net.head.eval()
    modes = [m.training for m in net.modules()]
    before = state(net)
    recollect_bn(net, [torch.randn(4, 2, 9, 9)])
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    expected = {
        f"{layer}.1.{name}"
        for layer in ("encoder", "head")
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert changed == expected
    assert [m.training for m in net.modules()] == modes
    assert net.encoder[1].momentum == 0.3 and net.head[1].momentum == 0.1
    assert not any(m._forward_pre_hooks for m in net.modules()) and all(p.grad is None for p in net.parameters())


def test_dropout_rests(net):
    x = torch.randn(4, 2, 9, 9)
    found = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        recollect_bn(net.train(), [x])
        found.append(net.head[1].running_mean.clone())
    assert torch.equal(*found)


def test_a_frozen_encoder_is_reached_too():
    net = EncoderClassifier(ConvEncoder(2, 1, (4, 8)), 2)
    scheme = FinetuneScheme(net, "fixed")
    scheme(Engine(lambda engine, batch: None))
    before = state(net)
    x = torch.rand(4, 1, 8, 8) + 3
    net.train()(x)
    assert same(state(net), before)
    recollect_bn(net, [x])
    assert not torch.equal(net.encoder.stages[0].norm1.running_mean, before["encoder.stages.0.norm1.running_mean"])
    assert net.training


def test_errors_leave_no_trace(net):
    before = state(net)
    with pytest.raises(ValueError, match="No batch was given"):
        recollect_bn(net, [])
    with pytest.raises(KeyError, match=r"A batch has no images `image`, only \['label', 'x'\]; name one by `key`"):
        recollect_bn(net, [torch.randn(2, 2, 9, 9), {"x": 1, "label": 2}])
    with pytest.raises(TypeError, match="must be a tensor or a dictionary with tensors, got list"):
        recollect_bn(net, [[torch.randn(2, 2, 9, 9)]])
    assert same(state(net), before) and net.encoder[1].momentum == 0.3
    assert not any(m._forward_pre_hooks for m in net.modules())


@pytest.mark.parametrize(
    "norm", [nn.GroupNorm(2, 4), nn.InstanceNorm2d(4, affine=True), nn.BatchNorm2d(4, track_running_stats=False)]
)
def test_without_running_statistics_it_does_not_apply(norm):
    net = nn.Module()
    net.encoder = nn.Sequential(nn.Conv2d(1, 4, 3), norm)

    def unread():
        raise AssertionError("the images were read")
        yield

    assert recollect_bn(net, unread()) == 0
    assert encoder_statistics(net) == {}
    assert bn_distance(encoder_statistics(net), encoder_statistics(net)) is None


@pytest.mark.parametrize(("squared", "factor"), [(True, 4), (False, 2)])
def test_distance_is_zero_symmetric_and_grows(squared, factor):
    a = statistics(([1.0, 2.0], [1.0, 1.0]), ([0.0], [3.0]))
    b = statistics(([4.0, 6.0], [1.0, 3.0]), ([2.0], [3.0]))
    twice = {k: tuple(x + 2 * (y - x) for x, y in zip(a[k], b[k], strict=True)) for k in a}
    distance = bn_distance(a, b, squared)
    assert bn_distance(a, a, squared).total == 0
    assert bn_distance(b, a, squared) == distance
    assert distance.layers == ({"layer0": 29.0, "layer1": 4.0} if squared else {"layer0": 7.0, "layer1": 2.0})
    assert distance.total == sum(distance.layers.values())
    assert bn_distance(a, twice, squared).total == pytest.approx(factor * distance.total)
    width = 2 if squared else math.sqrt(2)
    assert distance.per_channel == pytest.approx({"layer0": distance.layers["layer0"] / width, "layer1": factor**1})


def test_per_channel_values_of_wide_and_narrow_layers_compare():
    a = statistics(([0.0] * 64, [1.0] * 64), ([0.0], [1.0]))
    b = statistics(([0.5] * 64, [3.0] * 64), ([0.5], [3.0]))
    for squared in (True, False):
        values = bn_distance(a, b, squared).per_channel
        assert values["layer0"] == pytest.approx(values["layer1"])


def test_only_the_encoder_counts():
    net = SkipUNet(ConvEncoder(2, 1, (4, 8)), 2)
    before = encoder_statistics(net)
    decoder = {id(m) for m in net.modules()} - {id(m) for m in net.encoder.modules()}
    changed = 0
    for module in net.modules():
        if id(module) in decoder and isinstance(module, nn.BatchNorm2d):
            module.running_mean += 1
            changed += 1
    assert changed and bn_distance(before, encoder_statistics(net)).total == 0
    net.encoder.stages[0].norm1.running_var += 1
    distance = bn_distance(before, encoder_statistics(net))
    assert distance.layers["stages.0.norm1"] == pytest.approx(distance.total) and distance.total == pytest.approx(2)
    assert encoder_statistics(net.encoder).keys() == before.keys() and len(before) == 4


def test_what_cannot_be_compared_is_refused():
    with pytest.raises(ValueError, match="layer `layer0` is not in both alike"):
        bn_distance(statistics(([1.0], [1.0])), statistics(([1.0, 1.0], [1.0, 1.0])))
    with pytest.raises(ValueError, match="layer `layer1` is not in both alike"):
        bn_distance(statistics(([1.0], [1.0]), ([1.0], [1.0])), statistics(([1.0], [1.0])))
    with pytest.raises(ValueError, match="Linear has no `encoder`"):
        encoder_statistics(nn.Linear(1, 1))


@pytest.mark.parametrize(
    ("build", "size"),
    [
        (lambda: Classification(range(2)).network(paper_encoder(3, 1, 4)), (1, 16, 16, 8)),
        (lambda: Classification(range(2)).network(paper_encoder(2, 3, 4), normalize="imagenet"), (3, 32, 32)),
        (lambda: Segmentation({"a": 1, "b": 2}).network(paper_encoder(3, 1, 4), normalize="zscore"), (1, 16, 16, 8)),
        (lambda: Segmentation({"a": 1}).network(paper_encoder(2, 3, 16), "group"), (3, 32, 32)),
    ],
)
def test_a_prediction_knows_nothing_of_its_batch_mates(build, size):
    torch.manual_seed(0)
    net = build()
    net.train()(torch.rand(4, *size))
    net.eval()
    before, x = state(net), torch.rand(1, *size)
    with torch.no_grad():
        alone = net(x)
        for mates in (torch.rand(3, *size), 5 * torch.ones(2, *size)):
            torch.testing.assert_close(net(torch.cat([mates, x]))[-1:], alone, atol=2e-5, rtol=1e-4)
    assert same(state(net), before)


def test_auc_of_a_sorted_loader_is_that_of_a_shuffled_one():
    """Normalizing with the test batch would score 0.5 when a batch has one class only."""
    torch.manual_seed(0)
    label = torch.arange(64) >= 32
    x = torch.rand(64, 1, 16, 16) + 0.6 * label[:, None, None, None]
    net = EncoderClassifier(ConvEncoder(2, 1, (4, 8)), 1)
    recollect_bn(net, x.split(16))
    with torch.no_grad():
        # bright images are the positives
        vectors = net.eval().encoder.pooled(x)
        net.head.weight.copy_(vectors[label].mean(0) - vectors[~label].mean(0))

    def auc(order, training):
        net.train(training)
        net.dropout.eval()
        with torch.no_grad():
            scores = torch.cat([net(some)[:, 0] for some in x[order].split(16)])
        return area_under_curve(scores, label[order])

    ordered, shuffled = torch.arange(64), torch.randperm(64)
    assert auc(ordered, False) == auc(shuffled, False) > 0.95
    assert auc(ordered, True) < 0.8
