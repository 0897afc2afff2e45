"""Weights, cards and checkpoints."""

from __future__ import annotations

from pathlib import Path

import torch
from targets import SilentlyAcceptedError, Target, as_json
from torch import nn

from monai_ssl.bundle import load_method
from monai_ssl.transfer import ModelCard, export_weights, load_weights
from monai_ssl.transfer.export import hash_tensors


class _Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Conv3d(1, 2, 3), nn.BatchNorm3d(2))


def weight_targets(scratch: Path) -> list[Target]:
    """Return published weights, their card alone, a training checkpoint and a file of a whole method."""
    torch.manual_seed(0)
    network = _Network()
    card = ModelCard("pcrlv2", "paper", {"_target_": "x"}, "ct", {"window": [-1000, 1000]}, spacing=(1.0, 1.0, 2.0))
    published = export_weights(network, scratch / "encoder.safetensors", card)
    good = hash_tensors(network.encoder.state_dict())
    torch.save({"format": 1, "method": network.state_dict(), "epoch": 3}, scratch / "checkpoint.pt")
    torch.save(network.state_dict(), scratch / "model.pt")

    def use_published(folder: Path) -> None:
        fresh = _Network()
        account = load_weights(fresh, folder / "encoder.safetensors")
        if account.card is not None:
            _check_card(account.card)
            if hash_tensors(fresh.encoder.state_dict()) != good:
                raise SilentlyAcceptedError("altered tensors were loaded although the card has their hash")

    return [
        Target("safetensors", "encoder.safetensors", published.read_bytes(), use_published),
        Target(
            "card",
            "card.json",
            card.to_json().encode(),
            lambda folder: _check_card(ModelCard.from_json((folder / "card.json").read_text("utf-8", "replace"))),
            as_json,
        ),
        Target(
            "checkpoint",
            "checkpoint.pt",
            (scratch / "checkpoint.pt").read_bytes(),
            lambda folder: _check_load(folder / "checkpoint.pt"),
        ),
        Target(
            "method",
            "model.pt",
            (scratch / "model.pt").read_bytes(),
            lambda folder: load_method(_Network(), str(folder / "model.pt")),  # type: ignore[arg-type]
        ),
    ]


def _check_card(card: ModelCard) -> None:
    card.to_markdown("encoder.safetensors")
    card.disagreements({"modality": "ct", "spacing": (1.0, 1.0, 1.0), "channels": 1})


def _check_load(path: Path) -> None:
    load_weights(_Network(), path)
