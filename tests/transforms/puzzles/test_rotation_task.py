"""ROT-1 to ROT-7 of docs/properties.md: the ten rotations of a volume and the four of an image."""

from itertools import combinations, permutations, product

import numpy as np
import pytest
import torch

from monai_ssl.transforms import RandRotationTaskd, num_rotations, rotate, rotate_back, valid_rotations

CUBE, SQUARE = (5, 5, 5), (6, 6)


def asymmetric(shape, batch, dtype=torch.float32):
    """No rotation maps it to itself."""
    one = torch.randperm(int(np.prod(shape)), generator=torch.Generator().manual_seed(0)).reshape(1, 1, *shape)
    return one.repeat(batch, 2, *[1] * len(shape)).to(dtype)


def draws(shape, count, seed=0, **options):
    task = RandRotationTaskd("view", **options).set_random_state(seed)
    return task.batch({"view": torch.zeros(count, 1, *shape)})["label"]


def every(shape):
    labels = torch.tensor(valid_rotations(shape))
    return labels, rotate(asymmetric(shape, len(labels)), labels)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int16, torch.float64, torch.bool])
@pytest.mark.parametrize("shape", [CUBE, SQUARE, (4, 4, 6), (4, 5, 6), (4, 7)])
def test_undone_exactly(shape, dtype):
    labels = torch.tensor(valid_rotations(shape))
    x = asymmetric(shape, len(labels), dtype)
    assert torch.equal(rotate_back(rotate(x, labels), labels), x)
    assert torch.equal(rotate(rotate_back(x, labels), labels), x)


def proper_rotations(x):
    """All 24 (4 in 2-D) rotations of a (D-dimensional) array: permuted and flipped axes with determinant +1."""
    dims = x.ndim
    for order in permutations(range(dims)):
        parity = sum(a > b for a, b in combinations(order, 2))
        for flips in product((False, True), repeat=dims):
            if (parity + sum(flips)) % 2 == 0:
                yield x.permute(order).flip([axis for axis in range(dims) if flips[axis]])


@pytest.mark.parametrize(("shape", "count", "group"), [(CUBE, 10, 24), (SQUARE, 4, 4)])
def test_labels_differ_and_none_is_a_mirror_image(shape, count, group):
    _, turned = every(shape)
    assert len(turned) == count == num_rotations(len(shape))
    assert all(not torch.equal(a, b) for a, b in combinations(turned, 2))
    proper = list(proper_rotations(asymmetric(shape, 1)[0, 0]))
    assert len(proper) == group
    for one in turned:
        assert any(torch.equal(one[0], p) for p in proper)


def test_the_table_of_the_study():
    """Quarter turns in three planes, the last two in reverse order; label 0 turns nothing."""
    x = asymmetric(CUBE, 1)[0, 0]
    expected = [x, *(torch.rot90(x, k, (0, 1)) for k in (1, 2, 3))]
    expected += [torch.rot90(x, k, plane) for plane in ((1, 2), (0, 2)) for k in (3, 2, 1)]
    assert all(torch.equal(a[0], b) for a, b in zip(every(CUBE)[1], expected, strict=True))


@pytest.mark.parametrize("shape", [CUBE, SQUARE, (4, 4, 6), (4, 5, 6)])
def test_every_label_equally_often(shape):
    valid = valid_rotations(shape)
    labels = draws(shape, 10_000)
    counts = torch.bincount(labels, minlength=10)[list(valid)].double()
    share = 1 / len(valid)
    assert counts.sum() == 10_000
    assert (counts - 10_000 * share).abs().max() < 3 * np.sqrt(10_000 * share * (1 - share))


def test_labels_follow_the_seed_and_nothing_else():
    assert torch.equal(draws(CUBE, 64, seed=1), draws(CUBE, 64, seed=1))
    assert not torch.equal(draws(CUBE, 64, seed=1), draws(CUBE, 64, seed=2))
    task, x = RandRotationTaskd("view"), asymmetric(CUBE, 64)
    for image in (x / 7, x.flip(0), x[:, :1]):
        assert torch.equal(task.set_random_state(1).batch({"view": image})["label"], draws(CUBE, 64, seed=1))


def test_subsets_keep_the_shape():
    assert valid_rotations(CUBE) == tuple(range(10))
    assert valid_rotations((4, 4, 6)) == (0, 1, 2, 3, 5, 8) and valid_rotations((4, 5, 6)) == (0, 2, 5, 8)
    assert valid_rotations((6, 4, 4)) == (0, 2, 4, 5, 6, 8) and valid_rotations((4, 6, 4)) == (0, 2, 5, 7, 8, 9)
    assert valid_rotations((5, 5)) == (0, 1, 2, 3) and valid_rotations((5, 6)) == (0, 2)
    assert set(draws((4, 5, 6), 200).tolist()) == {0, 2, 5, 8}
    assert set(draws(CUBE, 200, labels=[0, 4]).tolist()) == {0, 4}


@pytest.mark.parametrize("shape", [CUBE, (4, 4, 6), SQUARE])
def test_voxels_move_and_none_is_lost(shape):
    labels, turned = every(shape)
    x = asymmetric(shape, len(labels))
    assert torch.equal(turned.flatten(2).sort(2).values, x.flatten(2).sort(2).values)


def test_refusals():
    with pytest.raises(ValueError, match=r"`labels` of rotations must be some of 0 to 9, got \[0, 10\]"):
        RandRotationTaskd("view", labels=[0, 10])
    with pytest.raises(ValueError, match=r"must be some of 0 to 9, got \[\]"):
        RandRotationTaskd("view", labels=[])
    with pytest.raises(ValueError, match=r"4 x 5 x 6 keeps its shape under the rotations \[0, 2, 5, 8\] only, but"):
        draws((4, 5, 6), 1, labels=[0, 1])
    with pytest.raises(ValueError, match="make `roi_size` a cube"):
        draws((4, 4), 1, labels=[5])
