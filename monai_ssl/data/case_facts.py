"""Facts of labeled cases, looked up once before a training: grids, values of label files, modality of images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from monai_ssl.files import write_json
from monai_ssl.io.discovery import Source
from monai_ssl.io.grid import corners, grid_of
from monai_ssl.io.listing import source_at
from monai_ssl.io.readers import read
from monai_ssl.io.volume import Grid, ReadError
from monai_ssl.machine import bar_interval, cores
from monai_ssl.store.conform import decide_modality, finite_sample
from monai_ssl.store.conversion.convert import file_signature
from monai_ssl.store.layout import memory
from monai_ssl.store.statistics import OFFSET, histogram

QUANTILES = (0.0, 0.005, 0.05, 0.5, 0.95, 0.995, 1.0)
MOST_VALUES = 1000
"""Different values at most that are kept of a label file."""


@dataclass(frozen=True)
class GridFacts:
    """Where the voxels of a file lie, as :class:`monai_ssl.io.volume.Grid`; in types of JSON, as all facts."""

    shape: list[int]
    affine: list[list[float]]
    known: bool

    @property
    def grid(self) -> Grid:
        return Grid(tuple(self.shape), np.array(self.affine), self.known)


@dataclass(frozen=True)
class LabelFacts:
    """What is in a label file.

    Args:
        values: how many voxels have each value, in order; no more than :data:`MOST_VALUES` of them.
        not_finite: voxels that are NaN or infinite.
        volumes: channels, or volumes of a 4-D file; a label map has one.
        corners: millimeters of the corners of the box around all that is not 0; none if all is.
    """

    values: list[tuple[float, int]]
    not_finite: int
    volumes: int
    corners: list[list[float]]


@dataclass(frozen=True)
class ImageFacts:
    """What the intensities of an image look like.

    Args:
        modality: as ``prepare`` would judge it.
        basis: ``"file"`` or ``"values"``.
        quantiles: at :data:`QUANTILES`.
        eight_bit: whether it is stored in 8 bits.
    """

    modality: str
    basis: str
    quantiles: list[float]
    eight_bit: bool


@dataclass(frozen=True)
class Unreadable:
    """A file that cannot be read, and why."""

    reason: str


Facts = GridFacts | LabelFacts | ImageFacts | Unreadable
_KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (GridFacts, LabelFacts, ImageFacts)}


class CaseFacts:
    """Looks files up, several at a time, and remembers what it found by path, size and time of change.

    Args:
        memory: JSON file, written beside the output of a run; names no file. ``None`` remembers nothing.
        workers: threads; decoders of packed data leave Python's lock.
    """

    def __init__(self, memory: Path | None, workers: int | None = None) -> None:
        self.memory, self.workers = memory, workers or min(8, cores())
        self.known: dict[str, Any] = _remembered(memory)

    def grids(self, paths: Sequence[str]) -> dict[str, GridFacts | Unreadable]:
        """Return the grid of each file, by the header where the format allows."""
        return self._all(_grid, GridFacts, paths, "places")

    def labels(self, paths: Sequence[str]) -> dict[str, LabelFacts | Unreadable]:
        """Return what is in each label file, which is read for it."""
        return self._all(_label, LabelFacts, paths, "labels")

    def images(self, paths: Sequence[str]) -> dict[str, ImageFacts | Unreadable]:
        """Return what each image looks like; it is read for it."""
        return self._all(_image, ImageFacts, paths, "images")

    def _all(self, look: Callable[[Source], Any], kind: type[Any], paths: Sequence[str], title: str) -> dict[str, Any]:
        unique = list(dict.fromkeys(map(str, paths)))
        before = len(self.known)
        with ThreadPoolExecutor(self.workers) as pool:
            found = pool.map(lambda path: self._one(look, kind, path), unique)
            # silent where nothing takes long
            bar = tqdm(found, f"check {title}", len(unique), mininterval=bar_interval(), delay=2.0, leave=False)
            facts = dict(zip(unique, bar, strict=True))
        if self.memory is not None and len(self.known) > before:
            write_json(self.memory, self.known, mode=0o600)
        return facts

    def _one(self, look: Callable[[Source], Any], kind: type[Any], path: str) -> Any:
        try:
            source = source_at(path)
            key = f"{kind.__name__} {file_signature(source)}"
            if key not in self.known:
                self.known[key] = asdict(look(source))
            return kind(**self.known[key])
        except (ReadError, OSError) as error:
            return Unreadable(str(error))


def _remembered(path: Path | None) -> dict[str, Any]:
    known = {} if path is None else memory(path)
    try:
        for key, facts in known.items():
            _KINDS[key.partition(" ")[0]](**facts)
    except (TypeError, KeyError):
        # of another version: looked up again
        return {}
    return known


def _grid(source: Source) -> GridFacts:
    grid = grid_of(source)
    return GridFacts([int(n) for n in grid.shape], grid.affine.tolist(), grid.known)


def _label(source: Source) -> LabelFacts:
    volumes = read(source, four_d="split")
    first = volumes[0]
    array = first.array if len(volumes) == 1 else np.concatenate([volume.array for volume in volumes])
    finite = np.isfinite(array)
    inner = array if finite.all() else array[finite][None, None]
    values = _counts(inner)[:MOST_VALUES] if inner.size else []
    box = _box((array != 0).any(0))
    return LabelFacts(values, array.size - inner.size, len(array), corners(box, first.affine).tolist() if box else [])


def _counts(array: NDArray[Any]) -> list[tuple[float, int]]:
    if array.dtype.kind in "iu":
        counts = histogram(array)
        return [(float(value), int(counts[value + OFFSET])) for value in np.flatnonzero(counts) - OFFSET]
    return [(float(value), int(count)) for value, count in zip(*np.unique(array, return_counts=True), strict=True)]


def _box(mask: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """Return the first and the last index along each axis where something is; nothing of an empty mask."""
    lines = [
        np.flatnonzero(mask.any(axis=tuple(a for a in range(mask.ndim) if a != axis))) for axis in range(mask.ndim)
    ]
    return [(int(line[0]), int(line[-1])) for line in lines] if lines[0].size else []


def _image(source: Source) -> ImageFacts:
    volume = read(source, four_d="split")[0]
    array = volume.array
    modality, basis = decide_modality(array, volume.modality, "auto")
    some = finite_sample(array)
    quantiles = np.quantile(some, QUANTILES).tolist() if some.size else [0.0] * len(QUANTILES)
    return ImageFacts(modality, basis, quantiles, array.dtype == np.uint8)
