"""What studies measured of methods, for the advisor: the user's own study, or those in ``docs/evidence.json``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from monai_ssl.files import read_json
from monai_ssl.study.situation import Situation

# a link to the checkout's `docs/evidence.json`; the wheel holds the file itself
_EVIDENCE = Path(__file__).with_name("evidence.json")
_FEW_SEEDS = 5
_FAR = 4
"""Ratio of numbers of labels beyond which a study says nothing."""
_PROBE = "probe"


@dataclass(frozen=True)
class Measured:
    """A method against scratch in a study.

    Args:
        id: to cite it by.
        method: name.
        verdict: ``"better"`` or ``"worse"`` where a test says so, else ``"unclear"``.
        gain: mean difference to scratch, positive when better.
        scheme: that did best; ``"probe"`` where only frozen features were asked.
        why: the numbers in words.
        confidence: ``"high"``, ``"medium"`` or ``"low"``.
        source: who measured it.
    """

    id: str
    method: str
    verdict: str
    gain: float
    scheme: str
    why: str
    confidence: str
    source: str = "your study"


def measured_here(situation: Situation, evidence: Path = _EVIDENCE) -> list[Measured]:
    """Return what the studies of this project found of methods on tasks like that.

    First comes the method with the greatest gain on average over the studies that asked for it.

    A study counts where its modality is that of the task, nothing else that is told differs, and its number of labels
    is within a factor of four.

    Args:
        situation: what is known of the task.
        evidence: file that ``docs/evidence.py`` wrote.

    >>> measured_here(Situation(modality="ultrasound"))
    []
    """
    found: list[Measured] = []
    for study, content in read_json(evidence, {}).items():
        for name, task in content["tasks"].items():
            if _fits(task, situation):
                found += _of_task(study, [row for row in content["rows"] if row["task"] == name], situation.labels)
    gains = {one.method: fmean(other.gain for other in found if other.method == one.method) for one in found}
    return sorted(found, key=lambda one: (-gains[one.method], one.method, -one.gain))


def _fits(task: Mapping[str, Any], situation: Situation) -> bool:
    told = {"task": situation.task, "spatial_dims": situation.spatial_dims}
    same = all(value in (None, task[name]) for name, value in told.items())
    return same and situation.modality == task["modality"]


def _of_task(study: str, rows: Sequence[Mapping[str, Any]], labels: int | None) -> list[Measured]:
    """Return each method at the number of labels that is nearest, fine-tuned rather than probed."""
    tested = [row for row in rows if "verdict" in row]
    counts = sorted({row["labels"] for row in tested}, reverse=True)
    if not counts:
        return []
    nearest = counts[0] if labels is None else min(counts, key=lambda count: _ratio(count, labels))
    if labels is not None and _ratio(nearest, labels) > _FAR:
        return []
    near = [row for row in tested if row["labels"] == nearest]
    methods = dict.fromkeys(row["method"] for row in near)
    return [_of_method(study, [row for row in near if row["method"] == method]) for method in methods]


def _ratio(count: int, other: int) -> float:
    return max(count, other) / max(1, min(count, other))


def _of_method(study: str, rows: Sequence[Mapping[str, Any]]) -> Measured:
    judged = [row for row in rows if row["scheme"] != _PROBE] or rows
    best = max(judged, key=_gain)
    clear = {row["verdict"] for row in judged} & {"better", "worse"}
    verdict = clear.pop() if len(clear) == 1 else "unclear"
    few = best["seeds"] < _FEW_SEEDS
    return Measured(
        id=f"here:{study}:{best['method']}",
        method=best["method"],
        verdict=verdict,
        gain=_gain(best),
        scheme=best["scheme"],
        why="; ".join(map(_in_words, rows)),
        confidence="low" if verdict == "unclear" else "medium" if few or best["scheme"] == _PROBE else "high",
        source="measured here",
    )


def _gain(row: Mapping[str, Any]) -> float:
    return float(row["difference"]) if row["higher_is_better"] else -float(row["difference"])


def _in_words(row: Mapping[str, Any]) -> str:
    beside = "untrained" if row["scheme"] == _PROBE else "scratch"
    place = f"{row['task']} with {row['labels']} labels, {row['scheme']}"
    found = f"{row['metric']} {row['mean']:.3f}, {row['difference']:+.3f} to {beside} over {row['seeds']} seeds"
    return f"{place}: {found}, p {row['p_holm']:.3g} after Holm's correction ({row['verdict']})"


__all__ = ["Measured", "measured_here"]
