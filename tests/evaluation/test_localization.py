from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from monai_ssl.evaluation import heat_boxes, localization_scores


def boxes(*values):
    return torch.tensor(values, dtype=torch.float32).reshape(-1, 4)


def test_each_region_has_a_tight_box_and_the_hottest_comes_first():
    heat = torch.zeros(20, 30)
    heat[2:5, 3:9] = 0.6
    heat[10:18, 20:22] = 1.0
    heat[12, 25] = 0.4
    assert heat_boxes(heat, [0.5]).tolist() == [[10, 20, 18, 22], [2, 3, 5, 9]]
    assert heat_boxes(heat, [0.3]).tolist() == [[10, 20, 18, 22], [2, 3, 5, 9], [12, 25, 13, 26]]
    assert torch.equal(heat_boxes(heat, [0.5, 0.3]), heat_boxes(heat, [0.3]))


def test_boxes_of_several_levels_are_nested_and_scale_does_not_matter():
    x = torch.linspace(-1, 1, 41)
    heat = (-4 * (x[:, None] ** 2 + x[None] ** 2)).exp()
    outer, inner = heat_boxes(heat, [60 / 255]), heat_boxes(heat, [180 / 255])
    assert torch.equal(heat_boxes(heat).sort(0).values, torch.cat([outer, inner]).sort(0).values)
    assert (outer[0, :2] < inner[0, :2]).all() and (outer[0, 2:] > inner[0, 2:]).all()
    assert torch.equal(heat_boxes(1000 * heat), heat_boxes(heat))


def test_volumes_have_boxes_too_and_diagonal_neighbors_are_apart():
    heat = torch.zeros(6, 5, 4)
    heat[1, 1, 1] = heat[2, 2, 2] = 1
    assert sorted(heat_boxes(heat, [0.5]).tolist()) == [[1, 1, 1, 2, 2, 2], [2, 2, 2, 3, 3, 3]]


def test_a_cold_map_has_no_box():
    assert heat_boxes(torch.zeros(4, 4)).shape == (0, 4) and heat_boxes(torch.zeros(4, 4, 4)).shape == (0, 6)


corner = st.tuples(*[st.integers(0, 5)] * 2, *[st.integers(1, 4)] * 2)

image = st.tuples(st.lists(corner, max_size=3), st.lists(corner, min_size=1, max_size=3))


@settings(max_examples=40, deadline=None)
@given(st.lists(image, min_size=1, max_size=3))
def test_scores_are_those_of_counted_pixels(images):
    sides = [[[(a, b, a + h, b + w) for a, b, h, w in part] for part in image] for image in images]
    scores = localization_scores([boxes(*p) for p, _ in sides], [boxes(*t) for _, t in sides], (0.3, 0.5))

    def pixels(box):
        return set(product(range(box[0], box[2]), range(box[1], box[3])))

    def iou(a, b):
        return len(pixels(a) & pixels(b)) / len(pixels(a) | pixels(b))

    best = [max((iou(p, t) for p in predicted), default=0) for predicted, truth in sides for t in truth]
    assert scores["iou"] == pytest.approx(sum(best) / len(best), abs=1e-6)
    for threshold in (0.3, 0.5):
        # a tie would depend on rounding
        if any(abs(iou(p, t) - threshold) < 1e-6 for predicted, truth in sides for p in predicted for t in truth):
            continue
        assert scores[f"accuracy/{threshold}"] == pytest.approx(sum(b > threshold for b in best) / len(best))
        wrong = sum(max(iou(p, t) for t in truth) <= threshold for predicted, truth in sides for p in predicted)
        assert scores[f"false_positives/{threshold}"] == pytest.approx(wrong / len(images))


def test_perfect_and_useless_boxes():
    truth = [boxes((0, 0, 4, 4), (5, 5, 9, 9)), boxes((1, 1, 3, 3))]
    perfect = localization_scores(truth, truth)
    assert perfect["iou"] == pytest.approx(1) and perfect["accuracy/0.7"] == 1 and perfect["false_positives/0.7"] == 0
    useless = localization_scores([boxes(), boxes((10, 10, 11, 11))], truth)
    assert useless["iou"] == 0 and useless["accuracy/0.1"] == 0 and useless["false_positives/0.1"] == 0.5
    assert len(perfect) == 1 + 2 * 7


def test_what_cannot_be_scored_is_refused():
    one = boxes((0, 0, 1, 1))
    with pytest.raises(ValueError, match=r"2-D or 3-D, got \(4,\)"):
        heat_boxes(torch.rand(4))
    for levels in ([], [1.0], [-0.1]):
        with pytest.raises(ValueError, match=r"`levels` must be shares"):
            heat_boxes(torch.rand(4, 4), levels)
    with pytest.raises(ValueError, match="Boxes of 1 images cannot be compared with those of 2"):
        localization_scores([one], [one, one])
    with pytest.raises(ValueError, match="Boxes of 0 images"):
        localization_scores([], [])
    with pytest.raises(ValueError, match="Image 1 has no true box"):
        localization_scores([one, one], [one, boxes()])
    with pytest.raises(ValueError, match=r"Boxes of image 0 must be .* got \(1, 4\) and \(1, 6\)"):
        localization_scores([one], [torch.tensor([[0.0, 0, 0, 1, 1, 1]])])
    with pytest.raises(ValueError, match=r"Boxes of image 0 must be .* got \(4,\)"):
        localization_scores([one[0]], [one])
    with pytest.raises(ValueError, match="A box of image 0 is empty"):
        localization_scores([boxes((2, 0, 1, 1))], [one])
