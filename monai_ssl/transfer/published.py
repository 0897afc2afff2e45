"""How to build the encoder of weights that others published, read off the names and shapes of their tensors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor

from monai_ssl.transfer.primus_names import HEADS

Tensors = Mapping[str, Tensor]
Recipe = dict[str, Any]


def published_recipe(tensors: Tensors) -> Recipe | None:
    """Return the recipe of the encoder in a file without a model card, ``None`` when its layout is not known.

    Known are ResNet-18 and ResNet-50 in torchvision's layout (2-D), the 3-D U-Net of Models Genesis, PCRL and SuPreM,
    nnU-Net's residual encoder and Primus (nnssl, OpenMind), and MONAI's SwinUNETR (Swin UNETR SSL, SuPreM, VoCo),
    SegResNet (SuPreM) and SegResEncoder (CT-FM).

    Args:
        tensors: of the encoder, see :func:`monai_ssl.transfer.weights_file.read_part`.

    >>> from monai.networks.nets import SegResNet
    >>> network = SegResNet(init_filters=8, blocks_down=(1, 2), blocks_up=(1,))
    >>> published_recipe(network.state_dict())["network"]["blocks_down"]
    [1, 2]
    """
    for end, recipe in _LAYOUTS.items():
        found = sorted((name for name in tensors if f".{name}".endswith(f".{end}")), key=len)
        if found and (made := recipe(tensors, found[0].removesuffix(end))) is not None:
            return made
    return None


def _resnet(tensors: Tensors, _: str) -> Recipe | None:
    stem = tensors["net.conv1.weight"]
    if stem.ndim != 4:
        return None
    depth = 50 if "net.layer1.0.conv3.weight" in tensors else 18
    return _ours("ResNetEncoder", stem, width=stem.shape[0], depth=depth)


def _conv(tensors: Tensors, _: str) -> Recipe:
    widths = [tensors[f"stages.{stage}.conv2.weight"].shape[0] for stage in range(_count(tensors, r"stages\.(\d+)\."))]
    return _ours("ConvEncoder", tensors["stages.0.conv1.weight"], widths=widths)


def _residual(tensors: Tensors, _: str) -> Recipe:
    stages = range(_count(tensors, r"stages\.(\d+)\."))
    widths = [tensors[f"stages.{stage}.0.conv1.conv.weight"].shape[0] for stage in stages]
    depths = [_count(tensors, rf"stages\.{stage}\.(\d+)\.") for stage in stages]
    return _ours("ResidualEncoder", tensors["stem.conv.weight"], widths=widths, depths=depths)


def _primus(tensors: Tensors, _: str) -> Recipe | None:
    embedding, positions = tensors.get("embedding.weight"), tensors.get("transformer.positions")
    if embedding is None or positions is None or len(embedding) not in HEADS:
        return None
    width, patch = embedding.shape[0], embedding.shape[-1]
    return _ours(
        "VisionTransformer",
        embedding,
        window_size=[side * patch for side in positions.shape[2:]],
        patch=patch,
        width=width,
        depth=_count(tensors, r"transformer\.blocks\.(\d+)\."),
        heads=HEADS[width],
    )


def _ours(name: str, stem: Tensor, **arguments: Any) -> Recipe:
    target = f"monai_ssl.networks.{name}"
    return {"_target_": target, "spatial_dims": stem.ndim - 2, "in_channels": stem.shape[1], **arguments}


def _swin(tensors: Tensors, prefix: str) -> Recipe:
    projection = tensors[f"{prefix}patch_embed.proj.weight"]
    dims, at = projection.ndim - 2, re.escape(prefix)
    layers = range(1, 1 + _count(tensors, rf"{at}layers(\d)\.", start=1))
    tables = [tensors[f"{prefix}layers{k}.0.blocks.0.attn.relative_position_bias_table"] for k in layers]
    return _monai(
        "SwinUNETR",
        projection,
        out_channels=1,
        patch_size=projection.shape[-1],
        feature_size=projection.shape[0],
        depths=[_count(tensors, rf"{at}layers{k}\.0\.blocks\.(\d+)\.") for k in layers],
        num_heads=[table.shape[1] for table in tables],
        window_size=(round(tables[0].shape[0] ** (1 / dims)) + 1) // 2,
        use_v2=any(name.startswith(f"{prefix}layers1c.") for name in tensors),
    )


def _segresnet(tensors: Tensors, prefix: str) -> Recipe:
    at, stem = re.escape(prefix), tensors[f"{prefix}convInit.conv.weight"]
    levels = range(_count(tensors, rf"{at}down_layers\.(\d+)\."))
    # the first entry of a level is its strided convolution
    blocks = [_count(tensors, rf"{at}down_layers\.{level}\.(\d+)\.norm1\.", start=1) for level in levels]
    ups = [1] * (len(blocks) - 1)
    return _monai("SegResNet", stem, init_filters=stem.shape[0], blocks_down=blocks, blocks_up=ups)


def _segres_encoder(tensors: Tensors, prefix: str) -> Recipe:
    at, stem = re.escape(prefix), tensors[f"{prefix}conv_init.weight"]
    levels = range(_count(tensors, rf"{at}layers\.(\d+)\."))
    blocks = [_count(tensors, rf"{at}layers\.{level}\.blocks\.(\d+)\.") for level in levels]
    norm = "batch" if f"{prefix}layers.0.blocks.0.norm1.running_mean" in tensors else "instance"
    return _monai("segresnet_ds.SegResEncoder", stem, init_filters=stem.shape[0], blocks_down=blocks, norm=norm)


def _monai(name: str, stem: Tensor, **arguments: Any) -> Recipe:
    network = {"_target_": f"monai.networks.nets.{name}", "spatial_dims": stem.ndim - 2, "in_channels": stem.shape[1]}
    return {"_target_": "monai_ssl.networks.MonaiEncoder", "network": network | arguments}


def _count(tensors: Tensors, pattern: str, start: int = 0) -> int:
    """How many numbers in a row, from ``start``, stand at the group of the pattern."""
    found = {int(match[1]) for name in tensors if (match := re.match(pattern, name))}
    return next(number for number in range(start, start + len(found) + 1) if number not in found) - start


_LAYOUTS: dict[str, Callable[[Tensors, str], Recipe | None]] = {
    "net.conv1.weight": _resnet,
    "stages.0.conv1.weight": _conv,
    "stem.conv.weight": _residual,
    "transformer.norm.weight": _primus,
    "patch_embed.proj.weight": _swin,
    "convInit.conv.weight": _segresnet,
    "conv_init.weight": _segres_encoder,
}
"""By the end of the name of one tensor that all have, after :func:`monai_ssl.transfer.authors_keys.translate`."""

__all__ = ["published_recipe"]
