"""``handoff``: pre-trained weights as a bundle for MONAI Label's ``monaibundle`` app."""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_ssl.bundle_folders import bundle_folder
from monai_ssl.files import ASIDE, atomic, read_json, write_json
from monai_ssl.tasks import Segmentation
from monai_ssl.transfer import ModelCard, encoder_of, load_weights, read_card
from monai_ssl.zoo.card_settings import card_settings
from monai_ssl.zoo.config_lines import drop_key, set_keys
from monai_ssl.zoo.contents import bundle_contents
from monai_ssl.zoo.readme import handed_readme

PRETRAINED = "models/pretrained/encoder.safetensors"
"""In the written bundle. Not in ``models`` itself: MONAI Label offers all that lies there as a model to infer with."""

_FOLDERS = {"output_dir": "$@bundle_root + '/eval'", "ckpt_dir": "$@bundle_root + '/models'"}
"""Of a bundle that is the annotators' own: MONAI Label serves ``models/model.pt``, and each training replaces it."""

# MONAI Label guesses the task from these words in the name of the folder, and expects other data then
_OTHER_TASKS = ("deepedit", "deepgrow", "detection", "classification")


def hand_off(
    weights: str | Path,
    labels: Sequence[str],
    folder: str | Path,
    *,
    name: str,
    modality: str | None = None,
    roi_size: Sequence[int] = (64, 64, 32),
    seed: int = 0,
) -> Path:
    """Write a bundle from ``bundles/segmentation`` with a pre-trained encoder and a fresh decoder.

    Everything that the model card of the weights says stands in its configuration, the encoder spelled out, so that
    no option is needed to serve or train it. ``models/model.pt`` is what MONAI Label serves and goes on training; the
    pre-trained encoder alone lies beside it, from which training starts when ``model.pt`` is deleted.

    Only segmentation is handed over: what MONAI Label's viewers show and correct are label maps, in which the class or
    the number of a whole image has no place.

    Args:
        weights: safetensors with a model card, of a 3-D encoder.
        labels: names of the structures; the first is 1 in the label files, and so on.
        folder: gets the bundle; ``model`` in MONAI Label's app.
        name: of the bundle and its folder.
        modality: of the images to annotate, when the weights saw several.
        roi_size: voxels of a training patch and of the sliding window.
        seed: of the decoder.

    Returns:
        The folder of the bundle.

    Raises:
        ValueError: when labels, name or card cannot be used, or there is a folder of that name.
        FileNotFoundError: when there are no such weights.
    """
    names, target = _checked_labels(labels), Path(folder) / _checked_name(name)
    if target.exists():
        raise ValueError(f"{target} is there already; remove it, or choose another `name`.")
    card = card_of(Path(weights))
    labels_in_files = {label: value for value, label in enumerate(names, start=1)}
    settings = {"labels": labels_in_files, "roi_size": list(roi_size), **card_settings(card, modality)}
    network = _network(weights, card, Segmentation(labels_in_files), roi_size, seed)
    Path(folder).mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(prefix=ASIDE, dir=folder))
    try:
        _write(aside, network, Path(weights), card, settings, name)
        aside.chmod(0o755)
        aside.rename(target)
    finally:
        shutil.rmtree(aside, ignore_errors=True)
    return target


def _checked_labels(labels: Sequence[str]) -> list[str]:
    names = [label.strip() for label in labels]
    usable = all(re.fullmatch(r"[\w.()+ -]+", label) for label in names)
    # MONAI Label lowers the case of what it shows
    if not names or not usable or len({label.lower() for label in names} - {"background"}) < len(names):
        raise ValueError(
            "`labels` must be different names of letters, digits and spaces, in the order of their values in the label "
            f"files and without background, e.g. liver,tumor; got {','.join(labels)!r}."
        )
    return names


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]*", name):
        raise ValueError(f"`name` becomes a folder and part of a URL: letters, digits, `_` and `-` only, not {name!r}.")
    if wrong := [word for word in _OTHER_TASKS if word in name.lower()]:
        raise ValueError(f"MONAI Label takes a bundle with `{wrong[0]}` in its name for another task; rename {name!r}.")
    return name


def card_of(weights: Path) -> ModelCard:
    """Return the model card of a file of weights.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has none.
    """
    if not weights.is_file():
        raise FileNotFoundError(f"There is no weights file `{weights}`; give the `encoder.safetensors` of a run.")
    card = read_card(weights) if weights.suffix == ".safetensors" else None
    if card is None:
        raise ValueError(
            f"`{weights}` has no model card, which says how the encoder is built and how its images were prepared: "
            "give the `encoder.safetensors` of a run, or write one with `monai_ssl.transfer.export_weights`."
        )
    return card


def _network(weights: str | Path, card: ModelCard, task: Segmentation, roi_size: Sequence[int], seed: int) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = task.network(encoder_of(card, 3, card.channels), roi_size=roi_size)
    load_weights(network, weights)
    return network


def _write(
    folder: Path, network: nn.Module, weights: Path, card: ModelCard, settings: dict[str, Any], name: str
) -> None:
    source = bundle_folder("segmentation")
    for member, data in bundle_contents(source).items():
        if member.startswith(("configs/", "LICENSE")):
            (folder / member).parent.mkdir(parents=True, exist_ok=True)
            (folder / member).write_bytes(data)
    (folder / "docs").mkdir()
    (folder / "docs/README.md").write_text(handed_readme(name, settings, card))
    (folder / "docs/data_license.txt").write_text(f"{card.data_license}\n")
    train = {"weights": f"$@bundle_root + '/{PRETRAINED}'", "overwrite": True}
    for config, own in (("train", train), ("inference", {})):
        path = folder / "configs" / f"{config}.json"
        path.write_text(_configured(path.read_text(), settings | _FOLDERS | own))
    path = folder / "configs/evaluate.json"
    # that of `train.json` is spelled out
    path.write_text(drop_key(path.read_text(), "encoder"))
    path = folder / "configs/metadata.json"
    write_json(path, _described(read_json(path), card, settings, name))
    with atomic(folder / "models/model.pt") as file:
        torch.save(network.state_dict(), file)
    (folder / PRETRAINED).parent.mkdir()
    shutil.copy2(weights, folder / PRETRAINED)
    (folder / PRETRAINED).with_name("MODEL_CARD.md").write_text(card.to_markdown(Path(PRETRAINED).name))


def _configured(text: str, settings: dict[str, Any]) -> str:
    # what is spelled out leaves `width`, `normalize` and, in inference, `weights` without a reader
    text = drop_key(drop_key(text.replace('"width": "@width", ', "", 1), "width"), "normalize")
    return set_keys(text if "weights" in settings else drop_key(text, "weights"), settings)


def _described(metadata: dict[str, Any], card: ModelCard, settings: dict[str, Any], name: str) -> dict[str, Any]:
    labels = list(settings["labels"])
    image, pred = metadata["network_data_format"]["inputs"]["image"], metadata["network_data_format"]["outputs"]["pred"]
    image |= {
        "format": "hounsfield" if settings["modality"].lower() == "ct" else "magnitude",
        "modality": settings["modality"].upper(),
        "num_channels": card.channels,
        "spatial_shape": settings["roi_size"],
        "channel_def": {str(channel): "image" for channel in range(card.channels)},
    }
    pred |= {
        "num_channels": len(labels) + 1,
        "spatial_shape": settings["roi_size"],
        "channel_def": {"0": "background", **{str(value): label for label, value in settings["labels"].items()}},
    }
    return metadata | {
        "name": name,
        "task": f"Segmentation of {', '.join(labels)}",
        "description": f"Segmentation of {', '.join(labels)}, from an encoder pre-trained by {json.dumps(card.method)}",
        "changelog": {metadata["version"]: f"handed off from {card.method} weights {card.tensors_sha256[:12]}"},
    }
