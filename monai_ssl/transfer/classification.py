"""Decisions of a classifier (argmax, threshold) for Ignite's metrics."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def decisions(output: Sequence[Mapping[str, Tensor]], multilabel: bool = False) -> tuple[Tensor, Tensor]:
    """Return decisions and truth of a decollated batch, as ``ignite.metrics.Accuracy`` wants them.

    Args:
        output: samples with probabilities ``pred`` (K,) and ``label`` (K,) of zeros and ones.
        multilabel: every class is decided on its own, at 0.5; else the most probable class wins.

    Returns:
        Both (B, K) of zeros and ones, or the probabilities (B, K) and class indices (B,).
    """
    predicted = torch.stack([sample["pred"].as_subclass(Tensor) for sample in output])
    truth = torch.stack([sample["label"].as_subclass(Tensor) for sample in output])
    return ((predicted > 0.5).long(), truth.long()) if multilabel else (predicted, truth.argmax(1))
