"""Checkpoint of a fine-tuning: all that it needs to continue bit for bit, and whether it is the same run."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from monai.engines import Evaluator, SupervisedTrainer
from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from monai_ssl.data.cases import Case
from monai_ssl.data.draws import NumberedBatches, seed_of
from monai_ssl.handlers import RunFolder
from monai_ssl.handlers.checkpoint import check_all_continue, save_atomically, versions
from monai_ssl.handlers.run_folder import CHECKPOINT
from monai_ssl.tasks.optimizer_state import load_by_name, state_by_name
from monai_ssl.tasks.run_identity import check_same_run, identity
from monai_ssl.transfer.weights_file import read_checkpoint

logger = logging.getLogger(__name__)
FORMAT = "fine-tuning 1"


class FinetuneCheckpoint:
    """Ignite handler of MONAI's ``SupervisedTrainer`` that saves it after each epoch and continues it; put it first.

    Every iteration is seeded by its number, and a loader of :func:`monai_ssl.tasks.loader` draws by the number of the
    batch, so that network, optimizer, schedule, scaler and the best metric are the whole state.

    Args:
        output_dir: gets ``checkpoint.pt``.
        network: may be wrapped by ``DistributedDataParallel``.
        optimizer: of the network.
        lr_scheduler: of the optimizer.
        validator: knows the best metric.
        resume: continue from ``checkpoint.pt`` if it is there.
        seed: of the iterations.
        settings: what makes the run what it is, plain values by the name of the option.
        weights: files that the network started from, by the name of the option.
        cases: what is trained and validated on, by name.

    Raises:
        ValueError: in training, when the checkpoint is that of another run.

    >>> from tempfile import TemporaryDirectory
    >>> from monai.engines import SupervisedEvaluator
    >>> batches = [{"image": torch.ones(2, 1), "label": torch.ones(2, 1)}] * 3
    >>> def train(folder, epochs, resume=False):
    ...     network = nn.Linear(1, 1)
    ...     optimizer = torch.optim.SGD(network.parameters(), 0.1)
    ...     schedule = torch.optim.lr_scheduler.ConstantLR(optimizer)
    ...     parts = (network, optimizer, schedule, SupervisedEvaluator("cpu", [], network))
    ...     plan = {"settings": {"max_epochs": epochs}, "weights": {}, "cases": {}}
    ...     handler = FinetuneCheckpoint(folder, *parts, resume=resume, **plan)
    ...     options = {"optimizer": optimizer, "loss_function": nn.MSELoss(), "train_handlers": [handler]}
    ...     trainer = SupervisedTrainer("cpu", epochs, batches, network, **options)
    ...     trainer.run()
    ...     return trainer.state.iteration
    >>> with TemporaryDirectory() as folder:
    ...     train(folder, 1), train(folder, 2, resume=True)  # 3 iterations, and 3 more
    (3, 6)
    """

    def __init__(
        self,
        output_dir: str | Path,
        network: nn.Module,
        optimizer: Optimizer,
        lr_scheduler: LRScheduler | ReduceLROnPlateau,
        validator: Evaluator,
        *,
        resume: bool = False,
        seed: int = 0,
        settings: Mapping[str, Any],
        weights: Mapping[str, str | None],
        cases: Mapping[str, Sequence[Case]],
    ) -> None:
        self.folder = RunFolder(output_dir, resume)
        self.network, self.optimizer, self.lr_scheduler = getattr(network, "module", network), optimizer, lr_scheduler
        self.validator, self.seed = validator, seed
        self.settings, self.weights, self.cases = settings, weights, cases

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_STARTED, self.seed_iteration)

    def start(self, trainer: SupervisedTrainer) -> None:
        """Continue from the checkpoint, if that is asked for and it is there."""
        self.identity = identity(self.settings, self.optimizer, self.lr_scheduler, self.weights, self.cases)
        source = self.folder.source
        if source is not None:
            self.load(trainer, source)
        check_all_continue(trainer, self.folder.root / CHECKPOINT)
        batches = getattr(trainer.data_loader, "batch_sampler", None)
        if isinstance(batches, NumberedBatches):
            batches.start = trainer.state.iteration
        # here, since they are to be last, behind the validation and what records it
        trainer.add_event_handler(Events.EPOCH_COMPLETED, self.save)
        if idist.get_rank() == 0:
            trainer.add_event_handler(Events.COMPLETED, self.folder.free)

    def seed_iteration(self, trainer: SupervisedTrainer) -> None:
        """Seed what draws on the device, such as dropout, from the number of the iteration."""
        torch.manual_seed(seed_of(self.seed, trainer.state.iteration, idist.get_rank()))

    def save(self, trainer: SupervisedTrainer) -> None:
        """Write the checkpoint of an epoch."""
        best = self.validator.state
        state = {
            "format": FORMAT,
            "model": self.network.state_dict(),
            "optimizer": state_by_name(self.optimizer, self.network),
            "lr_scheduler": self.lr_scheduler.state_dict(),
            "scaler": None if trainer.scaler is None else trainer.scaler.state_dict(),
            "epoch": trainer.state.epoch,
            "iteration": trainer.state.iteration,
            "best": {"metric": float(best.best_metric), "epoch": int(best.best_metric_epoch)},
            "run": self.identity,
            "versions": versions(),
        }
        if idist.get_rank() == 0:
            save_atomically(state, self.folder.root / CHECKPOINT)

    def load(self, trainer: SupervisedTrainer, path: Path) -> None:
        """Continue from ``path``.

        Raises:
            ValueError: when it is no checkpoint of this run.
        """
        saved = read_checkpoint(path, trainer.state.device)
        if saved.get("format") != FORMAT:
            raise ValueError(f"{path} is no checkpoint of a fine-tuning; to start from weights use `weights` instead.")
        told = check_same_run(saved["run"], self.identity, path)
        try:
            self.network.load_state_dict(saved["model"])
        except RuntimeError as error:
            raise ValueError(f"{path} holds another network than this configuration builds: {error}") from error
        load_by_name(self.optimizer, self.network, saved["optimizer"], options=not told)
        self._set_schedule(saved, replay=bool(told))
        if trainer.scaler is not None and saved["scaler"] is not None:
            trainer.scaler.load_state_dict(saved["scaler"])
        best = self.validator.state
        best.best_metric, best.best_metric_epoch = saved["best"]["metric"], saved["best"]["epoch"]
        trainer.state.epoch, trainer.state.iteration = saved["epoch"], saved["iteration"]
        _say_where(trainer, path)

    def _set_schedule(self, saved: Mapping[str, Any], *, replay: bool) -> None:
        """Restore the learning rate; where it was given anew, it is what a run of that plan would have now."""
        if not replay or isinstance(self.lr_scheduler, ReduceLROnPlateau):
            self.lr_scheduler.load_state_dict(saved["lr_scheduler"])
            return
        with warnings.catch_warnings():
            # of torch, which expects a step of the optimizer before
            warnings.simplefilter("ignore")
            for _ in range(saved["epoch"]):
                self.lr_scheduler.step()


def _say_where(trainer: SupervisedTrainer, path: Path) -> None:
    epoch, wanted = trainer.state.epoch, trainer.state.max_epochs
    if wanted is not None and epoch >= wanted:
        logger.warning(
            "%s has already trained %d epochs and `max_epochs` is %d: nothing is left to do. Set a larger "
            "`max_epochs`, or `--overwrite true` to begin anew.",
            path,
            epoch,
            wanted,
        )
    else:
        logger.info("Continuing %s after epoch %d (iteration %d).", path, epoch, trainer.state.iteration)


__all__ = ["FORMAT", "FinetuneCheckpoint"]
