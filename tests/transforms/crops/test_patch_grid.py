"""All patches of a grid: they tile the view, move in their cells, and no pixel is in two of them."""

import pytest
import torch

from monai_ssl.transforms import RandPatchGridd

CASES = [
    ((1, 16, 16, 16), (4, 4, 4), (4, 4, 4)),
    ((2, 12, 16, 9), (4, 8, 3), (3, 2, 3)),
    ((3, 20, 24), (10, 8), (2, 3)),
]


def coordinates(shape, batch=2):
    """Images whose voxels hold their own number, from 1 on, so that zeros are frames."""
    count = torch.Size(shape).numel()
    return torch.stack([torch.arange(1.0, count + 1).reshape(shape) + count * i for i in range(batch)])


@pytest.mark.parametrize(("shape", "patch", "cells"), CASES)
def test_without_augmentation_the_patches_are_the_view(shape, patch, cells):
    task = RandPatchGridd("view", patch, cells, jitter=0, flip_prob=0.0)
    x = coordinates(shape)
    before = x.clone()
    out = task.batch({"view": x, "other": 3})
    assert set(out) == {"patches", "other"} and torch.equal(x, before)
    assert out["patches"].shape == (2 * len(task.grid), shape[0], *patch)
    rebuilt = task.grid.assemble(out["patches"].unflatten(0, (2, -1)))
    assert torch.equal(rebuilt, x), "no overlap, nothing left out, row-major and sample-major"


@pytest.mark.parametrize(("shape", "patch", "cells"), CASES)
def test_each_patch_is_what_was_drawn_in_a_frame_of_zeros(shape, patch, cells):
    task = RandPatchGridd("view", patch, cells, jitter=2, params_key="params").set_random_state(3)
    x = coordinates(shape)
    out = task.batch({"view": x})
    kept = [size - 2 for size in patch]
    patches = out["patches"].unflatten(0, (2, -1))
    for b in range(2):
        for n, (start, flip) in enumerate(zip(out["params"]["starts"][b], out["params"]["flip"][b], strict=True)):
            cut = x[b]
            for axis, (s, size) in enumerate(zip(start.tolist(), kept, strict=True), start=1):
                cut = cut.narrow(axis, s, size)
            cut = cut.flip(1) if flip else cut
            expected = torch.zeros(shape[0], *patch)
            expected[(slice(None), *(slice(1, 1 + size) for size in kept))] = cut
            assert torch.equal(patches[b, n], expected)
    seen = patches[patches > 0]
    assert len(seen.unique()) == len(seen), "no voxel is in two patches"


def test_patches_move_in_their_own_cell_and_flip_half_the_time():
    task = RandPatchGridd("view", (8, 8), (3, 3), jitter=3).set_random_state(0)
    drawn = [task.draw((1, 24, 24)) for _ in range(300)]
    moves = torch.stack([torch.as_tensor(d["starts"]) for d in drawn]) - 8 * torch.as_tensor(task.grid.positions())
    assert moves.unique().tolist() == [0, 1, 2, 3]
    assert len({tuple(m.flatten().tolist()) for m in moves}) == 300, "each patch is moved on its own"
    flips = torch.stack([torch.as_tensor(d["flip"]) for d in drawn]).float()
    assert flips.mean().item() == pytest.approx(0.5, abs=0.03)
    assert 0 < flips[0].mean() < 1
    assert not any(RandPatchGridd("view", (8, 8), (3, 3), flip_prob=0).draw((1, 24, 24))["flip"])


def test_odd_jitter_and_jitter_of_each_axis():
    out = RandPatchGridd("view", (8, 8, 4), (2, 2, 2), jitter=(3, 0, 2)).batch({"view": torch.ones(1, 1, 16, 16, 8)})
    filled = out["patches"][0, 0].nonzero()
    assert filled.amin(0).tolist() == [1, 0, 1] and filled.amax(0).tolist() == [5, 7, 2]


def test_single_samples_equal_a_batch_and_seeds_repeat():
    task = RandPatchGridd("view", (4, 4, 4), (2, 2, 2), jitter=1)
    x = torch.rand(3, 1, 8, 8, 8)
    whole = task.set_random_state(5).batch({"view": x})["patches"]
    task.set_random_state(5)
    single = [task({"view": sample})["patches"] for sample in x]
    assert all(isinstance(patches, list) and len(patches) == 8 for patches in single)
    assert torch.equal(torch.stack([p for patches in single for p in patches]), whole)
    assert torch.equal(task.set_random_state(5).batch({"view": x})["patches"], whole)
    assert not torch.equal(task.set_random_state(6).batch({"view": x})["patches"], whole)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jitter": 8}, r"`jitter` must leave a part of each patch of \[8, 8\] voxels, got 8"),
        ({"jitter": -1}, "`jitter` of a grid must be integers of at least 0"),
        ({"jitter": (1, 1, 1)}, "`jitter` has 3 numbers, but the image has 2 spatial axes"),
        ({"cells": (0, 2)}, "`cells` of a grid must be integers of at least 1"),
    ],
)
def test_mistakes_are_told(options, message):
    with pytest.raises(ValueError, match=message):
        RandPatchGridd("view", (8, 8), **({"cells": (2, 2)} | options))


def test_a_small_view_is_refused():
    with pytest.raises(ValueError, match=r"needs a view of 32 x 32 voxels, got 24 x 40: enlarge `roi_size`"):
        RandPatchGridd("view", (8, 8), (4, 4)).batch({"view": torch.rand(1, 1, 24, 40)})
