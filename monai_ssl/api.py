"""What notebooks and scripts call: prepare, pretrain, finetune, evaluate, embed, load_encoder, lists of methods."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ssl import stock_runs
from monai_ssl.bundle_folders import bundle_folder, config_file, shipped_bundles
from monai_ssl.places import place_of

if TYPE_CHECKING:
    import pandas as pd

    from monai_ssl.networks import Encoder
    from monai_ssl.store import Report

_Path = str | Path


def list_methods() -> list[str]:
    """Return the names of the pre-training methods.

    >>> "pcrlv2" in list_methods(), "segmentation" in list_methods()
    (True, False)
    """
    return [name for name in shipped_bundles() if _has(name, "pretrain") or _has(name, "pretrain_2d")]


def list_tasks() -> list[str]:
    """Return the names of the downstream tasks.

    >>> list_tasks()
    ['classification', 'regression', 'segmentation']
    """
    return [name for name in shipped_bundles() if _has(name, "train")]


def list_networks() -> list[str]:
    """Return the encoders that a configuration can name as ``monai_ssl.networks.NAME``.

    >>> "ResNetEncoder" in list_networks()
    True
    """
    import inspect

    from monai_ssl import networks

    classes = (getattr(networks, name) for name in networks.__all__)
    return sorted(
        kind.__name__
        for kind in classes
        if inspect.isclass(kind) and issubclass(kind, networks.Encoder) and kind is not networks.Encoder
    )


def prepare(src: _Path, store: _Path, **options: Any) -> Report:
    """Turn a tree of scans into a store; ``options`` are those of :class:`monai_ssl.store.PrepareOptions`.

    >>> import tempfile
    >>> from monai_ssl.samples.phantom import write_phantom_cohort
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = write_phantom_cohort(folder / "scans", 2)
    >>> prepare(folder / "scans", folder / "store", workers=0).patients
    2
    """
    from monai_ssl.store import PrepareOptions
    from monai_ssl.store import prepare as prepare_store

    return prepare_store(src, store, PrepareOptions(**options))


def pretrain(method: str, data: _Path, out: _Path | None = None, *, config: str | None = None, **settings: Any) -> Path:
    """Pre-train a method on unlabeled scans, as ``python -m monai.bundle run pretrain`` does, in this process.

    Args:
        method: one of :func:`list_methods`, or the folder of a bundle.
        data: a store, its URL, or any tree of scans.
        out: folder of the run; ``runs/METHOD`` by default.
        config: ``"pretrain"``, or ``"pretrain_2d"``, which a store without volumes or a folder of pictures takes; a
            bundle's ``"cpu"`` is laid over it.
        settings: keys of the bundle's JSON, such as ``max_epochs=100`` or ``resume=True``.

    Returns:
        The folder, which has ``encoder.safetensors``.

    Raises:
        ValueError: for a key that the bundle does not read, or a setting that it cannot work with.
    """
    return _run(stock_runs.pretraining(method, data, out, config), settings)


def finetune(
    task: str, data: _Path, out: _Path | None = None, *, weights: _Path | None = None, **settings: Any
) -> Path:
    """Train a task on labels, from pre-trained weights or from scratch, in this process.

    Args:
        task: one of :func:`list_tasks`, or the folder of a bundle.
        data: labeled images, as the page of the bundle says.
        out: folder of the run; ``finetuned/TASK`` by default.
        weights: file or folder of a pre-training; from scratch without.
        settings: keys of the bundle's JSON, such as ``labels={"liver": 1}``.

    Returns:
        The folder, which has ``model.pt`` and ``model.json``.

    Raises:
        ValueError: for a key that the bundle does not read, or data and weights that do not fit.
    """
    return _run(stock_runs.finetuning(task, data, out, weights), settings)


def evaluate(
    run: _Path, data: _Path, out: _Path | None = None, *, section: str = "test", **settings: Any
) -> dict[str, float]:
    """Score a fine-tuned model; return its metrics by name, which stand with those of each case in ``out``.

    Args:
        run: output folder of a fine-tuning.
        data: labeled images.
        out: folder of the scores; ``RUN/SECTION`` by default.
        section: of the data list.
        settings: keys of the bundle's JSON.

    Raises:
        FileNotFoundError: when the folder holds no fine-tuned model.
        ValueError: for a key that the bundle does not read, or data that does not fit.
    """
    target = _run(stock_runs.evaluation(run, data, out, section), settings)
    lines = (line.rsplit(",", 1) for line in (target / "metrics.csv").read_text().splitlines())
    return {name: float(value) for name, value in lines}


def embed(weights: _Path, data: _Path, *, regions: str = "scan", window: Sequence[int] | None = None) -> pd.DataFrame:
    """Return features of images as a table, a row a vector ``f0``, ``f1``, ...

    Args:
        weights: ``encoder.safetensors``, or the folder of a run.
        data: a store, its URL, any tree of scans, or a list of images.
        regions: a vector for each ``"scan"``, ``"window"``, or ``"label"`` of label maps.
        window: voxels along each axis; as in training by default.

    Raises:
        FileNotFoundError: when there are no such weights or data.
        ValueError: when no image could be read, or the two do not fit.
    """
    from tempfile import TemporaryDirectory

    from monai_ssl.analysis.embed import embed_data
    from monai_ssl.analysis.feature_files import as_frame
    from monai_ssl.analysis.trained_run import read_run

    with TemporaryDirectory(prefix="embed-") as folder:
        table = embed_data(read_run(weights), place_of(data), Path(folder), regions=regions, window=window)
    if not table.rows:
        raise ValueError(f"No image of {data} could be read: {'; '.join(list(table.left_out.values())[:3])}")
    return as_frame(table)


def load_encoder(weights: _Path) -> Encoder:
    """Return the encoder of published weights, built as their card says, in evaluation mode.

    It takes images (B, C, *spatial) with the intensities and normalization that the card describes
    (:func:`monai_ssl.transfer.read_card`), and gives a list of feature maps, fine to coarse.

    Raises:
        FileNotFoundError: when there is no such file.
        ValueError: when it has no card.
    """
    from monai_ssl.networks import Encoder, build
    from monai_ssl.transfer import load_weights, read_card

    file = stock_runs.weights_of(weights)
    if not file.is_file():
        raise FileNotFoundError(f"There are no weights {file}: `encoder.safetensors` of a run is meant.")
    card = read_card(file) if file.suffix == ".safetensors" else None
    if card is None:
        raise ValueError(f"{file} has no model card, which says how its encoder is built.")
    encoder = build(card.encoder)
    if not isinstance(encoder, Encoder):
        raise ValueError(f"The card of {file} names {card.encoder.get('_target_')!r}, which is no encoder.")
    load_weights(encoder, file)
    return encoder.eval()


def _has(name: str, config: str) -> bool:
    return config_file(bundle_folder(name), config).is_file()


def _run(stock: stock_runs.StockRun, settings: Mapping[str, Any]) -> Path:
    """Run a bundle in this process; return the folder of its results."""
    from monai.bundle import run

    from monai_ssl.bundle.command_line import refuse_unknown_keys
    from monai_ssl.config_texts import literal

    given = {key: literal(value) for key, value in {**stock.settings, **settings}.items()}
    refuse_unknown_keys({"config_file": str(stock.files), **{key: str(value) for key, value in given.items()}})
    logging.getLogger("monai.bundle.workflows").addFilter(_is_news)
    run(run_id=stock.run_id, config_file=stock.files, bundle_root=literal(str(stock.bundle)), **given)
    return stock.output_dir


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a record is not MONAI's "Default logging file ... does not exist", of which bundles here have no need."""
    return not str(record.msg).startswith("Default logging file")


__all__ = ["embed", "evaluate", "finetune", "list_methods", "list_networks", "list_tasks"]
__all__ += ["load_encoder", "prepare", "pretrain"]
