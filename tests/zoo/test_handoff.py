"""What a hand-off refuses, and that nothing of a stranger's card is executed. The rest: tests/label."""

import dataclasses
import json
import re

import pytest
import torch

from monai_ssl.__main__ import main
from monai_ssl.networks import PyramidUNet
from monai_ssl.transfer import ModelCard, export_weights, paper_encoder
from monai_ssl.zoo import hand_off
from monai_ssl.zoo.config_lines import drop_key, set_keys

ENCODER = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "in_channels": 1, "widths": [4, 8, 16, 32]}
CT, MR = {"kind": "ct_window", "low": -1000.0, "high": 1000.0}, {"kind": "mr_percentiles", "low": 0.5, "high": 99.5}
CARD = ModelCard("pcrlv2", "paper", ENCODER, "ct", CT, spacing=(1.0, 1.0, 2.0))


def weights(tmp_path, **changed):
    card = dataclasses.replace(CARD, **changed)
    return export_weights(PyramidUNet(paper_encoder(3, 1, 4)), tmp_path / "encoder.safetensors", card)


def train_json(bundle):
    return json.loads((bundle / "configs/train.json").read_text())


def test_the_command_writes_what_the_card_says(tmp_path, capsys):
    path = weights(tmp_path)
    state = torch.get_rng_state()
    command = ["handoff", "--weights", str(path), "--labels", "liver, tumor", "--name", "abdomen"]
    assert main([*command, "--roi-size", "16", "16", "8", str(tmp_path / "model")]) == 0
    assert "--conf models abdomen --conf zoo_source local" in capsys.readouterr().out
    assert torch.equal(torch.get_rng_state(), state)
    config = train_json(tmp_path / "model/abdomen")
    wanted = {"labels": {"liver": 1, "tumor": 2}, "modality": "ct", "intensity": CT, "spacing": [1.0, 1.0, 2.0]}
    assert wanted.items() <= config.items() and config["roi_size"] == [16, 16, 8]
    for name in ("train", "evaluate", "inference"):
        text = (tmp_path / f"model/abdomen/configs/{name}.json").read_text()
        whole = config if name == "evaluate" else {}
        missing = set(re.findall(r"@(\w+)", text)) - json.loads(text).keys() - whole.keys()
        assert not missing, f"{name}: nobody defines {missing}"
    assert main([*command, str(tmp_path / "model")]) == 2
    assert "is there already" in capsys.readouterr().err


def test_of_several_modalities_one_is_chosen(tmp_path):
    path = weights(tmp_path, modality="mixed: ct, mr", intensity={"ct": CT, "mr": MR})
    with pytest.raises(ValueError, match="saw ct and mr: give the `modality`"):
        hand_off(path, ["a"], tmp_path, name="n")
    with pytest.raises(ValueError, match="saw ct and mr, not 'xray'"):
        hand_off(path, ["a"], tmp_path, name="n", modality="xray")
    config = train_json(hand_off(path, ["a"], tmp_path, name="n", modality="mr"))
    assert config["modality"] == "mr" and config["intensity"] == MR


@pytest.mark.parametrize(
    "changed",
    [
        {"modality": "$__import__('os').system('x')"},
        {"intensity": {"kind": "ct_window", "low": "@seed"}},
        {"intensity": {"kind": "ct_window", "_target_": "os.system"}},
    ],
)
def test_nothing_of_a_card_is_executed(tmp_path, changed):
    with pytest.raises(ValueError, match="would be executed"):
        hand_off(weights(tmp_path, **changed), ["a"], tmp_path / "model", name="n")
    assert not (tmp_path / "model").exists()


@pytest.mark.parametrize(
    ("labels", "name", "match"),
    [
        (["liver", "Liver"], "n", "`labels` must be different names"),
        (["background"], "n", "without background"),
        (["a#b"], "n", "`labels` must be"),
        ([""], "n", "`labels` must be"),
        (["a"], "../n", "`name` becomes a folder"),
    ],
)
def test_labels_and_name_are_checked_first(tmp_path, labels, name, match):
    with pytest.raises(ValueError, match=match):
        hand_off(tmp_path / "missing", labels, tmp_path, name=name)


def test_weights_must_tell_how_they_were_made(tmp_path):
    with pytest.raises(FileNotFoundError, match="There is no weights file"):
        hand_off(tmp_path / "missing.safetensors", ["a"], tmp_path, name="n")
    torch.save({"a": torch.ones(1)}, tmp_path / "x.pt")
    with pytest.raises(ValueError, match="has no model card"):
        hand_off(tmp_path / "x.pt", ["a"], tmp_path, name="n")


def test_lines_are_set_and_dropped_in_place():
    text = '{\n    "a": [1, 2],\n    "b": {"a": 3}\n}\n'
    assert set_keys(text, {"b": "x", "a": None}) == '{\n    "a": null,\n    "b": "x"\n}\n'
    assert json.loads(drop_key(text, "a")) == {"b": {"a": 3}}
    for wrong in (lambda: set_keys(text, {"c": 1}), lambda: drop_key(text, "c")):
        with pytest.raises(KeyError, match="no line for `c`"):
            wrong()
