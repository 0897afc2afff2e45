"""Proxy tasks: what disturbs an image, and how views of it are made."""

from monai_ssl.transforms.affine import RandAffineBatchd
from monai_ssl.transforms.base import RandBatchTransform
from monai_ssl.transforms.bezier import RandBezierd
from monai_ssl.transforms.blur import RandGaussianBlurd
from monai_ssl.transforms.color import RandColorJitterd, RandGrayscaled
from monai_ssl.transforms.cutout import RandCutoutd
from monai_ssl.transforms.distortions import RandDistortiond
from monai_ssl.transforms.flips import RandFlipBatchd
from monai_ssl.transforms.gamma import RandSignedGammad
from monai_ssl.transforms.grid_cells import CellGrid
from monai_ssl.transforms.multi_crop import RandMultiCropd
from monai_ssl.transforms.noise import RandGaussianNoiseBatchd
from monai_ssl.transforms.normalize import ImageNetNormalized, ZScored
from monai_ssl.transforms.painting import RandPaintingd
from monai_ssl.transforms.pair_crop import RandIoUPairCropd
from monai_ssl.transforms.patch_swap import RandPatchSwapd
from monai_ssl.transforms.separately import Separatelyd
from monai_ssl.transforms.task import RandTask
from monai_ssl.transforms.views import BatchViews, Snapshotd
from monai_ssl.transforms.window_crop import RandWindowCropd

__all__ = [
    "BatchViews",
    "CellGrid",
    "ImageNetNormalized",
    "RandAffineBatchd",
    "RandBatchTransform",
    "RandBezierd",
    "RandColorJitterd",
    "RandCutoutd",
    "RandDistortiond",
    "RandFlipBatchd",
    "RandGaussianBlurd",
    "RandGaussianNoiseBatchd",
    "RandGrayscaled",
    "RandIoUPairCropd",
    "RandMultiCropd",
    "RandPaintingd",
    "RandPatchSwapd",
    "RandSignedGammad",
    "RandTask",
    "RandWindowCropd",
    "Separatelyd",
    "Snapshotd",
    "ZScored",
]
