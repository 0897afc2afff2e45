import numpy as np
import pytest
import torch
from monai.data import MetaTensor

from monai_ssl.store import CTWindow, default_intensity
from monai_ssl.transfer import ScaleIntensityByPresetd, SetChannelsd


def test_intensities_are_those_of_the_preset_and_metadata_stays():
    image = MetaTensor(torch.tensor([[-2000.0, -1000, -150, 0, 1000, 3000]]), affine=torch.eye(4) * 2)
    out = ScaleIntensityByPresetd("image", "ct")({"image": image})["image"]
    torch.testing.assert_close(out.as_tensor(), torch.tensor([[0, 0, 0.425, 0.5, 1, 1]]))
    assert torch.equal(out.affine, image.affine) and out.dtype == torch.float32 and image[0, 0] == -2000
    window = CTWindow(-200, 200).to_dict()
    assert ScaleIntensityByPresetd("image", "ct", window)({"image": image})["image"].tolist()[0][2] == pytest.approx(
        0.125
    )
    with pytest.raises(ValueError, match="kind"):
        ScaleIntensityByPresetd("image", "ct", {"kind": "other"})


def test_plain_tensors_and_eight_bits():
    image = torch.arange(256, dtype=torch.uint8)[None]
    out = ScaleIntensityByPresetd("image", "xray")({"image": image})["image"]
    np.testing.assert_array_equal(out.numpy(), default_intensity("xray")(image.numpy()))
    assert out[0, 255] == 1


def test_channels():
    gray, color = torch.rand(1, 3, 4), torch.rand(3, 3, 4)
    opaque = torch.cat([color, torch.ones(1, 3, 4)])
    to = {n: SetChannelsd("image", n) for n in (1, 3, 5)}
    assert torch.equal(to[3]({"image": gray})["image"], gray.expand(3, -1, -1))
    assert to[3]({"image": color})["image"] is color
    assert torch.equal(to[3]({"image": opaque})["image"], color)
    torch.testing.assert_close(to[1]({"image": color})["image"], color.mean(0, keepdim=True))
    torch.testing.assert_close(to[1]({"image": opaque})["image"], color.mean(0, keepdim=True))
    with pytest.raises(ValueError, match=r"`image` has 3 channels, which cannot become 5: set `in_channels` to 3 or 1"):
        to[5]({"image": color})
