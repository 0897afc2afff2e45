import colorsys

import pytest
import torch
from contract import images, run

from monai_ssl.transforms import RandColorJitterd, RandGrayscaled

NAMES = ("brightness", "contrast", "saturation", "hue")


def with_order(params, order=(0, 1, 2, 3)):
    return params | {"order": torch.tensor([order] * len(params["hue"]))}


@pytest.mark.parametrize("turn", [-0.4, -1 / 3, 0.1, 0.5])
def test_hue_equals_the_standard_library(turn):
    x = images((3, 6, 5), batch=2)
    x[0, :, 0, 0] = 0.4  # gray
    x[0, :, 0, 1] = torch.tensor([1.0, 0.0, 0.0])
    one = torch.ones(2)
    params = {"brightness": one, "contrast": one, "saturation": one, "hue": one * turn}
    out = RandColorJitterd.kernel(x, with_order(params))
    for before, after in zip(x.movedim(1, -1).reshape(-1, 3), out.movedim(1, -1).reshape(-1, 3), strict=True):
        h, s, v = colorsys.rgb_to_hsv(*before.tolist())
        torch.testing.assert_close(after, torch.tensor(colorsys.hsv_to_rgb((h + turn) % 1, s, v)), atol=1e-5, rtol=0)


def test_gray_images_have_neither_saturation_nor_hue():
    x = images((1, 9, 8)).expand(-1, 3, -1, -1)
    out = run(RandColorJitterd("image", {"saturation": 0.9, "hue": 0.5}), x)
    torch.testing.assert_close(out, x, atol=1e-5, rtol=0)


def test_three_equal_channels_fare_as_one():
    x = images((1, 9, 8))
    torch.testing.assert_close(
        run(RandColorJitterd("image"), x.expand(-1, 3, -1, -1))[:, :1], run(RandColorJitterd("image"), x)
    )


def test_brightness_and_contrast_in_closed_form():
    x = images((1, 9, 8)) * 0.5 + 0.2
    out = RandColorJitterd("image", {"brightness": 0.1}, params_key="done").set_random_state(0).batch({"image": x})
    torch.testing.assert_close(out["image"], x * out["done"]["brightness"].reshape(-1, 1, 1, 1))
    out = RandColorJitterd("image", {"contrast": 0.1}, params_key="done").set_random_state(0).batch({"image": x})
    mean, factor = x.mean((1, 2, 3), keepdim=True), out["done"]["contrast"].reshape(-1, 1, 1, 1)
    torch.testing.assert_close(out["image"], mean + (x - mean) * factor)


def test_no_saturation_is_gray():
    x, one = images((3, 9, 8)), torch.ones(3)
    params = {"brightness": one, "contrast": one, "saturation": 0 * one, "hue": 0 * one}
    torch.testing.assert_close(RandColorJitterd.kernel(x, with_order(params)), run(RandGrayscaled("image", 1.0), x))


def test_range_of_the_draws():
    done = RandColorJitterd("image", params_key="done").set_random_state(0).batch({"image": torch.zeros(500, 3, 2, 2)})
    for name, value in done["done"].items():
        if name in NAMES:
            middle = 0.0 if name == "hue" else 1.0
            assert 0.38 < (value - middle).abs().max() <= 0.4 and (value - middle).mean().abs() < 0.05


def test_the_order_is_drawn_for_each_sample_and_kept():
    x = images((3, 9, 8), batch=40)
    done = RandColorJitterd("image", params_key="done").set_random_state(0).batch({"image": x})
    params, neutral = done["done"], {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.0}
    assert len({tuple(order.tolist()) for order in params["order"]}) > 12
    for sample, order, out in zip(range(40), params["order"], done["image"], strict=True):
        one = x[sample : sample + 1]
        for name in (NAMES[place] for place in order):
            alone = {k: torch.tensor([v]) for k, v in neutral.items()} | {name: params[name][sample : sample + 1]}
            one = RandColorJitterd.kernel(one, with_order(alone))
        torch.testing.assert_close(one[0], out, atol=2e-6, rtol=0)


def test_results_stay_in_range():
    out = run(
        RandColorJitterd("image", {"brightness": 1, "contrast": 1, "saturation": 1, "hue": 0.5}), images((3, 30, 30))
    )
    assert out.min() >= 0 and out.max() <= 1


def test_gray_is_luminance():
    x = images((3, 9, 8))
    out = run(RandGrayscaled("image", 1.0), x)
    gray = 0.299 * x[:, 0] + 0.587 * x[:, 1] + 0.114 * x[:, 2]
    for channel in out.unbind(1):
        torch.testing.assert_close(channel, gray)


def test_one_channel_is_gray_already():
    x = images((1, 9, 8))
    assert torch.equal(run(RandGrayscaled("image", 1.0), x), x)


@pytest.mark.parametrize("transform", [RandColorJitterd("image"), RandGrayscaled("image")])
def test_other_channels_are_refused(transform):
    with pytest.raises(ValueError, match=f"`{type(transform).__name__}` needs an image of 1 or 3 channels, got 2"):
        run(transform, images((2, 9, 8)))


@pytest.mark.parametrize("strength", [{"hue": 0.6}, {"gamma": 0.1}, -0.1, {"contrast": 1.5}])
def test_strength_has_limits(strength):
    with pytest.raises(ValueError, match="`strength` holds numbers from 0 up to"):
        RandColorJitterd("image", strength)
