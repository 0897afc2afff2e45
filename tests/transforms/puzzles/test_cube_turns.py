"""C++-1 to C++-4 and C++-6 of docs/properties.md: layers and cubes turned, and turned back exactly."""

import numpy as np
import pytest
import torch

from monai_ssl.transforms import RandCubeTurnsd, turn_cells, turn_cells_back, turn_layers, turn_layers_back

CASES = [
    ("layer", (12, 12, 12), (4, 4, 4)),
    ("layer", (12, 12, 6), (4, 4, 2)),
    ("layer", (12, 8, 6), (3, 4, 2)),
    ("layer", (12, 8), (4, 2)),
    ("independent", (12, 12, 6), (4, 4, 2)),
    ("independent", (12, 8, 6), (2, 2, 2)),
    ("independent", (12, 8), (3, 2)),
]
BACK = {"layer": turn_layers_back, "independent": turn_cells_back}


def coordinates(shape: tuple[int, ...], batch: int = 1) -> torch.Tensor:
    """Every voxel holds its own number."""
    return torch.arange(float(np.prod(shape))).reshape(1, 1, *shape).repeat(batch, 1, *[1] * len(shape))


def cell_numbers(shape: tuple[int, ...], cells: tuple[int, ...]) -> torch.Tensor:
    """Every voxel holds the number of its cube."""
    numbers = torch.arange(float(np.prod(cells))).reshape(1, 1, *cells)
    for axis, (side, n) in enumerate(zip(shape, cells, strict=True), start=2):
        numbers = numbers.repeat_interleave(side // n, dim=axis)
    return numbers


def run(task: RandCubeTurnsd, x: torch.Tensor, seed: int = 0):
    return task.set_random_state(seed).batch({"view": x})


@pytest.mark.parametrize(("mode", "shape", "cells"), CASES)
def test_turned_back_exactly_and_no_voxel_lost(mode, shape, cells):
    """C++-1 and the first half of C++-2, and the input stays."""
    x = torch.rand(6, 2, *shape, generator=torch.Generator().manual_seed(0))
    before = x.clone()
    done = run(RandCubeTurnsd("view", cells, mode), x)
    assert torch.equal(x, before) and done["view"].shape == x.shape
    assert torch.equal(BACK[mode](done["view"], done["ops"], cells), x)
    assert all(not torch.equal(a, b) for a, b in zip(done["view"], x, strict=True))
    assert torch.equal(done["view"].flatten(2).sort(-1).values, x.flatten(2).sort(-1).values)


@pytest.mark.parametrize(("shape", "cells"), [((12, 12, 12), (4, 4, 4)), ((12, 8), (4, 2))])
def test_what_no_turned_layer_crosses_stays(shape, cells):
    """C++-2."""
    x = coordinates(shape, 20)
    done = run(RandCubeTurnsd("view", cells, turned=1), x)
    for image, ops, out in zip(x, done["ops"], done["view"], strict=True):
        crossed = torch.zeros(shape, dtype=torch.bool)
        for axis, n in enumerate(cells):
            for layer in ops[axis].nonzero().flatten().tolist():
                side = shape[axis] // n
                crossed.movedim(axis, 0)[layer * side : (layer + 1) * side] = True
        assert torch.equal(out[0][~crossed], image[0][~crossed]) and not crossed.all()


@pytest.mark.parametrize("k", [1, 2, 3])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_layer_moves_as_one(axis, k):
    """C++-3: the layer across an axis is turned as a whole in the plane of the others, so neighbors stay neighbors."""
    x, turns = coordinates((8, 8, 8)), torch.zeros(1, 3, 4, dtype=torch.int64)
    turns[0, axis, 1] = k
    out = turn_layers(x, turns, (4, 4, 4))
    plane = [a for a in range(3) if a != axis]
    expected = x[0, 0].clone()
    expected.movedim(axis, 0)[2:4] = x[0, 0].rot90(k, plane).movedim(axis, 0)[2:4]
    assert torch.equal(out[0, 0], expected)


def test_axes_are_turned_one_after_the_other():
    x, turns = coordinates((4, 4, 4)), torch.tensor([[[1, 0], [0, 3], [2, 0]]])
    step = x
    for axis in range(3):
        only = torch.zeros_like(turns)
        only[:, axis] = turns[:, axis]
        step = turn_layers(step, only, (2, 2, 2))
    assert torch.equal(turn_layers(x, turns, (2, 2, 2)), step)
    assert not torch.equal(turn_layers_back(step, turns.flip(1), (2, 2, 2)), x)


def test_no_layer_to_turn_changes_nothing():
    """C++-4."""
    x = coordinates((8, 8, 8), 3)
    done = run(RandCubeTurnsd("view", turned=0), x)
    assert torch.equal(done["view"], x) and not done["ops"].any()


@pytest.mark.parametrize("turned", [1, 2, 4])
def test_which_layers_are_turned_and_how_far(turned):
    """Without replacement, each layer and each of 90, 180 and 270 degrees equally often."""
    task = RandCubeTurnsd("view", turned=turned).set_random_state(0)
    ops = np.stack([task.draw((1, 8, 8, 8))["ops"] for _ in range(2000)])
    assert ((ops > 0).sum(-1) == turned).all()
    share = turned / 4
    assert np.abs((ops > 0).mean(0) - share).max() < 4 * np.sqrt(share * (1 - share) / 2000) + 1e-9
    counts = np.bincount(ops[ops > 0], minlength=4)[1:]
    assert np.abs(counts / counts.sum() - 1 / 3).max() < 4 * np.sqrt(2 / 9 / counts.sum())


@pytest.mark.parametrize(
    ("shape", "cells", "square"),
    [((8, 8, 4), (4, 4, 2), [2]), ((8, 8, 8), (4, 4, 2), [2]), ((8, 4, 4), (2, 2, 2), [0]), ((8, 4), (2, 2), [])],
)
def test_layers_that_are_not_square_are_turned_by_half(shape, cells, square):
    """C++-6; and a layer whose cubes would not fall on each other counts as not square."""
    task = RandCubeTurnsd("view", cells, turned=1).set_random_state(0)
    ops = np.stack([task.draw((1, *shape))["ops"] for _ in range(200)])
    for axis in range(len(shape)):
        assert set(np.unique(ops[:, axis])) == ({0, 1, 2, 3} if axis in square else {0, 2})


def test_strips_of_an_image_are_turned_by_180_degrees():
    x, turns = coordinates((6, 4)), torch.tensor([[[0, 2, 0], [0, 0, 0]]])
    out = turn_layers(x, turns, (3, 2))[0, 0]
    assert torch.equal(out[2:4], x[0, 0, 2:4].flip(0, 1)) and torch.equal(out[:2], x[0, 0, :2])


def test_cubes_turn_in_their_places():
    """Mode of PCRLv1's comparison: 64 x 64 x 32 in 32 cubes of 16, each by any of the ten rotations."""
    cells = (4, 4, 2)
    numbers = cell_numbers((64, 64, 32), cells)
    done = run(RandCubeTurnsd("view", cells, "independent"), numbers.repeat(40, 1, 1, 1, 1))
    assert done["ops"].shape == (40, 32) and (done["view"] == numbers).all()
    counts = np.bincount(done["ops"].flatten(), minlength=10)
    assert len(counts) == 10 and np.abs(counts - 128).max() < 4 * np.sqrt(1280 * 0.09)
    x, labels = coordinates((8, 8, 8)), torch.zeros(1, 8, dtype=torch.int64)
    labels[0, 6] = 1  # the cube at (1, 1, 0)
    out = turn_cells(x, labels, (2, 2, 2))
    assert torch.equal(out[0, 0, 4:, 4:, :4], x[0, 0, 4:, 4:, :4].rot90(1, (0, 1)))
    assert (out != x).sum() == 4 * 4 * 4


def test_refusals():
    with pytest.raises(ValueError, match=r"`cells` must be two or three numbers of at least 1, got \[4\]"):
        RandCubeTurnsd("view", [4])
    with pytest.raises(ValueError, match="`turned` must be between 0 and the fewest layers, 2, got 3"):
        RandCubeTurnsd("view", (4, 4, 2), turned=3)
    RandCubeTurnsd("view", (4, 4, 2), "independent", turned=3)
    with pytest.raises(ValueError, match="8 x 8 x 6 cannot be cut into 4 x 4 x 4 equal cubes: make each side of `roi"):
        run(RandCubeTurnsd("view"), torch.rand(1, 1, 8, 8, 6))
    with pytest.raises(ValueError, match="8 x 8 cannot be cut into 4 x 4 x 4 equal cubes"):
        run(RandCubeTurnsd("view"), torch.rand(1, 1, 8, 8))
