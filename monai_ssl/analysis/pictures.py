"""Drawing: heat maps over images, scatter plots, bars, matrices and curves as PNG."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from statistics import median
from typing import TYPE_CHECKING, Any

from torch import Tensor

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_DPI = 110
_MARKERS = "os^Dv"
# of Okabe and Ito, told apart by color-blind readers
_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#1b1f24", "#999999")
_HEAT = 0.45
_FAR = 20
"""How far a value may be above the median before an axis becomes logarithmic."""


def heat_sheet(
    images: Tensor,
    heats: Mapping[str, Tensor],
    titles: Sequence[str],
    boxes: Mapping[str, Sequence[Tensor]] | None = None,
) -> bytes:
    """Draw each image beside its heat maps.

    Of a volume the axial slice is shown in which the first heat map is hottest, as seen from below.

    Args:
        images: (N, C, *spatial) in [0, 1].
        heats: maps (N, 1, *spatial) in [0, 1] by name, a column each.
        titles: of the rows.
        boxes: (M, 2 D) of each image by name, drawn over the images; see :func:`monai_ssl.evaluation.heat_boxes`.
    """
    columns = 1 + len(heats)
    height, width = images.shape[3] if images.ndim > 3 else 1, images.shape[2]
    figure, axes = _figure(len(images), columns, 2.1, 2.1 * height / width + 0.06)
    hottest = next(iter(heats.values()))
    for row, image in enumerate(images):
        at = _hottest_slice(hottest[row, 0])
        for column, name in enumerate(["image", *heats]):
            ax = axes[row][column]
            ax.imshow(_flat(image, at), cmap="gray", vmin=0, vmax=1, origin="lower" if image.ndim == 4 else "upper")
            if name in heats:
                ax.imshow(
                    _flat(heats[name][row], at),
                    cmap="inferno",
                    vmin=0,
                    vmax=1,
                    alpha=_HEAT,
                    origin="lower" if image.ndim == 4 else "upper",
                )
            if row == 0:
                ax.set_title(name, fontsize=8)
            if image.ndim == 4:
                ax.invert_xaxis()
            for number, found in enumerate((boxes or {}).values()):
                _draw_boxes(ax, found[row], at, _COLORS[number])
        axes[row][0].set_ylabel(titles[row], fontsize=7)
    if boxes:
        _legend(figure, list(boxes), len(boxes))
    return _png(figure)


def scatter(points: Mapping[str, Tensor], classes: Tensor | None, names: Sequence[str] = ()) -> bytes:
    """Draw points (N, 2) of each name in a panel of its own, a color and marker for each class.

    Raises:
        ValueError: when there are more classes than names.
    """
    figure, axes = _figure(1, len(points), 3.6, 3.6)
    numbers = [0] if classes is None else sorted(classes.unique().tolist())
    if classes is not None and numbers[-1] >= len(names):
        raise ValueError(f"Class {numbers[-1]} has no name, `names` has {len(names)}.")
    for ax, (title, where) in zip(axes[0], points.items(), strict=True):
        for number in numbers:
            some = where if classes is None else where[classes == number]
            color, marker = _COLORS[number % len(_COLORS)], _MARKERS[number // len(_COLORS) % len(_MARKERS)]
            ax.scatter(some[:, 0], some[:, 1], s=14, c=color, marker=marker, alpha=0.75, linewidths=0)
        ax.set_title(title, fontsize=9)
        ax.set_box_aspect(1)
    if classes is not None:
        _legend(figure, [names[number] for number in numbers], 6)
    return _png(figure)


def bars(values: Mapping[str, Mapping[str, float]], chance: Mapping[str, float] | None = None) -> bytes:
    """Draw a group of bars for each name, one bar for each network in it, and chance as a line across the group."""
    series = list(dict.fromkeys(name for group in values.values() for name in group))
    figure, axes = _figure(1, 1, 1.6 + 1.5 * len(values), 3.0)
    ax, width = axes[0][0], 0.8 / len(series)
    for number, name in enumerate(series):
        heights = [group.get(name, float("nan")) for group in values.values()]
        at = [i + (number - (len(series) - 1) / 2) * width for i in range(len(values))]
        ax.bar(at, heights, width * 0.92, color=_COLORS[number % len(_COLORS)])
    for i, name in enumerate(values):
        if chance and name in chance:
            ax.hlines(chance[name], i - 0.45, i + 0.45, colors="#1b1f24", linestyles="dashed", linewidth=1)
    ax.set(xticks=range(len(values)), xticklabels=list(values))
    ax.tick_params(labelsize=8)
    _open(ax)
    _legend(figure, series, len(series))
    return _png(figure)


def matrix(values: Sequence[Sequence[float]], rows: Sequence[str], columns: Sequence[str], title: str) -> bytes:
    """Draw a matrix of values from 0 to 1, each written in its cell."""
    figure, axes = _figure(1, 1, 1.6 + 0.62 * len(columns), 1.2 + 0.5 * len(rows))
    ax = axes[0][0]
    ax.imshow(values, cmap="viridis", vmin=0, vmax=1, aspect="auto")
    for i, line in enumerate(values):
        for j, value in enumerate(line):
            ax.text(j, i, f"{value:.2f}", ha="center", va="center", fontsize=8, color="w" if value < 0.6 else "k")
    ax.set(xticks=range(len(columns)), xticklabels=columns, yticks=range(len(rows)), yticklabels=rows)
    ax.tick_params(labelsize=8)
    ax.set_title(title, fontsize=9)
    return _png(figure)


def curves(panels: Mapping[str, Mapping[str, Sequence[tuple[float, float]]]], x_label: str) -> bytes:
    """Draw panels of lines, three in a row; a line is (x, y) by its name."""
    columns = min(3, len(panels))
    rows = -(-len(panels) // columns)
    figure, axes = _figure(rows, columns, 3.4, 2.5)
    cells = [ax for line in axes for ax in line]
    for ax, (title, lines) in zip(cells[: len(panels)], panels.items(), strict=True):
        for number, (name, points) in enumerate(lines.items()):
            xs, ys = zip(*points, strict=True)
            marker = "o" if len(points) == 1 else None
            ax.plot(xs, ys, color=_COLORS[number % len(_COLORS)], linewidth=1.4, label=name, marker=marker)
        ax.set_title(title, fontsize=9)
        ax.tick_params(labelsize=7)
        ax.set_xlabel(x_label, fontsize=7)
        _open(ax)
        values = [y for points in lines.values() for _, y in points]
        if min(values) > 0 and max(values) > _FAR * median(values):
            ax.set_yscale("log")
        if len(lines) > 1:
            ax.legend(fontsize=7, frameon=False)
    for ax in cells[len(panels) :]:
        ax.set_axis_off()
    return _png(figure)


def _flat(image: Tensor, at: int) -> Any:
    """Return (rows, columns) or, in color, (rows, columns, 3) of (C, *spatial)."""
    part = image if image.ndim == 3 else image[..., at]
    return (part.movedim(0, -1).transpose(0, 1) if len(part) == 3 else part[0].T).numpy(force=True)


def _hottest_slice(heat: Tensor) -> int:
    if heat.ndim == 2:
        return 0
    weight = heat.flatten(0, 1).sum(0)
    return int(weight.argmax()) if float(weight.max()) > 0 else heat.shape[-1] // 2


def _draw_boxes(ax: Axes, boxes: Tensor, at: int, color: str) -> None:
    from matplotlib.patches import Rectangle

    for box in boxes.tolist():
        dims = len(box) // 2
        if dims == 3 and not box[2] <= at < box[5]:
            continue
        corner, size = (box[0] - 0.5, box[1] - 0.5), (box[dims] - box[0], box[dims + 1] - box[1])
        ax.add_patch(Rectangle(corner, *size, fill=False, edgecolor=color, linewidth=1.4))


def _figure(rows: int, columns: int, width: float, height: float) -> tuple[Figure, list[list[Axes]]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width * columns + 0.3, height * rows + 0.3), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(rows, columns, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
    return figure, axes.tolist()


def _open(ax: Axes) -> None:
    from matplotlib.ticker import AutoLocator, MaxNLocator

    ax.yaxis.set_major_locator(AutoLocator())
    if not ax.get_xticks().size:
        ax.xaxis.set_major_locator(MaxNLocator("auto", integer=True))
    ax.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure, names: Sequence[str], columns: int) -> None:
    from matplotlib.lines import Line2D

    dots = [Line2D([], [], marker="o", linestyle="", color=_COLORS[i % len(_COLORS)]) for i in range(len(names))]
    figure.legend(dots, names, loc="outside upper center", ncols=columns, fontsize=8, frameon=False)


def _png(figure: Figure) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=_DPI, metadata={"Software": None})
    return file.getvalue()


__all__ = ["bars", "curves", "heat_sheet", "matrix", "scatter"]
