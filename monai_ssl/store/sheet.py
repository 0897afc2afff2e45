"""Contact sheet of a store: middle slices of some scans, named by key."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from monai_ssl.store.scan import Scan

_TILE, _TEXT, _GAP = 160, 14, 6
_ROW = (3 * (_TILE + _GAP) + 2 * _GAP, _TILE + _TEXT + _GAP)
_DARK, _LIGHT, _ORANGE = (24, 24, 24), (220, 220, 220), (255, 160, 0)


def write_sheet(scans: Sequence[Scan], path: Path, limit: int = 24) -> int:
    """Write a PNG: the three middle slices of each volume with its body box, and pictures three in a row.

    The scans shown are spread evenly over the store. Nothing but keys, modality and size is written on it, and no
    metadata into it.

    Args:
        scans: to choose from.
        path: of the PNG.
        limit: number of scans at most.

    Returns:
        The number of scans shown.
    """
    if not scans:
        return 0
    shown = [scans[i] for i in np.unique(np.linspace(0, len(scans) - 1, min(limit, len(scans))).astype(int))]
    pictures = [scan for scan in shown if scan.spatial_dims == 2]
    rows = [_volume_row(scan) for scan in shown if scan.spatial_dims == 3]
    rows += [_picture_row(pictures[i : i + 3]) for i in range(0, len(pictures), 3)]
    columns = 2 if len(rows) > 4 else 1
    height = -(-len(rows) // columns)
    sheet = Image.new("RGB", (columns * _ROW[0], height * _ROW[1]), _DARK)
    for number, row in enumerate(rows):
        sheet.paste(row, (number // height * _ROW[0], number % height * _ROW[1]))
    sheet.save(path)
    return len(shown)


def _volume_row(scan: Scan) -> Image.Image:
    text = f"{scan.key}  {scan.modality}  {' x '.join(map(str, scan.shape[1:]))}"
    return _row([_plane(scan, axis) for axis in (2, 1, 0)], [text])


def _picture_row(scans: Sequence[Scan]) -> Image.Image:
    return _row([_plane(scan, None) for scan in scans], [f"{scan.key}  {scan.modality}" for scan in scans])


def _row(tiles: Sequence[Image.Image], texts: Sequence[str]) -> Image.Image:
    row = Image.new("RGB", _ROW, _DARK)
    for number, tile in enumerate(tiles):
        row.paste(tile, (_GAP + number * (_TILE + _GAP), _TEXT))
    for number, text in enumerate(texts):
        ImageDraw.Draw(row).text((_GAP + number * (_TILE + _GAP), 1), text, fill=_LIGHT)
    return row


def _plane(scan: Scan, across: int | None) -> Image.Image:
    """Show the middle slice across an axis in millimeters, as radiologists expect: front and head on top."""
    axes = [axis for axis in range(scan.spatial_dims) if axis != across]
    window = [slice(None)] * len(scan.shape)
    if across is not None:
        middle = scan.shape[across + 1] // 2
        window[across + 1] = slice(middle, middle + 1)
    pixels = (scan[tuple(window)] * 255).astype(np.uint8)
    if across is not None:
        pixels = pixels.squeeze(across + 1)
    # a picture is stored columns first, top row first; of a scan the second axis points up
    flip = across is not None
    pixels = pixels.transpose(2, 1, 0)[:: -1 if flip else 1]
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] != 3 else pixels).convert("RGB")
    extent = [scan.shape[axis + 1] * scan.spacing[axis] for axis in axes]
    size = [max(1, round(_TILE * e / max(extent))) for e in extent]
    image = image.resize((size[0], size[1]), Image.Resampling.BILINEAR)
    if flip:
        _draw_box(image, scan, axes)
    return image


def _draw_box(image: Image.Image, scan: Scan, axes: Sequence[int]) -> None:
    (x0, y0), (x1, y1) = ([corner[axis] / scan.shape[axis + 1] for axis in axes] for corner in scan.body_box)
    width, height = image.size
    box = (x0 * width, (1 - y1) * height, x1 * width - 1, (1 - y0) * height - 1)
    ImageDraw.Draw(image).rectangle(box, outline=_ORANGE)


__all__ = ["write_sheet"]
