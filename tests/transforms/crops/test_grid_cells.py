"""Cells of a grid: RPL-3, RPL-6, JIG-6 of docs/properties.md, and what the cubes hold."""

import numpy as np
import pytest
import torch

from monai_ssl.transforms import CellGrid

GRIDS = [
    CellGrid((3, 3, 3), (8, 8, 4), gap=3, jitter=(4, 4, 2)),
    CellGrid((2, 2, 2), (6, 5, 4), gap=(1, 2, 3), jitter=0),
    CellGrid((3, 3), (7, 9), gap=0, jitter=5),
    CellGrid((4, 1, 2), (3, 3, 3), gap=2, jitter=1),
]


def coordinates(shape, batch=1):
    """Each voxel holds its own place, exactly recoverable, plus that of its sample."""
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in shape), indexing="ij")
    value = sum(axis * 1000.0**i for i, axis in enumerate(axes))
    return torch.stack([value + 1000.0 ** len(shape) * b for b in range(batch)])[:, None]


def starts_of(grid, count, shape=None, seed=0):
    random = np.random.RandomState(seed)
    return np.stack([grid.draw(random, grid.extent if shape is None else shape) for _ in range(count)])


@pytest.mark.parametrize("grid", GRIDS)
def test_gap_over_ten_thousand_draws(grid):
    """On every axis where two cells are neighbors the cubes are ``gap`` to ``gap + 2 jitter`` voxels apart."""
    starts = starts_of(grid, 10_000 // len(grid) + 1)
    assert starts.min() == 0 and np.array_equal((starts + grid.cube).max((0, 1)), grid.extent)
    at = starts.reshape(-1, *grid.cells, len(grid.cells))
    for axis, count in enumerate(grid.cells):
        if count == 1:
            continue
        low, high = np.take(at, range(count - 1), axis + 1), np.take(at, range(1, count), axis + 1)
        gaps = (high - low)[..., axis] - grid.cube[axis]
        assert gaps.min() >= grid.gap[axis] and gaps.max() <= grid.gap[axis] + 2 * grid.jitter[axis]
        if grid.jitter[axis]:
            assert gaps.min() == grid.gap[axis] and gaps.max() == grid.gap[axis] + 2 * grid.jitter[axis]


def test_cubes_never_overlap():
    grid = CellGrid((3, 3, 3), (4, 4, 4), gap=0, jitter=3)
    for starts in starts_of(grid, 50):
        seen = np.zeros(grid.extent, int)
        for start in starts:
            seen[tuple(slice(s, s + 4) for s in start)] += 1
        assert seen.max() == 1 and seen.sum() == 27 * 64


def test_every_offset_is_equally_likely():
    grid = CellGrid((2, 2), (4, 4), gap=1, jitter=3)
    counts = np.bincount(starts_of(grid, 4000)[:, 0, 0], minlength=4)
    assert np.abs(counts - 1000).max() < 3 * np.sqrt(4000 * 0.25 * 0.75)


def test_axes_and_cells_move_on_their_own():
    moves = starts_of(CellGrid((2, 2), (4, 4), gap=1, jitter=3), 4000).reshape(4000, -1)
    assert np.abs(np.corrcoef(moves.T) - np.eye(8)).max() < 0.08


@pytest.mark.parametrize("grid", GRIDS)
def test_gather_is_slicing(grid):
    shape = tuple(e + 3 for e in grid.extent)
    x = torch.cat([coordinates(shape, 3), -coordinates(shape, 3)], 1)
    before = x.clone()
    starts = starts_of(grid, 3, shape)
    cubes = grid.gather(x, torch.from_numpy(starts))
    assert cubes.dtype == x.dtype and cubes.shape == (3, len(grid), 2, *grid.cube) and cubes.is_contiguous()
    for b in range(3):
        for cube, start in zip(cubes[b], starts[b], strict=True):
            where = tuple(slice(s, s + c) for s, c in zip(start, grid.cube, strict=True))
            assert torch.equal(cube, x[(b, slice(None), *where)])
    cubes.zero_()
    assert torch.equal(x, before)


def test_the_grid_is_centered_in_a_larger_view():
    grid = CellGrid((2, 2), (4, 4), gap=1, jitter=0)
    assert grid.extent == (9, 9)
    assert starts_of(grid, 1, (13, 10))[0].tolist() == [[2, 0], [2, 5], [7, 0], [7, 5]]


@pytest.mark.parametrize("cells", [(2, 3), (2, 3, 4)])
def test_assembled_cubes_stand_in_their_places(cells):
    """Without gap and jitter the cubes side by side are the image."""
    grid = CellGrid(cells, (3, 4, 5)[: len(cells)], gap=0, jitter=0)
    x = torch.rand(2, 3, *grid.extent)
    cubes = grid.gather(x, torch.from_numpy(starts_of(grid, 2)))
    assert torch.equal(grid.assemble(cubes), x)


def test_refusals():
    with pytest.raises(ValueError, match=r"needs a view of 33 x 9 voxels, got 32 x 40: enlarge `roi_size`, or cut"):
        starts_of(CellGrid((3, 1), (8, 9), gap=(3, 0), jitter=(1, 0)), 1, (32, 40))
    with pytest.raises(ValueError, match=r"needs a view of 9 x 9 voxels, got 9 x 9 x 9"):
        CellGrid((2, 2), (4, 4), gap=1, jitter=0).origin((9, 9, 9))
    with pytest.raises(ValueError, match=r"`cells` must be given for 2 or 3 axes, got \[3\]"):
        CellGrid([3], [4])
    with pytest.raises(ValueError, match=r"`cube` of a grid .*at least 1, one for each of 2 axes, got \(4, 0\)"):
        CellGrid((2, 2), (4, 0))
    with pytest.raises(ValueError, match=r"`gap` of a grid .*at least 0, .* got \[1, 2, 3\]"):
        CellGrid((2, 2), (4, 4), gap=[1, 2, 3])
    with pytest.raises(ValueError, match=r"`jitter` of a grid .* got 0.5"):
        CellGrid((2, 2), (4, 4), jitter=0.5)
