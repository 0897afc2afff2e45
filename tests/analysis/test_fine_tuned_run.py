"""A fine-tuned model described by its training is the same network when it is read back."""

import json
import shutil

import pytest
import torch
from ignite.engine import Engine

from monai_ssl.analysis.trained_run import read_run
from monai_ssl.tasks import Classification, DescribeModel, Segmentation
from monai_ssl.transfer import ModelCard, export_weights, matching_encoder


def described(folder, task, encoder, network, weights=None, **images):
    """Write ``model.json`` and ``model.pt`` as a training does; return the network."""
    made = task.network(encoder, **network)
    with torch.no_grad():
        for tensor in made.state_dict().values():
            if tensor.is_floating_point():
                tensor += 0.1 * torch.rand_like(tensor)
    DescribeModel(folder, task, encoder, network, {"modality": "ct", "intensity": None} | images, weights)(
        Engine(lambda *_: None)
    )
    torch.save(made.state_dict(), folder / "model.pt")
    return made.eval()


@pytest.mark.parametrize(
    ("dims", "norm", "normalize"), [(2, "batch", "imagenet"), (3, "group", "zscore"), (3, "batch", None)]
)
def test_a_classifier_is_the_same(dims, norm, normalize, tmp_path):
    size = [64, 32] if dims == 2 else [16, 8, 8]
    channels = 3 if normalize == "imagenet" else 1
    encoder = matching_encoder(None, dims, channels, 8)
    options = {"norm": norm, "image_size": size, "normalize": normalize, "dropout": 0.5}
    (tmp_path / "models").mkdir()
    network = described(tmp_path / "models", Classification(["a", "b", "c"]), encoder, options)
    shutil.copytree(tmp_path / "models", tmp_path / "moved")
    x = torch.rand(3, 1, *size)
    for folder in (tmp_path, tmp_path / "moved"):
        run = read_run(folder)
        assert run.classes == ("a", "b", "c") and run.window_size == tuple(size) and run.is_fine_tuned
        torch.testing.assert_close(run.classifier(x), network(x.expand(-1, channels, *size)))
        torch.testing.assert_close(run.encoder(x)[-1], network.encoder(x.expand(-1, channels, *size))[-1])
        assert not torch.allclose(run.untrained(x)[-1], run.encoder(x)[-1])
    assert run.intensity("ct").to_dict() == {"kind": "ct_window", "low": -1000.0, "high": 1000.0}


def test_of_a_segmentation_the_encoder_is_read_and_the_weights_it_started_from_are_found(tmp_path):
    recipe = {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "in_channels": 1, "widths": [4, 8]}
    method = torch.nn.Module()
    method.encoder = matching_encoder(None, 3, 1, 4)
    start = export_weights(method, tmp_path / "encoder.safetensors", ModelCard("known", "paper", recipe, "ct"))
    encoder = matching_encoder(str(start), 3, 1)
    network = described(
        tmp_path, Segmentation({"lung": 1}), encoder, {"roi_size": [16, 16, 16]}, str(start), spacing=[1.0, 1.0, 2.0]
    )
    run = read_run(tmp_path)
    x = torch.rand(2, 1, 8, 8, 8)
    torch.testing.assert_close(run.encoder(x)[-1], network.encoder(x)[-1])
    assert run.classifier is None and run.card.spacing == [1.0, 1.0, 2.0] and run.start == start
    assert len(run.encoder.channels) == 2, "built by the card of its weights"


def test_damage_is_a_sentence(tmp_path):
    described(tmp_path, Classification(["a", "b"]), matching_encoder(None, 2, 1, 4), {"image_size": [32, 32]})
    whole = json.loads((tmp_path / "model.json").read_text())
    for change, message in (
        ({"encoder": {"_target_": "os.system", "command": "true"}}, "names the network 'os.system'"),
        ({"encoder": {"_target_": "monai_ssl.networks.SkipUNet"}}, "cannot be built as its recipe says|is no encoder"),
        ({"network": 3}, r"lacks what it must say"),
        ({"task": {"name": "Classification", "classes": ["a", "b", "c"]}}, "Only .* of the head"),
        ({"encoder": {**whole["encoder"], "width": 8}}, "Only .* of the encoder"),
    ):
        (tmp_path / "model.json").write_text(json.dumps(whole | change))
        with pytest.raises(ValueError, match=message):
            read_run(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(whole))
    (tmp_path / "model.pt").unlink()
    with pytest.raises(FileNotFoundError, match=r"model\.pt is missing beside its `model.json`"):
        read_run(tmp_path)
