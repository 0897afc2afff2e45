"""What the JSON of bundles names, and what a misspelled key says."""

import errno
import json
import logging
import re
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from fire.parser import DefaultParseValue
from ignite.engine import Engine, Events
from method_cases import BUNDLES
from monai.bundle import ConfigParser
from monai.data import MetaTensor
from monai.transforms import Orientation
from PIL import Image

from monai_ssl import bundle
from monai_ssl.bundle.command_line import refuse_unknown_keys, refuse_unread, typed, understand_words
from monai_ssl.bundle.run_recipe import _described
from monai_ssl.bundle.setting_kinds import refuse_other_kinds
from monai_ssl.config_texts import literal
from monai_ssl.data import LabeledImages, PretrainingScans
from monai_ssl.errors import sentence_of
from monai_ssl.handlers import Export
from monai_ssl.methods import Exemplar, Jigsaw, Rubik
from monai_ssl.networks import ConvEncoder
from monai_ssl.samples.phantom import write_phantom_cohort
from monai_ssl.transforms import permutation_table


@pytest.fixture(scope="module")
def cohort(tmp_path_factory):
    root = tmp_path_factory.mktemp("cohort")
    write_phantom_cohort(root, patients=5, shape=(48, 48, 32))
    return root


CONFIG = {
    "lr": 0.1,
    "max_epochs": 2,
    "sizes": [4, 8],
    "model": {"rate": "@lr", "n": "$@max_epochs + 1", "s": "@sizes"},
    "run": ["$@model"],
}


@pytest.fixture
def given(tmp_path):
    """What the user typed, with the file of a configuration."""
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return lambda **keys: {"config_file": str(tmp_path / "config.json"), **{k: str(v) for k, v in keys.items()}}


def test_keys_that_something_reads_pass(given):
    refuse_unknown_keys(given(lr=0.2, tracking_uri="x", **{"model#rate": 3}))
    refuse_unknown_keys(given(custom_run=["$print(1)"]))
    refuse_unknown_keys({})


def test_a_misspelled_key_is_refused_with_the_nearest_one(given, tmp_path):
    with pytest.raises(ValueError, match=r"Nothing in this bundle reads `epoch` \(did you mean `max_epochs`\?\)"):
        refuse_unknown_keys(given(epoch=3))
    with pytest.raises(ValueError, match=r"`qqq`. Keys that can be set: lr, max_epochs, model, sizes;"):
        refuse_unknown_keys(given(**{"qqq#a": 3}))
    (tmp_path / "args.json").write_text(json.dumps({**given(), "epoch": 3}))
    with pytest.raises(ValueError, match="`epoch`"):
        refuse_unknown_keys({"args_file": str(tmp_path / "args.json")})


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("lr", "abc", "`lr` is a number, such as 0.1, got 'abc'"),
        ("model#rate", "abc", "`model#rate` is a number"),
        ("max_epochs", 0, "`max_epochs` must be at least 1, got 0"),
        ("sizes", 8, r"`sizes` is a list of numbers, such as \[4, 8\], got 8"),
    ],
)
def test_a_value_of_another_kind_is_refused(given, key, value, told):
    refuse_unknown_keys(given(lr="$0.1 * 2", max_epochs=3, sizes=[2], **{"model#n": "@max_epochs"}))
    with pytest.raises(ValueError, match=told):
        refuse_unknown_keys(given(**{key: value}))


def test_one_number_stands_for_all_axes_but_not_for_the_window():
    refuse_other_kinds({"gap": [4, 4, 4]}, {"gap": 2})
    for config in ({"roi_size": [64, 64]}, {"gap": [4, 4, 2]}):
        with pytest.raises(ValueError, match="is a list of numbers"):
            refuse_other_kinds(config, dict.fromkeys(config, 2))


def test_what_the_pages_say_for_two_cores_is_taken():
    pages = {}
    for page in BUNDLES.glob("*/docs/README.md"):
        said = re.search(r"On two CPU cores use\s+`(--[^`]+)`", page.read_text())
        if said:
            pages[page.parents[1] / "configs/pretrain.json"] = shlex.split(said[1])
    assert len(pages) > 10
    for config, words in pages.items():
        refuse_unknown_keys({"config_file": str(config), **typed(["run", "pretrain", *words])})


def test_a_run_that_begins_is_not_said_to_resume(caplog):
    caplog.set_level("INFO")
    bundle.setup(0)
    engine = logging.getLogger("ignite.engine.engine.SSLTrainer")
    engine.info("Engine run resuming from iteration 0, epoch 0 until 3 epochs")
    engine.info("Engine run resuming from iteration 30, epoch 1 until 3 epochs")
    assert [message for message in caplog.messages if "resuming" in message] == [
        "Engine run resuming from iteration 30, epoch 1 until 3 epochs"
    ]


@pytest.mark.parametrize(("key", "name"), [("held_out", "validation"), ("disturb#1#prob", "augment")])  # former names
def test_a_former_key_is_refused_with_its_new_name(key, name):
    with pytest.raises(ValueError, match=rf"reads `\w+` \(did you mean `{name}`\?\)"):
        refuse_unknown_keys({"config_file": str(BUNDLES / "moco/configs/pretrain.json"), key: "0.2"})


def test_a_default_that_an_override_orphaned_is_nobodys_mistake(given):
    refuse_unknown_keys(given(model={"n": 3}))
    with pytest.raises(ValueError, match="Nothing in this bundle reads `lr`"):
        refuse_unknown_keys(given(model={"n": 3}, lr=0.5))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("lr", "@max_epoch", r"refers to the key `max_epoch`, .* \(did you mean `@max_epochs`\?\)\.$"),
        ("lr", "$@max_epochs * @rate", "refers to the key `rate`"),
        ("dataset_dir", "@new", r"a folder or file of that name is `--dataset_dir ./@new`\.$"),
        ("dataset_dir", "$HOME/ct", "single quotes.*`--dataset_dir ./[$]HOME/ct`"),
        ("dataset_dir", "${DATA}", "single quotes"),
    ],
)
def test_an_expression_that_refers_to_nothing_is_refused(key, value, message, tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text(json.dumps({**CONFIG, "dataset_dir": "x", "run": ["$@model, @dataset_dir"]}))
    words = {"config_file": str(tmp_path / "config.json"), key: value}
    with pytest.raises(ValueError, match=message):
        refuse_unknown_keys(words)
    if key == "dataset_dir":  # the folder, where there is one
        monkeypatch.chdir(tmp_path)
        (tmp_path / value).mkdir(parents=True)
        refuse_unknown_keys(words)


def test_what_was_typed():
    words = ["run", "pretrain", "--lr=0.1", "--resume", "--dataset_dir", "/a", "--encoder", "{'widths':[2]}", "--x"]
    assert typed(words) == {
        "lr": "0.1",
        "resume": "True",
        "dataset_dir": "/a",
        "encoder": "{'widths':[2]}",
        "x": "True",
    }
    assert typed() == {}


@pytest.mark.parametrize(
    ("key", "word", "meant"),
    [
        ("resume", "true", True),
        ("patience", "null", None),
        ("resume", "2024/checkpoint.pt", "2024/checkpoint.pt"),
        *(
            (key, path, path)
            for key in ("dataset_dir", "weights")
            for path in ("2024", "a,b", "[a]", "ct #1", "1e3", "{x}")
        ),
        ("name", "run #2", "run #2"),
        ("dataset_dir", "'2024'", "2024"),
        ("lr", "0.1", 0.1),
        ("exclude", "None", None),
        *(
            (key, path, path)
            for key in ("output_dir", "datalist", "patients")
            for path in ("/x/run#2", "[a-z]+", "1e3")
        ),
        ("output_dir", "None", "None"),
        ("output_dir", "true", "true"),
        *(("dataset_dir", path, path) for path in ("@there", "$there", "'there'", "-there", "a@b", "50%")),
        ("weights", "@there", "@there"),
    ],
)
def test_words_mean_what_the_user_meant(key, word, meant, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "there" in word:
        (tmp_path / word).touch()
    parser = ConfigParser({key: DefaultParseValue(word), "sum": f"$@{key}", "refs": "$__local_refs"})
    understand_words({key: word}, parser.get_parsed_content("refs"))
    found = parser.get_parsed_content("sum")
    assert found == meant and type(found) is type(meant)


@pytest.mark.parametrize("text", ["a", "/x/run#2", "a'b #@c", "$1 + 1", "%there", "@there", "$there #2"])
def test_texts_of_python_and_studies_mean_what_they_say(text, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    if "there" in text:
        (tmp_path / text).touch()
        text, wanted = literal(text), Path(text)
        assert Path(ConfigParser({"a": text, "b": "$str(@a)"}).get_parsed_content("b")) == wanted
        return
    found = ConfigParser({"a": literal(text), "b": "$str(@a)"}).get_parsed_content("b")
    assert found == ("2" if text.startswith("$") else text)


def test_words_in_parts_of_a_key_are_refused():
    for word in ("false", "a #1"):
        with pytest.raises(ValueError, match=rf"`--b#c {word}` is read as .*: write it as Python does"):
            understand_words({"b#c": word}, {})


def test_pictures_are_turned_without_a_warning_and_nothing_else_is_silenced():
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        bundle.setup(0)
        Orientation("RAS", labels=None)(MetaTensor(torch.zeros(1, 4, 6)))
        assert not [str(w.message) for w in told if "axcodes" in str(w.message)]
        Orientation("RASS", labels=None)(MetaTensor(torch.zeros(1, 4, 6, 5)))
        assert [w for w in told if "axcodes" in str(w.message)]


def test_setup_refuses_before_anything_runs(tmp_path):
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "imports": ["$import monai_ssl", "$import monai_ssl.bundle"],
                "initialize": ["$monai_ssl.bundle.setup(0)"],
                "max_epochs": 1,
                "run": ["$print('ran', @max_epochs)"],
            }
        )
    )
    command = [
        sys.executable,
        "-W",
        "ignore",
        "-m",
        "monai.bundle",
        "run",
        "--config_file",
        str(tmp_path / "config.json"),
    ]
    done = subprocess.run([*command, "--epoch", "1"], capture_output=True, text=True)
    assert done.returncode == 1 and "ran" not in done.stdout and "Traceback" not in done.stderr
    assert "error: Nothing in this bundle reads `epoch` (did you mean `max_epochs`?)" in done.stderr


def assembled(**settings):
    parts = {"method": None, "encoder": None, "scans": None, "crops": [], "views": None, "window_size": (8, 8, 8)}
    run = {"name": "toy", "batch_size": 2, "num_workers": 0, "output_dir": "", "device": "cpu", "seed": 0}
    return bundle.Pretraining(**{**parts, **run, **settings})


def recorded(method, **settings):
    """The parameters that a bundle with these settings records."""
    return assembled(method=method, settings={**settings, "x::y": 1, "o": method}).parameters()


def test_the_record_holds_what_decides_the_labels_and_the_loss():
    """X-10 of docs/properties.md; one hash for one table, whatever the method."""
    encoder = ConvEncoder(widths=(2,))
    settings = {"weights": [0.5, 2], "gap": 3, "jitter": [4, 4, 2], "kept": "target", "exclusive": True}
    rubik = recorded(Rubik(encoder, permutation_table(8, 20)), **settings)
    assert {name: rubik[name] for name in settings} == settings and not {"x::y", "o"} & set(rubik)
    jigsaw, other = (recorded(Jigsaw(encoder, permutation_table(8, 20, seed=s))) for s in (0, 1))
    assert rubik["permutations_sha256"] == jigsaw["permutations_sha256"] != other["permutations_sha256"]
    assert "permutations_sha256" not in recorded(Exemplar(encoder))


def chained(first):
    try:
        try:
            raise first
        except Exception as e:
            raise RuntimeError("MONAI says") from e
    except RuntimeError as e:
        return e


def test_only_our_own_mistakes_become_sentences():
    assert sentence_of(chained(ValueError("of a stranger"))) is None
    try:
        refuse_unread(CONFIG | {"epoch": 3}, ["epoch"])
    except ValueError as e:
        assert sentence_of(chained(e)).startswith("Nothing in this bundle reads `epoch`")


def test_the_end_of_a_run_names_the_encoder(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(Export, "__call__", lambda self, engine: (tmp_path / "encoder.safetensors").touch())
    engine = Engine(lambda engine, batch: None)
    engine.takes_part, engine.first_decides = True, bool
    monkeypatch.setattr(Export, "_is_whole", lambda self, engine: True)
    Export(tmp_path, "byol", "paper", {}, {}).attach(engine)
    with caplog.at_level("INFO"):
        engine.run([0], max_epochs=2)
    (said,) = [r.getMessage() for r in caplog.records if r.name.startswith("monai_ssl")]
    assert f"(`--weights`) is {tmp_path / 'encoder.safetensors'}" in said
    caplog.clear()
    # nothing was written there: a continuation of a run that is already over, into another folder
    nothing = Engine(lambda engine, batch: None)
    nothing.add_event_handler(Events.COMPLETED, Export(tmp_path / "empty", "byol", "paper", {}, {})._tell)
    with caplog.at_level("INFO"):
        nothing.run([0])
    assert "--weights" not in caplog.text


def test_no_more_workers_than_cores(monkeypatch):
    monkeypatch.setattr("monai_ssl.bundle.pretraining.cores", lambda: 2)
    assert [assembled(num_workers=n).loader([0, 1, 2, 3]).num_workers for n in (0, 1, 4)] == [0, 1, 2]


def test_a_mistake_in_a_loader_worker_becomes_its_sentence():
    from monai_ssl.data import WindowDataset, endless_loader
    from monai_ssl.transforms import RandIoUPairCropd

    loader = endless_loader(WindowDataset([torch.rand(1, 64, 64, 3)], [RandIoUPairCropd("image")]), 2, 1)
    with pytest.raises(ValueError) as caught:
        next(iter(loader))
    assert sentence_of(caught.value).startswith("`RandIoUPairCropd` needs at least 8 voxels along every axis")


def test_a_batch_of_one_is_refused():
    with pytest.raises(ValueError, match="`batch_size` must be at least 2"):
        assembled(batch_size=1)


def test_a_raw_tree_is_prepared_once_and_patients_are_kept_for_validation(cohort, tmp_path, capsys):
    scans = PretrainingScans(cohort, tmp_path, 3, validation=0.2)
    assert "was prepared into" in capsys.readouterr().out
    assert not {s.patient for s in scans.train} & {s.patient for s in scans.validation}
    assert len(scans.validation) == max(1, round(0.2 * len({s.patient for s in (*scans.train, *scans.validation)})))
    again = PretrainingScans(tmp_path / "store", tmp_path, 3, validation=0.2)
    assert [s.key for s in again.train] == [s.key for s in scans.train]
    assert scans.facts()["patients"] == len({s.patient for s in scans.train})
    assert not PretrainingScans(tmp_path / "store", tmp_path, 3, validation=0).validation


def test_scans_of_the_wrong_kind_are_refused(cohort, tmp_path):
    write_phantom_cohort(tmp_path / "c", patients=1, shape=(32, 32, 24))
    for image in (tmp_path / "c").rglob("*.png"):
        image.unlink()
    with pytest.raises(ValueError, match=r"holds no 2-D scan, only 3-D: use the bundle's pretrain.json"):
        PretrainingScans(tmp_path / "c", tmp_path / "o", 2)
    with pytest.raises(FileNotFoundError, match=r"does not exist. Give a store or a folder of scans"):
        PretrainingScans(tmp_path / "none", tmp_path, 3)
    with pytest.raises(ValueError, match=r"fraction of the patients in \[0, 1\)"):
        PretrainingScans(tmp_path / "o" / "store", tmp_path, 3, validation=1.0)


def test_labeled_images_of_a_probe(cohort, tmp_path):
    files = sorted(p for p in cohort.rglob("*.nii.gz") if "label" not in str(p))[:3]
    listed = [{"image": str(p), "label": i % 2, "group": i} for i, p in enumerate(files)]
    (tmp_path / "list.json").write_text(json.dumps(listed))
    images = LabeledImages(tmp_path / "list.json", (16, 16, 8), normalize=lambda x: x * 0 + 2)
    assert len(images) == 3 and images[1]["label"] == 1 and images[2]["group"] == 2
    assert torch.equal(images[0]["image"], torch.full((1, 16, 16, 8), 2.0))
    plain = LabeledImages(tmp_path / "list.json", (16, 16, 8), channels=3)[0]["image"]
    assert plain.shape == (3, 16, 16, 8) and 0 <= plain.min() < plain.max() <= 1


def test_what_is_no_list_of_labeled_images_is_refused(tmp_path):
    nothing, infinite = '[{"image": "x"}]', '[{"image": "x", "label": Infinity}]'
    for text in ("{", '{"a": 1}', "7", nothing, infinite, "[" * 200_000):
        (tmp_path / "bad.json").write_text(text)
        with pytest.raises(ValueError, match=r"`probe_list` .*bad.json must be a JSON list"):
            LabeledImages(tmp_path / "bad.json", (8, 8))
    with pytest.raises(ValueError, match=r"`probe_list` .*none.json must be a JSON list"):
        LabeledImages(tmp_path / "none.json", (8, 8))
    for name in "ab":
        Image.fromarray(np.eye(9, dtype=np.uint8) * 200).save(tmp_path / f"{name}.png")
    for place, reason in [("gone.nii", "which does not exist"), (".", "not one image: 2 images found there")]:
        (tmp_path / "gone" / "list.json").parent.mkdir(exist_ok=True)
        (tmp_path / "gone" / "list.json").write_text(json.dumps([{"image": f"../{place}", "label": 0}]))
        with pytest.raises(ValueError, match=rf"`probe_list` .*list.json names .*{reason}"):
            LabeledImages(tmp_path / "gone" / "list.json", (8, 8))[0]


def test_weights_of_another_network_are_refused(tmp_path):
    from monai_ssl.methods import PCRLv2
    from monai_ssl.networks import ConvEncoder, PyramidUNet

    small, large = (PCRLv2(PyramidUNet(ConvEncoder(widths=w))) for w in ((2, 4, 8, 16), (4, 8, 16, 32)))
    torch.save(small.state_dict(), tmp_path / "model.pt")
    bundle.load_method(small, str(tmp_path / "model.pt"))
    with pytest.raises(ValueError, match="another method, preset or width"):
        bundle.load_method(large, str(tmp_path / "model.pt"))
    with pytest.raises(FileNotFoundError, match=r"`weights` names .*none.pt"):
        bundle.load_method(large, str(tmp_path / "none.pt"))


def test_inference_says_what_takes_an_encoder_or_a_store(cohort, tmp_path):
    store = PretrainingScans(cohort, tmp_path, 3, validation=0.0).store.path
    (tmp_path / "encoder.safetensors").touch()
    with pytest.raises(ValueError, match=r"a part of the method: give `model.pt` beside it, or .*monai_ssl embed"):
        bundle.load_method(Exemplar(ConvEncoder(2, widths=(2,))), str(tmp_path / "encoder.safetensors"))
    with pytest.raises(ValueError, match=r"names the store .*: give the folder that it was prepared from, or .*embed"):
        bundle.images(str(store))


@pytest.mark.parametrize("said", [None, "ct"])
def test_inference_scales_an_mr_as_such_unless_the_user_says_otherwise(said, tmp_path):
    """Weights of CT: a window of HU makes one gray of it."""
    image = np.random.default_rng(0).gamma(2.0, 900.0, (16, 16, 12)) + 1001
    nibabel.save(nibabel.Nifti1Image(image.astype(np.int16), np.eye(4)), tmp_path / "mr.nii.gz")
    small = {"widths": [2, 4]}
    inference = bundle.Inference(
        str(BUNDLES / "simclr"), str(tmp_path / "model.pt"), "features", "out", overrides=small, modality=said
    )
    assert (inference.preprocessing({"image": str(tmp_path / "mr.nii.gz")})["image"].std() < 0.01) == (said == "ct")


def test_inference_needs_a_volume(tmp_path):
    with pytest.raises(ValueError, match="holds no image of the formats that are read: DICOM, NIfTI"):
        bundle.images(str(tmp_path))


def test_learning_rate_grows_with_the_batch_of_all_processes(monkeypatch):
    assert bundle.scaled_lr(0.05, 64) == pytest.approx(0.0125)
    monkeypatch.setattr("ignite.distributed.get_world_size", lambda: 4)
    assert bundle.scaled_lr(0.05, 64) == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "A file cannot be written: the disk is full"),
        (PermissionError(errno.EACCES, "Permission denied", "out"), "out cannot be read or written: you have no perm"),
        (OSError(errno.EROFS, "Read-only file system", "out"), "out cannot .*: the disk can only be read"),
    ],
)
def test_what_the_disk_refuses_is_a_sentence(error, words):
    assert re.match(words, sentence_of(chained(error)))


def test_what_a_run_says_of_its_parts_ends_somewhere():
    """However deep objects hold each other, down to the place where only their names are told."""

    class Holder:
        def __init__(self, held):
            self.held = held

    part = 1.5
    for _ in range(20):
        part = Holder(part)
    told, depth = _described(part, 0), 0
    while isinstance(told, dict):
        told, depth = told["held"], depth + 1
    assert told.endswith("Holder") and 3 < depth < 20
