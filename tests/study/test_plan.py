"""The study file: read, checked, turned into arms."""

import copy
import json
import sys
from pathlib import Path
from types import ModuleType

import nibabel as nib
import numpy as np
import pytest
import torch

from monai_ssl.cli import main
from monai_ssl.networks import ConvEncoder, EncoderClassifier, ResNetEncoder
from monai_ssl.store import PrepareOptions, prepare
from monai_ssl.study.matrix import arms
from monai_ssl.study.plan import check_study, read_study
from monai_ssl.study.plan.bundle_files import encoder_name, encoder_recipe, parsed, read_config, spatial_dims
from monai_ssl.study.plan.without_memory import without_memory
from monai_ssl.study.run_study import run_study, table_of
from monai_ssl.study.tuning import candidates
from monai_ssl.transfer import ModelCard, export_weights

SMOKE = Path(__file__).parents[2] / "studies/smoke.json"
STUDY = json.loads(SMOKE.read_text())
BATCH_NORM = {"_target_": "monai_ssl.networks.ConvEncoder", "widths": [2, 4, 8, 8]}
CONFIGS = sorted((SMOKE.parents[1] / "bundles").glob("*/configs/pretrain*.json"))


def changed(**changes):
    study = copy.deepcopy(STUDY)
    for key, value in changes.items():
        *levels, last = key.split("__")
        place = study
        for level in levels:
            place = place[level]
        if value is None:
            del place[last]
        else:
            place[last] = value
    return study


def check(**changes):
    return check_study(changed(**changes), SMOKE.parent)


def test_the_smoke_study():
    study = read_study(SMOKE, {"seeds": [4], "tasks#lungs#overrides#lr": 0.5})
    assert study.seeds == (4,) and study.labels == (1, 3) and list(study.schemes) == ["full"]
    (task,) = study.tasks
    assert task.overrides["lr"] == 0.5 and task.dims == 3 and task.metric == "dice" and task.higher_is_better
    first, second = study.pretraining
    assert first.encoder["widths"] == [4, 8, 16, 32] and first.overrides["roi_size"] == [32, 32, 16]
    assert second.overrides["roi_size"] == [16, 16, 16], "the override of a method wins over the shared one"
    assert [arm.method for arm in arms(study)] == ["scratch", "models_genesis", "rotation"]
    assert "3 arms x 2 numbers of labels (1, 3) x 1 seeds = 6 cells" in table_of(study)


def test_shared_overrides_go_where_the_bundle_has_the_key():
    flat = {"bundle": "rotation", "config": "pretrain_2d", "dataset_dir": "phantoms:xray"}
    study = check(shared__pretraining__width=4, pretraining__flat=flat)
    assert [method.name for method in study.pretraining if "width" in method.overrides] == ["flat"]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"tasks": None}, "The study needs `tasks`"),
        ({"taks": {}}, "The study has an unknown key `taks`: did you mean `tasks`"),
        ({"seeds": [0, "1"]}, "`seeds` must be a list of whole numbers"),
        ({"seeds": []}, "`seeds` must be a list of whole numbers"),
        ({"labels": [0]}, "`labels` must be a list of numbers of patients"),
        ({"labels": [1.5]}, "`labels` must be a list of numbers of patients"),
        ({"labels": 5}, "`labels` must be a list of numbers of patients"),
        ({"select": "luck"}, "`select` must be 'last' or 'best'"),
        ({"pretraining__rotation__config": "Ä" * 125}, "`pretraining#rotation#config` is too long for the name"),
        ({"tasks__lungs__dataset_dir": "a/" * 1500}, "`tasks#lungs#dataset_dir` is too long for the name of a file"),
        ({"target_bn_batches": -1}, "`target_bn_batches` must be a whole number of 0 or more, got -1"),
        ({"target_bn_batches": True}, "`target_bn_batches` must be a whole number of 0 or more, got True"),
        ({"allow_leak": "perhaps"}, "`allow_leak` must be true or false, got 'perhaps'"),
        ({"pretrain": "twice"}, "`pretrain` must be 'once' or 'per_seed', got 'twice'"),
        (
            {"pretrain": "per_seed", "pretraining__rotation__overrides": {"seed": 3}},
            "`pretraining#rotation#overrides#seed`: `pretrain` 'per_seed' sets it",
        ),
        ({"schemes": ["frozen"]}, "`schemes#frozen` needs `scheme`, one of"),
        ({"schemes": []}, "`schemes` is empty"),
        ({"schemes": {"slow": {"scheme": "full", "rate": 1}}}, "`schemes#slow` has an unknown key `rate`"),
        ({"tune": {"widths": [4]}}, "`tune` has an unknown key `widths`"),
        ({"tune": {"lr": 0.1}}, "`tune#lr` must be a list of different numbers above 0, got 0.1"),
        ({"tune": {"lr": [0.1, 0.1]}}, "`tune#lr` must be a list of different numbers above 0"),
        ({"tune": {"max_epochs": [1.5]}}, "`tune#max_epochs` must be a list of different numbers"),
        ({"tune": {"lr": [0.1]}, "tune_seeds": 9}, "`tune_seeds` must be from 1 to 2"),
        ({"pretraining__scratch": {}}, "training from scratch is always part"),
        ({"pretraining__rotation__dataset_dir": None}, "`pretraining#rotation` needs `dataset_dir`"),
        ({"pretraining__rotation__bundle": "rotate"}, "`pretraining#rotation#bundle`: .* did you mean `rotation`"),
        ({"pretraining__rotation__config": "train"}, "`pretraining#rotation#config` is 'train', but rotation has only"),
        ({"pretraining__rotation__overrides": {"epoch": 3}}, "`pretraining#rotation#overrides` sets `epoch`"),
        ({"pretraining__rotation__overrides": {"exclude": "x"}}, "sets `exclude`, which the study decides"),
        ({"pretraining__rotation": 3}, "`pretraining` must be an object of objects"),
        ({"pretraining__rotation": {"weights": "no.safetensors"}}, "`pretraining#rotation#weights` names .* not exist"),
        ({"pretraining__rotation__config": "pretrain_2d"}, "`pretraining#rotation` has a 2-D encoder, and no task"),
        ({"tasks__lungs__bundle": "detection"}, "`tasks#lungs#bundle`: There is no bundle `detection`"),
        ({"tasks__lungs__dataset_dir": None}, "`tasks#lungs` needs `dataset_dir`"),
        ({"tasks__lungs__metric": "auc"}, "`tasks#lungs#metric` must be 'dice', .*'recall' or 'hd95', got 'auc'"),
        ({"tasks__lungs__imbalance": 2}, "`tasks#lungs#imbalance` must be between 0 and 1"),
        ({"tasks__lungs__hard_cutoff": "low"}, "`tasks#lungs#hard_cutoff` must be between 0 and 1"),
        ({"tasks__lungs__hard_cutoff": 0.4, "tasks__lungs__metric": "hd95"}, "is for metrics of which more is better"),
        ({"tasks__lungs__higher_is_better": False}, "`tasks#lungs#higher_is_better` must be true for dice"),
        ({"tasks__lungs__test_share": 1.0}, "`tasks#lungs#test_share` must be between 0 and 1"),
        ({"tasks__lungs__overrides": {"lable": {}}}, "`tasks#lungs#overrides` sets `lable`.*mean `labels`"),
        ({"tasks__lungs__overrides": {"seed": 1}}, "sets `seed`, which the study decides"),
        ({"tasks__lungs__bundle": "rotation"}, "`tasks#lungs#bundle` is 'rotation', which trains on no labels"),
        ({"tasks__lungs__overrides__labels": {"lungs": 0}}, "`tasks#lungs`: `labels` must give each structure its own"),
        ({"tasks__lungs__overrides__metric": "iou"}, "sets `metric`, which the study decides"),
        ({"shared": {"widths": [4]}}, "`shared` has an unknown key `widths`"),
        ({"shared__pretraining__held_out": 0}, "sets `held_out`, which no bundle .* mean `validation`"),  # former name
        ({"shared__tasks__learning_rate": 1}, "`shared#tasks` sets `learning_rate`, which no bundle of the study has"),
    ],
)  # fmt: skip
def test_mistakes_name_the_key(changes, match):
    with pytest.raises(ValueError, match=match):
        arms(check(**changes))


def test_files_that_are_no_study(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no study file"):
        read_study(tmp_path / "none.json")
    (tmp_path / "a.json").write_text("{")
    with pytest.raises(ValueError, match="is not valid JSON"):
        read_study(tmp_path / "a.json")
    (tmp_path / "a.json").write_text("[]")
    with pytest.raises(ValueError, match="must be an object"):
        read_study(tmp_path / "a.json")
    with pytest.raises(ValueError, match="the study file has no `taks` to change"):
        read_study(SMOKE, {"taks#lungs": 1})


def weights(path, encoder, recipe):
    return export_weights(EncoderClassifier(encoder, 2), path, ModelCard("x", "paper", recipe, "ct")) and path.name


def test_each_kind_of_encoder_has_its_scratch(tmp_path):
    recipe = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "in_channels": 1, "widths": [2, 4]}
    other = {**recipe, "widths": [4, 8], "in_channels": 2}
    flat = {"_target_": "monai_ssl.networks.ResNetEncoder", "spatial_dims": 2, "in_channels": 1, "width": 2}
    files = {
        "a": weights(tmp_path / "a.safetensors", ConvEncoder(3, 1, (2, 4)), recipe),
        "b": weights(tmp_path / "b.safetensors", ConvEncoder(3, 1, (2, 4)), {**recipe, "in_channels": 3}),
        "c": weights(tmp_path / "c.safetensors", ConvEncoder(3, 2, (4, 8)), other),
        "d": weights(tmp_path / "d.safetensors", ResNetEncoder(2, 1, 2), flat),
        "e": weights(tmp_path / "e.safetensors", ResNetEncoder(2, 1, 2), {**flat, "depth": 18}),
    }
    task = STUDY["tasks"]["lungs"]
    pictures = {"bundle": "classification", "dataset_dir": "phantoms:xray", "overrides": {"image_size": [32, 32]}}
    content = changed(pretraining={n: {"weights": f} for n, f in files.items()}, tasks={"three": task, "two": pictures})
    content |= {"schemes": {"full": {}, "slow": {"scheme": "full", "lr": 0.1}}, "shared": {}}
    found = arms(check_study(content, tmp_path))
    scratch = {(a.task.name, a.method): encoder_name(a.encoder) for a in found if a.pretraining is None}
    assert scratch == {
        ("three", "scratch"): encoder_name(recipe),
        ("three", f"scratch ({encoder_name(other)})"): encoder_name(other),
        ("two", "scratch"): encoder_name(flat),
    }
    # a probe has a baseline of its own: the same network untrained, without a rate to tune
    probing = arms(check_study(content | {"schemes": {"full": {}, "probe": {}}}, tmp_path))
    untrained = [(a.task.name, a.method) for a in probing if a.pretraining is None and a.scheme == "probe"]
    assert untrained == [(a.task.name, a.method) for a in found if a.pretraining is None]
    assert candidates({"lr": [0.1, 0.2]}, "probe") == []
    # from scratch nothing is to be kept: it trains in full, whatever the schemes of the others
    assert {a.scheme for a in found if a.pretraining is None} == {"full"}
    trained = {(a.task.name, a.method, a.scheme) for a in found if a.pretraining is not None}
    assert trained == {(t, m, s) for t, ms in (("three", "abc"), ("two", "de")) for m in ms for s in ("full", "slow")}


def test_weights_without_a_card_are_refused(tmp_path):
    (tmp_path / "a.pt").write_bytes(b"x")
    content = changed(pretraining={"a": {"weights": "a.pt"}})
    with pytest.raises(ValueError, match=r"a\.pt has no model card"):
        check_study(content, tmp_path)


def test_dry_run(capsys, tmp_path):
    assert main(["study", str(SMOKE), "--dry-run", "--output_dir", str(tmp_path / "out")]) == 0
    assert "2 pre-trainings; 3 arms" in capsys.readouterr().out and not (tmp_path / "out").exists()
    assert main(["study", str(SMOKE), "--workers", "0"]) == 2
    assert "`--workers` must be at least 1, got 0" in capsys.readouterr().err


def test_a_dry_run_says_what_is_in_the_data_and_what_is_missing(capsys, tmp_path):
    for patient in range(10):
        for name in ("benign", "malignant"):
            (tmp_path / "lesions" / name).mkdir(parents=True, exist_ok=True)
            (tmp_path / "lesions" / name / f"{name}{patient}.png").touch()
    (tmp_path / "scans").mkdir()
    for number in range(3):
        image = nib.Nifti1Image(np.arange(512, dtype=np.int16).reshape(8, 8, 8) + number, np.eye(4))
        nib.save(image, tmp_path / "scans" / f"scan{number}.nii.gz")
    prepare(tmp_path / "scans", tmp_path / "store", PrepareOptions(modality="ct", workers=0))
    overrides = {
        "tasks": {
            "lesion": {
                "bundle": "classification",
                "metric": "auc",
                "dataset_dir": "lesions",
                "overrides": {"classes": ["benign", "malignant"]},
            },
            "liver": {"bundle": "segmentation", "dataset_dir": "nowhere", "overrides": {"num_classes": 2}},
        },
        "pretraining": {
            "rotation": {"dataset_dir": "store"},
            "byol": {"dataset_dir": "scans"},
            "simclr": {"dataset_dir": "missing"},
            # a memory bank is as large as a store that is not there yet
            "pirl": {"dataset_dir": "scans"},
            "spark": {"dataset_dir": "scans", "overrides": {"encoder": BATCH_NORM}},
        },
    }
    study = tmp_path / "study.json"
    study.write_text(json.dumps({"name": "dry", "output_dir": "out", "seeds": [0], "labels": [2], **overrides}))
    assert main(["study", str(study), "--dry-run"]) == 1
    said = capsys.readouterr().out
    assert "task lesion: 12 training patients, 4 validation patients, 4 test patients\n" in said
    assert f"task liver CANNOT START: There is no folder `{tmp_path / 'nowhere'}`" in said
    assert f"pre-training: 3 scans in the store {tmp_path / 'store'}\n" in said
    assert f"pre-training: {tmp_path / 'scans'} is not a store; it will be prepared once\n" in said
    assert f"pre-training CANNOT START: There is no folder `{tmp_path / 'missing'}`" in said
    assert "pre-training CANNOT START: `pretraining#spark`: Sparse convolutions know instance norm only" in said
    assert said.count("CANNOT START") == 3
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("value", "meant"), [(True, True), ("true", True), ("True", True), ("false", False)])
def test_switches_are_read_as_a_command_line_gives_them(value, meant):
    study = check_study(changed(allow_leak=value, leave_out_labeled=value), SMOKE.parent)
    assert (study.allow_leak, study.leave_out_labeled) == (meant, meant)


def test_no_study_begins_with_a_method_that_cannot_be_built(tmp_path):
    study = check(
        output_dir=str(tmp_path),
        pretraining={"spark": {"dataset_dir": "phantoms:ct", "overrides": {"encoder": BATCH_NORM}}},
        shared={},
    )
    with pytest.raises(ValueError, match="`pretraining#spark`: Sparse convolutions know instance norm only"):
        run_study(study)
    assert not (tmp_path / "logs").exists()


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: f"{path.parents[1].name}-{path.stem}")
def test_every_bundle_can_be_in_a_study(config):
    """Its encoder is built without memory, told by a recipe, and built again by it, MONAI's networks too."""
    recipe = encoder_recipe(read_config(config.parents[1], config.stem, {}, "here"), "here")
    assert spatial_dims(recipe) == (2 if config.stem == "pretrain_2d" else 3)


def test_a_class_is_found_by_its_bare_name_in_a_module_that_is_loaded_later(tmp_path, monkeypatch):
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs/pretrain.json").write_text(
        '{"first": {"_target_": "SegResNet"}, "later": {"_target_": "Later"}}'
    )
    assert parsed(read_config(tmp_path, "pretrain", {}, "here"), "first", "here").training
    module = ModuleType("monai_later")
    module.Later = type("Later", (), {"__module__": "monai_later"})
    monkeypatch.setitem(sys.modules, "monai_later", module)
    assert isinstance(parsed(read_config(tmp_path, "pretrain", {}, "here"), "later", "here"), module.Later)


def test_without_memory_only_what_has_none_is_not_drawn():
    with without_memory():
        drawn = torch.full((9,), 7.0, device="cpu").normal_()
        assert torch.nn.Linear(2, 3).weight.is_meta
    assert (drawn != 7).all()
