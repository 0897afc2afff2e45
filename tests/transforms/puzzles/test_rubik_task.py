"""RKB-1 to RKB-4 and RKB-6 of docs/properties.md: cubes shuffled and turned, put back exactly."""

import numpy as np
import pytest
import torch

from monai_ssl.transforms import RandRubikd, half_turn, permutation_table, restore_cells

TABLES = {3: permutation_table(8, 20), 2: permutation_table(9, 20)}
CUBES = {3: (5, 4, 3), 2: (7, 6)}


def task(dims, seed=0, **options):
    made = RandRubikd("view", CUBES[dims], TABLES[dims], gap=2, jitter=3, params_key="did", **options)
    return made.set_random_state(seed)


def ask(dims, count=6, seed=0, **options):
    made = task(dims, seed, **options)
    x = torch.rand(count, 2, *made.grid.extent, generator=torch.Generator().manual_seed(seed))
    return made, x, made.batch({"view": x})


def turned_by_hand(cube: torch.Tensor, bits: list[bool]) -> torch.Tensor:
    """Quarter turns, twice each: about the first axis, then about the third."""
    planes = [(2, 3), (1, 2)] if cube.ndim == 4 else [(1, 2)]
    for bit, plane in zip(bits, planes, strict=True):
        cube = cube.rot90(2, plane) if bit else cube
    return cube


@pytest.mark.parametrize("exclusive", [False, True])
@pytest.mark.parametrize("dims", [2, 3])
def test_turns_belong_to_slots_after_the_order(dims, exclusive):
    """RKB-4: slot s holds cell perm[s], turned by the bits of s; sides that differ stay as they are (RKB-6)."""
    made, x, done = ask(dims, exclusive=exclusive)
    slots = done["cells"].unflatten(0, (len(x), -1))
    assert slots.shape == (6, len(made.grid), 2, *CUBES[dims]) and done["turns"].shape == (6, len(made.grid), dims - 1)
    assert done["turns"].dtype == torch.bool and done["turns"].any() and not done["turns"].all()
    for b, perm in enumerate(TABLES[dims][done["label"]].tolist()):
        for slot, cell in enumerate(perm):
            start = done["did"]["starts"][b, cell].tolist()
            where = tuple(slice(s, s + c) for s, c in zip(start, CUBES[dims], strict=True))
            expected = turned_by_hand(x[(b, slice(None), *where)], done["turns"][b, slot].tolist())
            assert torch.equal(slots[b, slot], expected)


@pytest.mark.parametrize("dims", [2, 3])
def test_put_back_exactly(dims):
    """RKB-1: turns undo themselves, then the order is undone."""
    made, x, done = ask(dims)
    slots = done["cells"].unflatten(0, (len(x), -1))
    cells = made.grid.gather(x, done["did"]["starts"])
    assert torch.equal(restore_cells(half_turn(slots, done["turns"]), TABLES[dims][done["label"]]), cells)
    assert not torch.equal(slots, cells)


def test_both_turns_are_the_third():
    """RKB-2, on a volume without symmetry; and the four states differ, none of them mirrored."""
    cube = torch.rand(1, 1, 1, 5, 5, 5, generator=torch.Generator().manual_seed(0))
    states = [half_turn(cube, torch.tensor([[bits]])) for bits in ([0, 0], [1, 0], [0, 1], [1, 1])]
    assert torch.equal(states[0], cube)
    assert torch.equal(states[1], cube.rot90(2, (4, 5))) and torch.equal(states[2], cube.rot90(2, (3, 4)))
    assert torch.equal(states[3], cube.rot90(2, (3, 5)))
    assert all(not torch.equal(a, b) for i, a in enumerate(states) for b in states[:i])


def bits(dims, exclusive, draws=4000):
    made = task(dims, exclusive=exclusive)
    return np.stack([made.draw((1, *made.grid.extent))["turns"] for _ in range(draws)]).reshape(-1, dims - 1)


@pytest.mark.parametrize("dims", [2, 3])
def test_independent_bits_are_fair_and_uncorrelated(dims):
    drawn = bits(dims, exclusive=False)
    spread = 3 * np.sqrt(0.25 / len(drawn))
    assert np.abs(drawn.mean(0) - 0.5).max() < spread
    if dims == 3:
        assert abs(np.corrcoef(drawn.T)[0, 1]) < 3 / np.sqrt(len(drawn))


def test_exclusive_bits_are_thirds():
    drawn = bits(3, exclusive=True)
    assert np.abs(drawn.mean(0) - 1 / 3).max() < 3 * np.sqrt(2 / 9 / len(drawn))
    assert not drawn.all(1).any(), "never both"


def test_slots_are_turned_on_their_own():
    made = task(3)
    drawn = np.stack([made.draw((1, *made.grid.extent))["turns"][:, 0] for _ in range(4000)])
    between = np.corrcoef(drawn.T) - np.eye(8)
    assert np.abs(between).max() < 4 / np.sqrt(4000)


def test_refusals():
    with pytest.raises(ValueError, match="`permutations` order 8 cells, but the grid has 9: make the table"):
        RandRubikd("view", (8, 8), TABLES[3])
    with pytest.raises(ValueError, match=r"2 x 2 x 2 cubes of 5 x 4 x 3 .* needs a view of 18 x 16 x 14 voxels, got"):
        task(3).batch({"view": torch.rand(1, 1, 18, 16, 13)})
