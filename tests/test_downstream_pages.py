"""The commands on the pages of the downstream bundles do what the pages say, in their order, and again."""

import csv
import json
import re
import runpy
import shlex
import shutil
import sys
from pathlib import Path

import pytest
from downstream_runs import ROOT, write_volumes

from monai_ssl.networks import EncoderClassifier, build
from monai_ssl.transfer import ModelCard, export_weights

pytestmark = pytest.mark.bundle
CT = {"kind": "ct_window", "low": -1000.0, "high": 1000.0}
RECIPE = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "widths": [2, 4, 4, 4]}
SMALL = ["--max_epochs", "1", "--num_workers", "0", "--device", "cpu"]


def commands(bundle):
    """Training, evaluation, inference, and what the page has beside them."""
    page = (ROOT / bundle / "docs/README.md").read_text().replace("\\\n", " ")
    found = [shlex.split(line) for line in re.findall(r"^python -m monai\.bundle run .*", page, re.MULTILINE)]
    train, *others, evaluate, infer = ([word for word in words if word != "100"] for words in found)
    train = [word for word in train if word != "--max_epochs"]
    others = [words[3:] + SMALL for words in others]
    return train[3:] + SMALL, [*evaluate[3:], "--device", "cpu"], [*infer[3:], "--device", "cpu"], others


def write_data(bundle, root):
    """Volumes in the layout that the page of the bundle describes first."""
    scans = sorted(write_volumes(root / "volumes", 8).glob("images*/*.nii.gz"))
    data = root / "DATA"
    if bundle == "segmentation":
        shutil.move(root / "volumes", data)
        return
    for i, scan in enumerate(scans):
        place = Path("test" if i > 4 else "train", ("benign", "malignant")[i % 2])
        (data / place).mkdir(parents=True, exist_ok=True)
        shutil.copy(scan, data / place)
    if bundle == "regression":
        rows = [f"{p.relative_to(data)},{len(p.name) + i},{p.parts[-3].replace('train', '')}"
                for i, p in enumerate(sorted(data.rglob("*.gz")))]  # fmt: skip
        (data / "datalist.csv").write_text("image,age,section\n" + "\n".join(rows))


@pytest.fixture
def stock(tmp_path, monkeypatch):
    """What a shell does with a command, in a folder without anything else."""
    card = ModelCard("simclr", "paper", RECIPE, "ct", CT)
    export_weights(EncoderClassifier(build(RECIPE), 2), tmp_path / "encoder.safetensors", card)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)

    def run(words):
        places = {
            "DATA": str(tmp_path / "DATA"),
            **dict.fromkeys(("FOLDER_OF_IMAGES", "IMAGES"), str(tmp_path / "new")),
        }
        words = [places.get(word, word.replace("bundles/", f"{ROOT}/")) for word in words]
        monkeypatch.setattr(sys, "argv", ["monai.bundle", *words])
        runpy.run_module("monai.bundle", run_name="__main__", alter_sys=True)

    return run


RESULTS = {
    "segmentation": ("val_mean_dice", "predictions/new_seg.nii.gz"),
    "classification": ("val_auc", "predictions/predictions.csv"),
    "regression": ("val_mae", "predictions/predictions.csv"),
}


@pytest.mark.parametrize("bundle", RESULTS)
def test_the_commands_of_the_page_run_in_their_order_and_again(tmp_path, stock, bundle, caplog):
    write_data(bundle, tmp_path)
    (tmp_path / "new").mkdir()
    shutil.copy(next((tmp_path / "DATA").rglob("*.nii.gz")), tmp_path / "new/new.nii.gz")
    before = {path for path in ROOT.rglob("*") if "__pycache__" not in path.parts}
    train, evaluate, infer, others = commands(bundle)
    out, (metric, prediction) = tmp_path / "finetuned" / bundle, RESULTS[bundle]
    for words in (train, *others, evaluate, infer):
        stock(words)
    assert dict(csv.reader((out / "metrics.csv").open()))[metric] and (out / prediction).is_file()
    assert json.loads((out / "model.json").read_text())["encoder"]["widths"] == [2, 4, 4, 4]
    assert "the model was trained with" not in caplog.text

    model = (out / "model.pt").read_bytes()
    with pytest.raises(RuntimeError) as caught:
        stock(train)
    assert "`--resume true` continues it, `--overwrite true` begins anew" in str(caught.value.__cause__)
    assert (out / "model.pt").read_bytes() == model
    stock([*train, "--resume", "true"])
    assert "nothing is left to do" in caplog.text and (out / prediction).is_file()
    stock([*train, "--overwrite", "true"])
    (kept,) = (out / "earlier").iterdir()
    assert (kept / "model.pt").read_bytes() == model and (kept / prediction).is_file()
    for words in (evaluate, infer):
        stock(words)
    assert (out / prediction).is_file()
    assert {path for path in ROOT.rglob("*") if "__pycache__" not in path.parts} == before, "written into a bundle"
