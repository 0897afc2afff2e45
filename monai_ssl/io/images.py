"""Read pictures: PNG, JPEG and TIFF of every depth."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.geometry import flat_affine
from monai_ssl.io.volume import ReadError, ReadOptions, Volume, compact, reading

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile

GRAY_MODES = ("L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")
OTHER_BYTES = {
    "RGB;16B": "RGB;16L",
    "RGB;16L": "RGB;16B",
    "RGB;16N": "RGB;16B" if sys.byteorder == "little" else "RGB;16L",
    "RGBX;16B": "RGBX;16L",
    "RGBX;16L": "RGBX;16B",
    "RGBA;16B": "RGBA;16L",
    "RGBA;16L": "RGBA;16B",
    "RGBA;16N": "RGBA;16B" if sys.byteorder == "little" else "RGBA;16L",
    # all four bytes of a pixel: upper and lower one of gray, then of transparency
    "LA;16B": "RGBA",
}
"""Pillow keeps the upper byte of a color of two bytes; read as if in the other order, it keeps the lower one."""
BITS, PHOTOMETRIC, PLANES, SAMPLE_FORMAT = 258, 262, 284, 339
"""Tags of TIFF."""
APART, SIGNED = 2, 2
"""Values of them: a plane a color, and signed numbers."""


def read_image(files: Sequence[Path], options: ReadOptions) -> list[Volume]:
    """Return a picture (C, columns, rows), C = 3 if it has color, else 1; transparency is dropped.

    The rotation that a camera notes down is ignored: radiographs carry none that could be trusted. Black and white
    are 0 and 255.

    Raises:
        ReadError: when the file is damaged, larger than Pillow's limit against decompression bombs, or holds several
            pictures.
    """
    from PIL import Image

    del options
    path = files[0]
    remedy = "copy the file again, reduce it if it is huge, or leave it out"
    with warnings.catch_warnings(), reading(path, "the picture cannot be decoded", remedy):
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(path) as image:
            # the check sums, which decoding does not look at
            image.verify()
        with Image.open(path) as image:
            count = getattr(image, "n_frames", 1)
            if image.format == "TIFF" and count > 1:
                raise ReadError(f"{path}: the file holds {count} pictures; save them apart, or a volume as NIfTI.")
            pixels = _pixels(image, path)
    array = channels_first(pixels)
    spacing = (1.0, 1.0)
    modality = "rgb" if len(array) == 3 else "unknown"
    return [Volume(np.ascontiguousarray(compact(array)), flat_affine(spacing), spacing, modality, None)]


def _pixels(image: ImageFile, path: Path) -> NDArray[Any]:
    """Return what is in an opened picture (rows, columns[, 3]), as deep as it is."""
    if image.mode in GRAY_MODES:
        return _gray(image)
    mode, tags = _raw_mode(image), getattr(image, "tag_v2", {})
    deep = max(tags.get(BITS, (8,))) > 8
    # Pillow mixes up the bytes of planes that are stored apart
    if mode in OTHER_BYTES and not (deep and tags.get(PLANES) == APART):
        return _deep_colors(image, OTHER_BYTES[mode], path)
    if ";16" in mode or deep:
        raise ReadError(f"{path}: colors of 16 bits that are stored as {mode} are not read; save it as PNG.")
    return np.array(image.convert("L" if image.mode in ("1", "LA", "La") else "RGB"))


def _gray(image: ImageFile) -> NDArray[Any]:
    pixels = np.array(image)
    tags = getattr(image, "tag_v2", None)
    if tags is None:
        return pixels
    # what Pillow leaves to the reader of a TIFF
    signed = tags.get(SAMPLE_FORMAT, (1,))[0] == SIGNED
    if image.mode == "L" and signed:
        pixels = pixels.view(np.int8)
    if image.mode == "I" and not signed:
        pixels = pixels.view(np.uint32)
    if tags.get(PHOTOMETRIC) == 0 and image.mode != "L":
        # high means dark
        return 65535 - pixels if pixels.dtype == np.uint16 else -pixels
    return pixels


def _raw_mode(image: ImageFile) -> str:
    """Return how the file stores a pixel, in Pillow's words."""
    arguments = (image.tile[0][3] if image.tile else None) or ("",)
    return str(arguments if isinstance(arguments, str) else arguments[0])


def _deep_colors(image: ImageFile, other: str, path: Path) -> NDArray[Any]:
    from PIL import Image

    with Image.open(path) as again:
        again.tile = [
            tile._replace(args=other if isinstance(tile.args, str) else (other, *tile.args[1:])) for tile in again.tile
        ]
        upper, lower = np.array(image), np.array(again)
    if other == "RGBA":
        # gray and its transparency
        upper, lower = lower[..., 0], lower[..., 1]
    pixels = upper.astype(np.uint16) << 8 | lower
    return pixels if pixels.ndim == 2 else pixels[..., :3]


def channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (C, columns, rows) of pixels (rows, columns[, 3]); C = 1 if the colors are all gray."""
    if pixels.ndim == 2:
        return pixels.T[None]
    gray = (pixels == pixels[..., :1]).all()
    return pixels[..., 0].T[None] if gray else pixels.transpose(2, 1, 0)
