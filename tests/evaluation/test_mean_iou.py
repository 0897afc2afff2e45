import math

import pytest
import torch

from monai_ssl.evaluation.mean_iou import THRESHOLDS, mean_iou


def by_thresholds(p, t, background):
    total = 0.0
    for threshold in THRESHOLDS:
        m = p > threshold
        ious = [(m & t).sum() / (m | t).sum(), (~m & ~t).sum() / (~m | ~t).sum()]
        total += float(sum(ious) / 2 if background else ious[0])
    return total / len(THRESHOLDS)


@pytest.mark.parametrize("background", [True, False])
@pytest.mark.parametrize("spatial", [(7, 5), (4, 5, 6)])
def test_the_mean_over_thresholds_of_each_structure(background, spatial):
    maps = torch.rand(3, *spatial, generator=torch.Generator().manual_seed(0))
    truth = maps > torch.tensor([0.2, 0.4, 0.6]).reshape(3, *[1] * len(spatial))
    expected = [by_thresholds(p, t, background) for p, t in zip(maps, truth, strict=True)]
    assert mean_iou(maps, truth, background=background).tolist() == pytest.approx(expected, abs=1e-6)


def test_half_of_the_thresholds_lie_below_0_72_and_at_one_is_not_above_it():
    truth = torch.zeros(1, 6, 6, dtype=torch.bool)
    truth[0, 2:4, 2:4] = True
    assert len(THRESHOLDS) == 10 and (THRESHOLDS[0], THRESHOLDS[-1]) == (0.5, 0.95)
    assert mean_iou(truth.float(), truth).tolist() == [1]
    assert mean_iou(0.72 * truth, truth, background=False).tolist() == [0.5]
    for dtype in (torch.float32, torch.float64):
        assert mean_iou(0.7 * truth.to(dtype), truth, background=False).item() == pytest.approx(0.4)
    # nothing found: of 36 voxels 32 are background, which is found whole but for the 4 that it takes too many
    assert mean_iou(0 * truth.float(), truth).item() == pytest.approx(32 / 36 / 2)


def test_a_structure_that_is_not_there():
    none, some = torch.zeros(1, 4, 4), torch.eye(4)[None]
    assert math.isnan(mean_iou(none, none)) and math.isnan(mean_iou(none, none, background=False))
    assert mean_iou(torch.ones(1, 4, 4), none, background=False) == 0
    assert mean_iou(torch.ones(1, 4, 4), torch.ones(1, 4, 4)) == 1
    # predicted at half of the cut-offs only: there it is wrong, elsewhere it says nothing
    assert mean_iou(0.72 * some, none, background=False) == 0
    with pytest.raises(ValueError, match=r"must both be \(K, \*spatial\), got \(1, 4, 4\) and \(4, 4\)"):
        mean_iou(none, none[0])
