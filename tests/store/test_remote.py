"""Stores on object storage: a loopback S3 (moto), whose requests are counted."""

import json
import logging
import multiprocessing
import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest
from filelock import FileLock
from fire.parser import DefaultParseValue
from method_cases import BUNDLES, small
from monai.bundle import ConfigParser
from safetensors.torch import load_file

from monai_ssl import api
from monai_ssl.bundle.command_line import typed, understand_words
from monai_ssl.cli import main
from monai_ssl.data import PretrainingScans, WindowDataset
from monai_ssl.samples.phantom import write_phantom_cohort
from monai_ssl.store import PrepareOptions, Store, array_maps, inspect_store, prepare
from monai_ssl.store.remote import storage
from monai_ssl.store.remote.cache import Cache
from monai_ssl.store.remote.opening import open_uploaded
from monai_ssl.store.remote.upload import upload
from monai_ssl.transforms import RandWindowCropd

WINDOW = slice(None), slice(2, 9), slice(0, 16, 3)
SHARD = 25_000
"""Bytes, of two scans of the local store."""


class Requests(logging.Handler):
    """What the server was asked for."""

    def __init__(self):
        super().__init__(logging.INFO)
        self.lines = []

    def emit(self, record):
        self.lines.append(record.getMessage())

    def of_shards(self):
        return [line for line in self.lines if "GET" in line and "/shards/" in line]


@pytest.fixture(scope="module")
def server():
    """A bucket, and what its server was asked for; credentials and endpoint stand in the environment."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    requests, logger = Requests(), logging.getLogger("werkzeug")
    logger.setLevel(logging.INFO)
    logger.addHandler(requests)
    logger.propagate = False
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"ENDPOINT_URL": f"http://{host}:{port}", "DEFAULT_REGION": "us-east-1"}.items():
            patch.setenv(f"AWS_{name}", value)
        patch.setenv("AWS_ACCESS_KEY_ID", "anybody")
        patch.setenv("AWS_SECRET_ACCESS_KEY", "hush-hush")
        fsspec.filesystem("s3").mkdir("bucket")
        yield requests
    server.stop()


@pytest.fixture(scope="module")
def local(tmp_path_factory):
    """A store of compressed and uncompressed scans."""
    root = tmp_path_factory.mktemp("local")
    write_phantom_cohort(root / "raw", 4, shape=(16, 16, 16))
    first = next(path for path in sorted((root / "raw" / "ct").rglob("*.nii.gz")))
    prepare(first, root / "store", PrepareOptions(workers=0))
    prepare(root / "raw", root / "store", PrepareOptions(workers=0, compress=True))
    return root / "store"


@pytest.fixture(scope="module")
def url(server, local):
    upload(local, "s3://bucket/ct/", SHARD)
    return "s3://bucket/ct"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Nothing fetched before, nothing mapped, no waiting between tries."""
    monkeypatch.setenv("MONAI_SSL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(storage, "_WAIT", 0)
    array_maps._maps.clear()
    return tmp_path / "cache" / "scans"


def stored(place):
    return fsspec.filesystem("s3").find(place)


def test_windows_are_those_of_the_store_and_are_fetched_once(server, url, local, cache, tmp_path):
    here, there = Store(local), Store(url)
    server.lines.clear()
    assert {scan.compression for scan in here} == {None, "blosc2"} and there.fingerprint == here.fingerprint
    for scan, same in zip(here, there, strict=True):
        assert same.key == scan.key and same.patient == scan.patient and same.damage() is None
        assert same[WINDOW].tobytes() == scan[WINDOW].tobytes() and same.raw().tobytes() == scan.raw().tobytes()
    assert len(server.of_shards()) == len(here)
    array_maps._maps.clear()
    again = [scan[WINDOW] for scan in Store(url)]
    assert len(server.of_shards()) == len(here) and len(again) == len(here)
    assert pickle.loads(pickle.dumps(there))[0].raw().tobytes() == here[0].raw().tobytes()
    # the same samples in the same order, whichever of the two is trained on
    crops = [RandWindowCropd("image", (8, 8, 8))]
    ours, theirs = (WindowDataset(PretrainingScans(place, tmp_path, 3).train, crops) for place in (local, url))
    for sample, same in zip(map(ours.__getitem__, range(3)), map(theirs.__getitem__, range(3)), strict=True):
        assert sample["scan"] == same["scan"] and sample["view"].numpy().tobytes() == same["view"].numpy().tobytes()
    assert inspect_store(there).megabytes == inspect_store(here).megabytes


def test_nothing_private_is_uploaded_and_shards_are_plain_tar_files(url, local, tmp_path):
    import tarfile

    secret = (local / "private" / "secret").read_bytes()
    names = stored("bucket/ct")
    contents = {name: fsspec.filesystem("s3").cat_file(name) for name in names}
    assert not any("private" in name or secret in content for name, content in contents.items())
    shards = [content for name, content in contents.items() if name.endswith(".tar")]
    assert len(shards) > 1
    members = {}
    for number, content in enumerate(shards):
        (tmp_path / f"{number}.tar").write_bytes(content)
        with tarfile.open(tmp_path / f"{number}.tar") as archive:
            members.update({member.name: archive.extractfile(member).read() for member in archive})
    assert members == {scan.path.name: scan.path.read_bytes() for scan in Store(local)}


def test_an_upload_goes_on_and_grows_without_disturbing_who_reads(server, local, tmp_path):
    raw, place = local.parent / "raw", "s3://bucket/grown"
    scans = sorted((raw / "ct").rglob("*.nii.gz"))
    prepare(scans[0].parent, tmp_path / "grown", PrepareOptions(workers=0))
    assert upload(tmp_path / "grown", place).already == 0
    (former,) = Store(place)
    prepare(raw, tmp_path / "grown", PrepareOptions(workers=0))
    server.lines.clear()
    done = upload(tmp_path / "grown", place, SHARD)
    assert done.already == 1 < done.scans == len(Store(place)) and done.shards
    grown = Store(tmp_path / "grown")
    assert former.raw().tobytes() == next(scan for scan in grown if scan.key == former.key).raw().tobytes()
    # as if it had been killed before the manifest, and no shard were whole; the second time all have their names
    for _ in range(2):
        fsspec.filesystem("s3").rm(f"{place}/uploaded_store.json")
        for name in stored(place):
            if name.endswith(".tar"):
                fsspec.filesystem("s3").pipe_file(name, b"half")
        again = upload(tmp_path / "grown", place, SHARD)
        assert again.shards >= 1 and again.scans == done.scans
    for scan, same in zip(grown, Store(place), strict=True):
        assert same.raw().tobytes() == scan.raw().tobytes()
    write_phantom_cohort(tmp_path / "raw", 1, seed=9, shape=(16, 16, 16))
    prepare(tmp_path / "raw", tmp_path / "other", PrepareOptions(workers=0))
    with pytest.raises(ValueError, match=r"holds 4 scans that this store lacks: it is another store"):
        upload(tmp_path / "other", place)


@pytest.mark.parametrize("how", ["changed", "cut", "gone"])
def test_what_is_not_as_it_was_uploaded_is_refused_with_its_name(local, cache, tmp_path, how):
    upload(local, tmp_path / "out")
    (shard,) = (tmp_path / "out" / "shards").glob("*.tar")
    content = bytearray(shard.read_bytes())
    content[Store(tmp_path / "out")[0]._record["offset"] + 200] ^= 1
    shard.unlink()
    if how != "gone":
        shard.write_bytes(content if how == "changed" else content[:900])
    scan = Store(tmp_path / "out")[0]
    what = {"changed": "is not what was uploaded", "cut": "was cut short", "gone": "there is no"}[how]
    with pytest.raises(ValueError, match=f"Scan {scan.key} of the store .*(?s:.*)") as told:
        scan[WINDOW]
    assert what in str(told.value) and str(shard) in str(told.value) and "upload" in str(told.value)
    assert not [path for path in cache.iterdir() if path.name not in (".lock", ".bytes")]


def test_a_manifest_that_was_changed_is_refused(local, tmp_path):
    upload(local, tmp_path / "out")
    (manifest,) = (tmp_path / "out" / "manifests").iterdir()
    manifest.write_text(manifest.read_text().replace('"ct"', '"mr"', 1))
    with pytest.raises(ValueError, match=rf"{manifest} is not what was uploaded"):
        Store(tmp_path / "out")
    (tmp_path / "out" / "uploaded_store.json").write_text(json.dumps({"format": 1, "manifest": "../../secret"}))
    with pytest.raises(ValueError, match="is damaged"):
        open_uploaded(tmp_path / "out")


def _fill(folder, seed):
    cache = Cache(folder, 1000)
    for number in np.random.default_rng(seed).integers(0, 40, 25):
        with cache.adding(str(number), 90) as file:
            file.write(bytes([number]) * 90)
        # files are deleted under this lock alone
        with FileLock(folder / ".lock"):
            held = sum(path.stat().st_size for path in folder.glob("[0-9]*"))
        assert held <= 1000, held


def test_a_cache_that_several_processes_fill_stays_within_its_limit(tmp_path):
    fork = multiprocessing.get_context("fork")
    processes = [fork.Process(target=_fill, args=(tmp_path, seed)) for seed in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    held = list(tmp_path.glob("[0-9]*"))
    assert held and all(path.read_bytes() == bytes([int(path.name)]) * 90 for path in held)
    assert not list(tmp_path.glob(".aside-*"))


def test_what_was_opened_longest_ago_makes_room(url, cache, monkeypatch):
    sizes = [scan.size for scan in Store(url)]
    monkeypatch.setenv("MONAI_SSL_CACHE_SIZE", f"{2 * max(sizes)}B")
    scans = list(Store(url))
    for scan in scans:
        scan[WINDOW]
        assert sum(path.stat().st_size for path in cache.glob("[0-9a-f]*")) <= 2 * max(sizes)
    assert scans[-1].path.exists() and not scans[0].path.exists()
    # mapped still, and fetched again when it is not
    before = scans[0][WINDOW]
    array_maps._maps.clear()
    np.testing.assert_array_equal(scans[0][WINDOW], before)
    monkeypatch.setenv("MONAI_SSL_CACHE_SIZE", "1KB")
    array_maps._maps.clear()
    with pytest.raises(ValueError, match="limit is 1000: raise `MONAI_SSL_CACHE_SIZE`"):
        Store(url)[1][WINDOW]


def test_places_that_cannot_be_are_told(url, local, tmp_path, capsys):
    for words, told in (
        (["prepare", str(local.parent / "raw"), url], "is only read"),
        (["prepare", url, str(tmp_path / "new")], "is only read"),
        (["upload", str(tmp_path), url], "is not a store"),
        (["upload", str(local), str(local.parent)], "is not empty"),
        (["upload", str(local), url, "--shard-size", "big"], "must be a size"),
        (["inspect", "s3://bucket/none"], "holds no uploaded store"),
        (["inspect", "s3://me:hush@bucket/ct"], "came with a password"),
        (["inspect", "nosuch://bucket/ct"], "Protocol not known"),
    ):
        try:
            code = main(words)
        except SystemExit as stop:
            code = stop.code
        error = capsys.readouterr().err
        assert code == 2 and told in error and "hush" not in error and "Traceback" not in error, (words, error)


def test_a_url_typed_behind_the_stock_command_stays_what_it_is(url):
    references = {}
    words = typed(["run", "pretrain", "--dataset_dir", url])
    understand_words(words, references)
    assert references.get("dataset_dir", DefaultParseValue(words["dataset_dir"])) == url
    assert ConfigParser({"dataset_dir": url}).get_parsed_content("dataset_dir") == url


@pytest.mark.slow
def test_a_bundle_trains_alike_on_the_url(server, url, local, cache, tmp_path, caplog, capfd):
    config = BUNDLES / "autoencoder" / "configs" / "pretrain.json"
    options = small(config, url, tmp_path, num_workers=2)
    own = {key: value for key, value in options.items() if key not in ("bundle_root", "dataset_dir", "output_dir")}
    weights = []
    for place, out in ((local, tmp_path / "here"), (url, tmp_path / "there")):
        api.pretrain("autoencoder", place, out, **own)
        weights.append({name: value.tolist() for name, value in load_file(out / "encoder.safetensors").items()})
    assert weights[0] == weights[1] and any(cache.glob("[0-9a-f]*"))
    records = [*Path.cwd().glob("*.db"), *tmp_path.rglob("*")]
    written = [path.read_bytes() for path in records if path.is_file()] + ["".join(capfd.readouterr()).encode()]
    assert "hush-hush" not in caplog.text and not any(b"hush-hush" in content for content in written)
