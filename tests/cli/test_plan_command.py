"""A plan fits the store and the memory, keeps the batch of the recipe, and is taken by the stock command."""

import json
import subprocess
import sys

import pytest
from method_cases import BUNDLES

from monai_ssl.cli.main import main
from monai_ssl.cli.plan import fitting_window, proposals
from monai_ssl.networks import ConvEncoder

ENCODER = ConvEncoder(widths=(2, 4, 8))  # strides to 4


def test_a_window_fits_most_scans_and_the_network():
    shapes = [(10, 40, 30), (18, 50, 30), (19, 60, 30)]
    assert fitting_window((160, 48, 20), shapes, ENCODER) == (16, 48, 20)
    assert fitting_window((160, 160, 160), [(3, 64, 64)], ENCODER) == (4, 64, 64)  # padded rather than nothing
    with pytest.raises(ValueError, match="no 3-D scans"):
        fitting_window((8, 8, 8), [], ENCODER)


def test_what_a_recipe_loses_least_by_comes_first():
    found = list(proposals((16, 16, 8), 6, [32, 64], ENCODER))
    assert found[0] == {"roi_size": [16, 16, 8], "batch_size": 6}
    assert [f["batch_size"] for f in found[:3]] == [6, 3, 2]
    order = [(f.get("widths", [32])[0], f["roi_size"], "train#trainer#checkpoint_activations" in f) for f in found]
    assert order == sorted(order, key=lambda o: (-o[0], [-side for side in o[1]], o[2]))
    for settings in found:
        assert settings["batch_size"] * settings.get("train#trainer#accumulation_steps", 1) == 6
        assert settings["batch_size"] >= 2 and ENCODER.nearest_size(settings["roi_size"]) == tuple(settings["roi_size"])
    assert {tuple(f["roi_size"]) for f in found} == {(16, 16, 8), (12, 12, 8), (8, 8, 8)}
    assert [w for w in {tuple(f.get("widths", ())) for f in found} if w and w[0] == 16] == [(16, 32)]


def small(store, memory, out):
    encoder = {"_target_": "monai_ssl.networks.ResidualEncoder", "widths": [4, 8, 8], "depths": [1, 1, 1]}
    overrides = ["--encoder", str(encoder), "--batch_size", "4", "--block", "4"]
    return ["plan", str(store), "--gpu-memory", str(memory), "--out", str(out), *overrides]


@pytest.mark.slow
def test_less_memory_gives_a_smaller_step(store, tmp_path, capsys):
    plans = {}
    for memory in (1, 0.006):
        assert main([*small(store, memory, tmp_path / "plan.json"), "--json"]) == 0
        printed, said = capsys.readouterr()
        assert "Written: " in said and ("too much" in said) is (memory < 1)
        plans[memory] = json.loads(printed)["settings"]
        assert plans[memory] == json.loads((tmp_path / "plan.json").read_text())
    large, little = plans.values()
    assert "train#trainer#accumulation_steps" not in large and large["batch_size"] == 4
    assert little["batch_size"] == 2 and little["train#trainer#accumulation_steps"] == 2


@pytest.mark.slow
def test_the_stock_command_takes_it(store, tmp_path):
    assert main(small(store, 0.006, tmp_path / "plan.json")) == 0
    bundle = BUNDLES / "mae"
    command = [sys.executable, "-m", "monai.bundle", "run", "pretrain", "--bundle_root", str(bundle)]
    command += ["--config_file", str(bundle / "configs/pretrain.json"), "--args_file", str(tmp_path / "plan.json")]
    command += [
        "--output_dir",
        str(tmp_path / "out"),
        "--max_epochs",
        "1",
        "--windows_per_scan",
        "1",
        "--validation",
        "0",
    ]
    subprocess.run([*command, "--num_workers", "0"], check=True, timeout=300)
    assert (tmp_path / "out/encoder.safetensors").is_file()


@pytest.mark.slow
def test_too_little_memory_is_an_error(store, tmp_path, capsys):
    assert main(small(store, 0.00001, tmp_path / "none.json")) == 2
    assert "Nothing fits" in capsys.readouterr().err and not (tmp_path / "none.json").exists()
