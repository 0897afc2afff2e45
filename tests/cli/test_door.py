"""The short commands and the Python API: what they run is the stock command, and what they leave is found again."""

import subprocess
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

import monai_ssl
from monai_ssl.bundle_folders import shipped_encoders
from monai_ssl.cli import main, stock
from monai_ssl.samples.phantom import phantom_ct
from monai_ssl.stock_runs import pretraining, pretraining_config, weights_of

SMALL = {"widths": [2, 4, 4], "roi_size": [16, 16, 16], "batch_size": 2, "windows_per_scan": 2, "num_workers": 0}


@pytest.fixture
def asked(monkeypatch):
    """Commands that would have been run."""
    commands = []
    monkeypatch.setattr(
        stock.subprocess, "run", lambda words, check: commands.append(words) or subprocess.CompletedProcess(words, 7)
    )
    return commands


@pytest.fixture(scope="module")
def labeled(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    for number in range(4):
        image, label = phantom_ct(number, (32, 32, 24))[0], phantom_ct(number, (32, 32, 24))[1]
        label = next(iter(label.values())) if isinstance(label, dict) else label
        for name, array in (("imagesTr", image), ("labelsTr", (np.asarray(label) > 0).astype(np.uint8))):
            (root / name).mkdir(exist_ok=True)
            nibabel.save(nibabel.Nifti1Image(array, np.eye(4)), root / name / f"p{number}.nii.gz")
    return root


def test_short_commands_print_and_run_the_stock_one(asked, labeled, tmp_path, capsys):
    data = str(labeled / "imagesTr")
    assert main(["pretrain", "simclr", "--data", data, "--batch_size", "4", "--out", "a b"]) == 7
    assert main(["finetune", "segmentation", "--data", str(labeled), "--weights", str(tmp_path), "--lr=0.1"]) == 7
    assert [words[1:3] for words in asked] == [["-W", "ignore:parsing config_file"]] * 2  # bundles of ours
    first, second = ([words[0], *words[3:]] for words in asked)
    assert first[:5] == [sys.executable, "-m", "monai.bundle", "run", "pretrain"]
    assert first[6].endswith("bundles/simclr/configs/pretrain.json")
    assert first[9:] == ["--dataset_dir", data, "--output_dir", "a b", "--batch_size", "4"]
    weights = str(tmp_path / "encoder.safetensors")
    assert second[9:11] == ["--dataset_dir", str(labeled)]
    assert second[11:] == ["--output_dir", "finetuned/segmentation", "--weights", weights, "--lr=0.1"]
    assert "+ python -m monai.bundle run pretrain" in (printed := capsys.readouterr().out) and "'a b'" in printed
    assert main(["evaluate", str(tmp_path), "--data", data]) == 2
    assert "holds no fine-tuned model" in capsys.readouterr().err
    assert main(["pretrain", "simclr", "--data", str(tmp_path / "none")]) == 2
    assert main(["pretrain", "simcl", "--data", data]) == 2 and "did you mean `simclr`?" in capsys.readouterr().err


def test_paths_that_begin_an_expression_of_monai_stay_paths(asked, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("%scans", "@exclude", "$weights"):
        (tmp_path / name).mkdir()
    options = ["--out", "%new", "--exclude=@exclude", "--init_weights", "$weights", "--lr", "%base_lr"]
    assert main(["pretrain", "simclr", "--data", "%scans", *options]) == 7
    paths = [
        "--dataset_dir",
        "./%scans",
        "--output_dir",
        "./%new",
        "--exclude=./@exclude",
        "--init_weights",
        "./$weights",
    ]
    (words,) = asked
    assert words[words.index("--dataset_dir") :] == [*paths, "--lr", "%base_lr"]


def test_a_configuration_that_is_no_run_by_itself_is_laid_over_the_usual_one(labeled):
    data = labeled / "imagesTr"
    assert pretraining("pcrlv2", data, config="cpu").configs == ("pretrain", "cpu")
    assert pretraining("dira", data, config="pretrain_moco").configs == ("pretrain_moco",)
    with pytest.raises(
        ValueError, match="`dira` has no configuration `cpu`, but: pretrain, pretrain_2d, pretrain_moco"
    ):
        pretraining("dira", data, config="cpu")


def test_pictures_and_flat_stores_take_the_configuration_of_two_dimensions(labeled, store, tmp_path):
    assert pretraining_config(labeled) == pretraining_config(store) == "pretrain"
    for number in range(2):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 20), np.uint8)
        (tmp_path / "x").mkdir(exist_ok=True)
        Image.fromarray(pixels).save(tmp_path / "x" / f"{number}.png")
    assert pretraining_config(tmp_path / "x") == "pretrain_2d"
    monai_ssl.prepare(tmp_path / "x", tmp_path / "store", workers=0)
    assert pretraining_config(tmp_path / "store") == "pretrain_2d"


def test_importing_the_package_loads_nothing_heavy():
    code = "import sys, monai_ssl; dir(monai_ssl); monai_ssl.list_methods(); print({'torch', 'monai'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
    with pytest.raises(AttributeError, match="no attribute 'pretrian'"):
        monai_ssl.pretrian  # noqa: B018


@pytest.mark.slow
def test_from_scans_to_scores_in_one_process(labeled, tmp_path, caplog):
    run = monai_ssl.pretrain("simclr", labeled / "imagesTr", tmp_path / "run", max_epochs=1, **SMALL)
    monai_ssl.pretrain("simclr", labeled / "imagesTr", run, max_epochs=2, resume=True, **SMALL)
    with pytest.raises(ValueError, match="`epochs`"):
        monai_ssl.pretrain("simclr", labeled / "imagesTr", run, epochs=3)
    assert monai_ssl.read_card(run / "encoder.safetensors").epochs == 2
    assert monai_ssl.load_encoder(run).channels == (2, 4, 4)
    assert monai_ssl.embed(run, labeled / "imagesTr").shape == (4, 6)
    how = {"labels": {"body": 1}, "roi_size": [16, 16, 16], "max_epochs": 1, "num_workers": 0}
    tuned = monai_ssl.finetune("segmentation", labeled, tmp_path / "tuned", weights=run, **how)
    scores = monai_ssl.evaluate(tuned, labeled, section="validation")
    assert 0 <= scores["val_mean_dice"] <= 1 and (tuned / "validation" / "metrics.csv").is_file()
    assert "logging file" not in caplog.text, "MONAI misses a file that bundles here do without"


def test_weights_are_a_run_a_file_or_an_encoder_that_comes_along(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    shipped = shipped_encoders()["simclr/headneck_ct"]
    assert weights_of("simclr/headneck_ct") == shipped and shipped.is_file()
    (tmp_path / "simclr" / "headneck_ct").mkdir(parents=True)
    assert weights_of("simclr/headneck_ct").parent == Path("simclr/headneck_ct"), "what is there comes first"
    with pytest.raises(SystemExit):
        main(["embed", "--weights", "moco", "--data", ".", "--out", "x.csv"])
    assert "There are no weights `moco`" in capsys.readouterr().err
    with pytest.raises(FileNotFoundError, match="comes along: moco/headneck_ct"):
        monai_ssl.load_encoder("nowhere")
