"""What a short command or a call of the Python API runs: a bundle, its configurations and their settings."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ssl.bundle_folders import bundle_folder, config_file, shipped_bundles, weights_place
from monai_ssl.config_texts import path_text
from monai_ssl.files import read_json
from monai_ssl.places import on_disk, place_of

ENCODER, MODEL, DESCRIPTION = "encoder.safetensors", "model.pt", "model.json"
"""What a pre-training leaves for others, and what a fine-tuning does."""


@dataclass(frozen=True)
class StockRun:
    """A run of a bundle.

    Args:
        run_id: what the bundle is to run.
        bundle: its folder.
        configs: names of its configurations, each laid over those before it.
        settings: by key of the configurations; ``output_dir`` among them.
    """

    run_id: str
    bundle: Path
    configs: tuple[str, ...]
    settings: Mapping[str, Any]

    @property
    def files(self) -> list[str]:
        """The configuration files."""
        return [str(config_file(self.bundle, name)) for name in self.configs]

    @property
    def output_dir(self) -> Path:
        """Where the results go."""
        return Path(self.settings["output_dir"])


def pretraining(method: str, data: str | Path, out: str | Path | None = None, config: str | None = None) -> StockRun:
    """Return the pre-training of a method, into ``runs/METHOD`` unless ``out`` says where.

    Raises:
        FileNotFoundError: when there is no such data.
        ValueError: when there is no such bundle, or it has no such configuration.
    """
    folder = bundle_folder(method)
    configs = pretraining_configs(folder, config, data)
    return StockRun("pretrain", folder, configs, _places(data, out or Path("runs") / folder.name))


def finetuning(
    task: str, data: str | Path, out: str | Path | None = None, weights: str | Path | None = None
) -> StockRun:
    """Return the fine-tuning of a task from the weights of a file or run, or from scratch, into ``finetuned/TASK``.

    Raises:
        ValueError: when there is no such bundle.
    """
    folder = bundle_folder(task)
    start = {} if weights is None else {"weights": path_text(weights_of(weights))}
    return StockRun("run", folder, ("train",), {**_places(data, out or Path("finetuned") / folder.name), **start})


def evaluation(run: str | Path, data: str | Path, out: str | Path | None = None, section: str = "test") -> StockRun:
    """Return the evaluation of a fine-tuned model on a section of a data list, into ``RUN/SECTION``.

    Raises:
        FileNotFoundError: when the folder holds no fine-tuned model.
        ValueError: when its task is none of the bundles that come with this package.
    """
    settings = {**_places(data, out or Path(run) / section), "ckpt_dir": path_text(run), "section": section}
    return StockRun("run", _bundle_of(Path(run)), ("train", "evaluate"), settings)


def prediction(run: str | Path, data: str | Path, out: str | Path) -> StockRun:
    """Return the inference of a fine-tuned model for new images; raises what :func:`evaluation` does."""
    return StockRun("run", _bundle_of(Path(run)), ("inference",), {**_places(data, out), "ckpt_dir": path_text(run)})


def weights_of(place: str | Path) -> Path:
    """Return the file of published weights: the place itself, that of a run's folder, or that of a shipped encoder.

    Raises:
        FileNotFoundError: when there are none.
    """
    path = weights_place(place)
    return path / ENCODER if path.is_dir() else path


def pretraining_configs(folder: Path, config: str | None, data: str | Path | None) -> tuple[str, ...]:
    """Return the names of a bundle's configurations to pre-train with, each laid over those before it.

    Args:
        folder: of the bundle.
        config: that was asked for; one that is no run by itself, as ``cpu``, is laid over the usual one.
        data: decides between ``pretrain``, the usual one without data, and ``pretrain_2d``.

    Raises:
        FileNotFoundError: when there is no such data.
        ValueError: when the bundle has no such configuration.

    >>> pretraining_configs(bundle_folder("simclr"), "cpu", None)
    ('pretrain', 'cpu')
    """
    if config is not None and _is_whole(folder, config):
        return (config,)
    usual = "pretrain" if data is None else pretraining_config(data)
    return (usual,) if config is None else (usual, config)


def pretraining_config(data: str | Path) -> str:
    """Return ``"pretrain_2d"`` for a store without volumes or a folder whose first image is a picture.

    Raises:
        FileNotFoundError: when there is no such data.
    """
    from monai_ssl.io.formats import format_of
    from monai_ssl.io.walk import visible_files
    from monai_ssl.store import Store

    data = place_of(data)
    if isinstance(data, Path) and not data.exists():
        raise FileNotFoundError(f"There is no data {data}: give a store or a folder of scans.")
    if isinstance(data, str) or Store.is_store(data):
        flat = not Store(data).select(spatial_dims=3)
    else:
        formats = (format_of(path.name) for path in visible_files(data, []))
        first = next((entry for entry in formats if entry is not None), None)
        flat = first is not None and first.is_picture
    return "pretrain_2d" if flat else "pretrain"


def _is_whole(folder: Path, config: str) -> bool:
    """Whether a configuration says how to pre-train; one that does not, as ``cpu``, is laid over one that does."""
    file = config_file(folder, config)
    if not file.is_file():
        known = sorted({path.stem for path in file.parent.glob("*.json")} - {"inference", "metadata"})
        raise ValueError(f"The bundle `{folder.name}` has no configuration `{config}`, but: {', '.join(known)}.")
    return "pretrain" in read_json(file, {})


def _places(data: str | Path, out: str | Path) -> dict[str, str]:
    return {"dataset_dir": path_text(place_of(data)), "output_dir": path_text(on_disk(out, "out"))}


def _bundle_of(run_dir: Path) -> Path:
    described = read_json(run_dir / DESCRIPTION, {})
    if not (run_dir / MODEL).is_file() or not isinstance(described, dict) or "task" not in described:
        raise FileNotFoundError(
            f"{run_dir} holds no fine-tuned model (`{MODEL}` and its `{DESCRIPTION}`): give the output folder of a "
            "fine-tuning."
        )
    name = str(described["task"].get("name", "")).lower()
    if name not in shipped_bundles():
        raise ValueError(f"{run_dir} was trained for {name!r} by a bundle of your own: run its stock command.")
    return bundle_folder(name)


__all__ = [
    "StockRun",
    "evaluation",
    "finetuning",
    "prediction",
    "pretraining",
    "pretraining_config",
    "pretraining_configs",
    "weights_of",
]
