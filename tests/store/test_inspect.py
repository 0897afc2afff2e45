"""Inspecting says what is there, and shows it the right way up."""

import json

import numpy as np
import pytest
from files import nifti
from PIL import Image

from monai_ssl.store import PrepareOptions, Store, inspect_store, prepare, write_sheet
from monai_ssl.store.sheet import _TEXT, _TILE

HERE = PrepareOptions(workers=0, modality="ct")


def ct(shape=(20, 24, 16), seed=0):
    hu = np.full(shape, -1000, np.int16)
    hu[4:-4, 4:-4, 2:-2] = np.random.default_rng(seed).integers(-50, 50, hu[4:-4, 4:-4, 2:-2].shape)
    return hu


@pytest.fixture
def store(tmp_path):
    for seed in range(3):
        nifti(tmp_path / "src" / f"smith{seed}.nii.gz", ct(seed=seed))
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (30, 20), np.uint8)).save(tmp_path / "src" / "x.png")
    prepare(tmp_path / "src", tmp_path / "store", PrepareOptions(workers=0))
    return Store(tmp_path / "store")


def test_counts_and_distributions(store):
    found = inspect_store(store)
    assert (found.scans, found.patients) == (4, 4)
    assert found.modalities == {"ct 3-D": 3, "image 2-D": 1}
    assert found.sizes == {"2-D": [[20.0] * 3, [30.0] * 3], "3-D": [[20.0] * 3, [24.0] * 3, [16.0] * 3]}
    assert found.spacings["3-D"] == [[1.0] * 3, [1.0] * 3, [2.0] * 3]
    share = 12 * 16 * 12 / (20 * 24 * 16)
    np.testing.assert_allclose(found.body_fraction, share)
    assert found.megabytes == pytest.approx((3 * 20 * 24 * 16 * 2 + 600 + 4 * 128) / 1e6)
    table = found.table()
    assert "4 scans of 4 patients" in table and "3 ct 3-D, 1 image 2-D" in table and "z 2 .. median 2 .. 2" in table
    assert "smith" not in json.dumps(found.to_dict()) + table


def test_an_empty_store_can_be_inspected(tmp_path):
    nifti(tmp_path / "src" / "a.nii.gz", np.zeros((4, 4, 4), np.int16))
    prepare(tmp_path / "src", tmp_path / "store", HERE)
    empty = Store(tmp_path / "store")
    assert "0 scans of 0 patients" in inspect_store(empty).table()
    assert write_sheet(empty.scans, tmp_path / "sheet.png") == 0


def test_sheet_shows_head_and_front_on_top_and_carries_no_text(tmp_path):
    hu = np.full((32, 32, 32), -1000, np.int16)
    hu[:, :, 24:] = 900  # head
    hu[:, 24:, :] = 300  # front
    nifti(tmp_path / "src" / "a.nii.gz", hu, np.eye(4))
    prepare(tmp_path / "src", tmp_path / "store", HERE)
    assert write_sheet(Store(tmp_path / "store").scans, tmp_path / "sheet.png") == 1
    sheet = Image.open(tmp_path / "sheet.png")
    assert not sheet.info
    pixels = np.asarray(sheet.convert("L"), int)[_TEXT:]
    axial, coronal = pixels[:_TILE, 6 : 6 + _TILE], pixels[:_TILE, 12 + _TILE : 12 + 2 * _TILE]
    inner = slice(40, 120)
    assert axial[20, inner].min() > 150 > 50 > axial[140, inner].max()
    assert coronal[20, inner].min() > 200 > 50 > coronal[140, inner].max()


def test_a_picture_is_shown_as_it_was(tmp_path):
    picture = np.zeros((60, 60), np.uint8)
    picture[:20, :10] = 255
    (tmp_path / "src").mkdir()
    Image.fromarray(picture).save(tmp_path / "src" / "a.png")
    prepare(tmp_path / "src", tmp_path / "store", PrepareOptions(workers=0))
    write_sheet(Store(tmp_path / "store").scans, tmp_path / "sheet.png")
    tile = np.asarray(Image.open(tmp_path / "sheet.png").convert("L"), int)[_TEXT : _TEXT + _TILE, 6 : 6 + _TILE]
    assert tile[:45, :20].min() > 200 and tile[65:].max() == 0 == tile[:, 40:].max()


def test_the_sheet_is_spread_over_the_store(store, tmp_path):
    assert write_sheet(store.scans, tmp_path / "sheet.png", limit=2) == 2
    assert write_sheet(store.scans, tmp_path / "sheet.png") == 4
