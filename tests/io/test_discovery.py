"""What is found below a folder, what is left out and why, and who is taken to be whose patient."""

import os
import sys
from copy import deepcopy

import numpy as np
import pytest
from files import CT, MR, XRAY, cut, dicom, nifti, read_all, save, save_series, series, stored
from PIL import Image
from pydicom.filebase import DicomFileLike
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

from monai_ssl.io.discovery import Source, discover
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError


def png(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros((4, 5), np.uint8)).save(path)


def names(folder):
    return [source.name for source in discover(folder)[0]]


def test_empty_folder_and_missing_folder(tmp_path):
    assert discover(tmp_path) == ([], [])
    with pytest.raises(ReadError, match="there is no such file or folder; check the path"):
        discover(tmp_path / "nowhere")


def test_kinds_names_and_order(tmp_path):
    array = np.zeros((4, 5, 6), np.int16)
    nifti(tmp_path / "b" / "scan.nii.gz", array)
    nifti(tmp_path / "a" / "scan.nii", array)
    png(tmp_path / "c.PNG")
    for name in ("d.nrrd", "e.mha", "notes.txt", ".hidden.nii", "no_suffix"):
        (tmp_path / name).write_text("text")
    nifti(tmp_path / ".hidden" / "scan.nii", array)
    save_series(series(stored()), tmp_path / "f")
    sources, rejected = discover(tmp_path)
    assert [(s.name, s.kind) for s in sources] == [
        ("a/scan.nii", "nifti"),
        ("b/scan.nii.gz", "nifti"),
        ("c.PNG", "image"),
        ("d.nrrd", "nrrd"),
        ("e.mha", "metaimage"),
        ("f", "dicom"),
    ]
    assert rejected == [] and len(sources[-1].files) == 6
    assert discover(tmp_path) == (sources, rejected)


def test_a_single_file_is_a_source(tmp_path):
    path = nifti(tmp_path / "p1_ct.nii.gz", np.zeros((4, 5, 6), np.int16))
    assert discover(path) == ([Source((path,), "nifti", "p1_ct.nii.gz", "p1", "file names")], [])


def test_series_of_one_folder_and_of_several(tmp_path):
    one, two = series(stored()), series(stored((4, 10, 12)), sop_class=MR)
    save_series(one[:3] + two, tmp_path / "p" / "x")
    save_series(one[3:], tmp_path / "p" / "y")
    sources, _ = discover(tmp_path)
    assert [(s.name, len(s.files)) for s in sources] == [("p", 6), ("p/x", 4)]
    save_series(one[3:], tmp_path / "p" / "x")
    both = [s.name for s in discover(tmp_path / "p" / "x")[0]]
    assert len(set(both)) == 2 and all(name.startswith(".#") for name in both)


def test_files_without_suffix_or_with_that_of_a_number_are_probed(tmp_path):
    for k, ds in enumerate(series(stored())):
        save(ds, tmp_path / "s" / (f"IM{k}" if k % 2 else f"1.2.840.{k}"))
    ((source,), rejected) = discover(tmp_path)
    assert len(source.files) == 6 and not rejected


@pytest.mark.parametrize("tag", ["EchoTime", "TemporalPositionIdentifier", "AcquisitionNumber"])
def test_volumes_of_one_series_are_told_apart(tmp_path, tag):
    one, two = series(stored()), series(stored(seed=1))
    for number, datasets in enumerate((one, two)):
        for ds in datasets:
            ds.SeriesInstanceUID = "1.2.3.4"
            setattr(ds, tag, number + 1)
    save_series(one + two, tmp_path)
    sources, _ = discover(tmp_path)
    arrays = [read(source)[0].array for source in sources]
    assert len(arrays) == 2 and not np.array_equal(*arrays)


def test_patients_with_the_same_series_number_are_told_apart(tmp_path):
    for name in ("anna", "bob"):
        datasets = series(stored(seed=len(name)))
        for ds in datasets:
            ds.SeriesInstanceUID, ds.PatientID = "1.2.3.4", ""
        save_series(datasets, tmp_path / name)
    assert names(tmp_path) == ["anna", "bob"]


@pytest.mark.parametrize("tag", ["PatientID", "StudyInstanceUID"])
def test_halves_of_different_patients_or_studies_do_not_make_a_whole(tmp_path, tag):
    datasets = series(stored())
    for k, ds in enumerate(datasets):
        setattr(ds, tag, f"1.2.{k // 3}")
    save_series(datasets, tmp_path)
    assert [len(source.files) for source in discover(tmp_path)[0]] == [3, 3]


def test_acquisition_numbers_alone_do_not_split_a_series(tmp_path):
    datasets = series(stored())
    for k, ds in enumerate(datasets):
        ds.AcquisitionNumber = k // 2
    assert names(save_series(datasets, tmp_path / "p")) == ["."]


def test_what_is_no_image_is_left_out_with_a_reason(tmp_path):
    scan = series(stored())
    save_series(scan, tmp_path)
    save(dicom(stored((8, 8)), Modality="SEG"), tmp_path / "a.dcm")
    save(dicom(stored((8, 8)), ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"]), tmp_path / "b.dcm")
    save(dicom(stored((8, 8)), "1.2.840.10008.5.1.4.1.1.7", Modality="CT"), tmp_path / "c.dcm")
    report = dicom(stored((8, 8)), Modality="SR")
    del report.Rows, report.PixelData
    save(report, tmp_path / "d.dcm")
    report.Modality = "OT"
    save(report, tmp_path / "e.dcm")
    save(dicom(stored((8, 8)), "1.2.840.10008.1.3.10"), tmp_path / "DICOMDIR")
    (source,), rejected = discover(tmp_path)
    assert len(source.files) == 6
    assert [(path.name, reason) for path, reason in rejected] == [
        ("a.dcm", "a segmentation, not an image"),
        ("b.dcm", "a localizer, not a scan"),
        ("c.dcm", "a screenshot, not a scan"),
        ("d.dcm", "a structured report, not an image"),
        ("e.dcm", "the DICOM file holds no image"),
    ]


def test_broken_headers_are_reported_and_the_rest_goes_on(tmp_path):
    save_series(series(stored()), tmp_path / "good")
    (tmp_path / "text.dcm").write_text("hello, this is not DICOM at all " * 20)
    (tmp_path / "empty.dcm").touch()
    cut(save(dicom(stored((8, 8)), XRAY), tmp_path / "short.dcm"), 0.3)
    odd = series(stored())[0]
    odd.add_new("ImageOrientationPatient", "LO", ["left", "right"])
    save(odd, tmp_path / "odd.dcm")
    unreadable = series(stored())[0]
    unreadable.add_new("Rows", "LO", "many")
    save(unreadable, tmp_path / "rows.dcm")
    (tmp_path / "picture.bmp").touch()
    sources, rejected = discover(tmp_path)
    reasons = {path.name: reason for path, reason in rejected}
    assert [s.name for s in sources] == ["good"]
    assert set(reasons) == {"text.dcm", "empty.dcm", "short.dcm", "odd.dcm", "rows.dcm", "picture.bmp"}
    assert "not a DICOM file" in reasons["empty.dcm"] and "save it as PNG" in reasons["picture.bmp"]
    assert "ImageOrientationPatient in the DICOM header is not a number" in reasons["odd.dcm"]
    assert not any(str(tmp_path) in reason for reason in reasons.values())


def test_without_pydicom_the_reason_names_the_remedy(tmp_path, monkeypatch):
    save_series(series(stored((1, 8, 8))), tmp_path)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    sources, ((_, reason),) = discover(tmp_path)
    assert not sources and "need pydicom; install what reads DICOM with `pip install pydicom " in reason


def test_links_are_followed_once(tmp_path):
    nifti(tmp_path / "data" / "a.nii", np.zeros((4, 5, 6), np.int16))
    (tmp_path / "data" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "data" / "dead.nii").symlink_to(tmp_path / "nowhere.nii")
    elsewhere = nifti(tmp_path / "other" / "b.nii", np.zeros((4, 5, 6), np.int16)).parent
    (tmp_path / "data" / "linked").symlink_to(elsewhere, target_is_directory=True)
    assert [name.rpartition("/")[2] for name in names(tmp_path / "data")].count("a.nii") == 1
    assert "linked/b.nii" in names(tmp_path / "data")


def test_pipes_are_not_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert discover(tmp_path) == ([], [])


def test_headers_and_data_apart(tmp_path):
    (tmp_path / "a.mhd").write_text("ObjectType = Image\nElementDataFile = a.raw\n")
    (tmp_path / "a.raw").touch()
    (tmp_path / "b.nhdr").write_text("NRRD0004\ntype: short\ndata file: b.raw.gz\n")
    (tmp_path / "c.hdr").touch()
    (tmp_path / "c.img").touch()
    (tmp_path / "d.mhd").write_text("ElementDataFile = d%03d.raw 1 9 1\n")
    (tmp_path / "e.nhdr").write_text("NRRD0004\n")
    sources, rejected = discover(tmp_path)
    assert [[f.name for f in s.files] for s in sources] == [["a.mhd", "a.raw"], ["c.hdr", "c.img"]]
    assert [(path.name, reason.split(";")[0]) for path, reason in rejected] == [
        ("b.nhdr", "the data file b.raw.gz is missing beside its header"),
        ("d.mhd", "the data are a list of files, which is not read"),
        ("e.nhdr", "the header names no data file"),
    ]


def test_options_are_checked(tmp_path):
    source = Source((tmp_path / "a.nii",), "nifti", "a.nii", "a")
    with pytest.raises(ValueError, match="`four_d` must be one of"):
        read(source, four_d="maybe")
    with pytest.raises(ValueError, match="`missing_slices` must be one of"):
        read(source, missing_slices="maybe")
    with pytest.raises(ValueError, match=r"`source\.kind` must be"):
        read(Source(source.files, "video", "a", "a"))


def test_patients_are_read_from_dicom_and_not_from_messages(tmp_path):
    datasets = series(stored(), sop_class=CT)
    for ds in datasets:
        ds.PatientID, ds.PatientName = "secret-id", "Doe^Jane"
    volume = read(discover(save_series(datasets, tmp_path / "p"))[0][0])[0]
    assert volume.patient == "secret-id"
    assert not any("secret" in note or "Doe" in note for note in volume.notes)


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian])
def test_dicom_without_preamble_mark_and_suffix(tmp_path, syntax):
    whole = series(stored())
    for number, ds in enumerate(whole):
        (tmp_path / "bare").mkdir(exist_ok=True)
        with (tmp_path / "bare" / f"IM{number}").open("wb") as file:
            bare = DicomFileLike(file)
            bare.is_implicit_VR, bare.is_little_endian = syntax.is_implicit_VR, syntax.is_little_endian
            swapped = deepcopy(ds)
            order = "<u2" if syntax.is_little_endian else ">u2"
            swapped.PixelData = np.frombuffer(ds.PixelData, "<u2").astype(order).tobytes()
            write_dataset(bare, swapped)
    save_series(whole, tmp_path / "whole")
    (one,), (two,) = read_all(tmp_path / "bare"), read_all(tmp_path / "whole")
    assert np.array_equal(one.array, two.array) and np.array_equal(one.affine, two.affine)
