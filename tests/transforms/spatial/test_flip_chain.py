"""The chain of flips of Models Genesis: MG-5 of docs/properties.md."""

import pytest
import torch
from contract import images

from monai_ssl.transforms import RandFlipChaind


@pytest.mark.parametrize("dims", [2, 3])
def test_hits_every_spatial_axis_and_only_those(dims):
    x = images((2, 6, 5, 4)[: dims + 1], batch=200)
    transform = RandFlipChaind(["image", "target"], 1.0, params_key="done").set_random_state(0)
    out = transform.batch({"image": x, "target": x})
    assert torch.equal(out["image"], out["target"])
    flips = out["done"]["flip"]
    assert flips.shape == (200, dims) and flips.any(0).all() and not flips.all(0).any()
    back = [s.flip([a + 1 for a in range(dims) if f[a]]) for s, f in zip(out["image"], flips, strict=True)]
    assert torch.equal(torch.stack(back), x)


def test_frequencies_are_those_of_a_chain():
    """Rounds 0, 1, 2, 3 come with 0.6, 0.24, 0.096, 0.064; an even number on one axis cancels."""
    transform = RandFlipChaind("image", params_key="done").set_random_state(0)
    flips = transform.batch({"image": torch.zeros(6000, 1, 2, 2, 2)})["done"]["flip"]
    shares = torch.stack([(flips.sum(1) == n).float().mean() for n in range(4)])
    # three axes: two rounds cancel with 1/3; three rounds leave one flip with 7/9, three with 2/9
    expected = torch.tensor([0.6 + 0.096 / 3, 0.24 + 0.064 * 7 / 9, 0.096 * 2 / 3, 0.064 * 2 / 9])
    torch.testing.assert_close(shares, expected, atol=0.02, rtol=0)
    alike = flips.float().mean(0)
    torch.testing.assert_close(alike, alike.mean().expand(3), atol=0.02, rtol=0)
