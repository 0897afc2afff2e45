"""What the header of a slice says: where it lies, and what tells it from other slices of its place."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ssl.io.dicom.headers import Header, number_of, numbers

DIMENSIONS: tuple[str | int, ...] = (
    # the kind of image: magnitude or phase, water or fat
    "ImageType",
    "FrameType",
    "ComplexImageComponent",
    0x0043102F,  # GE
    0x20051011,  # Philips
    "EchoNumbers",
    "EchoTime",
    "EffectiveEchoTime",
    "StackID",
    # time
    "TemporalPositionIdentifier",
    "TemporalPositionIndex",
    0x200510A0,  # Philips: when the volume began
    # diffusion: b-value and direction
    "DiffusionBValue",
    "DiffusionDirectionality",
    "DiffusionGradientOrientation",
    *(0x0019100C, 0x0019100E, 0x00191027),  # Siemens
    *(0x00431039, 0x001910BB, 0x001910BC, 0x001910BD),  # GE
    *(0x20011003, 0x20011004, 0x20051412, 0x20051413, 0x200510B0, 0x200510B1, 0x200510B2),  # Philips
    *(0x00651009, 0x00651037),  # United Imaging
    # perfusion, phases of the heart and of breathing, PET
    "ASLContext",
    0x20051429,  # Philips: label or control
    0x004310A4,  # GE: technique
    0x20011008,  # Philips: phase
    "TriggerTime",
    "NominalCardiacTriggerDelayTime",
    "NominalPercentageOfCardiacPhase",
    "NominalRespiratoryTriggerDelayTime",
    "FrameReferenceTime",
    # the rest of the protocol
    "InversionTime",
    "InversionTimes",
    "FlipAngle",
    "SequenceName",
    "KVP",
    "ConvolutionKernel",
    "SliceThickness",
    "SeriesNumber",
    "SeriesDescription",
    "AcquisitionNumber",
    "FrameAcquisitionNumber",
)
"""Public and private tags of which each volume of a series has values of its own."""

ALIKE: tuple[str | int, ...] = (
    *("ComplexImageComponent", "EchoNumbers", "EchoTime", "EffectiveEchoTime", "StackID"),
    *("TemporalPositionIdentifier", "TemporalPositionIndex", "DiffusionBValue"),
    *("KVP", "ConvolutionKernel"),
)
"""Those of which all slices of a volume have one value; of others, as times and acquisitions, they may have many."""

MOMENTS = (
    ("AcquisitionDateTime",),
    ("AcquisitionDate", "AcquisitionTime"),
    ("ContentDate", "ContentTime"),
    ("FrameAcquisitionDateTime",),
    ("FrameReferenceDateTime",),
)
"""Times of day, which may differ from slice to slice of one volume."""

NEEDED: tuple[str | int, ...] = (
    *("SOPInstanceUID", "InstanceNumber", "ImageOrientationPatient", "ImagePositionPatient", "PixelSpacing"),
    *DIMENSIONS,
    *(tag for moment in MOMENTS for tag in moment),
)
"""All tags that :func:`slice_of` looks at."""


@dataclass(frozen=True, slots=True)
class Slice:
    """What a header says of one slice.

    Args:
        key: the file, or the number of the frame in its file.
        orientation, position, spacing: as in the header, in its own order; empty if absent.
        thickness: millimeters, 0 if unknown.
        image: tells images apart; copies share it.
        number: of the image in its series.
        marks: values of the dimensions, one a dimension, empty if absent.
        moments: times of day, likewise.
        folder: where the file lies.
    """

    key: Path | int
    orientation: tuple[float, ...]
    position: tuple[float, ...]
    spacing: tuple[float, ...]
    thickness: float
    image: str
    number: int | None
    marks: tuple[str, ...]
    moments: tuple[str, ...]
    folder: str = ""


def slice_of(header: Header, path: Path, frame: int | None = None, more: Sequence[str] = ()) -> Slice:
    """Read a header; what is not needed to place the slice and cannot be read counts as absent.

    Args:
        header: of the file, or of one of its frames.
        path: the file.
        frame: the number of the frame in it, if it is one of several.
        more: values of further dimensions.

    Raises:
        ReadError: when position or orientation are no numbers.
    """
    alone = frame is None
    return Slice(
        key=path if frame is None else frame,
        orientation=numbers(header, "ImageOrientationPatient", path),
        position=numbers(header, "ImagePositionPatient", path),
        spacing=_floats(_value(header, "PixelSpacing")),
        thickness=next(iter(_floats(_value(header, "SliceThickness"))), 0.0),
        image=(_text(_value(header, "SOPInstanceUID")) or str(path)) if alone else str(frame),
        number=_whole(_value(header, "InstanceNumber")) if alone else frame,
        marks=(*(_text(_value(header, tag)) for tag in DIMENSIONS), *more),
        moments=tuple("".join(_text(_value(header, tag)) for tag in moment) for moment in MOMENTS),
        folder=str(path.parent) if alone else "",
    )


def _value(header: Header, tag: str | int) -> Any:
    # most tags are absent: whether there is one is known in a tenth of the time that asking for its value takes
    if number_of(tag) not in header:
        return None
    try:
        found = header.get(tag)
        # pydicom answers with the element where it is asked by number
        return found if isinstance(tag, str) else getattr(found, "value", None)
    except Exception:  # pydicom raises anything over a value that is none of its kind
        return None


def _text(value: Any) -> str:
    """Return a value so that equal ones are equal: 1.30 and 1.3, too."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, bytes | str) or not isinstance(value, Iterable):
        return sys.intern(str(value))
    return "\\".join(map(_text, value))


def _floats(value: Any) -> tuple[float, ...]:
    values = value if isinstance(value, Sequence) and not isinstance(value, str) else [value]
    try:
        return tuple(float(item) for item in values)
    except (TypeError, ValueError):
        return ()


def _whole(value: Any) -> int | None:
    try:
        return int(value)
    except (TypeError, ValueError):
        return None
