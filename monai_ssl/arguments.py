"""Checks of arguments; each error names the argument, what it must be and what was given."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor


def check_interval(interval: str, **arguments: float | Sequence[float] | None) -> None:
    """Check that numbers, or all numbers of sequences, lie in an interval; ``None`` was not given and passes.

    Args:
        interval: in mathematical notation, e.g. ``"[0, 1)"``, ``"(0, inf)"``.
        **arguments: by name.

    Raises:
        ValueError: for the first that does not, or is no number.

    >>> check_interval("[0, 1]", prob=0.5, axis_prob=(0, 1))
    >>> check_interval("[1, inf)", num_holes=0)
    Traceback (most recent call last):
    ValueError: `num_holes` must be at least 1, got 0.
    """
    low, high = (float(bound) for bound in interval[1:-1].split(","))
    for name, value in arguments.items():
        if not _inside(value, interval, low, high):
            need = f"in {interval}" if high < np.inf else f"{'at least' if interval[0] == '[' else 'above'} {low:g}"
            raise ValueError(f"`{name}` must be {need}, got {value!r}.")


def _inside(value: float | Sequence[float] | None, interval: str, low: float, high: float) -> bool:
    try:
        numbers = np.asarray([] if value is None else value, dtype=np.float64)
    except (TypeError, ValueError):
        return False
    above = numbers >= low if interval[0] == "[" else numbers > low
    below = numbers <= high if interval[-1] == "]" else numbers < high
    return bool((above & below).all())


def check_choice(allowed: Collection[Any], **arguments: Any) -> None:
    """Check that arguments are among those that exist.

    Args:
        allowed: all that exist.
        **arguments: by name.

    Raises:
        ValueError: for the first that is not.

    >>> check_choice(("mse", "l1"), restoration="l2")
    Traceback (most recent call last):
    ValueError: `restoration` must be 'mse' or 'l1', got 'l2'.
    """
    for name, value in arguments.items():
        if value not in allowed:
            *others, last = map(repr, allowed)
            raise ValueError(f"`{name}` must be {', '.join(others)} or {last}, got {value!r}.")


def check_choices(allowed: Collection[Any], **arguments: Collection[Any]) -> None:
    """Check that all members of arguments are among those that exist.

    Raises:
        ValueError: for the first that is not.
    """
    for name, values in arguments.items():
        for value in values:
            check_choice(allowed, **{name: value})


def byte_size(**arguments: str) -> int:
    """Return the bytes that one argument says, as ``500MB`` or ``1.5TB``; a thousand of each make one of the next.

    Raises:
        ValueError: when it is no size, or below one byte.

    >>> byte_size(cache="1.5GB")
    1500000000
    """
    ((name, text),) = arguments.items()
    match = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMGT]?)B?", text.strip().upper())
    size = int(float(match[1]) * 1000 ** " KMGT".index(match[2] or " ")) if match else 0
    if size < 1:
        raise ValueError(f"`{name}` must be a size, such as 500MB or 1.5TB, got {text!r}.")
    return size


def check_weights(weights: Sequence[float], terms: Sequence[str]) -> tuple[float, ...]:
    """Return the ``weights`` of the ``terms`` of a loss.

    Raises:
        ValueError: when there is not one for each, or one is negative.

    >>> check_weights([1, 0.1], ["order", "turns"])
    (1.0, 0.1)
    """
    if len(weights) != len(terms) or not all(0 <= weight < np.inf for weight in weights):
        raise ValueError(
            f"`weights` must be {len(terms)} numbers of at least 0, for {' and '.join(terms)}, got {list(weights)}."
        )
    return tuple(float(weight) for weight in weights)


def check_range(name: str, value: Sequence[float], interval: str = "(-inf, inf)") -> tuple[float, float]:
    """Return ``value`` as (low, high).

    Raises:
        ValueError: when it is not two numbers of the interval, the lower one first.

    >>> check_range("scale", [0.5, 1], "(0, 1]")
    (0.5, 1.0)
    """
    check_interval(interval, **{name: value})
    if np.shape(value) != (2,) or value[0] > value[1]:
        raise ValueError(f"`{name}` must be two numbers, low and high, got {value}.")
    return float(value[0]), float(value[1])


def per_axis(name: str, value: float | Sequence[float], dims: int) -> NDArray[np.float64]:
    """Return ``value`` as one number for each of ``dims`` spatial axes.

    Raises:
        ValueError: when it is a sequence of another length.

    >>> per_axis("size", 8, 2).tolist()
    [8.0, 8.0]
    """
    values = np.atleast_1d(np.asarray(value, dtype=np.float64))
    if values.shape not in [(1,), (dims,)]:
        raise ValueError(
            f"`{name}` has {len(values)} numbers, but the image has {dims} spatial axes: give one number for all axes "
            "or one for each."
        )
    return np.broadcast_to(values, (dims,))


def check_batch_size(count: int, what: str) -> None:
    """Raise ``ValueError`` unless a batch has two samples at least, for ``what`` compares them with each other."""
    if count < 2:
        raise ValueError(f"{what} compares samples with each other and needs `batch_size` of at least 2, got {count}.")


def check_divisible(x: Tensor, stride: int, owner: str) -> None:
    """Raise ``ValueError`` unless every spatial size of ``x`` (B, C, *spatial) is a multiple of ``stride``."""
    spatial = tuple(x.shape[2:])
    if any(size % stride for size in spatial):
        raise ValueError(
            f"{owner} halves images until 1/{stride}, so each side must be divisible by {stride}, but got {spatial}. "
            f"Nearest sizes that work: {nearest_multiples(spatial, stride)}."
        )


def check_channels(x: Tensor, channels: int, owner: str) -> None:
    """Raise ``ValueError`` unless ``x`` (B, C, *spatial) has ``channels`` channels."""
    if x.shape[1] != channels:
        raise ValueError(
            f"{owner} was built for images of {channels} channels, but got {x.shape[1]}: repeat channels with "
            f"`channels` of the crop, or build the encoder with `in_channels` {x.shape[1]}."
        )


def nearest_multiples(sizes: Sequence[int], stride: int) -> tuple[int, ...]:
    """Return the multiples of ``stride``, at least one, that are nearest to ``sizes``."""
    return tuple(max(stride, round(size / stride) * stride) for size in sizes)
