"""MGH files lie where NIfTI files of the same scan do, and damaged ones are refused."""

import nibabel as nib
import numpy as np
import pytest
from files import cut, nifti, read_all, read_one

from monai_ssl.io.volume import ReadError

SCAN = np.random.default_rng(0).integers(-1000, 2000, (4, 5, 6)).astype(np.int16)
AFFINE = np.array([[0.1, 0, -3, 9], [1, 0.05, 0, -8], [0, 2, 0.2, 7], [0, 0, 0, 1.0]])


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.int32, np.float32])
def test_mgh_is_as_nifti(tmp_path, name, dtype):
    array = np.abs(SCAN % 200).astype(dtype)
    nib.save(nib.MGHImage(array, AFFINE), tmp_path / name)
    volume, same = read_one(tmp_path / name), read_one(nifti(tmp_path / "same" / "a.nii", array, AFFINE))
    assert volume.array.dtype == same.array.dtype and np.array_equal(volume.array, same.array) and not volume.notes
    assert np.allclose(volume.affine, same.affine, atol=1e-5)


def test_frames_and_unknown_places(tmp_path):
    nib.save(nib.MGHImage(np.stack([SCAN, SCAN + 1], -1), AFFINE), tmp_path / "a.mgz")
    with pytest.raises(ReadError, match="the file is 4-D, 2 volumes of 4 x 5 x 6"):
        read_all(tmp_path)
    one, two = read_all(tmp_path, four_d="split")
    assert np.array_equal(one.array + 1, two.array)
    nib.save(nib.MGHImage(SCAN, AFFINE), tmp_path / "b.mgh")
    data = bytearray((tmp_path / "b.mgh").read_bytes())
    data[28:30] = b"\0\0"
    (tmp_path / "b.mgh").write_bytes(data)
    assert "left and right may be exchanged" in read_one(tmp_path / "b.mgh").notes[0]


@pytest.mark.parametrize("name", ["a.mgz", "a.mgh"])
@pytest.mark.parametrize("share", [0.01, 0.6, 0.97])
def test_cut_off(tmp_path, name, share):
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 20)).astype(np.int16)
    nib.save(nib.MGHImage(noise, np.eye(4)), tmp_path / name)
    cut(tmp_path / name, share)
    with pytest.raises(ReadError, match=rf"{name}: .*(cut off|damaged).*; copy the file again or leave it out\.$"):
        read_one(tmp_path)


def test_wrong_check_sum_and_wrong_content(tmp_path):
    nib.save(nib.MGHImage(SCAN, AFFINE), tmp_path / "a.mgz")
    data = bytearray((tmp_path / "a.mgz").read_bytes())
    data[-6] ^= 1
    (tmp_path / "a.mgz").write_bytes(data)
    with pytest.raises(ReadError, match=r"a.mgz: .*damaged \(BadGzipFile: CRC"):
        read_one(tmp_path)
    (tmp_path / "a.mgz").write_text("this is a note")
    with pytest.raises(ReadError, match=r"a.mgz: this is not an MGH file, whatever its name says"):
        read_one(tmp_path)
