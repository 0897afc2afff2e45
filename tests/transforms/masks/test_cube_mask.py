"""RKBP-1 to RKBP-3 of docs/properties.md: half of the voxels of some cubes are missing."""

import pytest
import torch

from monai_ssl.transforms import BatchViews, RandCubeMaskd, RandRubikd, permutation_table

SHAPES = [(1, 12, 11, 10), (3, 40, 33)]


def cubes(shape=(1, 12, 11, 10), count=40, seed=0):
    # above 0, so that a 0 was set
    return torch.rand(count, *shape, generator=torch.Generator().manual_seed(seed)) * 0.9 + 0.1


def mask(x, seed=0, **options):
    return RandCubeMaskd("cells", params_key="did", **options).set_random_state(seed).batch({"cells": x})


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("keep", [0.5, 0.2])
def test_masked_cubes_keep_a_part_of_their_voxels(shape, keep):
    """RKBP-1: the rest is 0 in all channels, survivors are unchanged, and so is every other cube."""
    x = cubes(shape)
    done = mask(x, keep=keep)
    masked, out = done["masked"], done["cells"]
    assert 8 < masked.sum() < 32 and not done["skipped"].any()
    assert torch.equal(out[~masked], x[~masked])
    gone = out[masked] == 0
    assert torch.equal(out[masked][~gone], x[masked][~gone])
    assert torch.equal(gone.all(1), gone.any(1)), "channels lack different voxels"
    voxels = x[0, 0].numel()
    kept = 1 - gone[:, 0].flatten(1).float().mean(1)
    assert (kept - keep).abs().max() < 4 * (keep * (1 - keep) / voxels) ** 0.5
    assert abs(kept.mean() - keep) < 3 * (keep * (1 - keep) / voxels / len(kept)) ** 0.5
    assert not torch.equal(gone[0], gone[1]), "each cube has a mask of its own"


def test_share_of_masked_cubes():
    x = cubes((1, 2, 2, 2), count=4000)
    for prob in (0.5, 0.2):
        found = mask(x, prob=prob)["masked"].float().mean()
        assert abs(found - prob) < 3 * (prob * (1 - prob) / 4000) ** 0.5


def test_empty_cubes_are_never_masked():
    """RKBP-3, and a cube with few voxels other than 0 counts as empty."""
    x = cubes(count=60)
    x[:20] = 0
    x[20:40] = 0
    x[20:40, :, 0, 0, :7] = 1.0  # 7 of 1320
    done = mask(x)
    chosen = done["did"]["chosen"]
    assert not done["masked"][:40].any() and torch.equal(done["masked"][40:], chosen[40:])
    assert torch.equal(done["skipped"][:40], chosen[:40]) and not done["skipped"][40:].any() and chosen[:40].any()
    assert torch.equal(done["cells"][:40], x[:40])
    few = mask(x, least=7 / 1320 - 1e-6)
    assert torch.equal(few["masked"][20:], chosen[20:]) and not few["masked"][:20].any()


def test_the_studys_code_masks_empty_cubes_too():
    done = mask(torch.zeros(40, 1, 4, 4, 4), least=0.0)
    assert torch.equal(done["masked"], done["did"]["chosen"]) and done["masked"].any()


def test_cubes_that_are_not_masked_are_those_of_the_puzzle():
    """RKBP-2: masking draws from its own stream, so the puzzle of the same seed stays the same."""
    puzzle = RandRubikd("view", (4, 4, 4), permutation_table(8, 20), gap=1, jitter=1)
    x = torch.rand(5, 1, *puzzle.grid.extent) + 0.1
    plain = BatchViews([puzzle]).set_random_state(3)({"view": x})
    both = BatchViews([puzzle, RandCubeMaskd("cells")]).set_random_state(3)({"view": x})
    assert all(torch.equal(both[key], plain[key]) for key in ("label", "turns"))
    masked = both["masked"]
    assert masked.shape == (40,) and masked.any() and not masked.all()
    assert torch.equal(both["cells"][~masked], plain["cells"][~masked])
    assert (both["cells"][masked] != plain["cells"][masked]).flatten(1).any(1).all()
