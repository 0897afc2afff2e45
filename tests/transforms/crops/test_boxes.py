"""Box arithmetic against brute force on small grids."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from monai_ssl.transforms.crops.boxes import (
    Box,
    bounding_box,
    first_overlapping,
    iou,
    overlapping_sizes,
    overlapping_starts,
    start_range,
)

PAPER_SIZES = np.array([(64, 64, 32), (96, 96, 64), (96, 96, 96), (112, 112, 64)])


def vectors(low, high, dims):
    return st.tuples(*[st.integers(low, high)] * dims).map(np.array)


@st.composite
def box_pairs(draw):
    dims = draw(st.sampled_from([2, 3]))
    return tuple(Box(draw(vectors(0, 7, dims)), draw(vectors(1, 6, dims))) for _ in range(2))


def voxels(box):
    return set(itertools.product(*map(range, box.start.tolist(), box.stop.tolist())))


@given(box_pairs())
def test_iou_counts_voxels(pair):
    a, b = map(voxels, pair)
    assert iou(*pair) == pytest.approx(len(a & b) / len(a | b))
    assert pair[0].volume == len(a)


@given(box_pairs())
def test_no_smaller_box_contains_both(pair):
    around = bounding_box(*pair)
    inside = np.array(sorted(voxels(pair[0]) | voxels(pair[1])))
    assert np.array_equal(around.start, inside.min(0)) and np.array_equal(around.stop, inside.max(0) + 1)


def test_iou_of_many_boxes_is_that_of_each():
    random = np.random.RandomState(0)
    first = Box(np.array([3, 4, 5]), np.array([4, 5, 6]))
    many = Box(random.randint(0, 9, (50, 3)), np.array([3, 6, 4]))
    each = [iou(first, Box(start, many.size)) for start in many.start]
    assert np.array_equal(iou(first, many), each)


def test_smallest_size_of_the_paper_pairs_only_with_itself():
    pairs = overlapping_sizes(PAPER_SIZES, 0.3).tolist()
    assert pairs == [[0, 0], *([i, j] for i in (1, 2, 3) for j in (1, 2, 3))]


def test_published_best_overlaps_of_the_smallest_size():
    # 0.222, 0.148, 0.163 by hand
    for other, best in ((1, 0.222), (2, 0.148), (3, 0.163)):
        for threshold, expected in ((best - 1e-3, True), (best + 1e-3, False)):
            assert ([0, other] in overlapping_sizes(PAPER_SIZES, threshold).tolist()) is expected


def test_sizes_that_only_reach_the_threshold_are_no_pair():
    """The least overlap is exclusive: half of a box overlaps with it by exactly 0.5, and places would be none."""
    sizes = np.array([(4, 4), (4, 8), (8, 8)])
    assert overlapping_sizes(sizes, 0.5).tolist() == [[0, 0], [1, 1], [2, 2]]
    assert overlapping_sizes(sizes, np.nextafter(0.5, 0)).tolist() == [
        [0, 0],
        [0, 1],
        [1, 0],
        [1, 1],
        [1, 2],
        [2, 1],
        [2, 2],
    ]


def test_same_size_pairs_each_size_with_itself():
    assert overlapping_sizes(PAPER_SIZES, 0.3, same=True).tolist() == [[i, i] for i in range(4)]


@given(vectors(1, 6, 3), vectors(0, 5, 3), vectors(1, 6, 3), vectors(8, 12, 3))
def test_starts_keep_a_box_inside_region_or_volume(size, start, extent, shape):
    region = Box(start, np.minimum(extent, shape - start))
    low, high = start_range(size, region, shape)
    fits = size <= region.size
    assert (low <= high).all() and (low >= 0).all() and (high + size <= shape).all()
    assert np.array_equal(low[fits], region.start[fits]) and np.array_equal((high + size)[fits], region.stop[fits])
    assert (low == high)[~fits].all()
    assert ((low <= region.start) & (high + size >= region.stop))[~fits].all()


def test_box_longer_than_the_region_is_centered_as_far_as_the_volume_allows():
    region = Box(np.array([20, 2, 90]), np.array([10, 10, 5]))
    low, high = start_range(np.array([30, 30, 30]), region, np.array([100, 100, 100]))
    assert low.tolist() == high.tolist() == [10, 0, 70]


def test_box_larger_than_the_volume_is_refused():
    with pytest.raises(ValueError, match=r"box of \[9, 2\] voxels does not fit into a volume of \[8, 8\]"):
        start_range(np.array([9, 2]), Box(np.zeros(2, int), np.array([8, 8])), np.array([8, 8]))


@st.composite
def placements(draw):
    """A first box and the size of a second one that can overlap enough, in a region that may be too small for them."""
    shape = draw(vectors(4, 9, 2))
    start = np.array([draw(st.integers(0, n - 1)) for n in shape])
    region = Box(start, np.array([draw(st.integers(-2, n - s)) for n, s in zip(shape, start, strict=True)]))
    sizes = np.minimum(np.stack([draw(vectors(1, 6, 2)), draw(vectors(1, 6, 2))]), shape)
    threshold = draw(st.floats(0, 0.9))
    assume([0, 1] in overlapping_sizes(sizes, threshold).tolist())
    low, high = start_range(sizes[0], region, shape)
    first = Box(np.array([draw(st.integers(a, b)) for a, b in zip(low, high, strict=True)]), sizes[0])
    return first, sizes[1], *start_range(sizes[1], region, shape), threshold


@given(placements())
def test_narrowed_starts_lose_no_overlapping_place(placement):
    first, size, low, high, threshold = placement
    narrow_low, narrow_high, best = overlapping_starts(first, size, low, high, threshold)
    everywhere = np.array(list(itertools.product(*map(range, low.tolist(), (high + 1).tolist()))))
    values = iou(first, Box(everywhere, size))
    passing = everywhere[values > threshold]
    assert ((narrow_low <= passing) & (passing <= narrow_high)).all()
    assert (low <= narrow_low).all() and (narrow_high <= high).all()
    assert iou(first, Box(best, size)) == values.max() > threshold


def test_narrowed_starts_are_tight():
    first, size = Box(np.array([50, 50]), np.array([10, 10])), np.array([10, 10])
    low, high, best = overlapping_starts(first, size, np.zeros(2, int), np.full(2, 100), 0.5)
    # of 100 + 100 voxels 66.7 must be shared: at least 7 columns, so at most 3 voxels away
    assert low.tolist() == [47, 47] and high.tolist() == [53, 53] and best.tolist() == [50, 50]


def test_best_place_is_concentric_as_far_as_the_region_allows():
    first, low, high = Box(np.array([50, 50]), np.array([10, 10])), np.array([0, 54]), np.array([100, 100])
    assert overlapping_starts(first, np.array([4, 4]), low, high, 0.1)[2].tolist() == [53, 54]


def test_first_drawn_place_that_overlaps_is_taken():
    first, size = Box(np.array([10, 10]), np.array([4, 4])), np.array([4, 4])
    drawn = np.array([[0, 0], [11, 10], [10, 10]])
    assert first_overlapping(first, size, drawn, first.start, 0.3).start.tolist() == [11, 10]


def test_drawn_places_move_toward_the_best_one_when_none_overlaps():
    first, size = Box(np.array([10, 10]), np.array([4, 4])), np.array([4, 4])
    drawn = np.array([[14, 10], [0, 0]])
    assert first_overlapping(first, size, drawn, first.start, 0.3).start.tolist() == [12, 10]
    far = np.array([[1000, 1000]])
    assert first_overlapping(first, size, far, first.start, 0.9).start.tolist() == [10, 10]


def test_sizes_that_never_overlap_are_named():
    first = Box(np.array([0, 0]), np.array([8, 8]))
    with pytest.raises(ValueError, match=r"\[8, 8\] and \[2, 2\] voxels never overlap with IoU > 0.3"):
        first_overlapping(first, np.array([2, 2]), np.array([[3, 3]]), np.array([3, 3]), 0.3)
