"""Proxy tasks: what disturbs an image, and how views of it are made."""

from monai_ssl.transforms.affine import RandAffineBatchd
from monai_ssl.transforms.base import RandBatchTransform
from monai_ssl.transforms.bezier import RandBezierd
from monai_ssl.transforms.blur import RandGaussianBlurd
from monai_ssl.transforms.brightness import RandBrightnessd
from monai_ssl.transforms.color import RandColorJitterd, RandGrayscaled
from monai_ssl.transforms.cube_mask import RandCubeMaskd
from monai_ssl.transforms.cube_turns import (
    RandCubeTurnsd,
    turn_cells,
    turn_cells_back,
    turn_layers,
    turn_layers_back,
)
from monai_ssl.transforms.cutout import RandCutoutd
from monai_ssl.transforms.distortions import RandDistortiond
from monai_ssl.transforms.elastic import RandElasticBatchd
from monai_ssl.transforms.flip_chain import RandFlipChaind
from monai_ssl.transforms.flips import RandFlipBatchd
from monai_ssl.transforms.gamma import RandSignedGammad
from monai_ssl.transforms.grid_cells import CellGrid
from monai_ssl.transforms.jigsaw import RandJigsawd, permute_cells, restore_cells
from monai_ssl.transforms.knowledge_masks import RandBlockMaskd, RandStripeMaskd, mask_of
from monai_ssl.transforms.multi_crop import RandMultiCropd
from monai_ssl.transforms.noise import RandGaussianNoiseBatchd
from monai_ssl.transforms.normalize import ImageNetNormalized, ZScored
from monai_ssl.transforms.one_of import RandOneOfd
from monai_ssl.transforms.painting import RandPaintingd
from monai_ssl.transforms.pair_crop import RandIoUPairCropd
from monai_ssl.transforms.patch_grid import RandPatchGridd
from monai_ssl.transforms.patch_swap import RandPatchSwapd
from monai_ssl.transforms.permutations import permutation_table
from monai_ssl.transforms.plane_rotation import RandPlaneRotationd
from monai_ssl.transforms.rays_mask import RandRaysMaskd
from monai_ssl.transforms.relative_location import RandRelativeLocationd, directions
from monai_ssl.transforms.rotation import RandRotationTaskd, num_rotations, rotate, rotate_back, valid_rotations
from monai_ssl.transforms.rubik import HALF_TURNS, RandRubikd, half_turn
from monai_ssl.transforms.separately import Separatelyd
from monai_ssl.transforms.shuffling import RandLocalShufflingd
from monai_ssl.transforms.task import RandTask
from monai_ssl.transforms.views import BatchViews, Snapshotd
from monai_ssl.transforms.window_crop import RandWindowCropd
from monai_ssl.transforms.word_crop import RandWordCropd

__all__ = [
    "HALF_TURNS",
    "BatchViews",
    "CellGrid",
    "ImageNetNormalized",
    "RandAffineBatchd",
    "RandBatchTransform",
    "RandBezierd",
    "RandBlockMaskd",
    "RandBrightnessd",
    "RandColorJitterd",
    "RandCubeMaskd",
    "RandCubeTurnsd",
    "RandCutoutd",
    "RandDistortiond",
    "RandElasticBatchd",
    "RandFlipBatchd",
    "RandFlipChaind",
    "RandGaussianBlurd",
    "RandGaussianNoiseBatchd",
    "RandGrayscaled",
    "RandIoUPairCropd",
    "RandJigsawd",
    "RandLocalShufflingd",
    "RandMultiCropd",
    "RandOneOfd",
    "RandPaintingd",
    "RandPatchGridd",
    "RandPatchSwapd",
    "RandPlaneRotationd",
    "RandRaysMaskd",
    "RandRelativeLocationd",
    "RandRotationTaskd",
    "RandRubikd",
    "RandSignedGammad",
    "RandStripeMaskd",
    "RandTask",
    "RandWindowCropd",
    "RandWordCropd",
    "Separatelyd",
    "Snapshotd",
    "ZScored",
    "directions",
    "half_turn",
    "mask_of",
    "num_rotations",
    "permutation_table",
    "permute_cells",
    "restore_cells",
    "rotate",
    "rotate_back",
    "turn_cells",
    "turn_cells_back",
    "turn_layers",
    "turn_layers_back",
    "valid_rotations",
]
