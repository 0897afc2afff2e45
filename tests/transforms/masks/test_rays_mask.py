"""Rays: TOWER-3, TOWER-5, TOWER-6 of docs/properties.md."""

import numpy as np
import pytest
import torch
from contract import images

from monai_ssl.transforms import RandBezierd, RandRaysMaskd, Snapshotd
from monai_ssl.transforms.masks import rays_mask
from monai_ssl.transforms.masks.rays import brightest, ray_ends, ray_mask


def blob(center, shape, width=6.0):
    """A bright spot on a noisy ground, (1, 1, *shape)."""
    axes = torch.meshgrid(*(torch.arange(s) - c for s, c in zip(shape, center, strict=True)), indexing="ij")
    spot = torch.exp(-sum(a.float() ** 2 for a in axes) / (2 * width**2))
    return (0.6 * spot + 0.3 * images((1, *shape), 1)[0, 0])[None, None]


def masked(shape, num_rays=80, **more):
    x = torch.full((2, 1, *shape), 0.5)
    x[0, 0][tuple(s // 2 for s in shape)] = x[1, 0][tuple(s // 3 for s in shape)] = 1
    transform = RandRaysMaskd("image", num_rays, params_key="done", blur_sigma=0.0, **more).set_random_state(0)
    out = transform.batch({"image": x})
    return (out["image"] == 0)[:, 0], out["done"]


@pytest.mark.parametrize(
    ("center", "shape"), [((40, 90), (128, 200)), ((110, 12), (128, 160)), ((20, 9, 30), (32, 40, 48))]
)
def test_origin_is_the_bright_spot_and_hidden(center, shape):
    x = blob(center, shape)
    out = RandRaysMaskd("image", blur_sigma=2.0, params_key="done").set_random_state(0).batch({"image": x})
    origin = out["done"]["origin"][0]
    assert (origin - torch.tensor(center)).abs().max() <= 2
    assert out["image"][0, 0][tuple(origin)] == 0


def test_a_single_bright_pixel_does_not_win_over_the_disc():
    x = blob((40, 90), (128, 200))
    x[0, 0, 5, 5] = 1.5
    assert (brightest(x, 2.0)[0] - torch.tensor([40, 90])).abs().max() <= 2
    assert brightest(x, 0.0)[0].tolist() == [5, 5]


def test_origin_of_colors_is_that_of_their_average():
    x = torch.zeros(1, 3, 9, 8)
    x[0, 0, 2, 3] = 0.9
    x[0, :, 7, 1] = 0.5
    assert brightest(x, 0.0).tolist() == [[7, 1]]


@pytest.mark.parametrize(
    ("shape", "thickness"), [((40, 56), 1), ((40, 56), 4), ((17, 64), 2.5), ((20, 12, 16), 3), ((20, 12, 16), 1)]
)
def test_hidden_is_what_lies_within_half_a_thickness_of_a_ray(shape, thickness):
    """Against the distance of every voxel to every segment, by brute force."""
    hidden, done = masked(shape, 7, thickness=thickness)
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), -1).reshape(-1, 1, len(shape))
    for mask, origin, ends in zip(hidden, done["origin"].numpy(), done["ends"].numpy(), strict=True):
        way = ends - origin
        t = ((grid - origin) * way).sum(-1) / np.maximum((way**2).sum(-1), 1)
        distance = np.linalg.norm(grid - origin - np.clip(t, 0, 1)[..., None] * way, axis=-1).min(1)
        certain = abs(distance - thickness / 2) > 1e-3
        np.testing.assert_array_equal(mask.numpy().ravel()[certain], (distance <= thickness / 2)[certain])


def test_hidden_area():
    """80 rays of 4 pixels hide about 27 % of an image of 512, and more rays more."""
    shares = [masked((512, 512), n)[0][0].float().mean().item() for n in (20, 80, 160)]
    assert 0.20 <= shares[1] <= 0.35 and shares[0] < shares[1] < shares[2]


@pytest.mark.parametrize(("side", "thickness"), [(512, 4), (224, 2), (64, 1), (1024, 8)])
def test_default_thickness_follows_the_shorter_side(side, thickness):
    assert RandRaysMaskd("image").draw((1, side, side + 100))["thickness"] == thickness


def test_ends_are_shared_out_to_the_borders():
    spatial = (20, 30, 14)
    random = np.random.RandomState(0)
    for num_rays in (1, 6, 9, 80):
        ends = ray_ends(random, num_rays, spatial)
        assert ends.shape == (num_rays, 3) and (ends >= 0).all() and (ends < spatial).all()
        assert ((ends == 0) | (ends == np.array(spatial) - 1)).any(1).all()
    ends = np.concatenate([ray_ends(random, 8, (1000, 1000)) for _ in range(50)])
    counts = [(ends[:, axis] == at).sum() for axis in (0, 1) for at in (0, 999)]
    assert all(100 <= count <= 103 for count in counts)
    first = np.array([ray_ends(random, 1, (1000, 1000))[0] for _ in range(400)])
    assert all(60 <= (first[:, axis] == at).sum() <= 140 for axis in (0, 1) for at in (0, 999))


def test_a_ball_around_the_origin():
    hidden, done = masked((60, 50), 1, origin_radius=8.0)
    rows, columns = torch.meshgrid(torch.arange(60), torch.arange(50), indexing="ij")
    for mask, (row, column) in zip(hidden, done["origin"].tolist(), strict=True):
        inside = (rows - row) ** 2 + (columns - column) ** 2 <= 64
        assert mask[inside].all() and (mask & ~inside).sum() < 200


def test_origin_stays_when_dark_becomes_bright():
    x = blob((40, 90), (128, 200))
    data = Snapshotd("view", "target").batch({"view": x})
    inverted = RandBezierd("view", 1.0, [[[0, 0], [1, 1]]], params_key="curve").set_random_state(2).batch(data)
    assert inverted["curve"]["decreasing"].all()
    kept = RandRaysMaskd("view", origin_key="target", params_key="done").set_random_state(0)
    lost = RandRaysMaskd("view", params_key="done").set_random_state(0)
    out = kept.batch(inverted)
    assert (out["done"]["origin"][0] - torch.tensor([40, 90])).abs().max() <= 2
    assert torch.equal(out["target"], x), "the image that is looked at changed"
    assert (lost.batch(inverted)["done"]["origin"][0] - torch.tensor([40, 90])).abs().max() > 10
    one = {k: v[0] for k, v in inverted.items() if k != "curve"}
    assert torch.equal(kept.set_random_state(0)(one)["view"], out["view"][0])


def test_only_treated_samples_are_masked_each_around_its_own_origin():
    x = torch.cat([blob(center, (64, 48)) for center in ((10, 10), (50, 40), (30, 20), (55, 8))])
    some = RandRaysMaskd("image", 4, prob=0.5, params_key="done").set_random_state(3).batch({"image": x})
    every = RandRaysMaskd("image", 4).set_random_state(3).batch({"image": x})["image"]
    applied = some["done"]["applied"]
    assert applied.any() and not applied.all()
    assert torch.equal(some["image"][applied], every[applied]) and torch.equal(some["image"][~applied], x[~applied])


@pytest.mark.parametrize("prob", [1.0, 0.5])
def test_rays_are_traced_once_for_all_keys(prob, monkeypatch):
    traced = []
    monkeypatch.setattr(rays_mask, "ray_mask", lambda *args: traced.append(len(args[0])) or ray_mask(*args))
    x = images((2, 40, 30), batch=6)
    transform = RandRaysMaskd(["image", "other"], prob=prob, visible_key="seen", params_key="done")
    out = transform.set_random_state(0).batch({"image": x, "other": x + 1})
    assert traced == [out["done"]["applied"].sum()]
    hidden = out["seen"] == 0
    assert hidden.any() and torch.equal(out["image"], x.masked_fill(hidden, 0))
    assert torch.equal(out["other"], (x + 1).masked_fill(hidden, 0))
    assert set(out["done"]) == {"applied", "ends", "thickness", "radius", "offsets", "origin"}


def test_an_image_to_look_at_must_be_there():
    for call in ("batch", "__call__"):
        with pytest.raises(
            KeyError, match="origin of its rays in `target`, which the batch lacks; keep the untransformed"
        ):
            getattr(RandRaysMaskd("image", origin_key="target"), call)({"image": images((1, 9, 9))})
