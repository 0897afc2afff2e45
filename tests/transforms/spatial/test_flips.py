import pytest
import torch
from contract import images, run

from monai_ssl.transforms import RandFlipBatchd
from monai_ssl.transforms.spatial import flips


def test_params_undo_the_flip():
    x = images((2, 6, 5, 4), batch=16)
    out = RandFlipBatchd("image", params_key="done").set_random_state(0).batch({"image": x})
    back = [s.flip([a + 1 for a in range(3) if f[a]]) for s, f in zip(out["image"], out["done"]["flip"], strict=True)]
    assert torch.equal(torch.stack(back), x)
    assert len({tuple(f.tolist()) for f in out["done"]["flip"]}) > 4


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_only_the_named_axis(axis):
    x = images((1, 6, 5, 4))
    assert torch.equal(run(RandFlipBatchd("image", [float(a == axis) for a in range(3)]), x), x.flip(axis + 2))


def test_an_accelerator_flips_like_a_cpu():
    flip = torch.cartesian_prod(*[torch.tensor([False, True])] * 3)
    x = images((2, 6, 5, 4), batch=len(flip))
    assert torch.equal(flips._flip_all(x, flip), flips._flip_each(x, flip))


def test_frequencies():
    transform = RandFlipBatchd("image", (0.5, 0.0, 0.2), params_key="done").set_random_state(0)
    drawn = transform.batch({"image": torch.zeros(4000, 1, 2, 2, 2)})["done"]["flip"].float().mean(0)
    torch.testing.assert_close(drawn, torch.tensor([0.5, 0.0, 0.2]), atol=0.03, rtol=0)


def test_errors():
    with pytest.raises(ValueError, match="`axis_prob` has 3 numbers, but the image has 2 spatial axes"):
        run(RandFlipBatchd("image", (0.5, 0, 0)), images((1, 6, 5)))
