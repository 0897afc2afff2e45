import pytest
import torch
from contract import images, run

from monai_ssl.transforms import RandGaussianNoiseBatchd
from monai_ssl.transforms.intensity.noise import seeded_normal, seeded_uniform


def test_noise_has_the_drawn_strength():
    x = torch.zeros(30, 1, 30, 30, 10)
    out = RandGaussianNoiseBatchd("image", params_key="done").set_random_state(0).batch({"image": x})
    std = out["done"]["std"]
    torch.testing.assert_close(out["image"].flatten(1).std(1), std, atol=0.0, rtol=0.05)
    assert std.min() >= 0 and std.max() <= 0.25 and std.std() > 0.05
    assert (out["image"].flatten(1).mean(1).abs() <= 5 * std / 9000**0.5).all()


def test_mean():
    out = run(RandGaussianNoiseBatchd("image", (0, 0), mean=0.5), torch.zeros(2, 1, 4, 4))
    assert (out == 0.5).all()


def test_keys_get_the_same_noise():
    x = images((1, 9, 8))
    out = RandGaussianNoiseBatchd(["a", "b"]).batch({"a": x, "b": x + 1})
    torch.testing.assert_close(out["a"] + 1, out["b"])


@pytest.mark.parametrize("noise", [seeded_normal, seeded_uniform])
def test_noise_belongs_to_the_seed_not_to_the_place(noise):
    like = torch.empty(3, 2, 20, 20)
    a, b = noise(like, torch.tensor([1, 2, 3])), noise(like, torch.tensor([3, 1, 1]))
    assert torch.equal(a[[2, 0, 0]], b) and not torch.equal(a[0], a[1])
    assert torch.equal(noise(like.transpose(2, 3), torch.tensor([1, 2, 3])), a), "noise depends on strides"


def test_uniform_noise_is_uniform():
    noise = seeded_uniform(torch.empty(1, 1, 100, 100), torch.tensor([0]))
    assert noise.min() >= 0 and noise.max() <= 1
    torch.testing.assert_close(torch.histc(noise, 4, 0, 1) / 1e4, torch.full((4,), 0.25), atol=0.02, rtol=0)
