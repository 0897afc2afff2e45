"""Runs of a bundle that are continued: what is missing is made up for, and what is another run is refused."""

import shutil

import pytest
import torch
from ignite.engine import Events
from method_cases import BUNDLES, empty_database, parsed, small
from mlflow.tracking import MlflowClient
from PIL import Image

from monai_ssl.data import PretrainingScans
from monai_ssl.errors import ScanError, sentence_of
from monai_ssl.handlers import StartFrom
from monai_ssl.samples.phantom import phantom_xray
from monai_ssl.store.prepare import PrepareOptions, prepare
from monai_ssl.store.store import Store
from monai_ssl.transfer import read_card

BUNDLE = BUNDLES / "models_genesis" / "configs" / "pretrain_2d.json"
RESULTS = ["encoder.safetensors", "encoder.safetensors.card.json", "unet.safetensors", "MODEL_CARD.md", "model.pt"]
RESULTS += ["model.json", "pictures/epoch_0002.png"]


def make_store(root, seeds):
    for seed in seeds:
        (root / "raw" / f"patient{seed}").mkdir(parents=True)
        Image.fromarray(phantom_xray(seed, (80, 80))[0].T).save(root / "raw" / f"patient{seed}" / "image.png")
    prepare(root / "raw", root / "store", PrepareOptions(workers=0))
    return root / "store"


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    return make_store(tmp_path_factory.mktemp("data"), range(4))


def trainer_of(store, out, **more):
    if not (out / "mlruns.db").is_file():
        out.mkdir(parents=True, exist_ok=True)
        (out / "mlruns.db").write_bytes(empty_database())
    options = {"max_epochs": 2, "validation": 0.0, "roi_size": [32, 32], "windows_per_scan": 2} | more
    parser = parsed(BUNDLE, small(BUNDLE, store, out, **options))
    parser.get_parsed_content("initialize")
    return parser.get_parsed_content("train#trainer")


@pytest.fixture(scope="module")
def finished(store, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "finished"
    trainer_of(store, out).run()
    return out


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def status(out):
    client = MlflowClient(f"sqlite:///{out / 'mlruns.db'}")
    experiment = client.get_experiment_by_name("monai_ssl").experiment_id
    return [found.info.status for found in client.search_runs([experiment])]


@pytest.mark.parametrize("lost", [*([name] for name in RESULTS), RESULTS])
def test_what_a_finished_run_lost_is_made_up_for_to_the_byte(store, run, lost):
    before = {name: (run / name).read_bytes() for name in RESULTS}
    for name in lost:
        (run / name).unlink()
    (run / "encoder.safetensors").write_bytes(b"half") if lost == RESULTS else None
    trainer_of(store, run, resume=True).run()
    assert {name: (run / name).read_bytes() for name in RESULTS} == before


def test_the_pictures_of_a_continued_run_show_the_batch_of_its_beginning(store, finished, tmp_path):
    stopped = trainer_of(store, tmp_path)
    stopped.add_event_handler(Events.EPOCH_COMPLETED(once=1), lambda engine: engine.terminate())
    stopped.run()
    trainer_of(store, tmp_path, resume=True).run()
    sheets = [(folder / "pictures" / "epoch_0002.png").read_bytes() for folder in (tmp_path, finished)]
    assert sheets[0] == sheets[1]


def test_a_missing_validation_scan_ends_the_run_and_its_continuation_has_the_same_best(store, tmp_path):
    copied = shutil.copytree(store, tmp_path / "store")
    scan = PretrainingScans(copied, tmp_path / "scans", 2, validation=0.34).validation[0]
    away = scan.path.rename(tmp_path / "away.npy")
    with pytest.raises(ScanError, match=f"Scan {scan.key} of the store cannot be opened") as caught:
        trainer_of(copied, tmp_path / "run", validation=0.34).run()
    assert "--resume true" in sentence_of(caught.value)
    away.rename(scan.path)
    trainer_of(copied, tmp_path / "run", validation=0.34, resume=True).run()
    trainer_of(copied, tmp_path / "alone", validation=0.34).run()
    continued, alone = (torch.load(tmp_path / run / "best.pt", weights_only=True) for run in ("run", "alone"))
    assert continued["best"] == alone["best"]
    assert all(value.equal(alone["method"][name]) for name, value in continued["method"].items())


def test_another_run_is_refused_and_leaves_no_trace(store, run, tmp_path):
    others = make_store(tmp_path / "others", range(10, 14))
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file() and path.name != ".lock"}
    for more, said in (
        ({"width": 8}, "`width` was 4 and is now 8"),
        ({"dataset_dir": str(others)}, r"`dataset_dir` was 4 scans of 4 patients \(\w+\) and is now 4 scans"),
        ({"views#transforms#1#names": "other"}, r"`views#transforms#1#names` was \['target'\] and is now \['other'\]"),
        ({"windows_per_scan": 4}, "`windows_per_scan` was 2 and is now 4"),
    ):
        with pytest.raises(ValueError, match=said):
            trainer_of(store, run, **{"resume": True, "max_epochs": 3} | more).run()
    assert status(run) == ["FINISHED"]
    assert all(path.read_bytes() == content for path, content in before.items() if path.suffix != ".db")
    # the folder is free again
    trainer_of(store, run, resume=True, max_epochs=3, num_workers=1).run()


def test_the_card_names_every_data_set(store, run, tmp_path):
    others = make_store(tmp_path / "others", range(10, 14))
    trainer_of(others, run, resume=run / "checkpoint.pt", max_epochs=3).run()
    trainer_of(others, run, resume=True, max_epochs=4).run()
    card, first, last = read_card(run / "encoder.safetensors"), Store(store).fingerprint, Store(others).fingerprint
    assert (card.earlier_data, card.data_fingerprint) == ((first,), last) and first != last
    assert f"`{last}`, before that `{first}`" in (run / "MODEL_CARD.md").read_text()
    for file in ("model.pt", "checkpoint.pt"):
        trainer = trainer_of(store, tmp_path / "next")
        trainer.data_seen = []
        StartFrom(run / file).attach(trainer)
        assert trainer.data_seen == [first, last]
