"""Overlapping pairs and the small crops from around them: PCRLv2-7 to PCRLv2-9 of docs/properties.md."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from places import Places

from monai_ssl.transforms.crops.boxes import Box, bounding_box, iou
from monai_ssl.transforms.crops.cut import resize
from monai_ssl.transforms.crops.pair_crop import RandIoUPairCropd

SIZES = [(64, 64, 32), (96, 96, 64), (96, 96, 96), (112, 112, 64)]
LOCAL_SIZES = [(8, 8, 8), (16, 16, 16), (32, 32, 16), (32, 32, 32)]
SMALL = {
    "out_size": (8, 8, 4),
    "sizes": [(8, 8, 4), (12, 12, 8), (12, 12, 12), (14, 14, 8)],
    "local_sizes": [(2, 2, 2), (4, 4, 4)],
    "local_out_size": (4, 4, 4),
}
FLAT = {
    "out_size": (16, 16),
    "sizes": [(16, 16), (24, 24), (24, 16)],
    "local_sizes": [(4, 4), (6, 6)],
    "local_out_size": (8, 8),
}


def test_multi_crop_takes_small_crops_from_the_whole_scan():
    scan = torch.rand(1, 60, 60, 40)
    crop = RandIoUPairCropd("image", **SMALL, background=None, locals_from="scan", params_key="p").set_random_state(0)
    outside, corners = 0, []
    for _ in range(60):
        sample = crop({"image": scan})
        p = sample["p"]
        low, high = p["starts"].min(0), (p["starts"] + p["sizes"]).max(0)
        for start, size, image in zip(p["local_starts"], p["local_sizes"], sample["locals"], strict=True):
            outside += bool((start < low).any() or (start + size > high).any())
            corners.append(start + size)
            window = scan[(slice(None), *(slice(a, a + n) for a, n in zip(start, size, strict=True)))]
            assert torch.allclose(image, resize(window, (4, 4, 4)))
    assert outside > 200 and (np.max(corners, 0) <= (60, 60, 40)).all()


class FakeScan:
    """A scan without voxels: every window has one value, and what is read is recorded."""

    def __init__(self, shape, value=0.52, key="patient-07", body_box=None):
        self.shape = shape
        self.value = value
        self.key = key
        self.body_box = body_box
        self.windows = []

    def __getitem__(self, where):
        self.windows.append(where)
        extent = [s.stop - s.start for s in where[1:]]
        return np.broadcast_to(np.float32(self.value), (self.shape[0], *extent))

    @property
    def read(self):
        """The boxes that were read."""
        starts = [np.array([s.start for s in where[1:]]) for where in self.windows]
        stops = [np.array([s.stop for s in where[1:]]) for where in self.windows]
        return [Box(start, stop - start) for start, stop in zip(starts, stops, strict=True)]


def pairs(shape, count, **options):
    """Draw pairs without cutting them: the boxes alone are fast enough for thousands."""
    crop = RandIoUPairCropd("image", **options).set_random_state(0)
    extent = np.array(shape)
    region = crop._region(FakeScan((1, *shape)), extent)
    return [crop._draw_pair(extent, region) for _ in range(count)], crop


def boxes(params):
    return [Box(start, size) for start, size in zip(params["starts"], params["sizes"], strict=True)]


def inside(box, start, stop):
    return (box.start >= start).all() and (box.stop <= stop).all()


@pytest.mark.parametrize(
    "shape",
    [(340, 340, 310), (113, 112, 97), (112, 112, 96), (100, 90, 60), (64, 64, 32), (512, 512, 20), (8, 400, 8)],
    ids=str,
)
@pytest.mark.parametrize("options", [{}, {"same_size": True}, {"iou_threshold": 0.95}, {"margin": 70}], ids=str)
def test_every_pair_overlaps_enough_inside_any_volume(shape, options):
    drawn, crop = pairs(shape, 1000 if not options else 200, **options)
    for first, second in drawn:
        assert iou(first, second) > crop.iou_threshold
        assert inside(first, 0, shape) and inside(second, 0, shape)
        assert not crop.same_size or np.array_equal(first.size, second.size)


def test_sizes_pair_as_documented():
    drawn, _ = pairs((340, 340, 310), 4000)
    names = [[SIZES.index(tuple(box.size.tolist())) for box in pair] for pair in drawn]
    assert all(a == b == 0 for a, b in names if 0 in (a, b))
    shares = np.bincount(np.ravel(names), minlength=4) / (2 * len(names))
    np.testing.assert_allclose(shares, [0.1, 0.3, 0.3, 0.3], atol=0.02)


def test_first_view_is_placed_uniformly_and_the_second_on_all_sides():
    drawn, _ = pairs((200, 200, 200), 3000, sizes=[(64, 64, 32)], out_size=(64, 64, 32))
    starts = np.array([first.start for first, _ in drawn])
    np.testing.assert_allclose(starts.mean(0), [68, 68, 84], atol=3)
    assert (starts.min(0) == 0).all() and (starts.max(0) == [136, 136, 168]).all()
    shifts = np.array([second.start - first.start for first, second in drawn])
    np.testing.assert_allclose(shifts.mean(0), 0, atol=1)
    # the second view is uniform among the places that pass: as accepted by plain rejection sampling
    random = np.random.RandomState(0)
    plain = random.randint(-64, 65, (200000, 3))
    box = Box(np.zeros(3, int), np.array([64, 64, 32]))
    plain = plain[iou(box, Box(plain, box.size)) > 0.3]
    np.testing.assert_allclose(np.abs(shifts).mean(0), np.abs(plain).mean(0), rtol=0.06)


def test_rejection_draws_pairs_as_plain_redrawing_does():
    """The authors' loop: two sizes and two places of each, until they overlap; small crops become rare."""
    shape, sizes, random = np.array((150, 150, 120)), np.array(SIZES), np.random.RandomState(1)
    plain = []
    while len(plain) < 600:
        pair = [Box(random.randint(0, shape - size + 1), size) for size in sizes[random.randint(4, size=2)]]
        if iou(*pair) > 0.3:
            plain.append(pair)
    drawn, _ = pairs(shape, 600, drawn="rejection")

    def summary(pairs):
        volumes = np.array([[box.volume for box in pair] for pair in pairs])
        shifts = np.abs([second.start - first.start for first, second in pairs]).mean(0)
        return (volumes == SIZES[0][0] ** 3 // 2).mean(), volumes.mean() / 1e6, *shifts / 30

    np.testing.assert_allclose(summary(drawn), summary(plain), atol=0.06)
    assert summary(drawn)[0] < 0.06 < summary(pairs(shape, 600)[0])[0]


def test_small_crops_of_the_authors_code_have_only_their_corner_near_both_views():
    crop = RandIoUPairCropd("image", **SMALL, background=None, locals_from="corners", params_key="p").set_random_state(
        0
    )
    scan, beside, outside, cut = torch.rand(1, 40, 40, 30), [], 0, 0
    for _ in range(80):
        sample = crop({"image": scan})
        p = sample["p"]
        low, high = p["starts"].min(0), (p["starts"] + p["sizes"]).max(0)
        assert (p["local_starts"] >= low - 3).all() and (p["local_starts"] < high + 3).all()
        stops = p["local_starts"] + p["local_sizes"]
        assert (stops <= scan.shape[1:]).all() and all(x.shape == (1, 4, 4, 4) for x in sample["locals"])
        outside += (stops > high).any(1).sum()
        cut += sum(tuple(size) not in SMALL["local_sizes"] for size in p["local_sizes"])
        beside += [(low - p["local_starts"]).max(), (p["local_starts"] - high).max()]
    assert outside > 100 and cut > 0 and max(beside) > 0


def test_margins_keep_views_away_from_the_border():
    drawn, _ = pairs((340, 340, 310), 300, margin=[(70, 71), 70, (15, 19)])
    for box in (box for pair in drawn for box in pair):
        assert inside(box, [70, 70, 15], [340 - 71, 340 - 70, 310 - 19])


def test_body_box_bounds_the_views():
    body = ((30, 40, 10), (200, 190, 120))
    crop = RandIoUPairCropd("image", margin="body", params_key="params").set_random_state(0)
    for _ in range(20):
        params = crop({"image": FakeScan((1, 256, 256, 128), body_box=body)})["params"]
        assert all(inside(box, *body) for box in boxes(params))


def test_body_margin_without_a_body_box_takes_the_whole_scan():
    crop = RandIoUPairCropd("image", margin="body", background=None, **SMALL).set_random_state(0)
    assert crop({"image": torch.rand(1, 16, 16, 16)})["view1"].shape == (1, 8, 8, 4)


def test_small_crops_lie_inside_the_box_around_both_views():
    crop = RandIoUPairCropd("image", params_key="params", background=None).set_random_state(0)
    seen = set()
    for _ in range(170):
        out = crop({"image": FakeScan((1, 160, 160, 128))})
        around = bounding_box(*boxes(out["params"]))
        assert len(out["locals"]) == 6
        for start, size in zip(out["params"]["local_starts"], out["params"]["local_sizes"], strict=True):
            assert inside(Box(start, size), around.start, around.stop)
            seen.add(tuple(size.tolist()))
    assert seen == set(LOCAL_SIZES)


def test_small_crops_shorten_to_thin_scans():
    crop = RandIoUPairCropd("image", params_key="params").set_random_state(0)
    out = crop({"image": FakeScan((1, 128, 128, 10))})
    assert out["view1"].shape == (1, 64, 64, 32)
    assert set(out["params"]["sizes"][:, 2]) == {10}
    assert set(out["params"]["local_sizes"][:, 2]) <= {8, 10}


@pytest.mark.parametrize("options, shape", [(SMALL, (40, 36, 30)), (FLAT, (70, 60))], ids=["3-D", "2-D"])
def test_what_is_cut_is_where_the_parameters_say(options, shape):
    crop = RandIoUPairCropd("image", params_key="params", background=None, **options).set_random_state(3)
    scan = Places(*shape)

    def expected(start, size, out_size):
        window = scan[(slice(None), *(slice(a, a + n) for a, n in zip(start.tolist(), size.tolist(), strict=True)))]
        return resize(torch.from_numpy(window), out_size)

    for _ in range(20):
        out = crop({"image": scan})
        params = out["params"]
        for name, start, size in zip(("view1", "view2"), params["starts"], params["sizes"], strict=True):
            torch.testing.assert_close(out[name], expected(start, size, options["out_size"]))
        for x, start, size in zip(out["locals"], params["local_starts"], params["local_sizes"], strict=True):
            torch.testing.assert_close(x, expected(start, size, options["local_out_size"]))
        assert params["iou"] == iou(*boxes(params)) > 0.3


def test_only_the_box_around_both_views_is_read():
    crop = RandIoUPairCropd("image", params_key="params").set_random_state(0)
    for _ in range(20):
        scan = FakeScan((1, 340, 340, 310))
        around = bounding_box(*boxes(crop({"image": scan})["params"]))
        assert [(box.start.tolist(), box.size.tolist()) for box in scan.read] == [
            (around.start.tolist(), around.size.tolist())
        ]


def test_views_far_apart_are_read_one_by_one():
    crop = RandIoUPairCropd("image", iou_threshold=0.0, params_key="params", **SMALL).set_random_state(1)
    volumes = []
    for _ in range(50):
        scan = FakeScan((1, 64, 64, 64))
        params = crop({"image": scan})["params"]
        first, second = boxes(params)
        volumes.append(sum(int(box.volume) for box in scan.read[:2]) / int(first.volume + second.volume))
        if len(scan.read) > 1:
            expected = [*boxes(params), *map(Box, params["local_starts"], params["local_sizes"])]
            assert all(np.array_equal(a.start, b.start) for a, b in zip(scan.read, expected, strict=True))
    assert max(volumes) <= 1.5 and 1.0 in volumes


@pytest.mark.parametrize("out_size", [(8, 8, 4), (16, 16, 16)])
def test_air_is_taken_only_as_a_last_resort(out_size):
    options = SMALL | {"out_size": out_size}
    crop = RandIoUPairCropd("image", params_key="params", max_retries=3, **options).set_random_state(0)
    scan = FakeScan((1, 32, 32, 32), value=0.0)
    assert crop({"image": scan})["params"]["fallback"] is True
    assert len(scan.read) == 4


@pytest.mark.parametrize("out_size", [(8, 8, 4), (16, 16, 16)])
def test_tissue_is_never_rejected_by_the_rule_of_the_paper(out_size):
    crop = RandIoUPairCropd("image", params_key="params", **(SMALL | {"out_size": out_size})).set_random_state(0)
    for _ in range(20):
        scan = FakeScan((1, 32, 32, 32), value=0.52)
        assert crop({"image": scan})["params"]["fallback"] is False
        assert len(scan.read) == 1


def test_reference_rule_rejects_tissue_and_accepts_air():
    crop = RandIoUPairCropd("image", params_key="params", background="reference", **SMALL)
    assert crop({"image": FakeScan((1, 32, 32, 32), value=0.52)})["params"]["fallback"] is True
    assert crop({"image": FakeScan((1, 32, 32, 32), value=0.0)})["params"]["fallback"] is False


def half_air():
    x = torch.zeros(1, 64, 32, 32)
    x[:, 40:] = 0.52
    return x


def test_the_decision_does_not_depend_on_the_output_size():
    starts = []
    for out_size in ((8, 8, 4), (20, 20, 20)):
        crop = RandIoUPairCropd("image", params_key="params", **(SMALL | {"out_size": out_size})).set_random_state(5)
        starts.append([crop({"image": half_air()})["params"]["starts"] for _ in range(20)])
    np.testing.assert_array_equal(*starts)


def test_accepted_views_hold_enough_tissue_and_the_least_bad_pair_is_kept():
    crop = RandIoUPairCropd("image", params_key="params", **SMALL).set_random_state(0)
    for _ in range(50):
        params = crop({"image": half_air()})["params"]
        windows = [half_air()[(slice(None), *map(slice, b.start.tolist(), b.stop.tolist()))] for b in boxes(params)]
        worst = max(float((w < 0.425).float().mean()) for w in windows)
        assert params["fallback"] == (worst > 0.85)
    # nothing is good enough for a limit of 0, yet more tries find less air
    means = []
    for retries in (0, 15):
        crop = RandIoUPairCropd("image", max_background_fraction=0.0, max_retries=retries, **SMALL).set_random_state(0)
        means.append(np.mean([float((crop({"image": half_air()})["view1"] < 0.425).float().mean()) for _ in range(30)]))
    assert means[1] < 0.5 * means[0]


def test_without_small_crops_there_is_no_list():
    out = RandIoUPairCropd("image", num_locals=0, names=("a", "b", "c"), **SMALL)({"image": Places(20, 20, 20)})
    assert set(out) == {"a", "b"}
