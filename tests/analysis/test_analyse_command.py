"""The command from end to end on a real pre-training, and the sentence of each mistake."""

import json
import re
from html import unescape

import numpy as np
import pytest
import torch
from method_cases import BUNDLES, parsed, small
from PIL import Image

from monai_ssl.cli import main
from monai_ssl.networks import ConvEncoder
from monai_ssl.transfer import ModelCard, export_weights

CLASSES = ("<b>absent", "present")


def exported(folder, dims=2):
    """What the export of a pre-training writes."""
    encoder = ConvEncoder(dims, 1, (2, 4))
    network = torch.nn.Module()
    network.encoder = encoder
    recipe = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": dims, "in_channels": 1, "widths": [2, 4]}
    export_weights(network, folder / "encoder.safetensors", ModelCard("known", "paper", recipe, "image"))
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    root = tmp_path_factory.mktemp("data") / "Doe_Jane"
    for i in range(16):
        pixels = np.random.default_rng(i).integers(0, 40, (64, 64), dtype=np.uint8)
        pixels[20:40, 10:30] += 150 * (i % 2)
        path = root / CLASSES[i % 2] / f"Doe_Jane_{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return root


@pytest.mark.slow
def test_all_instruments_on_a_real_pretraining(cohort, pictures, tmp_path):
    path = BUNDLES / "pcrlv2/configs/pretrain_2d.json"
    parser = parsed(path, small(path, cohort, tmp_path / "run"))
    parser.get_parsed_content("initialize")
    parser.get_parsed_content("train#trainer").run()
    box = ",".join(map(str, (10, 20, 30, 40)))
    rows = [f"{p},present,{box}" for p in sorted((pictures / "present").glob("*.png"))]
    (tmp_path / "boxes.csv").write_text("image,label,x0,y0,x1,y1\n" + "\n".join(rows))
    data = [word for option in ("--embedding", "--probes", "--gradcam") for word in (option, str(pictures))]
    more = ["--cka", str(tmp_path / "run"), "--localize", str(tmp_path / "boxes.csv"), "--size", "64", "64"]
    assert main(["analyse", str(tmp_path / "run"), *data, *more]) == 0
    folder = tmp_path / "run" / "analysis"
    page, numbers = (folder / "analysis.html").read_text(), json.loads((folder / "analysis.json").read_text())
    assert numbers.keys() > {"card", "curves", "cka", "batch_norm", "embedding", "probes", "gradcam", "localization"}
    assert numbers["card"]["card"]["method"] == "pcrlv2" and "restoration" in numbers["curves"]
    # the other run is this run
    assert numbers["cka"]["stage_by_stage"] == pytest.approx([1] * 5, abs=1e-4)
    assert numbers["batch_norm"]["the other run"]["total"] == 0 < numbers["batch_norm"]["these images"]["total"]
    assert numbers["localization"]["present"]["images"] == 8 and numbers["gradcam"]["tested_images"] == 4
    assert "&lt;b&gt;absent" in page and "<b>absent" not in page
    assert "Doe_Jane" not in page and "Doe_Jane" not in json.dumps(numbers)
    assert len(re.findall("data:image/png;base64,", page)) >= 7 and not re.search("<script|https?://", page)


def test_without_data_it_says_what_can_be_said_and_what_can_be_asked(tmp_path, capsys):
    assert main(["analyse", str(exported(tmp_path / "run")), "--out", str(tmp_path / "page")]) == 0
    page = (tmp_path / "page" / "analysis.html").read_text()
    assert (
        "No curves: `mlflow_run.txt` in the folder names no local MLflow database" in unescape(page)
        and "--probes DATA" in page
    )
    assert json.loads((tmp_path / "page" / "analysis.json").read_text()).keys() == {"monai_ssl", "card", "curves"}
    assert "Written: " in capsys.readouterr().out


def mistakes(tmp_path):
    """Arguments behind RUN, and what is said."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "bare.safetensors").write_bytes((tmp_path / "run" / "encoder.safetensors").read_bytes()[:99])
    (tmp_path / "torn").mkdir()
    (tmp_path / "torn" / "encoder.safetensors").write_bytes(b"no weights")
    torch.save({"w": torch.zeros(1)}, tmp_path / "state.pt")
    run, other, plain = str(tmp_path / "run"), str(tmp_path / "volumes"), str(tmp_path / "empty")
    yield [str(tmp_path / "nowhere")], "There is no run"
    yield (
        [plain],
        "holds neither `encoder.safetensors`, which a pre-training leaves in its `output_dir`, nor `model.pt`",
    )
    yield [str(tmp_path / "torn")], "is not a whole safetensors file"
    yield [str(tmp_path / "bare.safetensors")], "is not a whole safetensors file"
    yield [str(tmp_path / "state.pt")], "has no model card"
    yield [run, "--cka", other], "give images by --data"
    yield [run, "--embedding", plain], "holds no image that can be read"
    yield [run, "--images", "0"], "`limit` is a number of images of at least 1"
    yield [run, "--localize", str(tmp_path / "boxes.csv")], "has no classifier to look into"


def test_each_mistake_is_a_sentence_and_exit_code_2(tmp_path, capsys):
    exported(tmp_path / "run"), exported(tmp_path / "volumes", 3)
    for arguments, message in mistakes(tmp_path):
        assert main(["analyse", *arguments, "--out", str(tmp_path / "page")]) == 2, arguments
        said = capsys.readouterr().err
        assert message in said and "Traceback" not in said, said
    assert not (tmp_path / "page" / "analysis.html").exists()


def test_runs_of_different_dimensions_are_not_compared(pictures, tmp_path, capsys):
    run, other = exported(tmp_path / "run"), exported(tmp_path / "volumes", 3)
    assert main(["analyse", str(run), "--cka", str(other), "--data", str(pictures)]) == 2
    assert "The run is 2-D and the other 3-D" in capsys.readouterr().err
