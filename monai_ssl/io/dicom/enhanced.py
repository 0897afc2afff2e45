"""Enhanced multi-frame CT, MR and PET: geometry and rescaling stand in functional groups, one set a frame."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from monai_ssl.io.dicom.frames import Frame, frame_of
from monai_ssl.io.dicom.marks import Slice, slice_of
from monai_ssl.io.volume import ReadError

if TYPE_CHECKING:
    from pydicom import Dataset

Decoder = Callable[[int], Any]


class FrameHeader:
    """The header of one frame, read as if the frame were a file of its own: the first layer that has a tag answers.

    Args:
        layers: the frame's functional groups, those shared by all, and the rest of the file.
    """

    def __init__(self, *layers: Dataset) -> None:
        self.layers = layers

    def get(self, tag: Any, default: Any = None, /) -> Any:
        """Return the value of a keyword, the element of a number."""
        return next((layer.get(tag) for layer in self.layers if tag in layer), default)

    def __contains__(self, tag: Any, /) -> bool:
        """Whether a layer has a tag."""
        return any(tag in layer for layer in self.layers)


def frame_headers(dataset: Dataset) -> list[FrameHeader]:
    """Return the header of every frame that has functional groups; of the only frame, if there are none."""
    from pydicom import Dataset

    shared = _flat((dataset.get("SharedFunctionalGroupsSequence") or [Dataset()])[0])
    groups = dataset.get("PerFrameFunctionalGroupsSequence")
    if not groups and int(dataset.get("NumberOfFrames") or 1) == 1:
        groups = [Dataset()]
    return [FrameHeader(_flat(group), shared, dataset) for group in groups or []]


def _flat(group: Dataset) -> Dataset:
    """Return what stands in the sequences of a functional group, one below the other; public ones take precedence."""
    flat = type(group)()
    # Philips repeats the classic header of a frame in a private sequence, with another position
    for element in sorted(group, key=lambda element: element.tag.is_private):
        inner = _flat(element.value[0]) if element.VR == "SQ" and element.value else [element]
        for found in inner:
            if found.tag not in flat:
                flat.add(found)
    return flat


def enhanced_frames(dataset: Dataset, path: Path, read: Decoder) -> tuple[list[Frame], list[Slice]]:
    """Return every frame of a file, and what its header says of it.

    Args:
        dataset: the file.
        path: its path.
        read: decodes the stored numbers of a frame.

    Raises:
        ReadError: when geometry is missing.
    """
    headers = frame_headers(dataset)
    if not headers:
        raise ReadError(f"{path}: the frames have no position in space (no functional groups); export the scan again.")
    frames = [frame_of(header, path, path, partial(read, index)) for index, header in enumerate(headers)]
    # the place of a frame in the dimensions that the file itself declares
    indices = [list(map(str, header.get("DimensionIndexValues") or ())) for header in headers]
    longest = max(map(len, indices))
    more = (own + [""] * (longest - len(own)) for own in indices)
    return frames, [
        slice_of(header, path, index, own) for index, (header, own) in enumerate(zip(headers, more, strict=True))
    ]
