"""The phantoms: anatomy where it belongs, another for every seed, the same at any shape."""

import nibabel as nib
import numpy as np
import pytest

from monai_ssl.samples.anatomy import CT_LABELS, MR_LABELS
from monai_ssl.samples.packages import CHEST_LABELS
from monai_ssl.samples.phantom import phantom_ct, phantom_mr, phantom_xray, write_phantom_cohort
from monai_ssl.samples.projection import project

SHAPE = (56, 48, 40)


def test_ct_has_the_densities_of_its_organs():
    image, label = phantom_ct(3, SHAPE)
    assert image.shape == label.shape == SHAPE
    assert image.dtype == np.int16
    assert label.dtype == np.uint8
    assert image.min() >= -1024
    lungs, heart, spine = (image[label == CT_LABELS[name]] for name in ("lungs", "heart", "spine"))
    assert -900 < np.median(lungs) < -700
    assert 0 < np.median(heart) < 90
    assert 150 < np.median(spine) < 500
    assert image[0, -1, 0] < -900


@pytest.mark.parametrize("seed", range(4))
def test_ct_lies_in_ras(seed):
    _, label = phantom_ct(seed, SHAPE)
    heart, spine = (np.argwhere(label == CT_LABELS[name]).mean(0) for name in ("heart", "spine"))
    middle = (np.array(SHAPE) - 1) / 2
    assert heart[0] < middle[0], "the heart lies on the left: low x"
    assert spine[1] < heart[1], "the spine lies behind the heart: low y"
    lungs = np.argwhere(label == CT_LABELS["lungs"])
    assert heart[2] < lungs[:, 2].mean(), "the heart lies in the lower chest: low z"


def test_mr_is_brightest_in_white_matter_and_dark_in_the_ventricles():
    image, label = phantom_mr(1, SHAPE)
    medians = {name: np.median(image[label == value]) for name, value in MR_LABELS.items()}
    assert medians["ventricles"] < medians["gray matter"] < medians["white matter"]
    assert image.min() >= 0


@pytest.mark.parametrize("make", [phantom_ct, phantom_mr])
def test_a_seed_is_a_patient(make):
    first, first_label = make(0, SHAPE)
    again, _ = make(0, SHAPE)
    other, other_label = make(1, SHAPE)
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)
    overlap = 2 * ((first_label > 0) & (other_label > 0)).sum() / ((first_label > 0).sum() + (other_label > 0).sum())
    assert overlap < 0.97, "two patients of different anatomy, not of different noise"


def test_the_anatomy_does_not_depend_on_the_shape():
    coarse, fine = (phantom_ct(2, shape)[1] for shape in ((32, 32, 32), (64, 64, 64)))
    assert (coarse == 1).mean() == pytest.approx((fine == 1).mean(), rel=0.1)


def test_xray_has_dark_lungs_and_the_heart_to_the_right_of_the_picture():
    view, lungs = phantom_xray(0, (96, 80))
    assert view.shape == lungs.shape == (96, 80)
    assert view.dtype == np.uint16
    columns = view.astype(float)
    middle = np.zeros_like(lungs, bool)
    middle[30:66, 30:60] = True
    assert columns[lungs == 1].mean() < columns[middle & (lungs == 0)].mean()
    rows = np.argwhere(lungs)[:, 1]
    # the apex tapers: fewer lung pixels in the upper third of the lungs than in the middle third
    low, high = np.quantile(rows, [0, 1])
    thirds = np.histogram(rows, bins=np.linspace(low, high + 1, 4))[0]
    assert thirds[0] < thirds[1]


@pytest.mark.parametrize("make", [phantom_ct, phantom_mr])
def test_too_small_a_phantom_is_refused(make):
    with pytest.raises(ValueError, match="at least 8 voxels"):
        make(0, (64, 64, 4))


def test_cohort_on_disk(tmp_path):
    written = write_phantom_cohort(tmp_path, patients=4, seed=1, shape=(40, 40, 32))
    assert [p.relative_to(tmp_path).as_posix() for p in written] == [
        "ct/phantom_000/ct.nii.gz",
        "ct/phantom_001/ct.nii.gz",
        "ct/phantom_002/ct.nii.gz",
        "mr/phantom_003/mr.nii.gz",
    ]
    image = nib.load(written[0])
    label = nib.load(tmp_path / "labels" / "phantom_000_lung_label.nii.gz")
    assert image.shape == label.shape == (40, 40, 32)
    assert np.allclose(image.affine, label.affine)
    assert nib.aff2axcodes(image.affine) == ("R", "A", "S")
    assert set(np.unique(np.asarray(label.dataobj))) == {0, 1}
    inside = np.asarray(image.dataobj)[np.asarray(label.dataobj) == 1]
    assert np.median(inside) < -550
    chest = np.asarray(nib.load(tmp_path / "labels" / "phantom_000_chest_label.nii.gz").dataobj)
    right, left = ((chest == c).nonzero()[0] for c in (CHEST_LABELS["right lung"], CHEST_LABELS["left lung"]))
    assert left.max() < 20 <= right.min()
    assert len(right) + len(left) == len(inside) and (chest == CHEST_LABELS["spine"]).any()
    assert len(list((tmp_path / "labels").iterdir())) == 6


def test_empty_cohort_is_refused(tmp_path):
    with pytest.raises(ValueError, match="`patients` must be at least 1"):
        write_phantom_cohort(tmp_path, patients=0)


def _rod(x: int, y: int) -> np.ndarray:
    volume = np.full((40, 40, 20), -1000, np.int16)
    volume[x, y, 5:15] = 1000
    return volume


def test_projection_is_radiological():
    volume = np.full((40, 40, 20), -1000, np.int16)
    volume[30:34, 10:14, 14:18] = 1000
    view = project(volume, (1.0, 1.0, 1.0), size=40)
    column, row = np.argwhere(view > 40000).mean(0)
    assert column < 20, "the patient's right is on the left of the picture"
    assert row < 10, "head up"


def test_projection_has_square_pixels_and_sees_only_the_slab():
    view = project(_rod(20, 5), (1.0, 1.0, 2.0), size=80)
    assert view.shape == (80, 80)
    assert project(_rod(20, 5), (1.0, 1.0, 2.0), slab=(0.5, 1.0)).max() == 0
    assert project(_rod(20, 5), (1.0, 1.0, 2.0), slab=(0.0, 0.5)).max() == 65535


@pytest.mark.parametrize(("angle", "shift"), [(0, 0.0), (30, 7.5), (-30, -7.5), (90, 15.0)])
def test_the_patient_turns_in_millimeters(angle, shift):
    # 15 mm behind the axis; as the patient turns to his right, his back comes to the right of the picture
    volume = np.full((40, 50, 20), -1000, np.int16)
    volume[18:22, 8:12, 5:15] = 1000
    view = project(volume, (1.5, 1.0, 1.0), angle=angle, size=60)
    assert np.argwhere(view > 30000).mean(0)[0] - 29.5 == pytest.approx(shift, abs=0.6)


@pytest.mark.parametrize(
    ("shape", "slab", "match"), [((4, 4), (0, 1), "must be a volume"), ((4, 4, 4), (0.5, 0.5), "rising fractions")]
)
def test_projection_refuses(shape, slab, match):
    with pytest.raises(ValueError, match=match):
        project(np.zeros(shape, np.int16), (1.0, 1.0, 1.0), slab=slab)
