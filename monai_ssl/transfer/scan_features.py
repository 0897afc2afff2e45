"""Feature vector of a whole scan by a pre-trained encoder, for nearest-neighbor search of patients."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from monai_ssl.networks import Encoder
from monai_ssl.networks.modes import device_of, evaluating
from monai_ssl.store import Scan
from monai_ssl.transfer.card import ModelCard, read_card
from monai_ssl.transfer.encoders import matching_encoder
from monai_ssl.transfer.load import load_weights
from monai_ssl.transforms.crops.cut import resize, with_channels
from monai_ssl.transforms.intensity.normalize import NORMALIZATIONS


def trained_encoder(weights: str | Path, spatial_dims: int, channels: int) -> tuple[Encoder, ModelCard | None]:
    """Return the encoder of ``weights`` as it was trained, and its card.

    Args:
        weights: file, see :func:`monai_ssl.transfer.load_weights`.
        spatial_dims: 2 or 3.
        channels: of the image, for weights without a card.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it holds another kind of encoder.
    """
    if not Path(weights).is_file():
        raise FileNotFoundError(
            f"There are no weights {weights}: `encoder.safetensors` of a run's `output_dir` is meant."
        )
    card = read_card(weights) if Path(weights).suffix == ".safetensors" else None
    channels = channels if card is None else int(card.encoder.get("in_channels", channels))
    encoder = matching_encoder(str(weights), spatial_dims, channels)
    load_weights(encoder, weights)
    return encoder, card


@torch.no_grad()
def scan_features(
    encoder: Encoder, scans: Sequence[Scan], size: Sequence[int], card: ModelCard | None = None
) -> np.ndarray:
    """Return the pooled coarsest map of each whole scan, resized to ``size`` (TransVW: 128 x 128 x 64 voxels).

    Args:
        encoder: runs where its weights are, in evaluation mode.
        scans: of any sizes.
        size: voxels along each axis.
        card: of the weights; images are normalized as it says.

    Returns:
        (N, D) float32.
    """
    device = device_of(encoder)
    normalize = NORMALIZATIONS.get(card.normalize or "") if card is not None else None
    vectors = []
    with evaluating(encoder):
        for scan in scans:
            x = with_channels(_whole(scan, tuple(size)), encoder.in_channels)[None].to(device)
            vectors.append(encoder.pooled(x if normalize is None else normalize(x))[0].cpu())
    return torch.stack(vectors).numpy()


def _whole(scan: Scan, size: tuple[int, ...]) -> Tensor:
    # a scan much larger than `size` is read with gaps: a hundredth of the memory, and no vector that differs visibly
    where = (slice(None), *(slice(None, None, max(1, n // (2 * s))) for n, s in zip(scan.shape[1:], size, strict=True)))
    return resize(torch.from_numpy(np.ascontiguousarray(scan[where])), size)
