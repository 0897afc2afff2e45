"""Segmentation: structures or regions in label files, a U-Net on the encoder, Dice, IoU, mIoU, Hausdorff distance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal, final

import torch
from monai.handlers import HausdorffDistance, MeanDice, MeanIoUHandler, from_engine
from monai.transforms import (
    EnsureChannelFirstd,
    EnsureTyped,
    Orientationd,
    Spacingd,
    Transform,
)
from torch import Tensor, nn

from monai_ssl.arguments import check_choice
from monai_ssl.data.case_facts import CaseFacts
from monai_ssl.data.cases import Case, read_list
from monai_ssl.io.listing import scans_below
from monai_ssl.io.monai_reader import load_files
from monai_ssl.networks import Encoder, LinearSegmenter, SkipUNet
from monai_ssl.tasks.base import Metric, Scores, Task, by_patient, mean
from monai_ssl.tasks.finding import Finding
from monai_ssl.tasks.label_check import check_labels
from monai_ssl.tasks.label_grid import LabelGrid, SameGridd, onto_image
from monai_ssl.tasks.labels import EncodeLabelsd, Labels, class_values
from monai_ssl.tasks.networks import Normalize, check_sizes, normalize_inputs, with_norm
from monai_ssl.tasks.overlay import Slice, draw, last_of, thickest_slice
from monai_ssl.tasks.regions import Regions
from monai_ssl.tasks.segmentation_metrics import mean_recall, probability_iou
from monai_ssl.tasks.whole_image import resize_image
from monai_ssl.transfer.preprocess import ScaleIntensityByPresetd, SetChannelsd


@final
@dataclass(frozen=True)
class Segmentation(Task):
    """Find structures, each voxel one of them or background, or regions, of which a voxel may be in several.

    Args:
        labels: value in the label files by name of the structure, without background; several values are merged:
            ``{"left lung": 1, "right lung": [2, 3]}``.
        regions: values of regions that lie in each other or overlap, in place of ``labels``:
            ``{"whole tumor": [1, 2, 4], "tumor core": [1, 4], "enhancing tumor": 4}``.

    Raises:
        ValueError: when ``labels`` is empty, lists 0, or lists a value twice; for ``regions`` see :class:`Regions`.

    >>> Segmentation({"tumor": 2, "liver": [1, 3]}).classes
    ['liver', 'tumor']
    """

    labels: Labels
    regions: Labels | None = None

    lists: ClassVar[tuple[str, ...]] = ("datalist.json", "dataset.json", "datalist.csv")
    columns: ClassVar[str] = "`label`, the path of a label file"
    remedy: ClassVar[str] = "images with labels in `imagesTr` and `labelsTr`, or a `datalist` of at least two patients"

    def __post_init__(self) -> None:
        class_values(self.kinds)

    @property
    def kinds(self) -> Labels:
        """Values by the name of what a voxel is alone: a structure, or the regions that it is in."""
        return Regions(self.regions).kinds if self.regions else self.labels

    @property
    def num_kinds(self) -> int:
        """Number of kinds, with background."""
        return len(self.kinds) + 1

    @property
    def classes(self) -> list[str]:
        """Names in the order of the network's outputs: structures by their first values, the largest region first."""
        if self.regions:
            return Regions(self.regions).names
        values = {name: (value,) if isinstance(value, int) else tuple(value) for name, value in self.labels.items()}
        return sorted(values, key=lambda name: values[name])

    @property
    def metrics(self) -> Mapping[str, Metric]:
        # regions have no output of the background
        first = 0 if self.regions else 1
        both: dict[str, Any] = {"include_background": first == 0, "output_transform": from_engine(["pred", "label"])}
        return {
            "dice": Metric("val_mean_dice", partial(MeanDice, **both)),
            "iou": Metric("val_iou", partial(MeanIoUHandler, **both)),
            "miou": Metric("val_miou", partial(probability_iou, True, first)),
            "miou_plus": Metric("val_miou_plus", partial(probability_iou, False, first)),
            "recall": Metric("val_recall", mean_recall),
            "hd95": Metric("val_hd95", partial(HausdorffDistance, percentile=95.0, **both), higher_is_better=False),
        }

    def sections(self, root: Path, listed: Path | None) -> Mapping[str, Sequence[Case]]:
        if listed is not None:
            return read_list(listed, root, ("image", "label"), self.columns)
        if not root.is_dir():
            raise FileNotFoundError(f"There is no folder `{root}`; correct `dataset_dir`.")
        return {"training": _pairs(root, "imagesTr", "labelsTr"), "test": _pairs(root, "imagesTs", "labelsTs")}

    def entry(self, case: Case) -> dict[str, Any]:
        return dict(case)

    def network(
        self,
        encoder: Encoder,
        norm: Literal["batch", "group"] = "batch",
        roi_size: Sequence[int] = (),
        normalize: Normalize | None = None,
        *,
        image_size: Sequence[int] | None = None,
        skips: bool = True,
        decoder: Literal["unet", "linear"] = "unet",
    ) -> nn.Module:
        """Return a network on ``encoder`` whose output are logits of background and all structures, or of all regions.

        Args:
            encoder: with ``channels``, ``strides`` and ``spatial_dims``.
            norm: ``"group"`` (8 groups) for batches of 4 and fewer, as in PCRL.
            roi_size: what the network will be trained on; checked here, before any scan is read.
            normalize: what is done to each window in [0, 1] before the encoder, where pre-training did so:
                ``"zscore"`` (PCRLv2 in 3-D) or ``"imagenet"`` (in 2-D). The authors of PCRL fine-tune with it in 2-D,
                without it in 3-D.
            image_size: that whole images are resized to, in place of ``roi_size``.
            skips: skip connections; a decoder that was pre-trained without them fits only a network without.
            decoder: ``"linear"``: each voxel is told from the encoder's maps by one linear layer, instead of a U-Net's.

        Raises:
            ValueError: for another ``decoder``, ``norm``, ``normalize``, regions and a linear decoder, a ``roi_size``
                or ``image_size`` that cannot be halved often enough.
        """
        check_sizes("image_size" if image_size else "roi_size", image_size or roi_size, encoder)
        check_choice(("unet", "linear"), decoder=decoder)
        if self.regions and decoder == "linear":
            raise ValueError("A linear head tells one structure a voxel: give `labels` in place of `regions`.")
        normalize_inputs(encoder, normalize)
        classes = len(self.classes) if self.regions else self.num_kinds
        network = SkipUNet(encoder, classes, skips=skips) if decoder == "unet" else LinearSegmenter(encoder, classes)
        return with_norm(network, norm)

    def loading(
        self,
        modality: str,
        intensity: Mapping[str, Any] | None = None,
        spacing: Sequence[float] | None = None,
        keys: Sequence[str] = ("image", "label"),
        label_grid: LabelGrid = "refuse",
        in_channels: int | None = None,
        image_size: Sequence[int] | None = None,
    ) -> list[Transform]:
        """Return the transforms that make whole scans of files: RAS, in [0, 1], with kinds 0, 1, 2, ... as label.

        Labels keep the size that they have, whatever ``image_size``: predictions are scored there.

        Args:
            modality: chooses the intensity preset.
            intensity: a preset as the model card records it; ``None`` for that of the modality.
            spacing: in mm; ``None`` keeps that of the scan.
            keys: ``("image",)`` for inference.
            label_grid: what is done with a label that is not on the grid of its image: ``"refuse"``, ``"resample"`` to
                the nearest neighbor, or take its ``"voxels"`` for those of the image.
            in_channels: that the encoder expects; ``None`` leaves those of the image.
            image_size: voxels or pixels that every image is resized to; ``None`` keeps its own.
        """
        mode = {"image": "bilinear", "label": "nearest"}
        dtype = {"image": torch.float32, "label": torch.uint8}
        labeled = "label" in keys
        return [
            load_files(keys, dtype=None),
            EnsureChannelFirstd(keys),
            *(onto_image(label_grid) if labeled else []),
            Orientationd(keys, axcodes="RAS", labels=None),
            ScaleIntensityByPresetd("image", modality, intensity),
            *([] if in_channels is None else [SetChannelsd("image", in_channels)]),
            *([SameGridd(), EncodeLabelsd("label", self.kinds)] if labeled else []),
            *([Spacingd(keys, spacing, mode=[mode[key] for key in keys])] if spacing is not None else []),
            *([resize_image(image_size)] if image_size else []),
            EnsureTyped(keys, dtype=[dtype[key] for key in keys]),
        ]

    def check(self, cases: Sequence[Case], facts: CaseFacts, label_grid: LabelGrid = "refuse") -> list[Finding]:
        """Return what is wrong with label files: grids, values, channels; ``label_grid`` as for :meth:`loading`."""
        return check_labels(cases, facts, self.kinds, label_grid, "regions" if self.regions else "labels")

    def keep(self, sample: Mapping[str, Tensor]) -> Slice:
        image, pred, label = (torch.as_tensor(sample[name]).detach().cpu() for name in ("image", "pred", "label"))
        # of regions in each other the innermost is shown
        return thickest_slice(image, *(last_of(part, 1 if self.regions else 0) for part in (label, pred)))

    def score(self, metric: str, kept: Sequence[Any], patients: Sequence[str], details: Tensor | None) -> Scores:
        """Return the mean over patients of the mean over their scans and classes; a missing class does not count."""
        del metric, kept
        assert details is not None
        # an infinite distance, of a structure that was missed, has no mean: it is shown as missing
        table = torch.where(details.isfinite(), details, torch.nan)
        per_image = table.nanmean(1).tolist()
        per_case = by_patient(per_image, patients)
        means = table.nanmean(0)
        named = zip(self._scored(table), means, strict=True)
        per_class = {name: float(value) for name, value in named if value.isfinite()}
        return Scores(mean(per_case.values()), per_case, per_class, per_image=per_image)

    def table(self, metric: str, kept: Sequence[Any], details: Tensor | None) -> Mapping[str, Sequence[float]]:
        """Return the metric of each structure, and their mean; no number where a case has not got the structure."""
        del metric, kept
        assert details is not None
        values = torch.where(details.isfinite(), details.double(), torch.nan)
        return {**dict(zip(self._scored(values), values.T.tolist(), strict=True)), "mean": values.nanmean(1).tolist()}

    def _scored(self, table: Tensor) -> list[str]:
        """Return the names of the columns of a table of scores; recall is of the background, too."""
        return ["background", *self.classes][-table.shape[1] :]

    def draw(self, metric: str, kept: Sequence[Slice], scores: Scores, folder: Path) -> list[str]:
        """Write a slice of the best and of the worst scan: truth on the left, what was found on the right."""
        values = torch.tensor(scores.per_image)
        ranked = values.argsort(descending=self.metric(metric).higher_is_better)
        order = [int(i) for i in ranked[values[ranked].isfinite()]]
        if not order:
            return []
        for name, index in (("best", order[0]), ("worst", order[-1])):
            draw(kept[index], folder / f"{name}.png")
        return ["best.png", "worst.png"]


def _pairs(root: Path, images: str, labels: str) -> list[Case]:
    if not (root / images).is_dir() or not (root / labels).is_dir():
        return []
    label_of = {label.name: label.path for label in scans_below(root / labels)}
    cases = []
    for image in scans_below(root / images):
        # a series below the folder of its patient may have its label beside the folder's name
        names = (image.name, image.name.removesuffix("_0000"), image.folder)
        label = next((label_of[name] for name in names if name in label_of), None)
        if label is None:
            raise ValueError(
                f"`{image.path}` has no label of the same name in `{root / labels}`; add it or move the image."
            )
        cases.append({"image": image.path, "label": label})
    return cases
