import pytest
import torch
from contract import SHAPES, images
from monai.data import MetaTensor

from monai_ssl.transforms import ImageNetNormalized, ZScored


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("channel_wise", [True, False])
def test_mean_zero_deviation_one(shape, channel_wise):
    x = images(shape) * torch.tensor([0.01, 1, 50]).reshape(3, *[1] * len(shape)) + 3
    before = x.clone()
    out = ZScored("image", channel_wise).batch({"image": x})["image"]
    groups = out.flatten(2) if channel_wise else out.flatten(1)
    assert groups.mean(-1).abs().max() < 1e-4
    torch.testing.assert_close(groups.std(-1, correction=0), torch.ones(groups.shape[:-1]), atol=1e-4, rtol=0)
    assert torch.equal(x, before) and out.dtype == torch.float32


def test_channels_keep_their_relation_unless_told():
    x = torch.stack([torch.rand(9, 9), torch.rand(9, 9) + 5])[None]
    together, apart = (ZScored("image", c).batch({"image": x})["image"].mean((2, 3))[0] for c in (False, True))
    assert together[1] - together[0] > 1 and apart.abs().max() < 1e-5


@pytest.mark.parametrize("value", [0.0, 0.1, 1 / 3, 1e-8, -1e4])
def test_a_constant_image_becomes_zero(value):
    out = ZScored("image").batch({"image": torch.full((2, 1, 64, 64, 8), value)})["image"]
    assert (out == 0).all()


@pytest.mark.parametrize("transform", [ZScored("image"), ImageNetNormalized("image")])
def test_batch_equals_singles_and_lists(transform):
    x = images((3, 9, 8))
    batch = transform.batch({"image": x})["image"]
    torch.testing.assert_close(torch.stack([transform({"image": s})["image"] for s in x]), batch)
    torch.testing.assert_close(torch.stack(transform({"image": list(x)})["image"]), batch)
    assert isinstance(transform({"image": MetaTensor(x[0])})["image"], MetaTensor)
    assert not isinstance(transform.batch({"image": MetaTensor(x)})["image"], MetaTensor)


def test_imagenet_statistics_become_zero_and_one():
    mean = torch.tensor([0.485, 0.456, 0.406]).reshape(1, 3, 1, 1)
    std = torch.tensor([0.229, 0.224, 0.225]).reshape(1, 3, 1, 1)
    for image, value in ((mean, 0.0), (mean + std, 1.0)):
        out = ImageNetNormalized("image").batch({"image": image.expand(2, 3, 4, 5)})["image"]
        torch.testing.assert_close(out, torch.full_like(out, value), atol=1e-6, rtol=0)


def test_imagenet_needs_three_channels():
    with pytest.raises(ValueError, match="`ImageNetNormalized` needs 3 channels, got 1: repeat a gray image"):
        ImageNetNormalized("image").batch({"image": torch.zeros(2, 1, 4, 4)})
