"""Contact sheet of ``preview``: input, views and targets as PNG. It names no scan."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Picture = NDArray[np.float32]
"""Gray (rows, columns) or color (rows, columns, 3) in [0, 1]."""

PLANES = {"axial": 2, "coronal": 1, "sagittal": 0}
"""The array axis that each plane of a volume in RAS lies across."""


class Column(NamedTuple):
    """One column of the sheet: its title and a picture for each sample."""

    title: str
    pictures: list[Picture]


def draw_sheet(batch: Mapping[str, Any], out: Path) -> None:
    """Write a PNG with a row for each sample and a column for each image of the batch.

    Volumes are shown by their middle axial slice, as seen from below, the first also in the other planes; several
    images of one sample stand together in one picture.

    Args:
        batch: images (B, C, *spatial), or (B * L, C, *spatial) for L images of each sample; labels (B,) are written
            at the row of their sample.
        out: the file.

    Raises:
        ValueError: when the batch holds no image.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    columns = columns_of(batch)
    names = row_names(batch, len(columns[0].pictures))
    figure = Figure(figsize=(2.1 * len(columns) + 0.6, 2.1 * len(names) + 0.5), layout="constrained")
    for position, axes in enumerate(figure.subplots(len(names), len(columns), squeeze=False).flat):
        row, column = divmod(position, len(columns))
        axes.imshow(columns[column].pictures[row], cmap="gray", vmin=0, vmax=1, interpolation="nearest")
        axes.set(xticks=[], yticks=[], anchor="N")
        axes.spines[:].set_visible(False)
        if row == 0:
            axes.set_title(columns[column].title, fontsize=8)
        if column == 0:
            axes.set_ylabel(names[row], fontsize=8)
    FigureCanvasAgg(figure).print_png(str(out), metadata={"Software": None})


def columns_of(batch: Mapping[str, Any]) -> list[Column]:
    """Return the columns of the sheet for a batch.

    Raises:
        ValueError: when the batch holds no image.
    """
    images = images_of(batch)
    if not images:
        raise ValueError(f"The views of this bundle made no image to look at, only {', '.join(batch)}.")
    # names of scans count too: all images of a batch may be several a sample
    samples = min(len(x) for x in batch.values() if isinstance(x, list) or (isinstance(x, Tensor) and x.ndim))
    columns = []
    for number, (key, x) in enumerate(images.items()):
        low, high = gray_window(x)
        shown = ((x - low) / (high - low)).clamp(0, 1)
        planes = [""] if x.ndim == 4 else list(PLANES) if number == 0 else ["axial"]
        for plane in planes:
            sliced = [picture(image, plane) for image in shown]
            each = len(sliced) // samples
            pictures = [mosaic(sliced[i * each : (i + 1) * each]) for i in range(samples)]
            columns.append(Column(f"{key} {plane}\n{low:.2g} to {high:.2g}", pictures))
    return columns


def images_of(batch: Mapping[str, Any]) -> dict[str, Tensor]:
    """Return what of a batch can be looked at, (B, C, *spatial) in float32, each target beside its view.

    Keys with the same last digit belong together; those without one come last.
    """
    images = {k: v.float() for k, v in batch.items() if isinstance(v, Tensor) and v.ndim in (4, 5)}
    numbered = sorted((k for k in images if k[-1].isdigit()), key=lambda k: k[-1])
    return {k: images[k] for k in [*numbered, *(k for k in images if k not in numbered)]}


def gray_window(x: Tensor) -> tuple[float, float]:
    """Return what is shown black and white: 0 and 1 for intensities, else the first and last percent of all values."""
    if x.min() >= -1e-3 and x.max() <= 1 + 1e-3:
        return 0.0, 1.0
    low, high = np.percentile(x.numpy(force=True), [1, 99]).tolist()
    return low, max(high, low + 1e-6)


def picture(image: Tensor, plane: str) -> Picture:
    """Return an image (C, *spatial) or its middle slice, three channels in color, else the first in gray.

    A volume in RAS is turned so that anterior or superior is up and the patient's right is on the left; the axes of
    a 2-D image are column and row.
    """
    if plane:
        axis = PLANES[plane] + 1
        image = image.select(axis, image.shape[axis] // 2).flip(1, 2)
    flat = image.mT.movedim(0, -1) if len(image) == 3 else image[0].T
    return flat.numpy(force=True)


def mosaic(pictures: list[Picture]) -> Picture:
    """Return equally large pictures side by side in a near square, with white gaps."""
    if len(pictures) == 1:
        return pictures[0]
    across = int(np.ceil(np.sqrt(len(pictures))))
    height, width = pictures[0].shape[:2]
    down = -(-len(pictures) // across)
    gap = max(1, width // 16)
    sheet = np.ones((down * (height + gap) - gap, across * (width + gap) - gap, *pictures[0].shape[2:]), np.float32)
    for i, one in enumerate(pictures):
        top, left = i // across * (height + gap), i % across * (width + gap)
        sheet[top : top + height, left : left + width] = one
    return sheet


def row_names(batch: Mapping[str, Any], samples: int) -> list[str]:
    """Return the number of each sample and, where the batch holds labels, these.

    Several yes-or-no answers for each sample, (B, L, T) or (B * L,), are written as digits, those of T together.
    """
    labels: dict[str, list[str]] = {}
    for key, v in batch.items():
        if isinstance(v, Tensor) and v.shape == (samples,):
            labels[key] = [f"{value:.3g}" for value in v.tolist()]
        elif isinstance(v, Tensor) and v.dtype == torch.bool and 0 < v.ndim < 4 and len(v) % samples == 0:
            answers = v.reshape(samples, -1, v.shape[-1] if v.ndim == 3 else 1).int().tolist()
            labels[key] = [" ".join("".join(map(str, bits)) for bits in sample) for sample in answers]
    return ["\n".join([f"sample {i + 1}", *(f"{key} {v[i]}" for key, v in labels.items())]) for i in range(samples)]
