"""DiRA-5 and DiRA-6 of docs/properties.md: size, patches, and what the discriminator is made of."""

import pytest
import torch
from torch import nn

from monai_ssl.networks import Discriminator


def test_has_the_parameters_of_the_authors_network():
    assert sum(p.numel() for p in Discriminator(2).parameters()) == 1_554_433


@pytest.mark.parametrize("side", [28, 64, 96, 225])
def test_a_logit_for_each_eighth_rounded_up(side):
    assert Discriminator(2, width=4)(torch.rand(2, 1, side, side)).shape == (2, 1, *2 * [-(-side // 8)])


def test_images_of_three_axes_and_channels():
    assert Discriminator(3, width=4)(torch.rand(2, 1, 64, 64, 32)).shape == (2, 1, 8, 8, 4)
    assert Discriminator(2, 3, 4)(torch.rand(2, 3, 32, 40)).shape == (2, 1, 4, 5)


def test_layers_are_those_of_the_paper():
    layers = list(Discriminator(2).modules())
    convolutions = [m for m in layers if isinstance(m, nn.Conv2d)]
    assert [c.out_channels for c in convolutions] == [64, 128, 256, 512, 1]
    assert [c.stride[0] for c in convolutions] == [2, 2, 2, 1, 1]
    assert all(c.kernel_size == (3, 3) and c.bias is not None for c in convolutions)
    norms = [m for m in layers if isinstance(m, nn.InstanceNorm2d)]
    assert len(norms) == 3 and not any(n.affine for n in norms)
    assert all(m.negative_slope == 0.2 for m in layers if isinstance(m, nn.LeakyReLU))


def test_starts_from_small_normal_weights_and_gives_raw_logits():
    torch.manual_seed(0)
    network = Discriminator(2)
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.out_channels > 1:
            assert abs(module.weight.std() - 0.02) < 0.002 and abs(module.weight.mean()) < 0.002
    logits = network(torch.rand(2, 1, 64, 64))
    assert logits.min() < 0 < logits.max(), "no activation at the end"
