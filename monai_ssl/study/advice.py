"""Advisor: which pre-training and transfer scheme to use, by rules with evidence and the user's own study.

The rules stand in ``advice_rules.json``. They come from few experiments, so each advice names the rules it follows
from, their numbers and their limits, and says when the task at hand lies outside of them.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ssl.study.measured import Measured
from monai_ssl.study.results import SCRATCH
from monai_ssl.study.situation import Situation, holds

_RULES = Path(__file__).with_name("advice_rules.json")
_CONFIDENCES = ("low", "medium", "high")


@dataclass(frozen=True)
class Recommendation:
    """A method to try or to avoid.

    Args:
        method: name of its bundle, or ``"scratch"``.
        overrides: options of its bundle that belong to the recommendation.
        evidence: ids of rules and results.
    """

    method: str
    overrides: Mapping[str, Any]
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Choice:
    """A value or a sentence, and the ids of the rules that it follows from."""

    value: Any
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Evidence:
    """A rule that fired, or a result of a study, and who says so."""

    id: str
    why: str
    confidence: str
    source: str


@dataclass(frozen=True)
class Advice:
    """What to do.

    Args:
        ranked: methods, the first one first; never empty.
        avoid: methods; none of them is in ``ranked``.
        choices: by what is chosen: ``transfer``, ``finetune``, ``bn``, and where known ``crop``, ``imbalance``,
            ``expected_gain``.
        warnings: sentences.
        evidence: all that the advice follows from.
        outside: in what the task lies outside of the evidence; then ``confidence`` is low.
        confidence: the least of the rules that fired.
        unknown: facts that are not told and that rules ask for.
        limits: of the rules.
    """

    ranked: tuple[Recommendation, ...]
    avoid: tuple[Recommendation, ...]
    choices: Mapping[str, Choice]
    warnings: tuple[Choice, ...]
    evidence: tuple[Evidence, ...]
    outside: tuple[str, ...]
    confidence: str
    unknown: tuple[str, ...]
    limits: str

    def to_dict(self) -> dict[str, Any]:
        """Return the advice as JSON has it."""
        return json.loads(json.dumps(dataclasses.asdict(self)))


def advise(situation: Situation, results: Sequence[Measured] = ()) -> Advice:
    """Return advice for a task.

    A method that a study found better than scratch comes first, one that it found worse is to be avoided, whatever the
    rules of the papers say; what it could not tell apart changes nothing. Of several studies the first one counts.

    Args:
        situation: what is known of the task.
        results: of the user's own study (:func:`monai_ssl.study.own_results.own_results`), then of those that come with
            the package (:func:`monai_ssl.study.measured.measured_here`).
    """
    book = json.loads(_RULES.read_text())
    facts = situation.facts()
    rankings = [rule for rule in book["rules"] if "prefer" in rule]
    fired = [rule for rule in rankings if not rule.get("fallback") and holds(rule["when"], facts)]
    fired = fired or [rule for rule in rankings if rule.get("fallback")]
    ranked, avoid = _with_results(*_rank(fired, book["variants"]), results)
    facts["method"] = ranked[0].method
    further = [rule for rule in book["rules"] if "prefer" not in rule and holds(rule["when"], facts)]
    outside = _outside(book["scope"], facts)
    confidences = [rule["confidence"] for rule in (*fired, *further)]
    measured = [Evidence(result.id, result.why, result.confidence, result.source) for result in results]
    rules = [Evidence(rule["id"], rule["why"], rule["confidence"], "paper") for rule in (*fired, *further)]
    return Advice(
        ranked=ranked,
        avoid=avoid,
        choices=_choices(further, situation, results, ranked[0].method),
        warnings=tuple(Choice(rule["warn"], (rule["id"],)) for rule in further if "warn" in rule),
        evidence=(*measured, *rules),
        outside=outside,
        confidence="low" if outside else min(confidences, key=_CONFIDENCES.index),
        unknown=tuple(sorted({n for rule in book["rules"] for n in rule["when"] if facts[n] is None})),
        limits=f"{book['scope']['source']}. {book['scope']['limits']}",
    )


def _rank(
    rules: Sequence[Mapping[str, Any]], variants: Mapping[str, Any]
) -> tuple[tuple[Recommendation, ...], tuple[Recommendation, ...]]:
    """Return the methods that all rules prefer, in the order of the last one, and those that any avoids."""
    ids = tuple(rule["id"] for rule in rules)
    common = [name for name in rules[-1]["prefer"] if all(name in rule["prefer"] for rule in rules)]
    chosen = [variants.get(name, {"method": name, "overrides": {}}) for name in common]
    avoided: dict[str, tuple[str, ...]] = {}
    for rule in rules:
        for name in rule["avoid"]:
            avoided[name] = (*avoided.get(name, ()), rule["id"])
    return (
        tuple(Recommendation(entry["method"], entry["overrides"], ids) for entry in chosen),
        tuple(Recommendation(name, {}, avoided[name]) for name in sorted(avoided)),
    )


def _with_results(
    ranked: tuple[Recommendation, ...], avoid: tuple[Recommendation, ...], results: Sequence[Measured]
) -> tuple[tuple[Recommendation, ...], tuple[Recommendation, ...]]:
    known = {item.method: item for item in ranked}
    clear: dict[str, list[Measured]] = {}
    for result in results:
        if result.verdict != "unclear":
            same = clear.setdefault(result.method, [])
            same += [result] if not same or same[0].verdict == result.verdict else []
    ids = {method: tuple(result.id for result in found) for method, found in clear.items()}
    better = [
        Recommendation(
            method,
            known[method].overrides if method in known else {},
            (*ids[method], *(known[method].evidence if method in known else ())),
        )
        for method, found in clear.items()
        if found[0].verdict == "better"
    ]
    worse = [Recommendation(method, {}, ids[method]) for method, found in clear.items() if found[0].verdict == "worse"]
    good, bad = {item.method for item in better}, {item.method for item in worse}
    order = (*better, *(item for item in ranked if item.method not in good | bad))
    left_out = (*worse, *(item for item in avoid if item.method not in good | bad))
    return order or (Recommendation(SCRATCH, {}, tuple(item.evidence[0] for item in worse)),), left_out


def _choices(
    rules: Sequence[Mapping[str, Any]], situation: Situation, results: Sequence[Measured], method: str
) -> dict[str, Choice]:
    choices = {name: Choice(value, (rule["id"],)) for rule in rules for name, value in rule.get("choose", {}).items()}
    if "crop" in choices:
        choices["crop"] = Choice(_crop(choices["crop"].value, situation.crop), choices["crop"].evidence)
    best = next((result for result in results if result.method == method and result.verdict == "better"), None)
    # a probe tells what is in frozen features, not how to train
    if best is not None and best.scheme != "probe":
        choices["finetune"] = Choice(best.scheme, (best.id,))
    return choices


def _crop(rule: str, crop: tuple[int, ...] | None) -> Any:
    """Return the size of pre-training's input, or in words where it does not follow from the task's patch."""
    if rule == "default":
        return "as in the bundle"
    if crop is None:
        return "cubes as large as the task's patches, 64 at least" if rule == "cube" else "48 to 96 a side"
    if rule == "cube":
        return [max(64, *crop)] * len(crop)
    return [min(96, max(48, side)) for side in crop]


def _outside(scope: Mapping[str, Any], facts: Mapping[str, Any]) -> tuple[str, ...]:
    found = []
    if facts["modality"] not in (None, scope["modality"]):
        found.append(f"The images are {facts['modality']}, the evidence of papers is from {scope['modality']}.")
    if facts["spatial_dims"] not in (None, scope["spatial_dims"]):
        found.append(
            f"The images are {facts['spatial_dims']}-D, the evidence of papers is from {scope['spatial_dims']}-D."
        )
    return tuple(found)


__all__ = ["Advice", "Choice", "Evidence", "Recommendation", "advise"]
