"""ResNet-18 and ResNet-50 as encoders with all feature maps (He et al., CVPR 2016): PCRL in 2-D, DiRA, TOWER."""

from __future__ import annotations

from monai.networks.nets.resnet import ResNet, ResNetBlock, ResNetBottleneck
from torch import Tensor, nn

from monai_ssl.arguments import check_channels, check_choice, check_divisible
from monai_ssl.networks.encoder import Encoder

_LAYOUTS = {18: ("basic", (2, 2, 2, 2), 1), 50: ("bottleneck", (3, 4, 6, 3), 4)}


class ResNetEncoder(Encoder):
    """MONAI's ResNet in the layout of torchvision: stem 7 x 7 with stride 2, bias-free shortcuts.

    With the default width and three input channels a ResNet-18 has 11,176,512 parameters, a ResNet-50 (stride in the
    3 x 3 convolution) 23,508,032, the papers' counts. It starts from random weights (PCRL's code silently starts from
    ImageNet).

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        width: channels of the stem; the stages have 1, 2, 4 and 8 times as many, four times that in a ResNet-50.
        depth: 18 or 50.

    Shapes:
        (B, in_channels, *spatial) -> five maps at strides 2, 4, 8, 16, 32, fine to coarse.
        Every spatial size must be divisible by 32, else ``ValueError``.

    >>> import torch
    >>> encoder = ResNetEncoder(width=4).eval()
    >>> [tuple(x.shape[1:]) for x in encoder(torch.rand(1, 3, 64, 64))]
    [(4, 32, 32), (4, 16, 16), (8, 8, 8), (16, 4, 4), (32, 2, 2)]
    """

    strides = (2, 4, 8, 16, 32)
    blocks = (ResNetBlock, ResNetBottleneck)

    def __init__(self, spatial_dims: int = 2, in_channels: int = 3, width: int = 64, depth: int = 18) -> None:
        super().__init__()
        check_choice(_LAYOUTS, depth=depth)
        block, layers, self.expansion = _LAYOUTS[depth]
        planes = [width, 2 * width, 4 * width, 8 * width]
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.channels = (width, *(self.expansion * p for p in planes))
        self.net = ResNet(
            block,
            list(layers),
            planes,
            spatial_dims=spatial_dims,
            n_input_channels=in_channels,
            conv1_t_size=7,
            conv1_t_stride=2,
            feed_forward=False,
            bias_downsample=False,
        )
        if isinstance(self.net.fc, nn.Module):
            raise TypeError("MONAI's ResNet kept its classifier although `feed_forward` is False; use monai>=1.6.")

    def forward(self, x: Tensor) -> list[Tensor]:
        check_channels(x, self.in_channels, type(self).__name__)
        check_divisible(x, self.strides[-1], type(self).__name__)
        net = self.net
        features = [net.act(net.bn1(net.conv1(x)))]
        x = net.maxpool(features[0])
        for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
            x = layer(x)
            features.append(x)
        return features
