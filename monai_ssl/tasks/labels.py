"""Map label values to class indices and back."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import torch
from monai.config import KeysCollection
from monai.transforms import MapTransform
from torch import Tensor

Labels = Mapping[str, int | Sequence[int]]
"""Value in the label files by name of the structure; several values are merged. Background is not listed."""

WHOLE = 0.01
"""By how much a label may differ from a whole number."""


class EncodeLabelsd(MapTransform):
    """Turn values of label files into classes: 0 for background and all that is not listed, else 1, 2, ...

    Classes are numbered by their first value in the files, whatever the order in which they are listed. Fractions that
    a scale in the header leaves, as 0.999, are rounded.

    Args:
        keys: label maps (1, *spatial).
        labels: e.g. ``{"left lung": 2, "right lung": [3, 4, 5]}``.
        allow_missing_keys: skip keys that a sample lacks instead of raising ``KeyError``.

    Raises:
        ValueError: when ``labels`` is empty, lists 0, or lists a value twice.

    >>> encode = EncodeLabelsd("label", {"right lung": [3, 4], "left lung": 2})
    >>> encode({"label": torch.tensor([0, 2, 3, 4, 9])})["label"]
    tensor([0, 1, 2, 2, 0])
    """

    def __init__(self, keys: KeysCollection, labels: Labels, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.values = class_values(labels)

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            stored = _whole(out[key])
            encoded = torch.zeros_like(stored)
            for index, values in enumerate(self.values, start=1):
                for value in values:
                    encoded[stored == value] = index
            out[key] = encoded
        return out


class DecodeLabelsd(MapTransform):
    """Turn classes back into the values of the label files; a merged structure gets its first value.

    Args:
        keys: class maps (1, *spatial).
        labels: as for :class:`EncodeLabelsd`.
        allow_missing_keys: skip keys that a sample lacks instead of raising ``KeyError``.

    >>> labels = {"liver": 1, "tumor": [5, 6]}
    >>> encoded = EncodeLabelsd("label", labels)({"label": torch.tensor([[0, 1, 6, 9]])})
    >>> encoded["label"].tolist(), DecodeLabelsd("label", labels)(encoded)["label"].tolist()
    ([[0, 1, 2, 0]], [[0, 1, 5, 0]])
    """

    def __init__(self, keys: KeysCollection, labels: Labels, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.firsts = [0, *(values[0] for values in class_values(labels))]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            classes: Tensor = out[key]
            decoded = torch.zeros_like(classes)
            for index, value in enumerate(self.firsts):
                decoded[classes == index] = value
            out[key] = decoded
        return out


def _whole(stored: Tensor) -> Tensor:
    if not stored.is_floating_point():
        return stored
    rounded = stored.round()
    return torch.where((stored - rounded).abs() <= WHOLE, rounded, stored)


def class_values(labels: Labels) -> list[tuple[int, ...]]:
    """Return the values of each class but background, checked; see :class:`EncodeLabelsd`."""
    given = labels.values() if isinstance(labels, Mapping) else ()
    values = [tuple(value) if isinstance(value, (list, tuple)) else (value,) for value in given]
    flat = [value for group in values for value in group]
    whole = all(isinstance(value, int) for value in flat)
    if not flat or 0 in flat or len(flat) != len(set(flat)) or not all(values) or not whole:
        raise ValueError(
            "`labels` must give each structure its own value in the label files, and background (0) is not listed, "
            f"e.g. {{'liver': 1, 'tumor': 2}}; got {labels!r}."
        )
    return sorted(values)
