"""Read any source: the reader for each format."""

from __future__ import annotations

from monai_ssl.io.discovery import Source
from monai_ssl.io.formats import by_kind
from monai_ssl.io.volume import ReadOptions, Volume, reading


def read(source: Source, *, four_d: str = "refuse", missing_slices: str = "refuse") -> list[Volume]:
    """Decode a source.

    Args:
        source: as found by :func:`monai_ssl.io.discover`.
        four_d: ``"refuse"`` a file of several volumes, or ``"split"`` it.
        missing_slices: ``"refuse"`` a DICOM series with gaps, or ``"fill"`` them by linear interpolation.

    Returns:
        One volume, or several for a file that was split.

    Raises:
        ReadError: when the source cannot be read; the message is for a person.
        ValueError: when an option is none of the above.
    """
    options = ReadOptions(four_d, missing_slices)
    reader = by_kind(source.kind).load_reader()
    # the readers say what is wrong where they can tell; this catches what a damaged file does elsewhere
    with reading(source.files[0], "the file cannot be read, it is damaged", "copy the file again or leave it out"):
        return reader(source.files, options)
