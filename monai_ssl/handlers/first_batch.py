"""First batch of a run, made again: what a continued run shows beside the pictures of its beginning."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import torch
from torch.utils.data import DataLoader

from monai_ssl.data.stream import SampleStream
from monai_ssl.engines.randomness import seed_iteration

if TYPE_CHECKING:
    from monai_ssl.engines.ssl_trainer import SSLTrainer


def first_batch(trainer: SSLTrainer) -> dict[str, Any]:
    """Return the views of the first iteration, whatever iteration the trainer stands at.

    Of the loaders of a bundle these are the same to the last bit, of others the first batch that they yield. Call it
    within :func:`~monai_ssl.handlers.preserving_state.preserving_state`, since generators are seeded.
    """
    kinds = {"cpu", torch.device(trainer.state.device).type}
    with ExitStack() as stack:
        for kind in kinds:  # whoever looks has autocast around the method, which neither crops nor views have
            stack.enter_context(torch.autocast(kind, enabled=False))
        batch: dict[Any, Any] = trainer.to_device(_loaded(trainer.data_loader))
        seed_iteration(trainer.method, trainer.views, trainer.seed, 1, 0)
        if trainer.views is not None:
            batch = trainer.views(batch)
        return batch


def _loaded(loader: Any) -> Any:
    stream = getattr(loader, "batch_sampler", None)
    if isinstance(stream, SampleStream):
        begin = SampleStream(stream.num_samples, stream.batch_size, stream.seed)
        loader = DataLoader(loader.dataset, batch_sampler=begin, collate_fn=loader.collate_fn)
    return next(iter(loader))


__all__ = ["first_batch"]
