"""The jobs of a study, as its worker processes read them: a pre-training, a trial, or a cell of the matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, ClassVar


@dataclass(frozen=True)
class PretrainingJob:
    """A run of a pre-training bundle, whose encoder cells start from.

    Args:
        key: hash of everything that decides the result; the name of its folder.
        method: name in the table.
        config: configuration of the bundle.
        overrides: of the bundle, all but ``output_dir``.
        seed: that it was given, where each seed of the study has its own pre-training.
    """

    key: str
    method: str
    config: Path
    overrides: Mapping[str, Any]
    seed: int | None = None

    needs: ClassVar[tuple[str, ...]] = ()
    """Keys of the jobs that must be done before."""

    @property
    def title(self) -> str:
        return f"pre-training {self.method}" + ("" if self.seed is None else f", seed {self.seed}")

    def facts(self) -> dict[str, Any]:
        """Return what ``result.json`` says beside what was measured."""
        return {"method": self.method}


@dataclass(frozen=True)
class CellJob:
    """A cell of the matrix: one fine-tuning with its test.

    Args:
        key: hash of everything that decides the result; the name of its folder.
        method: name in the table; of one from scratch ``"scratch"``.
        task: name of the downstream task.
        labels: number of labeled patients.
        scheme: name of the fine-tuning scheme.
        seed: of the subset and the training.
        metric: name of the score.
        higher_is_better: whether more of it is better.
        pretraining: hash of what it starts from; ``None`` from scratch.
        encoder: name of the encoder.
        select: ``"last"`` or ``"best"`` checkpoint.
        data_fingerprint: hash of the data that it reads.
        train: configuration of the task's bundle that trains.
        evaluate: the one that is laid over it to test.
        overrides: of the task's bundle, all but its folders, weights and encoder.
        recipe: ``_target_`` and arguments of the encoder.
        weights: file to start from; a pre-training of the study may still have to make it.
        decoder_weights: file that the decoder starts from, where it is another one.
        part: of the weights to start from; ``None``: as the overrides or the bundle say.
        target_bn_batches: of the target, to collect batch norm statistics from for a second test; 0 for none.
        needs: keys of the jobs that must be done before: the pre-trainings that it starts from, its trials.
        trials: by key, what each trial of its arm tried; the best values are added to ``overrides``.
    """

    key: str
    method: str
    task: str
    labels: int
    scheme: str
    seed: int
    metric: str
    higher_is_better: bool
    pretraining: str | None
    encoder: str
    select: str
    data_fingerprint: str
    train: Path
    evaluate: Path
    overrides: Mapping[str, Any]
    recipe: Mapping[str, Any]
    weights: Path | None = None
    decoder_weights: Path | None = None
    part: str | None = None
    target_bn_batches: int = 0
    needs: tuple[str, ...] = ()
    trials: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def title(self) -> str:
        return cell_title(self.facts())

    def facts(self) -> dict[str, Any]:
        """Return what ``result.json`` says beside what was measured."""
        names = "method task labels scheme seed metric higher_is_better pretraining encoder select data_fingerprint"
        return {name: getattr(self, name) for name in names.split()} | {"fingerprint": self.key}


@dataclass(frozen=True)
class TrialJob:
    """A fine-tuning with values that are tried out: judged on validation patients, and never tested.

    Args:
        key: hash of everything that decides the result; the name of its folder.
        cell: with the same arm and seed, and the values among its overrides.
        values: that are tried.
    """

    key: str
    cell: CellJob
    values: Mapping[str, float]

    @property
    def needs(self) -> tuple[str, ...]:
        return self.cell.needs

    @property
    def title(self) -> str:
        return f"{self.cell.title}, trial of {told(self.values)}"

    def facts(self) -> dict[str, Any]:
        """Return what ``result.json`` says beside what was measured."""
        return {**self.cell.facts(), "fingerprint": self.key, "values": dict(self.values)}


Job = PretrainingJob | TrialJob | CellJob


def told(values: Mapping[str, float]) -> str:
    """Return values by name in words.

    >>> told({"lr": 0.0003, "max_epochs": 40})
    'lr 0.0003, max_epochs 40'
    """
    return ", ".join(f"{name} {value:g}" for name, value in values.items())


def cell_title(facts: Mapping[str, Any]) -> str:
    """Return a name of a cell for people; what is not known of it is a question mark."""
    told = [str(facts.get(key, "?")) for key in ("method", "task", "labels", "scheme", "seed")]
    return "{}, {}, {} labeled, {}, seed {}".format(*told)


def job_to_json(job: Job) -> dict[str, Any]:
    """Return a job as plain values, from which :func:`job_from_json` makes an equal one."""
    if isinstance(job, TrialJob):
        return {"job": "TrialJob", "key": job.key, "cell": job_to_json(job.cell), "values": dict(job.values)}
    plain = {name: str(value) if isinstance(value, Path) else value for name, value in asdict(job).items()}
    return {"job": type(job).__name__, **plain}


def job_from_json(content: Mapping[str, Any]) -> Job:
    """Return a job from what :func:`job_to_json` made of it.

    Raises:
        ValueError: when it is of another version.
    """
    kinds: dict[str, type[Job]] = {kind.__name__: kind for kind in (PretrainingJob, TrialJob, CellJob)}
    kind = kinds.get(str(content.get("job")))
    rest = {name: value for name, value in content.items() if name != "job"}
    if kind is None or rest.keys() != {one.name for one in fields(kind)}:
        raise ValueError(f"Job {content.get('key')} was written by another version of monai_ssl: run the study again.")
    files = ("config", "train", "evaluate", "weights", "decoder_weights")
    typed: dict[str, Any] = {name: Path(rest[name]) for name in files if rest.get(name)}
    if "cell" in rest:
        typed["cell"] = job_from_json(rest["cell"])
    if "needs" in rest:
        typed["needs"] = tuple(rest["needs"])
    return kind(**rest | typed)
