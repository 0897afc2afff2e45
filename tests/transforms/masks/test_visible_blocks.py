"""Blocks that stay visible, for masked image modeling."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_ssl.transforms import RandVisibleBlocksd


def visible(shape, batch=2, seed=0, **options):
    x = torch.rand(batch, *shape)
    out = RandVisibleBlocksd("view", params_key="done", **options).set_random_state(seed).batch({"view": x})
    assert torch.equal(out["view"], x)
    return out["visible"], out["done"]["visible"]


@given(st.integers(5, 40), st.integers(5, 40), st.integers(1, 7), st.integers(1, 7), st.floats(0.05, 0.95))
def test_exactly_the_share_of_whole_blocks_is_masked_in_every_sample(height, width, rows, columns, ratio):
    """By a loop over all voxels; blocks at the far border are cut, none is lost."""
    count = math.ceil(height / rows) * math.ceil(width / columns)
    masked = math.floor(round(ratio * count, 6))
    if masked == 0:
        with pytest.raises(ValueError, match="masks none: use smaller blocks"):
            visible((1, height, width), block=[rows, columns], mask_ratio=ratio)
        return
    seen, blocks = visible((3, height, width), block=[rows, columns], mask_ratio=ratio)
    assert seen.shape == (2, 1, height, width) and seen.dtype == torch.float32
    assert (~blocks).sum((1, 2)).tolist() == [masked] * 2
    expected = [[[blocks[b, i // rows, j // columns] for j in range(width)] for i in range(height)] for b in range(2)]
    assert torch.equal(seen[:, 0], torch.tensor(expected).float())


def test_samples_differ_and_a_seed_decides():
    first, _ = visible((1, 32, 32, 16), block=4)
    again, _ = visible((1, 32, 32, 16), block=4)
    assert torch.equal(first, again) and not torch.equal(first[0], first[1])
    assert first.mean((1, 2, 3, 4)).tolist() == [0.25, 0.25]


def test_a_size_that_blocks_do_not_divide():
    """100 voxels have 7 blocks of 16, the last of 4 voxels."""
    seen, blocks = visible((1, 100, 100, 100), batch=1, block=16)
    assert seen.shape == (1, 1, 100, 100, 100) and blocks.shape == (1, 7, 7, 7)
    assert torch.equal(seen[0, 0, 96:, :16, :16].unique(), blocks[0, 6, 0, 0].float()[None])


def test_one_sample_as_a_batch_of_one():
    transform = RandVisibleBlocksd("view", block=4).set_random_state(3)
    x = torch.rand(2, 1, 16, 16)
    singles = torch.stack([transform({"view": sample})["visible"] for sample in x])
    assert torch.equal(singles, RandVisibleBlocksd("view", block=4).set_random_state(3).batch({"view": x})["visible"])


@pytest.mark.parametrize("ratio", [0, 1, 1.5])
def test_nothing_or_all_masked_is_refused(ratio):
    with pytest.raises(ValueError, match=r"`mask_ratio` must be in \(0, 1\)"):
        RandVisibleBlocksd("view", mask_ratio=ratio)
