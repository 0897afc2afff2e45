"""Recipe of a pre-training run: all that decides what it learns, as plain values by key, for its checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ignite import distributed as idist
from torch import nn
from torch.optim import Optimizer

from monai_ssl.networks import recipe_of
from monai_ssl.store.store import Scans

if TYPE_CHECKING:
    from monai_ssl.bundle.pretraining import Pretraining
    from monai_ssl.engines import SSLTrainer

_ANYWHERE = {"resume", "patience", "probe_list", "data_license", "device", "num_workers", "max_epochs", "seed"}
"""Keys whose change leaves what was learned so far valid, or that are compared elsewhere."""
_FILES = {"bundle_root", "exclude", "words", "start_from", "init_weights", "checkpoint"}
"""Keys of places: what lies there is compared, not where."""
_LONGEST = 64
"""Values of a table that are told; of longer ones their hash."""
_DEEPEST = 12


def run_recipe(run: Pretraining, trainer: SSLTrainer) -> dict[str, Any]:
    """Return what a checkpoint says of its run, by keys as they are typed: ``widths``, ``views#transforms#2#prob``.

    Args:
        run: whose settings are all resolved.
        trainer: of the run.
    """
    plain = {k: v for k, v in run.settings.items() if "::" not in k and not k.endswith("_dir") and k != "initialize"}
    recipe = {k: v for k, v in plain.items() if k not in _ANYWHERE | _FILES and is_plain(v)}
    batch = run.batch_size * idist.get_world_size()
    recipe["batch_size"] = f"{batch} ({run.batch_size} in each of {idist.get_world_size()} processes)"
    recipe["dataset_dir"] = _data_of(run)
    options = {name: getattr(trainer, name) for name in ("accumulation_steps", "clip_norm", "amp")}
    parts = {
        "crops": run.crops,
        "views": run.views,
        "network_def": run.method,
        "train#trainer": options,
        "optimizers": {step: _options(optimizer) for step, optimizer in trainer.optimizers.items()},
    }
    for name, part in parts.items():
        recipe.update(_flat(name, _described(part, 0)))
    return json.loads(json.dumps(recipe))  # as it is read again: lists instead of tuples


def _data_of(run: Pretraining) -> str:
    scans = run.scans.train
    # of a store keys alone tell; a word of TransVW is a place in a scan
    windows = [f"{key}   " for key in scans.keys] if isinstance(scans, Scans) else [_window(scan) for scan in scans]
    facts = run.scans.facts()
    mark = hashlib.sha256("\n".join(windows).encode()).hexdigest()[:12]
    return f"{facts['scans']} scans of {facts['patients']} patients ({mark})"


def _window(scan: Any) -> str:
    return f"{scan.key} {getattr(scan, 'label', '')} {getattr(scan, 'start', '')} {getattr(scan, 'size', '')}"


def _options(optimizer: Optimizer) -> dict[str, Any]:
    groups = [{k: v for k, v in group.items() if k != "params"} for group in optimizer.param_groups]
    return {"_target_": type(optimizer).__name__, "groups": groups}


def is_plain(value: Any) -> bool:
    """Whether JSON holds a value as it is: a number, a word, a list of such; no dictionary."""
    if isinstance(value, (list, tuple)):
        return all(is_plain(entry) for entry in value)
    return value is None or isinstance(value, (bool, int, float, str))


def _described(value: Any, depth: int) -> Any:
    """Return a value as plain ones: networks by their recipe, other objects by their public attributes."""
    if is_plain(value):
        return value
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (torch.Tensor, np.ndarray)):
        return _table(value)
    if depth > _DEEPEST or (callable(value) and hasattr(value, "__qualname__")):
        return getattr(value, "__qualname__", type(value).__qualname__)
    if isinstance(value, nn.Module):
        try:
            return recipe_of(value)
        except ValueError:  # not built by a configuration
            return {"_target_": type(value).__qualname__}
    if isinstance(value, Mapping):
        return {str(key): _described(entry, depth + 1) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_described(entry, depth + 1) for entry in value]
    if isinstance(value, (set, frozenset)):
        return sorted(map(str, value))
    public = {k: v for k, v in getattr(value, "__dict__", {}).items() if not k.startswith("_") and k != "R"}
    return {"_target_": type(value).__qualname__, **{k: _described(v, depth + 1) for k, v in public.items()}}


def _table(value: torch.Tensor | np.ndarray) -> Any:
    array = value.detach().cpu().numpy() if isinstance(value, torch.Tensor) else value
    if array.size <= _LONGEST:
        return array.tolist()
    return hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()[:12]


def _flat(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the plain values in ``value`` by their keys; a list of plain values is one."""
    if isinstance(value, Mapping):
        for name, entry in value.items():
            yield from _flat(f"{key}#{name}", entry)
    elif isinstance(value, Sequence) and not isinstance(value, str) and not is_plain(value):
        for number, entry in enumerate(value):
            yield from _flat(f"{key}#{number}", entry)
    else:
        yield key, value


__all__ = ["is_plain", "run_recipe"]
