"""The parts of a downstream training that are alike for all tasks, on one or, under ``torchrun``, several processes."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any, Protocol

import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.data import DataLoader, DistributedSampler
from monai.engines import Evaluator
from monai.handlers import StatsHandler, ValidationHandler, from_engine
from monai.utils import set_determinism
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import Dataset
from torch.utils.data import DistributedSampler as TorchDistributedSampler

from monai_ssl.arguments import check_interval
from monai_ssl.data.draws import DrawnCases, EpochSampler, NumberedBatches
from monai_ssl.files import atomic
from monai_ssl.handlers.diagnostics import ValidationTime
from monai_ssl.tasks.finite_loss import FiniteLoss
from monai_ssl.tasks.record import DataRecord, Recorder, SupervisedRecord

_logger = logging.getLogger(__name__)
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
        patience: epochs without a better validation after which the training ends; ``None`` to never.

    Raises:
        ValueError: when ``patience`` is below 1.

    >>> from monai.engines import SupervisedEvaluator
    >>> class Silent:
    ...     def attach(self, engine): ...
    >>> network = nn.Linear(2, 1)
    >>> validator = SupervisedEvaluator("cpu", [], network)
    >>> handler = Validated(network, validator, interval=1, recorder=Silent(), ckpt_dir="models")
    """

    def __init__(
        self,
        network: nn.Module,
        validator: Evaluator,
        interval: int,
        recorder: Recorder,
        ckpt_dir: str | Path,
        patience: int | None = None,
    ) -> None:
        loss = StatsHandler(tag_name="train_loss", output_transform=from_engine(["loss"], first=True))
        self.handlers: list[Handler] = [
            FiniteLoss(),
            ValidationHandler(interval, validator, epoch_level=True),
            ValidationTime(validator, interval),
            *([] if patience is None else [StopEarly(validator, patience)]),
            SupervisedRecord(recorder, validator),
            DataRecord(recorder, validator),
            SaveUnvalidated(network, Path(ckpt_dir) / MODEL, validator),
            *([loss] if idist.get_rank() == 0 else []),
        ]

    def attach(self, engine: Engine) -> None:
        for handler in self.handlers:
            handler.attach(engine)


class StopEarly:
    """Ignite handler of a trainer that ends it when no validation was better for some epochs; behind the validation.

    It counts from the best epoch, which a checkpoint holds, so that a run that is continued ends as one of a piece.

    Args:
        validator: knows the best epoch.
        patience: in epochs, at least 1.

    Raises:
        ValueError: when ``patience`` is below 1.
    """

    def __init__(self, validator: Evaluator, patience: int) -> None:
        check_interval("[1, inf)", patience=patience)
        self.validator, self.patience = validator, patience

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED | Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """End the training if it is time."""
        best = int(self.validator.state.best_metric_epoch)
        if best > 0 and engine.state.epoch - best >= self.patience:
            _logger.info("No validation was better for %d epochs: the training ends.", self.patience)
            engine.terminate()


class SaveUnvalidated:
    """Ignite handler that writes the last model when there are no validation cases.

    The best model is chosen, and written, by the validation; without cases none would be written at all, as after the
    first scan that an annotator labels.

    Args:
        network: may be wrapped by ``DistributedDataParallel``.
        path: of the state dict.
        validator: whose ``data_loader`` tells whether there are cases.
    """

    def __init__(self, network: nn.Module, path: str | Path, validator: Evaluator) -> None:
        self.network, self.path, self.validator = network, Path(path), validator

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Write the model, if the run is complete and nothing else has."""
        del engine
        if not len(self.validator.data_loader) and idist.get_rank() == 0:  # type: ignore[arg-type]
            save_model(self.network, self.path)


class KeepBest:
    """Ignite handler of the validation: metrics in the log, and the best model as ``model.pt``; on rank 0 only.

    The first validation is the best until another one is better; one without a number, as where no case has a
    structure, is worse than any number.

    Args:
        network: may be wrapped by ``DistributedDataParallel``.
        ckpt_dir: gets ``model.pt``.
        higher_is_better: of the key metric.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     handler = KeepBest(nn.Linear(2, 1), folder, higher_is_better=False)
    >>> handler.is_better(0.5, math.nan), handler.is_better(0.5, 0.4), handler.is_better(math.nan, 0.4)
    (True, False, False)
    """

    def __init__(self, network: nn.Module, ckpt_dir: str | Path, higher_is_better: bool = True) -> None:
        self.network, self.path, self.higher_is_better = network, Path(ckpt_dir) / MODEL, higher_is_better

    def attach(self, engine: Evaluator) -> None:
        engine.metric_cmp_fn = self.is_better
        if idist.get_rank() == 0:
            StatsHandler(iteration_log=False).attach(engine)
            # MONAI compares at the end of the epoch, which is the only one of a validation
            engine.add_event_handler(Events.COMPLETED, self.keep)

    def is_better(self, current: float, best: float) -> bool:
        """Whether a metric is better than the best one before."""
        if math.isnan(current) or math.isnan(best):
            return not math.isnan(current)
        return current > best if self.higher_is_better else current < best

    def keep(self, engine: Evaluator) -> None:
        """Write the model when this validation was the best."""
        if engine.state.best_metric_epoch == engine.state.epoch:
            save_model(self.network, self.path)


def save_model(network: nn.Module, path: Path) -> None:
    """Write a state dict under its own names, whole or not at all."""
    with atomic(path) as file:
        torch.save(getattr(network, "module", network).state_dict(), file)


def loader(
    dataset: Dataset,
    batch_size: int,
    num_workers: int = 0,
    *,
    shuffle: bool = False,
    sampler: EpochSampler | None = None,
    seed: int = 0,
    least: int = 1,
) -> DataLoader:
    """Return a loader; under ``torchrun`` each process gets its share of the cases, where there are enough.

    Args:
        dataset: with a length.
        batch_size: of each process.
        num_workers: processes that load.
        shuffle: for training: a new order in each pass, and as many cases for each process; order and random
            transforms follow from ``seed`` and the number of the batch, not from the number of workers.
        sampler: draws the cases in its own way, in a single process only.
        seed: of order and transforms, where ``shuffle`` is set.
        least: of a batch in training; where batches are twice as large at least, a smaller rest is left out, other
            cases in each pass: batch norm says little about one or two images.

    Raises:
        ValueError: for a ``sampler`` under ``torchrun``.

    >>> from monai.data import Dataset as Cases
    >>> [batch.tolist() for batch in loader(Cases([1, 2, 3]), batch_size=2)]
    [[1, 2], [3]]
    >>> first, second = (list(loader(Cases([1, 2, 3]), 3, shuffle=True)) for _ in range(2))
    >>> torch.equal(first[0], second[0])
    True
    """
    rank, world_size = idist.get_rank(), idist.get_world_size()
    if world_size > 1 and sampler is not None:
        raise ValueError("`resampling` draws cases for one process: leave it null under `torchrun`.")
    options: dict[str, Any] = {"num_workers": num_workers, "persistent_workers": num_workers > 0}
    if shuffle:
        order = sampler or TorchDistributedSampler(dataset, num_replicas=world_size, rank=rank, seed=seed)
        batches = NumberedBatches(order, batch_size, rank, least if least <= batch_size // 2 else 1)
        return DataLoader(DrawnCases(dataset, seed), batch_sampler=batches, **options)
    if world_size > 1 and len(dataset) >= world_size:  # type: ignore[arg-type]
        options["sampler"] = DistributedSampler(dataset, even_divisible=False, shuffle=False)
    return DataLoader(dataset, batch_size=batch_size, **options)


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
