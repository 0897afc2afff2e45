import pytest
import torch
from contract import images, run

from monai_ssl.transforms import RandPatchSwapd


@pytest.mark.parametrize(("shape", "patch"), [((2, 20, 17, 14), (8, 4, 4)), ((3, 20, 17), (8, 4))])
def test_equals_swapping_in_sequence(shape, patch):
    x = images(shape)
    out = RandPatchSwapd("image", patch, params_key="done").set_random_state(0).batch({"image": x})
    for image, result, corners in zip(x, out["image"], out["done"]["corners"].tolist(), strict=True):
        expected = image.clone()
        for a, b in corners:
            first, second = (
                (slice(None), *(slice(c, c + p) for c, p in zip(corner, patch, strict=True))) for corner in (a, b)
            )
            kept = expected[first].clone()
            expected[first] = expected[second]
            expected[second] = kept
        assert torch.equal(result, expected)


def test_voxels_are_kept_and_channels_move_together():
    x = images((1, 20, 17, 14)).expand(-1, 2, -1, -1, -1)
    out = run(RandPatchSwapd("image"), x)
    assert torch.equal(out.flatten(2).sort()[0], x.flatten(2).sort()[0]) and torch.equal(out[:, 0], out[:, 1])


@pytest.mark.parametrize(("spatial", "patch"), [((20, 17, 14), 7), ((16, 8, 4), (8, 8, 4)), ((10, 10), 5)])
def test_pairs_never_overlap_and_reach_every_corner(spatial, patch):
    transform = RandPatchSwapd("image", patch, 2000, params_key="done").set_random_state(0)
    done = transform.batch({"image": torch.zeros(1, 1, *spatial)})["done"]
    corners, size = done["corners"][0], done["patch"][0].amax(0) + 1
    assert ((corners[:, 0] - corners[:, 1]).abs() >= size).any(1).all()
    assert corners.flatten(0, 1).amin(0).tolist() == [0] * len(spatial)
    assert corners.flatten(0, 1).amax(0).tolist() == (torch.tensor(spatial) - size).tolist()


def test_errors():
    for patch in (5, 10):
        with pytest.raises(ValueError, match=r"is too large for an image of \(9, 9\): two patches must fit"):
            run(RandPatchSwapd("image", patch), images((1, 9, 9)))
