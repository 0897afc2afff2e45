"""Class imbalance: training sets of a chosen ratio, and resampling (oversampling, undersampling) of the rare class.

Zhang and Gu, "Dive into Self-Supervised Learning for Medical Image Analysis", 2022, https://arxiv.org/abs/2209.12157,
table 7: r is the ratio of minority to majority, N the number of images.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from torch.utils.data import Sampler, WeightedRandomSampler

from monai_ssl.arguments import check_interval
from monai_ssl.store.splits import label_fractions


def imbalance_counts(ratio: float, total: int) -> tuple[int, int]:
    """Return how many images of minority and majority make ``total`` with ``ratio`` of one to the other.

    Raises:
        ValueError: when ``ratio`` is not in (0, 1], or so small that no image of the minority is left.
    """
    check_interval("(0, 1]", ratio=ratio)
    minority = round(total * ratio / (1 + ratio))
    if minority < 1 or minority >= total:
        raise ValueError(f"{total} images at a ratio of {ratio} leave none of one kind; take more images.")
    return minority, total - minority


def largest_total(ratio: float, minority: int, majority: int) -> int:
    """Return how many images can be chosen at most with ``ratio`` of minority to majority; 0 for none.

    >>> largest_total(0.25, minority=3, majority=100)
    17
    """
    fitting = range(minority + majority, 0, -1)
    return next((n for n in fitting if _fits(ratio, n, minority, majority)), 0)


def imbalanced_subset(
    minority: Sequence[str],
    majority: Sequence[str],
    *,
    ratio: float,
    total: int,
    seed: int = 0,
    copies: Sequence[str] = (),
) -> tuple[str, ...]:
    """Choose a training set of ``total`` images (or patients) with ``ratio`` of minority to majority.

    With one seed and ratio, a larger set contains the smaller ones.

    Args:
        minority: names of those of the rare class in the training part.
        majority: the same of the other kind.
        ratio: r, in (0, 1].
        total: N.
        seed: another seed, another choice.
        copies: names of copies of the minority, which are taken where all of that do not suffice.

    Returns:
        Names, sorted.

    Raises:
        ValueError: when there are too few, or a name is in both.
    """
    if both := sorted(set(minority) & set(majority)):
        raise ValueError(f"`{both[0]}` is in both `minority` and `majority`.")
    few, many = imbalance_counts(ratio, total)
    _check_enough("minority", few, len(minority) + len(copies), ratio, total)
    _check_enough("majority", many, len(majority), ratio, total)
    originals = min(few, len(minority))
    chosen = (*_choose(minority, originals, seed), *_choose(copies, few - originals, seed))
    return tuple(sorted((*chosen, *_choose(majority, many, seed))))


class MeanResampler(Sampler[int]):
    """Draw each epoch all images of the rarest class and as many of every other (the study's mean resampling).

    Images of the other classes take turns, so that after enough epochs each was seen.

    Args:
        labels: class of each image of the dataset.
        ratio: of the rarest class to each other one in an epoch; at 0.5 the others are twice as many. A class that has
            fewer is taken as a whole.
        seed: of turns and order.

    Raises:
        ValueError: when there are fewer than two classes, or ``ratio`` is not in (0, 1].
    """

    def __init__(self, labels: Sequence[int], ratio: float = 1.0, seed: int = 0) -> None:
        check_interval("(0, 1]", ratio=ratio)
        members = _members(labels)
        self.rarest = min(members, key=lambda label: (len(members[label]), label))
        wanted = round(len(members[self.rarest]) / ratio)
        self.members = members
        self.shares = {label: min(wanted, len(of)) for label, of in members.items()}
        self.shares[self.rarest] = len(members[self.rarest])
        self.seed, self.epoch = seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Continue with the draw of ``epoch``, as after a resumed training."""
        self.epoch = epoch

    def __len__(self) -> int:
        return sum(self.shares.values())

    def __iter__(self) -> Iterator[int]:
        drawn = torch.cat([self._turn(label) for label in sorted(self.members)])
        order = torch.randperm(len(drawn), generator=self._generator(self.epoch, len(self.members)))
        self.epoch += 1
        return iter(drawn[order].tolist())

    def _turn(self, label: int) -> torch.Tensor:
        """Return the images of a class whose turn it is: a round of turns shows each once, a few twice at its end."""
        members, share = self.members[label], self.shares[label]
        turns = -(-len(members) // share)
        around, turn = divmod(self.epoch, turns)
        order = torch.randperm(len(members), generator=self._generator(around, sorted(self.members).index(label)))
        at = torch.arange(turn * share, (turn + 1) * share) % len(members)
        return members[order[at]]

    def _generator(self, count: int, stream: int) -> torch.Generator:
        streams = len(self.members) + 1
        return torch.Generator().manual_seed((self.seed * 1_000_003 + count) * streams + stream)


class WeightedResampler(WeightedRandomSampler):
    """Draw as many images as there are, with replacement, each class equally often on average.

    Args:
        labels: class of each image of the dataset.
        seed: of all epochs.

    Raises:
        ValueError: when there are fewer than two classes.
    """

    def __init__(self, labels: Sequence[int], seed: int = 0) -> None:
        members = _members(labels)
        weights = [1 / len(members[int(label)]) for label in labels]
        super().__init__(weights, len(labels), generator=torch.Generator().manual_seed(seed))
        self.seed = seed

    def set_epoch(self, epoch: int) -> None:
        """Continue with the draw of ``epoch``."""
        self.generator.manual_seed(self.seed * 1_000_003 + epoch)


def class_sampler(
    labels: Sequence[int], resampling: Literal["mean", "weighted"] | None, seed: int = 0
) -> MeanResampler | WeightedResampler | None:
    """Return the sampler of that name, or none.

    Raises:
        ValueError: for another name, labels of fewer than two classes, or several labels an image.

    >>> labels = [0] * 90 + [1] * 10
    >>> drawn = [labels[index] for index in class_sampler(labels, "mean")]
    >>> drawn.count(0) == drawn.count(1)
    True
    """
    if resampling is None:
        return None
    if any(isinstance(label, Sequence) for label in labels):
        raise ValueError("`resampling` needs images of one class each: leave it null with `multilabel`.")
    if resampling == "mean":
        return MeanResampler(labels, seed=seed)
    if resampling == "weighted":
        return WeightedResampler(labels, seed)
    raise ValueError(f"`resampling` must be null, 'mean' or 'weighted', got {resampling!r}.")


def _members(labels: Sequence[int]) -> dict[int, torch.Tensor]:
    classes = torch.as_tensor([int(label) for label in labels])
    members = {int(label): (classes == label).nonzero().flatten() for label in classes.unique()}
    if len(members) < 2:
        raise ValueError(f"Resampling needs images of two classes at least, got {len(members)}.")
    return members


def _fits(ratio: float, total: int, minority: int, majority: int) -> bool:
    few = round(total * ratio / (1 + ratio))
    return 0 < few <= minority and 0 < total - few <= majority


def _choose(names: Sequence[str], number: int, seed: int) -> tuple[str, ...]:
    return label_fractions(names, [number], seed)[str(number)] if number else ()


def _check_enough(kind: str, wanted: int, available: int, ratio: float, total: int) -> None:
    if wanted > available:
        raise ValueError(
            f"{total} images at a ratio of {ratio} need {wanted} of the {kind}, but {available} are there, "
            f"{wanted - available} too few; lower `total` or change `ratio`."
        )


__all__ = [
    "MeanResampler",
    "WeightedResampler",
    "class_sampler",
    "imbalance_counts",
    "imbalanced_subset",
    "largest_total",
]
