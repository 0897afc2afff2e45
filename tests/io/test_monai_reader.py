"""MONAI's LoadImage reads through our readers: as it would itself where it can, and with what it cannot."""

import nibabel as nib
import numpy as np
import pytest
import torch
from files import CT, cut, nifti, save_series, series, stored
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.transforms import (
    Compose,
    EnsureChannelFirstd,
    Invertd,
    LoadImage,
    LoadImaged,
    Orientationd,
    SaveImaged,
)
from PIL import Image

from monai_ssl.io import discover, read
from monai_ssl.io.listing import files_at, images_in, source_at
from monai_ssl.io.monai_reader import load_files, named_below
from monai_ssl.io.volume import ReadError

READER = "monai_ssl.io.monai_reader.ScanReader"


def load(path, reader=READER):
    steps = [LoadImaged("image", reader=reader, dtype=None), EnsureChannelFirstd("image")]
    return Compose(steps)({"image": path})["image"]


@pytest.mark.parametrize("chosen", ["", "nvimgcodec"])
def test_a_decoder_that_nobody_asked_for_is_not_missed(chosen, monkeypatch, caplog, recwarn):
    monkeypatch.setenv("MONAI_DICOM_READER", chosen)
    load_files("image")
    told = [*caplog.messages, *(str(warning.message) for warning in recwarn)]
    assert sum("nvImageCodec" in text for text in told) == (2 if chosen else 0)
    # nothing else is silenced, and this not for others
    caplog.clear()
    LoadImaged("image")
    assert any("nvImageCodec is not available" in text for text in caplog.messages)


def assert_same(path):
    ours, theirs = load(path), load(path, None)
    assert ours.shape == theirs.shape and np.array_equal(ours.meta["spatial_shape"], theirs.meta["spatial_shape"])
    assert torch.allclose(ours.as_tensor().double(), theirs.as_tensor().double(), rtol=1e-6, atol=1e-5)
    assert np.allclose(ours.affine, theirs.affine, rtol=0, atol=1e-9)
    # a picture has none for MONAI
    assert np.allclose(
        ours.meta["original_affine"], theirs.meta.get("original_affine", theirs.affine), rtol=0, atol=1e-9
    )


@settings(max_examples=25, deadline=None)
@given(
    order=st.permutations(range(3)),
    signs=st.lists(st.sampled_from([-1, 1]), min_size=3, max_size=3),
    shape=st.sampled_from([(4, 5), (4, 5, 6), (4, 5, 6, 3), (4, 5, 6, 1), (4, 5, 1)]),
    dtype=st.sampled_from([np.uint8, np.int16, np.uint16, np.int32, np.float32, np.float64]),
    scaled=st.booleans(),
)
def test_nifti_is_what_monai_reads(tmp_path_factory, order, signs, shape, dtype, scaled):
    rng = np.random.default_rng(0)
    affine = np.eye(4)
    affine[:3, :3] = np.diag([1.0, 2, 3])[:, list(order)] * signs + rng.normal(0, 0.05, (3, 3))
    affine[:3, 3] = 5, 6, 7
    image = nib.Nifti1Image(rng.integers(0, 200, shape).astype(dtype), affine)
    if scaled:
        image.header.set_slope_inter(1.7, -3)
    path = tmp_path_factory.mktemp("nifti") / "a.nii.gz"
    nib.save(image, path)
    assert_same(path)


@pytest.mark.parametrize("name", ["a.png", "rgb.png", "a.jpg"])
def test_pictures_are_what_monai_reads(tmp_path, name):
    pixels = np.random.default_rng(0).integers(0, 255, (9, 7, 3), np.uint8)
    Image.fromarray(pixels if name == "rgb.png" else pixels[..., 0]).save(tmp_path / name)
    assert_same(tmp_path / name)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha"])
def test_itk_files_are_what_monai_reads(tmp_path, name):
    itk = pytest.importorskip("itk")
    image = itk.image_from_array(stored().astype(np.int16))
    image.SetOrigin([5.0, 6, 7])
    image.SetDirection(itk.matrix_from_array(np.array([[0, 0, -1.0], [1, 0, 0], [0, 1, 0]])))
    itk.imwrite(image, tmp_path / name)
    ours, theirs = load(tmp_path / name), load(tmp_path / name, "ITKReader")
    assert torch.equal(ours.as_tensor(), theirs.as_tensor()) and np.allclose(ours.affine, theirs.affine)


def test_several_files_and_volumes_become_channels(tmp_path):
    scan = stored().astype(np.int16)
    paths = [nifti(tmp_path / f"{k}.nii.gz", scan + k) for k in range(2)]
    assert torch.equal(load(paths).as_tensor(), torch.as_tensor(np.stack([scan, scan + 1])))
    shorter = nifti(tmp_path / "short.nii", scan[:4])
    with pytest.raises(RuntimeError) as error:
        load([paths[0], shorter])
    assert "short.nii: size or place differ from those of 0.nii.gz" in str(error.value.__cause__)


def test_damage_is_said_and_not_left_to_a_careless_reader(tmp_path):
    path = nifti(tmp_path / "a.nii.gz", stored().astype(np.int16))
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    assert load(path, None).shape[0] == 1, "MONAI does not look at the length"
    with pytest.raises(ReadError, match=r"damaged \(BadGzipFile"):
        LoadImage(reader=READER)(path)
    with pytest.raises(ReadError, match=r"gone.nii: there is no such file"):
        LoadImage(reader=READER)(tmp_path / "gone.nii")


def test_what_is_not_ours_is_left_to_monai(tmp_path):
    np.save(tmp_path / "a.npy", np.arange(6.0).reshape(2, 3))
    assert torch.equal(load(tmp_path / "a.npy").as_tensor()[0], torch.arange(6.0).reshape(2, 3))


def test_series_are_named_by_folder_and_found_again(tmp_path):
    for number, patient in enumerate("ab"):
        save_series(series(stored(seed=number), sop_class=CT), tmp_path / "scans" / patient)
    for number in (2, 3):
        save_series(series(stored(seed=number), sop_class=CT), tmp_path / "scans" / "c")
    whole = save_series(series(stored(seed=4)), tmp_path / "d").rename(tmp_path / "scans" / "d_seg")
    paths = images_in(tmp_path / "scans")
    assert [path.rpartition("/")[2][:2] for path in paths] == ["a", "b", "c#", "c#"]
    assert str(whole) not in paths and len({files_at(path) for path in paths}) == 4
    sources = {source.files: source for source in discover(tmp_path / "scans")[0]}
    for path in paths:
        (volume,) = read(sources[source_at(path).files])
        image = Orientationd("image", "RAS", labels=None)({"image": load(path)})["image"]
        assert np.array_equal(image.numpy(), volume.array) and np.allclose(image.affine, volume.affine)
    assert sorted(images_in(tmp_path / "scans" / "c")) == sorted(paths[2:])
    with pytest.raises(ReadError, match="2 images found there, and one is needed"):
        source_at(tmp_path / "scans" / "c")


@pytest.mark.parametrize("kind", ["nifti", "dicom"])
def test_predictions_lie_where_their_images_do(tmp_path, kind):
    scans = tmp_path / "scans"
    affine = np.array([[0, 0, -3.0, 9], [-1, 0, 0, -8], [0, 2, 0, 7], [0, 0, 0, 1]])
    for number in range(2):
        if kind == "nifti":
            nifti(scans / f"p{number}" / "ct.nii.gz", stored(seed=number).astype(np.int16), affine)
        else:
            # MONAI would cut off the last part of a number, and both predictions would be one file
            save_series(series(stored(seed=number)), scans / "p" / f"1.2.{number}")
    steps = [
        LoadImaged("image", reader=READER, dtype=None),
        EnsureChannelFirstd("image"),
        Orientationd("image", "RAS", labels=None),
    ]
    before = Compose(steps)
    after = Compose(
        [
            Invertd("pred", before, "image", nearest_interp=False),
            SaveImaged(
                "pred",
                output_dir=tmp_path / "out",
                output_postfix="seg",
                separate_folder=False,
                data_root_dir=".",
                output_name_formatter=named_below(str(scans)),
                output_dtype=np.int16,
                print_log=False,
            ),
        ]
    )
    for path in images_in(scans):
        sample = before({"image": path})
        after(sample | {"pred": sample["image"].clone()})
    ending = {"nifti": "p{}/ct_seg.nii.gz", "dicom": "p/1.2.{}_seg.nii.gz"}[kind]
    assert len([*(tmp_path / "out").rglob("*.*z")]) == 2
    for number, path in enumerate(images_in(scans)):
        written = nib.load(tmp_path / "out" / ending.format(number))
        if kind == "nifti":
            image = nib.load(path)
            assert np.array_equal(written.dataobj, image.dataobj) and np.allclose(written.affine, image.affine)
        canonical, (volume,) = nib.as_closest_canonical(written), read(source_at(path))
        assert np.array_equal(canonical.dataobj, volume.array[0]) and np.allclose(canonical.affine, volume.affine)


def test_truncated_series_is_refused(tmp_path):
    folder = save_series(series(stored()), tmp_path / "ct")
    cut(next(folder.iterdir()), 0.9)
    with pytest.raises(ReadError, match="cannot be decoded, the file is damaged"):
        LoadImage(reader=READER)(folder)
