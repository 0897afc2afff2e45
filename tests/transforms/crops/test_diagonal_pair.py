"""Two windows along a diagonal: what both show is the same, and its volume is what was drawn."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from monai_ssl.transforms import RandDiagonalPaird


def pair(x, size, seed=0, **options):
    return RandDiagonalPaird("view", size, params_key="done", **options).set_random_state(seed).batch({"view": x})


@given(st.lists(st.integers(8, 20), min_size=2, max_size=3), st.floats(0.2, 0.9), st.integers(0, 99))
def test_what_both_show_is_the_same_and_as_large_as_drawn(size, least, seed):
    room = [2 * n for n in size]
    x = torch.rand(3, 2, *room)
    out = pair(x, size, seed, overlap=(least, 0.95))
    for b in range(3):
        shared = []
        for i in ("1", "2"):
            assert out[f"view{i}"].shape == (3, 2, *size)
            low, high = out[f"box{i}"][b].tolist()
            assert all(0 <= a < b <= n for a, b, n in zip(low, high, size, strict=True))
            shared.append(out[f"view{i}"][b][(slice(None), *map(slice, low, high))])
        assert torch.equal(shared[0], shared[1])
        ratio = shared[0][0].numel() / torch.tensor(size).prod().item()
        # half a voxel at each axis
        rounding = sum(0.5 / n for n in size) * 1.2
        assert least - rounding <= ratio <= 0.95 + rounding
        start = out["done"]["start"][b].tolist()
        window = x[b][(slice(None), *(slice(s, s + n) for s, n in zip(start, size, strict=True)))]
        assert torch.equal(out["view1"][b], window)


def test_overlaps_are_uniform_and_split_anisotropically():
    transform = RandDiagonalPaird("view", [100, 100, 100]).set_random_state(0)
    drawn = [transform.draw((1, 200, 200, 200)) for _ in range(400)]
    shares = 1 - torch.tensor([one["shift"].tolist() for one in drawn]) / 100
    product = shares.prod(1)
    assert product.mean().item() == pytest.approx(0.6, abs=0.02) and product.std().item() == pytest.approx(
        0.1155, abs=0.01
    )
    assert shares.min() < 0.5 and (shares.amax(1) - shares.amin(1)).mean() > 0.2
    assert (shares.mean(0) - shares.mean()).abs().max() < 0.03, "no axis is preferred"


def test_an_image_without_room_is_refused():
    with pytest.raises(ValueError, match=r"overlap by 0.4 need images of at least \[26, 26\], got \[26, 25\]"):
        pair(torch.rand(1, 1, 26, 25), [16, 16])
    assert pair(torch.rand(1, 1, 26, 26), [16, 16])["view1"].shape == (1, 1, 16, 16)
