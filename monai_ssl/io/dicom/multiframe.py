"""Classic multi-frame files of a volume: nuclear medicine, and what other programs write into one file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from monai_ssl.io.dicom.enhanced import FrameHeader
from monai_ssl.io.dicom.frames import Frame, frame_of
from monai_ssl.io.dicom.headers import numbers
from monai_ssl.io.dicom.marks import Slice, slice_of
from monai_ssl.io.volume import ReadError

VECTORS = (
    "EnergyWindowVector",
    "DetectorVector",
    "PhaseVector",
    "RotationVector",
    "RRIntervalVector",
    "TimeSlotVector",
    "AngularViewVector",
    "TimeSliceVector",
)
"""What else tells the frames of nuclear medicine apart."""
TIMES = (0x00181063, 0x00181065)
"""By these the frames of a film advance."""


def multiframe_frames(dataset: Any, path: Path, read: Callable[[int], Any]) -> tuple[list[Frame], list[Slice]]:
    """Return every frame of a file, and what its header says of it.

    Args:
        dataset: the file.
        path: its path.
        read: decodes the stored numbers of a frame.

    Raises:
        ReadError: when nothing says that the frames are slices and where they lie.
    """
    rest = (dataset, *(dataset.get("DetectorInformationSequence") or [])[:1])
    heights = _heights(FrameHeader(*rest), path)
    first = frame_of(FrameHeader(*rest), path, path, partial(read, 0))
    vectors = [dataset.get(vector) or [""] * len(heights) for vector in VECTORS]
    frames, slices = [], []
    for index, height in enumerate(heights):
        own = type(dataset)(None, {})
        own.ImagePositionPatient = (first.position + height * first.normal).tolist()
        header = FrameHeader(own, *rest)
        frames.append(frame_of(header, path, path, partial(read, index)))
        slices.append(slice_of(header, path, index, [str(vector[index]) for vector in vectors]))
    return frames, slices


def _heights(header: FrameHeader, path: Path) -> list[float]:
    """Return by how many millimeters each frame lies behind the first position."""
    count = int(header.get("NumberOfFrames"))
    offsets = numbers(header, "GridFrameOffsetVector", path)
    slots = numbers(header, "SliceVector", path)
    step = next(iter(numbers(header, "SpacingBetweenSlices", path) or numbers(header, "SliceThickness", path)), 0.0)
    pointer = header.get("FrameIncrementPointer")
    runs = any(tag in TIMES for tag in (pointer if isinstance(pointer, Sequence) else [pointer]))
    if len(offsets) == count:
        return [offset - offsets[0] for offset in offsets]
    if runs or not step or not numbers(header, "ImagePositionPatient", path):
        raise ReadError(f"{path}: this is a film of several frames, not a volume; export single frames as pictures.")
    return [step * (slot - 1) for slot in slots] if len(slots) == count else [step * slot for slot in range(count)]
