"""Read weights from safetensors, PyTorch checkpoints or state dicts, without unpickling code."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.distributed.device_mesh import DeviceMesh

from monai_ssl.transfer.authors_keys import translate
from monai_ssl.transfer.card import ModelCard, read_card
from monai_ssl.transfer.export import hash_tensors
from monai_ssl.transfer.primus_names import with_grid
from monai_ssl.transfer.sharded_state import KEY, with_shards

Weights = str | Path | Mapping[str, Any]

# where checkpoints keep a state dict: our trainer, MONAI's CheckpointSaver, the authors of PCRL, nnU-Net, SuPreM
_CONTAINERS = ("method", "model", "network", "state_dict", "network_weights", "net")

_PARTS = {"encoder", "decoder"}

# of a method that trains two encoders of equal standing, the top levels they stand under: BYOL
_EQUALS = {"online", "target"}

# DistributedDataParallel puts it before all names
_WRAPPER = "module."


def read_part(source: Weights, part: str) -> tuple[dict[str, Tensor], ModelCard | None, str]:
    """Return the tensors of ``part`` by their name inside it, the card of the file if it has one, and what was cut off.

    Args:
        source: a safetensors file, a checkpoint that ``torch.load(weights_only=True)`` reads, or a state dict.
        part: e.g. ``"encoder"``. In a training checkpoint it may be nested (``network.encoder.*``). A state dict
            without any such prefix is taken as the part itself.

    Returns:
        Tensors, card, and the prefix that their names had in the file, ``""`` for none.

    Raises:
        ValueError: when the file cannot be read safely, was altered, or holds the part more than once.
        FileNotFoundError: when there is no such file.
    """
    if isinstance(source, Mapping):
        tensors, prefix = _pick(_state_dict(source, "the given state dict"), part, "the given state dict")
        return tensors, None, prefix
    path = Path(source)
    if not path.is_file():
        raise FileNotFoundError(f"There is no weights file `{path}`; give the path of a `*.safetensors` or `*.pt`.")
    if path.suffix == ".safetensors":
        stored, card = _read_safetensors(path)
    else:
        stored, card = _state_dict(read_checkpoint(path), str(path)), None
    tensors, prefix = _pick(stored, part, str(path))
    return tensors, card, prefix


def _read_safetensors(path: Path) -> tuple[dict[str, Tensor], ModelCard | None]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card = read_card(path)
    try:
        tensors = load_file(str(path))
    except (SafetensorError, KeyError) as error:
        raise ValueError(f"`{path}` is not a whole safetensors file ({error}); copy or export it again.") from error
    if card is not None and card.tensors_sha256 != hash_tensors(tensors):
        raise ValueError(
            f"The tensors in `{path}` are not those that its model card was written for (their hash differs), so the "
            "file was altered after the export; get it again from where it was published."
        )
    return tensors, card


def read_checkpoint(
    path: Path, device: torch.device | str = "cpu", mesh: DeviceMesh | None = None
) -> Mapping[str, Any]:
    """Return what ``torch.save`` wrote, if it is tensors and plain values only, and what it says to lie beside it.

    Args:
        path: of the file.
        device: of the tensors in it.
        mesh: processes that share what several have written in parts; ``None`` reads that whole.

    Raises:
        ValueError: when it holds more than that, is cut off, or is no dictionary.
    """
    head = read_head(path, device)
    return with_shards(head, path, mesh) if KEY in head else head


def read_head(path: Path, device: torch.device | str = "cpu") -> Mapping[str, Any]:
    """Return what :func:`read_checkpoint` does, without what lies beside the file.

    Raises:
        ValueError: when it holds more than that, is cut off, or is no dictionary.
    """
    try:
        content = torch.load(path, map_location=device, weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"`{path}` holds more than tensors, and reading that could run foreign code, so it is refused. If you "
            "trust its origin, convert it once in a throw-away environment: `torch.save(torch.load('old.pth', "
            "weights_only=False)['state_dict'], 'clean.pt')` (nnU-Net: `['network_weights']`), then give `clean.pt`."
        ) from error
    except Exception as error:  # a damaged pickle does anything
        first = (str(error).splitlines() or [type(error).__name__])[0]
        raise ValueError(f"`{path}` is not a whole checkpoint ({first}); copy or save it again.") from error
    if not isinstance(content, Mapping):
        raise ValueError(f"`{path}` holds a {type(content).__name__}, not a state dict; save `network.state_dict()`.")
    return content


def _state_dict(content: Mapping[str, Any], origin: str) -> dict[str, Tensor]:
    states = (content[name] for name in _CONTAINERS if isinstance(content.get(name), Mapping))
    tensors = {name: value for name, value in next(states, content).items() if isinstance(value, Tensor)}
    if not tensors:
        known = ", ".join(f"`{name}`" for name in _CONTAINERS)
        raise ValueError(f"{origin} has no tensors at its top level nor under {known}; save `network.state_dict()`.")
    return with_grid(tensors, content)


def _pick(stored: Mapping[str, Tensor], part: str, origin: str) -> tuple[dict[str, Tensor], str]:
    wrapper = _WRAPPER if any(name.startswith(_WRAPPER) for name in stored) else ""
    tensors = {name.removeprefix(wrapper): tensor for name, tensor in stored.items()}
    if part == "encoder" and (known := translate(tensors)) is not None:
        return known, wrapper
    prefixes = {name[: match + len(part) + 1] for name in tensors if (match := _find(name, part)) >= 0}
    if not prefixes:
        others = {name.split(".", 1)[0] for name in tensors}
        if others <= _PARTS:
            raise ValueError(f"{origin} holds no `{part}`, only `{'`, `'.join(sorted(others))}`; ask for that part.")
        return tensors, wrapper
    depth = min(prefix.count(".") for prefix in prefixes)
    equals = sorted(prefix for prefix in prefixes if prefix.split(".", 1)[0] in _EQUALS)
    nearest = equals if len(equals) > 1 else sorted(prefix for prefix in prefixes if prefix.count(".") == depth)
    if len(nearest) > 1:
        raise ValueError(
            f"{origin} holds `{part}` more than once ({', '.join(p.rstrip('.') for p in nearest)}); export the one "
            "that you mean with `monai_ssl.transfer.export_weights` and give that file."
        )
    picked = {name.removeprefix(nearest[0]): t for name, t in tensors.items() if name.startswith(nearest[0])}
    return picked, wrapper + nearest[0]


def _find(name: str, part: str) -> int:
    """Position of ``part`` as a whole component of a dotted name, or -1."""
    return f".{name}".find(f".{part}.")


def part_shapes(path: Path, part: str) -> dict[str, tuple[int, ...]]:
    """Return the shapes of the tensors of a part of a safetensors file by its header, none where it has none."""
    from safetensors import safe_open

    with safe_open(str(path), "pt") as file:
        names = [name for name in file.keys() if name.startswith(f"{part}.")]  # noqa: SIM118 -- no mapping
        return {name.removeprefix(f"{part}."): tuple(file.get_slice(name).get_shape()) for name in names}
