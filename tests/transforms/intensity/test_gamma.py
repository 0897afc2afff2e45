import torch
from contract import images, run

from monai_ssl.transforms import RandSignedGammad


def test_closed_form():
    x = images((1, 9, 8)) * 4 - 2
    out = RandSignedGammad("image", params_key="done").set_random_state(0).batch({"image": x})
    for image, result, log_gamma in zip(x, out["image"], out["done"]["log_gamma"], strict=True):
        torch.testing.assert_close(result, image.sign() * image.abs() ** log_gamma.exp())


def test_zero_one_and_the_order_stay():
    x = (torch.arange(-10, 11) / 10).reshape(1, 1, 21).expand(4, 1, 21)
    out = run(RandSignedGammad("image"), x)
    assert torch.equal(out[..., [0, 10, 20]], x[..., [0, 10, 20]]) and (out.diff() > 0).all()
    torch.testing.assert_close(out, -out.flip(2))


def test_range():
    transform = RandSignedGammad("image", (-0.3, 0.3), params_key="done").set_random_state(0)
    drawn = transform.batch({"image": torch.zeros(500, 1, 2, 2)})["done"]["log_gamma"]
    assert drawn.abs().max() <= 0.3 and drawn.min() < -0.28 and drawn.max() > 0.28
