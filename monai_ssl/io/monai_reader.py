"""Let MONAI's LoadImage read whatever ``prepare`` reads."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from monai.config import KeysCollection
from monai.data import ImageReader
from monai.transforms import LoadImaged
from monai.utils import ImageMetaKey, MetaKeys, SpaceKeys, ensure_tuple
from nibabel import orientations
from numpy.typing import NDArray

from monai_ssl.io.formats import stem
from monai_ssl.io.listing import is_readable, source_at
from monai_ssl.io.readers import read
from monai_ssl.io.volume import ReadError, Volume

_GPU_DECODER = "monai.data.nvimgcodec_pydicom_plugin"


def load_files(keys: KeysCollection, **options: Any) -> LoadImaged:
    """Return MONAI's ``LoadImaged`` with :class:`ScanReader`.

    MONAI makes all its readers, whether or not they will read a file, and the one that decodes DICOM on a GPU says
    twice that its library is missing. That looks like a fault, and concerns those only who choose it by the variable
    ``MONAI_DICOM_READER``; to all others it is not passed on.

    Args:
        keys: of paths, which become images.
        options: further arguments of ``LoadImaged``.

    >>> load_files(["image", "label"], dtype=None).keys
    ('image', 'label')
    """
    if os.environ.get("MONAI_DICOM_READER", "").lower() == "nvimgcodec":
        return LoadImaged(keys, reader=ScanReader, **options)
    logger = logging.getLogger(_GPU_DECODER)
    logger.addFilter(_tells_no_absence)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "NvImgCodecPydicomReader: .* did not register")
            return LoadImaged(keys, reader=ScanReader, **options)
    finally:
        logger.removeFilter(_tells_no_absence)


def _tells_no_absence(record: logging.LogRecord) -> bool:
    return not str(record.msg).startswith("nvImageCodec is not available")


class ScanReader(ImageReader):
    """Reads files of every format of :mod:`monai_ssl.io.formats`, and folders of a DICOM series.

    Values and places are those of the store, with the axes as the file stores them, so that predictions are written
    in the space of their images; volumes of a 4-D file, and several files, become channels. Other files are left to
    MONAI's own readers.

    >>> load = LoadImaged(keys=["image", "label"], reader="monai_ssl.io.monai_reader.ScanReader", dtype=None)
    """

    def verify_suffix(self, filename: Any) -> bool:
        """Whether these are files or folders for this reader."""
        return all(is_readable(name) for name in ensure_tuple(filename))

    def read(self, data: Any, **kwargs: Any) -> tuple[str, ...]:
        """Return the paths; what is wrong with a file must be raised later, for MONAI drops errors of this method.

        Raises:
            ReadError: when one is of no format that is read here.
        """
        del kwargs
        names = tuple(str(name) for name in ensure_tuple(data))
        if not self.verify_suffix(names):
            raise ReadError(f"{names[0]}: this format is not read here.")
        return names

    def get_data(self, img: Sequence[str]) -> tuple[NDArray[Any], dict[str, Any]]:
        """Return the array (*spatial), or (C, *spatial) if there are several channels, and where it lies.

        Raises:
            ReadError: when a file cannot be read, or several differ in size or place.
        """
        volumes = [volume for path in img for volume in read(source_at(path), four_d="split")]
        arrays, affines = zip(*map(_as_stored, volumes), strict=True)
        for path, array, affine in zip(img, arrays, affines, strict=False):
            if array.shape[1:] != arrays[0].shape[1:] or not np.allclose(affine, affines[0], atol=1e-3):
                raise ReadError(
                    f"{path}: size or place differ from those of {Path(img[0]).name}; resample one of them."
                )
        meta: dict[str, Any] = {
            MetaKeys.AFFINE: affines[0],
            MetaKeys.ORIGINAL_AFFINE: affines[0].copy(),
            MetaKeys.SPATIAL_SHAPE: np.array(arrays[0].shape[1:]),
            MetaKeys.SPACE: SpaceKeys.RAS,
            MetaKeys.ORIGINAL_CHANNEL_DIM: 0,
        }
        array = np.concatenate(arrays)
        if len(array) == 1:
            # as MONAI's readers do: its SaveImage takes the slices of any other prediction for channels
            return array[0], meta | {MetaKeys.ORIGINAL_CHANNEL_DIM: float("nan")}
        return array, meta


def named_below(dataset_dir: str) -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Name what SaveImaged writes after the place of its image below a folder, so that no two share a file.

    Returns:
        ``output_name_formatter`` for SaveImaged, beside ``data_root_dir="."``; an image elsewhere gives its name only.

    >>> named_below("scans")({"filename_or_obj": "scans/p1/1.2.840.7"}, None)
    {'subject': 'p1/1.2.840.7.nii.gz', 'idx': None}
    """

    def name(meta: dict[str, Any], transform: Any) -> dict[str, Any]:
        del transform
        path, root = (Path(place).absolute() for place in (meta[ImageMetaKey.FILENAME_OR_OBJ], dataset_dir))
        below = path.is_relative_to(root) and path != root
        place = str(path.relative_to(root)) if below else path.name
        # the ending is there to be dropped: MONAI would drop part of the folder's name
        return {"subject": f"{stem(place)}.nii.gz", "idx": meta.get(ImageMetaKey.PATCH_INDEX)}

    return name


def _as_stored(volume: Volume) -> tuple[NDArray[Any], NDArray[np.float64]]:
    """Return the array and its affine to RAS with the axes of the file."""
    if volume.stored_affine is None:
        return volume.array, volume.affine
    if volume.array.ndim == 3:
        return volume.array, volume.stored_affine
    turns = orientations.ornt_transform([[0, 1], [1, 1], [2, 1]], orientations.io_orientation(volume.stored_affine))
    return orientations.apply_orientation(volume.array[0], turns)[None], volume.stored_affine
