"""A published ResNet gets a model card: ImageNet as an arm of a study."""

import pytest
import torch

from monai_ssl.cli.main import main
from monai_ssl.networks import EncoderClassifier, ResNetEncoder
from monai_ssl.transfer import adopt, load_weights, matching_encoder, read_card


def published(path, depth=50):
    """A state dict with the names of torchvision, classifier included."""
    torch.manual_seed(0)
    encoder = ResNetEncoder(width=4, depth=depth)
    state = {name.removeprefix("net."): value for name, value in encoder.state_dict().items()}
    torch.save({**state, "fc.weight": torch.rand(10, encoder.width), "fc.bias": torch.rand(10)}, path)
    return encoder.eval()


@pytest.mark.parametrize("depth", [18, 50])
def test_it_computes_what_the_published_network_does(depth, tmp_path, capsys):
    encoder, out = published(tmp_path / "resnet.pth", depth), tmp_path / "imagenet.safetensors"
    assert main(["adopt", str(tmp_path / "resnet.pth"), str(out), "--license", "research only"]) == 0
    assert str(out) in capsys.readouterr().out
    card = read_card(out)
    assert (card.method, card.normalize, card.channels, card.data_license) == (
        "imagenet",
        "imagenet",
        3,
        "research only",
    )
    network = EncoderClassifier(matching_encoder(str(out), 2, 3), 2).eval()
    assert load_weights(network, out).share == 1.0
    x = torch.rand(2, 3, 64, 64)
    assert torch.equal(network.encoder.pooled(x), encoder.pooled(x))


def test_other_networks_are_refused(tmp_path):
    torch.save({"stem.weight": torch.rand(4, 3, 7, 7)}, tmp_path / "other.pth")
    with pytest.raises(ValueError, match=r"layout of .* is not known"):
        adopt(tmp_path / "other.pth", tmp_path / "out.safetensors")
    published(tmp_path / "deep.pth", 18)
    state = torch.load(tmp_path / "deep.pth", weights_only=True)
    extra = {k.replace("layer1.1", "layer1.2"): v for k, v in state.items() if k.startswith("layer1.1")}
    torch.save({**state, **extra}, tmp_path / "deep.pth")
    with pytest.raises(ValueError, match="not in the network"):
        adopt(tmp_path / "deep.pth", tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()
