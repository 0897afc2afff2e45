"""Which modules of MONAI's networks are the encoder, which the decoder: one table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from monai.networks import nets
from monai.networks.blocks import ResidualUnit, TransformerBlock
from monai.networks.blocks.dynunet_block import UnetBasicBlock, UnetResBlock
from monai.networks.blocks.segresnet_block import ResBlock
from monai.networks.nets.basic_unet import TwoConv
from monai.networks.nets.densenet import _DenseBlock
from monai.networks.nets.efficientnet import MBConvBlock
from monai.networks.nets.resnet import ResNetBlock, ResNetBottleneck
from monai.networks.nets.segresnet_ds import SegResBlock, SegResEncoder
from monai.networks.nets.swin_unetr import SwinTransformerBlock
from torch import Tensor, nn

from monai_ssl.networks.monai_nets import passes

Names = Callable[[Any], list[str]]


@dataclass(frozen=True)
class Layout:
    """How a class of MONAI encodes and decodes.

    Args:
        encoder: names of the modules that :attr:`encode` uses, and no others; dotted where they are inside others.
        encode: returns the maps of an image, fine to coarse.
        decoder: names of the modules that :attr:`decode` uses; none where the class has no decoder.
        decode: yields the decoder's maps, coarse to fine, the last at full resolution, before the output layer.
        blocks: what activation checkpointing computes again.
        image_size: the only size that the network takes; ``None`` for any that can be halved often enough.
        ready: changes a network's decoder before it is used.
    """

    encoder: Names
    encode: Callable[[Any, Tensor], list[Tensor]]
    decoder: Names = field(default=lambda net: [])
    decode: Callable[[Any, Sequence[Tensor]], Iterator[Tensor]] | None = None
    blocks: tuple[type[nn.Module], ...] = ()
    image_size: Callable[[Any, Any], tuple[int, ...] | None] = field(default=lambda net, given: None)
    ready: Callable[[Any], None] = field(default=lambda net: None)


def _named(*names: str) -> Names:
    return lambda net: list(names)


_RESNET = ("conv1", "bn1", "layer1", "layer2", "layer3", "layer4")
_EFFICIENTNET = ("_conv_stem", "_bn0", "_blocks")
_SWIN_SKIPS = ("encoder1", "encoder2", "encoder3", "encoder4", "encoder10")
_UPS = ("decoder5", "decoder4", "decoder3", "decoder2")
_UPCATS = ("upcat_4", "upcat_3", "upcat_2", "upcat_1")

LAYOUTS: dict[type[nn.Module], Layout] = {
    nets.UNet: Layout(
        passes.unet_encoder,
        passes.unet_encode,
        lambda net: [f"{name}.2" for name, _ in passes.unet_layers(net)[0]],
        passes.unet_decode,
        blocks=(ResidualUnit,),
        ready=passes.unet_ready,
    ),
    nets.BasicUNet: Layout(
        _named("conv_0", "down_1", "down_2", "down_3", "down_4"),
        lambda net, x: passes.chain([net.conv_0, net.down_1, net.down_2, net.down_3, net.down_4], x),
        _named(*_UPCATS),
        lambda net, features: passes.joined([getattr(net, name) for name in _UPCATS], features),
        blocks=(TwoConv,),
    ),
    nets.DynUNet: Layout(
        _named("input_block", "downsamples", "bottleneck"),
        lambda net, x: passes.chain([net.input_block, *net.downsamples, net.bottleneck], x),
        _named("upsamples"),
        lambda net, features: passes.joined(net.upsamples, features),
        blocks=(UnetBasicBlock, UnetResBlock),
    ),
    nets.SegResNet: Layout(
        _named("convInit", "down_layers"),
        lambda net, x: net.encode(x)[1],
        _named("up_samples", "up_layers", "conv_final.0", "conv_final.1"),
        passes.segresnet_decode,
        blocks=(ResBlock,),
    ),
    nets.SegResNetDS: Layout(
        _named("encoder"),
        lambda net, x: net.encoder(x),
        passes.up_levels,
        passes.segresnet_ds_decode,
        blocks=(SegResBlock,),
    ),
    SegResEncoder: Layout(_named("conv_init", "layers"), passes.segres_encode, blocks=(SegResBlock,)),
    nets.SwinUNETR: Layout(
        _named("swinViT"),
        lambda net, x: [x, *net.swinViT(x, net.normalize)],
        _named(*_SWIN_SKIPS, *_UPS, "decoder1"),
        passes.swin_decode,
        blocks=(SwinTransformerBlock,),
    ),
    nets.UNETR: Layout(
        _named("vit"),
        passes.unetr_encode,
        _named("encoder1", "encoder2", "encoder3", "encoder4", *_UPS),
        passes.unetr_decode,
        blocks=(TransformerBlock,),
        image_size=lambda net, given: tuple(a * b for a, b in zip(net.feat_size, net.patch_size, strict=True)),
    ),
    nets.ViT: Layout(
        _named("patch_embedding", "blocks", "norm"),
        passes.vit_encode,
        blocks=(TransformerBlock,),
        image_size=passes.vit_size,
    ),
    nets.FlexibleUNet: Layout(
        _named(*(f"encoder.{name}" for name in (*_RESNET, *_EFFICIENTNET))),
        lambda net, x: net.encoder(x),
        _named("decoder"),
        passes.flexible_decode,
        blocks=(ResNetBlock, ResNetBottleneck, MBConvBlock),
    ),
    nets.ResNet: Layout(_named(*_RESNET), passes.resnet_encode, blocks=(ResNetBlock, ResNetBottleneck)),
    nets.DenseNet: Layout(_named("features"), passes.densenet_encode, blocks=(_DenseBlock,)),
    nets.EfficientNet: Layout(
        _named(*_EFFICIENTNET, "_conv_head", "_bn1"), passes.efficientnet_encode, blocks=(MBConvBlock,)
    ),
}
"""By class; a subclass is laid out like its base."""


def layout_of(network: nn.Module) -> Layout:
    """Return the layout of a network of MONAI.

    Raises:
        ValueError: for a class that is not known here.
    """
    found = next((LAYOUTS[kind] for kind in type(network).__mro__ if kind in LAYOUTS), None)
    # the variant with checkpoints wraps its layers
    if found is None or type(network).__name__ == "CheckpointUNet":
        names = ", ".join(sorted(kind.__name__ for kind in LAYOUTS))
        raise ValueError(
            f"Where the encoder of {type(network).__name__} is, is not known; known are {names} of MONAI. For another "
            "network write a subclass of `monai_ssl.networks.Encoder`, see docs/monai_networks.md."
        )
    return found
