"""Forward passes of MONAI's networks in two halves: encoders give maps fine to coarse, decoders coarse to fine."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from monai.networks.blocks import Convolution
from torch import Tensor, nn


def concatenated(stages: Sequence[nn.Module], features: Sequence[Tensor]) -> Iterator[Tensor]:
    """Stages that take the concatenation of the skip connection and what comes from below."""
    x = features[-1]
    for stage, skip in zip(stages, reversed(features[:-1]), strict=True):
        x = stage(torch.cat([skip, x], dim=1))
        yield x


def joined(stages: Sequence[nn.Module], features: Sequence[Tensor]) -> Iterator[Tensor]:
    """Stages that take what comes from below and the skip connection."""
    x = features[-1]
    for stage, skip in zip(stages, reversed(features[:-1]), strict=True):
        x = stage(x, skip)
        yield x


# UNet: a layer is (down, skip connection around the next layer, up); the innermost is one block


def unet_layers(net: Any) -> tuple[list[tuple[str, Any]], tuple[str, Any]]:
    layers, name, layer = [], "model", net.model
    while isinstance(layer, nn.Sequential) and not isinstance(layer, Convolution):
        layers.append((name, layer))
        name, layer = f"{name}.1.submodule", getattr(layer[1], "submodule", None)  # none where the encoder was left out
    return layers, (name, layer)


def unet_encoder(net: Any) -> list[str]:
    layers, (bottom, _) = unet_layers(net)
    return [*(f"{name}.0" for name, _ in layers), bottom]


def unet_encode(net: Any, x: Tensor) -> list[Tensor]:
    layers, (_, bottom) = unet_layers(net)
    features = []
    for _, layer in layers:
        x = layer[0](x)
        features.append(x)
    return [*features, bottom(x)]


def unet_decode(net: Any, features: Sequence[Tensor]) -> Iterator[Tensor]:
    return concatenated([layer[2] for _, layer in reversed(unet_layers(net)[0])], features)


def unet_ready(net: Any) -> None:
    """The top level of a UNet is its output layer; here it gets the channels of the level instead of the classes."""
    channels = net.channels
    inputs = 2 * channels[0] if len(channels) > 2 else channels[0] + channels[1]
    net.model[2] = net._get_up_layer(inputs, channels[0], net.strides[0], False)


# SegResNet and SegResNetDS add the skip connection


def segresnet_decode(net: Any, features: Sequence[Tensor]) -> Iterator[Tensor]:
    x, last = features[-1], len(net.up_layers) - 1
    for level, (up, stage, skip) in enumerate(zip(net.up_samples, net.up_layers, reversed(features[:-1]), strict=True)):
        x = stage(up(x) + skip)
        yield net.conv_final[:2](x) if level == last else x


def segres_encode(net: Any, x: Tensor) -> list[Tensor]:
    x, features = net.conv_init(x), []
    for level in net.layers:
        x = level["blocks"](x)
        features.append(x)
        x = level["downsample"](x)
    return features


def segresnet_ds_decode(net: Any, features: Sequence[Tensor]) -> Iterator[Tensor]:
    x = features[-1]
    for level, skip in zip(net.up_layers, reversed(features[:-1]), strict=True):
        x = level["blocks"](level["upsample"](x) + skip)
        yield x


def up_levels(net: Any) -> list[str]:
    return [f"up_layers.{i}.{part}" for i in range(len(net.up_layers)) for part in ("upsample", "blocks")]


# the transformers; their decoders take the image itself as the finest map


def swin_decode(net: Any, features: Sequence[Tensor]) -> Iterator[Tensor]:
    image, *hidden, coarsest = features
    skips = [net.encoder1(image), net.encoder2(hidden[0]), net.encoder3(hidden[1]), net.encoder4(hidden[2]), hidden[3]]
    stages = [net.decoder5, net.decoder4, net.decoder3, net.decoder2, net.decoder1]
    return joined(stages, [*skips, net.encoder10(coarsest)])


def grid(tokens: Tensor, image: Tensor, patch: Sequence[int]) -> Tensor:
    sizes = [side // own for side, own in zip(image.shape[2:], patch, strict=True)]
    return tokens.transpose(1, 2).reshape(len(tokens), -1, *sizes)


def unetr_encode(net: Any, x: Tensor) -> list[Tensor]:
    last, hidden = net.vit(x)
    return [x, *(grid(tokens, x, net.patch_size) for tokens in (hidden[3], hidden[6], hidden[9], last))]


def unetr_decode(net: Any, features: Sequence[Tensor]) -> Iterator[Tensor]:
    image, *hidden, coarsest = features
    skips = [net.encoder1(image)]
    skips += [stage(x) for stage, x in zip((net.encoder2, net.encoder3, net.encoder4), hidden, strict=True)]
    return joined([net.decoder5, net.decoder4, net.decoder3, net.decoder2], [*skips, coarsest])


def vit_encode(net: Any, x: Tensor) -> list[Tensor]:
    return [grid(net(x)[0], x, net.patch_embedding.patch_embeddings.stride)]


def vit_size(net: Any, given: Any) -> tuple[int, ...]:
    convolution = net.patch_embedding.patch_embeddings
    if net.classification or not isinstance(convolution, nn.modules.conv._ConvNd):
        raise ValueError("A ViT is pre-trained with `classification: false` and `proj_type: conv`; set both.")
    dims = len(convolution.stride)
    if given is None:
        side = round(float(net.patch_embedding.n_patches) ** (1 / dims))
        given = [side * patch for patch in convolution.stride]
    return tuple(given) if isinstance(given, Sequence) else (int(given),) * dims


# networks that classify: no decoder


def resnet_encode(net: Any, x: Tensor) -> list[Tensor]:
    features = [net.act(net.bn1(net.conv1(x)))]
    x = features[0] if net.no_max_pool else net.maxpool(features[0])
    for layer in (net.layer1, net.layer2, net.layer3, net.layer4):
        x = layer(x)
        features.append(x)
    return features


def densenet_encode(net: Any, x: Tensor) -> list[Tensor]:
    features = []
    for name, layer in net.features.named_children():
        x = layer(x)
        # before each step to a coarser map, and at the end
        if name.startswith("relu") or name.startswith("denseblock"):
            features.append(x)
    return [*features[:-1], F.relu(x)]


def efficientnet_stacks(net: Any, x: Tensor) -> tuple[Tensor, list[Tensor]]:
    x = net._swish(net._bn0(net._conv_stem(net._conv_stem_padding(x))))
    features = []
    for i, stack in enumerate(net._blocks):
        if i in net.extract_stacks:
            features.append(x)
        x = stack(x)
    return x, features


def efficientnet_encode(net: Any, x: Tensor) -> list[Tensor]:
    x, features = efficientnet_stacks(net, x)
    return [*features, net._swish(net._bn1(net._conv_head(net._conv_head_padding(x))))]


def chain(stages: Sequence[nn.Module], x: Tensor) -> list[Tensor]:
    features = []
    for stage in stages:
        x = stage(x)
        features.append(x)
    return features


def flexible_decode(net: Any, features: Sequence[Tensor]) -> Iterator[Tensor]:
    x = features[-1]
    skips = [*reversed(features[:-1])]
    for level, block in enumerate(net.decoder.blocks):
        x = block(x, skips[level] if level < net.skip_connect else None)
        yield x
