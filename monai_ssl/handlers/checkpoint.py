"""Checkpoint handler: saves and resumes a run bit for bit, keeps the best model, stops early."""

from __future__ import annotations

import logging
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import ignite
import monai
import numpy as np
import torch
from ignite import distributed as idist
from ignite.engine import Engine, Events
from torch.optim import Optimizer

from monai_ssl import __version__
from monai_ssl.data.stream import SampleStream
from monai_ssl.engines.randomness import rng_state, set_rng_state
from monai_ssl.engines.ssl_trainer import SSLTrainer
from monai_ssl.files import atomic
from monai_ssl.handlers.recipe_changes import changes, check_changes
from monai_ssl.handlers.run_folder import CHECKPOINT, RunFolder
from monai_ssl.handlers.sharding import as_held, new_folder, remove_unnamed
from monai_ssl.transfer.sharded_state import KEY, write_shards
from monai_ssl.transfer.weights_file import read_checkpoint, read_head

logger = logging.getLogger(__name__)
FORMAT = 1
BEST = "best.pt"
_FORMER_PREFIX, _PREFIX = "held_out/", "validation/"


class Checkpoint:
    """Save a run of :class:`~monai_ssl.engines.SSLTrainer` and continue it.

    ``checkpoint.pt`` is the newest state: method, optimizers, gradient scaler, generators, position in the data, best
    score, configuration and versions, as tensors and plain values only (it loads with ``weights_only=True``). It is
    written aside, flushed to the disk and renamed, so that a kill leaves the one before. ``best.pt`` is a copy of the
    state with the best ``key_metric``. Of a sharded run both are small, and each names a folder ``shards-*`` beside it,
    where every process has written its part, as safetensors.

    Args:
        output_dir: where the files go.
        resume: continue from ``checkpoint.pt`` if it is there, or from a given file. When ``False``, put a
            :class:`~monai_ssl.handlers.RunFolder` first, or the checkpoint of an earlier run is overwritten.
        every_epochs: epochs between two checkpoints; the last epoch always makes one.
        every_iterations: also after so many iterations within an epoch; ``None`` for epochs only.
        key_metric: name in ``engine.state.metrics`` that selects ``best.pt``; the first that exists of several.
        patience: end the run after so many epochs without a better key metric; ``None`` trains to the end.
        config: what the run is made of, plain values by key, stored beside the weights. A run continues with ``True``
            only if it is the same; a file that is named continues with any, which is said.

    Raises:
        ValueError: when ``patience`` is below 1; in training, when there is no key metric to be patient with, or
            ``config`` is that of another run.
    """

    def __init__(
        self,
        output_dir: str | Path,
        resume: bool | str | Path = False,
        *,
        every_epochs: int = 1,
        every_iterations: int | None = None,
        key_metric: tuple[str, ...] = ("probe/linear", "probe/knn", "validation/accuracy", "validation/loss"),
        patience: int | None = None,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        self.directory = Path(output_dir)
        self.path = self.directory / CHECKPOINT
        self.resume = resume
        self.every_epochs, self.every_iterations = every_epochs, every_iterations
        self.key_metric = key_metric
        if patience is not None and patience < 1:
            raise ValueError(f"`patience` is a number of epochs of at least 1, or null, got {patience}.")
        self.patience = patience
        self.config = dict(config or {})
        self.best: dict[str, Any] = {}

    def attach_start(self, engine: Engine) -> None:
        """Load when the run starts, before the handlers that are attached from now on see where it begins."""
        if not engine.has_event_handler(self.start, Events.STARTED):
            engine.add_event_handler(Events.STARTED, self.start)

    def attach(self, engine: Engine) -> None:
        self.attach_start(engine)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self.save_epoch)
        if self.every_iterations:
            engine.add_event_handler(Events.ITERATION_COMPLETED(every=self.every_iterations), self.save_iteration)

    def start(self, trainer: SSLTrainer) -> None:
        """Load the checkpoint to resume from.

        Raises:
            ValueError: when processes of several machines find different checkpoints, or for what :meth:`load` says.
        """
        source = RunFolder(self.directory, self.resume).source
        if source is not None:
            self.load(trainer, source)
            if self.patience is not None and self.best:
                # it may have ended for want of patience
                self._end_in_time(trainer, self.patience)
        check_all_continue(trainer, self.path)

    def save_epoch(self, trainer: SSLTrainer) -> None:
        state = trainer.state
        improved = self._improved(trainer)
        if state.epoch % self.every_epochs == 0 or state.epoch == state.max_epochs or improved:
            self._write(trainer, best=improved)
        if self.patience is not None and not self.best:
            raise ValueError("`patience` needs a validation loss or a probe: set `validation` or `probe_list`.")
        # a probe that failed says nothing of the network
        if self.patience is not None and self.best["name"] in trainer.state.metrics:
            self._end_in_time(trainer, self.patience)

    def save_iteration(self, trainer: SSLTrainer) -> None:
        # gradients that wait in an accumulation window are not part of a checkpoint
        if trainer._ends_window(trainer.state) and trainer.state.iteration % trainer.state.epoch_length:
            self._write(trainer, best=False)

    def state(self, trainer: SSLTrainer) -> dict[str, Any]:
        """Everything, as tensors and plain values."""
        return {
            "format": FORMAT,
            "method": trainer.method.state_dict(),
            "optimizers": {step: optimizer.state_dict() for step, optimizer in trainer.optimizers.items()},
            "scaler": trainer.scaler.state_dict(),
            "rng": rng_state(),
            "epoch": trainer.state.epoch,
            "iteration": trainer.state.iteration,
            "samples_seen": trainer.state.iteration * _global_batch_size(trainer),
            "seed": trainer.seed,
            "best": self.best,
            "config": self.config,
            "data_seen": list(trainer.data_seen),
            "versions": versions(),
        }

    def load(self, trainer: SSLTrainer, path: Path) -> None:
        """Continue from ``path``.

        Raises:
            FileNotFoundError: when there is no such file.
            ValueError: when the file is no checkpoint of this method.
        """
        if not path.is_file():
            raise FileNotFoundError(f"`resume` names {path}, but there is no such file.")
        saved = read_checkpoint(path, trainer.state.device, trainer.mesh)
        if saved.get("format") != FORMAT:
            raise ValueError(f"{path} is no checkpoint of monai_ssl; to start from weights use `weights` instead.")
        changed = changes(saved["config"], self.config)
        check_changes(changed, path, on_purpose=self.resume is not True)
        if trainer.sharded:
            saved = as_held(trainer, saved)
        try:
            trainer.method.load_state_dict(saved["method"])
        except RuntimeError as e:
            raise ValueError(f"{path} holds another method or network than this configuration: {e}") from e
        for step, optimizer in trainer.optimizers.items():
            asked = [dict(group) for group in optimizer.param_groups]
            optimizer.load_state_dict(saved["optimizers"][step])
            _keep_changes(optimizer, asked, {change.key for change in changed}, f"optimizers#{step}#groups")
        trainer.data_seen = list(dict.fromkeys([*saved.get("data_seen", []), *trainer.data_seen]))
        trainer.scaler.load_state_dict(saved["scaler"])
        set_rng_state(saved["rng"])
        self.best = _best_of(saved)
        self._set_position(trainer, saved, path)
        self._repair_best(saved, path)
        if saved["seed"] != trainer.seed:
            logger.warning(
                "`seed` was %s and is now %s: the run continues, but not bit for bit.", saved["seed"], trainer.seed
            )

    def _set_position(self, trainer: SSLTrainer, saved: Mapping[str, Any], path: Path) -> None:
        state, batch = trainer.state, _global_batch_size(trainer)
        state.iteration = round(saved["samples_seen"] / batch)
        state.epoch = state.iteration // state.epoch_length
        if state.epoch >= state.max_epochs:
            logger.warning(
                "%s has already trained %d epochs and `max_epochs` is %d: nothing is left to do. Set a larger "
                "`max_epochs`, or `--resume false` to begin anew.",
                path,
                state.epoch,
                state.max_epochs,
            )
        stream = getattr(trainer.data_loader, "batch_sampler", None)
        if isinstance(stream, SampleStream):
            stream.start = state.iteration * batch
        logger.info("Continuing %s after iteration %d (epoch %d).", path, state.iteration, state.epoch)

    def _repair_best(self, saved: Mapping[str, Any], source: Path) -> None:
        """Write ``best.pt`` if a run was killed after the checkpoint that is the best, and before its copy."""
        path = self.directory / BEST
        if idist.get_rank() != 0 or not self.best or self.best["epoch"] != saved["epoch"]:
            return
        if KEY in saved and source.parent != self.directory:  # whose parts lie elsewhere
            return
        if not path.is_file() or read_head(path)["iteration"] != saved["iteration"]:
            save_atomically(read_head(source), path)

    def _improved(self, trainer: SSLTrainer) -> bool:
        name = next((n for n in self.key_metric if n in trainer.state.metrics), None)
        if name is None:
            return False
        value = float(trainer.state.metrics[name])
        better = -value if name.endswith("loss") else value
        if self.best and self.best["name"] == name and better <= self.best["better"]:
            return False
        # after a continuation a rare probe has no score yet: a loss must not take the place of its best
        if self.best and self.best["name"] in self.key_metric[: self.key_metric.index(name)]:
            return False
        self.best = {"name": name, "value": value, "better": better, "epoch": trainer.state.epoch}
        return True

    def _end_in_time(self, trainer: SSLTrainer, patience: int) -> None:
        # by the epoch of the best, which the checkpoint holds: a resumed run ends where it would have ended
        if trainer.state.epoch - self.best["epoch"] >= patience:
            logger.info("No better %s for %d epochs: the run ends.", self.best["name"], patience)
            trainer.terminate()

    def _write(self, trainer: SSLTrainer, best: bool) -> None:
        state = self.state(trainer)
        if trainer.sharded:
            state = write_shards(state, new_folder(self.directory, trainer.state.iteration))
        if idist.get_rank() != 0:
            return
        self.directory.mkdir(parents=True, exist_ok=True)
        save_atomically(state, self.path)
        if best:
            save_atomically(state, self.directory / BEST)
        remove_unnamed(self.directory, (self.path, self.directory / BEST))


def save_atomically(state: Any, path: Path) -> None:
    """``torch.save`` so that a kill leaves the old file."""
    with atomic(path) as file:
        torch.save(state, file)


def _keep_changes(optimizer: Optimizer, asked: Sequence[Mapping[str, Any]], changed: set[str], prefix: str) -> None:
    """Give an optimizer the options that the user changed, which its saved state has put back."""
    for number, (group, wanted) in enumerate(zip(optimizer.param_groups, asked, strict=True)):
        group.update({name: wanted[name] for name in wanted if f"{prefix}#{number}#{name}" in changed})


def _best_of(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the best score of a checkpoint under the present name of its metric."""
    best = dict(saved["best"])
    return {**best, "name": best["name"].replace(_FORMER_PREFIX, _PREFIX)} if best else best


def _global_batch_size(trainer: SSLTrainer) -> int:
    stream = getattr(trainer.data_loader, "batch_sampler", None)
    return stream.global_batch_size if isinstance(stream, SampleStream) else 1


def check_all_continue(trainer: Engine, path: Path) -> None:
    """Raise unless all processes stand at the same iteration; on several machines some may not see the file."""
    if idist.get_world_size() == 1:
        return
    found: Any = idist.all_gather(trainer.state.iteration)
    if len(set(found)) > 1:
        raise ValueError(
            f"Only some processes found {path} to continue from (iterations {', '.join(map(str, found))}): "
            "`output_dir` must be a folder that all machines share."
        )


def versions() -> dict[str, str]:
    packages = {"monai_ssl": __version__, "torch": torch.__version__, "monai": monai.__version__}
    return {
        **{name: str(version) for name, version in packages.items()},
        "ignite": str(ignite.__version__),
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
