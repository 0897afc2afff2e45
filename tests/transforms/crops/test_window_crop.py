"""One window of a scan."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from places import Places

from monai_ssl.transforms import RandWindowCropd
from monai_ssl.transforms.crops.cut import resize

CASES = {"3-D": ((8, 10, 4), (20, 24, 12)), "2-D": ((8, 10), (20, 24))}


@pytest.mark.parametrize("out_size, shape", CASES.values(), ids=CASES)
def test_every_place_is_as_likely_and_only_the_window_is_read(out_size, shape):
    crop = RandWindowCropd("image", out_size, params_key="p").set_random_state(0)
    corners = []
    for _ in range(600):
        scan = Places(*shape)
        sample = crop({"image": scan, "name": "a"})
        assert set(sample) == {"view", "p", "name"} and sample["view"].shape == (len(shape), *out_size)
        start = sample["view"].flatten(1)[:, 0].long()
        assert start.tolist() == sample["p"]["start"].tolist() and sample["p"]["size"].tolist() == list(out_size)
        assert scan.read == [tuple((a, a + n) for a, n in zip(start.tolist(), out_size, strict=True))]
        corners.append(start)
    corners = torch.stack(corners)
    last = torch.tensor(shape) - torch.tensor(out_size)
    assert (corners.amin(0) == 0).all() and (corners.amax(0) == last).all()
    torch.testing.assert_close(corners.float().mean(0), last / 2, rtol=0.1, atol=0.0)


def test_sizes_are_drawn_alike_and_resized():
    sizes = [(8, 8, 4), (12, 12, 8), (16, 12, 8)]
    crop = RandWindowCropd("image", (8, 8, 4), sizes, params_key="p").set_random_state(0)
    drawn = []
    for _ in range(300):
        scan = Places(20, 24, 12)
        sample = crop({"image": scan})
        (where,) = scan.read
        window = torch.from_numpy(Places(20, 24, 12)[(slice(None), *(slice(*w) for w in where))])
        torch.testing.assert_close(sample["view"], resize(window, (8, 8, 4)))
        drawn.append(tuple(sample["p"]["size"].tolist()))
    assert set(drawn) == set(sizes) and all(abs(drawn.count(s) / 300 - 1 / 3) < 0.09 for s in sizes)


def test_window_longer_than_the_scan_is_shortened():
    sample = RandWindowCropd("image", (16, 16, 16), params_key="p")({"image": Places(40, 40, 9)})
    assert sample["view"].shape == (3, 16, 16, 16) and sample["p"]["size"].tolist() == [16, 16, 9]
    assert sample["view"][2].min() == 0 and sample["view"][2].max() == 8


@pytest.mark.parametrize(
    "margin, low, high",
    [
        (3, (3, 3, 3), (17, 21, 9)),
        ([(1, 4), 2, 0], (1, 2, 0), (16, 22, 12)),
        ("body", (4, 0, 2), (18, 20, 12)),
        ([9, 0, 0], (6, 0, 0), (14, 24, 12)),  # two voxels are left: centered
    ],
)
def test_margins(margin, low, high):
    crop = RandWindowCropd("image", (8, 8, 4), margin=margin, params_key="p").set_random_state(0)
    drawn = [crop({"image": Places(20, 24, 12, body_box=((4, 0, 2), (18, 20, 12)))})["p"] for _ in range(400)]
    starts = np.stack([p["start"] for p in drawn])
    assert starts.min(0).tolist() == list(low)
    assert (starts + np.array([8, 8, 4])).max(0).tolist() == list(high)


@pytest.mark.parametrize("rule, wanted", [("paper", 1.0), ("reference", 0.0)])
def test_background_rule(rule, wanted):
    image = torch.zeros(1, 40, 16, 8)
    image[:, 20:] = 1.0
    crop = RandWindowCropd("image", (8, 8, 4), background=rule, max_retries=60, params_key="p").set_random_state(0)
    for _ in range(40):
        sample = crop({"image": image})
        tissue = sample["view"].mean()
        assert tissue >= 0.15 if wanted else tissue <= 0.15
        assert not sample["p"]["fallback"]
    free = RandWindowCropd("image", (8, 8, 4)).set_random_state(0)
    assert len({float(free({"image": image})["view"].mean()) for _ in range(40)}) > 2


def test_least_bad_window_is_taken_where_none_passes():
    image = torch.zeros(1, 64, 8, 8)
    image[:, 30:34, :4] = 1.0
    crop = RandWindowCropd(
        "image", (8, 8, 8), background="paper", max_background_fraction=0.5, max_retries=60, params_key="p"
    )
    kept = crop.set_random_state(0)({"image": image})
    assert kept["p"]["fallback"] and kept["view"].mean() == 0.25
    once = RandWindowCropd("image", (8, 8, 8), background="paper", max_retries=0, params_key="p")
    scan = Places(16, 16, 16)
    once({"image": scan})
    assert len(scan.read) == 1


def test_channels_and_name():
    gray = RandWindowCropd("image", (8, 8), channels=3, name="crop")({"image": torch.rand(1, 16, 16)})
    assert set(gray) == {"crop"} and gray["crop"].shape == (3, 8, 8) and torch.equal(gray["crop"][0], gray["crop"][2])
    with pytest.raises(ValueError, match="`channels` 3 can only be made from one channel, the scan has 2"):
        RandWindowCropd("image", (8, 8), channels=3)({"image": torch.rand(2, 16, 16)})
