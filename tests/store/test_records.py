"""The table of a store gives the records of its manifest, and is not used where it could be another manifest's."""

import json
import os
import pickle
import shutil

import numpy as np
import pytest
from files import nifti

from monai_ssl.store import PrepareOptions, Store, prepare
from monai_ssl.store.layout import MANIFEST
from monai_ssl.store.manifest import read_manifest
from monai_ssl.store.records import TABLE, Records


@pytest.fixture
def folder(tmp_path):
    for seed in range(5):
        array = np.random.default_rng(seed).integers(-1000, 1000, (12, 9, 8 + seed)).astype(np.int16)
        nifti(tmp_path / "src" / f"pä{seed // 2}" / f"{seed}.nii.gz", array)
    prepare(tmp_path / "src", tmp_path / "store", PrepareOptions(workers=0))
    return tmp_path / "store"


def refuse(*args):
    raise AssertionError("the manifest was read as a whole")


def test_each_record_is_read_by_itself_and_is_that_of_the_manifest(folder, monkeypatch):
    options, expected = read_manifest(folder)
    monkeypatch.setattr("monai_ssl.store.records.read_manifest", refuse)
    records = Records(folder)
    assert records.options == options and [*records] == expected and records[1:4] == expected[1:4]
    assert records[-1] == expected[-1] and len(records) == 5
    assert [key.decode() for key in records.keys] == [record["key"] for record in expected]
    assert [*pickle.loads(pickle.dumps(records))] == expected
    # a pickled dataset reopens the store: no record travels to a loader worker
    assert len(pickle.dumps(records)) < 400
    store = Store(folder)
    assert len(store.patients) == 3 and len(store.select(store.patients[:1])) in (1, 2)
    first = store.select(spatial_dims=3).first_keys()
    assert first == {p: min(r["key"] for r in expected if r["patient"] == p) for p in store.patients}
    with pytest.raises(IndexError):
        records[5]


def test_a_manifest_that_was_changed_or_is_older_is_read_as_it_stands(folder, tmp_path):
    fingerprint, content = Store(folder).fingerprint, json.loads((folder / MANIFEST).read_text())
    content["scans"][0]["patient"] = "somebody"
    (folder / MANIFEST).write_text(json.dumps(content, indent=1))
    changed = Store(folder)
    assert changed.patients[-1] == "somebody" and changed.fingerprint == fingerprint
    assert changed.select(["somebody"])[0].key == content["scans"][0]["key"]
    shutil.copytree(folder, tmp_path / "copy", copy_function=shutil.copyfile)
    (tmp_path / "copy" / TABLE).unlink()
    assert Store(tmp_path / "copy").fingerprint == fingerprint
    for damage in (b"", b"\x93NUMPY", (folder / TABLE).read_bytes()[:200], os.urandom(300)):
        (folder / TABLE).write_bytes(damage)
        assert Store(folder).fingerprint == fingerprint


def test_a_table_that_does_not_fit_is_said(folder):
    stat = (folder / MANIFEST).stat()
    text = (folder / MANIFEST).read_text()
    key = json.loads(text)["scans"][2]["key"]
    (folder / MANIFEST).write_text(text.replace(key, key[:2] + key[:1:-1]))
    os.utime(folder / MANIFEST, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    store = Store(folder)
    with pytest.raises(ValueError, match=rf"{TABLE} does not fit {MANIFEST} beside it \(another scan stands there\)"):
        store[2]
    assert store[1].shape


def test_a_name_that_is_longer_than_all_of_the_store_is_no_name_of_it(folder):
    store = Store(folder)
    longer = store.patients[0] + "x"
    assert len(store.select().of_patients([longer])) == 0
    assert len(store.select().of_patients([longer], others=True)) == 5
