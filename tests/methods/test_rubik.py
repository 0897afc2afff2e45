"""Rubik's cube: RKB-5 of docs/properties.md, the heads, and what the panels show."""

import math

import pytest
import torch
import torch.nn.functional as F

from monai_ssl.methods import Rubik
from monai_ssl.networks import ConvEncoder, ResNetEncoder
from monai_ssl.transforms import RandRubikd, permutation_table

SMALL = {
    "pretrain": {"roi_size": [24, 24, 24], "cube_size": [8, 8, 8], "gap": 2, "jitter": 2},
    "pretrain_2d": {"roi_size": [112, 112], "cube_size": [32, 32], "gap": 1, "jitter": 2},
}
MOVES = {
    "order": ("jigsaw.network.", "jigsaw.classifier."),
    "turns": ("jigsaw.network.", "turn_heads."),
}
CELLS = {3: 8, 2: 9}
KINDS = {3: ("horizontal", "vertical"), 2: ("half_turn",)}


def make(preset="paper", dims=3, rows=20, seed=0, **options):
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(8, 16, 16)) if dims == 3 else ResNetEncoder(width=4)
    return Rubik(encoder, permutation_table(CELLS[dims], rows, seed=seed), preset, **options)


def puzzle(dims=3, size=4, rows=20):
    cube = (8, 8, 8) if dims == 3 else (32, 32)
    task = RandRubikd("view", cube, permutation_table(CELLS[dims], rows), gap=0, jitter=0)
    x = torch.rand(size, 4 - dims if dims == 3 else 3, *task.grid.extent, generator=torch.Generator().manual_seed(0))
    return x, task.set_random_state(0).batch({"view": x})


def count(module):
    return sum(p.numel() for p in module.parameters())


def answer(linear, logits):
    """Make the last layer of a head answer ``logits`` whatever it sees."""
    with torch.no_grad():
        linear.weight.zero_()
        linear.bias.copy_(logits)


@pytest.mark.parametrize("dims", [2, 3])
def test_heads(dims):
    """The order has three linear layers, each kind of turn two, all on the same vectors of 64 numbers a cube."""
    method, (_, data) = make(dims=dims, rows=100), puzzle(dims)
    n, wide = CELLS[dims], (CELLS[dims] * 64 + 1) * 1024
    assert tuple(method.turn_heads) == KINDS[dims]
    assert all(count(head) == wide + 1025 * n for head in method.turn_heads.values())
    embedding = (method.encoder.channels[-1] + 1) * 64 + 2 * 64
    order = wide + 1025 * 1024 + 1025 * 100
    assert count(method) == count(method.encoder) + embedding + order + len(KINDS[dims]) * (wide + 1025 * n)
    assert method.turn_logits(method.jigsaw.vectors(data["cells"])).shape == (4, n, dims - 1)


def test_each_kind_has_its_own_head():
    method, (_, data) = make().eval(), puzzle()
    for kind, value in (("horizontal", 2.0), ("vertical", -3.0)):
        answer(method.turn_heads[kind][-1], torch.arange(8) + 10 * value)
    logits = method.turn_logits(method.jigsaw.vectors(data["cells"]))
    assert torch.equal(logits[0, :, 0], torch.arange(8) + 20.0)
    assert torch.equal(logits[2, :, 1], torch.arange(8) - 30.0)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("weights", [(0.5, 0.5), (1.0, 3.0)])
def test_objective_in_closed_form(dims, weights):
    """Chance: log K and log 2 for each kind; and as written in the paper, with both halves of the cross entropy."""
    method, (_, data) = make(dims=dims, weights=weights), puzzle(dims)
    vectors = method.jigsaw.vectors(data["cells"])
    terms = method.losses_of(vectors, data)
    expected = F.cross_entropy(method.jigsaw.classifier(vectors), data["label"])
    assert terms["order"].item() == pytest.approx(weights[0] * expected.item(), rel=1e-6)
    p = method.turn_logits(vectors).sigmoid().double()
    y = data["turns"].double()
    by_kind = -(y * p.log() + (1 - y) * (1 - p).log()).mean((0, 1))
    assert terms["turns"].item() == pytest.approx(weights[1] * by_kind.sum().item(), rel=1e-5)
    for head in (method.jigsaw.classifier, *method.turn_heads.values()):
        answer(head[-1], torch.zeros(head[-1].out_features))
    chance = method.losses(data)
    assert chance["order"].item() == pytest.approx(weights[0] * math.log(20), rel=1e-6)
    assert chance["turns"].item() == pytest.approx(weights[1] * (dims - 1) * math.log(2), rel=1e-6)


def test_perfect_answers_cost_nothing_and_always_yes_costs_much():
    """RKB-5: with the positive half alone, always answering yes would be perfect."""
    method, (_, data) = make(), puzzle(size=4)
    data["turns"] = data["turns"][:1].repeat(4, 1, 1)
    data["label"] = torch.full_like(data["label"], 7)
    answer(method.jigsaw.classifier[-1], F.one_hot(torch.tensor(7), 20) * 50.0)
    for kind, bits in zip(method.turn_heads, data["turns"][0].unbind(-1), strict=True):
        answer(method.turn_heads[kind][-1], torch.where(bits, 50.0, -50.0))
    assert sum(t.item() for t in method.losses(data).values()) == pytest.approx(0, abs=1e-6)
    assert all(value == 1 for value in method.metrics(data).values())
    data["turns"] = torch.zeros_like(data["turns"])
    for head in method.turn_heads.values():
        answer(head[-1], torch.full((8,), 50.0))
    assert method.losses(data)["turns"] == 0.5 * 2 * 50


def test_accuracy_of_each_task():
    method, (_, data) = make().eval(), puzzle()
    vectors = method.jigsaw.vectors(data["cells"])
    found, turns = method.jigsaw.classifier(vectors).argmax(1), method.turn_logits(vectors) > 0
    data["label"] = torch.where(torch.arange(4) < 1, found, (found + 1) % 20)
    data["turns"] = turns.clone()
    data["turns"][:, :2, 1] ^= True
    got = {name: value.item() for name, value in method.metrics(data).items()}
    assert got == pytest.approx({"order_accuracy": 0.25, "horizontal_accuracy": 1.0, "vertical_accuracy": 0.75})
    assert list(make(dims=2).metrics(puzzle(2)[1])) == ["order_accuracy", "half_turn_accuracy"]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_solved_puzzle_is_the_image(dims):
    x, data = puzzle(dims)
    method = make(dims=dims).eval()
    panels = method.panels(data)
    assert torch.equal(panels["target"], x) and not torch.equal(panels["shuffled"], x)
    assert not torch.equal(panels["solved"], x)
    answer(method.jigsaw.classifier[-1], F.one_hot(data["label"][1], 20) * 10.0)
    for head, bits in zip(method.turn_heads.values(), data["turns"][1].unbind(-1), strict=True):
        answer(head[-1], torch.where(bits, 1.0, -1.0))
    solved = method.panels(data)["solved"]
    assert torch.equal(solved[1], x[1]) and not torch.equal(solved[0], x[0])


def test_the_table_travels_with_the_weights():
    state = make().state_dict()
    make().load_state_dict(state)
    with pytest.raises(ValueError, match="with another table of permutations"):
        make(seed=1).load_state_dict(state)


def test_presets():
    kinds = {p: [type(layer).__name__ for layer in make(p).jigsaw.network.layers] for p in ("paper", "reference")}
    assert kinds == {"paper": ["Linear", "BatchNorm1d", "ReLU"], "reference": ["Linear", "ReLU", "BatchNorm1d"]}
