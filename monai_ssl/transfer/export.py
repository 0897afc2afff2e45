"""Export weights as safetensors with a model card."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from monai_ssl.files import atomic
from monai_ssl.transfer.card import ModelCard
from monai_ssl.transfer.shards import whole_state


def export_weights(
    module: nn.Module,
    path: str | Path,
    card: ModelCard,
    parts: Sequence[str] = ("encoder",),
) -> Path:
    """Write the weights of ``parts`` with their card.

    Three files appear, each whole or not at all: ``path`` (safetensors; names begin with the part, the card stands in
    the metadata), ``<path>.card.json`` and, beside it, ``MODEL_CARD.md``.

    Args:
        module: a method or network with an attribute for each part.
        path: ends in ``.safetensors``.
        card: its hash is filled in here.
        parts: ``"encoder"``, and ``"decoder"`` where the method has one.

    Returns:
        The path of the safetensors file.

    Raises:
        ValueError: when ``module`` lacks a part or ``path`` has another suffix.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise ValueError(f"Weights are published as safetensors: name the file `*.safetensors`, not `{path.name}`.")
    return write_weights(collect_weights(module, parts), path, card)


def write_weights(tensors: Mapping[str, Tensor], path: Path, card: ModelCard) -> Path:
    """Write tensors, by part and name, with their card, as :func:`export_weights` does."""
    from safetensors.torch import save

    card = dataclasses.replace(card, tensors_sha256=hash_tensors(tensors))
    with atomic(path) as file:
        file.write(_ordered(save(dict(tensors), metadata={"format": "pt", "card": card.to_json()})))
    with atomic(path.with_name(f"{path.name}.card.json")) as file:
        file.write(card.to_json().encode())
    with atomic(path.with_name("MODEL_CARD.md")) as file:
        file.write(card.to_markdown(path.name).encode())
    return path


def _ordered(content: bytes) -> bytes:
    """Return a safetensors file with the entries of its metadata in order; the library leaves that to chance."""
    size = int.from_bytes(content[:8], "little")
    header = json.loads(content[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + content[8 + size :]


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 over names, types, shapes and values, in the order of the names."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        # a flat view as bytes: NumPy knows no bfloat16
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def collect_weights(module: nn.Module, parts: Sequence[str]) -> dict[str, Tensor]:
    """Return copies of the tensors of ``parts`` on the CPU, by part and name; of a sharded module all must ask.

    Raises:
        ValueError: when ``module`` lacks a part.
    """
    tensors = {}
    for part in parts:
        kept = getattr(module, part, None)
        if not isinstance(kept, nn.Module):
            raise ValueError(f"{type(module).__name__} has no `{part}` to export; leave it out of `parts`.")
        for name, tensor in whole_state(kept).items():
            # clones: safetensors refuses tensors that share memory
            tensors[f"{part}.{name}"] = tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
    return tensors
