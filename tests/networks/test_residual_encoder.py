"""ResEnc: the parameter counts of nnU-Net, and the same function as its reference on the same weights."""

import pytest
import torch
from torch import nn

from monai_ssl.engines.recomputation import recompute_blocks
from monai_ssl.methods import AutoEncoder
from monai_ssl.networks import ConvEncoder, PyramidUNet, ResidualEncoder, ResidualEncoderUNet, RestorationUNet
from monai_ssl.tasks.networks import check_sizes

SMALL = {"widths": (4, 6, 8, 8), "depths": (1, 2, 2, 2)}


def count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def randomize(network: nn.Module) -> nn.Module:
    """Weights that leave no path without effect; the last norm of each block begins at 0."""
    with torch.no_grad():
        for i, p in enumerate(network.parameters()):
            p.copy_(torch.randn(p.shape, generator=torch.Generator().manual_seed(i)) * 0.3)
    return network


def test_sizes_of_the_reference():
    with torch.device("meta"):
        network = ResidualEncoderUNet(ResidualEncoder())
        sizes = {size: count(ResidualEncoder(size=size)) for size in ("S", "M", "XL")}
        two = ResidualEncoderUNet(ResidualEncoder(), out_channels=2)
    assert count(network) == 102_348_965 and count(two) == 102_349_770
    assert count(network.encoder) == 90_296_576
    assert count(network) - count(network.encoder) == 12_052_389
    assert count(network.encoder.stem) == 960
    stages = [55_488, 611_584, 3_329_280, 20_391_424, 32_718_720, 33_189_120]
    assert [count(stage) for stage in network.encoder.stages] == stages
    assert sizes == {"S": 22_583_936, "M": 50_799_168, "XL": 203_137_920}


def test_every_block_begins_as_its_shortcut_and_norm_and_bias_as_the_reference():
    encoder = ResidualEncoder(2, widths=(4, 8))
    for name, p in encoder.named_parameters():
        if name.endswith("norm.weight"):
            assert (p == (0 if "conv2" in name else 1)).all(), name
        elif name.endswith("bias"):
            assert (p == 0).all(), name
    x = torch.rand(1, 4, 8, 8)
    block = encoder.stages[0][0]
    assert torch.equal(block(x), x)  # a rectifier leaves what is positive


def reference(spatial_dims: int, channels: int, out: int) -> nn.Module:
    unet = pytest.importorskip(
        "dynamic_network_architectures.architectures.unet", reason="the reference is not installed"
    )
    stages = len(SMALL["widths"])
    conv, norm = (nn.Conv3d, nn.InstanceNorm3d) if spatial_dims == 3 else (nn.Conv2d, nn.InstanceNorm2d)
    return unet.ResidualEncoderUNet(
        channels,
        stages,
        list(SMALL["widths"]),
        conv,
        3,
        [1, *[2] * (stages - 1)],
        list(SMALL["depths"]),
        out,
        [1] * (stages - 1),
        conv_bias=True,
        norm_op=norm,
        norm_op_kwargs={"eps": 1e-5, "affine": True},
        nonlin=nn.LeakyReLU,
        nonlin_kwargs={"inplace": True},
        deep_supervision=True,
    )


def names_of_reference(name: str) -> str:
    """The name that the reference has for a tensor of ours."""
    part, _, rest = name.partition(".")
    if part == "heads":
        return f"decoder.seg_layers.{rest}"
    number, _, inner = rest.partition(".")
    if part == "decoder":
        stage, kind, tail = inner.split(".", 2)
        return f"decoder.transpconvs.{stage}.{tail}" if kind == "up" else f"decoder.stages.{stage}.convs.0.{tail}"
    if number == "stem":
        return f"encoder.stem.convs.0.{inner}"
    stage, block, tail = inner.split(".", 2)
    # the shortcut is a sequence of pooling and convolution there
    return f"encoder.stages.{stage}.blocks.{block}.{tail.replace('skip.', 'skip.1.')}"


@pytest.mark.parametrize(("spatial_dims", "size"), [(3, (32, 16, 24)), (2, (24, 40))])
def test_same_function_as_the_reference(spatial_dims, size):
    theirs = reference(spatial_dims, 2, 3)
    ours = randomize(ResidualEncoderUNet(ResidualEncoder(spatial_dims, 2, **SMALL), 3))
    loaded = {names_of_reference(name): tensor for name, tensor in ours.state_dict().items()}
    aliases = {name for name in theirs.state_dict() if "all_modules" in name or name.startswith("decoder.encoder.")}
    missing = theirs.load_state_dict(loaded, strict=False)
    assert set(missing.missing_keys) <= aliases and not missing.unexpected_keys
    assert count(theirs) == count(ours)
    x = torch.randn(2, 2, *size)
    for mine, wanted in zip(ours.outputs(x), theirs(x), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)
    assert torch.equal(ours(x), ours.outputs(x)[0])
    for mine, wanted in zip(ours.encoder(x), theirs.encoder(x), strict=True):
        torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-4)


def test_weights_begin_with_hes_deviation():
    torch.manual_seed(0)
    for module in ResidualEncoder(2, widths=(32, 64)).modules():
        if isinstance(module, nn.Conv2d):
            wanted = (2 / (1 + 0.01**2) / module.weight[0].numel()) ** 0.5
            assert abs(module.weight.std() / wanted - 1) < 0.15


def test_sizes_that_it_cannot_take_are_refused_with_the_nearest():
    encoder = ResidualEncoder(widths=(2, 2, 2, 2, 2, 2), depths=(1,) * 6)
    with pytest.raises(ValueError, match=r"cannot take images of \(48, 64, 70\).*divisible by 32.*\(64, 64, 64\)"):
        encoder(torch.zeros(1, 1, 48, 64, 70))
    with pytest.raises(ValueError, match=r"of \(32, 32, 32\): its norm needs more than one voxel .*\(64, 64, 64\)"):
        encoder(torch.zeros(1, 1, 32, 32, 32))
    assert encoder(torch.zeros(1, 1, 64, 32, 32))[-1].shape[2:] == (2, 1, 1)
    assert encoder.nearest_size((160, 150, 10)) == (160, 160, 32)
    with pytest.raises(ValueError, match=r"`roi_size`.*try \[64, 64, 64\]"):
        check_sizes("roi_size", [32, 32, 32], encoder)
    with pytest.raises(ValueError, match="one number for each"):
        ResidualEncoder(widths=(2, 4), depths=(1, 1, 1))
    with pytest.raises(ValueError, match="is not a residual encoder"):
        ResidualEncoderUNet(ConvEncoder(widths=(2, 4)))


@pytest.mark.parametrize("network", [ResidualEncoderUNet, RestorationUNet])
def test_it_stands_where_a_restoration_unet_does(network):
    unet = network(ResidualEncoder(2, **SMALL))
    method = AutoEncoder(unet)
    view = torch.rand(2, 1, 16, 32)
    sum(method.losses({"view": view, "target": view}).values()).backward()
    unused = [n for n, p in unet.named_parameters() if p.requires_grad and p.grad is None]
    assert unused == []  # what DistributedDataParallel would wait for
    before = unet(view)
    assert recompute_blocks(unet) > 0 and torch.equal(unet(view), before)


def test_without_skips_only_the_coarsest_map_matters():
    pyramid = PyramidUNet(randomize(ResidualEncoder(2, **SMALL)))
    features = pyramid.encoder(torch.rand(1, 1, 32, 16))
    levels = pyramid.decoder(features)
    disturbed = [torch.rand_like(f) for f in features[:-1]] + [features[-1]]
    assert [tuple(level.shape[1:]) for level in levels] == [(8, 8, 4), (6, 16, 8), (4, 32, 16)]
    assert all(torch.equal(a, b) for a, b in zip(levels, pyramid.decoder(disturbed), strict=True))
