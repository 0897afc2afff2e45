"""Results of the user's own study, for the advisor."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from monai_ssl.study.comparison import Row, compare
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.measured import Measured
from monai_ssl.study.results import read_cells

_MIN_SEEDS = 3


def own_results(study_dir: str | Path, labels: int | None = None, task: str | None = None) -> list[Measured]:
    """Return the methods of a study, the best first.

    Args:
        study_dir: folder of the study.
        labels: number of labeled patients in question; the nearest that the study has counts. ``None``: its largest.
        task: of the study; ``None`` takes all together: a method is then better if it is so on one and worse on none.

    Raises:
        FileNotFoundError: when no finished cell is there.
        ValueError: when the study has no such task, or nothing that can be compared with scratch.
    """
    cells, unusable = read_cells(StudyFolder(Path(study_dir)))
    if not cells:
        told = f" ({next(iter(unusable.values()))})" if unusable else ""
        raise FileNotFoundError(f"{study_dir} has no finished cell{told}; give the folder that `study` wrote into.")
    tasks = sorted({cell.task for cell in cells})
    if task is not None and task not in tasks:
        raise ValueError(f"The study in {study_dir} has no task `{task}`; it has {', '.join(tasks)}.")
    rows = [row for row in compare(cells) if not row.scratch and row.difference is not None]
    rows = [row for row in rows if task in (None, row.task)]
    if not rows:
        raise ValueError(f"The study in {study_dir} has no method beside scratch on the same task and labels yet.")
    by_method: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_method[row.method].append(row)
    found = [_of_method(method, _relevant(of, labels)) for method, of in sorted(by_method.items())]
    return sorted(found, key=lambda result: (-result.gain, result.method))


def _relevant(rows: Sequence[Row], labels: int | None) -> list[Row]:
    """Return a row a task: that of the labels in question, with the best scheme."""
    chosen = []
    for task in sorted({row.task for row in rows}):
        own = [row for row in rows if row.task == task]
        counts = sorted({row.labels for row in own}, reverse=True)
        nearest = counts[0] if labels is None else min(counts, key=lambda n: max(n, labels) / max(1, min(n, labels)))
        chosen.append(max((row for row in own if row.labels == nearest), key=_gain))
    return chosen


def _of_method(method: str, rows: Sequence[Row]) -> Measured:
    verdicts = {row.verdict for row in rows}
    clear = sorted(verdicts & {"better", "worse"})
    verdict = clear[0] if len(clear) == 1 else "unclear"
    enough = all(row.seeds >= _MIN_SEEDS for row in rows)
    return Measured(
        id=f"own:{method}",
        method=method,
        verdict=verdict,
        gain=sum(_gain(row) for row in rows) / len(rows),
        scheme=max(rows, key=_gain).scheme,
        why="; ".join(_in_words(row) for row in rows),
        confidence="low" if verdict == "unclear" else "high" if enough else "medium",
    )


def _gain(row: Row) -> float:
    difference = row.difference or 0.0
    return difference if row.higher_is_better else -difference


def _in_words(row: Row) -> str:
    p = "" if row.p_holm is None else f", p {row.p_holm:.3g} after Holm's correction"
    return (
        f"Your study, {row.task} with {row.labels} labels, {row.scheme}: {row.metric} {row.difference:+.4g} to scratch "
        f"over {row.seeds} seed{'s' if row.seeds != 1 else ''}{p} ({row.verdict})"
    )


__all__ = ["own_results"]
