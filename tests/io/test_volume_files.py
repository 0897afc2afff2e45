"""NIfTI, NRRD and MetaImage become volumes that lie right, or sentences that say why not."""

import gzip
import importlib.util

import nibabel as nib
import numpy as np
import pytest
from files import cut, nifti
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from monai_ssl.io.discovery import discover
from monai_ssl.io.geometry import canonical, contiguous
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError, compact

SCAN = np.random.default_rng(0).integers(-1000, 2000, (4, 5, 6)).astype(np.int16)
# a permutation, a flip and an oblique part: x from -k, y from i, z from j
AFFINE = np.array([[0.1, 0, -3, 9], [1, 0.05, 0, -8], [0, 2, 0.2, 7], [0, 0, 0, 1.0]])


def read_path(path, **options):
    ((source,), rejected) = discover(path)
    assert not rejected
    return read(source, **options)


def repacked(tmp_path):
    """A pair of which only the data are packed, which nibabel alone does not find."""
    nib.save(nib.Nifti1Pair(SCAN, AFFINE), tmp_path / "b.hdr")
    (tmp_path / "b.img.gz").write_bytes(gzip.compress((tmp_path / "b.img").read_bytes()))
    (tmp_path / "b.img").unlink()
    return tmp_path / "b.hdr"


NAMES = ["a.nii", "a.nii.gz", "a.nii.bz2", "a.hdr", "a.hdr.gz", "a.hdr.bz2", "b.hdr", "C.Nii", "D.Nii.Gz", "E.Hdr"]


@pytest.mark.parametrize("name", NAMES)
def test_nifti(tmp_path, name):
    path = repacked(tmp_path) if name == "b.hdr" else tmp_path / name.lower()
    if name != "b.hdr":
        nib.save((nib.Nifti1Pair if ".hdr" in name.lower() else nib.Nifti1Image)(SCAN, AFFINE), path)
    for file in list(tmp_path.iterdir()) if name != name.lower() else []:
        file.rename(tmp_path / file.name.title())
    path = tmp_path / name
    (volume,) = read_path(path)
    assert volume.array.dtype == np.int16 and volume.array.shape == (1, 6, 4, 5)
    assert (volume.modality, volume.patient) == ("unknown", None)
    expected = nib.as_closest_canonical(nib.Nifti1Image(SCAN, AFFINE))
    assert np.array_equal(volume.array[0], np.asarray(expected.dataobj))
    assert np.allclose(volume.affine, expected.affine) and np.allclose(volume.spacing, expected.header.get_zooms())


@given(st.permutations(range(3)), st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3))
def test_canonical_moves_voxels_with_their_places(order, signs):
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.0, 2.0, 3.0])[:, list(order)] * signs
    affine[:3, 3] = 5, 6, 7
    array = np.arange(24).reshape(2, 3, 4)
    moved, placed = canonical(array, affine)
    assert np.allclose(placed[:3, :3], np.diag([1, 2, 3]))
    for index in np.ndindex(array.shape):
        point = affine @ [*index, 1]
        assert moved[tuple(np.rint(np.linalg.solve(placed, point))[:3].astype(int))] == array[index]


@given(st.permutations(range(3)), st.tuples(*[st.sampled_from([slice(None), slice(None, None, -1)])] * 3))
def test_contiguous_changes_nothing_but_the_order(order, flips):
    array = np.arange(40 * 3 * 35).reshape(40, 3, 35).transpose(order)[flips]
    copy = contiguous(array)
    assert np.array_equal(copy, array) and copy.flags.c_contiguous


@given(
    st.sampled_from(
        [np.int8, np.uint8, np.int16, np.uint16, np.int32, np.int64, np.float32, np.float64, np.bool_]
    ).flatmap(lambda dtype: hnp.arrays(dtype, (3, 4), elements=None))
)
def test_compact_is_exact_or_float32(array):
    with np.errstate(over="ignore"):
        small = compact(array)
        expected = array.astype(np.float32)
    assert small.dtype in (np.uint8, np.int16, np.uint16, np.float32)
    if small.dtype == np.float32:
        assert np.array_equal(small, expected, equal_nan=True)
    else:
        assert np.array_equal(small, array)


@pytest.mark.parametrize(("slope", "inter", "dtype"), [(2.0, -1024.0, np.int16), (0.5, 0.25, np.float32)])
def test_scaling_of_nifti_is_honored(tmp_path, slope, inter, dtype):
    image = nib.Nifti1Image(SCAN, np.eye(4))
    image.header.set_slope_inter(slope, inter)
    nib.save(image, tmp_path / "a.nii.gz")
    raw = np.asarray(nib.load(tmp_path / "a.nii.gz").dataobj.get_unscaled())
    (volume,) = read_path(tmp_path / "a.nii.gz")
    assert volume.array.dtype == dtype and np.allclose(volume.array[0], raw * slope + inter)


def test_fractions_and_nan_are_kept(tmp_path):
    array = (SCAN / 7).astype(np.float32)
    array[1, 2, 3] = np.nan
    (volume,) = read_path(nifti(tmp_path / "a.nii", array))
    assert volume.array.dtype == np.float32 and np.array_equal(volume.array[0], array, equal_nan=True)


def test_units_of_nifti_are_converted(tmp_path):
    image = nib.Nifti1Image(SCAN, np.diag([1000.0, 1000, 2000, 1]))
    image.header.set_xyzt_units("micron")
    nib.save(image, tmp_path / "a.nii")
    assert np.allclose(read_path(tmp_path / "a.nii")[0].spacing, [1, 1, 2])


def test_unknown_orientation_and_shear_are_noted(tmp_path):
    image = nib.Nifti1Image(SCAN, None)
    nib.save(image, tmp_path / "a.nii")
    assert "left and right may be exchanged" in read_path(tmp_path / "a.nii")[0].notes[0]
    shear = np.eye(4)
    shear[1, 2] = np.tan(np.radians(10))
    nifti(tmp_path / "b.nii", SCAN, shear)
    assert "the axes are 10.0 degrees off right angles" in read_path(tmp_path / "b.nii")[0].notes[0]
    for degrees, said in ((0.4, False), (0.6, True)):
        shear[1, 2] = np.tan(np.radians(degrees))
        notes = read_path(nifti(tmp_path / "b.nii", SCAN, shear))[0].notes
        assert bool(notes) == said and all(f"{degrees} degrees off" in note for note in notes)


def test_four_dimensions_are_refused_or_split(tmp_path):
    array = np.stack([SCAN, SCAN + 1, SCAN + 2], -1)
    path = nifti(tmp_path / "a.nii.gz", array, AFFINE)
    with pytest.raises(ReadError, match=r"a.nii.gz: the file is 4-D, 3 volumes of 4 x 5 x 6; .*`--four-d split`"):
        read_path(path)
    volumes = read_path(path, four_d="split")
    (single,) = read_path(nifti(tmp_path / "b.nii.gz", SCAN, AFFINE))
    assert [np.array_equal(v.array, single.array + k) for k, v in enumerate(volumes)] == [True] * 3
    (squeezed,) = read_path(nifti(tmp_path / "c.nii.gz", SCAN[..., None, None], AFFINE))
    assert np.array_equal(squeezed.array, single.array)
    with pytest.raises(ReadError, match="the file has 5 dimensions, and at most 4 are read"):
        read_path(nifti(tmp_path / "d.nii.gz", np.zeros((2, 2, 2, 1, 3), np.int16)), four_d="split")


def test_flat_nifti_is_a_picture(tmp_path):
    (volume,) = read_path(nifti(tmp_path / "a.nii", SCAN[..., 0], np.diag([0.5, 0.7, 1, 1])))
    assert np.array_equal(volume.array, SCAN[None, ..., 0]) and np.allclose(volume.spacing, [0.5, 0.7])
    assert volume.affine.shape == (4, 4)


def test_colors_and_complex_numbers_are_refused(tmp_path):
    rgb = np.zeros((3, 3, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])
    with pytest.raises(ReadError, match="the voxels are colors"):
        read_path(nifti(tmp_path / "a.nii", rgb))
    with pytest.raises(ReadError, match="the voxels are complex numbers"):
        read_path(nifti(tmp_path / "b.nii", np.zeros((3, 3, 3), np.complex64)))


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz", "a.nii.bz2", "a.hdr.gz"])
@pytest.mark.parametrize("share", [0.1, 0.6, 0.97, 0.9999])
def test_truncated_nifti(tmp_path, name, share):
    noise = np.random.default_rng(0).integers(0, 255, (20, 20, 20)).astype(np.int16)
    nib.save((nib.Nifti1Pair if ".hdr" in name else nib.Nifti1Image)(noise, np.eye(4)), tmp_path / name)
    # the last byte of packed data is of their check sum or length
    cut(tmp_path / name.replace("hdr", "img"), share)
    with pytest.raises(ReadError, match=rf"{name}: .*(cut off|damaged).*; copy the file again or leave it out\.$"):
        read_path(tmp_path / name)


def test_text_named_nifti(tmp_path):
    (tmp_path / "a.nii.gz").write_text("this is a note\n")
    with pytest.raises(ReadError, match=r"a.nii.gz: this is not a NIfTI file, whatever its name says"):
        read_path(tmp_path / "a.nii.gz")


def test_surfaces_are_refused(tmp_path):
    axes = nib.cifti2.ScalarAxis(["a"]), nib.cifti2.BrainModelAxis.from_mask(np.ones((2, 2, 2)), affine=np.eye(4))
    nib.save(nib.Cifti2Image(np.zeros((1, 8)), axes), tmp_path / "a.dscalar.nii")
    with pytest.raises(ReadError, match="these are surfaces or matrices"):
        read_path(tmp_path / "a.dscalar.nii")


def test_empty_axis(tmp_path):
    with pytest.raises(ReadError, match="the image is empty, its size is 4 x 0 x 6"):
        read_path(nifti(tmp_path / "a.nii", np.zeros((4, 0, 6), np.int16)))


@pytest.mark.parametrize(
    ("affine", "message"),
    [
        (np.diag([1, 1, np.nan, 1]), "holds NaN or infinity"),
        (np.diag([1, 1, 0.0, 1]), "1 x 1 x 0 mm by the affine .* which no scan has"),
        (np.diag([1, 1, 5000.0, 1]), "which no scan has"),
        (np.array([[1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1.0]]), "not invertible"),
    ],
)
def test_absurd_affine(tmp_path, affine, message):
    image = nib.Nifti1Image(SCAN, np.eye(4))
    image.header.set_sform(affine, code=1)
    image.header["qform_code"] = 0
    nib.Nifti1Image(SCAN, None, image.header).to_filename(tmp_path / "a.nii")
    with pytest.raises(ReadError, match=message):
        read_path(tmp_path / "a.nii")


def itk_image(array):
    itk = pytest.importorskip("itk")
    image = itk.image_from_array(np.ascontiguousarray(array.T))
    image.SetSpacing([1.0, 2.0, 3.0][: array.ndim] + [1.0] * (array.ndim - 3))
    image.SetOrigin([5.0, 6.0, 7.0][: array.ndim] + [0.0] * (array.ndim - 3))
    return itk, image


@pytest.mark.parametrize("name", ["a.nrrd", "a.nhdr", "a.mha", "a.mhd"])
def test_itk_files_agree_with_nifti(tmp_path, name):
    itk, image = itk_image(SCAN)
    direction = np.array([[0, 0, -1.0], [1, 0, 0], [0, 1, 0]])
    image.SetDirection(itk.matrix_from_array(direction))
    itk.imwrite(image, tmp_path / name)
    itk.imwrite(image, tmp_path / "same.nii")
    (volume,), (same,) = read_path(tmp_path / name), read_path(tmp_path / "same.nii")
    assert volume.array.dtype == np.int16 and np.array_equal(volume.array, same.array)
    assert np.allclose(volume.affine, same.affine, atol=1e-5) and np.allclose(volume.spacing, same.spacing)


def test_nrrd_without_itk_is_read_by_pynrrd(tmp_path, monkeypatch):
    itk, image = itk_image(SCAN)
    image.SetDirection(itk.matrix_from_array(np.array([[0, 0, -1.0], [1, 0, 0], [0, 1, 0]])))
    itk.imwrite(image, tmp_path / "a.nrrd")
    itk.imwrite(image, tmp_path / "a.mha")
    (expected,) = read_path(tmp_path / "a.nrrd")
    hide(monkeypatch, "itk")
    pytest.importorskip("nrrd")
    (volume,) = read_path(tmp_path / "a.nrrd")
    assert np.array_equal(volume.array, expected.array) and np.allclose(volume.affine, expected.affine)
    with pytest.raises(ReadError, match=r"a.mha: MetaImage files need ITK; .*`pip install itk`"):
        read_path(tmp_path / "a.mha")
    hide(monkeypatch, "itk", "nrrd")
    with pytest.raises(ReadError, match=r"a.nrrd: NRRD files need ITK"):
        read_path(tmp_path / "a.nrrd")


def hide(monkeypatch, *hidden):
    find = importlib.util.find_spec
    monkeypatch.setattr("monai_ssl.io.itk.find_spec", lambda name: None if name in hidden else find(name))


def test_spaces_of_nrrd(tmp_path, monkeypatch):
    nrrd = pytest.importorskip("nrrd")
    header = {"space": "right-anterior-superior", "space directions": np.diag([1.0, 2, 3]), "space origin": [5, 6, 7]}
    nrrd.write(str(tmp_path / "a.nrrd"), SCAN, header)
    hide(monkeypatch, "itk")
    (volume,) = read_path(tmp_path / "a.nrrd")
    assert np.array_equal(volume.array[0], SCAN)
    assert np.allclose(volume.affine, [[1, 0, 0, 5], [0, 2, 0, 6], [0, 0, 3, 7], [0, 0, 0, 1]])
    monkeypatch.undo()
    pytest.importorskip("itk")
    (theirs,) = read_path(tmp_path / "a.nrrd")
    assert np.array_equal(theirs.array, volume.array) and np.allclose(theirs.affine, volume.affine)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_damaged_and_colored_itk_files(tmp_path, name):
    itk, image = itk_image(SCAN)
    itk.imwrite(image, tmp_path / name)
    cut(tmp_path / name, 0.7)
    with pytest.raises(ReadError, match=rf"{name}: this \w+ file cannot be read, it is cut off or damaged"):
        read_path(tmp_path / name)
    colors = itk.image_from_array(np.zeros((3, 4, 5, 3), np.uint8), is_vector=True)
    itk.imwrite(colors, tmp_path / name)
    with pytest.raises(ReadError, match="every voxel holds 3 values"):
        read_path(tmp_path / name)


def test_nrrd_of_several_volumes(tmp_path):
    itk, image = itk_image(np.stack([SCAN, SCAN + 1], -1))
    itk.imwrite(image, tmp_path / "a.nrrd")
    with pytest.raises(ReadError, match="the file is 4-D with 2 volumes"):
        read_path(tmp_path / "a.nrrd")
    one, two = read_path(tmp_path / "a.nrrd", four_d="split")
    assert np.array_equal(one.array[0], SCAN[::-1, ::-1]) and np.array_equal(two.array, one.array + 1)


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int32, np.int64, np.float64])
def test_types_of_metaimage(tmp_path, dtype):
    pytest.importorskip("itk")
    array = np.arange(60).reshape(3, 4, 5).astype(dtype)
    kind = {"i1": "MET_CHAR", "u1": "MET_UCHAR", "i4": "MET_INT", "i8": "MET_LONG_LONG", "f8": "MET_DOUBLE"}
    header = (
        "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nDimSize = 5 4 3\n"
        f"ElementType = {kind[np.dtype(dtype).str[1:]]}\nElementDataFile = LOCAL\n"
    )
    (tmp_path / "a.mha").write_bytes(header.encode() + array.tobytes())
    (volume,) = read_path(tmp_path / "a.mha")
    assert np.array_equal(volume.array[0], array.T[::-1, ::-1])


def test_flat_metaimage_is_a_picture(tmp_path):
    itk, image = itk_image(SCAN[..., 0])
    itk.imwrite(image, tmp_path / "a.mha")
    (volume,) = read_path(tmp_path / "a.mha")
    assert np.array_equal(volume.array, SCAN[None, ..., 0]) and volume.spacing == (1.0, 2.0)
