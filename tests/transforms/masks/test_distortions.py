"""DiRA-10 of docs/properties.md: how often, how much, and what stays untouched."""

import numpy as np
import pytest
import torch
from contract import images

from monai_ssl.transforms import RandDistortiond
from monai_ssl.transforms.masks.distortions import KINDS

ONLY = {"cutout": (1, 0, 0), "outer_cutout": (0, 1, 0), "shuffling": (0, 0, 1), "none": (0, 0, 0)}


def distort(kind, x, seed=0):
    out = RandDistortiond("image", ONLY[kind], params_key="did").set_random_state(seed).batch({"image": x})
    return out["image"], out["did"]


def brute_boxes(params, i, spatial):
    """The union of the boxes of a sample, voxel by voxel of each box."""
    mask = np.zeros(spatial, dtype=bool)
    for start, size in zip(params["start"][i].tolist(), params["size"][i].tolist(), strict=True):
        mask[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))] |= min(size) > 0
    return mask


def test_frequencies_are_the_authors():
    x = torch.ones(4000, 1, 16, 16)
    params = RandDistortiond("image", params_key="did").set_random_state(1).batch({"image": x})["did"]
    shares = torch.bincount(params["kind"], minlength=4) / len(x)
    assert torch.allclose(shares, torch.tensor([0.30, 0.05, 0.30, 0.35]), atol=0.03)


@pytest.mark.parametrize("spatial", [(60, 45), (40, 32, 20)])
@pytest.mark.parametrize("kind", ["cutout", "outer_cutout"])
def test_zero_inside_or_outside_of_the_boxes_and_untouched_elsewhere(kind, spatial):
    x = images((2, *spatial), batch=8) + 0.1
    out, params = distort(kind, x)
    for i in range(len(x)):
        boxes = torch.from_numpy(brute_boxes(params, i, spatial))
        hidden = boxes if kind == "cutout" else ~boxes
        assert not out[i][:, hidden].any() and torch.equal(out[i][:, ~hidden], x[i][:, ~hidden])
        assert hidden.any() and not hidden.all()


@pytest.mark.parametrize(("kind", "low", "high"), [("cutout", 10, 70), ("outer_cutout", 224 - 70, 224 - 50)])
def test_boxes_of_the_authors_images(kind, low, high):
    _, params = distort(kind, torch.ones(300, 1, 224, 224))
    present = params["size"].amin(-1) > 0
    sizes, starts = params["size"][present], params["start"][present]
    assert sizes.min() == low and sizes.max() == high
    assert starts.min() == 3 and (224 - sizes - starts).min() == 3
    count = present.sum(1)
    assert count.min() == 1 and count.max() == 10 and abs(count.float().mean() - 6.51) < 0.4
    assert (present.long().diff(dim=1) <= 0).all(), "the first ones"


@pytest.mark.parametrize(("kind", "mean"), [("cutout", 0.178), ("outer_cutout", 0.22)])
def test_hidden_share_of_the_authors_images(kind, mean):
    out, _ = distort(kind, torch.ones(300, 1, 224, 224))
    hidden = (out == 0).float().mean((1, 2, 3))
    assert abs(hidden.mean() - mean) < 0.02


@pytest.mark.parametrize("spatial", [(90, 70), (40, 50, 33)])
def test_shuffling_exchanges_patches_one_pair_after_another(spatial):
    x = images((2, *spatial), batch=4)
    out, params = distort("shuffling", x)
    for i in range(len(x)):
        expected = x[i].clone()
        for (a, b), size in zip(params["corners"][i].tolist(), params["patch"][i].tolist(), strict=True):
            here, there = ((slice(None), *(slice(s, s + n) for s, n in zip(c, size, strict=True))) for c in (a, b))
            apart = any(abs(p - q) >= n for p, q, n in zip(a, b, size, strict=True))
            assert apart, "patches side by side"
            expected[here], expected[there] = expected[there].clone(), expected[here].clone()
        assert torch.equal(out[i], expected)
        assert torch.equal(out[i].flatten().sort().values, x[i].flatten().sort().values), "no value is lost"


def test_patches_of_the_authors_images():
    out, params = distort("shuffling", images((1, 224, 224), batch=50))
    assert params["patch"].min() == 10 and params["patch"].max() == 15
    assert params["corners"].min() >= 0 and (params["corners"] + params["patch"][:, :, None]).max() <= 224
    gap = (params["corners"][:, :, 0] - params["corners"][:, :, 1]).abs()
    assert (gap >= params["patch"]).any(-1).all(), "no pair overlaps"
    changed = (out != images((1, 224, 224), batch=50)).float().mean()
    assert abs(changed - 0.06) < 0.01


def test_none_is_the_image_itself():
    x = images((3, 20, 17))
    out, params = distort("none", x)
    assert torch.equal(out, x) and (params["kind"] == KINDS.index("none")).all()


@pytest.mark.parametrize("spatial", [(8, 8), (9, 200), (8, 12, 31)])
def test_small_images_are_distorted_too(spatial):
    for kind in ONLY:
        out, params = distort(kind, images((1, *spatial), batch=40))
        assert out.isfinite().all()
        assert (params["start"] >= 0).all() and (params["start"] + params["size"] <= torch.tensor(spatial)).all()


def test_mistakes_are_explained():
    for probs in ((0.5, 0.5), (0.9, 0.1, 0.1), (-0.1, 0.5, 0.5)):
        with pytest.raises(ValueError, match="`probs` must be the probabilities of cutout, outer cutout and shuffling"):
            RandDistortiond("image", probs)
    with pytest.raises(ValueError, match=r"needs at least 8 voxels along each axis, got an image of \[7, 20\]"):
        RandDistortiond("image").batch({"image": torch.ones(1, 1, 7, 20)})
