"""The parts of a downstream training that are alike for all tasks, on one or, under ``torchrun``, several processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from ignite import distributed as idist
from ignite.engine import Engine
from monai.data import DataLoader, DistributedSampler
from monai.engines import Evaluator
from monai.handlers import CheckpointSaver, StatsHandler, ValidationHandler, from_engine
from monai.utils import set_determinism
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset, Sampler

from monai_ssl.tasks.finite_loss import FiniteLoss
from monai_ssl.tasks.record import Recorder, SupervisedRecord
from monai_ssl.tasks.unvalidated import SaveUnvalidated

MODEL = "model.pt"
"""Name of the state dict in ``ckpt_dir``."""


class Handler(Protocol):
    """What Ignite attaches to an engine."""

    def attach(self, engine: Any) -> None: ...


class Validated:
    """Ignite handler of a trainer: validation, the record of both, the last model where nothing can be validated.

    Args:
        network: may be wrapped by ``DistributedDataParallel``.
        validator: runs every ``interval`` epochs.
        interval: in epochs.
        recorder: e.g. :class:`monai_ssl.handlers.Tracking`.
        ckpt_dir: where ``model.pt`` goes when there are no validation cases.

    >>> from monai.engines import SupervisedEvaluator
    >>> class Silent:
    ...     def attach(self, engine): ...
    >>> network = nn.Linear(2, 1)
    >>> validator = SupervisedEvaluator("cpu", [], network)
    >>> handler = Validated(network, validator, interval=1, recorder=Silent(), ckpt_dir="models")
    """

    def __init__(
        self, network: nn.Module, validator: Evaluator, interval: int, recorder: Recorder, ckpt_dir: str | Path
    ) -> None:
        loss = StatsHandler(tag_name="train_loss", output_transform=from_engine(["loss"], first=True))
        self.handlers: list[Handler] = [
            FiniteLoss(),
            ValidationHandler(interval, validator, epoch_level=True),
            SupervisedRecord(recorder, validator),
            SaveUnvalidated(network, Path(ckpt_dir) / MODEL, validator),
            *([loss] if idist.get_rank() == 0 else []),
        ]

    def attach(self, engine: Engine) -> None:
        for handler in self.handlers:
            handler.attach(engine)


class KeepBest:
    """Ignite handler of the validation: metrics in the log, and the best model as ``model.pt``; on rank 0 only.

    Args:
        network: may be wrapped by ``DistributedDataParallel``.
        ckpt_dir: gets ``model.pt``.
        higher_is_better: of the key metric.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     handler = KeepBest(nn.Linear(2, 1), folder, higher_is_better=False)
    """

    def __init__(self, network: nn.Module, ckpt_dir: str | Path, higher_is_better: bool = True) -> None:
        # every rank builds what it may not use: Ignite's Checkpoint has a hidden collective
        saver = CheckpointSaver(
            str(ckpt_dir),
            {"model": network},
            save_key_metric=True,
            key_metric_filename=MODEL,
            key_metric_negative_sign=not higher_is_better,
        )
        self.higher_is_better = higher_is_better
        self.handlers: list[Handler] = [StatsHandler(iteration_log=False), saver] if idist.get_rank() == 0 else []

    def attach(self, engine: Evaluator) -> None:
        if not self.higher_is_better:
            engine.metric_cmp_fn = lambda current, best: current < best
        for handler in self.handlers:
            handler.attach(engine)


def loader(
    dataset: Dataset,
    batch_size: int,
    num_workers: int = 0,
    *,
    shuffle: bool = False,
    sampler: Sampler[int] | None = None,
) -> DataLoader:
    """Return a loader; under ``torchrun`` each process gets its share of the cases, where there are enough.

    Args:
        dataset: with a length.
        batch_size: of each process.
        num_workers: processes that load.
        shuffle: for training: a new order in each epoch, and as many cases for each process.
        sampler: draws the cases in its own way, in a single process only.

    Raises:
        ValueError: for a ``sampler`` under ``torchrun``.

    >>> from monai.data import Dataset as Cases
    >>> [batch.tolist() for batch in loader(Cases([1, 2, 3]), batch_size=2)]
    [[1, 2], [3]]
    """
    world_size = idist.get_world_size()
    if world_size > 1:
        if sampler is not None:
            raise ValueError("`resampling` draws cases for one process: leave it null under `torchrun`.")
        if shuffle or len(dataset) >= world_size:  # type: ignore[arg-type]
            sampler = DistributedSampler(dataset, even_divisible=shuffle, shuffle=shuffle)
    return DataLoader(
        dataset,
        num_workers,
        batch_size=batch_size,
        shuffle=shuffle and sampler is None,
        sampler=sampler,
        persistent_workers=num_workers > 0,
    )


def distributed(network: nn.Module, device: torch.device | str, scheme: str = "full") -> nn.Module:
    """Move a network to its device; under ``torchrun`` wrap it with synchronized batch norm.

    Args:
        network: moved in place.
        device: may be a word, as MONAI Label gives it.
        scheme: of fine-tuning; all but ``"full"`` leave parameters without a gradient.

    >>> network = nn.Linear(2, 1)
    >>> distributed(network, "cpu") is network  # one process alone needs no wrapper
    True
    """
    network.to(device)
    if idist.get_world_size() == 1:
        return network
    gpu = torch.device(device).type == "cuda"
    return DistributedDataParallel(
        nn.SyncBatchNorm.convert_sync_batchnorm(network) if gpu else network,
        device_ids=[torch.device(device)] if gpu else None,
        find_unused_parameters=scheme != "full",
    )


def seed_ranks(seed: int) -> None:
    """Let each process of ``torchrun`` augment differently; alone, nothing is seeded anew.

    >>> before = torch.random.get_rng_state()
    >>> seed_ranks(0)
    >>> torch.equal(torch.random.get_rng_state(), before)
    True
    """
    if idist.get_world_size() > 1:
        set_determinism(seed + idist.get_rank())
