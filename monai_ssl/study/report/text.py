"""Sentences and number formats of a report."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from monai_ssl.errors import counted as count
from monai_ssl.evaluation.runs_and_cases import TEST
from monai_ssl.evaluation.statistics import PairedComparison
from monai_ssl.study.comparison import Row
from monai_ssl.study.results import Cell


def number(value: float | None, signed: bool = False) -> str:
    """Write a score with three decimals and a real minus sign, or a dash where there is none."""
    if value is None or value != value:
        return "–"
    return f"{value:{'+' if signed else ''}.3f}".replace("-", "−")


def p_value(value: float | None) -> str:
    return "–" if value is None else "< 0.001" if value < 0.001 else f"{value:.3f}"


def saving(row: Row) -> str:
    """Say what the labels of a row are worth in labels from scratch."""
    if row.saving is None:
        return "–"
    needed = f"{row.saving.equivalent:.3g}"
    if row.saving.bound == "at least":
        return f"more than {needed}: not reached from scratch"
    if row.saving.bound == "at most":
        return f"{needed} or fewer: nothing saved" if row.labels >= row.saving.equivalent else f"{needed} or fewer"
    return f"{needed} (saves {100 * row.saving.saving:.0f} %)".replace("-", "−")


def in_short(rows: Sequence[Row]) -> str:
    """Say in a few sentences how the methods of one task stand to scratch."""
    compared = [row for row in rows if row.difference is not None]
    if not compared:
        return "No method stands beside scratch with the same labels, scheme and seed yet, so nothing can be compared."
    verdicts = [row.verdict for row in compared]
    found = {
        "better": verdicts.count("better"),
        "worse": verdicts.count("worse"),
        "without a significant difference": verdicts.count("unclear"),
        "not tested": verdicts.count("not tested"),
    }
    tested = found["not tested"] < len(compared)
    said = ", ".join(f"{n} {what}" for what, n in found.items() if (n or what != "not tested") and tested)
    text = f"{count(len(compared), 'comparison')} with scratch: {said or 'not tested'}. "
    sign = 1 if compared[0].higher_is_better else -1
    best = max(compared, key=lambda row: sign * (row.difference or 0.0))
    gain = sign * (best.difference or 0.0)
    return text + (
        f"Largest gain: {best.method} with {_labels(best)} ({best.scheme}), {number(best.difference, True)}."
        if gain > 0
        else "No method gains over scratch anywhere."
    )


def baselines(rows: Sequence[Row]) -> str:
    """Say what the methods of one task are compared with."""
    other = sorted({row.scheme for row in rows if row.baseline and row.baseline[0] != row.scheme})
    text = "Each method is compared with the same network from scratch on the same labels and seeds"
    return f"{text}; {', '.join(other)} with the one that trains everything." if other else f"{text}."


def limits(rows: Sequence[Row], cells: Sequence[Cell], study: Mapping[str, Any]) -> list[str]:
    """Say what the tables can show and what they cannot.

    Args:
        rows: of all tasks.
        cells: of all tasks.
        study: content of ``study.json``.
    """
    if not cells:
        return ["No cell has finished: this page shows nothing yet."]
    said = [_about_seeds(rows), *(_about_cases(task, rows, cells) for task in sorted({row.task for row in rows}))]
    if study.get("allow_leak"):
        said.append("Test patients were allowed into pre-training: the scores say nothing about new patients.")
    if study.get("select") == "best":
        said.append("The scored checkpoint is the best on validation patients, who are labeled patients as well.")
    bare = sorted({f"{row.task} / {row.scheme} / {_labels(row)}" for row in rows if _without_scratch(row)})
    if bare:
        said.append(f"Without a scratch run of the same seed, so that a gain cannot be told: {'; '.join(bare)}.")
    if once := sorted({cell.method for cell in cells} & _trained_once(cells)):
        said.append(
            f"All seeds of {', '.join(once)} start from one pre-training, so the spread over seeds leaves out what "
            'another pre-training would give; `"pretrain": "per_seed"` includes it.'
        )
    said.append(
        "The tests tell whether networks trained like these differ on patients like these, not whether other data, "
        "another scanner or another training length would show the same."
    )
    return said


def _trained_once(cells: Sequence[Cell]) -> set[str]:
    """Return the methods of which several seeds stand on a single pre-training."""
    runs: dict[str, set[tuple[int, str]]] = defaultdict(set)
    for cell in cells:
        if cell.pretraining is not None:
            runs[cell.method].add((cell.seed, cell.pretraining))
    return {name for name, found in runs.items() if len({start for _, start in found}) < len({s for s, _ in found})}


def _about_seeds(rows: Sequence[Row]) -> str:
    seeds = sorted({row.seeds for row in rows})
    told = count(seeds[0], "seed") if len(seeds) == 1 else f"{seeds[0]} to {count(seeds[-1], 'seed')}"
    if seeds[-1] == 1:
        return f"Each mean is of {told}: how far another seed would fall from it is unknown."
    less = " With fewer than 5 seeds the standard deviation itself is a rough guess." if seeds[0] < 5 else ""
    return f"Means and standard deviations are over {told}; each seed is another split, subset and start.{less}"


def _about_cases(task: str, rows: Sequence[Row], cells: Sequence[Cell]) -> str:
    names = {case for cell in cells if cell.task == task for case in cell.per_case or cell.pseudo_values}
    tests = [row.paired for row in rows if row.task == task and row.paired is not None]
    if not names:
        return f"{task}: no scores by patient, so no test."
    text = f"{task}: {count(len(names), 'test patient')}"
    if not tests:
        return f"{text}, no test: one takes two patients at least whom both sides scored."
    text += f", {count(len(tests), 'test')} by {_kinds(tests)}, corrected together (Holm)"
    if all(test.smallest_p * len(tests) >= 0.05 for test in tests):
        text += ", so few cases for so many comparisons that none can be significant, whatever the methods do"
    return text + "."


def _kinds(tests: Sequence[PairedComparison]) -> str:
    names = {
        TEST: "runs and patients as two sources of chance (Dorfman, Berbaum, Metz; Hillis)",
        "wilcoxon": "Wilcoxon's signed ranks of their scores",
        "t": "a t-test of their pseudo-values, since no single patient has such a score (jackknife, as DeLong's)",
    }
    return " and ".join(names[test] for test in sorted({test.test for test in tests}))


def _without_scratch(row: Row) -> bool:
    return not row.scratch and row.difference is None


def _labels(row: Row) -> str:
    return count(row.labels, "label")


__all__ = ["baselines", "count", "in_short", "limits", "number", "p_value", "saving"]
