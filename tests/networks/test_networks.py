"""The papers' networks: PCRLv2-1, PCRLv2-2, PCRLv2-12, PCRLv2-14 and PCRLv2-15 of docs/properties.md."""

import pytest
import torch

from monai_ssl.networks import ConvEncoder, PyramidUNet, ResNetEncoder, SkipUNet, batch_to_group_norm


def count(module: torch.nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


@pytest.fixture(scope="module")
def small() -> PyramidUNet:
    torch.manual_seed(0)
    return PyramidUNet(ConvEncoder(widths=(4, 8, 16, 32))).eval()


def test_encoders_have_the_papers_sizes():
    encoder = ConvEncoder()
    assert count(encoder) == 7_027_776
    assert [count(stage) for stage in encoder.stages] == [56_448, 332_352, 1_328_256, 5_310_720]
    assert len(encoder.state_dict()) == 56
    assert count(ResNetEncoder()) == 11_176_512


def test_decoders_have_the_papers_sizes():
    encoder, resnet = ConvEncoder(), ResNetEncoder()
    assert [count(b) for b in SkipUNet(encoder, 1).decoder.blocks] == [9_177_088, 2_294_784, 573_952]
    assert count(SkipUNet(encoder, 1)) == 19_073_665
    expected = [1_770_496, 442_880, 110_848, 27_776, 6_976]
    assert [count(b) for b in PyramidUNet(resnet).decoder.blocks] == expected
    expected = [2_360_320, 590_336, 147_712, 46_208, 6_976]
    assert [count(b) for b in SkipUNet(resnet, 1).decoder.blocks] == expected


@pytest.mark.parametrize(
    ("encoder", "shape"), [(ConvEncoder(widths=(4, 8, 16, 32)), (1, 16, 16, 8)), (ResNetEncoder(width=4), (3, 64, 32))]
)
def test_pyramid_is_a_function_of_the_coarsest_map_alone(encoder, shape):
    pyramid, x = PyramidUNet(encoder).eval(), torch.rand(2, *shape)
    features = encoder(x)
    expected = pyramid.decoder(features)
    disturbed = [torch.rand_like(f) for f in features[:-1]] + [features[-1]]
    for a, b, c in zip(pyramid.decoder(disturbed), pyramid(x), expected, strict=True):
        assert torch.equal(a, c) and torch.equal(b, c)
    changed = [*features[:-1], features[-1] + 1]
    assert not torch.equal(pyramid.decoder(changed)[0], expected[0])


def test_skips_make_the_finer_maps_matter():
    net = PyramidUNet(ConvEncoder(widths=(4, 8, 16, 32)), skips=True).eval()
    features = net.encoder(torch.rand(1, 1, 16, 16, 8))
    disturbed = [features[0] + 1, *features[1:]]
    before, after = net.decoder(features), net.decoder(disturbed)
    assert torch.equal(before[1], after[1]) and not torch.equal(before[2], after[2])


@pytest.mark.parametrize(
    ("encoder", "widths"), [(ConvEncoder(), [512, 256, 128]), (ResNetEncoder(), [512, 256, 128, 64, 32])]
)
def test_no_decoder_convolution_sees_more_channels_than_were_enlarged(encoder, widths):
    blocks = PyramidUNet(encoder).decoder.blocks
    sees = [max(m.in_channels for m in block.modules() if hasattr(m, "in_channels")) for block in blocks]
    assert sees == [block.convs.conv1.in_channels for block in blocks] == widths


def test_levels_have_halved_strides(small):
    shapes = [tuple(level.shape[1:]) for level in small(torch.rand(1, 1, 32, 16, 8))]
    assert shapes == [(16, 8, 4, 2), (8, 16, 8, 4), (4, 32, 16, 8)]
    assert small.encoder(torch.rand(1, 1, 16, 16, 16))[-1].shape[2:] == (2, 2, 2)


def test_sizes_that_do_not_halve_are_refused_with_a_remedy():
    with pytest.raises(ValueError, match=r"divisible by 8, but got \(20, 16, 8\).*\(16, 16, 8\)"):
        ConvEncoder(widths=(4, 8, 16, 32))(torch.rand(1, 1, 20, 16, 8))
    with pytest.raises(ValueError, match="divisible by 32"):
        ResNetEncoder(width=4)(torch.rand(1, 3, 48, 64))
    with pytest.raises(ValueError, match="must be even"):
        ConvEncoder(widths=(3, 6))


def test_group_norm_keeps_scale_and_shift_and_leaves_heads_alone():
    torch.manual_seed(0)
    encoder = ConvEncoder(widths=(12, 16, 32, 64))
    for p in encoder.parameters():
        torch.nn.init.normal_(p)
    names = {n: p.clone() for n, p in encoder.named_parameters()}
    head = torch.nn.Sequential(encoder, torch.nn.BatchNorm1d(64))
    batch_to_group_norm(head, 8)
    assert isinstance(head[1], torch.nn.BatchNorm1d)
    assert isinstance(encoder.stages[0].norm1, torch.nn.BatchNorm3d), "6 channels are not divisible by 8"
    assert isinstance(encoder.stages[1].norm1, torch.nn.GroupNorm)
    for name, parameter in encoder.named_parameters():
        assert torch.equal(parameter, names[name])
    assert not any("running" in name for name in encoder.stages[1].state_dict())


def test_group_norm_replaces_every_norm_of_a_resnet():
    encoder = ResNetEncoder(width=8)
    for p in encoder.parameters():
        torch.nn.init.normal_(p)
    before = {n: p.clone() for n, p in encoder.named_parameters()}
    batch_to_group_norm(encoder, 8)
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in encoder.modules())
    assert set(before) == set(encoder.state_dict()) and all(
        torch.equal(p, before[n]) for n, p in encoder.named_parameters()
    )


@pytest.mark.parametrize(
    ("encoder", "shape"), [(ConvEncoder(widths=(2, 4)), (1, 3, 8, 8, 8)), (ResNetEncoder(width=4), (1, 1, 32, 32))]
)
def test_other_channels_are_refused_in_a_sentence(encoder, shape):
    with pytest.raises(ValueError, match=f"built for images of {encoder.in_channels} channels, but got {shape[1]}"):
        encoder(torch.zeros(shape))
