"""Whatever is wrong with a file, reading it ends in a sentence."""

import numpy as np
import pytest
from files import nifti, read_all, stored

from monai_ssl.io.volume import ReadError


def test_damaged_headers_never_raise_anything_else(tmp_path):
    rng = np.random.default_rng(0)
    path = nifti(tmp_path / "a.nii", stored().astype(np.int16))
    good = np.frombuffer(path.read_bytes(), np.uint8)
    refused = 0
    for _ in range(150):
        bad = good.copy()
        bad[rng.integers(0, 352, 8)] = rng.integers(0, 256, 8)
        path.write_bytes(bad.tobytes())
        try:
            read_all(path, four_d="split")
        except ReadError as error:
            refused += str(error).startswith(f"{path}: ")
    assert refused > 50


def test_sizes_that_no_memory_holds_are_refused(tmp_path, monkeypatch):
    def no_memory(array):
        raise MemoryError

    monkeypatch.setattr("monai_ssl.io.nifti.compact", no_memory)
    with pytest.raises(ReadError, match=r"a.nii: reading it takes more memory than there is"):
        read_all(nifti(tmp_path / "a.nii", stored().astype(np.int16)))
