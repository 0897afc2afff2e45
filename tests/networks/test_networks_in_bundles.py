"""A network of one's own through a pre-training bundle: trained, published, and taken over by the plain class."""

import pytest
import torch
from method_cases import BUNDLES, built, small
from monai.bundle import ConfigParser
from monai.networks import nets
from safetensors.torch import load_file

from monai_ssl.networks import MonaiEncoder, ResidualEncoder, SkipUNet, VisionTransformer
from monai_ssl.transfer import load_weights, matching_encoder
from monai_ssl.zoo import hand_off

SEGRESNET = {"spatial_dims": 3, "init_filters": 8, "in_channels": 1, "blocks_down": [1, 1], "blocks_up": [1]}
ENCODERS = {
    "plain class": {"_target_": "monai.networks.nets.SegResNet", **SEGRESNET},
    "ViT": {
        "_target_": "monai_ssl.networks.VisionTransformer",
        "window_size": [16, 16, 16],
        "width": 12,
        "depth": 1,
        "heads": 2,
    },
    "ResEnc": {"_target_": "monai_ssl.networks.ResidualEncoder", "widths": [2, 4, 8], "depths": [1, 1, 1]},
}
KINDS = {"plain class": MonaiEncoder, "ResEnc": ResidualEncoder, "ViT": VisionTransformer}


@pytest.mark.parametrize("bundle", ["autoencoder", "simclr"])
@pytest.mark.parametrize("name", ENCODERS)
def test_one_epoch_then_out_and_in_again(name, bundle, store, tmp_path):
    path = BUNDLES / bundle / "configs/pretrain.json"
    settings = {key: value for key, value in small(path, store, tmp_path).items() if key != "widths"}
    with_skips = {"skips": True} if bundle == "autoencoder" else {}
    case = built(path, {**settings, **with_skips, "encoder": ENCODERS[name]})
    case.trainer.run()
    trained = case.method.encoder
    assert any(
        not torch.equal(a, b) for a, b in zip(trained.parameters(), case.untrained.encoder.parameters(), strict=True)
    )

    weights = str(tmp_path / "encoder.safetensors")
    fresh = SkipUNet(matching_encoder(weights, 3, 1), 2)
    assert load_weights(fresh, weights).share == 1.0
    assert isinstance(fresh.encoder, KINDS[name])
    x = torch.rand(1, 1, 16, 16, 32)
    for mine, wanted in zip(fresh.encoder.eval()(x), trained.eval()(x), strict=True):
        assert torch.equal(mine, wanted)

    plain = tmp_path / "monai_network.safetensors"
    assert plain.is_file() == (name == "plain class")
    if name == "plain class":
        network = nets.SegResNet(**SEGRESNET)
        found = network.load_state_dict(load_file(plain), strict=False)
        assert not found.unexpected_keys and all(key.startswith(("up_", "conv_final")) for key in found.missing_keys)
        assert torch.equal(network.encode(x)[0], trained(x)[-1])
        # the autoencoder trains the decoder, too: all but the output layer
        assert bundle == "simclr" or all(key.startswith("conv_final.2") for key in found.missing_keys)

    handed = hand_off(weights, ["lung"], tmp_path / "model", name="lung", modality="ct", roi_size=(16, 16, 16))
    parser = ConfigParser()
    parser.read_config(str(handed / "configs/train.json"))
    parser["bundle_root"] = str(handed)
    network = parser.get_parsed_content("network_def")
    network.load_state_dict(torch.load(handed / "models/model.pt", weights_only=True))
    assert torch.equal(network.encoder.eval()(x)[-1], trained(x)[-1])


def test_pretraining_starts_from_a_network_of_monai_by_its_own_names(store, tmp_path):
    theirs = nets.SegResNet(**SEGRESNET)
    torch.save({"net": {f"module.{name}": t for name, t in theirs.state_dict().items()}}, tmp_path / "theirs.pth")
    path = BUNDLES / "simclr/configs/pretrain.json"
    settings = {key: value for key, value in small(path, store, tmp_path / "out").items() if key != "widths"}
    case = built(path, {**settings, "encoder": ENCODERS["plain class"], "init_weights": str(tmp_path / "theirs.pth")})
    own = theirs.state_dict()
    begun = case.method.encoder.state_dict()
    assert all(torch.equal(tensor, own[name.removeprefix("net.")]) for name, tensor in begun.items())
