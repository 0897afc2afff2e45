"""Which parts of which pre-training a task starts from: encoder, decoder or both, of one method or of two."""

import json
from pathlib import Path

import pytest

from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.matrix import arms
from monai_ssl.study.plan import check_study
from monai_ssl.study.run_study import run_study, table_of
from monai_ssl.study.study_data import prepare_study

SMOKE = json.loads((Path(__file__).parents[2] / "studies/smoke.json").read_text())
WIDTHS = {"widths": [4, 8, 16, 32]}
GENESIS = {"bundle": "models_genesis", "dataset_dir": "phantoms:ct"}
METHODS = {
    "genesis": {**GENESIS, "part": "both"},
    "its decoder": {"from": "genesis", "part": "decoder", "schemes": ["fixed"]},
    "rotation": {"dataset_dir": "phantoms:ct", "overrides": {"roi_size": [16, 16, 16]}},
    "two": {"from": "rotation", "decoder": "genesis"},
}


def check(base, tasks=None, schemes=("full", "fixed"), **methods):
    tasks = tasks or SMOKE["tasks"]
    return check_study({**SMOKE, "pretraining": methods, "tasks": tasks, "schemes": list(schemes)}, base)


def test_methods_say_what_is_transferred_and_how(tmp_path):
    study = check(tmp_path, **METHODS)
    found = [(arm.method, arm.scheme, arm.part) for arm in arms(study) if arm.pretraining]
    assert found == [
        ("genesis", "full", "both"),
        ("genesis", "fixed", "both"),
        ("its decoder", "fixed", "decoder"),
        ("rotation", "full", None),
        ("rotation", "fixed", None),
        ("two", "full", "both"),
        ("two", "fixed", "both"),
    ]
    assert "both, decoder of genesis" in table_of(study)


def test_a_probe_reads_the_encoder_whatever_the_method_hands_over(tmp_path):
    study = check(tmp_path, schemes=("full", "probe"), genesis=METHODS["genesis"])
    found = {(arm.scheme, arm.part) for arm in arms(study) if arm.pretraining}
    assert found == {("full", "both"), ("probe", "encoder")}


def test_a_network_without_decoder_starts_from_the_encoder(tmp_path):
    lesions = {"bundle": "classification", "dataset_dir": "phantoms:ct", "overrides": {"image_size": [32, 32, 16]}}
    content = {**SMOKE, "pretraining": {"genesis": METHODS["genesis"]}, "tasks": {"lesions": lesions}, "shared": {}}
    study = check_study(content, tmp_path)
    assert {arm.part for arm in arms(study) if arm.pretraining} == {"encoder"}


@pytest.mark.parametrize(
    ("methods", "task", "match"),
    [
        ({"rotation": {**METHODS["rotation"], "part": "both"}}, {}, "`pretraining#rotation` trains no decoder"),
        ({"rotation": METHODS["rotation"]}, {"part": "decoder"}, "`pretraining#rotation` trains no decoder"),
        (
            {"genesis": METHODS["genesis"], "rotation": {**METHODS["rotation"], "part": "both"}},
            {},
            "`pretraining#rotation` trains no decoder",
        ),
        ({"genesis": METHODS["genesis"]}, {"skips": False}, "does not fit that of lungs.*give both the same `skips`"),
        ({"a": {"from": "b"}}, {}, "`pretraining#a#from` must name another entry"),
        ({"genesis": {**GENESIS, "decoder": "nobody"}}, {}, "`pretraining#genesis#decoder` must name an entry"),
        (
            {"genesis": {**GENESIS, "part": "all"}},
            {},
            "`pretraining#genesis#part` must be 'encoder', 'decoder' or 'both'",
        ),
        ({"genesis": {**GENESIS, "schemes": ["slow"]}}, {}, "schemes` names 'slow'; the study has full, fixed"),
    ],
)
def test_mistakes_are_told_before_anything_runs(methods, task, match, tmp_path):
    lungs = SMOKE["tasks"]["lungs"]
    tasks = {"lungs": {**lungs, "overrides": {**lungs["overrides"], **task}}}
    with pytest.raises(ValueError, match=match):
        table_of(check(tmp_path, tasks, **methods))


def test_decoders_are_compared_for_each_task_and_each_encoder(tmp_path):
    lungs = SMOKE["tasks"]["lungs"]
    plain = {**lungs, "overrides": {**lungs["overrides"], "skips": False}}
    wide = {**METHODS["genesis"], "overrides": {"widths": [4, 8, 16, 48]}}
    methods = {"genesis": METHODS["genesis"], "wide": wide}
    assert {arm.part for arm in arms(check(tmp_path, **methods)) if arm.pretraining} == {"both"}
    with pytest.raises(ValueError, match="decoder of `pretraining#genesis` does not fit that of plain"):
        arms(check(tmp_path, {"lungs": lungs, "plain": plain}, **methods))


def test_cells_name_the_files_and_what_makes_them(tmp_path):
    names = {**METHODS, "its decoder": {"from": "genesis", "part": "decoder"}, "its encoder": {"from": "genesis"}}
    study = check(tmp_path, schemes=["full"], **names)
    object.__setattr__(study, "output_dir", tmp_path / "out")
    folder = StudyFolder(study.output_dir)
    cells = {cell.method: cell for cell in prepare_study(study, folder).cells}
    made = {path: path.parent.name for path in map(Path, filter(None, (c.weights for c in cells.values())))}
    genesis, rotation = (made[cells[name].weights] for name in ("genesis", "rotation"))
    assert genesis != rotation
    found = {
        name: (
            None if cell.weights is None else (cell.weights.parent.name, cell.weights.name),
            None if cell.decoder_weights is None else (cell.decoder_weights.parent.name, cell.decoder_weights.name),
            set(cell.needs),
        )
        for name, cell in cells.items()
    }
    encoder, unet = "encoder.safetensors", "unet.safetensors"
    assert found == {
        "scratch": (None, None, set()),
        "genesis": ((genesis, unet), None, {genesis}),
        "its decoder": ((genesis, unet), None, {genesis}),
        "its encoder": ((genesis, encoder), None, {genesis}),
        "rotation": ((rotation, encoder), None, {rotation}),
        "two": ((rotation, encoder), (genesis, unet), {rotation, genesis}),
    }
    # another decoder, another cell
    other = check(
        tmp_path,
        schemes=["full"],
        **{**names, "two": {"from": "rotation", "decoder": "copy"}, "copy": {**GENESIS, "overrides": {"lr": 0.5}}},
    )
    object.__setattr__(other, "output_dir", tmp_path / "out")
    again = {cell.method: cell for cell in prepare_study(other, folder).cells}
    assert again["two"].key not in {cell.key for cell in cells.values()} and again["genesis"].key in {
        cell.key for cell in prepare_study(study, folder).cells
    }


@pytest.mark.slow
def test_decoders_arrive(tmp_path):
    study = check(tmp_path, schemes=["full"], **{**METHODS, "its decoder": {"from": "genesis", "part": "decoder"}})
    object.__setattr__(study, "labels", (1,))
    object.__setattr__(study, "seeds", (0,))
    object.__setattr__(study, "output_dir", tmp_path / "out")
    outcome = run_study(study, workers=2, say=lambda line: None)
    assert outcome.failed == () and outcome.done == 5
    folder = StudyFolder(tmp_path / "out")
    logs = {}
    for cell in folder.done_cells():
        logs[json.loads(cell.result.read_text())["method"]] = (folder.root / f"logs/{cell.key}.log").read_text()
    assert len(list((folder.root / "pretraining").iterdir())) == 2, "methods share what they start from"
    loaded = {name: [part for part in ("encoder", "decoder") if f"{part} from " in text] for name, text in logs.items()}
    assert loaded == {
        "scratch": [],
        "genesis": ["encoder", "decoder"],
        "its decoder": ["decoder"],
        "rotation": ["encoder"],
        "two": ["encoder", "decoder"],
    }
    assert all("100% of" in text for name, text in logs.items() if name != "scratch")
