"""Small scans on disk, good and broken, for the tests of discovery and readers."""

from __future__ import annotations

import hashlib
from pathlib import Path

import nibabel as nib
import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRLittleEndian, generate_uid

from monai_ssl.io.discovery import discover
from monai_ssl.io.readers import read

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
ENHANCED_MR = "1.2.840.10008.5.1.4.1.1.4.1"
XRAY = "1.2.840.10008.5.1.4.1.1.1.1"
ULTRASOUND_FILM = "1.2.840.10008.5.1.4.1.1.3.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def read_all(folder, **options):
    sources, rejected = discover(folder)
    assert not rejected
    return [volume for source in sources for volume in read(source, **options)]


def read_one(folder, **options):
    (volume,) = read_all(folder, **options)
    return volume


def stored(shape=(6, 10, 12), seed=0, high=3000):
    """Random stored numbers (slices, rows, columns), all sides different."""
    return np.random.default_rng(seed).integers(0, high, shape).astype(np.uint16)


def dicom(pixels, sop_class=CT, **tags) -> FileDataset:
    """A dataset with the pixels (rows, columns) or (frames, rows, columns) of uint8, int16 or uint16."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = generate_uid()
    ds = FileDataset(None, {}, file_meta=meta, preamble=b"\0" * 128)
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, meta.MediaStorageSOPInstanceUID
    ds.PatientID, ds.StudyInstanceUID = "patient-7", "1.2.3"
    ds.Modality = {CT: "CT", MR: "MR", ENHANCED_MR: "MR", XRAY: "DX", ULTRASOUND_FILM: "US"}.get(sop_class, "OT")
    ds.Rows, ds.Columns = pixels.shape[-2:]
    ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
    bits = pixels.dtype.itemsize * 8
    ds.BitsAllocated = ds.BitsStored = bits
    ds.HighBit, ds.PixelRepresentation = bits - 1, int(pixels.dtype.kind == "i")
    ds.PixelData = pixels.tobytes()
    for name, value in tags.items():
        setattr(ds, name, value)
    return ds


def save(ds: FileDataset, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    ds.save_as(path, enforce_file_format=True)
    return path


def series(
    pixels,
    orientation=AXIAL,
    origin=(-20.0, -30.0, 40.0),
    spacing=(0.8, 0.5),
    step=2.5,
    lean=(0.0, 0.0, 0.0),
    sop_class=CT,
    **tags,
) -> list[FileDataset]:
    """Slices along the normal, ``step`` mm apart; ``lean`` (mm in LPS) is added from slice to slice."""
    axes = np.array(orientation).reshape(2, 3)
    move = np.cross(*axes) * step + np.array(lean)
    uid = generate_uid()
    slope = {"RescaleSlope": 1, "RescaleIntercept": -1024} if sop_class == CT else {}
    return [
        dicom(
            plane,
            sop_class,
            **{
                "SeriesInstanceUID": uid,
                "ImageOrientationPatient": [f"{v:.8f}" for v in axes.flat],
                "ImagePositionPatient": [f"{v:.6f}" for v in np.array(origin) + k * move],
                "PixelSpacing": list(spacing),
                "SliceThickness": step,
                # neither files nor instances are in the order of space
                "InstanceNumber": (k * 7) % len(pixels) + 1,
                "BitsStored": 12,
                "HighBit": 11,
                **slope,
                **tags,
            },
        )
        for k, plane in enumerate(pixels)
    ]


def save_series(datasets, folder: Path) -> Path:
    for ds in datasets:
        # in no particular order, and no two alike however a test spells the UID
        save(ds, folder / f"{hashlib.sha256(ds.SOPInstanceUID.encode()).hexdigest()[:12]}.dcm")
    return folder


def enhanced(pixels, step=2.0, extra=None) -> FileDataset:
    """An enhanced MR; ``extra(k)`` adds functional groups to frame ``k`` and may return its slot along the normal."""
    ds = dicom(pixels, ENHANCED_MR, NumberOfFrames=len(pixels), SeriesInstanceUID=generate_uid())
    shared, frames = Dataset(), []
    shared.PlaneOrientationSequence = Sequence([_item(ImageOrientationPatient=list(AXIAL))])
    shared.PixelMeasuresSequence = Sequence([_item(PixelSpacing=[0.8, 0.5], SliceThickness=step)])
    for k in range(len(pixels)):
        frame = Dataset()
        slot = extra(frame, k) if extra is not None else k
        frame.PlanePositionSequence = Sequence([_item(ImagePositionPatient=[1.0, 2.0, 3.0 + step * slot])])
        frames.append(frame)
    ds.SharedFunctionalGroupsSequence = Sequence([shared])
    ds.PerFrameFunctionalGroupsSequence = Sequence(frames)
    return ds


def _item(**tags) -> Dataset:
    ds = Dataset()
    for name, value in tags.items():
        setattr(ds, name, value)
    return ds


def nifti(path: Path, array, affine=None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image = nib.Nifti1Image(array, np.diag([1.0, 1.0, 2.0, 1.0]) if affine is None else affine)
    nib.save(image, path)
    return path


def cut(path: Path, share: float = 0.6) -> Path:
    """Cut a file off."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path
