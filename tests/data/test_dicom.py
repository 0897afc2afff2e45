"""DICOM series, multi-frame files and pictures become volumes that lie right, or sentences that say why not."""

import numpy as np
import pytest
from files import (
    CT,
    ENHANCED_MR,
    MR,
    ULTRASOUND_FILM,
    XRAY,
    cut,
    dicom,
    enhanced,
    save,
    save_series,
    series,
    stored,
)
from hypothesis import given
from hypothesis import strategies as st
from pydicom.sequence import Sequence
from pydicom.uid import MPEG2MPML, JPEGLSLossless, RLELossless

from monai_ssl.data.dicom_pixels import Rescaling
from monai_ssl.data.dicom_series import regular_slots
from monai_ssl.data.discovery import discover
from monai_ssl.data.readers import read
from monai_ssl.data.volume import ReadError


def read_all(folder, **options):
    sources, rejected = discover(folder)
    assert not rejected
    return [volume for source in sources for volume in read(source, **options)]


def read_one(folder, **options):
    (volume,) = read_all(folder, **options)
    return volume


def world(affine, index):
    return affine[:3, :3] @ index + affine[:3, 3]


def rotated(degrees_about_x, degrees_about_z):
    a, b = np.radians([degrees_about_x, degrees_about_z])
    about_x = np.array([[1, 0, 0], [0, np.cos(a), -np.sin(a)], [0, np.sin(a), np.cos(a)]])
    about_z = np.array([[np.cos(b), -np.sin(b), 0], [np.sin(b), np.cos(b), 0], [0, 0, 1]])
    return (about_z @ about_x)[:, :2].T.ravel()


@pytest.mark.parametrize(
    ("sop_class", "orientation"),
    [
        (CT, (1, 0, 0, 0, 1, 0)),
        (MR, (0, 1, 0, 0, 0, -1)),  # sagittal
        (MR, (1, 0, 0, 0, 0, -1)),  # coronal
        (MR, tuple(rotated(12, 7))),  # oblique
    ],
)
def test_series_agrees_with_itk(tmp_path, sop_class, orientation):
    itk = pytest.importorskip("itk")
    folder = save_series(series(stored(), orientation, sop_class=sop_class), tmp_path / "p")
    volume = read_one(folder)
    names = itk.GDCMSeriesFileNames.New(Directory=str(folder))
    image = itk.imread(list(names.GetFileNames(names.GetSeriesUIDs()[0])), itk.F)
    theirs = itk.array_from_image(image).T
    axes = np.asarray(image.GetDirection()) * np.asarray(image.GetSpacing())
    assert volume.array.shape[0] == 1 and volume.array.dtype == np.int16
    assert np.allclose(np.sort(volume.spacing), np.sort([0.5, 0.8, 2.5]), atol=1e-4)
    assert np.all(np.diag(volume.affine) > 0)
    rng = np.random.default_rng(0)
    for index in rng.integers(0, theirs.shape, (50, 3)):
        point = (axes @ index + np.asarray(image.GetOrigin())) * [-1, -1, 1]
        ours = np.linalg.solve(volume.affine, [*point, 1])[:3]
        assert np.allclose(ours, np.rint(ours), atol=1e-3)
        assert volume.array[(0, *np.rint(ours).astype(int))] == theirs[tuple(index)]


def test_axial_series_is_ras(tmp_path):
    pixels = stored()
    volume = read_one(save_series(series(pixels), tmp_path / "p"))
    assert np.array_equal(volume.array[0], pixels.transpose(2, 1, 0)[::-1, ::-1].astype(int) - 1024)
    assert volume.array.flags.c_contiguous and volume.array.flags.writeable
    assert np.allclose(world(volume.affine, [11, 9, 0]), [20, 30, 40])
    assert (volume.modality, volume.patient, volume.notes) == ("ct", "patient-7", ())
    assert np.allclose(volume.spacing, [0.5, 0.8, 2.5])


def test_orientations_that_differ_by_rounding_are_one(tmp_path):
    datasets = series(stored())
    for k, ds in enumerate(datasets):
        # on both sides of where a rounding to three digits would part them
        ds.ImageOrientationPatient = [1, 0.0005 + (-1) ** k * 1e-6, 0, -0.0005, 1, 0]
    assert read_one(save_series(datasets, tmp_path / "p")).array.shape == (1, 12, 10, 6)


def test_rescaling_of_fractions_and_of_single_slices(tmp_path):
    pixels = stored()
    datasets = series(pixels, sop_class=MR)
    for k, ds in enumerate(datasets):
        ds.RescaleSlope, ds.RescaleIntercept = 0.25 + k / 8, -1.5
    volume = read_one(save_series(datasets, tmp_path / "p"))
    expected = pixels * (0.25 + np.arange(6) / 8)[:, None, None] - 1.5
    assert volume.array.dtype == np.float32
    assert np.allclose(volume.array[0], expected.transpose(2, 1, 0)[::-1, ::-1])


@given(st.sampled_from([8, 12, 16]), st.booleans(), st.sampled_from([1.0, 2.0, -1.0, 0.5]), st.integers(-2000, 2000))
def test_rescaled_values_never_overflow(bits, signed, slope, intercept):
    low, high = (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)
    ends = np.array([low, high], np.int16 if signed else np.uint16)
    values = Rescaling(slope, float(intercept), (low, high))(ends)
    assert np.array_equal(values, [low * slope + intercept, high * slope + intercept])


def test_padding_of_ct_is_air(tmp_path):
    pixels = stored().astype(np.int16)
    pixels[:, 0] = -2000
    tags = {"PixelPaddingValue": -2000, "BitsStored": 16, "HighBit": 15}
    volume = read_one(save_series(series(pixels, **tags), tmp_path / "p"))
    assert (volume.array[0, :, -1] == -1024).all()
    assert np.array_equal(volume.array[0, :, :-1], pixels[:, 1:].transpose(2, 1, 0)[::-1, ::-1] - 1024)


def test_run_length_coding_is_decoded(tmp_path):
    pixels = stored()
    datasets = series(pixels)
    for ds in datasets:
        ds.compress(RLELossless, generate_instance_uid=False)
    volume = read_one(save_series(datasets, tmp_path / "p"))
    assert np.array_equal(volume.array[0], pixels.transpose(2, 1, 0)[::-1, ::-1].astype(int) - 1024)


@pytest.mark.parametrize(
    ("syntax", "message"),
    [(JPEGLSLossless, "no decoder for JPEG-LS.*pip install monai-ssl.dicom"), (MPEG2MPML, "MPEG2.*not read")],
)
def test_unknown_compression_is_named(tmp_path, syntax, message, monkeypatch):
    from pydicom.pixels.decoders import JPEGLSLosslessDecoder

    monkeypatch.setattr(type(JPEGLSLosslessDecoder), "is_available", False)
    datasets = series(stored())
    for ds in datasets:
        ds.compress(RLELossless, generate_instance_uid=False)
        ds.file_meta.TransferSyntaxUID = syntax
    (source,) = discover(save_series(datasets, tmp_path / "p"))[0]
    with pytest.raises(ReadError, match=message):
        read(source)


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


def test_series_without_positions_is_refused(tmp_path):
    datasets = series(stored())
    for ds in datasets:
        del ds.ImagePositionPatient
    with pytest.raises(ReadError, match=r"/p: the slices have no position or orientation"):
        read_one(save_series(datasets, tmp_path / "p"))


@pytest.mark.parametrize(
    ("tags", "message"),
    [
        ({"PixelSpacing": [0.9, 0.9]}, "differ in pixel spacing"),
        ({"PixelSpacing": [0.0, 0.0]}, "the pixel spacing is missing or not positive"),
        ({"ImageOrientationPatient": [1, 0, 0, 0, 0, 1]}, "differ in orientation"),
        ({"PixelSpacing": None}, "the pixel spacing is missing or not positive"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, "no pair of directions at right angles"),
    ],
)
def test_slices_that_do_not_fit_are_refused(tmp_path, tags, message):
    datasets = series(stored())
    for name, value in tags.items():
        setattr(datasets[1], name, value)
    save_series(datasets, tmp_path / "p")
    sources, _ = discover(tmp_path)
    mixed = type(sources[0])(tuple(f for s in sources for f in s.files), "dicom", "p", "p")
    with pytest.raises(ReadError, match=message):
        read(mixed)


def test_mixed_sizes(tmp_path):
    datasets = series(stored()) + series(stored((4, 8, 8)))
    for ds in datasets:
        ds.SeriesInstanceUID = "1.2.3.4"
    save_series(datasets, tmp_path / "p")
    sources, _ = discover(tmp_path)
    assert sorted(read(s)[0].array.shape for s in sources) == [(1, 8, 8, 4), (1, 12, 10, 6)]
    together = type(sources[0])(sources[0].files + sources[1].files, "dicom", "p", "p")
    with pytest.raises(ReadError, match=r"the slices differ in size .8 x 8 and 10 x 12"):
        read(together)


def test_values_that_are_no_numbers_are_named(tmp_path):
    datasets = series(stored())
    datasets[2].add_new("RescaleSlope", "LO", "steep")
    (source,) = discover(save_series(datasets, tmp_path / "p"))[0]
    with pytest.raises(ReadError, match="the DICOM header does not say how numbers become values"):
        read(source)


def test_pydicom_is_silent(tmp_path, recwarn, caplog):
    datasets = series(stored())
    for ds in datasets:
        ds.add_new("SOPInstanceUID", "UI", ds.SOPInstanceUID)
        ds["SOPInstanceUID"]._value = f"{ds.SOPInstanceUID}.Doe^Jane"
        ds.file_meta.MediaStorageSOPInstanceUID = "1.2.3"
    folder = save_series(datasets, tmp_path / "p")
    recwarn.clear()
    caplog.clear()
    read_one(folder)
    assert not any("Doe" in str(warning.message) for warning in recwarn) and "Doe" not in caplog.text


def test_truncated_file_is_named(tmp_path):
    datasets = series(stored((3, 32, 32)))
    folder = save_series(datasets, tmp_path / "p")
    broken = cut(sorted(folder.iterdir())[1], 0.8)
    (source,) = discover(folder)[0]
    with pytest.raises(
        ReadError, match=f"{broken.name}: the pixels .Explicit VR Little Endian. cannot be decoded, the file is damaged"
    ):
        read(source)


def test_color_slices_and_films_are_refused(tmp_path):
    film = dicom(stored((5, 8, 8)), ULTRASOUND_FILM, NumberOfFrames=5)
    (source,) = discover(save(film, tmp_path / "film.dcm"))[0]
    with pytest.raises(ReadError, match=r"film.dcm: this is a film of several frames"):
        read(source)
    datasets = series(stored((3, 8, 8)))
    for ds in datasets:
        ds.SamplesPerPixel = 3
    with pytest.raises(ReadError, match="the slices are in color"):
        read_one(save_series(datasets, tmp_path / "color"))


def test_radiograph(tmp_path):
    pixels = stored((10, 12))
    ds = dicom(pixels, XRAY, ImagerPixelSpacing=[0.2, 0.1], BitsStored=12, HighBit=11)
    volume = read_one(save(ds, tmp_path / "a.dcm"))
    assert np.array_equal(volume.array, pixels.T[None]) and volume.modality == "xray"
    assert volume.spacing == (0.1, 0.2) and np.allclose(volume.affine, np.diag([0.1, 0.2, 1, 1]))
    ds.PhotometricInterpretation = "MONOCHROME1"
    del ds.ImagerPixelSpacing
    inverted = read_one(save(ds, tmp_path / "a.dcm"))
    assert np.array_equal(inverted.array, 4095 - pixels.T[None])
    assert inverted.notes == ("the pixel spacing is unknown and taken as 1 mm",)


def test_color_picture(tmp_path):
    pixels = stored((10, 12, 3), high=255).astype(np.uint8)
    ds = dicom(pixels[..., 0], "1.2.840.10008.5.1.4.1.1.7", SamplesPerPixel=3, PlanarConfiguration=0)
    ds.PhotometricInterpretation, ds.PixelData = "RGB", pixels.tobytes()
    volume = read_one(save(ds, tmp_path / "a.dcm"))
    assert np.array_equal(volume.array, pixels.transpose(2, 1, 0)) and volume.modality == "rgb"


def test_enhanced_multiframe(tmp_path):
    pixels = stored()

    def backwards_and_rescaled(frame, k):
        item = dicom(pixels[0])
        item.RescaleSlope, item.RescaleIntercept = 0.5, 1
        frame.PixelValueTransformationSequence = Sequence([item])
        return 5 - k

    volume = read_one(save(enhanced(pixels, extra=backwards_and_rescaled), tmp_path / "a.dcm"))
    assert np.allclose(volume.array[0], (pixels * 0.5 + 1).transpose(2, 1, 0)[::-1, ::-1, ::-1])
    assert np.allclose(volume.spacing, [0.5, 0.8, 2]) and volume.modality == "mr"
    assert np.allclose(world(volume.affine, [11, 9, 0]), [-1, -2, 3])


def test_enhanced_multiframe_of_several_volumes(tmp_path):
    pixels = stored((8, 10, 12))

    def two_times(frame, k):
        content = dicom(pixels[0])
        content.TemporalPositionIndex = k % 2 + 1
        frame.FrameContentSequence = Sequence([content])
        return k // 2

    path = save(enhanced(pixels, extra=two_times), tmp_path / "a.dcm")
    with pytest.raises(ReadError, match=r"a.dcm: the file holds 2 volumes.*--four-d split"):
        read_all(path)
    volumes = read_all(path, four_d="split")
    assert len(volumes) == 2
    for time, volume in enumerate(volumes):
        assert np.array_equal(volume.array[0], pixels[time::2].transpose(2, 1, 0)[::-1, ::-1])


def test_enhanced_multiframe_without_geometry_is_refused(tmp_path):
    ds = enhanced(stored())
    del ds.PerFrameFunctionalGroupsSequence[2].PlanePositionSequence
    with pytest.raises(ReadError, match="the slices have no position"):
        read_one(save(ds, tmp_path / "a.dcm"))
    bare = dicom(stored(), ENHANCED_MR, NumberOfFrames=6)
    with pytest.raises(ReadError, match="no functional groups"):
        read_one(save(bare, tmp_path / "b.dcm"))


def test_absurd_spacing_is_refused(tmp_path):
    folder = save_series(series(stored(), spacing=(500, 500)), tmp_path / "p")
    with pytest.raises(ReadError, match="which no scan has"):
        read_one(folder)
