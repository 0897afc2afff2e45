"""Job matrix of a study: methods x tasks x labels x schemes x seeds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ssl import __version__
from monai_ssl.bundle_folders import config_file
from monai_ssl.study.bundle_files import digest, encoder_name, spatial_dims
from monai_ssl.study.cohorts import Cohort, ContentHashes, fingerprint, subsets, write_list
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import CellJob, PretrainingJob
from monai_ssl.study.plan import Pretraining, Study, StudyTask

SCRATCH = "scratch"
PAPER_ENCODERS = {
    2: {"_target_": "monai_ssl.networks.ResNetEncoder", "spatial_dims": 2, "width": 64},
    3: {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "widths": [64, 128, 256, 512]},
}


Trained = Mapping[tuple[str, int], PretrainingJob]
"""The pre-training of a method that cells of a seed start from."""


@dataclass(frozen=True)
class Arm:
    """A row of the table: a method, or a network from scratch, on a task under a scheme.

    Args:
        method: name in the table; ``"scratch"`` for the encoder that most methods of the task have.
        task: downstream task.
        scheme: name of the scheme.
        encoder: recipe.
        pretraining: what it starts from; ``None`` from scratch.
    """

    method: str
    task: StudyTask
    scheme: str
    encoder: Mapping[str, Any]
    pretraining: Pretraining | None


def arms(study: Study) -> list[Arm]:
    """Return the arms; each kind of encoder on each task has its own from scratch, which moves all of the network.

    Raises:
        ValueError: when a method fits no task.
    """
    found: list[Arm] = []
    for task in study.tasks:
        fitting = [method for method in study.pretraining if spatial_dims(method.encoder) == task.dims]
        found += _from_scratch(task, fitting)
        found += [Arm(m.name, task, scheme, m.encoder, m) for m in fitting for scheme in study.schemes]
    for method in study.pretraining:
        if not any(arm.pretraining is method for arm in found):
            raise ValueError(
                f"`pretraining#{method.name}` has a {spatial_dims(method.encoder)}-D encoder, and no task is of that "
                "dimension: correct `config` (pretrain or pretrain_2d), or the size of the images of a task."
            )
    return found


def _from_scratch(task: StudyTask, fitting: list[Pretraining]) -> Iterator[Arm]:
    recipes = {encoder_name(method.encoder): method.encoder for method in fitting}
    counts = Counter(encoder_name(method.encoder) for method in fitting)
    if not counts:
        yield Arm(SCRATCH, task, "full", PAPER_ENCODERS[task.dims], None)
    for number, (name, _) in enumerate(counts.most_common()):
        yield Arm(SCRATCH if number == 0 else f"{SCRATCH} ({name})", task, "full", recipes[name], None)


def pretraining_job(
    method: Pretraining, store: Path, store_print: str, exclude: Path, excluded: list[str], seed: int | None = None
) -> PretrainingJob:
    """Return the job of a pre-training on ``store`` without some patients.

    Args:
        method: of the study.
        store: prepared data.
        store_print: fingerprint of its content.
        exclude: file for the bundle.
        excluded: scans that it keeps out, by content.
        seed: of the pre-training; that of the bundle by default.
    """
    assert method.bundle is not None
    overrides = dict(method.overrides) if seed is None else {**method.overrides, "seed": seed}
    config = config_file(method.bundle, method.config)
    identity = {
        "bundle": _text_digest(config),
        "overrides": overrides,
        "data": store_print,
        "excluded": excluded,
        "version": __version__,
    }
    given = {**overrides, "dataset_dir": str(store), "exclude": str(exclude), "resume": True}
    return PretrainingJob(digest(identity), method.name, config, given, seed)


@dataclass(frozen=True)
class CellMaker:
    """Makes the cells of a study.

    Args:
        study: checked.
        cohorts: by task.
        hashes: of files.
        folder: of the study, for the data lists.
    """

    study: Study
    cohorts: Mapping[str, Cohort]
    hashes: ContentHashes
    folder: StudyFolder

    def cells(self, trained: Trained) -> list[CellJob]:
        """Return the cells, those with few labels first.

        Args:
            trained: pre-training by method and seed, for those that are not given as weights.
        """
        jobs = [
            job for arm in arms(self.study) for seed in self.study.seeds for job in self._of_arm(arm, seed, trained)
        ]
        return sorted(jobs, key=lambda job: (job.seed, job.labels))

    def _of_arm(self, arm: Arm, seed: int, trained: Trained) -> Iterator[CellJob]:
        cohort = self.cohorts[arm.task.name]
        sets = subsets(cohort, self.study.labels, seed, arm.task.name, arm.task.imbalance)
        for count, training in sets.items():
            data = fingerprint(cohort, training, self.hashes)
            listed = self.folder.datalist(arm.task.name, count, seed)
            write_list(arm.task, cohort, training, listed)
            yield self._cell(arm, seed, count, data, listed, trained)

    def _cell(self, arm: Arm, seed: int, count: int, data: str, listed: Path, trained: Trained) -> CellJob:
        task, method = arm.task, arm.pretraining
        source = trained.get((arm.method, seed)) if method is not None else None
        weights = method.weights if method is not None else None
        options = self.study.schemes[arm.scheme] if method is not None else {"scheme": "full"}
        train, evaluate = (config_file(task.bundle, name) for name in ("train", "evaluate"))
        identity = {
            "names": [arm.method, task.name, arm.scheme],
            "bundle": [_text_digest(train), _text_digest(evaluate)],
            "overrides": dict(task.overrides),
            "data": data,
            "start": source.key if source else self.hashes.of(weights) if weights else None,
            "encoder": dict(arm.encoder),
            "scheme": dict(options),
            "seed": seed,
            "metric": task.metric,
            "select": self.study.select,
            "version": __version__,
        }
        if self.study.target_bn_batches:
            identity["target_bn_batches"] = self.study.target_bn_batches
        return CellJob(
            key=digest(identity),
            method=arm.method,
            task=task.name,
            labels=count,
            scheme=arm.scheme,
            seed=seed,
            metric=task.metric,
            higher_is_better=task.higher_is_better,
            pretraining=str(identity["start"]) if method is not None else None,
            encoder=encoder_name(arm.encoder),
            select=self.study.select,
            data_fingerprint=data,
            train=train,
            evaluate=evaluate,
            overrides={**task.overrides, **options, "datalist": str(listed.resolve()), "seed": seed},
            recipe=dict(arm.encoder),
            weights=weights,
            target_bn_batches=self.study.target_bn_batches,
            needs=source.key if source else None,
        )


def _text_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
