"""Label maps on the grid of their images: compared, or brought there by one of two rules that a user may choose."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any, Literal, get_args

import numpy as np
from monai.data import MetaTensor
from monai.transforms import MapTransform, ResampleToMatch, Transform
from monai.utils import ImageMetaKey
from numpy.typing import NDArray

from monai_ssl.arguments import check_choice
from monai_ssl.io.geometry import spacing_of
from monai_ssl.io.grid import canonical_grid, corners
from monai_ssl.io.volume import Grid

LabelGrid = Literal["refuse", "resample", "voxels"]
"""What to do where a label map is not on the grid of its image: refuse it; trust both headers and take the nearest
label at each voxel; or trust the order of the voxels and the header of the image."""
TOLERANCE = 0.1
"""Voxels by which corners may differ: headers round."""
REMEDY = (
    "`--label_grid resample` takes the nearest label at each voxel of the image where both headers are right, "
    "`--label_grid voxels` the place of the image where only that one is and the voxels correspond"
)


def difference(image: Grid, label: Grid) -> str | None:
    """Say in what the grid of a label map differs from that of its image; nothing where they are the same.

    Order and direction of the axes do not count, nor does the place of pictures, whose formats know none.

    >>> difference(Grid((8, 8, 8), np.eye(4)), Grid((8, 8, 7), np.eye(4)))
    'the label has 8 x 8 x 7 voxels, the image 8 x 8 x 8'
    """
    image, label = canonical_grid(image), canonical_grid(label)
    if image.shape != label.shape:
        sizes = [" x ".join(map(str, grid.shape)) for grid in (label, image)]
        spacings = [" x ".join(f"{s:.3g}" for s in spacing_of(grid.affine, len(grid.shape))) for grid in (label, image)]
        of = [f" of {s} mm" if spacings[0] != spacings[1] else "" for s in spacings]
        return f"the label has {sizes[0]} voxels{of[0]}, the image {sizes[1]}{of[1]}"
    if len(image.shape) < 3:
        return None
    box = [(0, size - 1) for size in image.shape]
    apart = corners(box, label.affine) - corners(box, image.affine)
    if np.abs(apart / min(spacing_of(image.affine))).max() <= TOLERANCE:
        return None
    unknown = "; the header of the label does not say where it lies" if image.known and not label.known else ""
    distance = np.linalg.norm(apart, axis=1).max()
    return f"the label lies elsewhere, up to {distance:.3g} mm off by origin, spacing and axes of its header{unknown}"


def outside(image: Grid, points: NDArray[np.float64]) -> bool:
    """Whether points (N, 3) in millimeters lie more than a voxel outside of an image."""
    inverse = np.linalg.inv(image.affine)
    indices = points @ inverse[:3, :3].T + inverse[:3, 3]
    return bool((indices < -1.5).any() or (indices > np.array(image.shape) + 0.5).any())


def onto_image(how: LabelGrid) -> list[Transform]:
    """Return the transforms, before the axes are moved, that bring ``label`` onto the grid of ``image``.

    Raises:
        ValueError: for another rule.
    """
    check_choice(get_args(LabelGrid), label_grid=how)
    return [] if how == "refuse" else [ResampleLabeld() if how == "resample" else PlaceByVoxelsd()]


class LabelOntoImaged(MapTransform):
    """Base of what does something to label maps for the sake of their image.

    Args:
        keys: label maps (C, *spatial) with an affine.
        image: key of the image.
    """

    def __init__(self, keys: str = "label", image: str = "image") -> None:
        super().__init__(keys)
        self.image = image

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        out = dict(data)
        for key in self.key_iterator(out):
            out[key] = self.onto(out[key], out[self.image])
        return out

    @abstractmethod
    def onto(self, label: MetaTensor, image: MetaTensor) -> MetaTensor:
        """Return the label map as it is wanted beside ``image``."""


class ResampleLabeld(LabelOntoImaged):
    """Give each voxel of the image the nearest voxel of the label map, and background outside of it."""

    resample = ResampleToMatch(mode="nearest", padding_mode="zeros")

    def onto(self, label: MetaTensor, image: MetaTensor) -> MetaTensor:
        found = self.resample(label, image)
        assert isinstance(found, MetaTensor)
        found.meta[ImageMetaKey.FILENAME_OR_OBJ] = label.meta.get(ImageMetaKey.FILENAME_OR_OBJ)
        return found


class PlaceByVoxelsd(LabelOntoImaged):
    """Put label maps where the image is, voxel for voxel as the files store them.

    Raises:
        ValueError: when the sizes differ.
    """

    def onto(self, label: MetaTensor, image: MetaTensor) -> MetaTensor:
        _check_size(label, image)
        return _placed(label, image)


class SameGridd(LabelOntoImaged):
    """Check, with the axes moved, that label maps are on the grid of the image, and take over its affine.

    Digits that headers rounded must not make two sizes of one when spacing changes.

    Raises:
        ValueError: when they are not.
    """

    def onto(self, label: MetaTensor, image: MetaTensor) -> MetaTensor:
        found = difference(_grid(image), _grid(label))
        if found:
            raise ValueError(f"`{_name(label)}` is not on the grid of its image: {found}; {REMEDY}.")
        return _placed(label, image)


def _check_size(label: MetaTensor, image: MetaTensor) -> None:
    if label.shape[1:] != image.shape[1:]:
        sizes = [" x ".join(map(str, of.shape[1:])) for of in (label, image)]
        raise ValueError(
            f"`{_name(label)}` has {sizes[0]} voxels, its image {sizes[1]}: they do not correspond one to one, so that "
            "`label_grid` cannot be `voxels`."
        )


def _placed(label: MetaTensor, image: MetaTensor) -> MetaTensor:
    placed = label.clone()
    placed.affine = image.affine.clone()
    return placed


def _grid(image: MetaTensor) -> Grid:
    affine = np.eye(4)
    given = image.affine.numpy(force=True)
    affine[: len(given), : len(given)] = given
    return Grid(tuple(image.shape[1:]), affine)


def _name(image: MetaTensor) -> str:
    return str(image.meta.get(ImageMetaKey.FILENAME_OR_OBJ, "the label"))
