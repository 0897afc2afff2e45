"""What is wrong with the data is said before a training: grids and values of labels, modality of images."""

import json
import logging
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.data import MetaTensor
from monai.transforms import Compose

from monai_ssl.data.case_facts import CaseFacts, LabelFacts
from monai_ssl.io.volume import Grid
from monai_ssl.tasks import Classification, Segmentation, check_data
from monai_ssl.tasks.label_grid import ResampleLabeld, difference

RNG = np.random.default_rng(0)
SHAPE = (12, 10, 8)
AFFINE = np.diag([2.0, 2, 3, 1])
LAST = np.array(SHAPE) - 1
BALL = (sum((np.indices(SHAPE)[axis] - SHAPE[axis] // 2) ** 2 for axis in range(3)) < 9).astype(np.uint8)
CT = np.where(BALL > 0, 40, -1000) + RNG.integers(0, 30, SHAPE)
TASK = Segmentation({"ball": 1})


def moved(affine, offset=(0, 0, 0), axes=(0, 1, 2), flipped=()):
    """The affine of an array whose axes were permuted, then some flipped, and which then was shifted."""
    matrix = np.eye(4)[:, [*axes, 3]]
    for axis in flipped:
        matrix[:, 3] += matrix[:, axis] * (SHAPE[axes[axis]] - 1)
        matrix[:, axis] *= -1
    out = affine @ matrix
    out[:3, 3] += offset
    return out


def case(folder, number=0, label=BALL, label_affine=AFFINE, image=CT, affine=AFFINE):
    paths = {}
    for name, array, at in (("image", image, affine), ("label", label, label_affine)):
        paths[name] = str(folder / f"{name}{number}.nii.gz")
        array = array.astype(np.int16) if array.dtype.kind in "iu" else array.astype(np.float32)
        nib.save(nib.Nifti1Image(array, at), paths[name])
    return paths


def said(caplog, cases, task=TASK, memory=None, modality="ct", **how):
    """What was warned of, and what was refused."""
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        try:
            check_data(task, cases, memory, modality=modality, **how)
        except ValueError as error:
            return caplog.text, str(error)
    return caplog.text, ""


@settings(max_examples=30, deadline=None)
@given(st.permutations(range(3)), st.sets(st.sampled_from(range(3))), st.integers(0, 2), st.floats(-0.6, 0.6))
def test_a_grid_is_the_same_in_any_order_and_direction_of_axes_and_another_when_it_is_moved(axes, flipped, axis, off):
    offset = np.zeros(3)
    offset[axis] = off * 2
    shape = tuple(SHAPE[a] for a in axes)
    found = difference(Grid(SHAPE, AFFINE), Grid(shape, moved(AFFINE, offset, axes, flipped)))
    assert (found is None) == (abs(off) <= 0.1 + 1e-9)


def test_labels_off_the_grid_of_their_image_are_refused_by_name_and_digits_are_not(tmp_path, caplog):
    wrong = {
        "20 mm off": (BALL, moved(AFFINE, (20, 0, 0)), "lies elsewhere, up to 20 mm off"),
        "mirrored header": (BALL, AFFINE * np.diag([-1.0, 1, 1, 1]), "lies elsewhere, up to 22 mm"),
        "spacing": (BALL, np.diag([2, 2, 3.5, 1]), "up to 3.5 mm off"),
        "half": (BALL[::2, ::2, ::2], AFFINE @ np.diag([2, 2, 2, 1]), "6 x 5 x 4 voxels of 4 x 4 x 6 mm"),
        "a slice less": (BALL[..., :-1], AFFINE, "12 x 10 x 7 voxels, the image 12 x 10 x 8"),
    }
    for number, (label, affine, text) in enumerate(wrong.values()):
        other, bad = case(tmp_path, 90), case(tmp_path, number, label, affine)
        _, refused = said(caplog, [other, bad])
        assert f"1 of 2 labels are not on the grid of their images: `label{number}.nii.gz`" in refused
        assert text in refused
        with pytest.raises(RuntimeError) as caught:
            Compose(TASK.loading("ct"))(bad)
        assert text in str(caught.value.__cause__)
    right = [
        case(tmp_path, 50, BALL[::-1], moved(AFFINE, flipped=[0])),
        case(tmp_path, 51, BALL.transpose(2, 0, 1), moved(AFFINE, axes=(2, 0, 1))),
        case(tmp_path, 52, BALL, AFFINE + 1e-5),
    ]
    assert said(caplog, right) == ("", "")
    for one in right:
        loaded = Compose(TASK.loading("ct", spacing=(1.7, 1.7, 1.7)))(one)
        image, label = loaded["image"], loaded["label"]
        assert image.shape == label.shape and torch.equal(image.affine, label.affine)
    for one in right:
        loaded = Compose(TASK.loading("ct"))(one)
        assert np.array_equal(loaded["label"][0], BALL)


def test_a_grid_is_brought_onto_that_of_the_image_by_option(tmp_path, caplog):
    one = case(tmp_path, 0, np.repeat(np.repeat(BALL, 2, 0), 2, 1), moved(np.diag([1.0, 1, 3, 1]), (-0.5, -0.5, 0)))
    warned, refused = said(caplog, [one], label_grid="resample")
    assert not refused and "1 of 1 labels are resampled" in warned and "label0.nii.gz" in warned
    assert np.array_equal(Compose(TASK.loading("ct", label_grid="resample"))(one)["label"][0], BALL)
    far = case(tmp_path, 1, BALL, moved(AFFINE, (500, 0, 0)))
    assert "`label1.nii.gz`" in said(caplog, [far], label_grid="resample")[1]
    # the header of the label is wrong, its voxels are those of the image
    turned = moved(AFFINE, flipped=[1])
    one = case(tmp_path, 2, BALL[:, ::-1], np.eye(4), CT[:, ::-1], turned)
    assert "elsewhere" in said(caplog, [one])[1] and said(caplog, [one], label_grid="voxels") == ("", "")
    assert np.array_equal(Compose(TASK.loading("ct", label_grid="voxels"))(one)["label"][0], BALL)
    small = case(tmp_path, 3, BALL[1:])
    assert "`label3.nii.gz`" in said(caplog, [small], label_grid="voxels")[1]
    with pytest.raises(RuntimeError) as refusal:
        Compose(TASK.loading("ct", label_grid="voxels"))(small)
    assert "they do not correspond one to one" in str(refusal.value.__cause__)


def test_a_resampled_label_is_the_nearest_one_and_background_outside():
    values = RNG.choice([0, 1, 3], (1, 6, 5, 4)).astype(np.uint8)
    offset, spacing = np.array([1.3, -0.8, 2.4]), np.array([1.5, 2.0, 1.1])
    label = MetaTensor(values, affine=moved(np.diag([*spacing, 1.0]), offset))
    image = MetaTensor(np.zeros((1, 9, 8, 7)), affine=np.eye(4))
    found = ResampleLabeld()({"label": label, "image": image})["label"].numpy()
    wanted = np.zeros((9, 8, 7))
    for index in np.ndindex(*wanted.shape):
        nearest = np.rint((np.array(index) - np.array(label.affine)[:3, 3]) / spacing).astype(int)
        if (nearest >= 0).all() and (nearest < values.shape[1:]).all():
            wanted[index] = values[0][tuple(nearest)]
    assert np.array_equal(found[0], wanted) and set(np.unique(found)) == {0, 1, 3}


def test_values_of_labels(tmp_path, caplog):
    corner = BALL.copy()
    corner[0, 0, 0] = 255
    cases = [case(tmp_path, 0), case(tmp_path, 1, corner), case(tmp_path, 2, 0 * BALL)]
    warned, refused = said(caplog, cases, Segmentation({"ball": 1, "cube": [2, 3]}))
    assert not refused
    assert "no label file holds 2 (cube), 3 (cube) of `labels`; the values are 0, 1, 255" in warned
    assert "count as background: 255 in 1 of 3, as `label1.nii.gz`" in warned
    assert "1 of 3 labels hold none of the structures: `label2.nii.gz`" in warned
    for number, label, text in [
        (3, 255 * BALL, "holds any of `labels`: 1 (ball); the values are 0, 255"),
        (4, 0 * BALL, "holds any of `labels`: 1 (ball); the values are 0"),
        (5, 0.5 * BALL, "hold fractions or no numbers: `label5.nii.gz` (0.5)"),
        (6, np.where(BALL, np.nan, 1.0), "hold fractions or no numbers: `label6.nii.gz` (NaN or infinity)"),
        (7, np.stack([BALL] * 3, -1), "more than one channel: `label7.nii.gz`"),
        (8, RNG.normal(size=SHAPE), "look like images|hold fractions"),
    ]:
        refused = said(caplog, [case(tmp_path, number, label)])[1]
        assert any(part in refused for part in text.split("|")), refused
    near = case(tmp_path, 9, 0.999 * BALL)
    assert said(caplog, [near]) == ("", "") and Compose(TASK.loading("ct"))(near)["label"].sum() == BALL.sum()
    broken = case(tmp_path, 10)
    with Path(broken["label"]).open("r+b") as file:
        file.truncate(100)
    assert "1 of 2 files cannot be read: `label10.nii.gz`" in said(caplog, [cases[0], broken])[1]


@pytest.mark.parametrize("task", [TASK, Classification(["a", "b"])])
def test_the_modality_is_judged_by_the_values(tmp_path, caplog, task):
    mr = np.where(BALL, 2500, RNG.integers(0, 1500, SHAPE))
    cases = [case(tmp_path, 0), case(tmp_path, 1, image=mr), case(tmp_path, 2, image=mr / mr.max())]
    assert said(caplog, cases[:1], task) == ("", "")
    warned, refused = said(caplog, cases, task)
    assert "2 of 3 images are clipped or nearly one gray" in refused and "`image1.nii.gz` (mr by its values" in refused
    assert said(caplog, cases[1:], task, modality="mr") == ("", "")
    warned, refused = said(caplog, cases, task, modality="mr")
    assert not refused and "1 of 3 images do not look like `modality` 'mr': `image0.nii.gz` (ct by its values" in warned
    window = {"kind": "ct_window", "low": 0, "high": 3000}
    assert said(caplog, cases[1:2], task, intensity=window) == ("", "")


def test_files_are_looked_up_once_and_again_when_they_change(tmp_path, monkeypatch):
    one, memory = case(tmp_path), tmp_path / "memory.json"
    (found,) = CaseFacts(memory).labels([one["label"]]).values()
    assert isinstance(found, LabelFacts) and found.values[1] == (1.0, int(BALL.sum()))
    text = memory.read_text()
    assert "label0" not in text and str(tmp_path) not in text
    with monkeypatch.context() as patch:
        patch.setattr("monai_ssl.data.case_facts._label", None)
        (again,) = CaseFacts(memory).labels([one["label"]]).values()
    assert [tuple(pair) for pair in again.values] == found.values and again.corners == found.corners
    case(tmp_path, 0, BALL * 7)
    assert CaseFacts(memory).labels([one["label"]])[one["label"]].values[1][0] == 7
    memory.write_text(json.dumps({"LabelFacts x": {"bad": 1}}))
    assert CaseFacts(memory).labels([one["label"]])[one["label"]].values[1][0] == 7
