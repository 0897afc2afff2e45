"""ResNet-18 as the 2-D encoder of PCRLv1 and PCRLv2 (He et al., CVPR 2016), with all its feature maps."""

from __future__ import annotations

from monai.networks.nets.resnet import ResNet
from torch import Tensor, nn

from monai_ssl.networks.encoder import Encoder
from monai_ssl.networks.shapes import check_divisible


class ResNetEncoder(Encoder):
    """MONAI's ResNet-18 in the layout of torchvision: stem 7 x 7 with stride 2, bias-free shortcuts.

    With the default width and three input channels it has 11,176,512 parameters, the papers' count. It starts from
    random weights (the authors' code silently starts from ImageNet).

    Args:
        spatial_dims: 2 or 3.
        in_channels: of the image.
        width: channels of the stem; the stages have 1, 2, 4 and 8 times as many.

    Shapes:
        (B, in_channels, *spatial) -> five maps at strides 2, 4, 8, 16, 32, fine to coarse.
        Every spatial size must be divisible by 32, else ``ValueError``.
    """

    strides = (2, 4, 8, 16, 32)

    def __init__(self, spatial_dims: int = 2, in_channels: int = 3, width: int = 64) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims
        self.in_channels = in_channels
        self.channels = (width, width, 2 * width, 4 * width, 8 * width)
        self.net = ResNet(
            "basic",
            [2, 2, 2, 2],
            list(self.channels[1:]),
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
        check_divisible(x, self.strides[-1], type(self).__name__)
        net = self.net
        features = [net.act(net.bn1(net.conv1(x)))]
        x = net.maxpool(features[0])
        for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
            x = layer(x)
            features.append(x)
        return features
