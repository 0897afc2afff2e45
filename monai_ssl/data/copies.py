"""Augmented copies of the images of a class in a training set, as "Dive into SSL" has ten of each positive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from monai_ssl.data.cases import Case


def with_copies(cases: Sequence[Case], copies: Mapping[int, int]) -> list[Case]:
    """Return cases, each followed by its copies, which have a number ``copy`` from 1 on.

    A copy is the same file; :class:`monai_ssl.tasks.augmentation.AugmentedCopyd` makes an image of its own of it.

    Args:
        cases: with one class each as ``label``.
        copies: how many, by class; none of the others.

    >>> with_copies([{"image": "a.png", "label": 1}], {1: 1})
    [{'image': 'a.png', 'label': 1}, {'image': 'a.png', 'label': 1, 'copy': 1}]
    """
    return [
        case if number == 0 else {**case, "copy": number}
        for case in cases
        for number in range(1 + copies.get(case["label"], 0))
    ]


__all__ = ["with_copies"]
