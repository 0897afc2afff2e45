"""Decode DICOM pixel data: rescale slope and intercept, MONOCHROME1, padding value."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.dicom.headers import INSTALL, Header, is_color, modality_of
from monai_ssl.io.volume import ReadError, reading

if TYPE_CHECKING:
    from pydicom.dataset import FileDataset

AIR = -1024
"""HU of what lies outside the reconstructed field of a CT."""
NO_SLOPE = "RescaleSlope is 0 and was taken as 1"


@dataclass(frozen=True)
class Rescaling:
    """How stored numbers become values.

    Args:
        slope, intercept: value = slope * stored + intercept.
        stored: (low, high), the range that the header promises for stored numbers; ``None`` if they are floats.
        padding: (low, high), stored numbers that are no measurement.
        outside: the value that these shall have.
        invert: whether high means dark.
        notes: what a report should mention.
    """

    slope: float
    intercept: float
    stored: tuple[int, int] | None
    padding: tuple[int, int] | None = None
    outside: int = 0
    invert: bool = False
    notes: tuple[str, ...] = ()

    @property
    def dtype(self) -> np.dtype[Any]:
        """The smallest type that holds every value that the header allows."""
        if self.stored is None or not (self.slope.is_integer() and self.intercept.is_integer()):
            return np.dtype(np.float32)
        ends = [int(self.slope * end + self.intercept) for end in self.stored] + (
            [self.outside] if self.padding else []
        )
        for dtype in (np.uint8, np.int16, np.uint16, np.int32):
            if np.iinfo(dtype).min <= min(ends) and max(ends) <= np.iinfo(dtype).max:
                return np.dtype(dtype)
        return np.dtype(np.float32)

    def __call__(self, stored: NDArray[Any]) -> NDArray[Any]:
        """Return the values of stored numbers of any shape; those that are no measurement are masked."""
        dtype = np.dtype(np.float64) if self.dtype == np.float32 else self.dtype

        def number(value: float) -> NDArray[Any]:
            # a result that fits is right, whatever a step before lost above its bits
            return np.array(value).astype(np.int64).astype(dtype) if dtype.kind in "iu" else np.array(value)

        values = stored.astype(dtype)
        if self.invert and self.stored is not None:
            values = number(sum(self.stored)) - values
        values = (values if self.slope == 1 else values * number(self.slope)) + number(self.intercept)
        values = values.astype(self.dtype, copy=False)
        if self.padding is None:
            return values
        padded = (stored >= self.padding[0]) & (stored <= self.padding[1])
        return np.ma.MaskedArray(values, padded) if padded.any() else values


def fill_padding(values: NDArray[Any], padded: NDArray[np.bool_], is_ct: bool) -> NDArray[Any]:
    """Set what is no measurement to air in CT; elsewhere to no signal, which is 0 or the lowest measurement.

    Padding that lies among the measurements cannot be told from them and stays.

    Args:
        values: of any shape; changed in place.
        padded: likewise, what is no measurement.
        is_ct: whether the values are HU.
    """
    if is_ct:
        values[padded] = AIR
    elif not padded.all():
        measured, padding = values[~padded], values[padded]
        low, high = measured.min(), measured.max()
        if padding.min() <= low or padding.max() >= high:
            values[padded] = min(low, 0)
    return values


def rescaling(header: Header, path: Path) -> Rescaling:
    """Return the rescaling of a header.

    Raises:
        ReadError: when the header holds something else than numbers.
    """
    with reading(path, "the DICOM header does not say how numbers become values", "repair the file or leave it out"):
        return _rescaling(header)


def _rescaling(header: Header) -> Rescaling:
    bits, signed = header.get("BitsStored"), bool(header.get("PixelRepresentation"))
    stored = None
    # float pixel data have no BitsStored
    if bits:
        stored = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if signed else (0, (1 << bits) - 1)
    ct = modality_of(header) == "ct"
    factor = float(_first(header.get("RescaleSlope"), 1))
    return Rescaling(
        slope=factor or 1.0,
        intercept=float(_first(header.get("RescaleIntercept"), 0)),
        stored=stored,
        padding=None if is_color(header) else _padding(header),
        outside=AIR if ct else 0,
        invert=header.get("PhotometricInterpretation") == "MONOCHROME1" and not ct,
        notes=(*(() if factor else (NO_SLOPE,)), *_colored(header)),
    )


def _colored(header: Header) -> tuple[str, ...]:
    """Say so where a supplemental palette shows high numbers in color; they are no measurements, but stay."""
    first = header.get("RedPaletteColorLookupTableDescriptor")
    if is_color(header) or not first or header.get("PixelPresentation") not in ("COLOR", "MIXED"):
        return ()
    return (f"stored numbers from {first[1]} on are colors of a supplemental palette and were kept as numbers",)


def _first(*values: Any) -> Any:
    return next(value for value in values if value is not None and value != "")


def _padding(header: Header) -> tuple[int, int] | None:
    value = header.get("PixelPaddingValue")
    if value is None:
        return None
    limit = header.get("PixelPaddingRangeLimit")
    ends = [int(value), int(value if limit is None else limit)]
    bits, signed = int(header.get("BitsAllocated") or 16), bool(header.get("PixelRepresentation"))
    # written as if unsigned where pixels are signed, or the other way round
    ends = [(end + (1 << bits - 1)) % (1 << bits) - (1 << bits - 1) if signed else end % (1 << bits) for end in ends]
    return min(ends), max(ends)


def pixel_reader(dataset: FileDataset, path: Path) -> Callable[[int | None], NDArray[Any]]:
    """Return a function that decodes one frame (rows, columns[, 3]) of a dataset read with its pixels.

    Raises:
        ReadError: here, when no installed decoder knows the compression; there, when the data are damaged.
    """
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.pixels.utils import pixel_array
    from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian

    if "TransferSyntaxUID" not in dataset.file_meta:
        implicit, little = dataset.original_encoding
        explicit = ExplicitVRLittleEndian if little else ExplicitVRBigEndian
        dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian if implicit else explicit
    syntax = dataset.file_meta.TransferSyntaxUID
    try:
        available = get_decoder(syntax).is_available
    except NotImplementedError:
        raise ReadError(
            f"{path}: the pixels are stored as {syntax.name}, which is not read; convert the file."
        ) from None
    if not available:
        raise ReadError(f"{path}: no decoder for {syntax.name} is installed; {INSTALL}.")

    remedy = "copy the file again or leave it out"
    if syntax.is_compressed:
        remedy = f"copy the file again, or {INSTALL}"

    def read(index: int | None) -> NDArray[Any]:
        with reading(path, f"the pixels ({syntax.name}) cannot be decoded, the file is damaged", remedy):
            return pixel_array(dataset, index=index)

    return read


def looked_up(stored: NDArray[Any], dataset: FileDataset, path: Path) -> NDArray[Any]:
    """Return the colors (rows, columns, 3) of indices (rows, columns), as deep as those of the palette.

    Raises:
        ReadError: when the palette is damaged.
    """
    from pydicom.pixels.processing import apply_color_lut

    with reading(path, "the palette of the colors cannot be read", "export the picture again"):
        colors = apply_color_lut(stored, dataset)
        # the third number of a descriptor are its bits; some write each entry of 8 into 16
        eight = dataset.RedPaletteColorLookupTableDescriptor[2] == 8
        return colors.astype(np.uint8) if eight and colors.max() <= 255 else colors
