"""A model card for an encoder that others published."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

from monai_ssl.arguments import check_choice
from monai_ssl.networks import Encoder, EncoderClassifier, build
from monai_ssl.transfer.card import ModelCard
from monai_ssl.transfer.export import export_weights
from monai_ssl.transfer.load import load_weights
from monai_ssl.transfer.nnunet_names import nnssl_windows, reversed_axes
from monai_ssl.transfer.published import published_recipe
from monai_ssl.transfer.releases import RELEASES, Release
from monai_ssl.transfer.weights_file import read_checkpoint, read_part


def adopt(
    source: str | Path,
    path: str | Path,
    *,
    release: str | None = None,
    method: str | None = None,
    data_license: str | None = None,
) -> Path:
    """Write the encoder of published weights as safetensors with a model card.

    Nothing is downloaded, and nothing but tensors is read. How the encoder is built is read off the file, see
    :func:`monai_ssl.transfer.published.published_recipe`; decoder and heads are left out. What is written is a start
    for every bundle (``--init_weights``, ``--weights``) and an arm of a study.

    Args:
        source: checkpoint or state dict (``.pt``, ``.pth``, ``.safetensors``).
        path: ends in ``.safetensors``.
        release: whose weights these are, a key of :data:`monai_ssl.transfer.releases.RELEASES`: the card then says
            what images they saw. A ResNet in torchvision's layout is taken for ``"imagenet"``.
        method: what the card calls it; ``release`` by default.
        data_license: of the images or weights; that of the release by default.

    Returns:
        The path of the safetensors file.

    Raises:
        ValueError: when the layout of the file is not known, or a part of the encoder is missing.
    """
    check_choice(tuple(RELEASES), release=release or "imagenet")
    tensors, _, _ = read_part(source, "encoder")
    recipe = published_recipe(tensors)
    if recipe is None:
        raise ValueError(
            f"The layout of {source} is not known: a ResNet for images in torchvision's, Models Genesis, nnU-Net's "
            "residual encoder and Primus, and MONAI's SwinUNETR, SegResNet and SegResEncoder are. Build another "
            "network by a configuration and load it with `--init_weights`, which takes any network of MONAI by its own "
            "names."
        )
    if release is None and recipe["_target_"].endswith("ResNetEncoder"):
        release = "imagenet"
    facts = RELEASES[release] if release else Release("")
    classifier = EncoderClassifier(cast(Encoder, build(recipe)), 1)
    # refuses a ResNet-34 or ResNet-101 with the layers that are missing or too many
    load_weights(classifier, {n: reversed_axes(t) for n, t in tensors.items()} if facts.reversed_axes else source)
    card = ModelCard(
        method=method or release or "published",
        preset=facts.preset,
        encoder=recipe,
        modality=facts.modality,
        intensity=facts.intensity,
        channels=classifier.encoder.in_channels,
        data_license=data_license or facts.license,
        **({"normalize": facts.normalize, "spacing": facts.spacing, "window_size": facts.window_size} | _plan(source)),
    )
    return export_weights(classifier, path, card)


def _plan(source: str | Path) -> dict[str, Any]:
    """What nnssl's checkpoints say of their images, in this package's order of axes."""
    if Path(source).suffix == ".safetensors":
        return {}
    checkpoint = read_checkpoint(Path(source))
    seen = nnssl_windows(checkpoint)
    if seen is None:
        return {}
    architecture = checkpoint["nnssl_adaptation_plan"].get("architecture_plans") or {}
    strides = (architecture.get("arch_kwargs") or {}).get("strides", [])
    if any(len(set(stride)) > 1 for stride in strides if not isinstance(stride, int)):
        raise ValueError(
            f"{source} halves its axes differently (strides {strides}); only equal ones can be taken over."
        )
    facts: dict[str, Any] = {"normalize": "zscore", "window_size": tuple(reversed(seen["patch_size"]))}
    return facts | {"spacing": None if seen["spacing"] is None else tuple(map(float, reversed(seen["spacing"])))}


__all__ = ["adopt"]
