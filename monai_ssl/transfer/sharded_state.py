"""Sharded checkpoint: each process writes its part of parameters and optimizer state, by torch's DCP, as safetensors.

What PyTorch writes by default beside such parts, ``.metadata``, is a pickle that its reader trusts. Parts in
safetensors say themselves where they belong, so that nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard, zeros

SHARDS = "shards-"
"""Names of folders of parts begin with it."""
KEY = "shards"
"""Where a checkpoint names its folder of parts."""


def write_shards(state: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Write the sharded tensors of a state into a new ``folder``; all processes must call it.

    Returns:
        The state with the name of the folder, and a tensor without values (on the device ``meta``) for each of them.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageWriter
    from torch.distributed.checkpoint.state_dict_saver import save

    parts: dict[str, Tensor] = {}
    head = _without(state, "", parts)
    try:
        save(parts, storage_writer=HuggingFaceStorageWriter(str(folder), save_distributed=True))
    except CheckpointException as error:  # of no kind that others catch
        raise OSError(f"{folder} could not be written: {_first(error)}") from error
    return {**head, KEY: folder.name}


def with_shards(head: Mapping[str, Any], path: Path, mesh: DeviceMesh | None) -> dict[str, Any]:
    """Return the state of a checkpoint with the tensors that lie in the folder beside it.

    Args:
        head: what the file of the checkpoint holds.
        path: of that file.
        mesh: processes to share the tensors, however many wrote them; all must call it. ``None``: whole tensors on the
            CPU, for this process alone.

    Raises:
        ValueError: when the folder is not there, is damaged, or is not beside the file.
    """
    from torch.distributed.checkpoint.api import CheckpointException
    from torch.distributed.checkpoint.hf_storage import HuggingFaceStorageReader
    from torch.distributed.checkpoint.state_dict_loader import load

    name = head[KEY]
    if not (isinstance(name, str) and name.startswith(SHARDS) and Path(name).name == name):
        raise ValueError(f"{path} names {name!r} as the folder of its parts, which none is called: it was altered.")
    folder = path.parent / name
    if not folder.is_dir():
        raise ValueError(f"{path} is a part of a sharded checkpoint: the folder `{name}` must lie beside it.")
    parts: dict[str, Tensor] = {}
    state = _with(head, "", parts, mesh)
    try:
        load(parts, storage_reader=HuggingFaceStorageReader(str(folder)), no_dist=mesh is None)
    except CheckpointException as error:
        raise ValueError(f"{folder} does not hold what {path.name} says: {_first(error)}") from error
    return state


def _without(value: Any, key: str, parts: dict[str, Tensor]) -> Any:
    if isinstance(value, DTensor):
        parts[key] = value.detach()
        return torch.empty(value.shape, dtype=value.dtype, device="meta")
    if isinstance(value, Mapping):
        return {name: _without(entry, f"{key}/{name}", parts) for name, entry in value.items()}
    return value


def _with(value: Any, key: str, parts: dict[str, Tensor], mesh: DeviceMesh | None) -> Any:
    if isinstance(value, Tensor) and value.is_meta:
        parts[key] = _room_for(value, mesh)
        return parts[key]
    if isinstance(value, Mapping):
        return {name: _with(entry, f"{key}/{name}", parts, mesh) for name, entry in value.items()}
    return value


def _room_for(value: Tensor, mesh: DeviceMesh | None) -> Tensor:
    if mesh is None:
        return torch.zeros(value.shape, dtype=value.dtype)
    return zeros(value.shape, dtype=value.dtype, device_mesh=mesh, placements=[Shard(0)])


def _first(error: Any) -> str:
    """What went wrong on the first process that says so; of a pair of an error and where it was raised."""
    return str(next(iter(error.failures.values()))[0])


__all__ = ["KEY", "SHARDS", "with_shards", "write_shards"]
