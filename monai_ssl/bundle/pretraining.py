"""Assembly of a pre-training run: loader, trainer, validation, probe, export, checkpoint and record, alike for all."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import torch
from ignite import distributed as idist
from torch.optim import Optimizer
from torch.utils.data import DataLoader, Dataset

from monai_ssl.bundle.run_recipe import is_plain, run_recipe
from monai_ssl.data import LabeledImages, PretrainingScans, WindowDataset
from monai_ssl.data.windows import collate_views, endless_loader
from monai_ssl.engines import SSLTrainer
from monai_ssl.handlers import (
    Checkpoint,
    Diagnostics,
    Export,
    Pictures,
    Probe,
    Progress,
    Publication,
    RunFolder,
    StartFrom,
    Tracking,
    TrainingLength,
    ValidationLoss,
)
from monai_ssl.machine import cores
from monai_ssl.methods import Method
from monai_ssl.networks import Encoder, recipe_of
from monai_ssl.places import on_disk
from monai_ssl.transfer.export import hash_tensors
from monai_ssl.transforms import BatchViews, ImageNetNormalized, ZScored
from monai_ssl.transforms.intensity.normalize import normalization_of


class Handler(Protocol):
    """What Ignite attaches to an engine."""

    def attach(self, engine: Any) -> None: ...


class Pretraining:
    """What is the same in every pre-training run; a bundle's JSON hands it the rest by name.

    Args:
        name: of the bundle; the run's name begins with it.
        method: what is trained.
        encoder: of the method, built by the configuration, so that the model card can say how.
        scans: to train on, and those of validation patients: scans, or visual words in them.
        crops: windows of a scan, made by loader workers.
        views: of a batch, made on the device.
        window_size: voxels of the windows that the encoder sees; images of the probe are resized to it.
        batch_size: samples of one process.
        num_workers: of the loader; no more are started than there are cores.
        output_dir: gets checkpoint, encoder, pictures and, by default, the MLflow database.
        device: where to train.
        seed: of all random numbers.
        preset: of the method, for the model card.
        probe_list: JSON file, a list of ``{"image": path, "label": number}``, for a kNN and a linear probe after every
            epoch; ``None`` for no probe.
        data_license: of the scans, in the user's words.
        init_weights: start from these weights, see :class:`~monai_ssl.handlers.StartFrom`; ``None`` from scratch.
        resume: continue the run in ``output_dir``, if it is the same, or the checkpoint at a path, whatever changed.
        patience: epochs without a better probe or validation loss after which the run ends; ``None`` to never.
        settings: what the record shows as parameters; only plain values are taken.

    Raises:
        ValueError: for a batch of fewer than two samples, with which comparisons and batch norm mean nothing.

    >>> from monai_ssl.methods import AutoEncoder
    >>> from monai_ssl.networks import ConvEncoder, RestorationUNet
    >>> from monai_ssl.transforms import RandWindowCropd
    >>> method, crops = AutoEncoder(RestorationUNet(ConvEncoder(2, widths=(2, 4)))), [RandWindowCropd("image", (8, 8))]
    >>> parts = {"method": method, "encoder": method.encoder, "scans": None, "crops": crops, "views": BatchViews([])}
    >>> sizes = {"window_size": (8, 8), "batch_size": 2, "num_workers": 0}
    >>> run = Pretraining(name="autoencoder", **parts, **sizes, output_dir="out", device="cpu", seed=0)
    >>> windows = WindowDataset([torch.rand(1, 20, 20)] * 3, crops, windows_per_scan=2)
    >>> trainer = run.trainer(windows, torch.optim.SGD(method.parameters(), 0.1), 2, False, [])
    >>> trainer.run()
    >>> trainer.state.iteration  # two epochs of three batches of two
    6
    """

    def __init__(
        self,
        *,
        name: str,
        method: Method,
        encoder: Encoder,
        scans: PretrainingScans,
        crops: list,
        views: BatchViews,
        window_size: Sequence[int],
        batch_size: int,
        num_workers: int,
        output_dir: str,
        device: torch.device | str,
        seed: int,
        preset: str = "paper",
        probe_list: str | None = None,
        data_license: str = "not stated",
        init_weights: str | None = None,
        resume: bool | str = False,
        patience: int | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        if batch_size * idist.get_world_size() < 2:
            raise ValueError(
                "`batch_size` must be at least 2: with one sample there is nothing to compare and batch norm fails."
            )
        on_disk(output_dir, "output_dir")
        self.name, self.method, self.encoder, self.preset = name, method, encoder, preset
        self.scans, self.crops, self.views, self.window_size = scans, crops, views, window_size
        self.batch_size, self.num_workers, self.output_dir = batch_size, num_workers, output_dir
        self.device, self.seed, self.probe_list, self.data_license = (
            torch.device(device),
            seed,
            probe_list,
            data_license,
        )
        self.init_weights, self.resume, self.patience = init_weights, resume, patience
        self.settings = settings or {}

    def loader(self, dataset: Dataset) -> DataLoader:
        """Return the endless loader, sharded under ``torchrun``; samples do not depend on the number of workers."""
        return endless_loader(
            dataset,
            self.batch_size,
            min(self.num_workers, cores()),
            seed=self.seed,
            rank=idist.get_rank(),
            world_size=idist.get_world_size(),
            pin_memory=self.device.type == "cuda",
        )

    def trainer(
        self,
        dataset: Dataset,
        optimizer: Optimizer | Mapping[str, Optimizer],
        max_epochs: int,
        amp: bool,
        train_handlers: Sequence[Handler],
        **options: Any,
    ) -> SSLTrainer:
        """Return the trainer; ``options`` are those of :class:`~monai_ssl.engines.SSLTrainer`."""
        return SSLTrainer(
            self.device,
            max_epochs,
            self.loader(dataset),
            self.method,
            optimizer,
            views=self.views,
            train_handlers=train_handlers,
            seed=self.seed,
            **{"amp": amp, "channels_last": amp, **options},
        )

    def validation(self) -> ValidationLoss:
        """Return the loss on validation patients after every epoch, on the same windows each time."""
        windows = max(1, -(-self.batch_size // len(self.scans.validation)))
        dataset = WindowDataset(self.scans.validation, self.crops, self.seed + 1, windows)
        batches = DataLoader(dataset, min(self.batch_size, len(dataset)), collate_fn=collate_views, drop_last=True)
        return ValidationLoss(batches, self.views, seed=self.seed)

    def export(self) -> Export:
        """Return what publishes the encoder with its model card, and the method for inference."""
        return Export(
            self.output_dir,
            self.name,
            self.preset,
            recipe_of(self.encoder),
            {**self.scans.facts(), "normalize": normalization_of(self.views.transforms)},
            data_license=self.data_license,
            window_size=self.window_size,
        )

    def probe(self, probe_list: str) -> Probe:
        """Return the probe of a list of labeled images, which get the last normalization of the views."""
        last = [t for t in self.views.transforms if isinstance(t, (ZScored, ImageNetNormalized))]
        normalize = last[-1].normalize if last else None
        return Probe(LabeledImages(probe_list, self.window_size, self.encoder.in_channels, normalize))

    def parameters(self) -> dict[str, Any]:
        """Return the plain top-level settings, losses at chance, and hashes of tables that views and method share."""
        shown = {k: v for k, v in self.settings.items() if "::" not in k and is_plain(v) and not k.endswith("_dir")}
        shown.pop("bundle_root", None)
        shown |= {f"chance_{term}": value for term, value in self.method.chance.items()}
        return {**shown, **{f"{k}_sha256": hash_tensors({k: v}) for k, v in self.method.tables().items()}}


class StandardHandlers:
    """The handlers that every pre-training run has, as one line of a configuration.

    In this order: the folder, which is held and cleared before anything is written, diagnostics, the loss on
    validation patients, a probe, the export of the encoder, progress on the console, pictures, MLflow, which gets the
    encoder and what others put into the metrics, and checkpoints last: a run that is killed repeats what comes before
    its checkpoint. A checkpoint is loaded, or refused, before any of them begins.

    Args:
        run: what they belong to.

    >>> from types import SimpleNamespace
    >>> from monai_ssl.methods import SimCLR
    >>> from monai_ssl.networks import build
    >>> encoder = build({"_target_": "monai_ssl.networks.ConvEncoder", "spatial_dims": 2, "widths": [4, 8]})
    >>> scans = SimpleNamespace(validation=[], facts=dict)
    >>> parts = {"method": SimCLR(encoder), "encoder": encoder, "scans": scans, "crops": [], "views": BatchViews([])}
    >>> sizes = {"window_size": (8, 8), "batch_size": 2, "num_workers": 0}
    >>> run = Pretraining(name="simclr", **parts, **sizes, output_dir="out", device="cpu", seed=0)
    >>> [type(handler).__name__ for handler in StandardHandlers(run).handlers()][-1]
    'Checkpoint'
    """

    def __init__(self, run: Pretraining) -> None:
        self.run = run

    def attach(self, engine: SSLTrainer) -> None:
        engine.data_seen.append(self.run.scans.facts()["data_fingerprint"])
        folder, *others = self.handlers(run_recipe(self.run, engine))
        folder.attach(engine)
        StartFrom(self.run.init_weights).attach(engine)
        for handler in others:
            if isinstance(handler, Checkpoint):
                handler.attach_start(engine)
        for handler in others:
            handler.attach(engine)

    def handlers(self, recipe: Mapping[str, Any] | None = None) -> Iterator[Handler]:
        """Yield them in their order; checkpoints get the recipe of the run."""
        run = self.run
        folder = RunFolder(run.output_dir, run.resume)
        yield folder
        yield TrainingLength(run.batch_size)
        yield Diagnostics()
        if run.scans.validation:
            yield run.validation()
        if run.probe_list:
            yield run.probe(run.probe_list)
        yield run.export()
        yield Progress()
        tracking = Tracking(run.output_dir, run.name, run.parameters(), resume=folder.continues)
        yield Pictures(run.output_dir, tracking=tracking)
        yield Publication(run.output_dir, tracking, run.name, run.scans.facts())
        yield tracking
        yield Checkpoint(run.output_dir, resume=run.resume, patience=run.patience, config=recipe)


__all__ = ["Pretraining", "StandardHandlers"]
