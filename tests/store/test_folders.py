"""Scans lie in folders by their keys; stores that have them all in one are read and prepared on as they are."""

import numpy as np
import pytest
from files import cut, nifti
from method_cases import BUNDLES, small
from old_store import in_one_folder
from safetensors.torch import load_file

from monai_ssl import api
from monai_ssl.data import PretrainingScans, WindowDataset
from monai_ssl.store import PrepareOptions, Store, inspect_store, prepare
from monai_ssl.store.remote.upload import upload
from monai_ssl.transforms import RandWindowCropd

HERE = PrepareOptions(workers=0)


def sources(folder, seeds, side=12):
    for seed in seeds:
        array = np.random.default_rng(seed).integers(-1000, 1000, (side, side - 1, side + 1)).astype(np.int16)
        nifti(folder / f"p{seed}.nii", array)
    return folder


@pytest.fixture
def stores(tmp_path):
    """The same scans in folders, and in one as they were before."""
    prepare(sources(tmp_path / "src", range(6)), tmp_path / "new", HERE)
    return Store(tmp_path / "new"), Store(in_one_folder(tmp_path / "new", tmp_path / "old"))


def files(store):
    """What lies in the folders of scans, with its time."""
    scans = store.path / "scans"
    found = [path for path in scans.rglob("*") if path.is_file()]
    return {path.relative_to(scans).as_posix(): (path.read_bytes(), path.stat().st_mtime_ns) for path in found}


def test_a_scan_lies_in_the_folder_of_its_key(stores):
    new, old = stores
    names = {f"{scan.key[:2]}/{scan.key}{ending}" for scan in new for ending in (".npy", ".json")}
    assert files(new).keys() == names and len(names) == 12
    assert files(old).keys() == {name.partition("/")[2] for name in names}


def test_a_store_of_one_folder_holds_and_teaches_the_same(stores, tmp_path):
    new, old = stores
    assert old.fingerprint == new.fingerprint and old.options == new.options
    for scan, same in zip(new, old, strict=True):
        assert same.key == scan.key and same.raw().tobytes() == scan.raw().tobytes() and same.damage() is None
    tables = [inspect_store(store).table().partition(":")[2] for store in stores]
    assert tables[0] == tables[1]
    crops = [RandWindowCropd("image", (8, 8, 8))]
    ours, theirs = (WindowDataset(PretrainingScans(store.path, tmp_path, 3).train, crops) for store in stores)
    for sample, same in zip(map(ours.__getitem__, range(6)), map(theirs.__getitem__, range(6)), strict=True):
        assert sample["scan"] == same["scan"] and sample["view"].numpy().tobytes() == same["view"].numpy().tobytes()
    for store in stores:
        upload(store.path, tmp_path / f"{store.path.name}_uploaded")
    sent = [{p.name: p.read_bytes() for p in tmp_path.glob(f"{name}_uploaded/*/*")} for name in ("new", "old")]
    assert sent[0] == sent[1] and len(sent[0]) == 2


@pytest.mark.slow
def test_a_bundle_trains_alike_on_a_store_of_one_folder(tmp_path):
    prepare(sources(tmp_path / "src", range(4), side=24), tmp_path / "new", HERE)
    in_one_folder(tmp_path / "new", tmp_path / "old")
    options = small(BUNDLES / "autoencoder" / "configs" / "pretrain.json", tmp_path / "new", tmp_path, num_workers=2)
    own = {key: value for key, value in options.items() if key not in ("bundle_root", "dataset_dir", "output_dir")}
    weights = []
    for name in ("new", "old"):
        api.pretrain("autoencoder", tmp_path / name, tmp_path / f"{name}_out", **own)
        weights.append(load_file(tmp_path / f"{name}_out" / "encoder.safetensors"))
    assert weights[0] and {key: value.tolist() for key, value in weights[0].items()} == {
        key: value.tolist() for key, value in weights[1].items()
    }


@pytest.mark.parametrize("shards", [1, 2])
def test_a_store_of_one_folder_is_prepared_on_without_moving_anything(stores, tmp_path, shards):
    new, old = stores
    before = files(old)
    sources(tmp_path / "src", range(6, 9))
    for part in range(shards if shards > 1 else 0):
        prepare(tmp_path / "src", old.path, PrepareOptions(workers=0, shard=(part + 1, shards)))
    report = prepare(tmp_path / "src", old.path, HERE)
    assert report.already == (6 if shards == 1 else 9) and report.scans == 9 and not report.failed
    prepare(tmp_path / "src", new.path, HERE)
    new, old = Store(new.path), Store(old.path)
    after = files(old)
    assert {name: after[name] for name in before} == before
    added = {name: content for name, (content, _) in after.items() if name not in before}
    assert len(added) == 6 and added == {name: files(new)[name][0] for name in added}
    assert old.fingerprint == new.fingerprint and [s.patient for s in old] == [s.patient for s in new]
    assert all(np.array_equal(a.raw(), b.raw()) for a, b in zip(old, new, strict=True))


def test_what_is_damaged_in_one_folder_is_mended_there(stores, tmp_path):
    _, old = stores
    before, (one, two, three, *_) = files(old), old
    cut(one.path)
    two.path.with_suffix(".json").unlink()
    three.path.unlink()
    (old.path / "scans" / ".aside-1-x.npy").write_text("half")
    report = prepare(tmp_path / "src", old.path, HERE)
    assert report.prepared == [one.key, two.key, three.key] and report.already == 3
    assert {name: content for name, (content, _) in files(old).items()} == {k: v for k, (v, _) in before.items()}
