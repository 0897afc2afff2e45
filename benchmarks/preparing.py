"""How near `prepare` comes to the time that decoding takes by itself, on one core.

    python benchmarks/preparing.py [--scans 4] [--out preparing.json]

Generated CT with noise in every voxel, as `.nii.gz` and as DICOM series, whose pixels are stored as they are, or packed
(JPEG 2000, run lengths), as many archives keep them. Three candidates take turns in one process, in processor time a
scan: decoding alone (nibabel, pydicom), our readers, which also check sums and put the axes in order, and `prepare`,
which hashes, looks for the body, counts values and writes as well. What the disk takes is not counted.
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import nibabel as nib
import numpy as np
import pydicom
import sidebyside
from data_path import ct_like
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, JPEG2000Lossless, RLELossless, generate_uid

from monai_ssl.io.discovery import discover
from monai_ssl.io.readers import read
from monai_ssl.store import PrepareOptions, prepare

SHAPE = (512, 512, 64)


def write_nifti(hu: np.ndarray, folder: Path) -> None:
    folder.mkdir(parents=True)
    nib.save(nib.Nifti1Image(hu, np.eye(4)), folder / "ct.nii.gz")


def write_dicom(hu: np.ndarray, folder: Path, packed_as: UID | None = None) -> None:
    folder.mkdir(parents=True)
    series = generate_uid()
    for number, plane in enumerate(np.moveaxis(hu, 2, 0)):
        meta = FileMetaDataset()
        meta.TransferSyntaxUID, meta.MediaStorageSOPClassUID = ExplicitVRLittleEndian, CTImageStorage
        meta.MediaStorageSOPInstanceUID = generate_uid()
        ds = FileDataset(None, {}, file_meta=meta, preamble=bytes(128))
        ds.SOPClassUID, ds.SOPInstanceUID = meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID
        ds.SeriesInstanceUID, ds.StudyInstanceUID, ds.Modality, ds.PatientID = series, series, "CT", folder.name
        ds.ImageOrientationPatient, ds.ImagePositionPatient = [1, 0, 0, 0, 1, 0], [0, 0, number]
        ds.PixelSpacing, ds.InstanceNumber, ds.RescaleSlope, ds.RescaleIntercept = [1, 1], number, 1, 0
        ds.Rows, ds.Columns, ds.SamplesPerPixel, ds.PhotometricInterpretation = *plane.T.shape, 1, "MONOCHROME2"
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 16, 15, 1
        ds.PixelData = np.ascontiguousarray(plane.T).tobytes()
        if packed_as is not None:
            ds.compress(packed_as)
        ds.save_as(folder / f"{number}.dcm", enforce_file_format=True)


KINDS = {
    "nii.gz": write_nifti,
    "DICOM": write_dicom,
    "DICOM, JPEG 2000": partial(write_dicom, packed_as=JPEG2000Lossless),
    "DICOM, run lengths": partial(write_dicom, packed_as=RLELossless),
}


def decode(folder: Path) -> list[np.ndarray]:
    """Return the voxels of all files, as their libraries decode them."""
    niftis = [np.asanyarray(nib.load(path).dataobj) for path in sorted(folder.rglob("*.nii.gz"))]
    return niftis + [pydicom.dcmread(path).pixel_array for path in sorted(folder.rglob("*.dcm"))]


def read_all(folder: Path) -> list[Any]:
    """Return all scans, as `prepare` reads them."""
    return [read(source, four_d="refuse", missing_slices="refuse") for source in discover(folder)[0]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scans", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    rng, result = np.random.default_rng(0), {}
    body = ct_like(SHAPE)
    with tempfile.TemporaryDirectory() as place:
        for name, write in KINDS.items():
            source, store = Path(place, name), Path(place, "store")
            for number in range(args.scans):
                write(body + rng.normal(0, 15, SHAPE).astype(np.int16), source / f"p{number}")

            def prepared(source: Path = source, store: Path = store) -> None:
                shutil.rmtree(store, ignore_errors=True)
                prepare(source, store, PrepareOptions(modality="ct", workers=0))

            calls: dict[str, Callable[[], Any]] = {
                "decoding": lambda source=source: decode(source),
                "our readers": lambda source=source: read_all(source),
                "prepare": prepared,
            }
            times = sidebyside.milliseconds(calls, args.repeats, args.scans)
            result[name] = times
            for what, ms in times.items():
                print(f"{name:20s}{what:14s}{ms:8.0f} ms a scan, {times['decoding'] / ms:5.2f} of decoding", flush=True)
    sidebyside.write(args.out, {"shape": SHAPE, "milliseconds": result})


if __name__ == "__main__":
    main()
