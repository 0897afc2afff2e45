"""Scans and pictures, through discovery, decoder and what the store asks of them."""

from __future__ import annotations

import gzip
import json
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import nibabel as nib
import numpy as np
from PIL import Image
from targets import SilentlyAcceptedError, Target

sys.path.insert(0, str(Path(__file__).parents[1] / "helpers"))
from files import dicom, enhanced, nifti, save, series, stored

from monai_ssl.io.discovery import discover
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError
from monai_ssl.store.conform import conform

KEPT = ("uint8", "int16", "uint16", "float32")


def image_targets(scratch: Path) -> list[Target]:
    """Return a target for each format, compressed ones with the check sum that they carry."""
    scan = stored((6, 10, 12)).astype(np.int16)
    plain = nifti(scratch / "a.nii", scan).read_bytes()
    packed = nifti(scratch / "a.nii.gz", scan).read_bytes()
    nib.save(nib.MGHImage(scan, np.eye(4)), scratch / "a.mgz")
    pixels = np.random.default_rng(0).integers(0, 255, (9, 11, 3), np.uint8)
    Image.fromarray(pixels).save(scratch / "a.png")
    Image.fromarray(pixels).save(scratch / "a.jpg")
    slices = [save(ds, scratch / f"{k}.dcm").read_bytes() for k, ds in enumerate(series(stored((4, 8, 6))))]
    frames = save(enhanced(stored((4, 8, 6))), scratch / "frames.dcm").read_bytes()
    picture = save(dicom(stored((1, 8, 6))[0], "1.2.840.10008.5.1.4.1.1.1.1"), scratch / "x.dcm").read_bytes()
    raw, packed_raw = scan.T.tobytes(), zlib.compress(scan.T.tobytes())
    return [
        _target("a.nii", plain),
        _target("a.nii.gz", packed, _gzip_holds),
        _target("a.mgz", (scratch / "a.mgz").read_bytes(), _gzip_holds),
        _target("a.nrrd", _nrrd("raw") + raw),
        _target("gzip.nrrd", _nrrd("gzip") + gzip.compress(raw), lambda d: _gzip_holds(d.partition(b"\n\n")[2])),
        _target("a.mha", _mha(0) + raw),
        _target("zlib.mha", _mha(len(packed_raw)) + packed_raw, lambda d: _holds(d.partition(b"LOCAL\n")[2], 15)),
        _target("a.png", (scratch / "a.png").read_bytes(), _chunks_hold),
        _target("a.jpg", (scratch / "a.jpg").read_bytes()),
        _target("0.dcm", slices[0], others={f"{k}.dcm": data for k, data in enumerate(slices) if k}),
        _target("enhanced.dcm", frames),
        _target("picture.dcm", picture),
    ]


def _target(
    name: str, data: bytes, holds: Callable[[bytes], bool] | None = None, others: dict[str, bytes] | None = None
) -> Target:
    def use(folder: Path) -> None:
        read_scans(folder)
        if holds is not None and not holds((folder / name).read_bytes()):
            raise SilentlyAcceptedError(f"{name} was read although its check sum is wrong")

    return Target(name, name, data, use, others=others or {})


def read_scans(folder: Path) -> None:
    """Read all that is found as ``prepare`` does, and check what the store relies on.

    Raises:
        ReadError: for the first file that cannot be read.
    """
    sources, rejected = discover(folder)
    if rejected:
        raise ReadError(f"{rejected[0][0]}: {rejected[0][1]}")
    for source in sources:
        for volume in read(source, four_d="split", missing_slices="fill"):
            array, record = conform(volume, "auto", None)
            json.dumps(record, allow_nan=False)
            low, high = record["body_box"]
            inside = all(0 <= a < b <= n for a, b, n in zip(low, high, array.shape[1:], strict=True))
            fine = array.dtype.name in KEPT and bool(np.isfinite(array).all()) and inside
            if not fine or min(record["spacing"]) <= 0 or array.shape != tuple(record["shape"]):
                raise SilentlyAcceptedError(f"a scan that cannot be trained on: {record}")


def _nrrd(encoding: str) -> bytes:
    lines = ["NRRD0004", "type: short", "dimension: 3", "space: left-posterior-superior", "sizes: 6 10 12"]
    lines += ["space directions: (1,0,0) (0,1,0) (0,0,2)", "kinds: domain domain domain", "endian: little"]
    return "\n".join([*lines, f"encoding: {encoding}", "space origin: (0,0,0)", "", ""]).encode()


def _mha(compressed: int) -> bytes:
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    lines += [f"CompressedData = {bool(compressed)}", "TransformMatrix = 1 0 0 0 1 0 0 0 1", "Offset = 0 0 0"]
    lines += [f"CompressedDataSize = {compressed}"] if compressed else []
    lines += ["ElementSpacing = 1 1 2", "DimSize = 6 10 12", "ElementType = MET_SHORT", "ElementDataFile = LOCAL", ""]
    return "\n".join(lines).encode()


def _gzip_holds(data: bytes) -> bool:
    # reserved flags in the fourth byte say nothing of the data
    return _holds(data[:3] + bytes([data[3] & 31]) + data[4:], 31)


def _holds(data: bytes, form: int) -> bool:
    """Whether packed data (``form`` of zlib: 31 for gzip) are whole and have the check sum that they say."""
    unpacking = zlib.decompressobj(form)
    try:
        unpacking.decompress(data, 2**24)
    except zlib.error:
        return False
    return unpacking.eof


def _chunks_hold(data: bytes) -> bool:
    """Whether all chunks of pixels of a PNG have the check sum that they say."""
    at = 8
    while at + 8 <= len(data):
        size, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        body = data[at + 4 : at + 8 + size]
        said = int.from_bytes(data[at + 8 + size : at + 12 + size], "big")
        if kind in (b"IHDR", b"IDAT") and zlib.crc32(body) != said:
            return False
        if kind == b"IEND":
            return True
        at += 12 + size
    return False
