"""Series of several volumes, as scanners of all makers store them, become these volumes; so does dcm2niix."""

import gzip
import shutil
import struct
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from dcm2niix import compare
from files import MR, dicom, read_all, save, stored
from series_of_volumes import CLASSIC, ENHANCED, STEP, declared, pixels, private, truth, write

from monai_ssl.io.volume import ReadError

with_dcm2niix = pytest.mark.skipif(shutil.which("dcm2niix") is None, reason="dcm2niix is not installed")

ANSWERS = {
    "1.1_Routine_Brain": "161 of 165 slices are missing",
    "20030805115747": "a dose distribution, not an image",
    "20040826185059_1a": "MR_truncated.dcm: the pixels (Explicit VR Little Endian) cannot be decoded",
    "Liver_Segmentation": "a segmentation, not an image",
    "Scout": "a localizer, not a scan",
    "Whole_Body_Bone": "the slices have no position or orientation in space",
    "194": "differs: the header says signed and JPEG 2000 says unsigned, which is right",
    "20110525142825": "differs: theirs are the indices of a palette, ours its colors",
    "Cervical": "differs: ours are bright on dark",
    "t1_vibe_fs_tra_bh_dyn_20051130132646_18_ROI1": "differs: theirs is an overlay",
}
"""Of pydicom's files: what we say where dcm2niix makes a volume and we do not, or why both make another one."""


def folder_of(package):
    return Path(find_spec(package).origin).parent


@pytest.mark.parametrize("name", [*CLASSIC, *ENHANCED])
def test_volumes_are_told_apart(name, tmp_path):
    wanted = write(name, tmp_path / "p")
    found = [volume.array[0] for volume in read_all(tmp_path / "p", four_d="split")]
    assert len(found) == len(wanted) and all(any(np.array_equal(want, got) for got in found) for want in wanted)
    if name in ENHANCED:
        # the channels of one file come in the order of time
        assert all(map(np.array_equal, found, wanted))
        with pytest.raises(ReadError, match=r"the file holds 4 volumes.*--four-d split"):
            read_all(tmp_path / "p")


def mosaics(volumes, normal=(0.0, 0.0, 1.0)):
    """One picture a volume, three tiles a row, and the part of Siemens' private header that says so."""
    times, count, rows, columns = volumes.shape
    tiles = np.zeros((times, 9, rows, columns), volumes.dtype)
    tiles[:, :count] = volumes
    header = {"NumberOfImagesInMosaic": [f"{count}"], "SliceNormalVector": [f"{v:.8f}" for v in normal]}
    csa = b"SV10\4\3\2\1" + struct.pack("<2I", len(header), 77)
    for name, values in header.items():
        csa += struct.pack(
            "<64si4s3i", name.encode(), len(values), b"US" if len(values) == 1 else b"FD", 4, len(values), 77
        )
        csa += b"".join(struct.pack("<4i", 0, len(v), 77, 0) + v.encode() + bytes(-len(v) % 4) for v in values)
    for t, picture in enumerate(tiles.reshape(times, 3, 3, rows, columns).transpose(0, 1, 3, 2, 4)):
        ds = dicom(picture.reshape(3 * rows, 3 * columns), MR, SeriesInstanceUID="1.2.3.9", InstanceNumber=t + 1)
        ds.ImageType, ds.Manufacturer = ["ORIGINAL", "PRIMARY", "M", "MOSAIC"], "SIEMENS"
        # Siemens writes where the first slice would lie if it were as large as the picture
        ds.ImagePositionPatient = [-20.0 - columns * 0.5, -30.0 - rows * 0.8, 40.0]
        ds.ImageOrientationPatient, ds.PixelSpacing = [1, 0, 0, 0, 1, 0], [0.8, 0.5]
        ds.SliceThickness, ds.SpacingBetweenSlices = 2.0, STEP
        private(ds, 0x00291008, "SIEMENS CSA HEADER", "CS", "IMAGE NUM 4")
        private(ds, 0x00291010, "SIEMENS CSA HEADER", "OB", csa)
        yield ds


@pytest.mark.parametrize("up", [1.0, -1.0])
def test_mosaics(tmp_path, up):
    for n, ds in enumerate(mosaics(pixels(), normal=(0.0, 0.0, up))):
        save(ds, tmp_path / f"{n}.dcm")
    found = read_all(tmp_path)
    for volume, want in zip(found, truth(pixels()), strict=True):
        assert np.array_equal(volume.array[0][..., :: int(up)], want)
        assert np.allclose(volume.affine @ [11, 9, 0 if up > 0 else 5, 1], [20, 30, 40, 1])
        assert np.allclose(volume.spacing, [0.5, 0.8, STEP])


@pytest.mark.parametrize(
    ("change", "message"),
    [(lambda ds: ds.pop(0x00291010), "private header was removed"), (lambda ds: setattr(ds, "Rows", 29), "equal size")],
)
def test_a_mosaic_that_cannot_be_cut_is_refused(tmp_path, change, message):
    ds = next(mosaics(pixels()))
    change(ds)
    save(ds, tmp_path / "a.dcm")
    with pytest.raises(ReadError, match=message):
        read_all(tmp_path)


def slices_of_nuclear_medicine(ds, count):
    ds.Modality, ds.FrameIncrementPointer = "NM", [0x00540080, 0x00540070]
    ds.SliceVector, ds.TimeSlotVector = [k % count + 1 for k in range(2 * count)], [1] * count + [2] * count


@pytest.mark.parametrize("told", ["spacing", "offsets", "nuclear medicine"])
def test_files_of_several_frames_that_are_slices(tmp_path, told):
    one, two = pixels(2)
    ds = dicom(one, MR, NumberOfFrames=6, ImagePositionPatient=[-20, -30, 40], PixelSpacing=[0.8, 0.5])
    ds.ImageOrientationPatient, ds.SpacingBetweenSlices = [1, 0, 0, 0, 1, 0], STEP
    if told == "offsets":
        ds.GridFrameOffsetVector, ds.SpacingBetweenSlices = [STEP * k for k in range(6)], 1.0
    if told == "nuclear medicine":
        ds.NumberOfFrames, ds.PixelData = 12, np.concatenate([one, two]).tobytes()
        slices_of_nuclear_medicine(ds, 6)
    found = read_all(save(ds, tmp_path / "a.dcm"), four_d="split")
    wanted = truth(np.stack([one, two] if told == "nuclear medicine" else [one]))
    assert all(np.array_equal(volume.array[0], want) for volume, want in zip(found, wanted, strict=True))
    assert np.allclose(found[0].affine @ [11, 9, 0, 1], [20, 30, 40, 1]) and found[0].spacing[2] == STEP
    ds.FrameIncrementPointer, ds.FrameTime = 0x00181063, 40
    del ds[0x00540080 if "SliceVector" in ds else 0x00180088]
    if told != "offsets":
        with pytest.raises(ReadError, match="a film of several frames"):
            read_all(save(ds, tmp_path / "a.dcm"))


@pytest.mark.slow
@with_dcm2niix
@pytest.mark.parametrize("name", [*CLASSIC, *ENHANCED, "mosaics", "one file"])
def test_dcm2niix_makes_the_same_of_it(name, tmp_path):
    if name == "phases of the heart":
        pytest.skip("dcm2niix stacks the phases of one slice")
    if name == "mosaics":
        for n, ds in enumerate(mosaics(pixels())):
            save(ds, tmp_path / f"{n}.dcm")
    elif name == "one file":
        geometry = {"ImagePositionPatient": [-20, -30, 40], "ImageOrientationPatient": [1, 0, 0, 0, 1, 0]}
        more = {"PixelSpacing": [0.8, 0.5], "SpacingBetweenSlices": STEP, "NumberOfFrames": 6}
        save(dicom(stored(), MR, **geometry, **more), tmp_path / "a.dcm")
    else:
        write(name, tmp_path, declared)
    count = 1 if name == "one file" else 4
    assert str(compare(tmp_path)) == f"{count} equal, 0 only of dcm2niix, 0 only ours"


@pytest.mark.slow
@with_dcm2niix
def test_dcm2niix_makes_the_same_of_real_files(tmp_path):
    for name in ("siemens_dwi_0", "siemens_dwi_1000", "philips_mprage"):
        packed = folder_of("nibabel") / "nicom/tests/data" / f"{name}.dcm.gz"
        (tmp_path / f"{name}.dcm").write_bytes(gzip.decompress(packed.read_bytes()))
    assert str(compare(tmp_path)) == "3 equal, 0 only of dcm2niix, 0 only ours"
    found = compare(folder_of("pydicom") / "data")
    assert found.equal >= 32, str(found)
    for scan in found.only_theirs:
        (reason,) = [reason for name, reason in ANSWERS.items() if f"_{name}" in scan.name]
        assert reason.startswith("differs: ") or any(reason in said for said in found.reasons), str(scan.name)
