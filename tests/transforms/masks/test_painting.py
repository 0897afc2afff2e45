"""In-painting and out-painting: MG-3 of docs/properties.md."""

import pytest
import torch
from contract import images, run

from monai_ssl.transforms import RandOneOfd, RandPaintingd, Separatelyd
from monai_ssl.transforms.masks.box_mask import box_mask


def painted(in_prob, spatial=(24, 21, 14), count=200):
    x = torch.full((count, 1, *spatial), 2.0)
    out = RandPaintingd("image", 1.0, in_prob, params_key="done").set_random_state(0).batch({"image": x})
    return out["image"][:, 0] != 2, out["done"]


def test_only_the_drawn_boxes_change_when_painting_inward():
    changed, done = painted(1.0, count=20)
    for mask, start, size in zip(changed, done["start"].tolist(), done["size"].tolist(), strict=True):
        expected = torch.zeros_like(mask)
        for (x, y, z), (a, b, c) in zip(start, size, strict=True):
            expected[x : x + a, y : y + b, z : z + c] = True
        assert torch.equal(mask, expected)


def test_only_the_drawn_boxes_stay_when_painting_outward():
    changed, done = painted(0.0, count=20)
    assert torch.equal(~changed, box_mask(done["start"], done["size"], changed.shape[1:])[:, 0])


@pytest.mark.parametrize("in_prob", [0.0, 1.0])
def test_sides_and_margins(in_prob):
    _, done = painted(in_prob)
    there = done["size"].amin(2) > 0
    start, size = done["start"][there], done["size"][there]
    spatial = torch.tensor([24, 21, 14])
    low, high = (spatial // 6, spatial // 3) if in_prob else (spatial - 4 * spatial // 7, spatial - 3 * spatial // 7)
    assert (size.amin(0) == low).all() and (size.amax(0) == high).all()
    assert start.min() == 3 and ((start + size).amax(0) == spatial - 3).all()


def test_number_of_boxes():
    for in_prob, first in ((1.0, 0.95), (0.0, 1.0)):
        _, done = painted(in_prob, (14, 14), 4000)
        number = (done["size"].amin(2) > 0).sum(1).float()
        expected = torch.tensor([first * 0.95**k for k in range(5)])
        share = torch.stack([(number > k).float().mean() for k in range(5)])
        torch.testing.assert_close(share, expected, atol=0.02, rtol=0)


@pytest.mark.parametrize("in_prob", [0.0, 1.0])
def test_one_box_always(in_prob):
    x = torch.full((300, 1, 14, 14), 2.0)
    paint = RandPaintingd("image", 1.0, in_prob, max_boxes=1, box_prob=1.0, params_key="done").set_random_state(0)
    done = paint.batch({"image": x})["done"]
    assert done["size"].shape == (300, 1, 2) and (done["size"] > 0).all()


def test_shares():
    x = torch.full((2000, 1, 14, 14), 2.0)
    done = RandPaintingd("image", params_key="done").set_random_state(0).batch({"image": x})["done"]
    assert done["applied"].float().mean() == pytest.approx(0.9, abs=0.03)
    assert done["inward"].float().mean() == pytest.approx(0.2, abs=0.03)


def test_noise_is_uniform_and_voxel_by_voxel():
    out = run(RandPaintingd("image", 1.0, 0.0), torch.full((1, 1, 40, 40, 40), 2.0))
    noise = out[out != 2]
    assert noise.min() >= 0 and noise.max() <= 1 and noise.mean() == pytest.approx(0.5, abs=0.01)
    assert len(noise.unique()) > 0.9 * len(noise)


def test_channels_share_boxes_and_noise():
    x = torch.full((4, 3, 20, 20), 2.0)
    out = run(RandPaintingd("image", 1.0), x)
    assert torch.equal(out[:, 0], out[:, 1]) and torch.equal(out[:, 0], out[:, 2]) and (out != 2).any()


@pytest.mark.parametrize("shape", [(64, 64, 32), (36, 36, 18)])
def test_painted_shares(shape):
    """Hidden: at most 5 / 27 inward; 0.5 to 0.95 outward, where the frame of 3 voxels is always noise."""
    inward = painted(1.0, shape, 60)[0].flatten(1).float().mean(1)
    assert inward.max() <= 5 / 27 and inward.mean() == pytest.approx(0.055, abs=0.015)
    outward = painted(0.0, shape, 60)[0]
    hidden = outward.flatten(1).float().mean(1)
    assert hidden.min() >= 0.5 and hidden.max() <= 0.95 and hidden.mean() == pytest.approx(0.68, abs=0.05)
    inner = outward[:, 3:-3, 3:-3, 3:-3]
    assert outward.sum() - inner.sum() == outward[:, 0].numel() * shape[0] - inner.numel()


def test_two_views_may_share_in_or_out_alone():
    def separately(in_prob):
        return Separatelyd(["view1", "view2"], [RandPaintingd("image", 1.0, in_prob)])

    # most of the image stays inward, most is noise outward
    views = RandOneOfd([separately(1.0), separately(0.0)], [0.2, 0.8]).set_random_state(0)
    x = torch.full((400, 1, 16, 16), 2.0)
    out = views.batch({"view1": x, "view2": x})
    hidden = [(out[key] != 2).flatten(1).float().mean(1) for key in ("view1", "view2")]
    outward = [h > 0.45 for h in hidden]
    assert torch.equal(*outward) and outward[0].float().mean() == pytest.approx(0.8, abs=0.06)
    assert (hidden[0] != hidden[1]).float().mean() > 0.5 and not torch.equal(out["view1"], out["view2"])


def test_small_images():
    assert run(RandPaintingd("image", 1.0, 1.0), images((1, 8, 8))).shape == (3, 1, 8, 8)
    assert run(RandPaintingd("image", 1.0, 0.0), images((1, 14, 14))).shape == (3, 1, 14, 14)
    for in_prob, side in ((1.0, 7), (0.0, 13), (1.0, 4)):
        with pytest.raises(ValueError, match=rf"An image of \({side}, 30\) is too small .* needs at least 14"):
            run(RandPaintingd("image", 1.0, in_prob), images((1, side, 30)))
