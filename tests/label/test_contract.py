"""What MONAI Label asks of a bundle, and the traps in which bundles have been caught: one test each, no server."""

import json
import sys
from pathlib import Path

import nibabel
import numpy as np
import pytest
import torch
from monai.data import partition_dataset

sys.path.insert(0, str(Path(__file__).parent))
import label_server

from monai_ssl.networks import PyramidUNet
from monai_ssl.samples.phantom import phantom_ct
from monai_ssl.transfer import ModelCard, export_weights, load_weights, paper_encoder
from monai_ssl.zoo import hand_off

pytestmark = pytest.mark.bundle
AFFINE = np.array([[-2.0, 0, 0, 40], [0, -2, 0, 30], [0, 0, 3, -10], [0, 0, 0, 1]])
ENCODER = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "in_channels": 1, "widths": [4, 8, 16, 32]}
QUICK = {"num_workers": 0, "logging_file": False}


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    root = tmp_path_factory.mktemp("studies")
    for i in range(3):
        for name, array in zip(("image", "label"), phantom_ct(i, (36, 40, 22)), strict=True):
            nibabel.save(nibabel.Nifti1Image(array, AFFINE), root / f"{name}{i}.nii.gz")
    return [{"image": str(root / f"image{i}.nii.gz"), "label": str(root / f"label{i}.nii.gz")} for i in range(3)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory):
    torch.manual_seed(1)
    card = ModelCard("pcrlv2", "paper", ENCODER, "ct", {"kind": "ct_window", "low": -1000.0, "high": 1000.0})
    path = tmp_path_factory.mktemp("weights") / "encoder.safetensors"
    return export_weights(PyramidUNet(paper_encoder(3, 1, 4)), path, card)


@pytest.fixture
def bundle(weights, tmp_path):
    return hand_off(weights, ["lung", "heart"], tmp_path / "model", name="thorax", roi_size=(16, 16, 16))


def model(bundle):
    return torch.load(bundle / "models/model.pt", weights_only=True)


def encoder_weight(state):
    return state["encoder.stages.0.conv1.weight"]


def test_there_is_a_model_when_the_server_starts(bundle, weights):
    """Else the model is left out of /info until the server is restarted."""
    network = label_server.config(bundle, "inference").get_parsed_content("network_def")
    network.load_state_dict(model(bundle), strict=True)
    fresh = label_server.config(bundle, "inference").get_parsed_content("network_def")
    load_weights(fresh, weights)
    assert torch.equal(encoder_weight(model(bundle)), encoder_weight(fresh.state_dict()))


def test_only_the_model_is_offered_for_inference(bundle):
    """All of ``models/*.pt`` is; the search does not descend."""
    assert [path.name for path in (bundle / "models").glob("*.pt")] == ["model.pt"]
    assert (bundle / "models/pretrained/encoder.safetensors").is_file()


def test_metadata_names_keys_labels_and_dimensions(bundle):
    metadata = json.loads((bundle / "configs/metadata.json").read_text())
    formats = metadata["network_data_format"]
    assert next(iter(formats["inputs"])) == "image" and len(formats["inputs"]["image"]["spatial_shape"]) == 3
    assert formats["outputs"]["pred"]["channel_def"] == {"0": "background", "1": "lung", "2": "heart"}
    assert metadata["version"] in metadata["changelog"]


def test_the_folder_is_not_taken_for_another_task(weights, tmp_path):
    for name in ("liver_detection", "DeepEdit_liver", "my_deepgrow", "classification1"):
        with pytest.raises(ValueError, match="in its name for another task"):
            hand_off(weights, ["liver"], tmp_path, name=name)


def test_no_handler_keeps_the_model_from_being_loaded(bundle):
    """A ``CheckpointLoader``, even a disabled one, makes MONAI Label leave out its own: from scratch, silently."""
    found = label_server.config(bundle, "train")["train"]["handlers"]
    assert not any("CheckpointLoader" in handler["_target_"] for handler in found)
    assert label_server.handlers(bundle)[0]["_target_"] == "CheckpointLoader"


@pytest.mark.parametrize("name", ["train", "inference"])
def test_the_device_may_be_a_word(bundle, name):
    parser = label_server.config(bundle, name)
    parser.config["device"] = "cpu"
    assert parser.get_parsed_content("amp") is False
    assert next(parser.get_parsed_content("network").parameters()).device.type == "cpu"


def test_the_encoder_needs_no_card_and_no_option(bundle):
    (bundle / "models/pretrained/encoder.safetensors").unlink()
    for name in ("train", "inference"):
        parser = label_server.config(bundle, name)
        assert parser["encoder"]["widths"] == [4, 8, 16, 32] and "width" not in parser.config
        parser.get_parsed_content("network_def").load_state_dict(model(bundle), strict=True)


def test_inference_comes_back_in_the_space_of_the_scan(bundle, cases):
    """Not RAS and not isotropic; MONAI Label runs the transforms one by one and saves itself."""
    pred = label_server.infer(bundle, Path(cases[0]["image"]))
    assert pred.shape == (1, 36, 40, 22) and set(pred.unique().tolist()) <= {0, 1, 2}
    torch.testing.assert_close(pred.affine, torch.from_numpy(AFFINE), check_dtype=False)


def test_training_goes_on_from_the_model_and_replaces_it(bundle, cases):
    """The ids that a request replaces exist, what they leave unread is no mistake, and ``model.pt`` wins."""
    start = model(bundle)
    marked = {key: value + 1 if key == "head.bias" else value for key, value in start.items()}
    torch.save(marked, bundle / "models/model.pt")
    parts = partition_dataset(cases, ratios=[0.66, 0.34])
    label_server.train(bundle, *parts, 1, **QUICK, lr=1e-5)
    after = model(bundle)
    torch.testing.assert_close(after["head.bias"], marked["head.bias"], atol=2e-3, rtol=0)
    assert after.keys() == start.keys() and not torch.equal(after["head.bias"], marked["head.bias"])
    torch.testing.assert_close(encoder_weight(after), encoder_weight(start), atol=1e-3, rtol=0)


def test_without_the_model_training_starts_from_the_pre_trained_encoder(bundle, cases):
    """The way to start again, since ``"pretrained": false`` in a request ends in a TypeError of MONAI Label."""
    start = encoder_weight(model(bundle))
    (bundle / "models/model.pt").unlink()
    label_server.train(bundle, cases[:2], cases[2:], 1, **QUICK, lr=1e-9)
    torch.testing.assert_close(encoder_weight(model(bundle)), start, atol=1e-5, rtol=0)


def test_the_schedule_follows_the_request(bundle, cases):
    """``max_epochs`` of the request, not of the file: else a longer training ends with a rate of 0, unnoticed."""
    from monai.bundle import ConfigWorkflow

    overrides = {"train#trainer#max_epochs": 7, "train#dataset#data": cases, "validate#dataset#data": cases}
    flow = ConfigWorkflow(
        str(bundle / "configs/train.json"), logging_file=False, workflow_type="train", device="cpu", **overrides
    )
    assert flow.parser.get_parsed_content("lr_scheduler").total_iters == 7
    assert flow.parser.get_parsed_content("train#trainer").state.max_epochs == 7


def test_one_labeled_scan_trains_and_is_kept(bundle, cases):
    """Nothing is left to validate on, so that the last epoch is the model."""
    before = model(bundle)
    train, validation = partition_dataset(cases[:1], ratios=[0.8, 0.2])
    assert not validation
    label_server.train(bundle, train, validation, 1, **QUICK)
    assert not torch.equal(model(bundle)["head.bias"], before["head.bias"])


def test_several_gpus_have_their_configuration(bundle):
    assert {"multi_gpu_train.json", "logging.conf", "train.json", "inference.json"} <= {
        path.name for path in (bundle / "configs").iterdir()
    }
