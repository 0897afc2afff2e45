import pytest
import torch
from contract import images, run

from monai_ssl.transforms import RandCutoutd
from monai_ssl.transforms.masks.box_mask import box_mask


def test_holes_lie_where_the_params_say():
    x = images((2, 20, 17), batch=30) + 1
    out = RandCutoutd("image", 6, 3, params_key="done").set_random_state(0).batch({"image": x})
    for image, result, starts in zip(x, out["image"], out["done"]["start"].tolist(), strict=True):
        expected = image.clone()
        for a, b in starts:
            expected[:, max(a, 0) : max(a + 6, 0), max(b, 0) : max(b + 6, 0)] = 0
        assert torch.equal(result, expected)


@pytest.mark.parametrize("shape", [(9, 8), (5, 14), (14, 5)])
def test_every_voxel_may_be_hit_and_the_border_clips(shape):
    out = run(RandCutoutd("image", 4, 1), torch.ones(4000, 1, *shape)) == 0
    assert out.any(0).all()
    volume = out.flatten(1).sum(1)
    assert volume.max() == 16 and volume.min() == 4


def test_fill_and_no_holes():
    x = images((1, 9, 8))
    assert (run(RandCutoutd("image", 20, 1, fill=0.5), x) == 0.5).any()
    assert torch.equal(run(RandCutoutd("image", 4, 0), x), x)


def test_mask_of_no_box_is_empty():
    assert not box_mask(torch.zeros(2, 0, 3), torch.zeros(2, 0, 3), (4, 5, 6)).any()


def test_errors():
    with pytest.raises(ValueError, match="`size` has 2 numbers, but the image has 3 spatial axes"):
        run(RandCutoutd("image", (4, 4)), images((1, 9, 8, 7)))
