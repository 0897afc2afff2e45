"""Load pre-trained weights into a network, with an account of every tensor."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from monai_ssl.networks import Encoder, MonaiEncoder, Transformer, resize_positions
from monai_ssl.transfer.account import LoadAccount
from monai_ssl.transfer.inflate import inflate_channels
from monai_ssl.transfer.monai_names import as_in
from monai_ssl.transfer.weights_file import Weights, read_part

_STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def load_weights(
    module: nn.Module,
    source: Weights,
    part: str = "encoder",
    *,
    channels: Literal["refuse", "inflate"] = "refuse",
    strict: bool = True,
    expected: Mapping[str, Any] | None = None,
) -> LoadAccount:
    """Copy pre-trained tensors into one part of a network, in place.

    A file with a network of MONAI by its own names, as MONAI's users save it, gives its encoder to a
    :class:`monai_ssl.networks.MonaiEncoder` of that class; so do the releases in :mod:`monai_ssl.transfer.published`.

    Position embeddings of a vision transformer are interpolated where its windows have another size. Batch norms may
    have become group norms before: their scale and shift are loaded, running statistics dropped.

    Args:
        module: a network or method with an attribute named ``part``; one without, and any encoder, is taken as the
            part itself.
        source: safetensors, training checkpoint or state dict, see :func:`monai_ssl.transfer.weights_file.read_part`.
        part: what to load.
        channels: ``"inflate"`` fits the first convolution to another number of image channels.
        strict: refuse, before anything is changed, unless every tensor of file and network finds its place.
        expected: how images are prepared now (``modality``, ``intensity``, ``spacing``, ``channels``); a
            difference from the card is a warning.

    Returns:
        The fate of every tensor.

    Raises:
        ValueError: when ``strict`` and the account is not complete; it names tensors and the likely reason. When a
            tensor is not what :func:`check_numbers` asks for.
    """
    if channels not in ("refuse", "inflate"):
        raise ValueError(f"`channels` must be 'refuse' or 'inflate', got {channels!r}.")
    # an encoder may hold another one, which is a part of it only
    target = module if part == "encoder" and isinstance(module, Encoder) else getattr(module, part, None)
    target = target if isinstance(target, nn.Module) else module
    tensors, card, prefix = read_part(source, part)
    origin = "the given state dict" if isinstance(source, Mapping) else str(source)
    if isinstance(target, MonaiEncoder):
        tensors = as_in(target, tensors, origin)
    account = LoadAccount(part, origin, card=card, prefix=prefix)
    fitting, account = _match(target, tensors, account, channels == "inflate")
    if strict and not account.complete:
        raise ValueError(_refusal(account, type(target).__name__))
    check_numbers(fitting, target.state_dict(), origin)
    if card is not None and expected:
        account = replace(account, warnings=tuple(card.disagreements(expected)))
    if account.warnings:
        sentences = "; ".join(account.warnings)
        warnings.warn(f"The weights of {origin} may not fit these images: {sentences}.", UserWarning, stacklevel=2)
    with torch.no_grad():
        state = target.state_dict()
        for name, tensor in fitting.items():
            state[name].copy_(tensor)
    return account


def check_numbers(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], origin: str) -> None:
    """Raise unless what goes into tensors of floating point is of floating point, and finite there.

    Raises:
        ValueError: naming the first tensors that are not.

    >>> try:
    ...     check_numbers({"bias": torch.tensor([0.0, float("nan")])}, {"bias": torch.zeros(2)}, "model.pt")
    ... except ValueError as error:
    ...     print(str(error).partition(":")[0])
    1 of 1 tensors in model.pt are not finite numbers of floating point (bias)
    """
    floats = [name for name in tensors if name in wanted and wanted[name].is_floating_point()]
    bad = [name for name in floats if not _is_finite(tensors[name], wanted[name].dtype)]
    if bad:
        raise ValueError(
            f"{len(bad)} of {len(floats)} tensors in {origin} are not finite numbers of floating point "
            f"({', '.join(bad[:3])}): that training diverged, or the file was quantized or damaged; take other weights."
        )


def _is_finite(tensor: Tensor, dtype: torch.dtype) -> bool:
    return tensor.is_floating_point() and bool(tensor.to(dtype).isfinite().all())


def _match(
    target: nn.Module, tensors: Mapping[str, Tensor], account: LoadAccount, inflate: bool
) -> tuple[dict[str, Tensor], LoadAccount]:
    wanted = target.state_dict()
    first = next(iter(wanted), "")
    fitting, inflated, resized, reshaped = {}, {}, {}, {}
    positions = {
        f"{name}.positions".removeprefix(".") for name, m in target.named_modules() if isinstance(m, Transformer)
    }
    for name in wanted.keys() & tensors.keys():
        old, new = tensors[name].shape, wanted[name].shape
        if old == new:
            fitting[name] = tensors[name]
        elif inflate and name == first and len(old) == len(new) and (old[0], *old[2:]) == (new[0], *new[2:]):
            fitting[name] = inflate_channels(tensors[name], new[1])
            inflated[name] = (tuple(old), tuple(new))
        elif name in positions and old[:2] == new[:2] and len(old) == len(new):
            fitting[name] = resize_positions(tensors[name], new[2:])
            resized[name] = (tuple(old), tuple(new))
        else:
            reshaped[name] = (tuple(old), tuple(new))
    obsolete = {f"{norm}.{statistic}" for norm in _group_norms(target) for statistic in _STATISTICS}
    left = [name for name in tensors if name not in wanted]
    return fitting, replace(
        account,
        loaded=tuple(name for name in wanted if name in fitting and name not in {**inflated, **resized}),
        inflated=inflated,
        resized=resized,
        missing=tuple(name for name in wanted if name not in tensors),
        unexpected=tuple(name for name in left if name not in obsolete),
        reshaped={name: reshaped[name] for name in wanted if name in reshaped},
        dropped=tuple(name for name in left if name in obsolete),
    )


def _group_norms(target: nn.Module) -> Iterator[str]:
    yield from (name for name, layer in target.named_modules() if isinstance(layer, nn.GroupNorm))


def _refusal(account: LoadAccount, network: str) -> str:
    faults = {
        "missing in the file": account.missing,
        "not in the network": account.unexpected,
        "of another shape": tuple(f"{n} {old} in file, {new} here" for n, (old, new) in account.reshaped.items()),
    }
    named = "; ".join(f"{len(names)} {fault} ({', '.join(names[:3])})" for fault, names in faults.items() if names)
    return (
        f"Only {account.share:.0%} of the {account.part} of {network} can be loaded from {account.source}: {named}. "
        f"{_likely_reason(account)}"
    )


def _likely_reason(account: LoadAccount) -> str:
    built = f" (the file's was built by {dict(account.card.encoder)})" if account.card else ""
    if not account.loaded and not account.reshaped:
        return f"No name agrees: these are weights of another network{built}; build the same {account.part}."
    shapes = list(account.reshaped.values())
    if account.part == "decoder" and not account.missing and _only_inputs_differ(shapes):
        had, has = ("without", "with") if shapes[0][0][1] < shapes[0][1][1] else ("with", "without")
        return (
            f"The file's decoder was trained {had} skip connections, this one is {has}: take only the encoder "
            f"(`part='encoder'`), or build the network {had} them."
        )
    if len(shapes) == 1 and not account.missing and _only_inputs_differ(shapes):
        return (
            f"The file saw images of {shapes[0][0][1]} channels, not {shapes[0][1][1]}: set `channels='inflate'`, or "
            "build the network for as many."
        )
    if shapes:
        return f"The file's network has another width or dimension{built}; build the {account.part} alike."
    if account.missing and all(name.rsplit(".", 1)[-1] in _STATISTICS for name in account.missing):
        return "The file's network has group norm, this one batch norm; convert with `norm='group'` before loading."
    return f"The file's network has another depth or other layers{built}; build the {account.part} alike."


def _only_inputs_differ(shapes: Sequence[tuple[tuple[int, ...], tuple[int, ...]]]) -> bool:
    return bool(shapes) and all(len(old) == len(new) > 1 and _same_but_inputs(old, new) for old, new in shapes)


def _same_but_inputs(old: tuple[int, ...], new: tuple[int, ...]) -> bool:
    return (old[0], *old[2:]) == (new[0], *new[2:])
