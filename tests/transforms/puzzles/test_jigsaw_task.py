"""JIG-4 and JIG-6 of docs/properties.md: shuffled cubes, put back exactly."""

import numpy as np
import pytest
import torch

from monai_ssl.transforms import RandJigsawd, permutation_table, permute_cells, restore_cells

TABLES = {3: permutation_table(8, 20), 2: permutation_table(9, 20)}
CUBES = {3: (5, 4, 3), 2: (7, 6)}


def task(dims, seed=0, **options):
    made = RandJigsawd("view", CUBES[dims], TABLES[dims], gap=2, jitter=3, params_key="did", **options)
    return made.set_random_state(seed)


def ask(dims, count=6, seed=0):
    made = task(dims, seed)
    x = torch.rand(count, 2, *made.grid.extent, generator=torch.Generator().manual_seed(seed))
    return made, x, made.batch({"view": x})


@pytest.mark.parametrize("dims", [2, 3])
def test_slot_s_holds_cell_perm_s(dims):
    made, x, done = ask(dims)
    slots = done["cells"].unflatten(0, (len(x), -1))
    assert slots.shape == (6, len(made.grid), 2, *CUBES[dims]) and done["label"].shape == (6,)
    for b, perm in enumerate(TABLES[dims][done["label"]].tolist()):
        for slot, cell in enumerate(perm):
            start = done["did"]["starts"][b, cell].tolist()
            where = tuple(slice(s, s + c) for s, c in zip(start, CUBES[dims], strict=True))
            assert torch.equal(slots[b, slot], x[(b, slice(None), *where)])


@pytest.mark.parametrize("dims", [2, 3])
def test_put_back_exactly(dims):
    made, x, done = ask(dims)
    slots = done["cells"].unflatten(0, (len(x), -1))
    cells = made.grid.gather(x, done["did"]["starts"])
    perm = TABLES[dims][done["label"]]
    assert torch.equal(restore_cells(slots, perm), cells) and torch.equal(permute_cells(cells, perm), slots)
    assert not torch.equal(slots, cells)


@pytest.mark.parametrize("dims", [2, 3])
def test_gap_and_labels_over_ten_thousand_draws(dims):
    made = task(dims)
    drawn = [made.draw((1, *made.grid.extent)) for _ in range(10_000)]
    counts = np.bincount([d["label"] for d in drawn], minlength=20)
    assert np.abs(counts - 500).max() < 3.3 * np.sqrt(10_000 * 0.05 * 0.95)
    at = np.stack([d["starts"] for d in drawn]).reshape(-1, *made.grid.cells, dims)
    for axis in range(dims):
        gaps = np.diff(at, axis=1 + axis)[..., axis] - CUBES[dims][axis]
        assert gaps.min() == 2 and gaps.max() == 8


def test_other_grids():
    made = RandJigsawd("view", (4, 4, 4), permutation_table(4, 10), cells=(2, 2, 1), gap=1, jitter=0, name="parts")
    assert made.batch({"view": torch.rand(2, 1, 9, 9, 4)})["parts"].shape == (8, 1, 4, 4, 4)


def test_refusals():
    with pytest.raises(ValueError, match="`permutations` order 8 cells, but the grid has 9: make the table"):
        RandJigsawd("view", (8, 8), TABLES[3])
    with pytest.raises(ValueError, match=r"2 x 2 x 2 cubes of 5 x 4 x 3 .* needs a view of 18 x 16 x 14 voxels, got"):
        task(3).batch({"view": torch.rand(1, 1, 18, 16, 13)})
