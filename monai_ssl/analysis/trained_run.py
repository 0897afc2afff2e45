"""A trained run read back from its folder: encoder, classifier, preprocessing, and the same network untrained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from monai_ssl.data.cases import is_there
from monai_ssl.files import read_json
from monai_ssl.networks import Encoder, EncoderClassifier, batch_to_group_norm, build
from monai_ssl.store.intensity import Intensity, default_intensity, intensity_from_dict, scaled_otherwise
from monai_ssl.tasks.description import DESCRIPTION
from monai_ssl.tasks.networks import Normalize, normalize_inputs
from monai_ssl.tasks.training import MODEL
from monai_ssl.transfer import ModelCard, load_weights, read_card

WEIGHTS = "encoder.safetensors"
FINE_TUNED = "fine-tuned"


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
        multilabel: whether an image may have several of them.
        window_size: pixels or voxels that the classifier was trained on.
        start: weights file that the fine-tuning started from, where it is still there.
    """

    folder: Path
    card: ModelCard
    encoder: Encoder
    untrained: Encoder
    classifier: nn.Module | None = None
    classes: tuple[str, ...] = ()
    multilabel: bool = False
    window_size: tuple[int, ...] = ()
    start: Path | None = None

    @property
    def name(self) -> str:
        """Name of the folder."""
        return self.folder.resolve().name

    @property
    def is_fine_tuned(self) -> bool:
        """Whether it was trained with labels."""
        return self.card.preset == FINE_TUNED

    @property
    def spatial_dims(self) -> int:
        return self.encoder.spatial_dims

    def intensity(self, modality: str) -> Intensity:
        """Return how values of a scan of that modality became [0, 1] in training, else the default of its modality."""
        recorded: Mapping[str, Any] = self.card.intensity
        of_one = "kind" in recorded and not scaled_otherwise(modality, self.card.modality)
        preset = recorded if of_one else recorded.get(modality)
        return intensity_from_dict(preset) if preset else default_intensity(modality)


def read_run(path: str | Path, *, device: torch.device | str = "cpu", seed: int = 0) -> TrainedRun:
    """Read a run.

    Args:
        path: the output folder of a pre-training; that of a fine-tuning, whose ``model.pt`` lies in it or in its folder
            ``models``; or a safetensors file with a model card.
        device: where its networks go.
        seed: of the untrained network.

    Raises:
        FileNotFoundError: when there is no such folder, or nothing in it to analyse.
        ValueError: when what is there is damaged, has no card, or names a network that is not known.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"There is no run {path}: give the output folder of a training.")
    for folder in (path, path / "models") if path.is_dir() else ():
        described = read_json(folder / DESCRIPTION, {})
        if isinstance(described, dict) and "task" in described:
            return fine_tuned_run(path, folder / MODEL, described, device, seed)
    weights = path if path.is_file() else path / WEIGHTS
    if not weights.is_file():
        raise FileNotFoundError(
            f"{path} holds neither `{WEIGHTS}`, which a pre-training leaves in its `output_dir`, nor `{MODEL}` and "
            f"`{DESCRIPTION}`, which a fine-tuning leaves in its `ckpt_dir`: give one of these folders."
        )
    card = read_card(weights) if weights.suffix == ".safetensors" else None
    if card is None:
        raise ValueError(
            f"{weights} has no model card, which says how the encoder is built and how images must look: give the "
            f"`{WEIGHTS}` of a run, or write one with `monai_ssl.transfer.export_weights`."
        )
    trained, untrained = _encoder(card.encoder, seed), _encoder(card.encoder, seed)
    load_weights(trained, weights)
    return TrainedRun(path, card, _ready(trained, card, device), _ready(untrained, card, device))


def fine_tuned_run(
    path: Path, model: Path, described: Mapping[str, Any], device: torch.device | str, seed: int
) -> TrainedRun:
    """Read a fine-tuning by its ``model.json``, see :class:`monai_ssl.tasks.DescribeModel`.

    Raises:
        FileNotFoundError: when there is no ``model.pt``.
        ValueError: when the description lacks an entry, or the model is not the one that it describes.
    """
    if not model.is_file():
        raise FileNotFoundError(f"{model} is missing beside its `{DESCRIPTION}`: the training was stopped too early.")
    try:
        task, network, recipe = (dict(described[name]) for name in ("task", "network", "encoder"))
        name, modality = str(task["name"]), str(described["modality"])
        intensity = described.get("intensity") or default_intensity(modality).to_dict()
        card = ModelCard(name.lower(), FINE_TUNED, recipe, modality, intensity, network.get("normalize"))
        card = replace(card, spacing=described.get("spacing"))
        classes, size = tuple(map(str, task.get("classes", ()))), tuple(map(int, network.get("image_size") or ()))
        start = Path(str(described.get("weights") or ""))
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"The `{DESCRIPTION}` beside {model} lacks what it must say ({error}); train again."
        ) from error
    trained, untrained = (_with_norm(_encoder(recipe, seed), network.get("norm")) for _ in range(2))
    load_weights(trained, model)
    trained, untrained = _ready(trained, card, device), _ready(untrained, card, device)
    classifier = None
    if name == "Classification":
        classifier = EncoderClassifier(trained, len(classes), 0.0, int(task.get("parts", 1))).to(device).eval()
        load_weights(classifier, model, "head")
    return TrainedRun(
        path,
        card,
        trained,
        untrained,
        classifier,
        classes,
        multilabel=task.get("multilabel") is True,
        window_size=size,
        start=start if is_there(start) and start.is_file() else None,
    )


def _encoder(recipe: Mapping[str, Any], seed: int) -> Encoder:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = build(recipe)
    if not isinstance(encoder, Encoder):
        raise ValueError(f"The run names {recipe.get('_target_')!r}, which is no encoder.")
    return encoder


def _with_norm(encoder: Encoder, norm: Any) -> Encoder:
    return cast(Encoder, batch_to_group_norm(encoder)) if norm == "group" else encoder


def _ready(encoder: Encoder, card: ModelCard, device: torch.device | str) -> Encoder:
    normalize_inputs(encoder, cast(Normalize | None, card.normalize))
    # before the normalization
    encoder.register_forward_pre_hook(lambda _, inputs: (_with_channels(inputs[0], encoder.in_channels),), prepend=True)
    return encoder.to(device).eval()


def _with_channels(x: Tensor, channels: int) -> Tensor:
    """Repeat gray images (B, 1, *spatial), or average color ones to gray."""
    if x.shape[1] == channels:
        return x
    return x.mean(1, keepdim=True) if channels == 1 else x[:, :1].expand(-1, channels, *x.shape[2:])
