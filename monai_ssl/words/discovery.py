"""Self-discovery of visual words (TransVW): the same place in the body of similar patients.

Haghighi, Hosseinzadeh Taher, Zhou, Gotway, Liang, "Transferable Visual Words: Exploiting the Semantics of Anatomical
Patterns for Self-supervised Learning", TMI 2021. https://arxiv.org/abs/2102.10680
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from monai_ssl.store.scan import Scan
from monai_ssl.words.word_list import Window, Word, WordList

Accept = Callable[[np.ndarray], bool]
"""Whether a window (C, *size) in [0, 1] shows enough to be a word."""
_MOST_PATIENTS = 200


@dataclass(frozen=True)
class WordOptions:
    """How many words to find, and how.

    Args:
        num_words: classes.
        size: voxels of a window.
        common_size: voxels that all images count as having; windows shrink and grow with the image. For radiographs
            of many sizes; ``None`` takes voxels as they are, for volumes.
        patients: nearest training patients that a word is cut from, the reference included; ``None`` for 200, the
            paper's number, or all where there are fewer.
        validation_patients: nearest validation patients, at most.
        words_per_reference: words at most that are drawn in one patient, 1 in the authors' code; ``None`` for as few
            as suffice.
        min_distance: voxels between the places of any two words, in a body of mean size.
        max_trials: places drawn in a reference before another takes its turn.
        seed: of all draws.

    Raises:
        ValueError: when a number is too small.

    >>> options = WordOptions(num_words=9, size=(32, 32))
    >>> options.to_dict()["num_words"], options.to_dict()["size"]
    (9, [32, 32])
    """

    num_words: int = 45
    size: Sequence[int] = (64, 64, 32)
    common_size: Sequence[int] | None = None
    patients: int | None = None
    validation_patients: int = 30
    words_per_reference: int | None = None
    min_distance: float = 5.0
    max_trials: int = 200
    seed: int = 0

    def __post_init__(self) -> None:
        least = {"num_words": 2, "patients": 2, "words_per_reference": 1, "max_trials": 1, "min_distance": 0}
        for name, low in least.items():
            value = getattr(self, name)
            if value is not None and value < low:
                raise ValueError(f"`{name}` of a word list must be at least {low}, got {value}.")
        if min(self.size) < 1 or (self.common_size is not None and len(self.common_size) != len(self.size)):
            raise ValueError(
                f"`size` must be positive and `common_size` have as many axes, got {self.size} and {self.common_size}."
            )

    def to_dict(self) -> dict[str, Any]:
        return {k: list(v) if isinstance(v, Sequence) else v for k, v in asdict(self).items()}


@dataclass(frozen=True)
class Described:
    """Scans and a vector of features for each.

    Args:
        scans: each with ``key``, ``patient``, ``shape``, ``body_box``.
        features: (N, D).

    Raises:
        ValueError: when the features are not one finite vector a scan.
    """

    scans: Sequence[Scan]
    features: np.ndarray

    def __post_init__(self) -> None:
        if self.features.ndim != 2 or len(self.features) != len(self.scans):
            raise ValueError(
                f"Features must be one vector for each of {len(self.scans)} scans, got {self.features.shape}."
            )
        if not np.isfinite(self.features).all():
            raise ValueError("Features of scans hold NaN or infinite numbers: were the encoder's weights trained?")

    def nearest(self, feature: np.ndarray, count: int, first: Scan | None = None) -> list[Scan]:
        """Return one scan each of the ``count`` patients nearest to ``feature`` (D,) by L2, ``first`` before all."""
        distance = np.linalg.norm(self.features - feature, axis=1)
        if first is not None:
            distance[self.scans.index(first)] = -1.0
        nearest: dict[str, Scan] = {}
        for index in np.argsort(distance, kind="stable"):
            nearest.setdefault(self.scans[index].patient, self.scans[index])
        return list(nearest.values())[:count]


def discover_words(
    train: Described, options: WordOptions, validation: Described | None = None, accept: Accept | None = None
) -> WordList:
    """Find ``options.num_words`` places, each in one reference patient, and cut them from the patients like it.

    Patients are references in random order; when all have been one, they are again, as often as
    ``words_per_reference`` allows. Places are fractions of the body, so patients may differ in size and position.

    Args:
        train: training scans.
        options: see :class:`WordOptions`.
        validation: scans of patients that are not trained on.
        accept: judges windows of the reference; all are accepted when ``None``.

    Raises:
        ValueError: when there are too few patients, or not enough places far enough from each other.
    """
    random = np.random.RandomState(options.seed)
    count = _patients_of_a_word(train, options)
    references = _references(train.scans, random)
    _check_enough(len(references), options)
    extent = np.asarray(options.common_size or _mean_body(train.scans), np.float64)
    centers: list[np.ndarray] = []
    words: list[Word] = []
    for _ in range(options.words_per_reference or options.num_words):
        before = len(words)
        for reference in references:
            enough = len(words) == options.num_words
            center = None if enough else _place(reference, centers, extent, options, accept, random)
            if center is not None:
                centers.append(center)
                words.append(_word(len(words), reference, center, train, validation, count, options))
        if len(words) in (before, options.num_words):
            break
    if len(words) < options.num_words:
        raise ValueError(
            f"Only {len(words)} of {options.num_words} words were found in {len(references)} patients: ask for fewer "
            "(`num_words`), closer ones (`min_distance`) or smaller ones (`size`), or give more patients."
        )
    return WordList(tuple(words), options.to_dict())


def window_at(shape: Sequence[int], body: Any, center: np.ndarray, options: WordOptions) -> tuple[Any, Any]:
    """Return start and size (D,) of the window at ``center``, fractions of the body, moved until it is in the scan.

    Args:
        shape: of the scan (C, *spatial).
        body: box, first voxel and one past the last.
        center: fractions in [0, 1].
        options: give the size.
    """
    spatial = np.asarray(shape[1:])
    size = np.asarray(options.size)
    if options.common_size is not None:
        size = np.maximum(np.rint(size * spatial / np.asarray(options.common_size)).astype(int), 1)
    size = np.minimum(size, spatial)
    low, high = (np.asarray(corner) for corner in body)
    start = np.rint(low + center * (high - low) - size / 2).astype(int)
    return np.clip(start, 0, spatial - size), size


def _patients_of_a_word(train: Described, options: WordOptions) -> int:
    there = len({scan.patient for scan in train.scans})
    if there < 2 or there < (options.patients or 0):
        raise ValueError(
            f"A word is cut from {options.patients or 'at least 2'} patients who resemble each other (`patients`), but "
            f"only {there} can be trained on: give more patients{'' if there < 2 else ' or lower `patients`'}."
        )
    wrong = next((scan for scan in train.scans if len(scan.shape) - 1 != len(options.size)), None)
    if wrong is not None:
        raise ValueError(f"`size` {list(options.size)} of words does not fit scan {wrong.key} of shape {wrong.shape}.")
    return options.patients or min(there, _MOST_PATIENTS)


def _check_enough(references: int, options: WordOptions) -> None:
    if options.words_per_reference and references * options.words_per_reference < options.num_words:
        raise ValueError(
            f"{references} patients with `words_per_reference` {options.words_per_reference} cannot give "
            f"{options.num_words} words: lower `num_words`, raise `words_per_reference`, or give more patients."
        )


def _references(scans: Sequence[Scan], random: np.random.RandomState) -> list[Scan]:
    """One scan of each patient, in random order."""
    chosen: dict[str, Scan] = {}
    for index in random.permutation(len(scans)):
        chosen.setdefault(scans[index].patient, scans[index])
    return list(chosen.values())


def _mean_body(scans: Sequence[Scan]) -> np.ndarray:
    return np.mean([np.subtract(high, low) for low, high in (scan.body_box for scan in scans)], axis=0)


def _place(
    reference: Scan,
    taken: Sequence[np.ndarray],
    extent: np.ndarray,
    options: WordOptions,
    accept: Accept | None,
    random: np.random.RandomState,
) -> np.ndarray | None:
    """A place in the reference, far enough from all others and worth looking at; ``None`` when there is none."""
    low, high = (np.asarray(corner) for corner in reference.body_box)
    for _ in range(options.max_trials):
        drawn = random.uniform(size=len(options.size))
        start, size = window_at(reference.shape, reference.body_box, drawn, options)
        # where the border has moved the window, its place is where it went
        center = (start + size / 2 - low) / (high - low)
        if taken and np.linalg.norm((np.stack(taken) - center) * extent, axis=1).min() < options.min_distance:
            continue
        where = (slice(None), *map(slice, start, start + size))
        if accept is None or accept(reference[where]):
            return center
    return None


def _word(
    label: int,
    reference: Scan,
    center: np.ndarray,
    train: Described,
    validation: Described | None,
    count: int,
    options: WordOptions,
) -> Word:
    feature = train.features[train.scans.index(reference)]
    like = train.nearest(feature, count, first=reference)
    others = [] if validation is None else validation.nearest(feature, options.validation_patients)
    windows, unseen = (tuple(_window(scan, center, options) for scan in scans) for scans in (like, others))
    return Word(label, reference.key, tuple(center.tolist()), windows, unseen)


def _window(scan: Scan, center: np.ndarray, options: WordOptions) -> Window:
    start, size = window_at(scan.shape, scan.body_box, center, options)
    return Window(scan.key, tuple(start.tolist()), tuple(size.tolist()))


__all__ = ["Described", "WordOptions", "discover_words", "window_at"]
