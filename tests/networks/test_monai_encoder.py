"""Networks of MONAI as encoders: the same function in two halves, the same names of weights, in and out."""

import copy

import pytest
import torch
from monai.bundle import ConfigParser
from monai.networks import nets
from torch import nn

from monai_ssl.methods import SimCLR
from monai_ssl.networks import MonaiEncoder, RestorationUNet, as_encoder, build, recipe_of, remember

VIT = {"hidden_size": 12, "mlp_dim": 12, "num_heads": 2}


def unet(dims: int, units: int) -> nn.Module:
    return nets.UNet(dims, 1, 3, (4, 8, 8), (2, 2), num_res_units=units)


NETWORKS = {
    "UNet": (lambda d: unet(d, 0), 16),
    "UNet, residual": (lambda d: unet(d, 2), 16),
    "BasicUNet": (lambda d: nets.BasicUNet(d, 1, 3, (4, 4, 8, 8, 8, 6)), 32),
    "DynUNet": (lambda d: nets.DynUNet(d, 1, 3, [3] * 3, [1, 2, 2], [2, 2], filters=[4, 8, 8]), 16),
    "SegResNet": (lambda d: nets.SegResNet(d, 8, 1, 3), 16),
    "SegResNetDS": (lambda d: nets.SegResNetDS(d, 8, 1, 3), 16),
    "SwinUNETR": (lambda d: nets.SwinUNETR(1, 3, feature_size=12, spatial_dims=d), 64),
    "SwinUNETR v2": (lambda d: nets.SwinUNETR(1, 3, feature_size=12, spatial_dims=d, use_v2=True), 64),
    "UNETR": (lambda d: nets.UNETR(1, 3, (32,) * d, feature_size=4, spatial_dims=d, **VIT), 32),
    "FlexibleUNet, resnet": (lambda d: nets.FlexibleUNet(1, 3, "resnet10", spatial_dims=d), 64),
    "FlexibleUNet, efficientnet": (lambda d: nets.FlexibleUNet(1, 3, "efficientnet-b0", spatial_dims=d), 64),
    "ResNet": (lambda d: nets.ResNet("basic", [1] * 4, [4, 8, 8, 8], d, 1, num_classes=3), 32),
    "DenseNet": (lambda d: nets.DenseNet(d, 1, 3, init_features=4, growth_rate=4, block_config=(2, 2)), 32),
    "EfficientNet": (lambda d: nets.EfficientNetBN("efficientnet-b0", False, True, d, 1, 3), 64),
    "ViT": (lambda d: nets.ViT(1, (32,) * d, 16, num_layers=2, spatial_dims=d, **VIT), 32),
}
OUTPUT = {
    "BasicUNet": lambda net: net.final_conv,
    "DynUNet": lambda net: net.output_block,
    "SegResNet": lambda net: net.conv_final[2],
    "SegResNetDS": lambda net: net.up_layers[-1]["head"],
    "SwinUNETR": lambda net: net.out,
    "UNETR": lambda net: net.out,
    "FlexibleUNet": lambda net: net.segmentation_head,
}
HEAVY = ("SwinUNETR v2", "FlexibleUNet, resnet", "FlexibleUNet, efficientnet", "EfficientNet")
CASES = [
    pytest.param(name, dims, marks=pytest.mark.slow if dims == 3 or name in HEAVY else (), id=f"{name} {dims}D")
    for name in NETWORKS
    for dims in (2, 3)
]


def made(name: str, dims: int) -> tuple[nn.Module, torch.Tensor]:
    torch.manual_seed(0)
    network, side = NETWORKS[name]
    # one side is longer where a network takes that
    short = side // 2 if dims == 3 and side > 32 else side
    size = (side,) * dims if name in ("UNETR", "ViT") else (short,) * (dims - 1) + (side if short < side else 2 * side,)
    return network(dims).eval(), torch.rand(2, 1, *size)


def output(net: nn.Module, features: list[torch.Tensor], levels: list[torch.Tensor]) -> torch.Tensor:
    """What the network's own last layers make of the two halves."""
    if isinstance(net, nets.UNet):
        return net.model[2](torch.cat([features[0], levels[-2]], 1))
    if isinstance(net, nets.ResNet):
        return net.fc(features[-1].flatten(2).mean(2))
    if isinstance(net, nets.DenseNet):
        return net.class_layers(features[-1])
    if isinstance(net, nets.EfficientNet):
        return net._fc(features[-1].flatten(2).mean(2))
    if isinstance(net, nets.ViT):
        return features[-1].flatten(2).transpose(1, 2)
    return OUTPUT[type(net).__name__](net)(levels[-1])


@pytest.mark.parametrize(("name", "dims"), CASES)
def test_two_halves_are_the_network_and_go_back_into_it(name, dims):
    net, x = made(name, dims)
    wanted = net(x)[0] if isinstance(net, nets.ViT) else net(x)
    encoder = MonaiEncoder(copy.deepcopy(net)).eval()
    decoder = encoder.unet_decoder(skips=True)
    features = encoder(x)
    levels = [] if decoder is None else decoder.eval()(features)
    assert [f.shape[1] for f in features] == list(encoder.channels)
    assert [x.shape[-1] // f.shape[-1] for f in features] == list(encoder.strides)
    assert [level.shape[1] for level in levels] == list(getattr(decoder, "channels", []))
    torch.testing.assert_close(output(net, features, levels), wanted, rtol=1e-4, atol=1e-5)

    state = {n: torch.full_like(t, 2) for n, t in encoder.own_state(decoder).items()}
    found = net.load_state_dict(state, strict=False)
    assert not found.unexpected_keys
    taken = {n.removeprefix("net.") for n in encoder.state_dict()}
    assert taken <= set(state)  # all of the encoder
    left = {p for n, p in net.named_parameters() if n in found.missing_keys}
    # the output layer; the unused head of an EfficientNet inside a FlexibleUNet
    assert len(left) <= (7 if name in ("UNet, residual", "FlexibleUNet, efficientnet") else 3), found.missing_keys


@pytest.mark.parametrize("name", [n for n in NETWORKS if n not in HEAVY])
def test_all_that_is_trained_gets_a_gradient(name):
    net, x = made(name, 2)
    encoder = MonaiEncoder(net).train()
    encoder.pooled(x).sum().backward()
    assert [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None] == []
    network = RestorationUNet(encoder)
    network(x).sum().backward()
    assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []
    assert network(x).shape == x.shape


def test_sizes_that_it_cannot_take_are_refused_with_the_nearest():
    with pytest.raises(ValueError, match=r"\(40, 64\).*divisible by 32.*\(32, 64\)"):
        MonaiEncoder(made("SwinUNETR", 2)[0])(torch.zeros(1, 1, 40, 64))
    with pytest.raises(ValueError, match=r"nearest size that it can take is \(8, 8\)"):
        MonaiEncoder(unet(2, 2))(torch.zeros(1, 1, 4, 4))  # instance norm of one pixel
    with pytest.raises(ValueError, match=r"nearest size that it can take is \(32, 32\)"):
        MonaiEncoder(made("ViT", 2)[0])(torch.zeros(1, 1, 64, 64))
    uneven = nets.DynUNet(2, 1, 3, [3] * 3, [1, 2, (2, 1)], [2, (2, 1)], filters=[4, 8, 8])
    with pytest.raises(ValueError, match="DynUNet halves its axes differently"):
        MonaiEncoder(uneven)
    with pytest.raises(ValueError, match=r"encoder of AutoEncoder is, is not known; known are .*SwinUNETR"):
        MonaiEncoder(nets.AutoEncoder(2, 1, 1, (4, 8), (2, 2)))


@pytest.mark.parametrize("plain", [True, False])
def test_a_configuration_names_the_class_of_monai(plain):
    net = {"_target_": "monai.networks.nets.SegResNet", "spatial_dims": 2, "init_filters": 8, "in_channels": 1}
    parser = ConfigParser(
        {
            "encoder": net if plain else {"_target_": "monai_ssl.networks.MonaiEncoder", "network": net},
            "method": {"_target_": "monai_ssl.methods.SimCLR", "encoder": "@encoder"},
            "again": {"_target_": "builtins.dict", "encoder": "@encoder"},
        }
    )
    method, again = (parser.get_parsed_content(name) for name in ("method", "again"))
    assert isinstance(method, SimCLR) and again["encoder"] is method.encoder
    recipe = recipe_of(method.encoder)
    assert recipe["_target_"] == "monai_ssl.networks.MonaiEncoder"
    rebuilt = build(recipe)
    rebuilt.load_state_dict(method.encoder.state_dict())
    assert build(recipe, in_channels=3)(torch.rand(1, 3, 16, 16))[0].shape == (1, 8, 16, 16)
    assert build(recipe_of(build(recipe, in_channels=3))).in_channels == 3


def test_a_function_that_makes_a_network_is_refused_before_training():
    net = made("ResNet", 2)[0]
    remember(net, "monai.networks.nets.resnet18", {})
    with pytest.raises(ValueError, match=r"names the network 'monai\.networks\.nets\.resnet18'"):
        MonaiEncoder(net)
    assert as_encoder(nn.Linear(1, 1)).in_features == 1
