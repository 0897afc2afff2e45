"""The modality of a scan of unknown origin is judged by its values, however they are stored."""

import numpy as np
import pytest
from files import nifti
from scipy.ndimage import zoom

from monai_ssl.samples.phantom import phantom_ct
from monai_ssl.store import PrepareOptions, Store, prepare
from monai_ssl.store.conform import decide_modality
from monai_ssl.store.report import mixed_modalities

RNG = np.random.default_rng(0)
CT = phantom_ct(0, (40, 36, 24))[0].astype(np.int16)[None]
SHAPE = CT.shape


@pytest.mark.parametrize(
    ("values", "modality"),
    [
        (CT, "ct"),
        (CT + np.float32(0.25), "ct"),
        (np.round(CT * 0.5) * np.float32(2.0) - 0.5, "ct"),
        (zoom(CT[0].astype(np.float32), 0.8, order=3)[None], "ct"),
        (np.where(CT < -990, -3024, CT), "ct"),
        (RNG.integers(-4096, 4096, SHAPE).astype(np.int16), "mr"),
        (RNG.uniform(-4096, 4096, SHAPE).astype(np.float32), "mr"),
        (RNG.normal(0, 1, SHAPE).astype(np.float32), "mr"),
        (RNG.normal(0, 150, SHAPE).clip(-1000, 1000).astype(np.float32), "mr"),
        (RNG.integers(0, 900, SHAPE).astype(np.int16), "mr"),
        # one voxel of rubbish is no air
        (np.where(np.arange(CT.size).reshape(SHAPE) == 7, -1000, RNG.integers(0, 900, SHAPE)).astype(np.int16), "mr"),
    ],
)
def test_a_ct_is_known_by_its_air_and_a_phase_image_by_what_is_above_bone(values, modality):
    assert decide_modality(values, "unknown", "auto") == (modality, "values")
    assert decide_modality(values, "mr", "auto") == ("mr", "file")


def test_a_mixed_cohort_is_said_aloud(tmp_path):
    mr = RNG.integers(0, 900, SHAPE[1:]).astype(np.int16)
    for name, array in {"a": CT[0], "b": CT[0] + np.float32(0.5), "c": mr}.items():
        nifti(tmp_path / "src" / name / "scan.nii.gz", array)
    report = prepare(tmp_path / "src", tmp_path / "store", PrepareOptions(workers=0))
    (odd,) = Store(tmp_path / "store").select(modality="mr")
    (warning,) = report.warnings
    assert "2 ct, 1 mr" in warning and odd.key in warning and "1 of the 1 that are not ct were judged" in warning
    assert warning in report.table()
    same = prepare(tmp_path / "src", tmp_path / "other", PrepareOptions(workers=0, include=("a/*", "b/*")))
    assert not same.warnings


@pytest.mark.parametrize(
    ("basis", "told"),
    [("values", "1 of the 1 that are not ct were judged by their values"), ("file", "that 1 of 3 are not ct was said")],
)
def test_a_mixed_store_says_by_what_the_rare_ones_were_told(basis, told):
    records = [{"modality": m, "modality_from": basis, "key": m} for m in ("ct", "mr", "ct")]
    (warning,) = mixed_modalities(records)
    assert told in warning
