"""Study file (JSON): methods x tasks x labels x schemes x seeds, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ssl.places import on_disk
from monai_ssl.study.plan import checks
from monai_ssl.study.plan.bundle_files import refuse_unused
from monai_ssl.study.plan.methods import Pretraining, read_methods
from monai_ssl.study.plan.places import patients_said
from monai_ssl.study.plan.tasks import StudyTask, read_task

_STUDY = {"name", "output_dir", "seeds", "pretrain", "pretraining", "tasks", "labels", "schemes", "shared", "results"}
_STUDY |= {"select", "target_bn_batches", "allow_leak", "leave_out_labeled", "tune", "tune_seeds", "patients"}


@dataclass(frozen=True)
class Study:
    """A checked study file; see :func:`read_study`.

    ``pretrain`` is ``"once"``: all seeds start from one pre-training, or ``"per_seed"``: each from its own, so that the
    spread over seeds is that of the whole method. With ``leave_out_labeled`` nobody is pre-trained on whose labels are
    fine-tuned on: each number of labels, and each seed, which chooses them, has pre-trainings of its own. With
    ``target_bn_batches``, each network is tested a second time, with batch norm statistics of the target alone,
    collected from so many batches. ``tune`` lists values of keys of the tasks' bundles, from which each arm, scratch
    included, gets those that do best on its validation patients over the first ``tune_seeds`` seeds; see
    :mod:`monai_ssl.study.tuning`. ``results`` is a file of results that an earlier run packed; see
    :mod:`monai_ssl.study.packed_results`.
    """

    name: str
    output_dir: Path
    seeds: tuple[int, ...]
    pretraining: tuple[Pretraining, ...]
    tasks: tuple[StudyTask, ...]
    labels: tuple[int | float | str, ...]
    schemes: Mapping[str, Mapping[str, Any]]
    select: str
    allow_leak: bool
    pretrain: str = "once"
    target_bn_batches: int = 0
    tune: Mapping[str, Sequence[float]] = field(default_factory=dict)
    tune_seeds: int = 1
    leave_out_labeled: bool = False
    results: Path | None = None


def read_study(path: str | Path, changes: Mapping[str, Any] | None = None) -> Study:
    """Read a study file.

    Keys that begin with ``_`` are comments. ``shared`` has two parts, ``pretraining`` and ``tasks``: overrides of all
    bundles of that kind, which the overrides of one method or task win over. ``patients`` says who is a patient in
    trees of scans, as ``--patients`` of ``prepare`` does: a table or an expression, for all, or in a method or task for
    its own.

    Args:
        path: JSON.
        changes: by key, with ``#`` between levels, as ``{"tasks#liver#dataset_dir": "/data/liver"}``.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: naming the key that is missing, unknown or wrong.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"There is no study file `{path}`.")
    try:
        content = json.loads(path.read_text())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"The study file `{path}` is not valid JSON ({error}).") from error
    if not isinstance(content, dict):
        raise ValueError(f"The study file `{path}` must be an object with `name`, `pretraining`, `tasks`, `labels`.")
    for key, value in (changes or {}).items():
        checks.change(content, key, value)
    return check_study(content, path.resolve().parent)


def check_study(content: Mapping[str, Any], base: Path) -> Study:
    """Return a study from the content of its file, where relative paths start from ``base``.

    Raises:
        ValueError: naming the key that is missing, unknown or wrong.
    """
    content = checks.known(content, _STUDY, "the study")
    for key in ("name", "tasks", "labels"):
        if not content.get(key):
            raise ValueError(f"The study needs `{key}`.")
    checks.file_name(content["name"], "name")
    for key in ("output_dir", "results"):
        if content.get(key):
            checks.text(content[key], key)
    shared = checks.objects(checks.known(content.get("shared", {}), {"pretraining", "tasks"}, "`shared`"), "shared")
    methods = checks.objects(content.get("pretraining", {}), "pretraining")
    tasks = checks.objects(content["tasks"], "tasks")
    if "scratch" in methods:
        raise ValueError("`pretraining#scratch`: training from scratch is always part of a study; leave it out.")
    patients = patients_said(content, None, base, "the study")
    study = Study(
        name=str(content["name"]),
        output_dir=on_disk(content.get("output_dir") or f"studies/{content['name']}", "output_dir"),
        seeds=checks.seeds(content.get("seeds", [0])),
        pretraining=read_methods(methods, base, shared.get("pretraining", {}), patients),
        tasks=tuple(read_task(name, task, base, shared.get("tasks", {}), patients) for name, task in tasks.items()),
        labels=checks.labels(content["labels"]),
        schemes=checks.schemes(content.get("schemes", ["full"])),
        select=str(content.get("select", "last")),
        allow_leak=checks.switch(content.get("allow_leak", False), "allow_leak"),
        pretrain=str(content.get("pretrain", "once")),
        target_bn_batches=checks.amount(content.get("target_bn_batches", 0), "target_bn_batches"),
        tune=checks.tune(content.get("tune", {})),
        tune_seeds=checks.amount(content.get("tune_seeds", 1), "tune_seeds"),
        leave_out_labeled=checks.switch(content.get("leave_out_labeled", False), "leave_out_labeled"),
        results=base / content["results"] if content.get("results") else None,
    )
    bundles = [(method.bundle, method.config) for method in study.pretraining if method.bundle]
    refuse_unused(shared.get("pretraining", {}), bundles, "shared#pretraining")
    refuse_unused(shared.get("tasks", {}), [(task.bundle, "train") for task in study.tasks], "shared#tasks")
    if not 1 <= study.tune_seeds <= len(study.seeds):
        raise ValueError(f"`tune_seeds` must be from 1 to {len(study.seeds)}, the number of seeds.")
    if study.pretrain not in ("once", "per_seed"):
        raise ValueError(f"`pretrain` must be 'once' or 'per_seed', got {study.pretrain!r}.")
    for method in study.pretraining:
        for name in sorted(set(method.schemes or ()) - set(study.schemes)):
            raise ValueError(
                f"`pretraining#{method.name}#schemes` names {name!r}; the study has {', '.join(study.schemes)}."
            )
        if study.pretrain == "per_seed" and "seed" in method.overrides:
            raise ValueError(
                f"`pretraining#{method.name}#overrides#seed`: `pretrain` 'per_seed' sets it; leave it out."
            )
    if study.select not in ("last", "best"):
        raise ValueError(f"`select` must be 'last' or 'best' (on validation patients), got {study.select!r}.")
    return study
