"""Names of Primus (`dynamic-network-architectures`, nnssl, OpenMind) for the vision transformer of this package.

Primus reads an image as (z, y, x), this package as (x, y, z): patch embedding and learned positions have their axes
reversed, and so have the channels of queries and keys that rotary positions turn, a third of each head for an axis.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from monai_ssl.networks.vit.encoder import SIZES
from monai_ssl.transfer.nnunet_names import nnssl_windows, reversed_axes

HEADS = {width: heads for width, _, heads in SIZES.values()}
"""Attention heads of Primus by its width; no tensor says how many there are."""

_POSITIONS = "eva.pos_embed"
_PROJECTION = "down_projection.proj"
_THEIRS = re.compile(r"^(?P<before>(?:.*\.)?)(?P<name>(?:down_projection|eva)\..+|register_tokens)$")
_LAYERS = {
    f"{_PROJECTION}.": "embedding.",
    "eva.": "transformer.",
    "pos_embed": "positions",
    ".gamma_": ".scale",
    ".attn.": ".attention.",
    "q_proj": "query",
    "k_proj": "key",
    "v_proj": "value",
    ".proj.": ".output.",
    ".fc1_g.": ".gate.",
    ".fc1_x.": ".hidden.",
    ".fc2.": ".output.",
}
"""Words of their names for ours, in the order of replacing."""


def from_primus(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the encoder of a checkpoint of Primus by this package's names, ``None`` when there is none.

    Decoder, mask token and head are left out. Positions (1, N, width) must be those of a cube of tokens, or have their
    grid from the plan of the checkpoint, see :func:`with_grid`.

    Raises:
        ValueError: when the file holds several such encoders, or one that :class:`monai_ssl.networks.VisionTransformer`
            is not: Primus v2 and v3, register tokens, tokens of uneven sides, a width of unknown heads.
    """
    found = {name: match for name in tensors if (match := _THEIRS.match(name))}
    if not any(match["name"].startswith("eva.blocks.") for match in found.values()):
        return None
    if len({match["before"] for match in found.values()}) > 1:
        raise ValueError("The file holds several Primus encoders (student and teacher?); save the one to load alone.")
    theirs = {match["name"]: tensors[name] for name, match in found.items()}
    heads = _heads(theirs)
    return {_ours(name): _turned(name, tensor, heads) for name, tensor in theirs.items()}


def with_grid(tensors: Mapping[str, Tensor], checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return the tensors with the positions of Primus as a grid (1, z, y, x, width), where nnssl's plan tells it.

    >>> import torch
    >>> tensors = {"down_projection.proj.weight": torch.ones(4, 1, 8, 8, 8), "eva.pos_embed": torch.ones(1, 6, 4)}
    >>> plan = {"pretrain_plan": {"configurations": {"onemmiso": {"patch_size": [8, 16, 24]}}}}
    >>> with_grid(tensors, {"nnssl_adaptation_plan": plan})["eva.pos_embed"].shape
    torch.Size([1, 1, 2, 3, 4])
    """
    window = (nnssl_windows(checkpoint) or {"patch_size": []})["patch_size"]
    shaped = dict(tensors)
    for name, tensor in tensors.items():
        kernel = tensors.get(f"{name.removesuffix(_POSITIONS)}{_PROJECTION}.weight")
        if (
            name.endswith(_POSITIONS)
            and kernel is not None
            and tensor.ndim == 3
            and kernel.ndim == 5
            and kernel.numel()
        ):
            grid = [side // patch for side, patch in zip(window, kernel.shape[2:], strict=False)]
            if len(grid) == 3 and math.prod(grid) == tensor.shape[1]:
                shaped[name] = tensor.unflatten(1, grid)
    return shaped


def _heads(theirs: Mapping[str, Tensor]) -> int:
    projection = theirs.get(f"{_PROJECTION}.weight")
    if "register_tokens" in theirs:
        fault = "has register tokens"
    elif projection is None or projection.ndim != 5:
        fault = "has no plain 3-D patch embedding (Primus v2 and v3 have convolutions before it)"
    elif len(set(projection.shape[2:])) > 1:
        fault = f"has tokens of {' x '.join(map(str, projection.shape[2:]))} voxels, not cubes"
    elif len(projection) not in HEADS:
        fault = f"has {len(projection)} channels; the attention heads are known of {', '.join(map(str, HEADS))} only"
    else:
        return HEADS[len(projection)]
    raise ValueError(f"This Primus {fault}: only Primus S, B, M and L as published can be taken over.")


def _ours(name: str) -> str:
    for theirs, ours in _LAYERS.items():
        name = name.replace(theirs, ours)
    return name


def _turned(name: str, tensor: Tensor, heads: int) -> Tensor:
    if name == _POSITIONS:
        return _grid_of(tensor).permute(0, 4, 3, 2, 1).contiguous()
    if re.search(r"\.attn\.[qk]_proj\.", name) and tensor.ndim and len(tensor) % (3 * heads) == 0:
        return tensor.unflatten(0, (heads, 3, -1)).flip(1).flatten(0, 2)
    return reversed_axes(tensor)


def _grid_of(positions: Tensor) -> Tensor:
    if positions.ndim == 5:
        return positions
    tokens = positions.shape[1] if positions.ndim == 3 else 0
    side = round(tokens ** (1 / 3))
    if side**3 != tokens or not tokens:
        raise ValueError(
            f"The learned positions of this Primus {tuple(positions.shape)} are not those of a cube of tokens, and the "
            "file has no plan of nnssl that says the sides of its windows: give the whole checkpoint, with its "
            "`nnssl_adaptation_plan`."
        )
    return positions.unflatten(1, (side, side, side))


__all__ = ["HEADS", "from_primus", "with_grid"]
