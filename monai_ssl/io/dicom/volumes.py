"""Split the slices of a series into volumes by tags, times and order; only parts that are alike are believed."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterator, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

from monai_ssl.io.dicom.marks import ALIKE, DIMENSIONS, Slice
from monai_ssl.io.dicom.places import Places, are_placed, by_plane

Indices = list[int]
Parts = list[Indices]
_ALIKE = [DIMENSIONS.index(tag) for tag in ALIKE]


class Part(NamedTuple):
    """Slices that belong together, and what keeps them from being a whole volume, if anything does."""

    slices: list[Slice]
    problem: str | None = None


def split(slices: Sequence[Slice]) -> list[Part]:
    """Return the volumes of a series.

    Slices that differ in orientation or pixel spacing are never of one volume. Where several lie at the same place,
    a tag tells the volumes apart if each of its values occurs equally often at every place; several tags do one after
    the other. Where no tag is left, times and numbers of images do whose order repeats regularly. Last, volumes of
    different extent are believed if each is a regular stack, and incomplete ones are set apart if most are complete.
    What cannot be told apart stays in one part, which will be refused when it is read.
    """
    return [part for alike in by_plane(slices) for part in _of_one_plane(alike)]


def _of_one_plane(slices: list[Slice]) -> list[Part]:
    if not are_placed(slices):
        return [Part(slices)]
    stack = _Stack(slices)
    # in the order of acquisition, where the images are numbered
    volumes = sorted(stack.volumes(), key=lambda volume: min(slices[i].number or 0 for i in volume[0]))
    return [Part([slices[i] for i in stack.with_copies(part)], problem) for part, problem in volumes]


class _Stack:
    """The images of one plane; copies of one image are counted once."""

    def __init__(self, slices: list[Slice]) -> None:
        self.slices, self.places = slices, Places(slices)
        copies: dict[Hashable, Indices] = defaultdict(list)
        for i, item in enumerate(slices):
            copies[item.image, self.places.of[i], item.number, item.marks].append(i)
        self.copies = {members[0]: members for members in copies.values()}
        self.dimensions = len(slices[0].marks)
        self.columns = [(*item.marks, *item.moments, item.folder) for item in slices]
        self.numbers = [item.number for item in slices]

    def with_copies(self, part: Indices) -> Indices:
        return sorted(chain.from_iterable(self.copies[i] for i in part))

    def volumes(self) -> list[tuple[Indices, str | None]]:
        whole = list(self.copies)
        if not self.places.are_unique(whole):
            found = self.refine(whole, list(range(len(self.columns[0]))))
        elif self.places.are_even(whole) and not self.places.do_overlap(whole):
            found = [whole]
        else:
            found = self.passes(whole)
        return self.unequal(whole) if found is None else [(part, None) for part in found]

    def by(self, part: Indices, *columns: int) -> Parts:
        """Group by values, in the order of these."""
        groups: dict[tuple[str, ...], Indices] = defaultdict(list)
        for i in part:
            groups[tuple(self.columns[i][column] for column in columns)].append(i)
        return [groups[key] for key in sorted(groups, key=lambda key: [_order(value) for value in key])]

    def varying(self, part: Indices, columns: Sequence[int]) -> list[int]:
        return [column for column in columns if len({self.columns[i][column] for i in part}) > 1]

    def refine(self, part: Indices, columns: list[int]) -> Parts | None:
        """Split until no place repeats, by values that occur equally often at every place; else by order."""
        if self.places.are_unique(part):
            return [part]
        columns = self.varying(part, columns)
        for n, column in enumerate(columns):
            parts = self.by(part, column)
            if all(self.is_even(each, part) for each in parts):
                refined = [self.refine(each, columns[n + 1 :]) for each in parts]
                return None if None in refined else [each for found in refined if found for each in found]
        return self.by_order(part)

    def is_even(self, part: Indices, whole: Indices) -> bool:
        counts = Counter(self.places.of[i] for i in part)
        return len(set(counts.values())) == 1 and len(counts) == len({self.places.of[i] for i in whole})

    def by_order(self, part: Indices) -> Parts | None:
        """Split by the rank of an image at its place, if images came volume by volume or place by place."""
        for values in self.orders():
            rows: dict[Any, list[tuple[Any, int]]] = defaultdict(list)
            for i in part:
                rows[self.places.of[i]].append((values[i], i))
            lines = [sorted(row) for row in rows.values()]
            if len({len(line) for line in lines}) > 1 or any(a[0] == b[0] for row in lines for a, b in pairwise(row)):
                continue
            ranks = [list(rank) for rank in zip(*lines, strict=True)]
            parts = [[i for _, i in rank] for rank in ranks]
            if (_one_after_the_other(ranks) or _one_after_the_other(sorted(lines))) and all(map(self.is_alike, parts)):
                return parts
        return None

    def is_alike(self, part: Indices) -> bool:
        """Whether no tag of which a volume has one value has two."""
        return all(len({self.columns[i][column] for i in part} - {""}) <= 1 for column in _ALIKE)

    def orders(self) -> Iterator[list[Any]]:
        """Yield the number of every image, and its times, where all have them."""
        moments = (list(column) for column in zip(*(item.moments for item in self.slices), strict=True))
        yield from (values for values in (self.numbers, *moments) if all(value not in (None, "") for value in values))

    def passes(self, whole: Indices) -> Parts | None:
        """Split a stack whose slices belong in turn to one pass and the next."""
        row = sorted(whole, key=lambda i: self.places.heights[i])
        rank = {i: n for n, i in enumerate(row)}
        tagged = (self.by(whole, column) for column in self.varying(whole, range(len(self.columns[0]))))
        for parts in (*tagged, *self.repeated_numbers(row), *self.equal_runs(whole)):
            count = len(parts)
            alike = len({len(part) for part in parts}) == 1 and 3 * count <= len(whole)
            if (
                alike
                and all(map(self.places.are_regular, parts))
                and all(len({rank[i] % count for i in part}) == 1 for part in parts)
            ):
                return parts
        return None

    def repeated_numbers(self, row: Indices) -> Iterator[Parts]:
        """Yield every n-th image of a row if each number occurs n times: each pass was numbered anew."""
        counts = set(Counter(self.numbers[i] for i in row).values())
        if len(counts) == 1 and counts != {1}:
            (count,) = counts
            yield [row[first::count] for first in range(count)]

    def equal_runs(self, whole: Indices) -> Iterator[Parts]:
        """Yield the images cut into 2, 3, ... runs of their numbers."""
        if any(self.numbers[i] is None for i in whole):
            return
        row = sorted(whole, key=lambda i: self.numbers[i] or 0)
        for count in range(2, len(row) // 2 + 1):
            if len(row) % count == 0:
                size = len(row) // count
                yield [row[start : start + size] for start in range(0, len(row), size)]

    def unequal(self, whole: Indices) -> list[tuple[Indices, str | None]]:
        """Split into volumes of which some are incomplete, or of other extent; leave whole what cannot be split."""
        tags = self.varying(whole, range(self.dimensions))
        last = len(self.columns[0]) - 1
        choices = [*([tag] for tag in tags), tags, self.varying(whole, [last])]
        needed = len(whole) * (0.5 if not self.places.are_unique(whole) else 1)
        for parts in (*(self.by(whole, *choice) for choice in choices if choice), *self.by_number(whole)):
            if len(parts) == 1 or not all(map(self.places.are_unique, parts)):
                continue
            volumes = self.whole_ones(parts, whole)
            if sum(map(len, volumes)) >= needed:
                size = max(map(len, volumes))
                return [(part, None if part in volumes else self.problem(part, size)) for part in parts]
        return [(whole, None)]

    def by_number(self, whole: Indices) -> Iterator[Parts]:
        """Yield the volumes that numbers of images tell if they begin with 1 and none is left out for a lost file."""
        size = len({self.places.of[i] for i in whole})
        if any(self.numbers[i] is None for i in whole):
            return
        places = {((self.numbers[i] or 0) - 1) % size: self.places.of[i] for i in whole}
        turns: dict[int, Indices] = defaultdict(list)
        for i in whole:
            turn, slot = divmod((self.numbers[i] or 0) - 1, size)
            turns[turn].append(i)
            if places[slot] != self.places.of[i]:
                return
        if len(set(places.values())) == len(places):
            yield [turns[turn] for turn in sorted(turns)]

    def whole_ones(self, parts: Parts, whole: Indices) -> Parts:
        """Return the parts that have a slice at every place, or are stacks of their own, not the rest of a scan.

        Stacks are of their own if all overlap, or if one reaches as far as all others do.
        """
        size = len({self.places.of[i] for i in whole})
        complete = [part for part in parts if len(part) == size]
        stacks = [part for part in parts if len(part) > 2 and self.places.are_regular(part)]
        if len(complete) > 1 and parts[-1] in stacks:
            # the scan was broken off
            stacks.remove(parts[-1])
        spanning = [part for part in stacks if self.places.spans(part, whole)][:1]
        own = [part for part in stacks if all(self.places.overlap(part, other) for other in spanning or stacks)]
        return [part for part in parts if part in complete or part in own]

    def problem(self, part: Indices, size: int) -> str | None:
        """Say what is missing; the reader tells of gaps, and may fill them."""
        if len(part) > 2 and not self.places.are_regular(part):
            return None
        return f"an incomplete volume: {len(part)} of {size} slices; restore its files"


def _order(value: str) -> tuple[bool, float, str]:
    """Numbers by size, before words."""
    try:
        return False, float(value), value
    except ValueError:
        return True, 0.0, value


def _one_after_the_other(groups: Sequence[Sequence[tuple[Any, int]]]) -> bool:
    """Whether all values of each group are above those of the group before it."""
    return all(max(a)[0] < min(b)[0] for a, b in pairwise(groups))
