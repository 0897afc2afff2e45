import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.metrics import DiceMetric, MeanIoU, compute_roc_auc

from monai_ssl.evaluation.metrics import (
    THRESHOLDS,
    binary_scores,
    class_aucs,
    mean_iou,
    mean_of_classes,
    segmentation_scores,
    summarize,
)


def masks(seed, share=0.4, shape=(2, 6, 7, 5)):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


def one(predicted, truth, **options):
    return segmentation_scores(predicted[None], truth[None], ["a"], **options)["a"]


def box(low, high, shape=(12, 12, 12)):
    mask = torch.zeros(shape, dtype=torch.bool)
    mask[tuple(slice(a, b) for a, b in zip(low, high, strict=True))] = True
    return mask


def test_perfect_and_disjoint():
    a, b = box((0, 0, 0), (4, 4, 4)), box((6, 6, 6), (10, 10, 10))
    assert one(a, a) == {"dice": 1, "iou": 1, "surface_dice": 1, "hd95": 0}
    scores = one(a, b)
    assert scores["dice"] == scores["iou"] == scores["surface_dice"] == 0 and scores["hd95"] > 4
    assert mean_iou([a.float()], [a]).mean == mean_iou([a.float()], [a], background=False).mean == 1
    assert mean_iou([a.float()], [b], background=False).mean == 0
    assert mean_iou([a.float()], [b]).mean == pytest.approx((12**3 - 128) / 12**3 / 2)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_overlaps_are_those_of_counting_and_of_monai(seed):
    p, t = masks(seed), masks(seed + 1)
    found = segmentation_scores(p, t, ["a", "b"])
    dice, iou = (metric(p[None].float(), t[None].float())[0] for metric in (DiceMetric(), MeanIoU()))
    for k, name in enumerate("ab"):
        both, either = (p[k] & t[k]).sum().item(), (p[k] | t[k]).sum().item()
        scores = found[name]
        assert scores["iou"] == pytest.approx(both / either, abs=1e-6) == pytest.approx(iou[k].item(), abs=1e-6)
        assert scores["dice"] == pytest.approx(dice[k].item(), abs=1e-6)
        assert scores["iou"] == pytest.approx(scores["dice"] / (2 - scores["dice"]), abs=1e-6)


def test_mean_iou_of_cases_is_at_least_that_of_mean_dice():
    cases = [segmentation_scores(masks(i, 0.1 + i / 30), masks(i + 99), ["a", "b"])["a"] for i in range(20)]
    dice, iou = (summarize([case[metric] for case in cases]).mean for metric in ("dice", "iou"))
    assert iou >= dice / (2 - dice)


@pytest.mark.parametrize("empty", ["skip", "one"])
def test_what_an_empty_mask_means(empty):
    none, some = box((0, 0, 0), (0, 0, 0)), box((2, 2, 2), (5, 5, 5))
    full = torch.ones_like(none)
    for predicted, truth in ((full, none), (some, none), (none, some)):
        scores = one(predicted, truth, empty=empty)
        assert scores["dice"] == scores["iou"] == scores["surface_dice"] == 0 and math.isnan(scores["hd95"])
    scores = one(none, none, empty=empty)
    assert math.isnan(scores["hd95"])
    for metric in ("dice", "iou", "surface_dice"):
        assert scores[metric] == 1 if empty == "one" else math.isnan(scores[metric])


def test_distances_are_in_millimeters():
    a, b = box((2, 2, 2), (6, 6, 6)), box((3, 2, 2), (7, 6, 6))
    assert one(a, b)["hd95"] == 1 and one(a, b, spacing=(3.0, 1.0, 1.0))["hd95"] == 3
    strict = one(a, b, spacing=(3.0, 1.0, 1.0), tolerance=1.0)["surface_dice"]
    assert strict < one(a, b, spacing=(3.0, 1.0, 1.0), tolerance=3.0)["surface_dice"] == 1


def test_distances_in_2d():
    a, b = torch.zeros(2, 9, 9, dtype=torch.bool).unbind()
    a[2:5, 2:5], b[2:5, 4:7] = True, True
    assert one(a, b)["hd95"] == 2


def test_half_of_the_thresholds_lie_below_0_72():
    truth = box((2, 2, 2), (6, 6, 6))
    assert len(THRESHOLDS) == 10 and (THRESHOLDS[0], THRESHOLDS[-1]) == (0.5, 0.95)
    assert mean_iou([0.72 * truth], [truth], background=False).mean == 0.5
    # at a cut-off is not above it
    assert mean_iou([0.7 * truth], [truth], background=False).mean == pytest.approx(0.4)
    assert mean_iou([0.7 * truth.double()], [truth], background=False).mean == pytest.approx(0.4)


def by_thresholds(p, t, background):
    total = 0.0
    for threshold in THRESHOLDS:
        m = p > threshold
        ious = [(m & t).sum() / (m | t).sum(), (~m & ~t).sum() / (~m | ~t).sum()]
        total += float(sum(ious) / 2 if background else ious[0])
    return total / len(THRESHOLDS)


@pytest.mark.parametrize("background", [True, False])
def test_mean_iou_is_the_mean_over_thresholds_and_pools_as_told(background):
    generator = torch.Generator().manual_seed(0)
    maps = [torch.rand(4, 5, 6, generator=generator), torch.rand(7, 5, generator=generator)]
    truths = [m > 0.4 for m in maps]
    per_case = [by_thresholds(p, t, background) for p, t in zip(maps, truths, strict=True)]
    found = mean_iou(maps, truths, background=background)
    assert found.mean == pytest.approx(sum(per_case) / 2, abs=1e-6) and (found.n, found.skipped) == (2, 0)
    pooled = mean_iou(maps, truths, background=background, pooling="dataset")
    together = [torch.cat([x.flatten() for x in xs]) for xs in (maps, truths)]
    assert pooled.mean == pytest.approx(by_thresholds(*together, background), abs=1e-6) and pooled.n == 1


def test_mean_iou_of_a_case_without_foreground():
    none, some = torch.zeros(4, 4), torch.eye(4)
    for background in (True, False):
        found = mean_iou([none, some], [none, some], background=background)
        assert (found.mean, found.n, found.skipped) == (1, 1, 1)
        assert mean_iou([none], [none], background=background, empty="one").mean == 1
    assert mean_iou([torch.ones(4, 4)], [none], background=False).mean == 0
    assert mean_iou([torch.ones(4, 4)], [torch.ones(4, 4)]).mean == 1
    # predicted at half of the cut-offs only: there it is wrong, elsewhere it says nothing
    assert mean_iou([0.72 * some], [none], background=False).mean == 0


def test_summary_counts_what_has_no_score():
    found = summarize([0.5, math.nan, None, 1.0, math.inf])
    assert (found.mean, found.n, found.skipped) == (0.75, 2, 3)
    assert math.isnan(summarize([None]).mean) and mean_of_classes({"a": 0.5, "b": math.nan}) == 0.5


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_auc_is_mann_whitney_and_sees_only_the_order(items):
    score = torch.tensor([s for s, _ in items], dtype=torch.float32)
    positive = torch.tensor([p for _, p in items])
    found = binary_scores(score / 5, positive)["auc"]
    if positive.all() or not positive.any():
        assert math.isnan(found)
        return
    pairs = [(a > b) + 0.5 * (a == b) for a in score[positive] for b in score[~positive]]
    assert found == pytest.approx(float(sum(pairs)) / len(pairs))
    assert found == binary_scores(torch.exp(score), positive)["auc"]
    assert found == pytest.approx(compute_roc_auc(score, positive.float()))
    order = torch.randperm(len(items))
    assert found == binary_scores(score[order] / 5, positive[order])["auc"]


def test_recall_and_specificity_are_the_accuracies_of_the_classes():
    scores = binary_scores(torch.tensor([0.9, 0.5, 0.2, 0.1, 0.7]), torch.tensor([1, 1, 0, 0, 0]))
    assert scores == {"auc": pytest.approx(5 / 6), "accuracy": 0.6, "recall": 0.5, "specificity": pytest.approx(2 / 3)}
    assert math.isnan(binary_scores(torch.tensor([0.9]), torch.tensor([1]))["specificity"])


def test_aucs_of_classes():
    p = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.5, 0.3], [0.1, 0.6, 0.3]])
    assert class_aucs(p, torch.tensor([0, 1, 1]), "abc")["b"] == 1
    assert math.isnan(class_aucs(p, torch.tensor([0, 1, 1]), "abc")["c"])
    several = class_aucs(p, torch.tensor([[1, 0, 0], [1, 1, 1], [0, 0, 1]]), "abc")
    assert several == {"a": 1, "b": 0.5, "c": 1}


def test_mistakes_are_named():
    a = torch.zeros(1, 4, 4)
    with pytest.raises(ValueError, match=r"\(K, \*spatial\) with K names, got .* and 2 names"):
        segmentation_scores(a, a, ["a", "b"])
    with pytest.raises(ValueError, match="`empty` must be 'skip' or 'one', got 'zero'"):
        segmentation_scores(a, a, ["a"], empty="zero")
    with pytest.raises(ValueError, match="`empty` must be"):
        mean_iou([a], [a], empty="zero")
    with pytest.raises(ValueError, match="`pooling` must be 'per_case' or 'dataset', got 'batch'"):
        mean_iou([a], [a], pooling="batch")
    with pytest.raises(ValueError, match="one map and one mask a case, got 1 and 0"):
        mean_iou([a], [])
    with pytest.raises(ValueError, match=r"shape \(1, 4, 4\) has a mask of shape \(4, 4\)"):
        mean_iou([a], [a[0]])
    with pytest.raises(ValueError, match=r"N probabilities and N classes, got \(1, 4, 4\)"):
        binary_scores(a, a)
    with pytest.raises(ValueError, match="1 of 2 probabilities are not a number"):
        binary_scores(torch.tensor([math.nan, 1]), torch.tensor([0, 1]))
    with pytest.raises(ValueError, match=r"probabilities \(N, K\), N classes and K names, got \(4, 4\)"):
        class_aucs(a[0], torch.zeros(4), "ab")
