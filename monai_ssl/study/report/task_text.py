"""What a task of a study asks, in a sentence: what is predicted of what, from how many labels, and how it is scored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from monai_ssl.study.comparison import Row
from monai_ssl.study.results import Cell

_METRICS = {
    "dice": "Dice, the overlap of what was found with the truth, from 0 to 1",
    "iou": "intersection over union of what was found and the truth, from 0 to 1",
    "miou": "mean intersection over union of probabilities, background included, from 0 to 1",
    "miou_plus": "mean intersection over union of probabilities, without background, from 0 to 1",
    "recall": "the share of each structure that was found, background included, from 0 to 1",
    "hd95": "95th percentile of the distance between the surfaces found and true",
    "auc": "area under the ROC curve, 0.5 by chance and 1 at best",
    "accuracy": "the share that was told right, from 0 to 1",
    "mae": "mean absolute error, in the unit of the number",
    "rmse": "root of the mean squared error, in the unit of the number",
    "r2": "coefficient of determination, 1 at best and 0 for always telling the mean",
}
_NAMED = 6


def about_task(rows: Sequence[Row], cells: Sequence[Cell], asked: Mapping[str, Any]) -> str:
    """Explain a task to somebody who has not seen its study file.

    Args:
        rows: of the task, at least one.
        cells: of the task.
        asked: what the study file says of it; may be empty.
    """
    labels = sorted({row.labels for row in rows})
    many = f"{', '.join(map(str, labels[:-1]))} or {labels[-1]}" if len(labels) > 1 else str(labels[0])
    patients = "labeled patient" if labels == [1] else "labeled patients"
    tested = {case for cell in cells for case in (*cell.per_case, *cell.pseudo_values)}
    others = f", and scored on {len(tested)} {'other' if len(tested) == 1 else 'others'}" if tested else ""
    return f"{_question(cells, asked)} Trained with {many} {patients}{others}."


def about_score(metric: str, higher_is_better: bool) -> str:
    """Say what a metric means and which way is better.

    >>> about_score("dice", True)
    'Score: Dice, the overlap of what was found with the truth, from 0 to 1; more is better.'
    """
    return f"Score: {_METRICS.get(metric, metric)}; {'more' if higher_is_better else 'less'} is better."


def _question(cells: Sequence[Cell], asked: Mapping[str, Any]) -> str:
    overrides = asked.get("overrides")
    options: Mapping[str, Any] = overrides if isinstance(overrides, Mapping) else {}
    bundle = str(asked.get("bundle", "")).rstrip("/").rpartition("/")[2]
    names = _names(options.get("regions") or options.get("labels") or options.get("classes"), cells)
    if bundle == "segmentation":
        return f"Segmentation: where in each image {'are' if ',' in names else 'is'} {names or 'the structure'}?"
    if bundle == "classification":
        which = "which of them" if options.get("multilabel") is True else "which"
        return f"Classification: {which} does each image show{f', {names}' if names else ''}?"
    if bundle == "regression":
        return f"Regression: which number (`{options.get('target', 'value')}`) belongs to each image?"
    return f"{bundle or 'The task'}{f': {names}' if names else ''}."


def _names(asked: Any, cells: Sequence[Cell]) -> str:
    """Return the structures or classes that a configuration or, without it, the scores have, as many as one reads."""
    found = list(asked) if isinstance(asked, (list, Mapping)) else sorted({n for c in cells for n in c.per_class})
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(map(str, found[:_NAMED])) + more


__all__ = ["about_score", "about_task"]
