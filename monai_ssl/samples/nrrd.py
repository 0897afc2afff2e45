"""Turn the NRRD files of the sample cohort into NIfTI, so that it can be used without an optional reader.

Only what those files use: one file, three axes, raw or gzip, in the space left-posterior-superior.
"""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import nibabel as nib
import numpy as np

_TYPES = {"int": "i4", "short": "i2", "unsigned char": "u1", "unsigned short": "u2"}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])


def read_sample_nrrd(file: Path) -> nib.Nifti1Image:
    """Read a volume (X, Y, Z) with its affine to RAS; 32-bit integers that fit become int16.

    Raises:
        ValueError: when the file is not an NRRD of the kind described above.
    """
    head, separator, data = file.read_bytes().partition(b"\n\n")
    if not (head.startswith(b"NRRD") and separator):
        raise ValueError(f"{file.name} is not an NRRD file with an attached header.")
    fields = dict(line.split(": ", 1) for line in head.decode("utf-8").splitlines() if ": " in line)
    kind, space, encoding = (fields.get(key, "") for key in ("type", "space", "encoding"))
    if kind not in _TYPES or space != "left-posterior-superior" or encoding not in ("raw", "gzip"):
        raise ValueError(f"{file.name}: an NRRD of type {kind!r}, space {space!r}, encoding {encoding!r} is not read.")
    shape = [int(n) for n in fields["sizes"].split()]
    wanted = int(np.prod(shape)) * np.dtype(_TYPES[kind]).itemsize
    # never more than the header asks for, whatever the gzip stream holds
    values = gzip.GzipFile(fileobj=io.BytesIO(data)).read(wanted) if encoding == "gzip" else data[:wanted]
    if len(shape) != 3 or len(values) != wanted:
        raise ValueError(f"{file.name} is cut short: {len(values)} of {wanted} bytes for a volume of {shape}.")
    order = ">" if fields.get("endian") == "big" else "<"
    array = np.frombuffer(values, order + _TYPES[kind]).reshape(shape, order="F")
    if array.dtype.itemsize == 4 and np.array_equal(array, array.astype(np.int16)):
        array = array.astype(np.int16)
    affine = np.eye(4)
    affine[:3, :3] = np.array([_vector(v) for v in fields["space directions"].split()]).T
    affine[:3, 3] = _vector(fields["space origin"])
    return nib.Nifti1Image(array, _LPS_TO_RAS @ affine)


def _vector(text: str) -> list[float]:
    return [float(v) for v in text.strip("()").split(",")]
