"""The auto-encoder: AE-1 to AE-3 of docs/properties.md."""

import json
from pathlib import Path

import pytest
import torch
from monai.bundle import ConfigParser

from monai_ssl.methods import AutoEncoder
from monai_ssl.networks import ConvEncoder, ResNetEncoder, RestorationUNet

SMALL: dict[str, dict] = {"pretrain": {}, "pretrain_2d": {}}
MOVES = {"restoration": ("network.encoder.", "network.decoder.", "network.head.")}
CONFIGS = Path(__file__).parents[2] / "bundles/autoencoder/configs"


def make(dims=3, skips=False) -> AutoEncoder:
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(4, 8, 16, 32)) if dims == 3 else ResNetEncoder(in_channels=1, width=4)
    return AutoEncoder(RestorationUNet(encoder, skips=skips))


def image(dims=3, seed=0):
    shape = (2, 1, 16, 16, 8) if dims == 3 else (2, 1, 64, 32)
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dims", [2, 3])
def test_input_is_the_target(dims):
    """AE-1: the loss against the input itself, whatever else the batch holds."""
    method, x = make(dims).eval(), image(dims)
    terms = method.losses({"view": x, "target": image(dims, seed=1)})
    assert set(terms) == {"restoration"}
    expected = (method.network(x) - x).double().square().sum() / x.numel()
    assert terms["restoration"].item() == pytest.approx(expected.item(), rel=1e-6)


def test_loss_of_a_perfect_reproduction_is_zero():
    """AE-3."""
    method = make()
    method.network.forward = lambda x: x
    assert method.losses({"view": image()})["restoration"] == 0


@pytest.mark.parametrize("config, skips", [("pretrain", False), ("pretrain_2d", False)])
def test_bundle_passes_all_through_the_bottleneck(config, skips):
    """AE-2: nothing but the coarsest map reaches the reproduction."""
    parser = ConfigParser(json.loads((CONFIGS / f"{config}.json").read_text()))
    for key, value in {"widths": [2, 4, 8, 16], "width": 4}.items():
        if key in parser.get():
            parser[key] = value
    method = parser.get_parsed_content("network_def").eval()
    x = torch.rand(1, method.encoder.in_channels, *([16] * 3 if config == "pretrain" else [64] * 2))
    features = method.encoder(x)
    bottleneck = [torch.zeros_like(f) for f in features[:-1]] + [features[-1]]
    whole = method.network.restore(features)
    assert torch.equal(whole, method.network.restore(bottleneck))
    nothing = [*features[:-1], torch.zeros_like(features[-1])]
    assert not torch.equal(whole, method.network.restore(nothing))
    parser["skips"] = True
    parser.parse(True)
    method = parser.get_parsed_content("network_def").eval()
    features = method.encoder(x)
    empty = [torch.zeros_like(f) for f in features[:-1]] + [features[-1]]
    assert not torch.equal(method.network.restore(features), method.network.restore(empty))


@pytest.mark.parametrize("config, shape", [("pretrain", (1, 6, 5, 4)), ("pretrain_2d", (3, 6, 5))])
def test_views_of_the_bundle_only_flip(config, shape):
    parser = ConfigParser(json.loads((CONFIGS / f"{config}.json").read_text()))
    views = parser.get_parsed_content("views").set_random_state(0)
    x = torch.rand(64, *shape)
    out = views({"view": x})
    assert set(out) == {"view"} and not torch.equal(out["view"], x)
    assert torch.equal(out["view"].flatten(1).sort(1).values, x.flatten(1).sort(1).values)


def test_reproduction_and_panels():
    method, x = make().eval(), image()
    assert method.backbone is method.network and method.decoder is method.network.decoder
    assert method.representation(x).shape == (2, 32)
    sheet = method.panels({"view": x})
    assert list(sheet) == ["target", "restored"] and torch.equal(sheet["target"], x)
    assert torch.equal(sheet["restored"], method.restore(x)["restored"]) and not sheet["restored"].requires_grad
