"""Every kind of scan that a hospital or an enemy may hand in: refused in a sentence, or prepared as it should be."""

import os
import re
import struct
import sys
import zlib
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent))
from files import cut, nifti, save_series, series, stored

from monai_ssl.store import PrepareOptions, Store, prepare

HERE = PrepareOptions(workers=0)


def mr(seed=0, shape=(10, 12, 8)):
    return np.random.default_rng(seed).integers(0, 900, shape).astype(np.int16)


def header(path, **fields):
    """Change fields of a NIfTI header in place."""
    data = bytearray(path.read_bytes())
    head = nib.Nifti1Header(bytes(data[:348]), check=False)
    for name, value in fields.items():
        head[name] = value
    data[:348] = head.binaryblock
    path.write_bytes(bytes(data))


def placed(src, **rows):
    """A NIfTI file whose rows of the affine are as given."""
    header(nifti(src / "a.nii", mr()), sform_code=1, qform_code=0, **rows)


def huge_png(path):
    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    size = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0)
    body = chunk(b"IHDR", size) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def flipped(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 4
    path.write_bytes(bytes(data))


def slices(src, **tags):
    return save_series(series(stored((5, 8, 6)), **tags), src)


def one_wrong(src, **tags):
    datasets = series(stored((5, 8, 6)))
    for name, value in tags.items():
        setattr(datasets[2], name, value)
    return save_series(datasets, src)


def wrong_kinds():
    colors = np.zeros((4, 4, 4), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    return {
        "cut": (lambda src: cut(nifti(src / "a.nii.gz", mr(0, (30, 30, 30)))), "cut off or damaged"),
        "check sum": (lambda src: flipped(nifti(src / "a.nii.gz", mr()), -6), "the gzip data are cut off or damaged"),
        "check sum of much": (
            lambda src: flipped(nifti(src / "a.nii.gz", mr(0, (90, 90, 90))), -6),
            "cut off or damaged",
        ),
        "constant": (lambda src: nifti(src / "a.nii", mr() * 0 + 5), "all voxels have the value 5"),
        "one voxel": (lambda src: nifti(src / "a.nii", mr(0, (1, 1, 1))), "all voxels have the value"),
        "NaN": (lambda src: nifti(src / "a.nii", mr().astype(np.float32) * np.nan), "100.0% of the voxels are NaN"),
        "4-D": (lambda src: nifti(src / "a.nii", mr(0, (5, 6, 7, 3))), "the file is 4-D, 3 volumes"),
        "colors": (lambda src: nifti(src / "a.nii", colors), "the voxels are colors"),
        "flat affine": (lambda src: placed(src, srow_z=[0] * 4), "which no scan has"),
        "one plane": (lambda src: placed(src, srow_z=[1, 0, 0, 0], srow_x=[0] * 4), "which no scan has"),
        "NaN affine": (lambda src: placed(src, srow_z=[np.nan] * 4), "holds NaN or infinity"),
        "spacing": (lambda src: nifti(src / "a.nii", mr(), np.diag([1e5, 1, 1, 1])), "which no scan has"),
        "huge": (
            lambda src: header(nifti(src / "a.nii", mr()), dim=[3, 32767, 32767, 32767, 1, 1, 1, 1]),
            "cut off|memory",
        ),
        "negative": (lambda src: header(nifti(src / "a.nii", mr()), dim=[3, -5, 9, 9, 1, 1, 1, 1]), "a.nii"),
        "bomb": (lambda src: huge_png(src / "a.png"), "cannot be decoded"),
        "text": (lambda src: (src / "a.nrrd").write_text("hello"), "cannot be read"),
        "mixed sizes": (lambda src: one_wrong(src, Rows=4, PixelData=bytes(48)), "slices are missing|all voxels"),
        "copies": (
            lambda src: one_wrong(src, ImagePositionPatient=[-20.0, -30.0, 40.0]),
            "at the same position|slices are missing",
        ),
        "no place": (lambda src: slices(src, ImageOrientationPatient=[0.0] * 6), "no pair of directions"),
        "pixels": (lambda src: one_wrong(src, PixelData=b"12"), "cannot be decoded"),
    }


@pytest.mark.parametrize("kind", wrong_kinds())
def test_what_cannot_be_read_is_refused_with_its_reason(kind, tmp_path):
    make, reason = wrong_kinds()[kind]
    src = tmp_path / "src"
    src.mkdir()
    make(src)
    nifti(tmp_path / "src" / "good" / "good.nii", mr(3))
    report = prepare(src, tmp_path / "store", HERE)
    assert len(report.prepared) == 1 and report.failed, "the good one is in the store all the same"
    assert re.search(reason, report.failed[0][1]) and "unexpected" not in report.table(), report.failed


def test_strange_names_and_links_are_no_trouble(tmp_path):
    src = tmp_path / "src"
    names = ["ä" * 60, "研究", "with space", "-rf", "$HOME", "a;b", "new\nline", "%s{}", "a" * 200, "é", "e\u0301"]
    for seed, name in enumerate(names):
        nifti(src / name / f"{name[:60]}.nii", mr(seed))
    (src / "loop").symlink_to(src)
    (src / "self.nii").symlink_to("self.nii")
    (src / "nowhere.nii").symlink_to("missing.nii")
    os.mkfifo(src / "pipe.nii")
    report = prepare(src, tmp_path / "store", HERE)
    assert len(report.prepared) == len(names) and not report.failed
    assert report.patients == len(names) and report.table()
    assert all(scan.path.name.removesuffix(".npy").isalnum() for scan in Store(tmp_path / "store"))


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_opened_is_reported(tmp_path):
    nifti(tmp_path / "src" / "a.nii", mr()).chmod(0)
    nifti(tmp_path / "src" / "b.nii", mr(1))
    report = prepare(tmp_path / "src", tmp_path / "store", HERE)
    assert len(report.prepared) == 1 and "ermission" in report.failed[0][1]


def test_names_that_collide_stay_apart(tmp_path):
    src = tmp_path / "src"
    for seed, ending in enumerate(("nii", "nii.gz")):
        nifti(src / f"scan.{ending}", mr(seed))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 7), np.uint8)).save(src / "scan.png")
    report = prepare(src, tmp_path / "store", HERE)
    assert len(set(report.prepared)) == 3 and report.patients == 1
