"""Several windows of a scan, two views of each."""

import numpy as np
import pytest
import torch

from monai_ssl.transforms import RandScanCropsd


def cut(scan, seed=0, **options):
    options = {"out_size": (8, 8, 8)[: scan.ndim - 1], "number": 5, "params_key": "done"} | options
    return RandScanCropsd("image", **options).set_random_state(seed)({"image": scan})


@pytest.mark.parametrize("shape", [(20, 17, 30), (40, 25)])
def test_views_show_their_place_of_their_window(shape):
    """The scan holds its own coordinates: the average of a view is the center of its box."""
    axes = torch.meshgrid(*(torch.arange(float(side)) for side in shape), indexing="ij")
    out = cut(torch.stack(axes), scale=(0.2, 1.0))
    done = out["done"]
    for name, number in (("view1", 0), ("view2", 1)):
        start, size = done["view_start"][:, number], done["view_size"][:, number]
        centers = torch.stack([view.flatten(1).mean(1) for view in out[name]])
        np.testing.assert_allclose(centers, start + (size - 1) / 2, atol=0.35)
        assert (start >= done["start"]).all() and (start + size <= done["start"] + done["size"]).all()
    assert (done["size"] == 8).all() and (done["start"] + done["size"] <= shape).all()
    assert not np.array_equal(done["view_start"][:, 0], done["view_start"][:, 1])
    assert {tuple(view.shape) for view in out["view1"]} == {(len(shape), *done["size"][0].tolist())}


def test_shares_of_a_window_and_small_scans():
    sizes = cut(torch.rand(1, 60, 60), number=400, out_size=(40, 40), scale=(0.25, 1.0))["done"]["view_size"]
    assert sizes.min() == 20 and sizes.max() == 40
    out = cut(torch.rand(1, 60, 8, 9), out_size=(16, 16, 16))
    assert out["done"]["size"][0].tolist() == [16, 8, 9] and out["view2"][0].shape == (1, 16, 16, 16)


def test_one_window_has_nothing_to_be_compared_with():
    with pytest.raises(ValueError, match="`number` must be at least 2"):
        RandScanCropsd("image", (8, 8), number=1)
