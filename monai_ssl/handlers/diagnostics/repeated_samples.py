"""Warn of data loaders that repeat the same samples (seed of workers, shuffling)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Events
from torch import Tensor

from monai_ssl.handlers.diagnostics.base import Diagnostic, Look

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

_VALUES = 512
# of an epoch; the hashes of so many take about 20 MB
_MOST = 200_000


class RepeatedSamples(Diagnostic):
    """Tell when samples of the loader were there before: twice in an epoch, or all of an epoch in the one before.

    Workers that draw alike, a seed that is set anew in every epoch, a stream that does not move on: the loss falls
    nicely, and the network has seen a hundredth of the data. About 500 values of an image stand for it; images of one
    value do not count.

    Args:
        share: of the samples of an epoch, in (0, 1], from which on a repetition is told.
        fewest: samples below which an epoch is not judged.

    Raises:
        ValueError: when ``share`` or ``fewest`` is out of range.
    """

    def __init__(self, share: float = 0.5, fewest: int = 16) -> None:
        if not 0 < share <= 1 or fewest < 2:
            raise ValueError(
                f"`share` of `RepeatedSamples` must be in (0, 1] and `fewest` at least 2, got {share} and {fewest}."
            )
        self.share, self.fewest = share, fewest
        self._before: set[bytes] = set()
        self._now: set[bytes] = set()
        self._count = self._old = 0

    def looks(self) -> dict[Events, Look]:
        return {Events.ITERATION_COMPLETED: self._look_at_batch, Events.EPOCH_COMPLETED: self._judge}

    def _look_at_batch(self, engine: SSLTrainer) -> None:
        if self._count >= _MOST:
            return
        for mark in _marks(engine.state.batch):
            self._count += 1
            self._old += mark in self._before
            self._now.add(mark)

    def _judge(self, engine: SSLTrainer) -> str | None:
        count, old, repeated = self._count, self._old, self._count - len(self._now)
        self._before, self._now = self._now, set()
        self._count = self._old = 0
        what = None
        if repeated >= self.share * count:
            what = f"{repeated} of {count} samples of epoch {engine.state.epoch} had been in it before"
        elif old >= self.share * count:
            what = f"{old} of {count} samples of epoch {engine.state.epoch} are those of the last"
        if what is None or count < self.fewest:
            return None
        return (
            f"The loader repeats itself: {what}, to the last bit. Look whether its workers draw alike or its seed is "
            "set anew in every epoch, and whether scans are larger than the windows that `crops` cuts."
        )


def _marks(batch: Any) -> Iterator[bytes]:
    """Yield a hash of each sample, by its first image."""
    images = batch.values() if isinstance(batch, Mapping) else ()
    first = next((x for x in images if isinstance(x, Tensor) and x.ndim >= 4), None)
    if first is None:
        return
    flat = first.detach().flatten(1)
    few = flat[:, :: max(1, flat.shape[1] // _VALUES)].float().cpu()
    for row in few[(few != few[:, :1]).any(dim=1)]:
        yield hashlib.blake2b(torch.as_tensor(row).numpy().tobytes(), digest_size=12).digest()


__all__ = ["RepeatedSamples"]
