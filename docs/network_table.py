"""Write the table of parameter counts in docs/monai_networks.md: `python docs/network_table.py`."""

from __future__ import annotations

import argparse
import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from monai.networks import nets
from monai.networks.nets.segresnet_ds import SegResEncoder
from torch import nn

from monai_ssl.networks import ConvEncoder, Encoder, ResidualEncoder, ResNetEncoder, VisionTransformer, as_encoder

PAGE = Path(__file__).parent / "monai_networks.md"
START, END = "<!-- networks -->\n", "<!-- /networks -->"
CUBE = (96, 96, 96)
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "`UNet`, 16 to 256, 2 residual units": lambda: nets.UNet(
        3, 1, 2, (16, 32, 64, 128, 256), (2, 2, 2, 2), num_res_units=2
    ),
    "`BasicUNet`": lambda: nets.BasicUNet(3, 1, 2),
    "`DynUNet`, 32 to 320, 6 levels": lambda: nets.DynUNet(
        3, 1, 2, [3] * 6, [1, *[2] * 5], [2] * 5, filters=[32, 64, 128, 256, 320, 320]
    ),
    "`SegResNet`, 32 filters": lambda: nets.SegResNet(3, 32, 1, 2),
    "`SegResNetDS`, CT-FM's": lambda: nets.SegResNetDS(3, 32, 1, 2, blocks_down=(1, 2, 2, 4, 4)),
    "`SegResEncoder`, CT-FM's": lambda: SegResEncoder(3, 32, 1, blocks_down=(1, 2, 2, 4, 4)),
    "`SwinUNETR`, 48": lambda: nets.SwinUNETR(1, 2, feature_size=48),
    "`SwinUNETR` v2, 48 (VoCo B)": lambda: nets.SwinUNETR(1, 2, feature_size=48, use_v2=True),
    "`UNETR`, 96³": lambda: nets.UNETR(1, 2, CUBE),
    "`ViT`, 96³, tokens 16³": lambda: nets.ViT(1, CUBE, 16),
    "`FlexibleUNet`, resnet18": lambda: nets.FlexibleUNet(1, 2, "resnet18", spatial_dims=3),
    "`ResNet`-18": lambda: nets.ResNet("basic", [2, 2, 2, 2], [64, 128, 256, 512], n_input_channels=1),
    "`ResNet`-50": lambda: nets.ResNet("bottleneck", [3, 4, 6, 3], [64, 128, 256, 512], n_input_channels=1),
    "`DenseNet`-121": lambda: nets.DenseNet121(3, 1, 2),
    "`EfficientNetBN`, b0": lambda: nets.EfficientNetBN("efficientnet-b0", False, spatial_dims=3, in_channels=1),
    **{
        f"ResEnc-{s}: `ResidualEncoder(size='{s}')`": lambda s=s: ResidualEncoder(size=s) for s in ("S", "M", "L", "XL")
    },
    **{
        f"Primus-{s}: `VisionTransformer(size='{s}')`, 160³": lambda s=s: VisionTransformer(size=s)
        for s in ("S", "B", "M", "L")
    },
    "`ConvEncoder`, that of the papers": ConvEncoder,
    "`ResNetEncoder`, 18, 2-D": lambda: ResNetEncoder(2, 1),
    "`ResNetEncoder`, 50, 2-D": lambda: ResNetEncoder(2, 1, depth=50),
}


def table() -> str:
    """Return a row a network, with the parameters of its encoder and of its own decoder without the output layer."""
    rows = [
        f"| {name} | {encoder:,} | {decoder:,} |" if decoder else f"| {name} | {encoder:,} | - |"
        for name, encoder, decoder in counts()
    ]
    return "\n".join(["| network, one channel in, 3-D | encoder | its decoder |", "|---|---|---|", *rows, ""])


def counts() -> Iterator[tuple[str, int, int]]:
    """Yield name, parameters of the encoder, and of the decoder that the class has, 0 for none."""
    for name, make in NETWORKS.items():
        # drop-path rates of a Swin transformer are read off a tensor
        with contextlib.nullcontext() if "Swin" in name else torch.device("meta"):
            encoder = as_encoder(make())
            assert isinstance(encoder, Encoder), name
            decoder = encoder.unet_decoder(skips=True)
        yield name, _count(encoder), 0 if decoder is None else _count(decoder)


def _count(module: nn.Module) -> int:
    return sum(p.numel() for p in module.parameters())


def with_table(text: str) -> str:
    """Return the page with the table as it must be."""
    before, rest = text.split(START)
    return f"{before}{START}{table()}{END}{rest.split(END)[1]}"


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    PAGE.write_text(with_table(PAGE.read_text()))
