"""Everything below a folder is prepared, left out for a reason, or failed: as many files as `find` counts."""

import os
import subprocess

import nibabel as nib
import numpy as np
from files import cut, dicom, nifti, save, save_series, series, stored

from monai_ssl.io.discovery import survey
from monai_ssl.store import PrepareOptions, prepare


def test_every_file_has_a_fate(tmp_path):
    src = tmp_path / "src"
    noise = stored().astype(np.int16)
    save_series(series(stored()), src / "ct")
    save(dicom(stored((8, 8)), "1.2.840.10008.1.3.10"), src / "ct" / "DICOMDIR")
    save(dicom(stored((8, 8)), Modality="SEG"), src / "seg.dcm")
    for name in ("mr/a.nii.bz2", "mr/copy.nii.bz2", "mr/a_seg.nii.gz", "mr/.a.nii", ".git/objects/a.nii"):
        nifti(src / name, noise)
    nib.save(nib.Nifti1Pair(noise + 1, np.eye(4)), src / "pair.hdr.gz")
    junk = "alone.img alone.raw notes.txt 1.2.840.7 table.csv picture.bmp scans.tar.gz x.mnc"
    for name in junk.split():
        (src / name).write_bytes(b"data")
    (src / "lost.mhd").write_text("ElementDataFile = lost.raw\n")
    (src / "shared.raw").write_bytes(b"\0" * 60)
    for name in ("one", "two"):
        (src / f"{name}.mhd").write_text(
            "NDims = 3\nDimSize = 5 4 3\nElementType = MET_UCHAR\nElementDataFile = shared.raw\n"
        )
    cut(nifti(src / "cut.nii.gz", noise))
    found = subprocess.run(["find", src, "-type", "f", "-printf", "x"], capture_output=True, check=True)
    counted = len(found.stdout)
    (src / "annexed.nii.gz").symlink_to(tmp_path / "not fetched")
    report = prepare(src, tmp_path / "store", PrepareOptions(workers=0))
    assert report.files == {"prepared": 9, "already there": 0, "same content twice": 1, "left out": 14, "FAILED": 4}
    assert sum(report.files.values()) == counted and f"{counted} below the source" in report.table()
    reasons = dict(report.left_out)
    assert reasons["annexed.nii.gz"].startswith("a link to a file that is not there")
    assert reasons[".git"] == reasons["mr/.a.nii"] == "hidden: the name begins with a dot"
    assert reasons["alone.img"].endswith("a header must say what its voxels are")
    assert reasons["scans.tar.gz"].endswith("unpack it") and reasons["1.2.840.7"] == "no image by its name and content"
    again = prepare(src, tmp_path / "store", PrepareOptions(workers=0))
    assert again.files == report.files | {"prepared": 0, "already there": 9}


def test_closed_folders_are_said(tmp_path, monkeypatch):
    (tmp_path / "closed").mkdir()
    walk = os.walk

    def refusing(top, **options):
        options["onerror"](PermissionError(13, "Permission denied", str(tmp_path / "closed")))
        yield from walk(top, **options)

    monkeypatch.setattr("monai_ssl.io.walk.os.walk", refusing)
    (entry,) = survey(tmp_path).passed_over
    assert (entry.path.name, entry.reason, entry.files) == (
        "closed",
        "the folder cannot be opened: Permission denied",
        0,
    )
