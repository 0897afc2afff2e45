import math

import numpy as np
import pytest
import torch
from monai.transforms import Compose, RandFlipd, RandRotate90d, RandRotated, RandZoomd
from monai.utils import set_determinism

from monai_ssl.tasks.augmentation import AUGMENTATION_LEVELS, augmentations

ROI = {2: (16, 16), 3: (12, 12, 8)}


def kinds(level, dims=3):
    return {type(step) for step in augmentations(level, ROI[dims])}


def sample(roi, seed=0):
    """A bright blob, off center, and its mask."""
    axes = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in roi), indexing="ij")
    distance = sum((a - n * (0.35 + 0.1 * i)) ** 2 for i, (a, n) in enumerate(zip(axes, roi, strict=True)))
    return {"image": torch.exp(-distance / 18)[None], "label": (distance < 9)[None].to(torch.uint8)}


def test_levels_nest_and_angles_grow():
    assert kinds("S1") == {RandFlipd} and kinds("S2") == {RandRotate90d}
    assert kinds("S1") | kinds("S2") < kinds("S5") < kinds("S6") == {RandFlipd, RandRotate90d, RandRotated, RandZoomd}
    assert kinds("S3") == {RandFlipd, RandRotated} and kinds("S4") == {RandRotate90d, RandRotated}
    assert [AUGMENTATION_LEVELS[f"S{i}"].degrees for i in (3, 4, 5, 6)] == [10, 20, 30, 30]
    assert augmentations(None, ROI[3]) == []


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize(("level", "degrees"), [("S3", 10), ("S4", 20), ("S5", 30), ("S6", 30)])
def test_angles_are_in_degrees_about_the_long_axis(dims, level, degrees):
    (rotation,) = (step for step in augmentations(level, ROI[dims]) if isinstance(step, RandRotated))
    rotation = rotation.rand_rotate
    rotation.set_random_state(0)
    angles = np.zeros((1000, 3))
    for i in range(len(angles)):
        rotation.prob = 1.0
        rotation.randomize()
        angles[i] = rotation.x, rotation.y, rotation.z
    angles = np.degrees(angles)
    turned = angles[:, 0 if dims == 2 else 2]
    assert np.abs(turned).max() <= degrees and np.abs(turned).max() > 0.98 * degrees and turned.min() < 0
    if dims == 3:
        assert not angles[:, :2].any()


def test_a_turn_is_by_the_angle_and_in_the_first_two_axes():
    (rotation,) = (step for step in augmentations("S4", (33, 33, 5)) if isinstance(step, RandRotated))
    rotation.prob = 1.0
    rotation.set_random_state(1)
    image = torch.zeros(1, 33, 33, 5)
    image[0, 24:27, 15:18] = 1  # at angle 0 around the center
    for _ in range(3):
        out = rotation({"image": image, "label": image})["image"].as_tensor()
        assert torch.allclose(out[..., :1].expand_as(out), out, atol=1e-5)
        x, y = (
            (torch.stack(torch.meshgrid(torch.arange(33.0), torch.arange(33.0), indexing="ij")) - 16)
            .mul(out[0, :, :, 2] / out[0, :, :, 2].sum())
            .flatten(1)
            .sum(1)
        )
        measured, drawn = math.degrees(math.atan2(y, x)), math.degrees(rotation.rand_rotate.z)
        assert abs(measured) == pytest.approx(abs(drawn), abs=0.3) and abs(drawn) > 0.5


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("level", AUGMENTATION_LEVELS)
def test_mask_stays_binary_on_its_image_and_shapes_stay(dims, level):
    set_determinism(0)
    chain = Compose(augmentations(level, ROI[dims])).set_random_state(0)
    before = sample(ROI[dims])
    changed = 0
    for _ in range(6):
        out = chain(before)
        assert out["image"].shape == out["label"].shape == before["image"].shape
        assert set(out["label"].unique().tolist()) <= {0, 1} and out["label"].any()
        # bright where the mask is: its centers agree
        weight = out["image"][0] * (out["image"][0] > 0.6)
        grid = torch.stack(torch.meshgrid(*(torch.arange(float(n)) for n in ROI[dims]), indexing="ij"))
        center = [(grid * w).flatten(1).sum(1) / w.sum() for w in (weight, out["label"][0].float())]
        assert (center[0] - center[1]).norm() < 0.8
        changed += not torch.equal(out["image"], before["image"])
    assert changed > 0


def orientation(before, after):
    """Determinant of the axis permutation with signs that maps one small cube to another; None if it is none."""
    found = []
    for turns in range(4):
        for mirror in (False, True):
            candidate = before.flip(1) if mirror else before
            if torch.equal(torch.rot90(candidate, turns, (1, 2)), after):
                found.append(-1 if mirror else 1)
    return found[0] if found else None


@pytest.mark.parametrize(("level", "mirrors"), [("S1", True), ("S2", False)])
def test_the_first_level_mirrors_and_the_second_turns(level, mirrors):
    chain = Compose(augmentations(level, (6, 6), None)).set_random_state(0)
    image = torch.rand(1, 6, 6)
    found = [orientation(image, chain({"image": image})["image"].as_tensor()) for _ in range(60)]
    assert None not in found and (-1 in found) == mirrors


def test_flips_are_independent_and_as_frequent_as_told():
    chain = Compose(augmentations("S1", (2, 2, 2), None)).set_random_state(0)
    image = torch.arange(8.0).reshape(1, 2, 2, 2)
    corner = np.array([int(chain({"image": image})["image"][0, 0, 0, 0]) for _ in range(400)])
    bits = np.stack([corner >> 2 & 1, corner >> 1 & 1, corner & 1])
    assert np.abs(bits.mean(1) - 0.5).max() < 3 * (0.25 / 400) ** 0.5
    assert np.abs(np.corrcoef(bits) - np.eye(3)).max() < 3 / 400**0.5


PROBABILITIES = {
    "S1": {RandFlipd: 0.5},
    "S2": {RandRotate90d: 0.5},
    "S3": {RandFlipd: 0.5, RandRotated: 0.3},
    "S4": {RandRotate90d: 0.5, RandRotated: 0.3},
    "S5": {RandFlipd: 0.5, RandRotate90d: 0.5, RandRotated: 0.6},
    "S6": {RandFlipd: 0.5, RandRotate90d: 0.5, RandRotated: 0.6, RandZoomd: 0.4},
}


@pytest.mark.parametrize("level", AUGMENTATION_LEVELS)
def test_probabilities_of_all_steps(level):
    image, draws = torch.rand(1, 12, 12), 400
    for step in augmentations(level, (12, 12), None):
        p = PROBABILITIES[level][type(step)]
        step.set_random_state(2)
        share = np.mean([not torch.equal(step({"image": image})["image"], image) for _ in range(draws)])
        # small scales leave so small an image as it is
        slack = 0.1 if isinstance(step, RandZoomd) else 0
        assert abs(share - p) < 3 * (p * (1 - p) / draws) ** 0.5 + slack, type(step)


def test_scales_lie_between_0_8_and_1_2():
    (zoom,) = (step for step in augmentations("S6", ROI[3]) if isinstance(step, RandZoomd))
    zoom.rand_zoom.prob = 1.0
    factors = []
    for _ in range(200):
        zoom.rand_zoom.randomize(torch.rand(1, *ROI[3]))
        factors.append(zoom.rand_zoom._zoom[0])
        assert len(set(zoom.rand_zoom._zoom)) == 1
    assert 0.8 <= min(factors) < 0.82 and 1.18 < max(factors) <= 1.2


def test_mistakes_are_named():
    with pytest.raises(ValueError, match=r"`augmentation` must be null or one of .*, got 'strong'"):
        augmentations("strong", ROI[3])
    with pytest.raises(ValueError, match=r"`roi_size` must be equal, got \[16, 32, 8\]; try \[16, 16, 8\] or"):
        augmentations("S2", (16, 32, 8))
    assert augmentations("S3", (16, 32, 8))
