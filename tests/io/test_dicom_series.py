"""Slices are stacked by where they lie: gaps, jitter, copies, tilt."""

import numpy as np
import pytest
from files import read_one, save, save_series, series, stored
from hypothesis import given
from hypothesis import strategies as st

from monai_ssl.io.dicom.series import regular_slots
from monai_ssl.io.volume import ReadError


def test_missing_slice_is_refused_or_filled(tmp_path):
    pixels = stored()
    datasets = series(pixels)
    folder = save_series(datasets[:3] + datasets[4:], tmp_path / "p")
    with pytest.raises(ReadError, match=r"/p: 1 of 6 slices are missing, the largest gap is 5 mm where slices are 2.5"):
        read_one(folder)
    volume = read_one(folder, missing_slices="fill")
    whole = read_one(save_series(datasets, tmp_path / "q"))
    assert np.array_equal(np.delete(volume.array, 3, 3), np.delete(whole.array, 3, 3))
    between = (whole.array[..., 2].astype(float) + whole.array[..., 4]) / 2
    assert np.abs(volume.array[..., 3] - between).max() <= 0.5
    assert np.allclose(volume.affine, whole.affine)
    assert volume.notes == ("1 of 6 slices were interpolated between their neighbors, 2.5 mm apart",)


def test_too_many_missing_slices_are_refused_even_to_fill(tmp_path):
    datasets = series(stored((12, 4, 5)))
    folder = save_series([*datasets[:2], datasets[-1]], tmp_path / "p")
    with pytest.raises(ReadError, match="9 of 12 slices are missing, too many to make up"):
        read_one(folder, missing_slices="fill")


def test_uneven_slices_are_refused_or_made_even(tmp_path):
    heights = np.array([0, 2, 4, 6, 9, 12.0])
    datasets = series(stored())
    for ds, height in zip(datasets, heights, strict=True):
        ds.ImagePositionPatient = [0, 0, height]
    ramp = np.broadcast_to(heights.astype(np.uint16)[:, None, None] * 100, (6, 10, 12))
    for ds, plane in zip(datasets, ramp, strict=True):
        ds.PixelData = plane.tobytes()
    folder = save_series(datasets, tmp_path / "p")
    with pytest.raises(ReadError, match="the distance of slices varies from 2 to 3 mm"):
        read_one(folder)
    volume = read_one(folder, missing_slices="fill")
    # a linear ramp stays one: value = 100 per mm - 1024
    depth = volume.affine[2, 3] + volume.spacing[2] * np.arange(volume.array.shape[3])
    assert np.abs(volume.array[0, 0, 0] - (100 * depth - 1024)).max() <= 12


@given(st.integers(2, 40), st.floats(0.3, 8), st.data())
def test_regular_slices_with_jitter_stay_as_they_are(count, step, data):
    shifts = data.draw(st.lists(st.floats(-0.02, 0.02), min_size=count, max_size=count))
    slots, distance = regular_slots(np.arange(count) * step + shifts, None, fill=False)
    assert np.array_equal(slots, np.arange(count))
    assert abs(distance - step) <= 0.05


def test_jitter_that_adds_up_is_uneven():
    heights = np.cumsum([0.0, *[2.55] * 60, *[2.45] * 60])
    with pytest.raises(ReadError, match=r"the distance of slices varies from 2\.45 to 2\.55 mm"):
        regular_slots(heights, "folder", fill=False)
    slots, distance = regular_slots(heights, "folder", fill=True)
    assert np.isclose(distance, 2.5) and np.allclose(
        np.interp(slots, np.arange(121), heights), 2.5 * np.arange(121), atol=0.1
    )


@given(st.sets(st.integers(1, 38), max_size=12), st.floats(0.5, 8))
def test_every_gap_is_counted(missing, step):
    kept = np.array(sorted(set(range(40)) - missing))
    slots, distance = regular_slots(kept * step, None, fill=True)
    assert len(slots) == 40 and np.isclose(distance, step)
    assert np.allclose(np.interp(slots, np.arange(len(kept)), kept), np.arange(40), atol=0.21)


def test_repeated_slices_are_dropped_if_alike(tmp_path):
    datasets = series(stored())
    folder = save_series(datasets, tmp_path / "p")
    save(datasets[2], folder / "copy.dcm")
    volume = read_one(folder)
    assert volume.array.shape == (1, 12, 10, 6)
    assert volume.notes == ("1 repeated slices were dropped",)


def test_different_slices_of_one_position_are_refused(tmp_path):
    datasets = series(stored())
    folder = save_series(datasets, tmp_path / "p")
    other = series(stored(seed=1))[2]
    other.SeriesInstanceUID = datasets[0].SeriesInstanceUID
    save(other, folder / "other.dcm")
    with pytest.raises(ReadError, match="different images lie at the same position"):
        read_one(folder)


@pytest.mark.parametrize("degrees", [-21, -6, 5, 18])
def test_gantry_tilt_is_resampled_away(tmp_path, degrees):
    # what is seen is a smooth function of the place in the patient, so the truth is known everywhere
    a = np.radians(degrees)
    orientation = (1, 0, 0, 0, np.cos(a), np.sin(a))
    datasets = series(np.zeros((8, 40, 12), np.uint16), orientation, spacing=(1, 1), step=0, lean=(0, 0, 3))

    def seen(x, y, z):
        return 2500 + 300 * np.sin(y / 9) + 300 * np.cos(z / 11) + 5 * x

    i, j = np.meshgrid(np.arange(12), np.arange(40))
    for ds in datasets:
        axes = np.array(ds.ImageOrientationPatient, float).reshape(2, 3)
        points = np.array(ds.ImagePositionPatient, float) + i[..., None] * axes[0] + j[..., None] * axes[1]
        ds.PixelData = seen(*np.moveaxis(points, -1, 0)).astype(np.uint16).tobytes()
    volume = read_one(save_series(datasets, tmp_path / "p"))
    assert volume.notes == (f"a gantry tilt of {abs(degrees):.1f} degrees was resampled away",)
    axes = volume.affine[:3, :3] / volume.spacing
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-5)
    assert np.isclose(volume.spacing[2], 3 * np.cos(a))
    index = np.argwhere(volume.array[0] > 0)
    x, y, z = (index @ volume.affine[:3, :3].T + volume.affine[:3, 3]).T * [[-1], [-1], [1]]
    error = np.abs(volume.array[0][tuple(index.T)] + 1024 - seen(x, y, z))
    # at the rim pixels are mixed with air
    assert np.quantile(error, 0.9) < 3 and len(index) > 0.85 * 8 * 40 * 12
    assert (volume.array == -1024).any()


def test_slices_that_shift_to_and_fro_are_refused(tmp_path):
    datasets = series(stored())
    for k, ds in enumerate(datasets):
        ds.ImagePositionPatient = [10 * (k % 2), 0, 2.5 * k]
    with pytest.raises(ReadError, match="do not lie behind one another"):
        read_one(save_series(datasets, tmp_path / "p"))
