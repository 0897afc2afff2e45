"""A trained run read back from its folder: encoder, classifier, preprocessing, and the same network untrained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from monai_ssl.files import read_json
from monai_ssl.networks import Encoder, build
from monai_ssl.store.intensity import Intensity, default_intensity, intensity_from_dict
from monai_ssl.tasks.networks import normalize_inputs
from monai_ssl.transfer import ModelCard, load_weights, read_card

WEIGHTS, DESCRIPTION = "encoder.safetensors", "model.json"


@dataclass(frozen=True)
class TrainedRun:
    """What a pre-training or a fine-tuning left behind.

    Both encoders take images (B, 1 or C, *spatial) in [0, 1]: the channels that they expect and the normalization of
    the training are applied before them, so that trained and untrained networks see the same.

    Args:
        folder: of the run, or the weights file.
        card: of the encoder.
        encoder: trained.
        untrained: of the same recipe, with random weights.
        classifier: of a fine-tuned classification, logits (B, K); its ``encoder`` is that of the run.
        classes: names of its logits.
        window_size: voxels of what the network was trained on; empty where that is not recorded.
    """

    folder: Path
    card: ModelCard
    encoder: Encoder
    untrained: Encoder
    classifier: nn.Module | None = None
    classes: tuple[str, ...] = ()
    window_size: tuple[int, ...] = ()

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def spatial_dims(self) -> int:
        return self.encoder.spatial_dims

    def intensity(self, modality: str) -> Intensity:
        """Return how values of a scan of that modality became [0, 1] in training."""
        recorded: Mapping[str, Any] = self.card.intensity
        preset = recorded if "kind" in recorded else recorded.get(modality)
        return intensity_from_dict(preset) if preset else default_intensity(modality)


def read_run(path: str | Path, *, device: torch.device | str = "cpu", seed: int = 0) -> TrainedRun:
    """Read a run.

    Args:
        path: its output folder, or a safetensors file with a model card.
        device: where its networks go.
        seed: of the untrained network.

    Raises:
        FileNotFoundError: when there is no such folder, or nothing in it to analyse.
        ValueError: when what is there is damaged, has no card, or names a network that is not known.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no run {path}: give the output folder of a training.")
    weights = path if path.is_file() else path / WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(
            f"{path} holds no `{WEIGHTS}`: give the `output_dir` of a pre-training, or the `ckpt_dir` of a fine-tuning."
        )
    card = read_card(weights) if weights.suffix == ".safetensors" else None
    if card is None:
        raise ValueError(
            f"{weights} has no model card, which says how the encoder is built and how images must look: give the "
            f"`{WEIGHTS}` of a run, or write one with `monai_ssl.transfer.export_weights`."
        )
    described = read_json(weights.with_name(DESCRIPTION), {})
    encoder = _encoder(card, seed)
    load_weights(encoder, weights)
    return TrainedRun(
        path,
        card,
        _ready(encoder, card.normalize, device),
        _ready(_encoder(card, seed), card.normalize, device),
        window_size=tuple(described.get("window_size", ())),
    )


def _encoder(card: ModelCard, seed: int) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build(card.encoder)
    if not isinstance(encoder, Encoder):
        raise ValueError(f"The model card names {card.encoder.get('_target_')!r}, which is no encoder.")
    return encoder


def _ready(encoder: Encoder, normalize: str | None, device: torch.device | str) -> Encoder:
    normalize_inputs(encoder, normalize)
    # before the normalization
    encoder.register_forward_pre_hook(lambda _, inputs: (_with_channels(inputs[0], encoder.in_channels),), prepend=True)
    return encoder.to(device).eval()


def _with_channels(x: Tensor, channels: int) -> Tensor:
    """Repeat gray images (B, 1, *spatial), or average color ones to gray."""
    if x.shape[1] == channels:
        return x
    return x.mean(1, keepdim=True) if channels == 1 else x[:, :1].expand(-1, channels, *x.shape[2:])
