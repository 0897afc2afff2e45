"""DICOM series, multi-frame files and pictures become volumes that lie right, or sentences that say why not."""

from pathlib import Path

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
    read_all,
    read_one,
    save,
    save_series,
    series,
    stored,
)
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import MPEG2MPML, JPEGLSLossless, RLELossless

from monai_ssl.io.dicom.enhanced import FrameHeader
from monai_ssl.io.dicom.marks import DIMENSIONS, slice_of
from monai_ssl.io.dicom.pixels import Rescaling
from monai_ssl.io.discovery import discover
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError


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
    [(JPEGLSLossless, "no decoder for JPEG-LS.*pip install pydicom pylibjpeg"), (MPEG2MPML, "MPEG2.*not read")],
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
    ds.PixelData = np.repeat(pixels[..., :1], 3, axis=2).tobytes()
    volume = read_one(save(ds, tmp_path / "a.dcm"))
    assert np.array_equal(volume.array, pixels[..., 0].T[None]) and volume.modality == "unknown"


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


def test_a_frame_has_the_tags_of_all_its_layers():
    own, shared = Dataset(), Dataset()
    own.EchoTime, shared.KVP = 20.0, 120.0
    marks = slice_of(FrameHeader(own, shared), Path("a.dcm"), 0).marks
    told = {tag: value for tag, value in zip(DIMENSIONS, marks, strict=True) if value}
    assert told == {"EchoTime": "20", "KVP": "120"}


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
