"""PCRLv2: PCRLv2-3 to PCRLv2-5, PCRLv2-7 to PCRLv2-9, PCRLv2-11 to PCRLv2-13, PCRLv2-16 of docs/properties.md."""

from collections import Counter
from itertools import product
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser
from torch import nn

from monai_ssl.methods import PCRLv2
from monai_ssl.networks import ConvEncoder, PyramidUNet, ResNetEncoder

WIDTHS = (4, 8, 16, 32)
SMALL = {
    "pretrain": {
        "crops#0#sizes": [[16, 16, 16], [20, 20, 16]],
        "crops#0#local_sizes": [[8, 8, 8]],
        "crops#0#local_out_size": [8, 8, 8],
        "augment#0#sigma": [0, 1],
        "swap#0#patch_size": [4, 4, 4],
        "swap#0#num_swaps": 5,
    },
    "pretrain_2d": {"crops#0#local_out_size": [32, 32], "crops#0#num_locals": 2, "cutout#0#size": 8},
}
MOVES = {
    "restoration": ("network.", "restorers."),
    "comparison": ("network.", "comparers."),
    "local_comparison": ("network.", "comparers."),
}


def make(preset="paper", dims=3, skips=False, **options) -> PCRLv2:
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=WIDTHS) if dims == 3 else ResNetEncoder(width=8)
    return PCRLv2(PyramidUNet(encoder, skips=skips), preset, **options)


def batch(dims=3, size=2, num_locals=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    shape, local = ((1, 16, 16, 8), (1, 8, 8, 8)) if dims == 3 else ((3, 64, 64), (3, 32, 32))
    views = {name: torch.rand(size, *shape, generator=g) for name in ("view1", "view2", "target1", "target2")}
    if num_locals:
        views["locals"] = torch.rand(size * num_locals, *local, generator=g)
    return views


def total(terms):
    return torch.stack(list(terms.values())).sum()


def count(module):
    return sum(p.numel() for p in module.parameters())


class Forced(PCRLv2):
    """Takes scales from a list instead of drawing them."""

    script: list

    def _draw(self, levels):
        return self.script.pop(0) if len(self.script) > 1 else self.script[0]


def forced(script, **options):
    method = make(**options)
    method.__class__ = Forced
    method.script = list(script)
    return method


# PCRLv2-3 ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dims", [2, 3])
def test_every_head_restores_the_shape_of_the_image(dims):
    method = make(dims=dims)
    x = batch(dims)["view1"]
    restored = method.restore(x)
    assert len(restored) == len(method.network.channels)
    assert all(r.shape == x.shape for r in restored.values())
    if dims == 3:
        assert all(r.min() >= 0 and r.max() <= 1 for r in restored.values())


@pytest.mark.parametrize(("dims", "scale"), [(d, s) for d, scales in ((3, 3), (2, 5)) for s in range(scales)])
def test_restoration_at_a_scale_trains_what_lies_below_it_and_nothing_above(dims, scale):
    method = forced([scale], dims=dims, tasks=["restoration"])
    total(method.losses(batch(dims))).backward()
    assert next(method.encoder.parameters()).grad.abs().sum() > 0
    for level, block in enumerate(method.decoder.blocks):
        grads = [p.grad for p in block.parameters()]
        assert all(g is not None for g in grads) if level <= scale else all(g is None for g in grads)
    for level, head in method.restorers.items():
        assert all((p.grad is not None) == (int(level) == scale) for p in head.parameters())


# PCRLv2-4 ---------------------------------------------------------------------------------------------------------


def test_scales_are_drawn_uniformly_and_repeat_with_the_seed():
    method = make()
    draws = [method._draw(method.restored_levels) for _ in range(10_000)]
    assert all(abs(n / 10_000 - 1 / 3) < 0.02 for n in Counter(draws).values()) and len(set(draws)) == 3
    method.generator.manual_seed(7)
    first = [method._draw([0, 1, 2]) for _ in range(50)]
    other = make()
    other.generator.manual_seed(7)
    torch.manual_seed(99)  # ranks differ in torch's own generator
    assert first == [other._draw([0, 1, 2]) for _ in range(50)]


def test_restoration_and_global_comparison_share_the_scale():
    method, scales = make(), set()
    for seed in range(8):
        method.generator.manual_seed(seed)
        method.zero_grad(set_to_none=True)
        total(method.losses(batch(num_locals=0))).backward()
        trained = {level for level, head in method.restorers.items() if next(head.parameters()).grad is not None}
        compared = {level for level, head in method.comparers.items() if next(head.parameters()).grad is not None}
        assert trained == compared and len(trained) == 1
        scales |= trained
    assert scales == {"0", "1", "2"}


# PCRLv2-5 ---------------------------------------------------------------------------------------------------------


def test_siamese_without_copies_queues_or_gradient_into_the_target():
    method = make()
    buffers = {name.rsplit(".", 1)[-1] for name, _ in method.named_buffers()}
    assert buffers == {"running_mean", "running_var", "num_batches_tracked"}
    assert all(p.requires_grad for p in method.parameters())
    for head in method.comparers.values():
        head.predictor = nn.Sequential(head.predictor, Detach())
    terms = make_terms(method, tasks=("comparison",))
    assert not total(terms).requires_grad


class Detach(nn.Module):
    def forward(self, x):
        return x.detach()


def make_terms(method, tasks):
    method.tasks = tasks
    return method.losses(batch())


# PCRLv2-7 to PCRLv2-9, PCRLv2-13: what the bundle asks of crops and rates -----------------------------------------


def of_bundle(key, config="pretrain", **overrides):
    parser = ConfigParser()
    parser.read_config(str(Path(__file__).parents[2] / f"bundles/pcrlv2/configs/{config}.json"))
    for name, value in overrides.items():
        parser[name] = value
    return parser.get_parsed_content(key)


def test_crops_of_the_bundle_have_the_papers_sizes_and_overlap():
    crop = of_bundle("crops", roi_size=[8, 8, 4], **{"crops#0#params_key": "cut", "crops#0#local_out_size": [4, 4, 4]})
    crop = crop[0].set_random_state(0)
    scan = torch.full((1, 1, 1, 1), 0.52).expand(1, 170, 160, 130)
    pairs, local_sizes = set(), set()
    for _ in range(170):
        out = crop({"image": scan})
        cut = out["cut"]
        assert cut["iou"] > 0.3 and not cut["fallback"] and len(out["locals"]) == 6
        low, high = cut["starts"].min(0), (cut["starts"] + cut["sizes"]).max(0)
        assert (cut["local_starts"] >= low).all() and (cut["local_starts"] + cut["local_sizes"] <= high).all()
        pairs.add(tuple(map(tuple, cut["sizes"].tolist())))
        local_sizes |= set(map(tuple, cut["local_sizes"].tolist()))
    smallest, larger = (64, 64, 32), [(96, 96, 64), (96, 96, 96), (112, 112, 64)]
    assert pairs == {(smallest, smallest), *product(larger, larger)}
    assert local_sizes == {(8, 8, 8), (16, 16, 16), (32, 32, 16), (32, 32, 32)}
    assert crop({"image": torch.zeros(1, 1, 1, 1).expand(scan.shape)})["cut"]["fallback"]


def test_views_of_the_bundle_have_the_papers_extents():
    out = of_bundle("crops")[0].set_random_state(0)({"image": torch.rand(1, 100, 90, 60)})
    assert out["view1"].shape == out["view2"].shape == (1, 64, 64, 32)
    assert [x.shape for x in out["locals"]] == [(1, 16, 16, 16)] * 6


@pytest.mark.parametrize("config", ["pretrain", "pretrain_2d"])
def test_the_rate_of_the_bundle_falls_by_half_a_cosine_of_epochs(config):
    handler = of_bundle("train#handlers#0", config, lr=0.4)
    assert handler.per == "epoch"
    assert [handler.schedule(p) for p in (0, 0.5, 1)] == pytest.approx([0.4, 0.2, 0])


# PCRLv2-11 --------------------------------------------------------------------------------------------------------


def test_local_term_averages_over_two_comparisons_a_local_view():
    data = batch(num_locals=3)
    doubled = dict(data, locals=data["locals"].unflatten(0, (2, 3)).repeat(1, 2, 1, 1, 1, 1).flatten(0, 1))
    # in eval mode batch statistics do not couple the copies
    three = forced([1]).eval().losses(data)
    six = forced([1]).eval().losses(doubled)
    assert six["local_comparison"].item() == pytest.approx(three["local_comparison"].item(), abs=1e-6)
    summed = forced([1], local_reduction="sum").eval().losses(data)
    assert summed["local_comparison"].item() == pytest.approx(6 * three["local_comparison"].item(), rel=1e-5)
    assert six["restoration"].item() == three["restoration"].item()


def test_a_head_runs_once_for_each_view_and_once_for_all_local_views():
    method, seen = make(local_scales="per_iteration", scales=1), []
    (head,) = method.comparers.values()
    head.register_forward_hook(lambda head, inputs, output: seen.append(len(inputs[0])))
    method.losses(batch(size=2, num_locals=3))
    # statistics of batch norm move with each run
    assert seen == [2, 2, 6]


@pytest.mark.parametrize("preset", ["paper", "reference"])
def test_local_views_are_not_restored_and_leave_the_restoration_as_it_is(preset):
    data, restored, losses = batch(), [], []
    for views in (data, {k: v for k, v in data.items() if k != "locals"}):
        method = make(preset)
        method.generator.manual_seed(3)
        for head in (*method.restorers.values(), *filter(None, [method.full_resolution])):
            head.register_forward_hook(lambda head, inputs, output: restored.append(len(output)))
        losses.append(method.losses(views)["restoration"])
    assert restored == [len(data["view1"])] * 4 and torch.equal(*losses)


def test_local_scales_are_drawn_for_each_pair_or_once():
    method = make()
    assert len(set(method._draw_local_scales(batch()))) > 1 and len(method._draw_local_scales(batch())) == 12
    once = make(local_scales="per_iteration")
    assert len(set(once._draw_local_scales(batch()))) == 1


# PCRLv2-12 --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("preset", "encoder", "expected"),
    [
        ("paper", ConvEncoder, 19_435_139),
        ("reference", ConvEncoder, 17_111_434),
        ("paper", ResNetEncoder, 14_689_695),
        ("reference", ResNetEncoder, 14_678_226),
    ],
)
def test_parameter_counts(preset, encoder, expected):
    assert count(PCRLv2(PyramidUNet(encoder()), preset)) == expected


# PCRLv2-13 --------------------------------------------------------------------------------------------------------


def test_reference_restoration_fades_by_a_cosine():
    method, data = forced([0], preset="reference").eval(), batch()
    values = []
    for method.epochs_done in (0.0, 0.5, 1.0):
        values.append(method.losses(data)["scale_restoration"].item())
    error = method.restore(data["view1"])["restored at 1/4"] - data["target1"]
    assert values[0] == pytest.approx(error.square().mean().item(), rel=1e-5)
    assert values[1] == pytest.approx(values[0] / 2, rel=1e-4) and values[2] == pytest.approx(0, abs=1e-9)


def test_reference_restores_the_first_view_only():
    method = forced([1], preset="reference").eval()
    data = batch()
    changed = dict(data, target2=1 - data["target2"])
    a, b = method.losses(data), method.losses(changed)
    assert all(torch.equal(a[k], b[k]) for k in a)
    paper = forced([1]).eval()
    assert paper.losses(data)["restoration"] != paper.losses(changed)["restoration"]


# ablations ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "num_locals", "terms"),
    [
        ({"tasks": ["restoration"], "scales": 0}, 0, {"restoration"}),
        ({"tasks": ["comparison"], "scales": 0}, 0, {"comparison"}),
        ({"scales": 0}, 0, {"restoration", "comparison"}),
        ({"scales": 3}, 0, {"restoration", "comparison"}),
        ({}, 0, {"restoration", "comparison"}),
        ({}, 6, {"restoration", "comparison", "local_comparison"}),
    ],
)
@pytest.mark.parametrize("dims", [2, 3])
def test_rows_of_table_3(dims, options, num_locals, terms):
    method = make(dims=dims, **options)
    out = method.losses(batch(dims, num_locals=num_locals))
    assert set(out) == terms and all(t.isfinite() for t in out.values())
    if options.get("scales") == 0:
        assert method.compared_levels == [-1], "the output of the encoder"
        assert method.restored_levels == [len(method.network.channels) - 1], "full resolution"


def test_crossed_comparison_couples_all_scales():
    method = make(comparison="crossed", tasks=["comparison"])
    method.losses(batch(num_locals=0))["comparison"].backward()
    assert all(head.project.weight.grad.abs().sum() > 0 for head in method.comparers.values())


# PCRLv2-16 -----------------------------------------------------------------------------------------------------------


def smooth_batch(seed=0):
    """Correlated images: noise that was blurred, so that there is something to restore."""
    torch.manual_seed(seed)
    pool = nn.AvgPool3d(5, 1, 2)
    targets = [pool(torch.rand(4, 1, 16, 16, 8)) * 4 - 1.5 for _ in range(2)]
    targets = [t.clamp(0, 1) for t in targets]
    views = [(t + 0.1 * torch.randn_like(t)) for t in targets]
    return {
        "view1": views[0],
        "view2": views[1],
        "target1": targets[0],
        "target2": targets[1],
        "locals": pool(torch.rand(8, 1, 8, 8, 8)),
    }


def overfit(skips=False, steps=120):
    method = make(skips=skips)
    optimizer = torch.optim.SGD(method.parameters(), 0.05, momentum=0.9)
    data = smooth_batch()
    history = []
    for _ in range(steps):
        optimizer.zero_grad()
        terms = method.losses(data)
        total(terms).backward()
        optimizer.step()
        history.append({k: v.item() for k, v in terms.items()})
    return method, data, history


def mean_of(history, name, part):
    return sum(h[name] for h in history[part]) / len(history[part])


def test_overfits_one_batch_without_collapse():
    method, data, history = overfit()
    first, last = slice(0, 10), slice(-10, None)
    assert mean_of(history, "restoration", last) < 0.7 * mean_of(history, "restoration", first)
    assert mean_of(history, "comparison", last) < -0.8
    pyramid = method._pyramid(data["view1"], 2)
    for level in range(3):
        v = nn.functional.normalize(method._vectors(pyramid)(level)[0], dim=1)
        assert v.std(0).mean() > 0.2 / v.shape[1] ** 0.5


@pytest.mark.slow
def test_skips_make_restoration_easier():
    """Of images never seen before, at full resolution (Fig. 6): detail need not pass the bottleneck."""
    final = {}
    for skips in (False, True):
        method = make(skips=skips, tasks=["restoration"], scales=1)
        optimizer = torch.optim.Adam(method.parameters(), 3e-3)
        losses = []
        for step in range(100):
            optimizer.zero_grad()
            loss = method.losses(smooth_batch(step))["restoration"]
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        final[skips] = sum(losses[-20:])
    assert final[True] < 0.8 * final[False]
