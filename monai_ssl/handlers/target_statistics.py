"""Recompute batch norm statistics on target data before an evaluation."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from ignite.engine import Engine, Events
from torch import nn

from monai_ssl.evaluation.bn_statistics import BNDistance, bn_distance, encoder_statistics, recollect_bn

_logger = logging.getLogger(__name__)


class TargetStatistics:
    """Recompute the running statistics of batch norm on target data when an evaluation starts.

    Statistics that moved from the data of pre-training to that of the target mix both ("MBS"); those of training images
    of the target alone ("TBS") score better where the two domains are far apart (Zhang and Gu, "Dive into
    Self-Supervised Learning for Medical Image Analysis", 2023, https://arxiv.org/abs/2209.12157). Attach it behind what
    loads the weights. Without a layer that keeps such statistics it says so and changes nothing. Afterwards
    ``distance`` tells how far those of the encoder moved (Eq. 15); ``None`` where none has moved.

    Args:
        network: to evaluate; has an ``encoder``.
        loader: batches of training images without augmentation; begun anew when it ends.
        batches: how many are read, 100 at least for steady statistics.
        key: of the images in a batch.

    Raises:
        ValueError: when ``batches`` is below 1.

    >>> import torch
    >>> from monai_ssl.networks import ConvEncoder, EncoderClassifier
    >>> network = EncoderClassifier(ConvEncoder(2, widths=(4, 8)), 2)
    >>> statistics = TargetStatistics(network, [{"image": torch.rand(4, 1, 16, 16)}], batches=2)
    >>> evaluator = Engine(lambda engine, batch: None)
    >>> statistics.attach(evaluator)
    >>> _ = evaluator.run([0])
    >>> statistics.distance.total > 0  # they were those of an untrained network, 0 and 1
    True
    """

    def __init__(self, network: nn.Module, loader: Iterable[Any], batches: int = 100, key: str = "image") -> None:
        if batches < 1:
            raise ValueError(f"`batches` of `TargetStatistics` must be 1 or more, got {batches}.")
        self.network, self.loader, self.batches, self.key = network, loader, batches, key
        self.distance: BNDistance | None = None

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self)

    def __call__(self, engine: Engine) -> None:
        before = encoder_statistics(self.network)
        recollect_bn(self.network, islice(_again_and_again(self.loader), self.batches), self.key)
        self.distance = bn_distance(before, encoder_statistics(self.network))
        if self.distance is None:
            _logger.info("No layer of the encoder keeps running statistics: those of the target are not applicable.")
        else:
            _logger.info("The encoder's batch norm statistics moved by %.3g (Eq. 15).", self.distance.total)


def _again_and_again(loader: Iterable[Any]) -> Iterator[Any]:
    found = True
    while found:
        found = False
        for batch in loader:
            found = True
            yield batch


__all__ = ["TargetStatistics"]
