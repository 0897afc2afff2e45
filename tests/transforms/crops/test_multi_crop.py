"""Resized crops of random area and aspect."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from places import Places

from monai_ssl.transforms.crops.cut import resize
from monai_ssl.transforms.crops.multi_crop import RandMultiCropd

FLAT = {"out_size": (16, 16), "local_out_size": (8, 8)}
DEEP = {"out_size": (16, 16, 8), "local_out_size": (8, 8, 4)}


def windows(shape, count=300, **options):
    """Return the sizes of large and small windows, (count, D) each."""
    crop = RandMultiCropd("image", params_key="params", **options).set_random_state(0)
    drawn = [crop({"image": torch.zeros(1, *shape)})["params"] for _ in range(count)]
    return [np.concatenate([p[name] for p in drawn]) for name in ("sizes", "local_sizes")]


@pytest.mark.parametrize("options, shape", [(FLAT, (300, 400)), (DEEP, (96, 96, 64))], ids=["2-D", "3-D"])
def test_share_of_the_image_is_uniform_between_the_limits(options, shape):
    for sizes, (low, high) in zip(windows(shape, **options), ((0.3, 1.0), (0.05, 0.3)), strict=True):
        shares = sizes.prod(1) / np.prod(shape)
        assert shares.min() > 0.9 * low and shares.max() < 1.1 * high
    # small windows always fit, so no draw is lost
    np.testing.assert_allclose(np.quantile(shares, [0.25, 0.5, 0.75]), [0.1125, 0.175, 0.2375], rtol=0.08)


def test_small_windows_lie_inside_the_box_around_the_large_ones_where_asked():
    crop = RandMultiCropd("image", params_key="p", locals_from="views", **FLAT, scale=(0.1, 0.3)).set_random_state(0)
    beyond = 0
    for _ in range(100):
        p = crop({"image": torch.zeros(1, 90, 120)})["p"]
        low, high = p["starts"].min(0), (p["starts"] + p["sizes"]).max(0)
        assert (p["local_starts"] >= low).all() and (p["local_starts"] + p["local_sizes"] <= high).all()
        beyond += low.any() or (high < (90, 120)).any()
    assert beyond > 90, "else the box is the image"


def test_aspect_lies_between_the_limits_and_both_ways_alike():
    aspect = np.log(np.divide(*windows((512, 512), out_size=(32, 32), local_out_size=(8, 8))[1].T))
    assert np.abs(aspect).max() < np.log(4 / 3) + 0.03
    assert abs(aspect.mean()) < 0.02 and aspect.std() == pytest.approx(np.log(16 / 9) / 12**0.5, rel=0.1)


def test_aspect_follows_that_of_the_output():
    sizes = windows((128, 128, 64), out_size=(16, 16, 8), local_out_size=(8, 8, 2), ratio=(1, 1))[1]
    np.testing.assert_allclose(sizes[:, 0] / sizes[:, 1], 1)
    np.testing.assert_allclose(sizes[:, 0] / sizes[:, 2], 4, rtol=0.1)


def test_first_window_that_fits_is_taken():
    # square windows fit below half of this image: half of the draws
    sizes = windows((200, 400), scale=(0.3, 0.7), ratio=(1, 1), **FLAT)[0]
    assert (sizes[:, 0] == sizes[:, 1]).mean() > 0.97


@pytest.mark.parametrize("shape", [(8, 2000), (2000, 8)])
def test_windows_that_never_fit_are_shortened_to_the_image(shape):
    for sizes in windows(shape, count=50, **FLAT):
        assert (sizes.min(1) == 8).all() and (sizes <= shape).all()


def test_shortened_windows_still_differ_in_place():
    crop = RandMultiCropd("image", params_key="params", **DEEP).set_random_state(0)
    starts = crop({"image": torch.zeros(1, 128, 128, 10)})["params"]["starts"]
    assert not np.array_equal(*starts)


@pytest.mark.parametrize("options, shape", [(FLAT, (70, 60)), (DEEP, (40, 36, 30))], ids=["2-D", "3-D"])
def test_what_is_cut_and_read_is_where_the_parameters_say(options, shape):
    crop = RandMultiCropd("image", params_key="params", num_views=3, **options).set_random_state(3)
    for _ in range(10):
        scan = Places(*shape)
        out = crop({"image": scan})
        p = out["params"]
        assert len(out["locals"]) == 6
        starts, sizes = (np.concatenate([p[n], p[f"local_{n}"]]) for n in ("starts", "sizes"))
        expected = [tuple(zip(a.tolist(), (a + b).tolist(), strict=True)) for a, b in zip(starts, sizes, strict=True)]
        assert scan.read == expected
        for x, where in zip([out["view1"], out["view2"], out["view3"], *out["locals"]], expected, strict=True):
            window = torch.from_numpy(Places(*shape)[(slice(None), *(slice(*ends) for ends in where))])
            torch.testing.assert_close(x, resize(window, tuple(x.shape[1:])))
        assert out["view3"].shape[1:] == options["out_size"]
        assert out["locals"][5].shape[1:] == options["local_out_size"]


def test_gray_images_become_three_channels_and_colored_ones_stay():
    crop = RandMultiCropd("image", channels=3, **FLAT).set_random_state(0)
    gray = crop({"image": torch.rand(1, 40, 40)})["view1"]
    assert gray.shape == (3, 16, 16) and torch.equal(gray[0], gray[2]) and gray.is_contiguous()
    colored = crop({"image": torch.rand(3, 40, 40)})["view1"]
    assert colored.shape == (3, 16, 16) and not torch.equal(colored[0], colored[2])
    with pytest.raises(ValueError, match="`channels` 3 can only be made from one channel, the scan has 2"):
        crop({"image": torch.rand(2, 40, 40)})


def test_keys_follow_the_names():
    crop = RandMultiCropd("image", num_views=1, num_locals=0, names=("crop", "small"), **FLAT)
    assert set(crop({"image": torch.rand(1, 40, 40), "name": "a"})) == {"crop", "name"}
    crop = RandMultiCropd("image", num_views=2, num_locals=0, **FLAT)
    assert set(crop({"image": torch.rand(1, 40, 40)})) == {"view1", "view2"}


def test_windows_lie_in_the_body_and_cover_a_share_of_it():
    body = ((10, 4, 20), (50, 36, 60))
    crop = RandMultiCropd("image", margin="body", params_key="p", **DEEP).set_random_state(0)
    for _ in range(30):
        p = crop({"image": Places(64, 40, 70, body_box=body)})["p"]
        for kind, (low, high) in (("", (0.25, 1.0)), ("local_", (0.04, 0.32))):
            starts, sizes = p[f"{kind}starts"], p[f"{kind}sizes"]
            assert (starts >= body[0]).all() and (starts + sizes <= body[1]).all()
            shares = sizes.prod(1) / (40 * 32 * 40)
            assert low <= shares.min() and shares.max() <= high
    with pytest.raises(ValueError, match=r"`margin` leaves nothing of a scan of \[40, 40\] voxels"):
        RandMultiCropd("image", margin=20, **FLAT)({"image": torch.rand(1, 40, 40)})
