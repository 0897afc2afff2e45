"""Enhanced multi-frame CT, MR and PET: geometry and rescaling stand in functional groups, one set a frame."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ssl.io.dicom.headers import numbers
from monai_ssl.io.dicom.pixels import Rescaling, pixel_reader, rescaling
from monai_ssl.io.dicom.series import Frame, geometry
from monai_ssl.io.volume import ReadError, reading

if TYPE_CHECKING:
    from pydicom import Dataset


def enhanced_stacks(path: Path, four_d: str) -> list[list[Frame]]:
    """Return the frames of each volume in the file.

    Raises:
        ReadError: when there are several volumes and ``four_d`` is ``"refuse"``, or geometry is missing.
    """
    from pydicom import dcmread

    with reading(path, "the file cannot be opened", "copy the file again or leave it out"):
        dataset = dcmread(path, force=True)
    read = pixel_reader(dataset, path)
    volumes: dict[tuple[str, ...], list[Frame]] = defaultdict(list)
    groups = dataset.get("PerFrameFunctionalGroupsSequence") or []
    if not groups:
        raise ReadError(f"{path}: the frames have no position in space (no functional groups); export the scan again.")
    for index, group in enumerate(groups):
        frame = _Groups(path, group, (dataset.get("SharedFunctionalGroupsSequence") or [None])[0])
        scaling = rescaling(dataset, path, *frame.rescaling())
        volumes[frame.volume()].append(frame.build(dataset, scaling, _reader(read, scaling, index)))
    if len(volumes) > 1 and four_d == "refuse":
        raise ReadError(
            f"{path}: the file holds {len(volumes)} volumes (echoes, times or stacks); read each on its own with "
            "`--four-d split`."
        )
    return [volumes[key] for key in sorted(volumes)]


def _reader(read: Any, scaling: Rescaling, index: int) -> Any:
    return lambda: scaling(read(index))


class _Groups:
    """The functional groups of one frame, falling back on those shared by all."""

    def __init__(self, path: Path, own: Dataset, shared: Dataset | None) -> None:
        self.path, self.levels = path, (own, shared)

    def item(self, sequence: str) -> Dataset | None:
        """Return the only item of a group, ``None`` if there is no such group."""
        found = (level.get(sequence) for level in self.levels if level is not None)
        return next((items[0] for items in found if items), None)

    def numbers(self, sequence: str, tag: str) -> tuple[float, ...]:
        item = self.item(sequence)
        return () if item is None else numbers(item, tag, self.path)

    def rescaling(self) -> tuple[float | None, float | None]:
        slope, intercept = (
            next(iter(self.numbers("PixelValueTransformationSequence", tag)), None)
            for tag in ("RescaleSlope", "RescaleIntercept")
        )
        return slope, intercept

    def volume(self) -> tuple[str, ...]:
        """What the frames of one volume share; frames of one position differ in it."""
        content, kind = self.item("FrameContentSequence"), self.item("MRImageFrameTypeSequence")
        tags = (
            [None if content is None else content.get(tag) for tag in ("StackID", "TemporalPositionIndex")]
            + [self.numbers("PlaneOrientationSequence", "ImageOrientationPatient")]
            + [self.numbers("MREchoSequence", "EffectiveEchoTime")]
            + [self.numbers("MRDiffusionSequence", "DiffusionBValue")]
            + [None if kind is None else kind.get("FrameType")]
        )
        return tuple(str(tag) for tag in tags)

    def build(self, dataset: Dataset, scaling: Rescaling, pixels: Any) -> Frame:
        position, axes, spacing = geometry(
            self.numbers("PlanePositionSequence", "ImagePositionPatient"),
            self.numbers("PlaneOrientationSequence", "ImageOrientationPatient"),
            self.numbers("PixelMeasuresSequence", "PixelSpacing"),
            self.path,
        )
        return Frame(
            position=position,
            axes=axes,
            spacing=spacing,
            thickness=next(iter(self.numbers("PixelMeasuresSequence", "SliceThickness")), 0.0),
            shape=(int(dataset.Rows), int(dataset.Columns)),
            dtype=scaling.dtype,
            pixels=pixels,
        )
