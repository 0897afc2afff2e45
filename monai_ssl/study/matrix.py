"""Job matrix of a study: methods x tasks x labels x schemes x seeds."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from monai_ssl import __version__
from monai_ssl.bundle_folders import config_file
from monai_ssl.data.cases import Case
from monai_ssl.study.cohorts import Cohort, ContentHashes, fingerprint, subsets, write_list
from monai_ssl.study.folder import StudyFolder
from monai_ssl.study.jobs import CellJob, PretrainingJob
from monai_ssl.study.plan import Pretraining, Study, StudyTask
from monai_ssl.study.plan.bundle_files import digest, encoder_name, spatial_dims
from monai_ssl.study.plan.networks import Decoders, part_for
from monai_ssl.study.pseudonyms import Pseudonyms

SCRATCH = "scratch"
PROBE = "probe"
"""Scheme that asks frozen features; its baseline is the same network untrained."""
PAPER_ENCODERS = {
    2: {"_target_": "monai_ssl.networks.ResNetEncoder", "spatial_dims": 2, "width": 64},
    3: {"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 3, "widths": [64, 128, 256, 512]},
}


Trained = Callable[[int, Sequence[Case], str], PretrainingJob | None]
"""The pre-training that cells of a seed with some labeled cases start from, of a method; ``None`` for given weights."""


@dataclass(frozen=True)
class Arm:
    """A row of the table: a method, or a network from scratch, on a task under a scheme.

    Args:
        method: name in the table; ``"scratch"`` for the encoder that most methods of the task have.
        task: downstream task.
        scheme: name of the scheme.
        encoder: recipe.
        pretraining: what it starts from; ``None`` from scratch.
        part: of that; ``None``: as the task's bundle says.
        normalize: how images are normalized before the encoder, if at all.
    """

    method: str
    task: StudyTask
    scheme: str
    encoder: Mapping[str, Any]
    pretraining: Pretraining | None
    part: str | None = None
    normalize: str | None = None

    @property
    def kind(self) -> str:
        """Name of the network with its normalization, alike for all arms that are compared."""
        return _kind(self.encoder, self.normalize)

    @property
    def transferred(self) -> str:
        """Part of a pre-trained network that it starts from, whoever says so."""
        return "none" if self.pretraining is None else self.part or self.task.overrides.get("part", "encoder")


def arms(study: Study) -> list[Arm]:
    """Return the arms; each encoder with its normalization of images has its own from scratch, which moves all of it.

    Under a probe the arm from scratch is the untrained network.

    Raises:
        ValueError: when a method fits no task, or its decoder is asked for and does not fit.
    """
    found: list[Arm] = []
    by_name = {method.name: method for method in study.pretraining}
    dims = {method.name: spatial_dims(method.encoder) for method in study.pretraining}
    decoders = Decoders()
    probes = [name for name, options in study.schemes.items() if options["scheme"] == PROBE]
    for task in study.tasks:
        fitting = [method for method in study.pretraining if dims[method.name] == task.dims]
        # a study that only probes has nothing to compare a trained network with
        for scheme in (*(["full"] if len(probes) < len(study.schemes) else []), *probes):
            found += _from_scratch(task, fitting, scheme)
        for method in fitting:
            part = part_for(method, by_name[method.decoder or method.name], task, decoders)
            schemes = method.schemes or study.schemes
            normalize = task.normalization_for(method.normalize)
            # a probe has no decoder
            parts = {scheme: "encoder" if scheme in probes and part else part for scheme in schemes}
            found += [Arm(method.name, task, s, method.encoder, method, parts[s], normalize) for s in schemes]
    for method in study.pretraining:
        if not any(arm.pretraining is method for arm in found):
            raise ValueError(
                f"`pretraining#{method.name}` has a {dims[method.name]}-D encoder, and no task is of that "
                "dimension: correct `config` (pretrain or pretrain_2d), or the size of the images of a task."
            )
    return found


def options_of(study: Study, arm: Arm) -> Mapping[str, Any]:
    """Return the scheme of an arm with its options; from scratch all of the network moves, unless it is probed."""
    options = study.schemes.get(arm.scheme, {})
    return options if arm.pretraining is not None or options.get("scheme") == PROBE else {"scheme": "full"}


def _from_scratch(task: StudyTask, fitting: list[Pretraining], scheme: str) -> Iterator[Arm]:
    recipes = {encoder_name(method.encoder): method.encoder for method in fitting}
    kinds = [(encoder_name(method.encoder), task.normalization_for(method.normalize)) for method in fitting]
    if not kinds:
        yield Arm(SCRATCH, task, scheme, PAPER_ENCODERS[task.dims], None, None, task.normalization_for(None))
    ranked = [kind for kind, _ in Counter(kinds).most_common()]
    for name, normalize in ranked:
        differs = [name] if name != ranked[0][0] else []
        differs += [normalize or "not normalized"] if normalize != ranked[0][1] else []
        arm = f"{SCRATCH} ({', '.join(differs)})" if differs else SCRATCH
        yield Arm(arm, task, scheme, recipes[name], None, None, normalize)


def _kind(encoder: Mapping[str, Any], normalize: str | None) -> str:
    return ", ".join(filter(None, (encoder_name(encoder), normalize)))


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
class Start:
    """What a cell starts from; from scratch without anything.

    Args:
        weights: file.
        identity: key of the pre-training that makes it, or hash of its content.
        needs: keys of pre-trainings.
        part: of the weights; ``None``: as the task's bundle says.
        decoder_weights: file of the decoder, where it is another one.
        decoder_identity: of that.
    """

    weights: Path | None = None
    identity: str | None = None
    needs: tuple[str, ...] = ()
    part: str | None = None
    decoder_weights: Path | None = None
    decoder_identity: str | None = None


@dataclass(frozen=True)
class CellMaker:
    """Makes the cells of a study.

    Args:
        study: checked.
        cohorts: by task.
        hashes: of files.
        folder: of the study, for the data lists.
        pseudonyms: of patients.
    """

    study: Study
    cohorts: Mapping[str, Cohort]
    hashes: ContentHashes
    folder: StudyFolder
    pseudonyms: Pseudonyms

    def cells(self, trained: Trained) -> list[CellJob]:
        """Return the cells, those with few labels first.

        Args:
            trained: pre-training for a seed and labeled cases, by a method.
        """
        jobs = [
            job for arm in arms(self.study) for seed in self.study.seeds for job in self._of_arm(arm, seed, trained)
        ]
        return sorted(jobs, key=lambda job: (job.seed, job.labels))

    def _of_arm(self, arm: Arm, seed: int, trained: Trained) -> Iterator[CellJob]:
        cohort = self.cohorts[arm.task.name]
        sets = subsets(cohort, self.study.labels, seed, arm.task)
        for count, training in sets.items():
            data = fingerprint(cohort, training, self.hashes)
            listed = self.folder.datalist(arm.task.name, count, seed)
            write_list(arm.task, cohort, training, listed, self.pseudonyms.of)
            start = Start()
            if arm.pretraining is not None:
                start = self._start(arm, partial(trained, seed, training))
            yield self._cell(arm, seed, count, data, listed, start)

    def _cell(self, arm: Arm, seed: int, count: int, data: str, listed: Path, start: Start) -> CellJob:
        task, method = arm.task, arm.pretraining
        options = options_of(self.study, arm)
        settings = {**task.overrides, **options}
        if task.normalize is not None:
            # said aloud, since networks from scratch have no model card
            settings["normalize"] = arm.normalize or "none"
        train, evaluate = (config_file(task.bundle, name) for name in ("train", "evaluate"))
        identity: dict[str, Any] = {
            "names": [arm.method, task.name, arm.scheme],
            "bundle": [_text_digest(train), _text_digest(evaluate)],
            "overrides": dict(task.overrides),
            "data": data,
            "start": start.identity,
            "encoder": dict(arm.encoder),
            "normalize": arm.normalize,
            "scheme": dict(options),
            "seed": seed,
            "metric": task.metric,
            "select": self.study.select,
            "version": __version__,
        }
        if start.part is not None:
            identity["part"] = [start.part, start.decoder_identity]
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
            encoder=arm.kind,
            select=self.study.select,
            data_fingerprint=data,
            train=train,
            evaluate=evaluate,
            overrides={**settings, "datalist": str(listed.resolve()), "seed": seed},
            recipe=dict(arm.encoder),
            weights=start.weights,
            decoder_weights=start.decoder_weights,
            part=start.part,
            target_bn_batches=self.study.target_bn_batches,
            needs=start.needs,
        )

    def _start(self, arm: Arm, trained: Callable[[str], PretrainingJob | None]) -> Start:
        """Return what an arm starts from: files of its own pre-training, or also of that whose decoder it takes."""
        method = arm.pretraining
        assert method is not None
        other = method.decoder if arm.transferred == "both" else None
        weights, key = self._weights(method.name, trained, arm.transferred if other is None else "encoder")
        if other is None:
            return Start(weights, key or self.hashes.of(weights), (key,) if key else (), arm.part)
        decoder, decoder_key = self._weights(other, trained, "decoder")
        needs = tuple(name for name in (key, decoder_key) if name)
        identity, decoder_identity = key or self.hashes.of(weights), decoder_key or self.hashes.of(decoder)
        return Start(weights, identity, needs, arm.part, decoder, decoder_identity)

    def _weights(
        self, name: str, trained: Callable[[str], PretrainingJob | None], part: str
    ) -> tuple[Path, str | None]:
        """Return the file with a part of a method's weights, and the key of the pre-training that makes it."""
        job = trained(name)
        if job is None:
            (given,) = (method.weights for method in self.study.pretraining if method.name == name)
            assert given is not None
            return given, None
        made = self.folder.pretraining(job.key)
        return (made.unet if part in ("decoder", "both") else made.encoder).resolve(), job.key


def _text_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:16]
