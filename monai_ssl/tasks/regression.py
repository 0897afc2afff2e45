"""Regression of a number from a whole image, such as brain age or ejection fraction: MAE, RMSE, R2, a row a case."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, NamedTuple, cast, final

import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.metrics import EpochMetric, MeanAbsoluteError, RootMeanSquaredError
from monai.transforms import Transform
from numpy.typing import NDArray
from torch import Tensor, nn

from monai_ssl.data.cases import Case, read_list
from monai_ssl.files import atomic, csv_text
from monai_ssl.networks import Encoder
from monai_ssl.tasks.base import Metric, Scores, Task, by_patient, mean
from monai_ssl.tasks.networks import Normalize, check_sizes, normalize_inputs, with_norm
from monai_ssl.tasks.whole_image import load_whole_image, stacked

Floats = NDArray[np.float64]


class Predicted(NamedTuple):
    """The number of an image, as listed and as found."""

    value: float
    prediction: float


@final
@dataclass(frozen=True)
class Regression(Task):
    """Tell a number of an image, in its own unit.

    Cases come from a data list, CSV or JSON, that has the number beside the image. Patients that are held out for
    validation or test are spread over its quantiles. ``label`` of a case is a list of the one number.

    Args:
        target: the column of the number, such as ``"age"``.

    >>> task = Regression("age")
    >>> {name: metric.higher_is_better for name, metric in task.metrics.items()}
    {'mae': False, 'rmse': False, 'r2': True}
    """

    target: str = "value"

    lists: ClassVar[tuple[str, ...]] = ("datalist.csv", "datalist.json")
    columns: ClassVar[str] = "one with the number, `value` unless `target` names another"
    remedy: ClassVar[str] = "a `datalist` with `image` and a number, of at least two patients"

    @property
    def metrics(self) -> Mapping[str, Metric]:
        return {
            "mae": Metric("val_mae", partial(MeanAbsoluteError, stacked), higher_is_better=False),
            "rmse": Metric("val_rmse", partial(RootMeanSquaredError, stacked), higher_is_better=False),
            "r2": Metric("val_r2", partial(EpochMetric, _r_squared, stacked, check_compute_fn=False)),
        }

    def sections(self, root: Path, listed: Path | None) -> Mapping[str, Sequence[Case]]:
        if listed is None:
            raise FileNotFoundError(f"There is no `{'` or `'.join(self.lists)}` in `{root}`: give {self.remedy}.")
        sections = read_list(listed, root, ("image",), self.columns)
        return {name: [self._case(entry) for entry in entries] for name, entries in sections.items()}

    def _case(self, entry: Case) -> Case:
        if self.target not in entry:
            columns = [name for name in entry if name not in ("image", "patient")]
            raise ValueError(f"The data list has no `{self.target}`, only {columns}: set `target` to one of them.")
        try:
            value = float(entry[self.target])
        except (TypeError, ValueError):
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"`{self.target}` of `{entry['image']}` must be a number, got {entry[self.target]!r}.")
        return {**{key: entry[key] for key in ("image", "patient") if key in entry}, "label": [value]}

    @property
    def spread(self) -> Callable[[Case], float]:
        return _number

    def entry(self, case: Case) -> dict[str, Any]:
        return {"image": case["image"], self.target: _number(case)}

    def network(
        self,
        encoder: Encoder,
        norm: Literal["batch", "group"] = "batch",
        dropout: float = 0.2,
        image_size: Sequence[int] = (),
        normalize: Normalize | None = None,
    ) -> Regressor:
        """Return a linear layer on the average of the coarsest map of ``encoder``, with numbers (B, 1) in their unit.

        Args:
            encoder: with ``channels``, ``strides`` and ``spatial_dims``.
            norm: ``"group"`` (8 groups) for batches of 4 and fewer.
            dropout: probability before the linear layer.
            image_size: what the network will be trained on; checked here, before any image is read.
            normalize: see :meth:`monai_ssl.tasks.Segmentation.network`.

        Raises:
            ValueError: for another ``norm`` or ``normalize``, or an ``image_size`` that cannot be halved often enough.
        """
        check_sizes("image_size", image_size, encoder)
        normalize_inputs(encoder, normalize)
        network = Regressor(encoder, dropout)
        with_norm(network, norm)
        return network

    def loading(
        self,
        modality: str,
        image_size: Sequence[int],
        in_channels: int = 1,
        intensity: Mapping[str, Any] | None = None,
        keys: Sequence[str] = ("image", "label"),
    ) -> list[Transform]:
        """Return the transforms of :func:`monai_ssl.tasks.whole_image.load_whole_image`."""
        return load_whole_image(modality, image_size, in_channels, intensity, keys, torch.float32)

    def keep(self, sample: Mapping[str, Tensor]) -> Predicted:
        return Predicted(float(sample["label"]), float(sample["pred"]))

    def score(self, metric: str, kept: Sequence[Any], patients: Sequence[str], details: Tensor | None) -> Scores:
        """Return the mean over patients of the absolute error, or RMSE or R2 over all images, with pseudo-values."""
        del details
        value, found = np.array(kept, dtype=np.float64).T
        if metric == "mae":
            errors = np.abs(found - value).tolist()
            per_case = by_patient(errors, patients)
            return Scores(mean(per_case.values()), per_case)
        statistic = rmse if metric == "rmse" else r_squared
        pseudo_values = _jackknife(statistic, value, found, patients)
        return Scores(statistic(value, found), dict.fromkeys(patients), pseudo_values=pseudo_values)

    def table(self, metric: str, kept: Sequence[Predicted], details: Tensor | None) -> Mapping[str, Sequence[str]]:
        """Return the number of each image as listed and as predicted."""
        del metric, details
        return {name: [f"{getattr(one, name):.7g}" for one in kept] for name in Predicted._fields}

    def draw(self, metric: str, kept: Sequence[Predicted], scores: Scores, folder: Path) -> list[str]:
        """Write one picture: what was predicted over what is true, and the line where they agree."""
        from matplotlib.figure import Figure

        value, found = np.array(kept, dtype=np.float64).T
        figure = Figure(figsize=(4, 4), layout="constrained")
        axes = figure.add_subplot(xlabel=self.target, ylabel="predicted", title=f"{metric} {scores.score:.3g}")
        ends = [min(*value, *found), max(*value, *found)]
        axes.plot(ends, ends, color="0.6", linewidth=1)
        axes.scatter(value, found, s=12)
        with atomic(folder / "predictions.png") as file:
            figure.savefig(file, format="png", dpi=100)
        return ["predictions.png"]


class Regressor(nn.Module):
    """Encoder, global average, dropout, one linear layer, and the scale of the training targets.

    The linear layer works on standardized numbers. Mean and standard deviation of the training set are buffers, so
    that they are saved with the weights and what comes out is in the unit of the target wherever they are loaded.

    Args:
        encoder: with ``channels`` and ``spatial_dims``; its last map is used.
        dropout: probability before the linear layer.

    Shapes:
        (B, C, *spatial) -> (B, 1), float32.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, encoder: Encoder, dropout: float = 0.2) -> None:
        super().__init__()
        self.encoder = encoder
        self.spatial_dims = encoder.spatial_dims
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(encoder.width, 1)
        self.register_buffer("mean", torch.zeros(1))
        self.register_buffer("std", torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        standardized = self.head(self.dropout(self.encoder.pooled(x)))
        # in half precision large numbers lose their last digits or overflow
        return standardized.float() * self.std + self.mean

    def set_scale(self, cases: Sequence[Case]) -> None:
        """Take over mean and standard deviation of the training cases; where all are alike, the latter is 1."""
        values = np.array([_number(case) for case in cases], dtype=np.float64)
        self.mean.fill_(float(values.mean()))
        self.std.fill_(float(values.std()) or 1.0)


class StandardizedLoss:
    """A loss in units of the standard deviation of the training targets, so that learning rates suit any target.

    Args:
        network: whose ``std`` it is.
        loss: of prediction and target, both (B, 1), that depends on their difference: MSE, smooth L1, L1.

    >>> from monai_ssl.transfer import paper_encoder
    >>> network = Regressor(paper_encoder(2, 1, width=4))
    >>> network.set_scale([{"label": [50.0]}, {"label": [70.0]}])
    >>> StandardizedLoss(network, nn.MSELoss())(torch.tensor([[60.0]]), torch.tensor([[80.0]]))
    tensor(4.)
    """

    def __init__(self, network: Regressor, loss: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.network, self.loss = network, loss

    def __call__(self, pred: Tensor, target: Tensor) -> Tensor:
        return self.loss(pred / self.network.std, target / self.network.std)


class SavePredictions:
    """Ignite handler of inference that writes ``predictions.csv`` with a row an image: its file and the prediction.

    Args:
        output_dir: gets the file.

    >>> from tempfile import TemporaryDirectory
    >>> from monai.data import MetaTensor
    >>> image = MetaTensor(torch.zeros(1, 8, 8), meta={"filename_or_obj": "a.png"})
    >>> engine = Engine(lambda engine, batch: [{"image": image, "pred": torch.tensor([61.5])}])
    >>> with TemporaryDirectory() as folder:
    ...     SavePredictions(folder).attach(engine)
    ...     _ = engine.run([0])
    ...     print((Path(folder) / "predictions.csv").read_text().split())
    ['image,prediction', 'a.png,61.5']
    """

    def __init__(self, output_dir: str | Path) -> None:
        self.path = Path(output_dir) / "predictions.csv"
        self.rows: list[tuple[str, str]] = []

    def attach(self, engine: Engine) -> None:
        engine.add_event_handler(Events.STARTED, lambda _: self.rows.clear())
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._remember)
        engine.add_event_handler(Events.COMPLETED, self._write)

    def _remember(self, engine: Engine) -> None:
        samples = cast(list[Mapping[str, Any]], engine.state.output)
        self.rows += [(str(s["image"].meta["filename_or_obj"]), f"{float(s['pred']):.7g}") for s in samples]

    def _write(self, _: Engine) -> None:
        with atomic(self.path) as file:
            file.write(csv_text([("image", "prediction"), *self.rows]).encode())


def _number(case: Case) -> float:
    return float(case["label"][0])


def rmse(value: Floats, found: Floats) -> float:
    """Return the root of the mean squared error.

    >>> rmse(np.array([1.0, 2.0]), np.array([1.0, 4.0]))
    1.4142135623730951
    """
    return float(np.sqrt(np.mean((found - value) ** 2)))


def r_squared(value: Floats, found: Floats) -> float:
    """Return the coefficient of determination: 1 at best, 0 for always saying the mean; no number for one value.

    >>> r_squared(np.array([1.0, 2.0, 3.0]), np.array([2.0, 2.0, 2.0]))
    0.0
    """
    total = float(((value - value.mean()) ** 2).sum()) if len(value) else 0.0
    return 1 - float(((found - value) ** 2).sum()) / total if total > 0 else math.nan


def _r_squared(pred: Tensor, label: Tensor) -> float:
    # Ignite's own R2Score divides by zero where there is one case only
    return r_squared(label.double().cpu().numpy(), pred.double().cpu().numpy())


def _jackknife(
    statistic: Callable[[Floats, Floats], float], value: Floats, found: Floats, patients: Sequence[str]
) -> dict[str, float]:
    """Return Tukey's pseudo-value of each patient; none where the statistic is not defined without one of them."""
    names, of = sorted(set(patients)), np.array(patients, dtype=object)
    if len(names) < 2:
        return {}
    whole = statistic(value, found)
    without = [statistic(value[of != name], found[of != name]) for name in names]
    values = {n: len(names) * whole - (len(names) - 1) * w for n, w in zip(names, without, strict=True)}
    return values if all(map(math.isfinite, values.values())) else {}
