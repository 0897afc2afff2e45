"""Nothing that is read decides where is read or written: manifests, studies, bundles."""

import json
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from files import nifti

from monai_ssl.bundle_folders import bundle_folder
from monai_ssl.files import read_json, write_json
from monai_ssl.store import PrepareOptions, Store, prepare
from monai_ssl.study.plan import read_study
from monai_ssl.zoo import pack

HERE = PrepareOptions(workers=0)
SRC, STORE = "src", "store"


@pytest.fixture
def store(tmp_path):
    for seed in range(2):
        array = np.random.default_rng(seed).integers(0, 900, (9, 8, 7)).astype(np.int16)
        nifti(tmp_path / SRC / f"p{seed}.nii", array)
    prepare(tmp_path / SRC, tmp_path / STORE, HERE)
    return tmp_path / STORE


def forged(store, **entries):
    manifest = read_json(store / "manifest.json")
    manifest["scans"][0].update(entries)
    write_json(store / "manifest.json", manifest)


@pytest.mark.parametrize("key", ["../../secret", "/etc/passwd", "a/b", "..", "", ".hidden", "a\x00b", "x" * 300, 7])
def test_a_key_cannot_lead_out_of_the_store(store, key):
    np.save(store.parent / "secret.npy", np.zeros((1, 9, 8, 7), np.int16))
    forged(store, key=key)
    with pytest.raises(ValueError, match=r"manifest.json is damaged or was not written by `prepare` \(.* is no key"):
        Store(store)


@pytest.mark.parametrize(
    ("entry", "value"),
    [
        ("shape", [1, 2**40, 2**40, 2**40]),
        ("shape", [1, 9, 8, -7]),
        ("dtype", "object"),
        ("spacing", [1.0, 0.0, 1.0]),
        ("affine", [[1, 0, 0, 0]]),
        ("body_box", [[0, 0, 0], [9, 8, 99]]),
        ("statistics", {"min": 0.0}),
        ("notes", "x"),
        ("patient", None),
        ("modality_from", "a guess"),
        ("patient_from", []),
        ("folder", "../.."),
        ("folder", "zz"),
        ("folder", None),
    ],
)
def test_forged_entries_are_named(store, entry, value):
    forged(store, **{entry: value})
    with pytest.raises(ValueError, match=f"no usable `{entry}`"):
        Store(store)


def test_an_array_that_was_exchanged_is_refused(store):
    scan = Store(store)[0]
    np.save(scan.path, np.zeros((1, 9, 8, 6), np.int16))
    with pytest.raises(ValueError, match="was cut short"):
        scan.raw()
    np.save(scan.path, np.zeros((1, 9, 8, 7), np.uint16))
    with pytest.raises(ValueError, match=r"cannot be opened.*uint16 .1, 9, 8, 7., not int16 .1, 9, 8, 7."):
        scan.raw()
    np.save(scan.path, np.array([{}], object), allow_pickle=True)
    with pytest.raises(ValueError, match=r"cannot be opened|was cut short"):
        scan.raw()


class Planted:
    """Runs code when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_an_array_that_is_a_program_is_not_run(store, tmp_path):
    scan, sign = Store(store)[0], tmp_path / "it ran"
    scan.path.write_bytes(pickle.dumps(Planted(sign)))
    with pytest.raises(ValueError, match=r"cannot be opened|was cut short"):
        scan.raw()
    assert not sign.exists()
    pickle.loads(scan.path.read_bytes())
    assert sign.exists(), "it would have run"


def test_a_record_under_the_name_of_another_scan_is_not_taken_for_its_own(store):
    wanted = {scan.key: scan.raw() for scan in Store(store)}
    one, two = sorted((store / "scans").glob("*/*.json"))
    two.write_bytes(one.read_bytes())
    report = prepare(store.parent / SRC, store, HERE)
    assert not report.failed and report.prepared == [two.stem]
    found = {scan.key: scan.raw() for scan in Store(store)}
    assert found.keys() == wanted.keys() and all(np.array_equal(found[key], wanted[key]) for key in wanted)


@pytest.mark.parametrize("name", ["manifest.json", "private/hashes.json", "private/sources.json", "record"])
@pytest.mark.parametrize("content", ["", "{", "[1]", "null", '{"scans": NaN}', "\udcff", "[" * 5000])
def test_preparing_again_mends_a_damaged_store(store, name, content):
    wanted = [scan.raw() for scan in Store(store)]
    path = next((store / "scans").glob("*/*.json")) if name == "record" else store / name
    path.write_bytes(content.encode(errors="surrogateescape"))
    report = prepare(store.parent / SRC, store, HERE)
    assert not report.failed and report.scans == 2
    assert all(np.array_equal(a, b) for a, b in zip(wanted, (scan.raw() for scan in Store(store)), strict=True))


def test_the_memory_of_hashes_is_not_trusted_with_new_scans(store):
    hashes = read_json(store / "private/hashes.json")
    write_json(store / "private/hashes.json", dict.fromkeys(hashes, "0" * 64))
    before = {scan.key for scan in Store(store)}
    prepare(store.parent / SRC, store, HERE)
    assert {scan.key for scan in Store(store)} == before


@pytest.mark.parametrize("name", ["../../x", "a/b", "..", ".x", "a\\b", "n\x00l", "x" * 300])
def test_names_in_a_study_cannot_lead_out_of_its_folder(tmp_path, name):
    study = {"name": "fine", "labels": ["all"], "tasks": {"t": {"bundle": "classification", "dataset_dir": "d"}}}
    for wrong in ({**study, "name": name}, {**study, "tasks": {name: study["tasks"]["t"]}}):
        (tmp_path / "study.json").write_text(json.dumps(wrong))
        with pytest.raises(ValueError, match="name"):
            read_study(tmp_path / "study.json")


def test_a_packed_bundle_holds_no_file_from_elsewhere(tmp_path):
    import shutil

    bundle = tmp_path / "mine"
    shutil.copytree(bundle_folder("simsiam"), bundle)
    (tmp_path / "private.txt").write_text("of somebody else")
    (bundle / "docs" / "link.txt").symlink_to(tmp_path / "private.txt")
    with pytest.raises(ValueError, match=r"link.txt is a link that leads out of the bundle.*; copy the file"):
        pack(bundle, tmp_path)
    (bundle / "docs" / "link.txt").unlink()
    (bundle / "docs" / "link.txt").symlink_to("README.md")
    with zipfile.ZipFile(pack(bundle, tmp_path)) as archive:
        names = archive.namelist()
    assert "mine/docs/link.txt" in names and all(".." not in n and n.startswith("mine/") for n in names)
