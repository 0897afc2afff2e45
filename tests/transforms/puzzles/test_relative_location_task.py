"""RPL-1 to RPL-4 and RPL-6 of docs/properties.md: cubes, their directions and their gap."""

import numpy as np
import pytest
import torch

from monai_ssl.transforms import RandRelativeLocationd, directions

CUBES = {3: (5, 4, 3), 2: (7, 6)}


def coordinates(shape, batch=1):
    """The place of each voxel along each axis, as channels."""
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in shape), indexing="ij")
    return torch.stack(axes)[None].repeat(batch, 1, *[1] * len(shape))


def task(dims, seed=0, **options):
    made = RandRelativeLocationd("view", CUBES[dims], gap=2, jitter=3, params_key="did", **options)
    return made.set_random_state(seed)


def ask(dims, count=400, seed=0):
    made = task(dims, seed)
    return made.batch({"view": coordinates(made.grid.extent, count)})


@pytest.mark.parametrize("dims", [2, 3])
def test_labels_and_directions_are_one_to_one(dims):
    steps = directions(dims)
    assert steps.shape == (3**dims - 1, dims) and len(np.unique(steps, axis=0)) == len(steps)
    assert set(np.unique(steps)) == {-1, 0, 1} and np.abs(steps).max(1).all()
    assert np.array_equal(steps[::-1], -steps), "swapping the cubes maps a label to the last minus it"


def test_the_table_of_the_study():
    """Cell c of the row-major grid, c + 1 behind the middle: (i, j, k) = (id // 9, id // 3 % 3, id % 3) - 1."""
    for label, step in enumerate(directions(3)):
        cell = label if label < 13 else label + 1
        assert step.tolist() == [cell // 9 - 1, cell // 3 % 3 - 1, cell % 3 - 1]


@pytest.mark.parametrize("dims", [2, 3])
def test_the_query_lies_where_the_label_says(dims):
    done = ask(dims)
    apart = (done["query"] - done["anchor"]).flatten(2).mean(2)
    steps = torch.from_numpy(directions(dims))[done["label"]]
    at_one_level = steps == 0
    assert (apart[~at_one_level].sign() == steps[~at_one_level]).all()
    assert (apart[at_one_level].abs() <= 3).all() and set(done["label"].tolist()) == set(range(3**dims - 1))


@pytest.mark.parametrize("dims", [2, 3])
def test_gap_over_ten_thousand_draws(dims):
    random = task(dims)
    drawn = [random.draw((1, *random.grid.extent)) for _ in range(10_000)]
    starts = np.stack([d["starts"] for d in drawn])
    steps = directions(dims)[[d["label"] for d in drawn]]
    gaps = np.abs(starts[:, 1] - starts[:, 0]) - CUBES[dims]
    gaps = gaps[steps != 0]
    assert gaps.min() == 2 and gaps.max() == 2 + 2 * 3
    counts = np.bincount([d["label"] for d in drawn])
    share = 1 / len(counts)
    assert np.abs(counts - 10_000 * share).max() < 3.3 * np.sqrt(10_000 * share * (1 - share))


def test_refusals():
    with pytest.raises(ValueError, match=r"3 x 3 cubes of 8 x 8 voxels .* needs a view of 40 x 40 voxels, got 39 x 40"):
        RandRelativeLocationd("view", (8, 8), gap=2, jitter=4).batch({"view": torch.rand(2, 1, 39, 40)})
    with pytest.raises(ValueError, match=r"`names` must name the middle cube and the other, got \['a'\]"):
        RandRelativeLocationd("view", (8, 8), names=["a"])
