"""A model card for a ResNet that others published, such as one supervised on ImageNet."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from monai_ssl.networks import Encoder, EncoderClassifier, build
from monai_ssl.transfer.card import ModelCard
from monai_ssl.transfer.export import export_weights
from monai_ssl.transfer.load import load_weights
from monai_ssl.transfer.weights_file import read_part


def adopt_resnet(
    source: str | Path, path: str | Path, *, method: str = "imagenet", data_license: str = "not stated"
) -> Path:
    """Write the encoder of a ResNet-18 or ResNet-50 in torchvision's layout as weights with a model card.

    Nothing is downloaded. Width and channels are read from the file, whose classifier is left out. A study takes
    what is written as ``weights`` of a method, an arm beside those that it pre-trains.

    Args:
        source: state dict (``.pth``, ``.safetensors``) with torchvision's names.
        path: ends in ``.safetensors``.
        method: what the card calls it.
        data_license: of the images that it was trained on.

    Returns:
        The path of the safetensors file.

    Raises:
        ValueError: when the file holds no such network.
    """
    tensors, _, _ = read_part(source, "encoder")
    stem = tensors.get("net.conv1.weight")
    if stem is None or stem.ndim != 4:
        raise ValueError(
            f"{source} holds no ResNet for images in torchvision's layout (`conv1`, `layer1.0.conv1`, ...): only such "
            "a file can be adopted; build another network by a configuration and use `load_weights`."
        )
    recipe = {
        "_target_": "monai_ssl.networks.ResNetEncoder",
        "spatial_dims": 2,
        "in_channels": stem.shape[1],
        "width": stem.shape[0],
        "depth": 50 if "net.layer1.0.conv3.weight" in tensors else 18,
    }
    classifier = EncoderClassifier(cast(Encoder, build(recipe)), 1)
    # refuses a ResNet-34 or ResNet-101 with the layers that are missing or too many
    load_weights(classifier, source)
    card = ModelCard(
        method=method,
        preset="supervised",
        encoder=recipe,
        modality="natural images",
        normalize="imagenet",
        channels=stem.shape[1],
        data_license=data_license,
    )
    return export_weights(classifier, path, card)


__all__ = ["adopt_resnet"]
