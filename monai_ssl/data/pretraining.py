"""Data source of a pre-training run: prepare a folder or open a store, split into training and validation patients."""

from __future__ import annotations

import hashlib
import logging
from datetime import timedelta
from pathlib import Path
from typing import Any

from monai_ssl.former_paths import former_keyword, moved_to
from monai_ssl.places import place_of
from monai_ssl.store.exclusion import excluded_patients
from monai_ssl.store.intensity import Intensity
from monai_ssl.store.layout import PRIVATE, SOURCES
from monai_ssl.store.prepare import PrepareOptions, prepare
from monai_ssl.store.store import Scans, Store

logger = logging.getLogger(__name__)
_FEWEST_PATIENTS = 4
_THINNEST = 8
"""Voxels along the shortest side below which crops have nothing to see."""


class PretrainingScans:
    """Scans for pre-training, and some patients for the validation loss.

    A folder that is not a store is prepared once, beside the output, and found again by the next run. Under
    ``torchrun`` the first process prepares it for all.

    Args:
        dataset_dir: a store, the URL of an uploaded one, or any tree of scans.
        output_dir: where the store of a raw tree goes (``store`` in it).
        spatial_dims: 2 for images, 3 for volumes; scans of another kind are left out, with a word.
        validation: fraction of the patients that is not trained on; 0 for none. Below four patients nobody is.
        exclude: patients that must not be seen, the test set of a split; a JSON file that
            ``monai_ssl.store.save_split`` wrote. Patients of another store are known by their voxels, or refused.
        intensity: how stored values become [0, 1]; by default each modality's own way.
        seed: which patients are held out.

    Raises:
        FileNotFoundError: when ``dataset_dir`` does not exist.
        ValueError: when no scan of the right kind is there, or ``exclude`` names patients whom the store cannot know.

    >>> from tempfile import TemporaryDirectory
    >>> from monai_ssl.samples.phantom import write_phantom_cohort
    >>> with TemporaryDirectory() as folder:
    ...     _ = write_phantom_cohort(Path(folder, "raw"), patients=4, shape=(16, 16, 16))
    ...     _ = prepare(Path(folder, "raw"), Path(folder, "store"), PrepareOptions(workers=0))
    ...     scans = PretrainingScans(Path(folder, "store"), folder, 3, validation=0.25)
    >>> len(scans.train), len(scans.validation), scans.train[0].shape
    (3, 1, (1, 16, 16, 16))
    """

    @former_keyword("held_out", "validation")
    def __init__(
        self,
        dataset_dir: str | Path,
        output_dir: str | Path,
        spatial_dims: int,
        *,
        validation: float = 0.1,
        exclude: str | Path | None = None,
        intensity: Intensity | None = None,
        seed: int = 0,
    ) -> None:
        self.store = Store(_prepared(place_of(dataset_dir), Path(output_dir)), intensity)
        scans = self.store.select(spatial_dims=spatial_dims)
        if not scans:
            found = [f"{dims}-D" for dims in (2, 3) if self.store.select(spatial_dims=dims)] or ["nothing"]
            raise ValueError(
                f"{dataset_dir} holds no {spatial_dims}-D scan, only {', '.join(found)}: use the bundle's "
                f"{'pretrain_2d.json for images' if spatial_dims == 3 else 'pretrain.json for volumes'}."
            )
        others = len(self.store) - len(scans)
        if others:
            logger.warning("%d scans that are not %d-D are left out.", others, spatial_dims)
        thick = self.store.select(spatial_dims=spatial_dims, thicker_than=_THINNEST - 1)
        # records are built for nothing where there are none
        some = len(thick) < len(scans)
        self.thin = [scan for scan in scans if min(scan.shape[1:]) < _THINNEST] if some else []
        if self.thin:
            logger.warning(
                "%d scans thinner than %d voxels are left out; %s/%s names the files of these keys: %s.",
                len(self.thin),
                _THINNEST,
                PRIVATE if self.store.read_only else self.store.path / PRIVATE,
                SOURCES,
                ", ".join(scan.key for scan in self.thin[:5]),
            )
        excluded = set() if exclude is None else excluded_patients(self.store, exclude)
        left = thick.of_patients(excluded, others=True)
        chosen = _validation_patients(left, validation, seed)
        self.train: Scans = left.of_patients(chosen, others=True)
        self.validation: Scans = left.of_patients(chosen)
        if not thick:
            raise ValueError(f"All scans of {dataset_dir} are thinner than {_THINNEST} voxels; no network takes these.")
        if not self.train:
            raise ValueError(f"`exclude` and `validation` leave no patient of {dataset_dir} to train on.")

    @property
    def held_out(self) -> Scans:
        """The former name of ``validation``."""
        moved_to("PretrainingScans.held_out", "validation")
        return self.validation

    def facts(self) -> dict[str, Any]:
        """What the model card says of the data."""
        intensities = {modality: self.store.intensity_of(modality).to_dict() for modality in self.train.modalities}
        modalities = sorted(intensities)
        spacing = self.store.options.get("spacing")
        return {
            "modality": modalities[0] if len(modalities) == 1 else "mixed: " + ", ".join(modalities),
            "intensity": intensities[modalities[0]] if len(modalities) == 1 else intensities,
            "spacing": tuple(spacing) if spacing else None,
            "channels": self.train[0].shape[0],
            "scans": len(self.train),
            "patients": len(self.train.patients),
            "data_fingerprint": self.store.fingerprint,
        }


def _prepared(dataset_dir: str | Path, output_dir: Path) -> str | Path:
    if isinstance(dataset_dir, str) or Store.is_store(dataset_dir):
        return dataset_dir
    if not dataset_dir.exists():
        raise FileNotFoundError(
            f"`dataset_dir` names {dataset_dir}, which does not exist. Give a store or a folder of scans; "
            "`python -m monai_ssl prepare --samples STORE` makes a store of sample scans."
        )
    # here, since `prepare` and `inspect` start without torch
    import torch.distributed as dist

    store = output_dir / "store"
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        _prepare(dataset_dir, store)
        return store
    # a group of its own, since others may wait here for longer than a step of the training may take
    patient = dist.new_group(backend="gloo", timeout=timedelta(days=7))
    if dist.get_rank() == 0:
        _prepare(dataset_dir, store)
    dist.barrier(patient)
    return store


def _prepare(dataset_dir: Path, store: Path) -> None:
    report = prepare(dataset_dir, store, PrepareOptions())
    print(f"{dataset_dir} is not a store and was prepared into {store}:\n{report.table()}")


def _validation_patients(scans: Scans, fraction: float, seed: int) -> set[str]:
    if not 0 <= fraction < 1:
        raise ValueError(f"`validation` is a fraction of the patients in [0, 1), got {fraction}.")
    # by content, since pseudonyms differ from store to store; and a patient who joins moves hardly anybody else
    first_key = scans.first_keys()
    if fraction == 0 or len(first_key) < _FEWEST_PATIENTS:
        return set()
    order = sorted(first_key, key=lambda patient: hashlib.sha256(f"{seed}:{first_key[patient]}".encode()).hexdigest())
    return set(order[: max(1, round(fraction * len(order)))])
