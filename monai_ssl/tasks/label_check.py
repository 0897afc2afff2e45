"""Check of label files before a training: their grids, their values, and whether there is anything to learn."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from monai_ssl.data.case_facts import MOST_VALUES, CaseFacts, GridFacts, LabelFacts, Unreadable
from monai_ssl.data.cases import Case
from monai_ssl.tasks.finding import Finding, grouped
from monai_ssl.tasks.label_grid import REMEDY, LabelGrid, difference, outside
from monai_ssl.tasks.labels import WHOLE, Labels

_SHOWN = 12


def check_labels(
    cases: Sequence[Case], facts: CaseFacts, labels: Labels, how: LabelGrid, option: str = "labels"
) -> list[Finding]:
    """Return what is wrong with the label files of cases.

    Args:
        cases: with ``image`` and ``label``.
        facts: looks the files up.
        labels: values by name of the structure.
        how: what is done where a label map is not on the grid of its image.
        option: that ``labels`` are of, for messages.
    """
    images, maps = ([str(case[key]) for case in cases] for key in ("image", "label"))
    contents, grids = facts.labels(maps), facts.grids([*images, *maps])
    broken = {p: f.reason for p, f in (grids | contents).items() if isinstance(f, Unreadable)}
    readable = {path: found for path, found in contents.items() if isinstance(found, LabelFacts)}
    pairs = [(i, m) for i, m in zip(images, maps, strict=True) if i not in broken and m not in broken]
    return [
        *grouped(broken, len(cases), "files cannot be read", remedy="repair or leave them out"),
        *_check_grids(pairs, grids, readable, how),
        *_check_content(readable),
        *_check_values({path: found for path, found in readable.items() if not _fractions(found)}, labels, option),
    ]


def _check_grids(
    pairs: Sequence[tuple[str, str]],
    grids: Mapping[str, GridFacts | Unreadable],
    contents: Mapping[str, LabelFacts],
    how: LabelGrid,
) -> Iterable[Finding]:
    found: dict[str, str] = {}
    lost: dict[str, str] = {}
    for image, label in pairs:
        of_image, of_label = grids[image], grids[label]
        assert isinstance(of_image, GridFacts) and isinstance(of_label, GridFacts)
        reason = difference(of_image.grid, of_label.grid)
        if how == "voxels":
            reason = None if of_image.shape == of_label.shape else reason or "its axes are in another order"
        if reason is None:
            continue
        found[label] = reason
        if contents[label].corners and outside(of_image.grid, np.array(contents[label].corners)):
            lost[label] = reason
    if how != "resample":
        remedy = REMEDY if how == "refuse" else "leave them out or make them again"
        yield from grouped(found, len(pairs), "labels are not on the grid of their images", remedy=remedy)
        return
    remedy = "correct the headers, or trust the order of the voxels by `--label_grid voxels`"
    yield from grouped(lost, len(pairs), "labels reach beyond their images and cannot be resampled", remedy=remedy)
    rest = {label: reason for label, reason in found.items() if label not in lost}
    yield from grouped(rest, len(pairs), "labels are resampled onto the grid of their images", refuse=False)


def _check_content(contents: Mapping[str, LabelFacts]) -> Iterable[Finding]:
    total = len(contents)
    several = {p: f"{c.volumes} channels or volumes" for p, c in contents.items() if c.volumes > 1}
    yield from grouped(several, total, "labels have more than one channel", remedy="save one number a voxel")
    many = {p: f"{MOST_VALUES} values and more" for p, c in contents.items() if len(c.values) >= MOST_VALUES}
    yield from grouped(many, total, "labels look like images", remedy="give label maps as `label`")
    fractions = {p: _fractions(c) for p, c in contents.items() if p not in many}
    bad = {path: text for path, text in fractions.items() if text}
    remedy = "make them again without interpolation, by the nearest neighbor"
    yield from grouped(bad, total, "labels hold fractions or no numbers", remedy=remedy)


def _fractions(content: LabelFacts) -> str:
    found = [f"{value:.4g}" for value, _ in content.values if abs(value - round(value)) > WHOLE]
    return ", ".join(found[:3] + ["NaN or infinity"] * bool(content.not_finite))


def _check_values(contents: Mapping[str, LabelFacts], labels: Labels, option: str) -> Iterable[Finding]:
    counts: Counter[int] = Counter()
    first: dict[int, str] = {}
    for path, content in contents.items():
        own = {round(value) for value, _ in content.values}
        counts.update(own)
        first = dict.fromkeys(own, path) | first
    named = {v: name for name, of in labels.items() for v in ([of] if isinstance(of, int) else of)}
    if not contents or len(counts) > MOST_VALUES:
        return
    held, total = _listed(sorted(counts)), len(contents)
    missing = [value for value in named if not counts[value]]
    if len(missing) == len(named):
        asked = _listed([f"{value} ({name})" for value, name in named.items()])
        yield Finding(
            f"no label file holds any of `{option}`: {asked}; the values are {held}. Correct `{option}`.", True
        )
        return
    if missing:
        asked = _listed([f"{value} ({named[value]})" for value in missing])
        yield Finding(f"no label file holds {asked} of `{option}`; the values are {held}", False)
    other = sorted(value for value in counts if value and value not in named)
    if other:
        texts = _listed([f"{value} in {counts[value]} of {total}, as `{Path(first[value]).name}`" for value in other])
        yield Finding(f"values that `{option}` does not list count as background: {texts}", False)
    empty = {p: "" for p, content in contents.items() if not any(round(v) in named for v, _ in content.values)}
    yield from grouped(empty, total, "labels hold none of the structures", refuse=False)


def _listed(items: Sequence[object]) -> str:
    return ", ".join(map(str, items[:_SHOWN])) + (", ..." if len(items) > _SHOWN else "")
