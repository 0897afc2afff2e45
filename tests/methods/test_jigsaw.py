"""Jigsaw: JIG-7 of docs/properties.md, and the head."""

import pytest
import torch

from monai_ssl.methods import Jigsaw
from monai_ssl.networks import ConvEncoder, ResNetEncoder
from monai_ssl.transforms import RandJigsawd, permutation_table

SMALL = {
    "pretrain": {"roi_size": [24, 24, 24], "cube_size": [8, 8, 8], "gap": 2, "jitter": 2},
    "pretrain_2d": {"roi_size": [112, 112], "cube_size": [32, 32], "gap": 1, "jitter": 2},
}
MOVES = {"permutation": ("network.", "classifier.")}
CELLS = {3: 8, 2: 9}


def make(preset="paper", dims=3, rows=20, seed=0, **options):
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(8, 16, 16)) if dims == 3 else ResNetEncoder(width=4)
    return Jigsaw(encoder, permutation_table(CELLS[dims], rows, seed=seed), preset, **options)


def puzzle(dims=3, size=4, rows=20):
    cube = (8, 8, 8) if dims == 3 else (32, 32)
    task = RandJigsawd("view", cube, permutation_table(CELLS[dims], rows), gap=0, jitter=0)
    x = torch.rand(size, 4 - dims if dims == 3 else 3, *task.grid.extent, generator=torch.Generator().manual_seed(0))
    return x, task.set_random_state(0).batch({"view": x})


def count(module):
    return sum(p.numel() for p in module.parameters())


@pytest.mark.parametrize("dims", [2, 3])
def test_one_network_for_all_cubes(dims):
    """64 numbers a cube by shared layers, two hidden layers of 1024, a logit for each permutation."""
    method, (_, data) = make(dims=dims, rows=100), puzzle(dims)
    embedding = (method.encoder.channels[-1] + 1) * 64 + 2 * 64
    head = (CELLS[dims] * 64 + 1) * 1024 + 1025 * 1024 + 1025 * 100
    assert count(method) == count(method.encoder) + embedding + head
    assert method.logits(data["cells"]).shape == (4, 100)


def test_every_cube_is_looked_at_in_its_slot():
    method, (_, data) = make().eval(), puzzle()
    cells = data["cells"].requires_grad_()
    method(data)["permutation"].backward()
    assert (cells.grad.flatten(1).abs().sum(1) > 0).all()
    slots = cells.detach().unflatten(0, (4, 8))
    assert not torch.allclose(method.logits(cells), method.logits(slots.flip(1).flatten(0, 1)))
    (of_the_second,) = torch.autograd.grad(method.logits(cells)[1].sum(), cells)
    reached = (of_the_second.flatten(1).abs().sum(1) > 0).nonzero().flatten()
    assert reached.tolist() == list(range(8, 16)), "samples must not mix"


@pytest.mark.parametrize("dims", [2, 3])
def test_the_solved_puzzle_is_the_image(dims):
    x, data = puzzle(dims)
    method = make(dims=dims).eval()
    panels = method.panels(data)
    assert torch.equal(panels["target"], x) and panels["solved"].shape == panels["shuffled"].shape == x.shape
    assert not torch.equal(panels["shuffled"], x)
    last = method.classifier[-1]
    torch.nn.init.zeros_(last.weight)
    with torch.no_grad():
        last.bias[:] = torch.nn.functional.one_hot(data["label"][0], 20) * 10.0
    solved = method.panels(data)["solved"]
    right = data["label"] == data["label"][0]
    assert not right.all()
    assert [torch.equal(made, image) for made, image in zip(solved, x, strict=True)] == right.tolist()


def test_panels_of_a_grid_that_is_no_cube_stand_in_a_row():
    torch.manual_seed(0)
    method = Jigsaw(ConvEncoder(widths=(8, 16, 16)), permutation_table(4, 5)).eval()
    data = {"cells": torch.rand(8, 1, 8, 8, 8), "label": torch.tensor([0, 3])}
    assert method.panels(data)["shuffled"].shape == (2, 1, 32, 8, 8)


def test_the_table_travels_with_the_weights():
    method = make()
    state = method.state_dict()
    assert torch.equal(state["permutations"], permutation_table(8, 20))
    make().load_state_dict(state)
    with pytest.raises(ValueError, match=r"with another table of permutations, .*: build the table with the `count`"):
        make(seed=1).load_state_dict(state)
    with pytest.raises(ValueError, match="another table"):
        make(rows=21).load_state_dict(state)


def test_presets():
    kinds = {p: [type(layer).__name__ for layer in make(p).network.layers] for p in ("paper", "reference")}
    assert kinds == {"paper": ["Linear", "BatchNorm1d", "ReLU"], "reference": ["Linear", "ReLU", "BatchNorm1d"]}
