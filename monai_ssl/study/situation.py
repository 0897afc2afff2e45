"""Description of the user's task (modality, labels, goal) that the advisor's rules are matched against."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_CHOICES: Mapping[str, tuple[Any, ...]] = {
    "task": ("classification", "segmentation"),
    "spatial_dims": (2, 3),
    "domain_gap": ("none", "small", "large"),
    "symmetry": ("rotation_invariant", "oriented"),
    "augmentation": ("none", "weak", "medium", "strong"),
}
_POSITIVE = ("labels", "available", "minority")


@dataclass(frozen=True)
class Situation:
    """A downstream task; ``None`` is what is not known.

    Args:
        task: ``"classification"`` or ``"segmentation"``.
        modality: such as ``"ct"``, ``"mr"``, ``"xray"``.
        spatial_dims: 2 or 3.
        domain_gap: between the images of pre-training and of the task: ``"none"`` for the same data set, ``"small"``,
            ``"large"`` for another organ, modality or device.
        symmetry: of what is to be found: ``"rotation_invariant"`` or ``"oriented"``.
        labels: labeled patients (or images).
        available: those that could be labeled; with ``labels`` it gives the fraction.
        imbalance: r, ratio of minority to majority among the images, in (0, 1].
        minority: images of the rarest class; for classification it follows from ``labels`` and ``imbalance``.
        resampling: whether classes are resampled in training.
        augmentation: ``"none"``, ``"weak"`` (levels S1 and S2), ``"medium"`` (S3, S4) or ``"strong"`` (S5, S6).
        crop: patch of the task in voxels.
    """

    task: str | None = None
    modality: str | None = None
    spatial_dims: int | None = None
    domain_gap: str | None = None
    symmetry: str | None = None
    labels: int | None = None
    available: int | None = None
    imbalance: float | None = None
    minority: int | None = None
    resampling: bool | None = None
    augmentation: str | None = None
    crop: tuple[int, ...] | None = None

    def __post_init__(self) -> None:
        for name, choices in _CHOICES.items():
            value = getattr(self, name)
            if value is not None and value not in choices:
                raise ValueError(f"`{name}` must be one of {choices} or unknown, got {value!r}.")
        for name in _POSITIVE:
            value = getattr(self, name)
            if value is not None and value < (0 if name == "minority" else 1):
                raise ValueError(f"`{name}` must be a positive number, got {value}.")
        if self.imbalance is not None and not 0 < self.imbalance <= 1:
            raise ValueError(f"`imbalance` must be in (0, 1], minority over majority, got {self.imbalance}.")
        if self.labels and self.available and self.labels > self.available:
            raise ValueError(f"`labels` ({self.labels}) cannot be more than `available` ({self.available}).")
        if self.crop is not None and (len(self.crop) not in (2, 3) or min(self.crop) < 1):
            raise ValueError(f"`crop` must be two or three positive sizes, got {self.crop}.")

    def facts(self) -> dict[str, Any]:
        """Return all that is known or follows, by name."""
        known = {field.name: getattr(self, field.name) for field in fields(self)}
        known["label_fraction"] = self.labels / self.available if self.labels and self.available else None
        if self.minority is None and self.task == "classification" and self.labels and self.imbalance:
            known["minority"] = round(self.labels * self.imbalance / (1 + self.imbalance))
        return known


def holds(when: Mapping[str, Any], facts: Mapping[str, Any]) -> bool:
    """Return whether all conditions hold: a value, a list of values, or bounds; unknown satisfies only ``None``.

    Args:
        when: condition by name of a fact; bounds are ``min``, ``max`` (included), ``above`` and ``below``.
        facts: see :meth:`Situation.facts`.
    """
    return all(_holds(condition, facts.get(name)) for name, condition in when.items())


def _holds(condition: Any, value: Any) -> bool:
    if isinstance(condition, Mapping):
        return value is not None and (
            condition.get("min", value) <= value <= condition.get("max", value)
            and ("above" not in condition or value > condition["above"])
            and ("below" not in condition or value < condition["below"])
        )
    return value in condition if isinstance(condition, list) else value == condition


__all__ = ["Situation", "holds"]
