"""Rubik's cube+: RKBP-4 of docs/properties.md, and the third head."""

import math

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.methods import Rubik, RubikPlus
from monai_ssl.networks import ConvEncoder, ResNetEncoder
from monai_ssl.transforms import BatchViews, RandCubeMaskd, RandRubikd, permutation_table

SMALL = {
    "pretrain": {"roi_size": [24, 24, 24], "cube_size": [8, 8, 8], "gap": 2, "jitter": 2},
    "pretrain_2d": {"roi_size": [112, 112], "cube_size": [32, 32], "gap": 1, "jitter": 2},
}
MOVES = {
    "order": ("rubik.jigsaw.network.", "rubik.jigsaw.classifier."),
    "turns": ("rubik.jigsaw.network.", "rubik.turn_heads."),
    "mask": ("rubik.jigsaw.network.", "mask_head."),
}
CELLS = {3: 8, 2: 9}


def make(preset="paper", dims=3, method=RubikPlus, **options):
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(8, 16, 16)) if dims == 3 else ResNetEncoder(width=4)
    return method(encoder, permutation_table(CELLS[dims], 20), preset, **options)


def puzzle(dims=3, size=4):
    cube = (8, 8, 8) if dims == 3 else (32, 32)
    task = RandRubikd("view", cube, permutation_table(CELLS[dims], 20), gap=0, jitter=0)
    x = torch.rand(size, 1 if dims == 3 else 3, *task.grid.extent, generator=torch.Generator().manual_seed(0))
    return BatchViews([task, RandCubeMaskd("cells")]).set_random_state(0)({"view": x})


def answer(linear, logits):
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(logits)


@pytest.mark.parametrize("dims", [2, 3])
def test_weights_scale_each_term(dims):
    """RKBP-4; order and turns are those of a Rubik's cube with the same weights."""
    data, names = puzzle(dims), ("order", "turns", "mask")
    plain = make(dims=dims).losses(data)
    assert tuple(plain) == names
    scaled = make(dims=dims, weights=(2.0, 0.0, 5.0)).losses(data)
    for name, factor in zip(names, (2.0, 0.0, 5.0), strict=True):
        assert torch.allclose(scaled[name], factor * plain[name])
    alone = make(dims=dims, method=Rubik, weights=(1.0, 1.0)).losses(data)
    assert all(torch.equal(plain[name], value) for name, value in alone.items())


def test_mask_term_in_closed_form():
    method, data = make(), puzzle()
    head = method.mask_head[-1]
    answer(head, torch.zeros(8))
    assert method.losses(data)["mask"].item() == pytest.approx(math.log(2), rel=1e-6)
    logits = torch.linspace(-2, 2, 8)
    answer(head, logits)
    expected = F.binary_cross_entropy(logits.sigmoid().repeat(4, 1), data["masked"].unflatten(0, (4, 8)).float())
    assert method.losses(data)["mask"].item() == pytest.approx(expected.item(), rel=1e-5)


def test_head_of_two_layers_on_the_shared_vectors():
    method = make()
    count = {name: sum(p.numel() for p in m.parameters()) for name, m in method.named_children()}
    assert count["mask_head"] == (512 + 1) * 1024 + 1025 * 8
    assert count["rubik"] == sum(p.numel() for p in make(method=Rubik).parameters())


def test_accuracy_and_skipped_cubes():
    method, data = make().eval(), puzzle()
    found = method.mask_head(method.rubik.jigsaw.vectors(data["cells"])).flatten() > 0
    data["masked"] = found.clone()
    data["masked"][:8] ^= True
    data["skipped"] = torch.zeros(32, dtype=torch.bool)
    data["skipped"][(~data["masked"]).nonzero()[0]] = True
    got = method.metrics(data)
    assert list(got) == ["order_accuracy", "horizontal_accuracy", "vertical_accuracy", "mask_accuracy", "skipped"]
    assert got["mask_accuracy"].item() == 0.75
    assert got["skipped"].item() == pytest.approx(1 / (1 + int(data["masked"].sum())))
    data["masked"][:], data["skipped"][:] = False, False
    assert method.metrics(data)["skipped"] == 0


@pytest.mark.parametrize("dims", [2, 3])
def test_panels_show_masked_cubes(dims):
    panels = make(dims=dims).eval().panels(puzzle(dims))
    assert list(panels) == ["shuffled", "solved", "target"] and (panels["target"] == 0).any()


def test_presets():
    assert [type(m).__name__ for m in make("reference").rubik.jigsaw.network.layers][1] == "ReLU"
