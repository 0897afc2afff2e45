"""Classification of whole images: a table or a folder a class, a linear classifier on the encoder, AUC, accuracy."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, cast, final

import numpy as np
import torch
from ignite.metrics import Accuracy
from monai.handlers import ROCAUC, from_engine
from monai.metrics import compute_roc_auc
from monai.transforms import Transform
from torch import Tensor, nn

from monai_ssl.arguments import check_interval
from monai_ssl.data.cases import Case, read_list
from monai_ssl.evaluation.auc_pseudo_values import auc_pseudo_values
from monai_ssl.io.listing import images_below
from monai_ssl.networks import Encoder, EncoderClassifier
from monai_ssl.tasks.base import Metric, Scores, Task, by_patient, mean
from monai_ssl.tasks.networks import Normalize, check_sizes, normalize_inputs, with_norm
from monai_ssl.tasks.whole_image import load_whole_image, stacked

_FOLDERS = {"training": ("train", "training"), "validation": ("val", "valid", "validation"), "test": ("test",)}


@final
@dataclass(frozen=True)
class Classification(Task):
    """Tell the class of an image, or with ``multilabel`` each of several classes on its own.

    Cases come from one folder a class, perhaps below ``train``, ``val`` and ``test``, or from a data list with
    ``label``, or with ``multilabel`` one column of 0/1 for each class. ``label`` of a case is the index of its class,
    or a list of 0.0 and 1.0. An entry of a list with a number as ``copy`` is an augmented copy of its image,
    to train on.

    Args:
        classes: names, in the order of the network's outputs.
        multilabel: whether an image may have several classes or none.
        parts: pictures beside each other along the first axis of an image that belong together, such as two patches;
            see :class:`monai_ssl.networks.EncoderClassifier`. A model that was trained with several is built with them.

    Raises:
        ValueError: when ``parts`` is below 1.

    >>> task = Classification(["benign", "malignant"])
    >>> list(task.metrics), task.entry({"image": "a.png", "label": 1})
    (['auc', 'accuracy'], {'image': 'a.png', 'label': 'malignant'})
    """

    classes: Sequence[str]
    multilabel: bool = False
    parts: int = 1

    lists: ClassVar[tuple[str, ...]] = ("datalist.csv",)
    columns: ClassVar[str] = "`label` or one column for each class"
    remedy: ClassVar[str] = "a folder of images for each class, or a table as `datalist`, of at least two patients"

    def __post_init__(self) -> None:
        check_interval("[1, inf)", parts=self.parts)

    @property
    def collections(self) -> Sequence[str]:
        return self.classes

    @property
    def metrics(self) -> Mapping[str, Metric]:
        decided = partial(decisions, multilabel=self.multilabel)
        return {
            "auc": Metric("val_auc", partial(ROCAUC, output_transform=from_engine(["pred", "label"]))),
            "accuracy": Metric("val_accuracy", partial(Accuracy, decided, is_multilabel=self.multilabel)),
        }

    def sections(self, root: Path, listed: Path | None) -> Mapping[str, Sequence[Case]]:
        sections = class_folders(root) if listed is None else read_list(listed, root, ("image",), self.columns)
        return {name: [self._case(entry) for entry in entries] for name, entries in sections.items()}

    def _case(self, entry: Case) -> Case:
        case: Case = {key: entry[key] for key in ("image", "patient") if key in entry} | _copy(entry)
        if "label" in entry:
            if self.multilabel:
                raise ValueError(f"`{entry['image']}` is listed with one `label`: leave `multilabel` off.")
            if str(entry["label"]) not in self.classes:
                known = f"which is not in `classes` {list(self.classes)}"
                raise ValueError(f"`{entry['image']}` is of class {entry['label']!r}, {known}.")
            return {**case, "label": list(self.classes).index(str(entry["label"]))}
        if not self.multilabel:
            raise ValueError(f"`{entry['image']}` has no `label` but a column for each class: set `multilabel`.")
        unknown = [name for name in self.classes if name not in entry]
        if unknown:
            columns = [name for name in entry if name not in ("image", "patient", "section", "copy")]
            raise ValueError(f"The data list has no column for the class {unknown[0]!r}, only {columns}.")
        return {**case, "label": [_truth(entry, name) for name in self.classes]}

    def entry(self, case: Case) -> dict[str, Any]:
        if self.multilabel:
            return {"image": case["image"], **dict(zip(self.classes, case["label"], strict=True)), **_copy(case)}
        return {"image": case["image"], "label": self.classes[case["label"]], **_copy(case)}

    def network(
        self,
        encoder: Encoder,
        norm: Literal["batch", "group"] = "batch",
        dropout: float = 0.2,
        image_size: Sequence[int] = (),
        normalize: Normalize | None = None,
    ) -> nn.Module:
        """Return a linear layer with logits (B, classes) on the average of the coarsest map of ``encoder``.

        Args:
            encoder: with ``channels``, ``strides`` and ``spatial_dims``.
            norm: ``"group"`` (8 groups) for batches of 4 and fewer.
            dropout: probability before the linear layer.
            image_size: what the network will be trained on; checked here, before any image is read.
            normalize: see :meth:`monai_ssl.tasks.Segmentation.network`.

        Raises:
            ValueError: for another ``norm`` or ``normalize``, or an ``image_size`` that cannot be halved often enough.
        """
        if image_size and image_size[0] % self.parts:
            raise ValueError(f"{self.parts} pictures share the first side of `image_size`, got {list(image_size)}.")
        check_sizes("image_size", [*(side // self.parts for side in image_size[:1]), *image_size[1:]], encoder)
        normalize_inputs(encoder, normalize)
        return with_norm(EncoderClassifier(encoder, len(self.classes), dropout, self.parts), norm)

    def loading(
        self,
        modality: str,
        image_size: Sequence[int],
        in_channels: int = 1,
        intensity: Mapping[str, Any] | None = None,
        keys: Sequence[str] = ("image", "label"),
    ) -> list[Transform]:
        """Return the transforms of :func:`monai_ssl.tasks.whole_image.load_whole_image`."""
        label_type = torch.float32 if self.multilabel else torch.int64
        return load_whole_image(modality, image_size, in_channels, intensity, keys, label_type)

    def keep(self, sample: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        pred, label = (torch.as_tensor(sample[name]).detach().cpu() for name in ("pred", "label"))
        return pred, label

    def score(self, metric: str, kept: Sequence[Any], patients: Sequence[str], details: Tensor | None) -> Scores:
        """Return the scores: of accuracy the mean over patients, of the AUC over all images, with pseudo-values."""
        del details
        pred, label = (torch.stack(column) for column in zip(*kept, strict=True))
        if metric == "accuracy":
            right = self._right(pred, label)
            per_case = by_patient(right.tolist(), patients)
            per_class = {n: mean(right[label[:, i] == 1].tolist()) for i, n in enumerate(self.classes)}
            return Scores(mean(per_case.values()), per_case, _finite(per_class))
        per_class = {n: _auc(pred[:, i], label[:, i]) for i, n in enumerate(self.classes)}
        judged = [i for i, auc in enumerate(per_class.values()) if math.isfinite(auc)]
        pseudo_values = _pseudo_values(pred[:, judged], label[:, judged], patients)
        return Scores(mean(per_class.values()), dict.fromkeys(patients), _finite(per_class), pseudo_values)

    def table(self, metric: str, kept: Sequence[Any], details: Tensor | None) -> Mapping[str, Sequence[str]]:
        """Return what each image is, and its probability of each class."""
        del metric, details
        pred, label = (torch.stack(column) for column in zip(*kept, strict=True))
        is_a = [" ".join(n for n, one in zip(self.classes, row, strict=True) if one) for row in label.tolist()]
        shown = {n: [f"{p:.6g}" for p in pred[:, i].tolist()] for i, n in enumerate(self.classes)}
        return {"label": is_a, **shown}

    def _right(self, pred: Tensor, label: Tensor) -> Tensor:
        if self.multilabel:
            return ((pred > 0.5) == (label > 0.5)).double().mean(1)
        return (pred.argmax(1) == label.argmax(1)).double()

    def draw(self, metric: str, kept: Sequence[Any], scores: Scores, folder: Path) -> list[str]:
        """Draw nothing: what stands for a class in an image is not known."""
        return []


def decisions(output: Sequence[Mapping[str, Tensor]], multilabel: bool = False) -> tuple[Tensor, Tensor]:
    """Return decisions and truth of a decollated batch, as ``ignite.metrics.Accuracy`` wants them.

    Args:
        output: samples with probabilities ``pred`` (K,) and ``label`` (K,) of zeros and ones.
        multilabel: every class is decided on its own, at 0.5; else the most probable class wins.

    Returns:
        Both (B, K) of zeros and ones, or the probabilities (B, K) and class indices (B,).
    """
    predicted, truth = stacked(output)
    return ((predicted > 0.5).long(), truth.long()) if multilabel else (predicted, truth.argmax(1))


def _copy(entry: Case) -> Case:
    number = str(entry.get("copy") or 0)
    if not number.isdecimal():
        raise ValueError(f"`copy` of `{entry['image']}` must be a number, 0 for the image itself, got {number!r}.")
    return {"copy": int(number)} if int(number) else {}


def _truth(entry: Case, name: str) -> float:
    if entry[name] in ("0", "1", "0.0", "1.0", 0, 1):
        return float(entry[name])
    raise ValueError(f"`{name}` of `{entry['image']}` must be 0 or 1, got {entry[name]!r}.")


def class_folders(root: Path) -> dict[str, list[Case]]:
    """Return the images of one folder a class by section, where there are folders of sections; ``label`` is its name.

    Raises:
        FileNotFoundError: when there is no such folder.
    """
    places = {s: next((root / n for n in names if (root / n).is_dir()), None) for s, names in _FOLDERS.items()}
    if places["training"] is None:
        return {"training": _class_folders(root)}
    return {section: _class_folders(place) for section, place in places.items() if place is not None}


def _class_folders(root: Path) -> list[Case]:
    if not root.is_dir():
        raise FileNotFoundError(f"There is no folder `{root}`; correct `dataset_dir`.")
    folders = sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith("."))
    found = ((image, folder.name) for folder in folders for image in images_below(folder))
    return [{"image": image.path, "label": name} for image, name in found]


def _pseudo_values(pred: Tensor, label: Tensor, patients: Sequence[str]) -> dict[str, float]:
    """Return the mean over classes of what each patient contributes to their AUC."""
    found: dict[str, list[float]] = defaultdict(list)
    for scores, truth in zip(pred.T.double().numpy(), label.T.numpy(), strict=True):
        for patient, value in auc_pseudo_values(scores, truth, patients).items():
            found[patient].append(value)
    return _finite({patient: float(np.mean(values)) for patient, values in found.items()})


def _finite(values: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if math.isfinite(value)}


def _auc(pred: Tensor, label: Tensor) -> float:
    """AUC of one class against the rest; no number where the test has one side only."""
    if label.unique().numel() < 2:
        return math.nan
    return float(cast(float, compute_roc_auc(pred, label)))
