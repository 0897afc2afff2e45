"""Feature vectors of images by a trained encoder: of each scan, each window, or each labeled region."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.data.utils import dense_patch_slices
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from monai_ssl.analysis.cases import Case, CaseList, list_cases
from monai_ssl.analysis.image_set import LoadedCase, read_case
from monai_ssl.analysis.trained_run import TrainedRun
from monai_ssl.arguments import check_choice, nearest_multiples
from monai_ssl.io.volume import ReadError
from monai_ssl.networks import Encoder
from monai_ssl.networks.modes import device_of, evaluating
from monai_ssl.store import source_names
from monai_ssl.store.intensity import scaled_otherwise
from monai_ssl.store.layout import PRIVATE, REPORT, memory

REGIONS = ("scan", "window", "label")
_WINDOW = {2: (224, 224), 3: (64, 64, 32)}
"""Of weights whose card does not say on what windows they were trained."""
_WINDOWS_A_BATCH = 4


@dataclass
class FeatureTable:
    """Vectors, and what each is of.

    Args:
        rows: of each vector: ``image``, ``patient``, perhaps ``class``; ``window`` with its first voxels and
            its extent; or ``label`` with its number of voxels, all in the file's own voxels.
        vectors: (D,) each.
        left_out: why, by image.
    """

    rows: list[dict[str, Any]] = field(default_factory=list)
    vectors: list[NDArray] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)

    @property
    def features(self) -> NDArray:
        """(N, D) float32."""
        return np.stack(self.vectors).astype(np.float32)


def embed(
    run: TrainedRun,
    listed: CaseList,
    names: Sequence[str],
    *,
    regions: str = "scan",
    window: Sequence[int] | None = None,
) -> FeatureTable:
    """Return the vectors of images (``Encoder.pool``), in windows of the size that the encoder was trained on.

    Images have the spacing, intensities, channels and normalization of the training. Windows do not overlap but for
    the last of an axis; a smaller image is padded with its minimum.

    Args:
        run: has the encoder; it runs where its weights are.
        listed: the images, of any sizes.
        names: of the images, for the rows.
        regions: ``"scan"``, the mean over all windows; ``"window"``, a vector for each; ``"label"``, a vector for each
            value of the label maps: the mean of the feature map, each cell weighted by its voxels of that value.
        window: voxels along each axis; by default what the card says.

    Raises:
        ValueError: for another kind of regions, a size that the encoder cannot take, or images without label maps.
    """
    check_choice(REGIONS, regions=regions)
    if regions == "label" and not all(case.mask for case in listed.cases):
        raise ValueError(
            f"`--regions label` needs a label map for each image, but the data is {listed.kind}: give a list of images "
            "with labels, or a folder with `imagesTr` and `labelsTr`."
        )
    size = _window(run, window)
    table, modalities = FeatureTable(), Counter[str]()
    with evaluating(run.encoder), torch.no_grad():
        pairs = sorted(zip(listed.cases, names, strict=True), key=lambda pair: pair[1])
        for case, name in tqdm(pairs, total=len(names), unit="scan", desc="embed", mininterval=1):
            try:
                loaded = read_case(case, run)
            except (ReadError, ValueError, OSError) as error:
                table.left_out[name] = str(error)
                continue
            modalities[loaded.modality] += 1
            for where, vector in _VECTORS[regions](run.encoder, loaded, size):
                table.rows.append({"image": name, **_known(case), **where})
                table.vectors.append(vector.float().cpu().numpy())
    _warn_of_other_modality(run, modalities)
    return table


def _window(run: TrainedRun, wanted: Sequence[int] | None) -> tuple[int, ...]:
    size = tuple(wanted or run.card.window_size or run.window_size or _WINDOW[run.spatial_dims])
    works = nearest_multiples(size, run.encoder.strides[-1])
    if len(size) != run.spatial_dims or size != works:
        raise ValueError(
            f"`--window` takes {run.spatial_dims} multiples of {run.encoder.strides[-1]}, got {list(size)}"
            + (f"; try {' '.join(map(str, works))}." if len(size) == run.spatial_dims else ".")
        )
    return size


def _known(case: Case) -> dict[str, Any]:
    known = {"patient": case.patient, "class": case.label}
    return {name: value for name, value in known.items() if value is not None}


def _warn_of_other_modality(run: TrainedRun, seen: Mapping[str, int]) -> None:
    others = {name: count for name, count in seen.items() if scaled_otherwise(name, run.card.modality)}
    if others:
        found = ", ".join(f"{count} images are {name}" for name, count in others.items())
        warnings.warn(
            f"{found}, but the weights were trained on {run.card.modality}: their intensities were scaled as "
            "pre-training does by default, and their features may mean less.",
            stacklevel=3,
        )


def _windows(image: Tensor, size: tuple[int, ...]) -> tuple[Tensor, list[tuple[slice, ...]]]:
    """Return the image (C, *spatial), padded where a window is larger, and where its windows are."""
    missing = [max(0, wanted - have) for wanted, have in zip(size, image.shape[1:], strict=True)]
    pad = [part for gap in reversed(missing) for part in (0, gap)]
    padded = F.pad(image, pad, value=float(image.min()))
    return padded, dense_patch_slices(padded.shape[1:], size, size)


def _features(encoder: Encoder, image: Tensor, where: Sequence[tuple[slice, ...]]) -> Iterator[list[Tensor]]:
    """Yield the maps (B, D, *cells), fine to coarse, of a few windows at a time."""
    for start in range(0, len(where), _WINDOWS_A_BATCH):
        places = [(slice(None), *place) for place in where[start : start + _WINDOWS_A_BATCH]]
        batch = torch.stack([image[place] for place in places])
        yield encoder(batch.to(device_of(encoder)))


def _vectors(encoder: Encoder, image: Tensor, where: Sequence[tuple[slice, ...]]) -> Tensor:
    """Return the vectors (N, D) of windows."""
    return torch.cat([encoder.pool(features) for features in _features(encoder, image, where)])


def _of_scan(encoder: Encoder, loaded: LoadedCase, size: tuple[int, ...]) -> Iterator[tuple[dict[str, Any], Tensor]]:
    image, where = _windows(loaded.image, size)
    yield {}, _vectors(encoder, image, where).mean(0)


def _of_windows(encoder: Encoder, loaded: LoadedCase, size: tuple[int, ...]) -> Iterator[tuple[dict[str, Any], Tensor]]:
    image, where = _windows(loaded.image, size)
    for number, (window, vector) in enumerate(zip(where, _vectors(encoder, image, where), strict=True)):
        box: dict[str, Any] = {"window": number}
        for axis, part, scale in zip("xyz", window, loaded.scale, strict=False):
            box |= {f"{axis}0": round(part.start / scale, 1), f"{axis}1": round(part.stop / scale, 1)}
        yield box, vector


def _of_labels(encoder: Encoder, loaded: LoadedCase, size: tuple[int, ...]) -> Iterator[tuple[dict[str, Any], Tensor]]:
    assert loaded.mask is not None
    image, where = _windows(loaded.image, size)
    mask = F.pad(
        loaded.mask, [p for n, m in zip(image.shape[:0:-1], loaded.mask.shape[::-1], strict=True) for p in (0, n - m)]
    )
    # a voxel in several windows counts once
    covered = torch.zeros(mask.shape)
    for window in where:
        covered[window] += 1
    values = [int(value) for value in mask.unique() if value != 0]
    sums = dict.fromkeys(values, torch.zeros(()))
    weights = dict.fromkeys(values, 0.0)
    coarsest = (cells for features in _features(encoder, image, where) for cells in features[-1])
    for window, cells in zip(where, coarsest, strict=True):
        for value in values:
            share = _pool((mask[window] == value) / covered[window], cells.shape[1:]).to(cells)
            sums[value] = sums[value] + (cells * share).flatten(1).sum(1).cpu()
            weights[value] += float(share.sum())
    scale = float(np.prod(loaded.scale))
    for value in values:
        voxels = round(int((mask == value).sum()) / scale)
        yield {"label": value, "voxels": voxels}, sums[value] / weights[value]


def _pool(x: Tensor, cells: Sequence[int]) -> Tensor:
    pool: Callable[..., Tensor] = F.adaptive_avg_pool3d if x.ndim == 3 else F.adaptive_avg_pool2d
    return pool(x[None], list(cells))[0]


_VECTORS = {"scan": _of_scan, "window": _of_windows, "label": _of_labels}


def embed_data(run: TrainedRun, data: str | Path, work_dir: Path, **how: Any) -> FeatureTable:
    """Return the features of what is in a folder or list.

    Args:
        run: has the encoder.
        data: a store, its URL, any tree of scans, or a list of images.
        work_dir: where the store of a raw tree goes.
        **how: see :func:`embed`.
    """
    listed = list_cases(data, run.spatial_dims, work_dir)
    sources = source_names(work_dir / "store")
    root = Path(data) if Path(data).is_dir() else Path(data).parent
    table = embed(run, listed, [_name(case.image, root, sources) for case in listed.cases], **how)
    for scan in listed.thin:
        table.left_out[_name(scan, root, sources)] = f"too thin: {' x '.join(map(str, scan.shape[1:]))} voxels"
    # of a tree that was prepared here
    table.left_out.update(memory(work_dir / "store" / PRIVATE / REPORT).get("failed", []))
    return table


def _name(image: Any, root: Path, sources: Mapping[str, Sequence[str]]) -> str:
    """Return the path of an image below ``root``, or the key of a scan in a store that was there before."""
    if isinstance(image, Path):
        return str(image.relative_to(root)) if image.is_relative_to(root) else str(image)
    whole, _, part = image.key.partition("-")
    found = sources.get(f"{whole}-0" if part else whole)
    return (found[0] + (f" [{part}]" if part else "")) if found else image.key


__all__ = ["REGIONS", "FeatureTable", "embed", "embed_data"]
