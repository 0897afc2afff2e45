"""Image panels for MLflow: input, target and restoration of a batch as PNG."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import ignite.distributed as idist
import torch
from ignite.engine import Events
from torch import Tensor

from monai_ssl.files import atomic
from monai_ssl.handlers.first_batch import first_batch
from monai_ssl.handlers.guard import Guard
from monai_ssl.handlers.preserving_state import preserving_state
from monai_ssl.handlers.tracking import Tracking

if TYPE_CHECKING:
    from monai_ssl.engines import SSLTrainer

_PLANES = {3: ("axial", "coronal", "sagittal"), 2: ("",)}
_INCHES = 2.2

PICTURES = "pictures"
"""Folder of the sheets in that of a run."""


class Pictures:
    """Write a sheet of the method's panels to ``<output_dir>/pictures/epoch_0001.png`` every few epochs.

    The panels (input, target, restorations) are those of the first samples of the first batch of the run, so that
    sheets of different epochs compare, also after a continuation. Columns are panels, rows the middle slices of each
    sample: axial, coronal and sagittal in 3-D. The panels of a sample share the gray scale of its target (or first
    panel), but for those in other units. The files hold no metadata. A sheet of the last epoch that is missing when a
    run ends, or is continued, is made up for. What fails here is said once and does not end the run. Active on rank 0;
    of a method that processes share all of them make the panels.

    Args:
        output_dir: folder of the training run.
        every: epochs between two sheets; the first and the last epoch always have one.
        samples: how many samples to show.
        tracking: where to record the sheets too.

    Raises:
        ValueError: when ``every`` or ``samples`` is below 1.
    """

    def __init__(
        self, output_dir: str | Path, every: int = 10, *, samples: int = 2, tracking: Tracking | None = None
    ) -> None:
        if every < 1 or samples < 1:
            raise ValueError(f"`every` and `samples` of `Pictures` must be at least 1, got {every} and {samples}.")
        self.folder = Path(output_dir) / PICTURES
        self.every = every
        self.samples = samples
        self.tracking = tracking
        self._batch: dict[str, Any] | None = None
        self._guard = Guard("Pictures")

    def attach(self, engine: SSLTrainer) -> None:
        """Keep the first batch of ``engine.state.views`` and draw at the end of epochs."""
        if not engine.takes_part:
            return
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._keep)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._draw_in_turn)
        engine.add_event_handler(Events.COMPLETED, self._draw_missing)

    def _keep(self, engine: SSLTrainer) -> None:
        if self._batch is None and engine.state.iteration == 1:
            self._batch = first_samples(engine.state.views, self.samples)

    def _draw_in_turn(self, engine: SSLTrainer) -> None:
        state: Any = engine.state
        if state.epoch % self.every == 0 or state.epoch in (1, state.max_epochs):
            self._guard(engine, lambda: self._draw(engine))

    def _draw_missing(self, engine: SSLTrainer) -> None:
        if engine.state.epoch and not engine.first_decides(self._path(engine).is_file()):
            self._guard(engine, lambda: self._draw(engine))

    def _path(self, engine: SSLTrainer) -> Path:
        return self.folder / f"epoch_{engine.state.epoch:04d}.png"

    def _draw(self, engine: SSLTrainer) -> None:
        with preserving_state(engine) as method:
            if self._batch is None:
                # of a run that was continued
                self._batch = first_samples(first_batch(engine), self.samples)
            panels = method.panels(engine.to_device(self._batch))
        if idist.get_rank() != 0:
            return
        path = self._path(engine)
        write_sheet(panels, path, self.samples)
        if self.tracking is not None:
            self.tracking.log_artifact(path, "pictures")


def first_samples(batch: Mapping[str, Any], count: int) -> dict[str, Any]:
    """Return the tensors of the first samples, on the CPU; several rows a sample stay together."""
    tensors = {k: v for k, v in batch.items() if isinstance(v, Tensor) and v.ndim > 0}
    # names of scans count too: all images of a batch may be several a sample
    size = min(len(v) for v in batch.values() if isinstance(v, list) or (isinstance(v, Tensor) and v.ndim))
    count = min(count, size)
    return {k: v[: count * (len(v) // size)].detach().cpu().clone() for k, v in tensors.items()}


def write_sheet(panels: Mapping[str, Tensor], path: Path, samples: int) -> None:
    """Draw panels (B, C, *spatial), by name, as a sheet of their middle slices.

    The first channel is shown. Arrays are (X, Y) with Y downwards, or (X, Y, Z) in RAS with anterior or superior up.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    images = {name: x[:, 0].detach().float().cpu() for name, x in panels.items()}
    first = next(iter(images.values()))
    planes = _PLANES[first.ndim - 1]
    count = min(samples, min(len(x) for x in images.values()))
    rows = count * len(planes)
    heights = [middle_slice(first[0], plane).shape[0] / middle_slice(first[0], plane).shape[1] for plane in planes]
    size = (_INCHES * len(images) + 0.4, _INCHES * sum(heights) * count + 0.3)
    figure = Figure(figsize=size, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, len(images), squeeze=False, height_ratios=heights * count)
    for i in range(count):
        shared = _gray_scale(_sample(images.get("target", first), i, count))
        scales = {name: _own_if_foreign(shared, _sample(stack, i, count)) for name, stack in images.items()}
        for row, plane in enumerate(planes, start=i * len(planes)):
            for column, (name, stack) in enumerate(images.items()):
                ax = axes[row, column]
                section = middle_slice(_sample(stack, i, count), plane)
                ax.imshow(
                    section.numpy(),
                    cmap="gray",
                    vmin=scales[name][0],
                    vmax=scales[name][1],
                    origin="lower" if plane else "upper",
                )
                ax.set(xticks=[], yticks=[])
                if row == 0:
                    ax.set_title(name, fontsize=8)
                if column == 0:
                    ax.set_ylabel(f"{i + 1} {plane}".strip(), fontsize=8)
    with atomic(path) as file:
        figure.savefig(file, dpi=110, format="png", metadata={"Software": None})


def middle_slice(x: Tensor, plane: str) -> Tensor:
    """Return the middle slice (rows, columns) of (X, Y, Z), or (X, Y) itself, as it is drawn."""
    if not plane:
        return x.T
    axis = {"axial": 2, "coronal": 1, "sagittal": 0}[plane]
    return x.select(axis, x.shape[axis] // 2).T


def _sample(stack: Tensor, i: int, count: int) -> Tensor:
    # a panel may have several rows a sample
    return stack[i * (len(stack) // count)]


def _own_if_foreign(shared: tuple[float, float], x: Tensor) -> tuple[float, float]:
    """A panel in other units, such as an input that was normalized, gets its own gray scale."""
    low, high = (
        float(q) for q in torch.quantile(x.flatten()[:: max(1, x.numel() // 100_000)], torch.tensor([0.01, 0.99]))
    )
    width = shared[1] - shared[0]
    fits = low >= shared[0] - 0.5 * width and high <= shared[1] + 0.5 * width
    return shared if fits else (low, max(high, low + 1e-6))


def _gray_scale(x: Tensor) -> tuple[float, float]:
    low, high = torch.aminmax(x)
    return float(low), max(float(high), float(low) + 1e-6)


__all__ = ["Pictures", "first_samples", "middle_slice", "write_sheet"]
