"""Tasks of a study file: a downstream bundle on some data, as its defaults and the overrides make it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ssl.arguments import check_choice
from monai_ssl.bundle_folders import config_file
from monai_ssl.study.plan import checks
from monai_ssl.study.plan.bundle_files import parsed, read_config, shared_for
from monai_ssl.study.plan.places import named_bundle, patients_said, place
from monai_ssl.tasks import Task

_TASK = {"bundle", "dataset_dir", "overrides", "metric", "higher_is_better", "test_share", "val_share"}
_TASK |= {"imbalance", "hard_cutoff", "patients", "copies"}
_DOWNSTREAM = ("task", "metric", "spatial_dims")
"""Keys by which a bundle says that it trains on labels, and what."""


@dataclass(frozen=True)
class StudyTask:
    """A downstream task on some data.

    Args:
        name: in the table.
        bundle: folder of ``segmentation`` or another bundle whose ``train.json`` names a task.
        dataset_dir: what the bundle reads, or ``phantoms:...``.
        overrides: of the bundle.
        task: that the bundle names, as its defaults and the overrides make it.
        metric: short name of one of the task's.
        test_share: of the patients, where the data has no test section of its own.
        val_share: of the rest, where it has no validation section; they give the learning curve.
        dims: spatial dimensions of the network.
        datalist: of the bundle.
        channels: of the images, as its bundle has it.
        normalize: of images, ``"card"`` for what each method's model card says; ``None``: its bundle has no such key.
        imbalance: ratio of the rare class to the other one among the training images; ``labels`` then count images.
        patients: who is a patient where a list does not tell, see :func:`monai_ssl.io.patient_rule.patient_rule`.
        copies: augmented copies of each training image of a class, by the number of the class.
        hard_cutoff: score up to which a test patient is hard for scratch; the report then tells gains on hard ones.
    """

    name: str
    bundle: Path
    dataset_dir: str
    overrides: Mapping[str, Any]
    task: Task
    metric: str
    test_share: float
    val_share: float
    dims: int
    datalist: str | None = None
    channels: int | None = None
    normalize: str | None = None
    imbalance: float | None = None
    copies: Mapping[int, int] = field(default_factory=dict)
    hard_cutoff: float | None = None
    patients: str | None = None

    @property
    def higher_is_better(self) -> bool:
        return self.task.metric(self.metric).higher_is_better

    def normalization_for(self, card: str | None) -> str | None:
        """Return how images are normalized for weights of whose pre-training ``card`` is known.

        Raises:
            ValueError: for statistics of ImageNet where images do not have three channels.
        """
        found = card if self.normalize == "card" else None if self.normalize in (None, "none") else self.normalize
        if found == "imagenet" and self.channels not in (None, 3):
            raise ValueError(
                f"`tasks#{self.name}#overrides#in_channels` is {self.channels}, and images are normalized by "
                "statistics of ImageNet, as in pre-training: set it to 3 (gray is repeated), or `normalize` to 'none'."
            )
        return found


def read_task(
    name: str, entry: Mapping[str, Any], base: Path, shared: Mapping[str, Any], patients: str | None = None
) -> StudyTask:
    """Return a task of a study.

    Raises:
        ValueError: naming the key that is missing, unknown or wrong.
    """
    key = f"tasks#{name}"
    entry = checks.known(entry, _TASK, f"`{key}`")
    for needed in ("bundle", "dataset_dir"):
        if needed not in entry:
            raise ValueError(f"`{key}` needs `{needed}`.")
        checks.text(entry[needed], f"{key}#{needed}")
    folder = _downstream_bundle(entry["bundle"], base, f"{key}#bundle")
    overrides = shared_for(folder, "train", shared) | checks.overrides(entry, key)
    ours = {"dataset_dir", "output_dir", "ckpt_dir", "weights", "seed", "train_cases", "scheme", "metric"}
    checks.free(overrides, ours, key)
    parser = read_config(folder, "train", overrides, key)
    task, metric, dims, datalist = (parsed(parser, part, key) for part in (*_DOWNSTREAM, "datalist"))
    metric = str(entry.get("metric", metric))
    check_choice(task.metrics, **{f"{key}#metric": metric})
    found = StudyTask(
        name=name,
        bundle=folder,
        dataset_dir=place(entry["dataset_dir"], base),
        overrides=overrides,
        task=task,
        metric=metric,
        test_share=checks.share(entry.get("test_share", 0.2), f"{key}#test_share"),
        val_share=checks.share(entry.get("val_share", 0.2), f"{key}#val_share"),
        dims=dims,
        datalist=datalist,
        channels=parser.get("in_channels", None),
        normalize=str(parser["normalize"] or "none") if "normalize" in parser else None,
        imbalance=checks.share(entry["imbalance"], f"{key}#imbalance") if "imbalance" in entry else None,
        copies=_copies(entry.get("copies", {}), task, f"{key}#copies"),
        hard_cutoff=checks.share(entry["hard_cutoff"], f"{key}#hard_cutoff") if "hard_cutoff" in entry else None,
        patients=patients_said(entry, patients, base, key),
    )
    higher = found.higher_is_better
    if entry.get("higher_is_better", higher) is not higher:
        raise ValueError(f"`{key}#higher_is_better` must be {str(higher).lower()} for {metric}; it may be left out.")
    if found.hard_cutoff is not None and not higher:
        raise ValueError(f"`{key}#hard_cutoff` is for metrics of which more is better; leave it out for {metric}.")
    return found


def _copies(said: Any, task: Task, key: str) -> dict[int, int]:
    """Return the numbers of copies by class, whose names the study says."""
    classes = [] if getattr(task, "multilabel", True) else list(task.collections)
    if not isinstance(said, Mapping) or not all(type(count) is int and count > 0 for count in said.values()):
        raise ValueError(f"`{key}` must be numbers of copies by class, such as {{'positive': 10}}, got {said!r}.")
    if unknown := [name for name in said if name not in classes]:
        raise ValueError(
            f"`{key}` names {unknown[0]!r}, which is none of the classes {classes} that images have one of."
        )
    return {classes.index(name): count for name, count in said.items()}


def _downstream_bundle(named: str, base: Path, key: str) -> Path:
    folder = named_bundle(named, base, key)
    path = config_file(folder, "train")
    if not path.is_file() or not set(_DOWNSTREAM) <= json.loads(path.read_text()).keys():
        raise ValueError(
            f"`{key}` is {named!r}, which trains on no labels: its `configs/train.json` must have "
            f"{', '.join(_DOWNSTREAM)}, as that of `segmentation`."
        )
    return folder
