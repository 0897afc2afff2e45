"""A split keeps its test patients out of any store, known by pseudonym or voxels, or it is refused."""

import hashlib
import json
from itertools import combinations
from types import SimpleNamespace

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monai_ssl.data import PretrainingScans
from monai_ssl.io.patient_hints import USER
from monai_ssl.io.session_hints import Session
from monai_ssl.io.volume import ReadError, Volume
from monai_ssl.samples.phantom import phantom_ct
from monai_ssl.store import PrepareOptions, Store, inspect_store, prepare, save_split, split_by_patient
from monai_ssl.store.conform import conform
from monai_ssl.store.content import NEAR, content_of, difference
from monai_ssl.store.layout import record_path
from monai_ssl.store.patients import settled
from monai_ssl.store.statistics import histogram

CONTENTS = (("k1", "1"), ("k2-0", "2"), ("k2-1", "2"), ("k3", "3"))
RAMP = np.arange(24 * 20 * 16).reshape(1, 24, 20, 16)
HALVES = {"train": 0.5, "test": 0.5}


def stores(tmp_path, change=lambda array: array):
    rng = np.random.default_rng(0)
    for i in range(8):
        array = rng.integers(-900, 900, (16, 14, 12)).astype(np.int16)
        for name, of, ending in (("a", array, ".nii.gz"), ("b", change(array), ".nii")):
            (tmp_path / name).mkdir(exist_ok=True)
            nib.save(nib.Nifti1Image(of, np.eye(4)), tmp_path / name / f"{name}{i * 7}{ending}")
    for name in "ab":
        prepare(tmp_path / name, tmp_path / name.upper(), PrepareOptions(workers=0))
    return Store(tmp_path / "A"), Store(tmp_path / "B")


def split(store, path):
    found = split_by_patient(store, HALVES)
    save_split(found, path)
    return found


@pytest.mark.parametrize("change", [lambda a: a, lambda a: a.astype(np.float32), lambda a: a[::-1].astype(np.int32)])
def test_copies_in_another_store_are_left_out(change, tmp_path):
    first, _ = stores(tmp_path, change)
    test = split(first, tmp_path / "split.json")["test"]
    contents = {scan.content for scan in first if scan.patient in test}
    for place in (tmp_path / "B", tmp_path / "b"):
        scans = PretrainingScans(place, tmp_path / "out", 3, validation=0, exclude=tmp_path / "split.json").train
        assert len(scans) == 8 - len(test) and not contents & {scan.content for scan in scans}


def test_a_split_that_the_store_cannot_know_is_refused(tmp_path):
    first, second = stores(tmp_path)
    path = tmp_path / "split.json"
    test = split(first.patients, path)["test"]
    kept = PretrainingScans(first.path, tmp_path, 3, validation=0, exclude=path).train
    assert {scan.patient for scan in kept} == set(first.patients) - set(test), "in its own store, by pseudonym"
    with pytest.raises(ValueError, match="made for another store"):
        PretrainingScans(second.path, tmp_path, 3, validation=0, exclude=path)
    split(first, path)
    manifest = json.loads((second.path / "manifest.json").read_text())
    for record in manifest["scans"]:
        del record["content"], record["look"]
        record_path(second.path, record).write_text(json.dumps(record))
    (second.path / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(ValueError, match="prepare SRC STORE` again"):
        PretrainingScans(second.path, tmp_path, 3, validation=0, exclude=path)
    prepare(tmp_path / "b", second.path, PrepareOptions(workers=0))
    assert {s.content for s in Store(second.path)} == {s.content for s in first}


def test_one_scan_under_two_names_is_of_one_patient(tmp_path):
    first, _ = stores(tmp_path, lambda array: array.astype(np.float64))
    prepare(tmp_path / "b", first.path, PrepareOptions(workers=0))
    both = Store(first.path)
    assert len(both) == 16 and len(both.patients) == 8
    assert len(inspect_store(both).same_voxels) == 8


def test_a_patient_has_the_name_of_today_or_the_one_that_the_user_gives():
    def named(hint, basis="folders"):
        return [SimpleNamespace(name=hint, patient_hint=hint, patient_basis=basis, session=Session())]

    records = {
        key: {"key": key, "patient": "before", "patient_from": "path", "content": content, "parts": 1}
        for key, content in CONTENTS
    }
    sources = {"k1": named("today"), "k2": named("today"), "k3": named("mine", USER)}
    found = {record["content"]: record["patient"] for record in settled(records, sources, str)}
    assert found == {"1": "today", "2": "today", "3": "mine"}


def test_the_same_values_at_other_places_are_another_scan():
    scan = np.arange(120).reshape(1, 4, 5, 6)
    moved = scan.copy()
    moved[0, 0, 0, 0], moved[0, 3, 4, 5] = scan[0, 3, 4, 5], scan[0, 0, 0, 0]
    assert content_of(scan)["content"] != content_of(moved)["content"]


@pytest.mark.parametrize(
    ("array", "content", "look"),
    [
        ((RAMP % 4500 - 1500).astype(np.int16), "0b499c4d67234e60", "9c022823082336d4"),
        ((RAMP % 977).astype(np.uint8), "81e43c5cdfb5d101", "f2bb79060db2bfdb"),
        (np.sqrt(RAMP[..., 0]).astype(np.float32), "bd49b28df96b7170", "6ab7336187612f09"),
    ],
)
def test_a_store_of_today_knows_the_scans_of_one_that_was_prepared_before(array, content, look):
    found = content_of(array)
    assert (found["content"][:16], hashlib.sha256(found["look"].encode()).hexdigest()[:16]) == (content, look)


@given(
    st.sampled_from([np.int8, np.uint8, np.int16, np.uint16, np.float32]),
    st.sampled_from([1, 1, 3]),
    st.integers(0, 99),
)
def test_counts_that_are_known_save_work_and_change_nothing(dtype, channels, seed):
    rng = np.random.default_rng(seed)
    # beyond the range of CT, too, where the type allows it
    center, width = rng.uniform(-1500, 3500), 10 ** rng.uniform(0, 3.5)
    ends = (-1e9, 1e9) if dtype is np.float32 else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    array = np.rint(rng.normal(center, width, (channels, 3, 4, 5))).clip(*ends).astype(dtype)
    counts = histogram(array) if array.dtype.kind in "iu" else None
    assert content_of(array, counts) == content_of(array) == content_of(array.astype(np.float64))
    for modality, spacing in (("ct", None), ("mr", None), ("ct", (1.5, 1.5, 1.5))):
        volume = Volume(array, np.eye(4), (1.0, 1.0, 1.0), "unknown", None)
        told = [outcome(volume, modality, spacing, known) for known in (None, counts)]
        assert told[0] == told[1]


def outcome(volume, modality, spacing, counts):
    try:
        stored, record = conform(volume, modality, spacing, counts)
    except ReadError as error:
        return str(error)
    return stored.tobytes(), record


def test_near_duplicates_look_alike_and_others_do_not():
    rng = np.random.default_rng(1)
    grids = [rng.random((1, 5, 5, 5)).repeat(8, 1).repeat(8, 2).repeat(8, 3) * 1000 for _ in range(6)]
    looks = [content_of(grid)["look"] for grid in grids]
    assert min(difference(a, b) for a, b in combinations(looks, 2)) > NEAR
    alike = [content_of(phantom_ct(seed, (64, 64, 48))[0][None])["look"] for seed in range(6)]
    assert min(difference(a, b) for a, b in combinations(alike, 2)) > NEAR, "of other patients"
    noisy = [content_of(0.4 * grid + rng.normal(0, 5, grid.shape))["look"] for grid in grids]
    assert max(difference(a, b) for a, b in zip(looks, noisy, strict=True)) <= NEAR
