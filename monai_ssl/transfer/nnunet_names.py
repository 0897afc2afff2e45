"""Names of nnU-Net's residual encoder (`dynamic-network-architectures`, nnssl, OpenMind) for that of this package.

nnU-Net reads an image as (z, y, x), this package as (x, y, z): the axes of all kernels are reversed on the way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

ENCODER, STEM = "encoder.stages", "encoder.stem"
"""Where nnU-Net looks for stages and stem."""
_CONVOLUTION = f"{STEM}.convs.0"
INPUTS = (f"{_CONVOLUTION}.conv", f"{_CONVOLUTION}.all_modules.0")
"""The two names of the convolution that sees the image."""

_SEQUENCE = {"conv": "all_modules.0", "norm": "all_modules.1"}
_THEIRS = re.compile(
    r"^(?P<before>.*?)encoder\.(?:stem\.convs\.0|stages\.(?P<stage>\d+)\.blocks\.(?P<block>\d+)"
    r"\.(?P<part>conv1|conv2|skip)(?:\.[01])?)\.(?P<kind>conv|norm)\.(?P<value>weight|bias)$"
)


def to_nnunet(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors of a :class:`monai_ssl.networks.ResidualEncoder` as nnU-Net's network names them.

    Each stands there twice, as ``conv`` or ``norm`` and as an entry of ``all_modules``; both share their memory.

    >>> from monai_ssl.networks import ResidualEncoder
    >>> encoder = ResidualEncoder(widths=(2, 4), depths=(1, 1))
    >>> names = to_nnunet(encoder.state_dict())
    >>> len(names) == 2 * len(encoder.state_dict())
    True
    >>> sorted(name for name in names if name.endswith("skip.1.all_modules.0.weight"))
    ['encoder.stages.1.blocks.0.skip.1.all_modules.0.weight']
    """
    theirs = {}
    for name, tensor in tensors.items():
        *place, kind, value = name.split(".")
        where = _CONVOLUTION if place == ["stem"] else _block_of(*place)
        turned = reversed_axes(tensor)
        for layer in (kind, _SEQUENCE[kind]):
            theirs[f"{where}.{layer}.{value}"] = turned
    return theirs


def _block_of(_: str, stage: str, block: str, part: str) -> str:
    # the shortcut is a sequence of pooling and convolution there
    return f"{ENCODER}.{stage}.blocks.{block}.{'skip.1' if part == 'skip' else part}"


def from_nnunet(tensors: Mapping[str, Tensor]) -> dict[str, Tensor] | None:
    """Return the encoder of a checkpoint of nnU-Net or nnssl by this package's names, ``None`` when there is none.

    Decoder and head are left out.

    Raises:
        ValueError: when the file holds several such encoders, or one that halves its axes differently.
    """
    found = {name: match for name in tensors if (match := _THEIRS.match(name)) and "decoder." not in match["before"]}
    if not any(match["stage"] for match in found.values()):
        return None
    if len({match["before"] for match in found.values()}) > 1:
        raise ValueError("The file holds several residual encoders (student and teacher?); save the one to load alone.")
    uneven = [t.shape for name, t in tensors.items() if "transpconvs" in name and t.ndim > 2 and {*t.shape[2:]} != {2}]
    if uneven:
        raise ValueError(
            f"This network of nnU-Net halves its axes differently (a stride of {tuple(uneven[0][2:])}), which the "
            "residual encoder of this package does not: only networks with equal strides can be taken over."
        )
    return {_ours(match): reversed_axes(tensors[name]) for name, match in found.items()}


def _ours(match: re.Match[str]) -> str:
    where = "stem" if match["stage"] is None else f"stages.{match['stage']}.{match['block']}.{match['part']}"
    return f"{where}.{match['kind']}.{match['value']}"


def reversed_axes(tensor: Tensor) -> Tensor:
    """Return a kernel (out, in, *axes) with its axes in reverse order; vectors and matrices as they are."""
    return tensor.permute(0, 1, *reversed(range(2, tensor.ndim))).contiguous() if tensor.ndim > 2 else tensor


def nnssl_windows(checkpoint: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return ``patch_size`` (z, y, x) and ``spacing`` of nnssl's pre-training, ``None`` where no plan says them."""
    try:
        first = next(iter(checkpoint["nnssl_adaptation_plan"]["pretrain_plan"]["configurations"].values()))
        return {"patch_size": [int(side) for side in first["patch_size"]], "spacing": first.get("spacing")}
    except (KeyError, TypeError, AttributeError, StopIteration, ValueError):
        return None


__all__ = ["ENCODER", "INPUTS", "STEM", "from_nnunet", "nnssl_windows", "reversed_axes", "to_nnunet"]
