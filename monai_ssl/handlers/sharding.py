"""What checkpoints of sharded runs need: folders of parts, and states shared among any number of processes."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ignite import distributed as idist
from torch import Tensor
from torch.optim import Optimizer

from monai_ssl.transfer.sharded_state import KEY, SHARDS
from monai_ssl.transfer.shards import sharded_like
from monai_ssl.transfer.weights_file import read_head

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer


def new_folder(directory: Path, iteration: int) -> Path:
    """Return a folder for parts, the same on all processes.

    It is none that was there: the checkpoint before stays whole until the new one is, and names its own.
    """
    return directory / str(idist.broadcast(f"{SHARDS}{iteration:08d}-{secrets.token_hex(4)}"))


def remove_unnamed(directory: Path, checkpoints: Sequence[Path]) -> None:
    """Remove the folders of parts that no checkpoint names any more."""
    folders = list(directory.glob(f"{SHARDS}*"))
    named = {read_head(path).get(KEY) for path in checkpoints if folders and path.is_file()}
    for folder in folders:
        if folder.name not in named:
            shutil.rmtree(folder)


def as_held(trainer: SSLTrainer, saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return a checkpoint, written whole or in parts, shared among processes as a trainer's method is."""
    held = trainer.method.state_dict()
    method = {name: _like(value, held.get(name)) for name, value in saved["method"].items()}
    optimizers = {
        step: _of_optimizer(optimizer, saved["optimizers"][step]) for step, optimizer in trainer.optimizers.items()
    }
    return {**saved, "method": method, "optimizers": optimizers}


def _of_optimizer(optimizer: Optimizer, saved: Mapping[str, Any]) -> dict[str, Any]:
    trained = dict(enumerate(parameter for group in optimizer.param_groups for parameter in group["params"]))
    states = {
        index: {name: _like(value, trained.get(index)) for name, value in values.items()}
        for index, values in saved["state"].items()
    }
    return {**saved, "state": states}


def _like(value: Any, held: Tensor | None) -> Any:
    # a count of steps is not shared
    if not isinstance(value, Tensor) or held is None or value.shape != held.shape:
        return value
    return sharded_like(value, held)


__all__ = ["as_held", "new_folder", "remove_unnamed"]
