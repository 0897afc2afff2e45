"""Read pictures: PNG and JPEG."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from monai_ssl.io.geometry import flat_affine
from monai_ssl.io.volume import ReadOptions, Volume, compact, reading

GRAY_MODES = ("1", "L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def read_image(files: Sequence[Path], options: ReadOptions) -> list[Volume]:
    """Return a picture (C, columns, rows), C = 3 if it has color, else 1; transparency is dropped.

    The rotation that a camera notes down is ignored: radiographs carry none that could be trusted.

    Raises:
        ReadError: when the file is damaged, or larger than Pillow's limit against decompression bombs.
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
            gray = image.mode in GRAY_MODES
            pixels = np.array(image if gray else image.convert("L" if image.mode in ("LA", "La") else "RGB"))
    array = channels_first(pixels)
    spacing = (1.0, 1.0)
    modality = "rgb" if len(array) == 3 else "unknown"
    return [Volume(np.ascontiguousarray(compact(array)), flat_affine(spacing), spacing, modality, None)]


def channels_first(pixels: NDArray[Any]) -> NDArray[Any]:
    """Return (C, columns, rows) of pixels (rows, columns[, 3]); C = 1 if the colors are all gray."""
    if pixels.ndim == 2:
        return pixels.T[None]
    gray = (pixels == pixels[..., :1]).all()
    return pixels[..., 0].T[None] if gray else pixels.transpose(2, 1, 0)
