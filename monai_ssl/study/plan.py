"""Study file (JSON): methods x tasks x labels x schemes x seeds, read and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ssl.arguments import check_choice
from monai_ssl.bundle_folders import bundle_folder, config_file
from monai_ssl.study import plan_checks as checks
from monai_ssl.study.bundle_files import encoder_recipe, read_config, refuse_unused, shared_for, spatial_dims
from monai_ssl.study.execution import reason_of
from monai_ssl.tasks import Task

if TYPE_CHECKING:
    from monai.bundle import ConfigParser

PHANTOMS = "phantoms:"
"""``dataset_dir`` of this form is generated: ``phantoms:ct`` with labels, ``phantoms:xray`` of two classes.

The latter has ``lung_area.csv``, a list for regression."""

_STUDY = {"name", "output_dir", "seeds", "pretrain", "pretraining", "tasks", "labels", "schemes", "shared"}
_STUDY |= {"select", "target_bn_batches", "allow_leak"}
_PRETRAINING = {"bundle", "config", "dataset_dir", "overrides", "weights"}
_TASK = {"bundle", "dataset_dir", "overrides", "metric", "higher_is_better", "test_share", "val_share"}
_TASK |= {"imbalance", "hard_cutoff"}
_DOWNSTREAM = ("task", "metric", "spatial_dims")
"""Keys by which a bundle says that it trains on labels, and what."""


@dataclass(frozen=True)
class Pretraining:
    """A method of the study: a bundle to run, or weights that exist already.

    Args:
        name: in the table.
        bundle: folder; ``None`` with ``weights``.
        config: ``"pretrain"`` or another configuration of the bundle.
        dataset_dir: store, or tree of scans, or ``phantoms:...``.
        overrides: of the bundle.
        weights: safetensors file with a model card.
        encoder: recipe of the encoder: ``_target_`` and arguments.
    """

    name: str
    bundle: Path | None
    config: str
    dataset_dir: str
    overrides: Mapping[str, Any]
    weights: Path | None
    encoder: Mapping[str, Any]


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
        imbalance: ratio of the rare class to the other one among the training images; ``labels`` then count images.
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
    imbalance: float | None = None
    hard_cutoff: float | None = None

    @property
    def higher_is_better(self) -> bool:
        return self.task.metric(self.metric).higher_is_better


@dataclass(frozen=True)
class Study:
    """A checked study file; see :func:`read_study`.

    ``pretrain`` is ``"once"``: all seeds start from one pre-training, or ``"per_seed"``: each from its own, so that the
    spread over seeds is that of the whole method. With ``target_bn_batches``, each network is tested a second time,
    with batch norm statistics of the target alone, collected from so many batches.
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


def read_study(path: str | Path, changes: Mapping[str, Any] | None = None) -> Study:
    """Read a study file.

    Keys that begin with ``_`` are comments. ``shared`` has two parts, ``pretraining`` and ``tasks``: overrides of all
    bundles of that kind, which the overrides of one method or task win over.

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
    if content.get("output_dir"):
        checks.text(content["output_dir"], "output_dir")
    shared = checks.objects(checks.known(content.get("shared", {}), {"pretraining", "tasks"}, "`shared`"), "shared")
    methods = checks.objects(content.get("pretraining", {}), "pretraining")
    tasks = checks.objects(content["tasks"], "tasks")
    if "scratch" in methods:
        raise ValueError("`pretraining#scratch`: training from scratch is always part of a study; leave it out.")
    study = Study(
        name=str(content["name"]),
        output_dir=Path(content.get("output_dir") or f"studies/{content['name']}"),
        seeds=checks.seeds(content.get("seeds", [0])),
        pretraining=tuple(_pretraining(n, m, base, shared.get("pretraining", {})) for n, m in methods.items()),
        tasks=tuple(_task(name, task, base, shared.get("tasks", {})) for name, task in tasks.items()),
        labels=checks.labels(content["labels"]),
        schemes=checks.schemes(content.get("schemes", ["full"])),
        select=str(content.get("select", "last")),
        allow_leak=content.get("allow_leak", False) is True,
        pretrain=str(content.get("pretrain", "once")),
        target_bn_batches=checks.amount(content.get("target_bn_batches", 0), "target_bn_batches"),
    )
    bundles = [(method.bundle, method.config) for method in study.pretraining if method.bundle]
    refuse_unused(shared.get("pretraining", {}), bundles, "shared#pretraining")
    refuse_unused(shared.get("tasks", {}), [(task.bundle, "train") for task in study.tasks], "shared#tasks")
    if study.pretrain not in ("once", "per_seed"):
        raise ValueError(f"`pretrain` must be 'once' or 'per_seed', got {study.pretrain!r}.")
    for method in study.pretraining:
        if study.pretrain == "per_seed" and "seed" in method.overrides:
            raise ValueError(
                f"`pretraining#{method.name}#overrides#seed`: `pretrain` 'per_seed' sets it; leave it out."
            )
    if study.select not in ("last", "best"):
        raise ValueError(f"`select` must be 'last' or 'best' (on validation patients), got {study.select!r}.")
    return study


def _pretraining(name: str, entry: Mapping[str, Any], base: Path, shared: Mapping[str, Any]) -> Pretraining:
    key = f"pretraining#{name}"
    entry = checks.known(entry, _PRETRAINING, f"`{key}`")
    if "weights" in entry:
        checks.text(entry["weights"], f"{key}#weights")
        weights = (base / entry["weights"]).resolve()
        return Pretraining(name, None, "", "", {}, weights, _recipe_of(weights, f"{key}#weights"))
    if "dataset_dir" not in entry:
        raise ValueError(f"`{key}` needs `dataset_dir`: a store or a folder of scans; or `weights` that exist already.")
    for part in ("bundle", "config", "dataset_dir"):
        checks.text(entry.get(part, name), f"{key}#{part}")
    folder = _bundle(entry.get("bundle", name), base, f"{key}#bundle")
    config = str(entry.get("config", "pretrain"))
    overrides = shared_for(folder, config, shared) | checks.overrides(entry, key)
    checks.free(overrides, {"dataset_dir", "output_dir", "exclude", "resume"}, key)
    recipe = encoder_recipe(read_config(folder, config, overrides, key), key)
    return Pretraining(name, folder, config, _place(entry["dataset_dir"], base), overrides, None, recipe)


def _task(name: str, entry: Mapping[str, Any], base: Path, shared: Mapping[str, Any]) -> StudyTask:
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
    task, metric, dims, datalist = (_parsed(parser, part, key) for part in (*_DOWNSTREAM, "datalist"))
    metric = str(entry.get("metric", metric))
    check_choice(task.metrics, **{f"{key}#metric": metric})
    found = StudyTask(
        name=name,
        bundle=folder,
        dataset_dir=_place(entry["dataset_dir"], base),
        overrides=overrides,
        task=task,
        metric=metric,
        test_share=checks.share(entry.get("test_share", 0.2), f"{key}#test_share"),
        val_share=checks.share(entry.get("val_share", 0.2), f"{key}#val_share"),
        dims=dims,
        datalist=datalist,
        imbalance=checks.share(entry["imbalance"], f"{key}#imbalance") if "imbalance" in entry else None,
        hard_cutoff=checks.share(entry["hard_cutoff"], f"{key}#hard_cutoff") if "hard_cutoff" in entry else None,
    )
    higher = found.higher_is_better
    if entry.get("higher_is_better", higher) is not higher:
        raise ValueError(f"`{key}#higher_is_better` must be {str(higher).lower()} for {metric}; it may be left out.")
    if found.hard_cutoff is not None and not higher:
        raise ValueError(f"`{key}#hard_cutoff` is for metrics of which more is better; leave it out for {metric}.")
    return found


def _downstream_bundle(named: str, base: Path, key: str) -> Path:
    folder = _bundle(named, base, key)
    path = config_file(folder, "train")
    if not path.is_file() or not set(_DOWNSTREAM) <= json.loads(path.read_text()).keys():
        raise ValueError(
            f"`{key}` is {named!r}, which trains on no labels: its `configs/train.json` must have "
            f"{', '.join(_DOWNSTREAM)}, as that of `segmentation`."
        )
    return folder


def _parsed(parser: ConfigParser, part: str, key: str) -> Any:
    try:
        return parser.get_parsed_content(part)
    except Exception as error:
        raise ValueError(f"`{key}`: {reason_of(error)}") from error


def _bundle(named: str, base: Path, key: str) -> Path:
    try:
        return bundle_folder(named, base)
    except ValueError as error:
        raise ValueError(f"`{key}`: {error}") from error


def _recipe_of(weights: Path, key: str) -> dict[str, Any]:
    from monai_ssl.transfer import read_card

    if not weights.is_file():
        raise ValueError(f"`{key}` names {weights}, which does not exist.")
    card = read_card(weights) if weights.suffix == ".safetensors" else None
    if card is None or "_target_" not in card.encoder:
        raise ValueError(
            f"`{key}`: {weights.name} has no model card that says how its encoder is built, so that no network from "
            "scratch can be compared with it; export it with `monai_ssl.transfer.export_weights`."
        )
    spatial_dims(card.encoder)
    return dict(card.encoder)


def _place(named: Any, base: Path) -> str:
    return str(named) if str(named).startswith(PHANTOMS) else str((base / str(named)).resolve())
