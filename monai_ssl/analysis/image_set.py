"""Images of one size in [0, 1], with patients, classes and label maps: what all instruments are shown."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from monai_ssl.analysis.cases import Case, CaseList
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.arguments import nearest_multiples
from monai_ssl.data.labeled import read_listed
from monai_ssl.store.conform import decide_modality
from monai_ssl.store.statistics import intensity_statistics
from monai_ssl.transforms.crops.cut import resize

_LARGEST = {2: 256**2, 3: 80**3}
"""Pixels or voxels of an image: what a CPU passes through an encoder in seconds."""
_MEASURED = 16


@dataclass(frozen=True)
class ImageSet:
    """Images, shown to every network alike.

    Args:
        images: (N, 1 or 3, *spatial) in [0, 1], axes in RAS order (columns and rows of a picture).
        patients: (N,) numbers; images of one patient share it.
        classes: (N,) indices into ``names``; ``None`` where images have none.
        names: of the classes.
        masks: (N, *spatial) label maps; ``None`` where there are none.
        scales: (N, D) voxels here for a voxel in the file.
        positions: (N,) in the list that they were drawn from.
        kind: what the data is, in words.
        left_out: images of the data that are not among these.
    """

    images: Tensor
    patients: Tensor
    classes: Tensor | None
    names: tuple[str, ...]
    masks: Tensor | None
    scales: Tensor
    positions: Tensor
    kind: str
    left_out: int = 0

    def __len__(self) -> int:
        return len(self.images)

    @property
    def size(self) -> tuple[int, ...]:
        """Voxels along each axis."""
        return tuple(self.images.shape[2:])

    def described(self) -> str:
        """Say in a sentence what the images are; no name of a file or patient is in it."""
        patients = len(self.patients.unique())
        counts = [] if self.classes is None else torch.bincount(self.classes, minlength=len(self.names)).tolist()
        classes = ", ".join(f"{name} {count}" for name, count in zip(self.names, counts, strict=bool(counts)))
        spread = f" ({classes})" if classes else ""
        left = f"; {self.left_out} more were left out at random" if self.left_out else ""
        size = " x ".join(map(str, self.size))
        return f"{len(self)} images{spread} of {patients} patients, from {self.kind}, resized to {size}{left}."


@dataclass(frozen=True)
class LoadedCase:
    """One image as a run sees it.

    Args:
        image: (1 or 3, *spatial) in [0, 1].
        mask: (*spatial), its label map if it has one.
        scale: (D,) voxels here for a voxel in the file.
        modality: as the file says, else by its values.
    """

    image: Tensor
    mask: Tensor | None
    scale: list[float]
    modality: str


def read_images(
    listed: CaseList, run: TrainedRun, *, limit: int = 100, size: Sequence[int] | None = None, seed: int = 0
) -> ImageSet:
    """Read images as the run saw them: intensities in [0, 1] by its preset, resized as a whole to one size.

    Without ``size`` it is what a classifier was trained on; else the median of the images in voxels of the spacing of
    the training, made smaller where a CPU would take long.

    Args:
        listed: what to read.
        run: decides intensities, dimensions and the multiples that a size must be of.
        limit: images at most, drawn by ``seed``.
        size: voxels along each axis.
        seed: of the draw.

    Raises:
        ValueError: when there is no image, or one cannot be read or has other dimensions.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(len(listed.cases))[:limit])
    cases = [listed.cases[i] for i in drawn]
    if not cases:
        raise ValueError(f"The data holds no image to look at: it is {listed.kind}.")
    wanted = _checked_size(size, run) if size else _common_size(cases, run)
    loaded = [read_case(case, run, wanted) for case in cases]
    channels = max(len(one.image) for one in loaded)
    patients = {patient: number for number, patient in enumerate(dict.fromkeys(case.patient for case in cases))}
    return ImageSet(
        images=torch.stack([one.image.expand(channels, *wanted) for one in loaded]),
        patients=torch.tensor([patients[case.patient] for case in cases]),
        classes=torch.tensor([listed.classes.index(str(case.label)) for case in cases]) if listed.classes else None,
        names=listed.classes,
        masks=torch.stack([one.mask for one in loaded if one.mask is not None]) if cases[0].mask else None,
        scales=torch.tensor([one.scale for one in loaded]),
        positions=torch.from_numpy(drawn),
        kind=listed.kind,
        left_out=len(listed.cases) - len(cases),
    )


def _checked_size(size: Sequence[int], run: TrainedRun) -> tuple[int, ...]:
    stride, works = run.encoder.strides[-1], nearest_multiples(size, run.encoder.strides[-1])
    if len(size) != run.spatial_dims or tuple(size) != works:
        raise ValueError(
            f"`size` must be {run.spatial_dims} multiples of {stride}, since images are halved until 1/{stride}; "
            f"got {list(size)}" + (f", try {list(works)}." if len(size) == run.spatial_dims else ".")
        )
    return tuple(size)


def _common_size(cases: Sequence[Case], run: TrainedRun) -> tuple[int, ...]:
    if run.classifier is not None and run.window_size:
        return run.window_size
    every = max(1, len(cases) // _MEASURED)
    extents = np.array([_extent(case, run) for case in cases[::every]])
    median = np.median(extents, axis=0)
    shrink = max(1.0, median.prod() / _LARGEST[run.spatial_dims]) ** (1 / run.spatial_dims)
    return nearest_multiples([side / shrink for side in median], run.encoder.strides[-1])


def _extent(case: Case, run: TrainedRun) -> list[float]:
    """Return voxels along each axis, of the spacing of the training where that is known."""
    array, spacing, _ = _read(case)
    return _extent_of(array, spacing, run)


def _extent_of(array: NDArray, spacing: Sequence[float], run: TrainedRun) -> list[float]:
    target = run.card.spacing or spacing
    return [n * s / t for n, s, t in zip(array.shape[1:], spacing, target, strict=True)]


def _read(case: Case) -> tuple[NDArray, tuple[float, ...], str]:
    if isinstance(case.image, Path):
        volume = read_listed(case.image, "the data")
        return volume.array, volume.spacing, decide_modality(volume.array, volume.modality, "auto")[0]
    return case.image.raw(), case.image.spacing, case.image.modality


def read_case(case: Case, run: TrainedRun, size: tuple[int, ...] | None = None) -> LoadedCase:
    """Read one image as the run saw it.

    Args:
        case: a file or a scan.
        run: decides dimensions and intensities.
        size: voxels along each axis; ``None`` keeps those of the image in the spacing of the training.

    Raises:
        ValueError: when the image cannot be read or has other dimensions, or its label map another size.
    """
    array, spacing, modality = _read(case)
    if array.ndim != run.spatial_dims + 1:
        raise ValueError(
            f"The run is {run.spatial_dims}-D, but the data holds an image of {array.ndim - 1} dimensions: give "
            f"{'volumes' if run.spatial_dims == 3 else 'images'}."
        )
    size = size or tuple(max(1, round(side)) for side in _extent_of(array, spacing, run))
    scaled = run.intensity(modality)(array, intensity_statistics(array, None))
    image = torch.from_numpy(np.ascontiguousarray(scaled))
    image = image if len(image) in (1, 3) else image[:1]
    scale = [new / old for new, old in zip(size, array.shape[1:], strict=True)]
    return LoadedCase(resize(image, size).clamp(0, 1), _mask(case, array.shape[1:], size), scale, modality)


def _mask(case: Case, shape: tuple[int, ...], size: tuple[int, ...]) -> Tensor | None:
    if case.mask is None:
        return None
    mask = read_listed(case.mask, "the data").array[0]
    if mask.shape != shape:
        raise ValueError(f"A label map of the data is {mask.shape}, its image {shape}: they must be of one size.")
    # the nearest voxel: classes have no values in between
    return F.interpolate(torch.from_numpy(mask.astype(np.float32))[None, None], size, mode="nearest")[0, 0].long()
